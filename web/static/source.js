// Where the page's data comes from. A source has these methods, and nothing else of the
// page knows about requests; another one (a runtime in this browser) has the same.
//
//   subscribe({message, link}): message(m) with the messages of /api/stream in their
//     order, a hello first and after each interruption; link('live' | 'waiting' |
//     'token'), how it stands. Returns a function that ends it.
//   history(): {step_ms, connections: {name: {first_ms, pending, accepted, sent}}}
//   events(): the latest events, the oldest first
//   messages(connection, queue, after), act(connection, verb, options), requeue and
//     remove(connection, queue, seq), save(connection, queue), demo(verb)
//
// All but subscribe return promises; what is refused is an Error with a hint.

const tokenKey = 'mqttdb.token';
const longestPause = 10_000;

/** The gateway that served the page. */
export class HTTPSource {
  #token = sessionStorage.getItem(tokenKey) ?? '';

  /** Keeps the token until the tab is closed. */
  setToken(token) {
    this.#token = token;
    sessionStorage.setItem(tokenKey, token);
  }

  /** Whether there is one: what is refused then is a wrong one. */
  get hasToken() { return this.#token !== ''; }

  subscribe({ message, link }) {
    let socket, timer, ended = false, pause = 500;
    const open = () => {
      const protocols = ['mqttdb'];
      if (this.#token) protocols.push('mqttdb.token.' + base64url(this.#token));
      socket = new WebSocket(new URL('api/stream', document.baseURI).href.replace(/^http/, 'ws'), protocols);
      socket.onmessage = ({ data }) => {
        const m = JSON.parse(data);
        if (m.type === 'hello') {
          pause = 500;
          link('live');
        }
        message(m);
      };
      // A browser does not say why a WebSocket was refused: a request does.
      socket.onclose = async () => {
        if (ended) return;
        link(await this.#refused() ? 'token' : 'waiting');
        timer = setTimeout(open, pause);
        pause = Math.min(2 * pause, longestPause);
      };
    };
    open();
    return () => {
      ended = true;
      clearTimeout(timer);
      socket.close();
    };
  }

  async #refused() {
    try {
      return (await fetch('api/events?limit=1', { headers: this.#headers() })).status === 401;
    } catch {
      return false;
    }
  }

  history() { return this.#json('GET', 'api/history'); }
  events() { return this.#json('GET', 'api/events?limit=200'); }

  messages(connection, queue, after) {
    return this.#json('GET', `${path(connection)}/messages?${new URLSearchParams({ queue, after, limit: 50 })}`);
  }

  /** verb: clear, pause, resume, compact or drain; options go into the query. */
  act(connection, verb, options = {}) {
    return this.#json('POST', `${path(connection)}/${verb}?${new URLSearchParams(options)}`);
  }

  requeue(connection, queue, seq) {
    return this.#json('POST', `${path(connection)}/messages/${seq}/requeue?${new URLSearchParams({ queue })}`);
  }

  remove(connection, queue, seq) {
    return this.#json('DELETE', `${path(connection)}/messages/${seq}?${new URLSearchParams({ queue })}`);
  }

  demo(verb) { return this.#json('POST', `api/demo/${verb}`); }

  /** Exports a queue as a blob of NDJSON. */
  async save(connection, queue) {
    return (await this.#ask('GET', `${path(connection)}/export?${new URLSearchParams({ queue })}`)).blob();
  }

  async #json(method, url) { return (await this.#ask(method, url)).json(); }

  async #ask(method, url) {
    const response = await fetch(url, { method, headers: this.#headers() });
    if (response.ok) return response;
    const said = await response.json().catch(() => ({}));
    const error = new Error(said.error || `${response.status} ${response.statusText}`);
    error.hint = said.hint ?? '';
    throw error;
  }

  #headers() {
    const headers = { 'X-Mqttdb': '1' };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    return headers;
  }
}

const path = (connection) => `api/connections/${encodeURIComponent(connection)}`;

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
