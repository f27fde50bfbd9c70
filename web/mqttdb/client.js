// What a page has of a queue.
import { Attachment, MqttdbError } from './attach.js';
import * as frames from './frames.js';
import { Subscription } from './subscription.js';

const maxUnstored = 64 << 20; // bytes that may wait to be stored

export class Database {
  #attachment;
  #queue;
  #release; // lets the lock of this page go
  #epoch = ''; // of the engine that we talk to; '': none
  #next = 1; // number of the next request
  #ids = 0; // of the latest publication
  #waiting = new Map(); // requests that are not answered: number → {record, resolve, reject}
  #unstored = 0; // bytes of those
  #out = []; // records for the next frame
  #subscriptions = new Map();
  #login;
  #failure;
  #opened;
  #closing;
  #memory;

  // onstatus, if it is set, is called with each new status.
  onstatus = null;

  constructor(options) {
    const { username, password, sharedWorker = true, persist = true, name = 'mqttdb', wasm, ...settings } = options;
    this.#queue = name;
    this.#memory = settings.durability === 'memory';
    this.#login = { username, password };
    const login = username !== undefined || password !== undefined;
    this.#opened = deferred();
    this.#opened.promise.catch(() => {});
    const page = token();
    const about = {
      page, queue: name, login, opened: Date.now(),
      settings: { ...settings, name, login }, wasm: new URL(wasm ?? new URL('./mqttdb.wasm.gz', import.meta.url), document.baseURI).href,
    };
    if (persist && !this.#memory) navigator.storage?.persist?.().catch(() => {});
    const attach = () => {
      if (!this.#closing) this.#attachment = new Attachment(about, sharedWorker, (data) => this.#hear(data));
    };
    // Held for as long as the page is there, which is how the engine knows.
    if (navigator.locks) {
      navigator.locks.request(`mqttdb:page:${page}`, () => {
        attach();
        return new Promise((release) => (this.#release = release));
      }).catch((error) => this.#hear({ type: 'failed', failure: error instanceof MqttdbError ? error : blocked(error) }));
    } else attach();
    addEventListener('online', () => this.#epoch && this.#call({ op: 'redial' }).catch(() => {}));
  }

  // opened resolves when the queue can be used.
  get opened() {
    return this.#opened.promise;
  }

  publish(topic, payload, { qos = 1, retain = false } = {}) {
    let record, number;
    try {
      number = this.#number();
      record = frames.publish(number, ++this.#ids, String(topic), frames.bytes(payload), qos & 3, retain);
      if (qos !== (qos & 3) || qos === 3) throw new RangeError(`QoS ${qos} (0, 1 or 2 is allowed)`);
      if (this.#unstored + record.length > maxUnstored) throw new MqttdbError({ code: 'busy', message: `${maxUnstored >> 20} MiB wait to be stored`, hint: 'await publish' });
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#ask(number, record).then((seq) => this.#receipt(seq));
  }

  // receipt is what a publisher has of a stored message.
  #receipt(seq) {
    const call = () => this.#call({ op: 'delivered', seq }).then(() => undefined);
    let delivered;
    return {
      seq,
      get delivered() {
        return (delivered ??= call());
      },
    };
  }

  subscribe(filters, options = {}) {
    const id = this.#number();
    const subscription = new Subscription(id, [filters].flat(), options, {
      call: (what) => this.#call(what),
      send: (record) => this.#epoch && this.#send(record),
      ended: () => this.#subscriptions.delete(id),
    });
    this.#subscriptions.set(id, subscription);
    subscription.start();
    return subscription;
  }

  async status() {
    const list = await this.#call({ op: 'status' });
    return this.#described(list);
  }

  async #described(list) {
    const status = list.find((s) => s.name === this.#queue);
    let evictable = true;
    if (!this.#memory) evictable = !(await navigator.storage?.persisted?.().catch(() => false));
    return { ...status, evictable };
  }

  clear({ queue, topic, olderThan } = {}) {
    return this.#call({ op: 'clear', queue, topic, older_than_ms: olderThan }).then((r) => r.cleared);
  }

  async pause() {
    await this.#call({ op: 'pause' });
  }

  async resume() {
    await this.#call({ op: 'resume' });
  }

  async drain({ timeout = 0 } = {}) {
    await this.#call({ op: 'drain', timeout_ms: timeout });
  }

  close() {
    return (this.#closing ??= this.#close());
  }

  async #close() {
    await Promise.allSettled([...this.#waiting.values()].filter((w) => w.publication).map((w) => w.promise));
    await this.#attachment?.close();
    this.#release?.();
    const closed = new MqttdbError({ code: 'closed', message: 'closed' });
    this.#fail(closed);
    for (const subscription of [...this.#subscriptions.values()]) subscription.finish();
  }

  #number() {
    const number = this.#next;
    this.#next = (this.#next % 0xffffffff) + 1;
    return number;
  }

  #call(what) {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = this.#number();
    return this.#ask(number, frames.call(number, what), what.op !== 'subscribe' && what.op !== 'leave', what.seq);
  }

  // ask sends a request, and sends it again to the next engine if this one is lost.
  #ask(number, record, again = true, seq = 0) {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#closing) return Promise.reject(new MqttdbError({ code: 'closed', message: 'closed' }));
    const answer = deferred();
    const { promise, resolve, reject } = answer;
    this.#waiting.set(number, { record, again, publication: record[0] === 1, seq, promise, resolve, reject });
    this.#unstored += record.length;
    if (this.#epoch) this.#send(record);
    return answer.promise;
  }

  #answer(number) {
    const request = this.#waiting.get(number);
    if (request) {
      this.#waiting.delete(number);
      this.#unstored -= request.record.length;
    }
    return request;
  }

  // send puts a record into the frame that leaves when the page's script pauses.
  #send(record) {
    if (this.#out.push(record) === 1) queueMicrotask(() => this.#flush());
  }

  #flush() {
    const records = this.#out;
    this.#out = [];
    if (!this.#epoch || records.length === 0) return;
    const frame = frames.join(records);
    this.#attachment.post({ type: 'frame', epoch: this.#epoch, frame }, [frame.buffer]);
  }

  #fail(error) {
    for (const number of [...this.#waiting.keys()]) this.#answer(number).reject(error);
  }

  #hear(data) {
    switch (data.type) {
      case 'ready':
        return this.#ready(data.epoch);
      case 'frame':
        if (data.epoch === this.#epoch) for (const r of frames.read(data.frame)) this.#take(r);
        return;
      case 'credentials':
        return this.#credentials(data.id);
      case 'failed': {
        const error = new MqttdbError(data.failure);
        this.#epoch = '';
        this.#failure = error;
        this.#opened.reject(error);
        this.#fail(error);
        for (const subscription of [...this.#subscriptions.values()]) subscription.finish(error);
        return;
      }
      case 'lost':
        this.#epoch = '';
    }
  }

  // ready begins with an engine: what was not answered by the one before is asked again,
  // in its order.
  #ready(epoch) {
    if (this.#epoch === epoch) return;
    this.#epoch = epoch;
    this.#failure = undefined;
    this.#out = [];
    if (this.#memory) {
      const lost = new MqttdbError({ code: 'interrupted', message: 'the Worker was lost, and what it had in memory' });
      for (const [number, { seq }] of [...this.#waiting]) if (seq > 0) this.#answer(number).reject(lost);
    }
    for (const [number, { again }] of [...this.#waiting]) if (!again) this.#answer(number).resolve(null);
    for (const { record } of this.#waiting.values()) this.#send(record);
    for (const subscription of this.#subscriptions.values()) subscription.start();
    this.#flush();
    this.#opened.resolve(this);
  }

  #take(r) {
    switch (r.kind) {
      case frames.Stored:
        return this.#answer(r.number)?.resolve(r.seq);
      case frames.Result:
        return this.#answer(r.number)?.resolve(r.value);
      case frames.Failed:
        return this.#answer(r.number)?.reject(new MqttdbError(r.value));
      case frames.Delivery:
        return this.#subscriptions.get(r.number)?.take(r);
      case frames.Ended:
        // What ends with an engine goes on with the next one.
        if (r.value.code !== 'closed') this.#subscriptions.get(r.number)?.finish(new MqttdbError(r.value));
        return;
      case frames.Status:
        if (this.onstatus) this.#described(r.value).then((s) => this.onstatus?.(s));
    }
  }

  async #credentials(id) {
    const value = async (v) => (typeof v === 'function' ? v() : v);
    try {
      const { username, password } = this.#login;
      const pair = [await value(username), await value(password)];
      this.#attachment.post({ type: 'credentials', id, value: pair });
    } catch (error) {
      this.#attachment.post({ type: 'credentials', id, error: `the page does not say how to greet the broker: ${error?.message ?? error}` });
    }
  }
}

// blocked describes that the browser gives the page no locks, and then no storage either.
function blocked(error) {
  return {
    code: 'store', message: `the browser lets this page store nothing: ${error?.message ?? error}`,
    hint: 'allow it cookies and site data',
  };
}

function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

// token names a page; insecure origins have no randomUUID.
function token() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');
}
