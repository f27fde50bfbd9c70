// A node serves the pages of its Worker that use one queue. Of all nodes of a queue one
// is the owner, and runs the engine; the others pass on what their pages say. Who holds
// the lock of the queue is the owner; without locks (insecure origins) it is who was
// there first.
import { compile, start } from './engine.js';

// Raised when what nodes say to each other, or pages to nodes, changes.
export const protocol = 1;

const silence = 400; // ms: an owner answers sooner
const patience = 5000; // ms: an owner that is silent for so long is gone, without locks
const shared = 'onconnect' in self; // this Worker is a SharedWorker, and outlives a tab
const closing = 4000; // ms that an engine has to close

const superseded = {
  type: 'failed',
  failure: { code: 'superseded', message: 'another tab has a newer version of mqttdb', hint: 'reload the page: what it has stored is sent by the other one' },
};

export class Node {
  #queue;
  #wasm;
  #end; // of the Worker, for a bug
  #channel;
  #pages = new Map(); // of this Worker: page → {port, settings, opened, login}
  #epoch = ''; // of the engine in use, ours or another's
  #ownership; // the owner's part; undefined: another node's
  #release; // gives the lock back
  #heard = 0; // when the owner was last heard of
  #newer; // tells and hears which version of all this somebody uses
  #superseded = false; // by a newer version

  constructor(queue, wasm, end) {
    this.#queue = queue;
    this.#wasm = wasm;
    this.#end = end;
    this.#channel = new BroadcastChannel(`mqttdb/${protocol}/${queue}`);
    this.#channel.onmessage = ({ data }) => this.#told(data);
    this.#newer = new BroadcastChannel(`mqttdb/version/${queue}`);
    this.#newer.onmessage = ({ data }) => {
      if (data.protocol > protocol) this.#supersede();
      else if (data.protocol < protocol) this.#newer.postMessage({ protocol });
    };
    this.#newer.postMessage({ protocol });
    this.#join();
  }

  attach(page, { settings, opened, login }, port) {
    this.#pages.set(page, { settings, opened, login, port });
    // Held by the page for as long as it is there.
    navigator.locks?.request(`mqttdb:page:${page}`, () => this.#pages.delete(page)).catch(() => {});
    if (this.#superseded) port.postMessage(superseded);
    else if (this.#ownership) this.#ownership.attach(page, { settings, opened, login, to: port });
    else if (this.#epoch) this.#introduce(page);
    else port.postMessage({ type: 'waiting' });
  }

  async detach(page) {
    this.#pages.delete(page);
    if (this.#ownership) {
      this.#ownership.detach(page);
      if (this.#pages.size === 0 && (this.#ownership.alone || !shared)) await this.#leave();
    } else this.#channel.postMessage({ type: 'detach', page });
  }

  // hear takes what a page of this Worker says.
  hear(page, data) {
    if (this.#ownership) this.#ownership.hear(page, data);
    else if (this.#epoch) this.#channel.postMessage({ type: 'from', page, data });
  }

  redial() {
    this.#ownership?.redial();
  }

  async #join() {
    compile(this.#wasm).catch(() => {}); // whoever needs it is told
    this.#channel.postMessage({ type: 'who' });
    if (navigator.locks) {
      navigator.locks.request(this.#lock, () => this.#own()).catch((error) => this.#end(String(error)));
      return;
    }
    await sleep(silence);
    while (this.#epoch && performance.now() - this.#heard < patience) {
      await sleep(patience / 5);
      this.#channel.postMessage({ type: 'who' });
    }
    this.#own();
  }

  // supersede leaves the queue to a newer version of all this, which may store what this
  // one does not understand.
  async #supersede() {
    if (this.#superseded) return;
    this.#superseded = true;
    for (const { port } of this.#pages.values()) port.postMessage(superseded);
    const ownership = this.#ownership;
    this.#ownership = undefined;
    this.#epoch = '';
    await ownership?.close();
    this.#release?.();
  }

  // own lasts as long as this node is the owner.
  async #own() {
    if (this.#superseded) return;
    this.#ownership = new Ownership(this.#queue, this.#wasm, this.#channel, this.#end, (epoch) => this.#tell(epoch));
    this.#epoch = '';
    for (const [page, { settings, opened, login, port }] of this.#pages) this.#ownership.attach(page, { settings, opened, login, to: port });
    await new Promise((release) => (this.#release = release));
  }

  // leave closes the engine, which nobody of this Worker uses any more, in good order.
  // The next page of this Worker opens it again, unless another node waits for it.
  async #leave() {
    const ownership = this.#ownership;
    await ownership.close();
    if (!shared || this.#pages.size > 0 || !ownership.alone || !navigator.locks) return;
    const { pending } = await navigator.locks.query();
    if (this.#pages.size > 0 || !ownership.alone || !pending.some((lock) => lock.name === this.#lock)) return;
    this.#ownership = undefined;
    this.#release();
    this.#join();
  }

  get #lock() {
    return `mqttdb:owner:${this.#queue}`;
  }

  #tell(epoch) {
    this.#epoch = epoch;
  }

  // told takes what another node says.
  #told(data) {
    if (this.#superseded) return;
    if (this.#ownership) return this.#ownership.told(data);
    const port = this.#pages.get(data.page)?.port;
    switch (data.type) {
      case 'owner':
        this.#heard = performance.now();
        if (this.#epoch === data.epoch) return;
        this.#epoch = data.epoch;
        for (const page of this.#pages.keys()) this.#introduce(page);
        break;
      case 'to':
        port?.postMessage(data.data);
    }
  }

  // introduce makes a page known to the owner.
  #introduce(page) {
    const { settings, opened, login } = this.#pages.get(page);
    this.#channel.postMessage({ type: 'attach', page, settings, opened, login });
  }
}

// Ownership is the part of the node that runs the engine.
class Ownership {
  #queue;
  #wasm;
  #channel;
  #end;
  #changed; // is told each epoch
  #pages = new Map(); // of all nodes: page → {settings, opened, login, to}
  #epoch = '';
  #program; // that is loaded, or is being so
  #engine; // undefined while none is open
  #settings = ''; // that it runs with, as JSON
  #opened = 0; // when the page was that said so
  #good = ''; // settings that have worked
  #under = 0; // how often it is being opened
  #opening = Promise.resolve();
  #asked = new Map(); // who waits for credentials
  #questions = 0;

  constructor(queue, wasm, channel, end, changed) {
    this.#queue = queue;
    this.#wasm = wasm;
    this.#channel = channel;
    this.#end = end;
    this.#changed = changed;
  }

  get alone() {
    return this.#pages.size === 0;
  }

  attach(page, about) {
    this.#pages.set(page, about);
    navigator.locks?.request(`mqttdb:page:${page}`, () => this.detach(page)).catch(() => {});
    about.text = JSON.stringify(about.settings);
    const newer = about.text !== this.#settings && about.opened > this.#opened;
    if (newer || (!this.#engine && this.#under === 0)) {
      // The newest page knows best, and the others go on with what it says.
      this.#settings = about.text;
      this.#opened = Math.max(this.#opened, about.opened);
      this.open();
    } else if (this.#engine) this.#post(page, { type: 'ready', epoch: this.#epoch });
  }

  detach(page) {
    if (this.#pages.delete(page)) this.#engine?.detach(page);
  }

  // open begins with the settings as they are now; one after the other.
  open() {
    this.#under++;
    this.#opening = this.#opening.then(() => this.#open()).finally(() => this.#under--);
  }

  async #open() {
    await this.#close();
    const settings = this.#settings;
    const epoch = `${Date.now()}-${Math.random()}`;
    this.#epoch = epoch;
    try {
      this.#program ??= start(this.#wasm, {
        send: (page, frame) => this.#post(page, { type: 'frame', epoch: this.#epoch, frame }),
        credentials: () => this.#credentials(),
        broken: (why) => this.#end(why),
      });
      const program = await this.#program;
      const failure = await program.open(settings);
      if (failure) return this.#failed(settings, JSON.parse(failure));
      this.#engine = program;
    } catch (error) {
      this.#program = undefined;
      return this.#failed(settings, {
        code: 'failed', message: `the runtime cannot be started: ${error.message}`,
        hint: "check that mqttdb.wasm.gz is served where mqttdb.js is, and that the Content-Security-Policy has 'wasm-unsafe-eval' in script-src",
      });
    }
    this.#good = settings;
    this.#changed(epoch);
    this.#announce();
    for (const page of this.#pages.keys()) this.#post(page, { type: 'ready', epoch });
  }

  // failed tells the pages that asked for it; others go on with what had worked.
  #failed(settings, failure) {
    for (const [page, { text }] of this.#pages) {
      if (text !== settings && this.#good) continue;
      this.#post(page, { type: 'failed', failure });
      this.#pages.delete(page);
    }
    if (this.#good && this.#settings === settings && settings !== this.#good && this.#pages.size > 0) {
      this.#settings = this.#good;
      this.open();
    }
  }

  async #close() {
    const engine = this.#engine;
    this.#engine = undefined;
    this.#epoch = '';
    if (engine) await engine.close(closing);
  }

  // close closes the engine until the next page attaches.
  async close() {
    this.#opened = 0;
    this.#opening = this.#opening.then(() => this.#close());
    await this.#opening;
  }

  redial() {
    this.#engine?.redial();
  }

  hear(page, data) {
    if (data.type === 'credentials') return this.#asked.get(data.id)?.(data);
    if (data.type !== 'frame' || data.epoch !== this.#epoch || !this.#pages.has(page)) return;
    const wrong = this.#engine?.handle(page, data.frame);
    if (wrong) this.#post(page, { type: 'failed', failure: { code: 'failed', message: wrong, hint: 'reload the page' } });
  }

  // told takes what another node says.
  told(data) {
    switch (data.type) {
      case 'who':
        return this.#announce();
      case 'attach':
        return this.attach(data.page, { settings: data.settings, opened: data.opened, login: data.login });
      case 'detach':
        return this.detach(data.page);
      case 'from':
        return this.hear(data.page, data.data);
    }
  }

  #announce() {
    if (this.#engine) this.#channel.postMessage({ type: 'owner', epoch: this.#epoch });
  }

  #post(page, data) {
    const about = this.#pages.get(page);
    if (about?.to) about.to.postMessage(data, data.frame ? [data.frame.buffer] : []);
    else if (about) this.#channel.postMessage({ type: 'to', page, data });
  }

  // credentials asks the page that was opened last of those that know them.
  async #credentials() {
    const pages = [...this.#pages].filter(([, about]) => about.login).sort(([, a], [, b]) => b.opened - a.opened);
    if (pages.length === 0) throw new Error('no page is open that knows username and password');
    const id = ++this.#questions;
    const answer = new Promise((resolve) => this.#asked.set(id, resolve));
    this.#post(pages[0][0], { type: 'credentials', id });
    const { value, error } = await answer;
    this.#asked.delete(id);
    if (error) throw new Error(error);
    return value;
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
