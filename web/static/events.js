import { make } from './dom.js';
import { clock } from './format.js';

const most = 200;

/** The latest events, the newest first. */
export class Events {
  #list = document.getElementById('event-list');
  #last = 0;

  /** Adds an event, unless it is shown already. */
  add(event) {
    if (event.id <= this.#last) return;
    this.#last = event.id;
    this.#list.prepend(make('li', { 'data-kind': event.kind },
      make('time', { datetime: new Date(event.at).toISOString() }, clock(event.at)),
      make('span', {}, make('b', {}, event.connection), ` ${event.text || event.kind}`, ...(event.hint ? [make('span', { class: 'muted' }, ` ${event.hint}`)] : []))));
    while (this.#list.children.length > most) this.#list.lastChild.remove();
  }

  /** Forgets what is shown: the numbers begin anew when a gateway is started anew. */
  clear() {
    this.#last = 0;
    this.#list.replaceChildren();
  }
}
