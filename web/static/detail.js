import { data, make, show, text } from './dom.js';
import { bytes, clock, count, date, rate, span } from './format.js';
import { clearable, isLocal, stateOf, troublesOf } from './list.js';
import { Browser } from './messages.js';

/** One connection with all that is known of it, and what can be done to it. */
export class Detail {
  #root = document.getElementById('detail');
  #do;
  #source;
  #name = '';
  #facts = new Map(); // label: its dd
  #browser;
  #parts = {};

  /** run(verb, name) does what a button says. */
  constructor(source, run) {
    this.#source = source;
    this.#do = run;
  }

  get name() { return this.#name; }

  /** Opens a connection, and takes the focus there; '' closes. */
  open(name) {
    if (name === this.#name) return;
    this.#name = name;
    this.#facts.clear();
    this.#root.replaceChildren();
    show(this.#root, name !== '');
    if (name) this.#build(name);
  }

  #build(name) {
    const button = (verb, label, kind = '') => make('button', { type: 'button', class: kind, click: () => this.#do(verb, name) }, label);
    this.#parts = {
      state: make('p', { class: 'pill' }), trouble: make('p', { class: 'callout' }), hint: make('p', { class: 'hint' }),
      facts: make('dl', {}), pause: button('pause', 'Pause'), resume: button('resume', 'Resume'), drain: button('drain', 'Drain'), compact: button('compact', 'Compact'),
      clear: button('clear', 'Clear…', 'danger'), safe: make('p', { class: 'safe' }),
    };
    const p = this.#parts;
    p.actions = make('div', { class: 'actions', role: 'group', 'aria-label': 'Actions' }, p.pause, p.resume, p.drain, p.compact, p.clear);
    const title = make('h2', { id: 'detail-title', tabindex: '-1' }, name);
    this.#browser = new Browser(this.#source, name, (error) => this.#do('failed', name, error), (what) => this.#do('confirm', name, what));
    this.#root.append(
      make('div', { class: 'bar' }, title, p.state, make('a', { class: 'close', href: '#', 'aria-label': `Close ${name}` }, 'Close')),
      p.trouble, p.hint, p.safe,
      p.actions, p.facts, this.#browser.root);
    title.focus({ preventScroll: false });
  }

  /** Shows the status of the open connection. */
  show(status, rates, now) {
    const p = this.#parts;
    const out = status.outgoing;
    text(p.state, stateOf(status));
    data(p.state, 'state', status.orphan ? 'orphan' : status.state);
    text(p.trouble, troublesOf(status).join('\n'));
    show(p.trouble, p.trouble.textContent !== '');
    text(p.hint, status.hint ?? '');
    show(p.hint, Boolean(status.hint));
    const linked = !isLocal(status.name) && !status.orphan;
    show(p.pause, status.state !== 'paused' && linked);
    show(p.resume, status.state === 'paused');
    show(p.drain, linked);
    p.clear.disabled = clearable(status).count === 0;
    for (const part of [p.compact, this.#browser.root]) show(part, !status.orphan);
    const safe = safety(status);
    text(p.safe, safe.text);
    data(p.safe, 'safe', String(safe.safe));

    const ago = (time) => (time && Date.parse(time) > 0 ? span(now - Date.parse(time)) : '');
    const net = rates.out - rates.in;
    this.#fact('Broker', status.broker);
    this.#fact('State since', Date.parse(status.since) > 0 ? `${date(status.since)} (${ago(status.since)})` : '');
    this.#fact('Next attempt', status.next_attempt ? `${clock(status.next_attempt)} (in ${span(Date.parse(status.next_attempt) - now)})` : '');
    this.#queue('', out, ago);
    this.#fact('In, out', `${rate(rates.in)} / s in, ${rate(rates.out)} / s out`);
    this.#fact('Time to drain', out.pending === 0 ? 'nothing to drain' : net > 0.01 ? `about ${span((out.pending / net) * 1000)}` : status.state === 'online' ? 'not at this rate' : 'not while it is not online');
    const incoming = status.incoming;
    if (incoming.accepted || incoming.pending) this.#queue('Incoming: ', incoming, ago);
    if (status.clients) this.#fact('Clients', `${count(status.clients.connected)} connected, ${count(status.clients.received)} received, ${count(status.clients.delivered)} delivered, ${count(status.clients.dropped)} dropped, ${count(status.clients.turned_away)} turned away${reasons(status.clients.refused)}`);
    this.#browser.changed(status);
  }

  #queue(prefix, q, ago) {
    const fact = (label, value) => this.#fact(prefix ? prefix + label.toLowerCase() : label, value);
    fact('Pending', q.unread ? 'unknown' : `${count(q.pending)} (${bytes(q.bytes)}), ${count(q.in_flight)} in flight`);
    fact('Oldest', q.pending ? ago(q.oldest) : '');
    fact('Accepted', `${count(q.accepted)}, of these ${count(q.sent)} sent`);
    fact('Dropped', q.dropped ? `${count(q.dropped)}${reasons(q.dropped_by)}` : '');
    fact('Gone otherwise', ['expired', 'cleared', 'dead', 'quarantined'].filter((k) => q[k]).map((k) => `${count(q[k])} ${k}`).join(', '));
    fact('Refused', q.refused ? `${count(q.refused)}${reasons(q.refused_by)}` : '');
    fact('Limits', q.limits ? [q.limits.max_messages && `${count(q.limits.max_messages)} messages`, q.limits.max_bytes && bytes(q.limits.max_bytes), `then ${q.limits.overflow.replace('_', ' ')}`].filter(Boolean).join(', ') : '');
    fact('On disk', `${bytes(q.disk_bytes)}${q.last_compaction ? `, compacted ${ago(q.last_compaction)} ago` : ''}`);
    fact('Duplicates', q.duplicates_possible ? 'possible since the last crash' : '');
    fact('Time away', q.downtime_unknown ? 'unknown: ages may be too small' : '');
  }

  #fact(label, value) {
    let value_ = this.#facts.get(label);
    if (!value_) { // also of what is not known yet, so that each has its place
      value_ = make('dd');
      this.#facts.set(label, value_);
      this.#parts.facts.append(make('div', {}, make('dt', {}, label), value_));
    }
    text(value_, value);
    show(value_.parentElement, value !== '');
  }
}

/** Whether the machine may be switched off without anything left to be sent. */
export function safety(status) {
  const queues = [status.outgoing, status.incoming];
  if (queues.some((q) => q.trouble || q.unread)) return { safe: false, text: 'Look at the trouble before you power off.' };
  const left = queues.reduce((sum, q) => sum + q.pending + q.in_flight, 0);
  return left === 0 ? { safe: true, text: 'Safe to power off: nothing is waiting.' } : { safe: false, text: `Not empty: ${count(queues.reduce((sum, q) => sum + q.pending, 0))} waiting here to be delivered.` };
}

function reasons(by) {
  const list = Object.entries(by ?? {}).filter(([, n]) => n).map(([reason, n]) => `${count(n)} ${reason.replaceAll('_', ' ')}`);
  return list.length ? ` (${list.join(', ')})` : '';
}
