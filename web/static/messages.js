import { make, show, text } from './dom.js';
import { bytes, count, date } from './format.js';
import { isLocal } from './list.js';

const queues = { outgoing: 'Outgoing', dead: 'Dead letters', incoming: 'Incoming', incoming_dead: 'Incoming dead letters', sent: 'Sent and kept', retained: 'Retained' };
const ofConnections = ['outgoing', 'dead', 'incoming', 'incoming_dead', 'sent'];
const ofLocal = ['outgoing', 'dead', 'retained'];
const shownBytes = 16 * 1024;

/** Looks into the queues of a connection, 50 messages at a time. */
export class Browser {
  root;
  #source;
  #name;
  #failed;
  #confirm;
  #list = make('ul', { class: 'messages' });
  #said = make('p', { class: 'muted', role: 'status' });
  #more = make('button', { type: 'button', hidden: true, click: () => this.#load(false) }, 'More');
  #queue = make('select', { 'aria-label': 'Queue', change: () => this.#load(true) });
  #last = 0;

  /** failed(error) reports, confirm({title, text, yes}) asks. */
  constructor(source, name, failed, confirm) {
    [this.#source, this.#name, this.#failed, this.#confirm] = [source, name, failed, confirm];
    this.#queue.append(...(isLocal(name) ? ofLocal : ofConnections).map((value) => make('option', { value }, queues[value])));
    this.root = make('section', { 'aria-labelledby': 'messages-title', class: 'browser' },
      make('div', { class: 'bar' }, make('h3', { id: 'messages-title' }, 'Messages'), this.#queue,
        make('button', { type: 'button', click: () => this.#load(true) }, 'Look'),
        make('button', { type: 'button', click: () => this.#export() }, 'Export')),
      this.#said, this.#list, this.#more);
  }

  /** Names in the choice of queues how many each has. */
  changed({ outgoing, incoming }) {
    const counts = { outgoing: outgoing.pending, dead: outgoing.dead_pending, incoming: incoming.pending, incoming_dead: incoming.dead_pending, sent: outgoing.kept };
    for (const option of this.#queue.options) text(option, option.value in counts ? `${queues[option.value]} (${count(counts[option.value])})` : queues[option.value]);
  }

  async #load(anew) {
    const queue = this.#queue.value;
    try {
      const list = await this.#source.messages(this.#name, queue, anew ? 0 : this.#last);
      if (queue !== this.#queue.value) return;
      if (anew) this.#list.replaceChildren();
      for (const m of list) this.#list.append(this.#message(queue, m));
      this.#last = list.at(-1)?.seq ?? this.#last;
      show(this.#more, list.length === 50);
      text(this.#said, this.#list.children.length ? `${count(this.#list.children.length)} shown, the oldest first` : `${queues[queue]}: nothing`);
    } catch (error) {
      this.#failed(error);
    }
  }

  async #export() {
    try {
      const url = URL.createObjectURL(await this.#source.save(this.#name, this.#queue.value));
      make('a', { href: url, download: `${this.#name}-${this.#queue.value}.ndjson` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      this.#failed(error);
    }
  }

  #message(queue, m) {
    const payload = Uint8Array.from(atob(m.payload), (c) => c.charCodeAt(0));
    const item = make('details', {},
      make('summary', {}, make('span', { class: 'topic' }, m.topic), make('span', { class: 'muted' }, ` ${date(m.accepted)} · QoS ${m.qos}${m.retain ? ' · retained' : ''} · ${bytes(payload.length)} · no. ${m.seq}`)));
    const row = make('li', {}, item);
    item.addEventListener('toggle', () => {
      if (item.open && item.children.length === 1) item.append(...this.#content(queue, m, payload, row));
    });
    return row;
  }

  #content(queue, m, payload, row) {
    const body = make('pre', { tabindex: '0', 'aria-label': 'Payload' });
    const forms = { Text: asText, JSON: asJSON, Hex: asHex };
    const buttons = Object.entries(forms).map(([label, form]) => make('button', { type: 'button', class: 'tab', click: () => choose(label, form) }, label));
    const choose = (label, form) => {
      text(body, form(payload.subarray(0, shownBytes)) + (payload.length > shownBytes ? `\n… the first ${bytes(shownBytes)} of ${bytes(payload.length)}` : ''));
      for (const b of buttons) b.setAttribute('aria-pressed', String(b.textContent === label));
    };
    const first = isText(payload) ? 'Text' : 'Hex';
    choose(first, forms[first]);
    const act = async (verb) => {
      if (verb === 'remove' && !await this.#confirm({ title: `Delete message ${m.seq}?`, text: `The message on ${m.topic} is forgotten and not delivered.`, yes: 'Delete 1 message' })) return;
      try {
        await this.#source[verb](this.#name, queue, m.seq);
        row.remove();
        text(this.#said, verb === 'remove' ? `Message ${m.seq} is deleted.` : `Message ${m.seq} is in the queue again.`);
        this.#queue.focus();
      } catch (error) {
        this.#failed(error);
      }
    };
    const actions = isLocal(this.#name) ? [] : [make('button', { type: 'button', class: 'danger', click: () => act('remove') }, 'Delete')];
    if (actions.length && queue.endsWith('dead')) actions.unshift(make('button', { type: 'button', click: () => act('requeue') }, 'Requeue'));
    return [...(m.cause ? [make('p', { class: 'callout' }, m.cause)] : []), body, make('div', { class: 'actions' }, ...buttons, make('span', { class: 'gap' }), ...actions)];
  }
}

const isText = (b) => !/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(asText(b.subarray(0, 512)));
const asText = (b) => new TextDecoder().decode(b);

function asJSON(b) {
  try {
    return JSON.stringify(JSON.parse(asText(b)), null, 2);
  } catch (error) {
    return `This is no JSON: ${error.message}`;
  }
}

function asHex(b) {
  const lines = [];
  for (let i = 0; i < b.length; i += 16) {
    const row = [...b.subarray(i, i + 16)];
    lines.push(`${i.toString(16).padStart(6, '0')}  ${row.map((x) => x.toString(16).padStart(2, '0')).join(' ').padEnd(47)}  ${row.map((x) => (x > 31 && x < 127 ? String.fromCharCode(x) : '.')).join('')}`);
  }
  return lines.join('\n');
}
