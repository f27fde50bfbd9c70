// What runs in the SharedWorker of an origin or, where there is none, in the Worker of a
// tab. Each page that attaches says which queue it wants.
import { Node } from './node.js';

const id = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
const ports = new Set();
const nodes = new Map(); // by queue

// Held until the Worker is gone, which is how the pages find that out: they ask for it once
// they were told of it.
const held = new Promise((resolve) => {
  if (!navigator.locks) return resolve();
  navigator.locks.request(`mqttdb:worker:${id}`, () => {
    resolve();
    return new Promise(() => {});
  });
});

// end is for a bug: the pages begin again with a new Worker.
function end(why) {
  console.error(`mqttdb: the Worker is started again: ${why}`);
  for (const port of ports) port.postMessage({ type: 'gone', why });
  self.close();
}

function serve(port) {
  let node, page;
  ports.add(port);
  port.onmessage = ({ data }) => {
    switch (data.type) {
      case 'attach':
        page = data.page;
        node = nodes.get(data.queue) ?? new Node(data.queue, data.wasm, end);
        nodes.set(data.queue, node);
        held.then(() => port.postMessage({ type: 'hello', worker: id }));
        node.attach(page, data, port);
        break;
      case 'detach':
        ports.delete(port);
        node?.detach(page).then(() => port.postMessage({ type: 'detached' }));
        break;
      case 'ping':
        port.postMessage({ type: 'pong' });
        break;
      default:
        node?.hear(page, data);
    }
  };
}

if ('onconnect' in self) self.onconnect = (event) => serve(event.ports[0]);
else serve(self);

const redial = (() => {
  let last = 0;
  return () => {
    if (performance.now() - last < 1000) return;
    last = performance.now();
    for (const node of nodes.values()) node.redial();
  };
})();
self.addEventListener('online', redial);

// A Worker whose timer is late by much has slept, and its network with it.
const beat = 5000;
let before = Date.now();
setInterval(() => {
  const now = Date.now();
  if (now - before > 4 * beat) redial();
  before = now;
}, beat);
