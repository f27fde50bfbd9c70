// A form for the field: each reading is stored in the browser before the form is cleared,
// and sent when the broker can be reached. `make browser` builds what it imports.
import { open } from './mqttdb.js';

const $ = (selector) => document.querySelector(selector);

const broker = $('#broker');
broker.value = localStorage.broker ?? `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.hostname}:9001/mqtt`;
broker.addEventListener('change', () => {
  localStorage.broker = broker.value;
  location.reload();
});

// The page itself is there without a network, too.
navigator.serviceWorker?.register('offline.js').catch(() => {});

try {
  const durability = new URLSearchParams(location.search).get('durability') ?? 'strict';
  const db = await open({ url: broker.value, name: 'readings', durability });

  const show = ({ state, hint, last_error: error, outgoing }) => {
    const waits = outgoing.pending ? `${outgoing.pending} not sent yet` : 'all sent';
    $('#state').textContent = state === 'online' ? `Online, ${waits}.` : `Not connected, ${waits}. ${hint || error}`;
    $('#state').dataset.pending = outgoing.pending;
  };
  db.onstatus = show;
  show(await db.status());
  $('button').disabled = false;

  $('form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const { meter, value, note } = Object.fromEntries(new FormData(event.target));
    const reading = { at: new Date().toISOString(), value: Number(value), note };
    try {
      await db.publish(`readings/${meter}`, JSON.stringify(reading), { qos: 2 });
      event.target.elements.value.value = event.target.elements.note.value = '';
      event.target.elements.value.focus();
      $('#said').textContent = `${value} of ${meter} is stored.`;
    } catch (error) {
      $('#said').textContent = `Not stored: ${error.message}`;
    }
  });
} catch (error) {
  $('#state').textContent = `This browser stores nothing: ${error.message}`;
}
