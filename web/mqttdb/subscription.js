// Messages from the broker, as an async iterator.
import { Ack, Again, more, Never, settle } from './frames.js';

export class Subscription {
  #id;
  #what;
  #bridge; // {call, send, ended}
  #window;
  #turn = 0; // counts engines: deliveries of an earlier one cannot be answered
  #ready = []; // deliveries that wait
  #owed = 0; // deliveries to ask for
  #takers = []; // calls of next that wait
  #over = false;
  #error;

  constructor(id, filters, { qos, name = '', window = 64, ackWait = 0 } = {}, bridge) {
    this.#id = id;
    this.#window = window;
    this.#what = { op: 'subscribe', subscription: id, filters, qos, name, window: name ? window : 0, ack_wait_ms: ackWait };
    this.#bridge = bridge;
  }

  // start asks an engine for it.
  start() {
    this.#turn++;
    this.#ready = [];
    this.#owed = 0;
    this.#bridge.call(this.#what).catch((error) => this.finish(error));
    this.#bridge.send(more(this.#id, this.#window));
  }

  take({ delivery, kind, number, ...message }) {
    const turn = this.#turn;
    const answer = (how) => {
      if (turn === this.#turn && !this.#over) this.#bridge.send(settle(this.#id, delivery, how));
    };
    message.ack = () => answer(Ack);
    message.nak = () => answer(Again);
    message.term = () => answer(Never);
    message.text = () => new TextDecoder().decode(message.payload);
    message.json = () => JSON.parse(message.text());
    const taker = this.#takers.shift();
    if (taker) this.#hand(taker, message);
    else this.#ready.push(message);
  }

  #hand(taker, message) {
    if (++this.#owed >= this.#window / 2) {
      this.#bridge.send(more(this.#id, this.#owed));
      this.#owed = 0;
    }
    taker.resolve({ value: message, done: false });
  }

  // finish ends it; with an error next rejects once.
  finish(error) {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#bridge.ended();
    for (const taker of this.#takers.splice(0)) this.#end(taker);
  }

  #end(taker) {
    const error = this.#error;
    this.#error = undefined;
    if (error) taker.reject(error);
    else taker.resolve({ value: undefined, done: true });
  }

  next() {
    return new Promise((resolve, reject) => {
      const taker = { resolve, reject };
      if (this.#ready.length > 0) this.#hand(taker, this.#ready.shift());
      else if (this.#over) this.#end(taker);
      else this.#takers.push(taker);
    });
  }

  // return ends it here: what a named one has not got waits for the next who subscribes
  // with that name.
  async return() {
    if (!this.#over) {
      this.finish();
      this.#ready = [];
      await this.#bridge.call({ op: 'leave', subscription: this.#id }).catch(() => {});
    }
    return { value: undefined, done: true };
  }

  close() {
    return this.return().then(() => undefined);
  }

  // unsubscribe ends it for good.
  async unsubscribe() {
    this.finish();
    this.#ready = [];
    await this.#bridge.call({ op: 'unsubscribe', subscription: this.#id });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
