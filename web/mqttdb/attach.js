// Finds the Worker that has a queue, and notices when it is gone.
const patience = 8000; // ms that a Worker has to answer
const oldAge = 10_000; // ms that a Worker lives if nothing is wrong with it
const longest = 10_000; // ms between two Workers, at most
const beat = 2000; // ms between two looks at it, where there are no locks

export class MqttdbError extends Error {
  constructor({ code, message, hint }) {
    super(hint ? `${message} (${hint})` : message);
    this.name = 'MqttdbError';
    this.code = code;
    this.hint = hint ?? '';
  }
}

// base is where this file and what belongs to it are served. Bundlers take what is written
// as new URL(…, import.meta.url) for a file of their own, which is meant further down only.
const here = import.meta.url;
const base = new URL('.', here);
const sameOrigin = base.origin === globalThis.location?.origin;

// spawn starts a Worker, or finds the SharedWorker that is there, and returns how to talk to it.
function spawn(shared) {
  if (shared && sameOrigin && 'SharedWorker' in globalThis) {
    const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'mqttdb' });
    return { worker, port: worker.port, end: () => worker.port.close() };
  }
  if (!navigator.locks) {
    throw new MqttdbError({
      code: 'insecure', message: 'this page did not come by https, and the browser has no SharedWorker for it: two tabs could not be kept apart',
      hint: 'serve the page by https, or from localhost',
    });
  }
  if (sameOrigin) {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'mqttdb' });
    return { worker, port: worker, end: () => worker.terminate() };
  }
  // A Worker has to come from the origin of the page: this one does, and loads the other.
  const source = URL.createObjectURL(new Blob([`import ${JSON.stringify(new URL('./worker.js', base).href)};`], { type: 'text/javascript' }));
  const worker = new Worker(source, { type: 'module', name: 'mqttdb' });
  return { worker, port: worker, end: () => { worker.terminate(); URL.revokeObjectURL(source); } };
}

// Attachment is a page's way to the runtime. It calls hear for what comes from there, and
// begins again with another Worker when this one is gone.
export class Attachment {
  #about;
  #hear;
  #shared;
  #port;
  #end = () => {};
  #closed = false;
  #turn = 0; // counts Workers
  #young = 0; // Workers in a row that have died young
  #answered = 0; // the latest Worker that was heard of

  constructor(about, shared, hear) {
    this.#about = about;
    this.#shared = shared;
    this.#hear = hear;
    this.#begin();
    addEventListener('pagehide', (event) => {
      if (!event.persisted && !navigator.locks) this.#port?.postMessage({ type: 'detach' });
    });
  }

  post(data, transfer = []) {
    this.#port?.postMessage(data, transfer);
  }

  #begin() {
    if (this.#closed) return;
    const turn = ++this.#turn;
    const began = performance.now();
    const again = (why) => {
      if (turn !== this.#turn || this.#closed) return;
      this.#turn++;
      this.#end();
      this.#hear({ type: 'lost', why });
      // At once the first time; a Worker that dies young again and again is given time.
      this.#young = performance.now() - began < oldAge ? this.#young + 1 : 0;
      setTimeout(() => this.#begin(), this.#young < 2 ? 0 : Math.min(longest, 100 * 2 ** this.#young));
    };
    let spawned;
    try {
      spawned = spawn(this.#shared);
    } catch (error) {
      this.#hear({ type: 'failed', failure: error instanceof MqttdbError ? error : { code: 'failed', message: String(error) } });
      return;
    }
    const { worker, port, end } = spawned;
    this.#port = port;
    let watch;
    this.#end = () => {
      clearInterval(watch);
      port.onmessage = null;
      end();
    };
    const tooLate = setTimeout(() => again('it does not answer'), patience);
    worker.onerror = (event) => {
      event.preventDefault?.();
      clearTimeout(tooLate);
      if (turn !== this.#turn || this.#closed) return;
      // One that never answered would not answer the next time either.
      if (this.#answered < turn) this.#hear({ type: 'failed', failure: { code: 'failed', message: `the Worker cannot be started: ${event.message ?? 'the browser does not say why'}`, hint: 'check that the files of mqttdb/ are served beside mqttdb.js, as text/javascript, and that the Content-Security-Policy allows them in worker-src' } });
      else again(event.message ?? 'it failed');
    };
    port.onmessage = ({ data }) => {
      if (turn !== this.#turn) return;
      switch (data.type) {
        case 'hello':
          clearTimeout(tooLate);
          this.#answered = turn;
          if (navigator.locks) navigator.locks.request(`mqttdb:worker:${data.worker}`, () => again('it is gone')).catch(() => {});
          else watch = this.#ask(port, again);
          break;
        case 'gone':
          again(data.why);
          break;
        case 'pong':
          break;
        default:
          this.#hear(data);
      }
      this.#last = performance.now();
    };
    port.postMessage({ type: 'attach', ...this.#about });
  }

  #last = 0;

  // ask finds out that a Worker is gone where there are no locks.
  #ask(port, again) {
    let silent = 0;
    let before = this.#last;
    return setInterval(() => {
      silent = this.#last === before ? silent + 1 : 0;
      before = this.#last;
      if (silent > 3) again('it does not answer');
      else port.postMessage({ type: 'ping' });
    }, beat);
  }

  // close leaves the Worker, once it has heard of that.
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    const port = this.#port;
    if (port) {
      const left = new Promise((resolve) => {
        port.onmessage = ({ data }) => data.type === 'detached' && resolve();
        setTimeout(resolve, 5000);
      });
      port.postMessage({ type: 'detach' });
      await left;
    }
    this.#end();
  }
}
