import { data, make, show, text } from './dom.js';
import { bytes, count, plural, rate, span } from './format.js';

const words = {
  offline: 'Offline', connecting: 'Connecting', online: 'Online', stalled: 'Stalled',
  backoff: 'Waiting to retry', paused: 'Paused', refused: 'Refused',
};

/** The state of a connection in words. */
export function stateOf(status) {
  const state = status.orphan ? 'Orphan' : words[status.state] ?? status.state;
  return cannotStore(status) ? `${state}, cannot store` : isFull(status) ? `${state}, full` : state;
}

const cannotStore = ({ outgoing, incoming }) => Boolean(outgoing.trouble || incoming.trouble);
const isFull = ({ outgoing, incoming }) => Boolean(outgoing.full || incoming.full);

/** Whether it is what waits for local clients, which is no connection and cannot be paused or drained. */
export const isLocal = (name) => name.startsWith('_');

/** What somebody should look at: of the queues, and last of the link. */
export const troublesOf = ({ outgoing, incoming, last_error }) => [outgoing.trouble, incoming.trouble, outgoing.full, incoming.full, last_error].filter(Boolean);

/** What Clear forgets: what is pending; of an orphan all, dead letters too. */
export function clearable({ orphan, outgoing, incoming }) {
  const queues = orphan ? [outgoing, incoming] : [outgoing];
  const sum = (of) => queues.reduce((n, q) => n + of(q), 0);
  return { count: sum((q) => q.pending + (orphan ? q.dead_pending : 0)), bytes: sum((q) => q.bytes) };
}

/** The list of connections: a row each, made once and changed where it has to be. */
export class List {
  #rows = new Map();
  #list = document.getElementById('list');
  #model;
  #clear;

  /** clear(name) is called for the button Clear of a row. */
  constructor(model, clear) {
    this.#model = model;
    this.#clear = clear;
  }

  /** Shows the named connections as they are, in the order of the model. */
  show(names, selected, filter, now) {
    for (const [name, row] of this.#rows) {
      if (this.#model.connections.has(name)) continue;
      row.item.remove();
      this.#rows.delete(name);
    }
    let before = null;
    for (const name of this.#model.order) {
      const row = this.#rows.get(name) ?? this.#add(name);
      const place = before ? before.nextSibling : this.#list.firstChild;
      if (row.item !== place) this.#list.insertBefore(row.item, place);
      before = row.item;
      show(row.item, name.toLowerCase().includes(filter));
      if (names.has(name)) this.#update(row, this.#model.connections.get(name));
      this.#age(row, this.#model.connections.get(name), now);
      const current = name === selected ? 'true' : 'false';
      if (row.link.getAttribute('aria-current') !== current) row.link.setAttribute('aria-current', current);
    }
  }

  #add(name) {
    const part = (name_, ...children) => make('span', { class: name_ }, ...children);
    const row = { state: part('words'), since: part('muted'), trouble: part('trouble'), pending: part('number'), size: part('muted'), oldest: part(''), rates: part('cell rates'), broker: part('muted broker') };
    row.link = make('a', { class: 'name', href: `#connection=${encodeURIComponent(name)}` }, name);
    row.clear = make('button', { type: 'button', class: 'quiet', 'aria-label': `Clear ${name}`, click: () => this.#clear(name) }, 'Clear');
    row.item = make('li', {},
      part('cell who', row.link, row.broker),
      part('cell state', make('span', { class: 'dot', 'aria-hidden': 'true' }), part('', row.state, ' ', row.since)),
      part('cell pending', row.pending, make('span', { class: 'unit' }, ' pending '), row.size),
      part('cell oldest', row.waiting = part('unit'), row.oldest), row.rates, row.clear, row.trouble);
    row.item.dataset.connection = name;
    this.#rows.set(name, row);
    return row;
  }

  #update(row, status) {
    const { outgoing: out } = status;
    data(row.item, 'state', status.orphan ? 'orphan' : status.state);
    text(row.broker, status.orphan ? 'in no configuration' : isLocal(status.name) ? 'for local clients' : status.broker);
    text(row.state, stateOf(status));
    text(row.pending, out.unread ? 'unknown' : count(out.pending));
    text(row.size, out.pending ? bytes(out.bytes) : '');
    data(row.item, 'stores', String(!cannotStore(status) && !isFull(status)));
    data(row.item, 'empty', String(out.pending === 0));
    const troubles = troublesOf(status);
    const link = [status.last_error && troubles.pop(), status.hint].filter(Boolean).join(' · ');
    text(row.trouble, [...troubles, link].filter(Boolean).join('\n'));
    show(row.trouble, row.trouble.textContent !== '');
    row.clear.disabled = clearable(status).count === 0;
  }

  #age(row, status, now) {
    const { oldest } = status.outgoing;
    const { in: into, out } = this.#model.rates(status.name);
    const next = status.next_attempt && Date.parse(status.next_attempt) - now;
    text(row.since, next > 0 ? `next try in ${span(next)}` : Date.parse(status.since) > 0 ? `for ${span(now - Date.parse(status.since))}` : '');
    const waits = oldest && status.outgoing.pending;
    text(row.waiting, waits ? 'oldest ' : '');
    text(row.oldest, waits ? span(now - Date.parse(oldest)) : '');
    text(row.rates, `${rate(into)} in · ${rate(out)} out`);
  }
}

/** What is to be said of all of them: a line above the list, and the title of the tab. */
export function summary(statuses) {
  let pending = 0, away = 0, known = 0, orphans = 0, stuck = 0;
  for (const status of statuses) {
    pending += status.outgoing.pending;
    if (cannotStore(status) || isFull(status)) stuck++;
    if (status.orphan) orphans++;
    if (status.orphan || isLocal(status.name)) continue; // no connection
    known++;
    if (status.state !== 'online') away++;
  }
  const links = known === 1 ? (away ? 'not online' : 'online') : away ? `${count(away)} of ${count(known)} not online` : `all ${count(known)} online`;
  const line = [known && links, stuck && `${count(stuck)} full or without a disk`, orphans && plural(orphans, 'orphan'), `${plural(pending, 'message')} pending`];
  return { line: line.filter(Boolean).join(' · '), title: `${away || stuck ? '⚠ ' : ''}${pending ? `${count(pending)} pending · ` : ''}mqttdb` };
}
