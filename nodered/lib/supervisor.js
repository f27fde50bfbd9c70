'use strict';

const { EventEmitter } = require('events');
const crypto = require('crypto');
const { TYPE, FLAG, encode } = require('./frame');
const { Link } = require('./link');
const { Window } = require('./window');
const { Consumer } = require('./consumer');

const CREDIT = 64; // messages that a consumer may be given before it has handled them
const WINDOW_BYTES = 16 << 20; // what may be under way to the sidecar; WELCOME may say less
const RETRY_FIRST = 100, RETRY_MOST = 5000; // ms between starts of a sidecar, and between attempts to open a broker
const LINGER = 3000; // ms that a broker without nodes goes on: a redeploy is shorter
const OVERHEAD = 64; // bytes of an entry beside its frame

/** Refusal is an error of the sidecar: `code` as in the protocol; the message has the hint. */
class Refusal extends Error {
    constructor({ code, text, hint }) {
        super(hint ? `${text}: ${hint}` : text);
        this.code = code;
    }
}

/**
 * Keeps one sidecar running while brokers are open, and all that is said to it: it outlives nodes, the WebSocket and the
 * sidecar itself. One for each process. Events: `status`, after `brokers`, `orphans` or `problem` have changed.
 */
class Supervisor extends EventEmitter {
    /**
     * @param {{dataDir: string, start: (on: {onExit: (err: Error) => void}) => object, linger?: number}} options
     *   start: starts a sidecar, see startSidecar; it may throw
     */
    constructor({ dataDir, start, linger = LINGER }) {
        super();
        this.setMaxListeners(0); // one for each node
        this.dataDir = dataDir;
        this.start = start;
        this.linger = linger;
        this.session = crypto.randomBytes(16).toString('hex');
        this.open_ = new Map(); // b -> {b, connection (Buffer), users, opened, resume, retry, timer}
        this.consumers = new Map(); // b/c -> Consumer
        this.window = new Window(WINDOW_BYTES);
        this.requests = new Map(); // seq -> {resolve, reject}
        this.requestSeq = 0;
        this.acks = new Map(); // Consumer -> seq, to be told at the end of this turn
        this.brokers = new Map(); // b -> as in STATUS
        this.orphans = [];
        this.problem = null; // Error: why there is no sidecar
        this.delay = RETRY_FIRST;
        this.idle = null;
        this.child = null;
        this.link = null;
        this.ready = false;
    }

    /** Opens broker b, or changes it. @param {object} connection payload of OPEN @returns {Promise<object>} RESULT's value */
    open(b, connection) {
        clearTimeout(this.idle);
        let broker = this.open_.get(b);
        if (!broker) {
            broker = { b, opened: false, resume: false, delay: RETRY_FIRST, timer: null };
            this.open_.set(b, broker);
        }
        clearTimeout(broker.timer);
        broker.connection = Buffer.from(JSON.stringify(connection));
        broker.notes = new Promise((resolve, reject) => { broker.told = { resolve, reject }; });
        broker.notes.catch(() => {});
        if (this.ready) this.#open(broker);
        else this.#run();
        return broker.notes;
    }

    /** Its nodes are gone: b goes on for the linger time (a redeploy opens it again), or ends now with `end`. */
    detach(b, { end = false } = {}) {
        const broker = this.open_.get(b);
        if (!broker) return;
        clearTimeout(broker.timer);
        broker.opened = false;
        if (this.ready) this.#say({ type: end ? TYPE.CLOSE : TYPE.DETACH, header: { b } });
        const gone = () => {
            this.open_.delete(b);
            this.window.fail(b, new Error('the broker node was removed'));
            for (const [key, consumer] of this.consumers) if (consumer.b === b) this.consumers.delete(key);
            if (this.open_.size === 0) {
                this.idle = setTimeout(() => this.#stop(), this.linger);
                this.idle.unref();
            }
        };
        if (end) return gone();
        broker.timer = setTimeout(gone, this.linger);
        broker.timer.unref();
    }

    /** Says whether b is to be connected. @returns {Promise<void>} */
    connect(b, on) {
        return this.request({ type: on ? TYPE.CONNECT : TYPE.DISCONNECT, header: { b } });
    }

    /**
     * Publishes a message: done(err) once it is durable, or refused.
     * @param {{b: string, t: string, q: number, r: boolean, p?: object}} header
     * @param {Buffer} payload which must not change afterwards
     */
    publish(header, payload, done) {
        const broker = this.open_.get(header.b);
        if (!broker) return done(new Error('the broker node is not open'));
        const entry = { b: header.b, seq: 0, header, payload, size: payload.length + header.t.length + OVERHEAD, done };
        if (!this.window.hasRoom(entry.size)) {
            return done(Object.assign(new Error(this.problem
                ? `too much waits for the mqttdb program: ${this.problem.message}`
                : 'messages come faster than they can be stored: wait for done (the complete node) before the next'), { code: 'window' }));
        }
        if (!this.ready || !broker.opened) return this.window.hold(entry);
        this.window.send(entry);
        this.#put(entry, broker);
    }

    /**
     * Makes consumer c of b receive what topics select, and nothing else. Call it again to change the topics.
     * @param {{topic: string, qos: number}[]} topics
     * @param {(header: object, payload: Buffer) => void} handler
     * @returns {Promise<void>}
     */
    async subscribe(b, c, topics, handler) {
        const key = `${b}/${c}`;
        let consumer = this.consumers.get(key);
        if (!consumer) this.consumers.set(key, consumer = new Consumer(b, c));
        const wanted = new Map(topics.map((t) => [t.topic, t]));
        const gone = [...consumer.topics.keys()].filter((topic) => !wanted.has(topic));
        consumer.topics = wanted;
        const seq = consumer.attach(handler);
        if (seq) this.#ack(consumer, seq);
        const broker = this.open_.get(b);
        if (!this.ready || !broker || !broker.opened) return;
        const again = consumer.subscribed;
        if (wanted.size) await this.#subscribe(consumer);
        if (again && gone.length) await this.request({ type: TYPE.UNSUB, header: { b, c }, payload: json({ topics: gone }) });
    }

    /** The node of consumer c is gone; with `end` for good, else what comes waits for the next. */
    unsubscribe(b, c, { end = false } = {}) {
        const consumer = this.consumers.get(`${b}/${c}`);
        if (!consumer) return;
        consumer.handler = null;
        if (!end) return;
        this.consumers.delete(`${b}/${c}`);
        const broker = this.open_.get(b);
        if (this.ready && broker && broker.opened) this.#say({ type: TYPE.UNSUB, header: { b, c } });
    }

    /** Forgets what is pending: what as CLEAR has it. @returns {Promise<{cleared: number}>} */
    clear(b, what) {
        return this.request({ type: TYPE.CLEAR, header: { b, what } });
    }

    /** Sends a request; `at` gets the value before any later frame is looked at. @returns {Promise<object>} RESULT's value */
    request(frame, at = () => {}) {
        if (!this.ready) return Promise.reject(this.problem || new Error('the mqttdb program is not running yet'));
        return new Promise((resolve, reject) => {
            const seq = ++this.requestSeq;
            this.requests.set(seq, { resolve(value) { at(value); resolve(value); }, reject });
            this.link.send(encode({ ...frame, seq }));
        });
    }

    /** Ends the sidecar and all timers. */
    close() {
        for (const broker of this.open_.values()) clearTimeout(broker.timer);
        for (const b of [...this.open_.keys()]) this.window.fail(b, new Error('Node-RED is stopping'));
        this.open_.clear();
        this.consumers.clear();
        clearTimeout(this.idle);
        this.#stop();
    }

    #stop() {
        clearTimeout(this.retry);
        this.retry = null;
        const { child, link } = this;
        this.child = this.link = null;
        this.ready = false;
        if (link) link.end();
        if (child) child.stop();
        for (const request of this.requests.values()) request.reject(new Error('the mqttdb program was stopped'));
        this.requests.clear();
        for (const consumer of this.consumers.values()) consumer.lost();
        this.brokers.clear();
    }

    #run() {
        if (this.child || this.retry) return;
        let child;
        try {
            child = this.child = this.start({ onExit: (err) => { if (this.child === child) this.#down(err); } });
        } catch (err) {
            return this.#down(err);
        }
        child.address.then(({ address, token }) => { if (this.child === child) this.#dial(address, token); },
            (err) => { if (this.child === child) this.#down(err); });
    }

    #dial(address, token) {
        const link = this.link = new Link({ address, hello: { version: 1, session: this.session, data_dir: this.dataDir, token, linger_ms: this.linger } });
        link.on('welcome', ({ header }) => this.#welcome(header));
        link.on('frame', (frame) => this.#receive(frame));
        link.on('close', (err) => { if (this.link === link) this.#down(err); });
    }

    // The sidecar, or the way to it, is gone: another is started, after a while.
    #down(err) {
        const child = this.child;
        this.#stop();
        if (child) child.stop();
        for (const broker of this.open_.values()) broker.opened = false;
        if (this.open_.size === 0) return;
        this.problem = err;
        this.emit('status');
        this.retry = setTimeout(() => { this.retry = null; this.#run(); }, this.delay);
        this.retry.unref();
        this.delay = Math.min(2 * this.delay, RETRY_MOST);
    }

    async #welcome(header) {
        this.ready = true;
        this.problem = null;
        this.delay = RETRY_FIRST;
        this.window.limit = Math.min(header.window_bytes || WINDOW_BYTES, WINDOW_BYTES);
        const { link } = this;
        // What was sent keeps its seqs, and their order goes over all brokers: all are opened first.
        await Promise.all([...this.open_.values()].map((broker) => this.#open(broker, true)));
        if (this.link !== link) return;
        for (const broker of this.open_.values()) if (!broker.accepted) this.window.takeBack(broker.b);
        for (const entry of this.window.sent.values()) this.#put(entry, null);
        for (const broker of this.open_.values()) if (broker.accepted) this.#opened(broker);
        this.emit('status');
    }

    // Opens broker; with `later` the caller goes on once all are.
    async #open(broker, later = false) {
        const { link } = this;
        const { told } = broker;
        broker.accepted = false;
        try {
            const value = await this.request({ type: TYPE.OPEN, header: { b: broker.b }, payload: broker.connection });
            if (this.link !== link || this.open_.get(broker.b) !== broker) return;
            broker.accepted = true;
            broker.problem = null;
            broker.delay = RETRY_FIRST;
            told.resolve(value);
            if (!later) this.#opened(broker);
        } catch (err) {
            if (this.link !== link || this.open_.get(broker.b) !== broker) return;
            broker.problem = err;
            told.reject(err);
            // Another process may still be ending, or a disk come back: in order, so what waits goes on waiting.
            broker.timer = setTimeout(() => { if (this.ready) this.#open(broker); }, broker.delay);
            broker.timer.unref();
            broker.delay = Math.min(2 * broker.delay, RETRY_MOST);
            this.emit('status');
        }
    }

    #opened(broker) {
        broker.opened = true;
        broker.resume = false;
        for (const consumer of this.consumers.values()) {
            if (consumer.b === broker.b && consumer.topics.size) this.#subscribe(consumer).catch((err) => { if (this.ready) this.#trouble(broker, err); });
        }
        for (const entry of this.window.release(broker.b)) {
            this.window.send(entry);
            this.#put(entry, broker);
        }
    }

    #trouble(broker, err) {
        broker.problem = err;
        this.emit('status');
    }

    async #subscribe(consumer) {
        consumer.subscribed = true;
        await this.request({
            type: TYPE.SUB, header: { b: consumer.b, c: consumer.c, window: CREDIT }, payload: json({ topics: [...consumer.topics.values()] }),
        }, (value) => consumer.from(value.store));
    }

    // Sends entry; a broker that stopped taking messages goes on with it.
    #put(entry, broker) {
        let flags = 0;
        if (broker && broker.resume) {
            broker.resume = false;
            flags = FLAG.RESUME;
        }
        try {
            this.link.send(encode({ type: TYPE.PUB, flags, seq: entry.seq, header: entry.header, payload: entry.payload }));
        } catch (err) {
            if (flags) broker.resume = true;
            this.window.nack(entry.seq, entry.b, false, err);
        }
    }

    #say(frame) {
        this.link.send(encode(frame));
    }

    #ack(consumer, seq) {
        if (this.acks.size === 0) setImmediate(() => {
            const acks = this.acks;
            this.acks = new Map();
            if (this.ready) for (const [{ b, c }, upTo] of acks) this.#say({ type: TYPE.MSGACK, seq: upTo, header: { b, c } });
        });
        this.acks.set(consumer, seq);
    }

    #receive(frame) {
        switch (frame.type) {
        case TYPE.ACK:
            return this.window.ack(frame.seq);
        case TYPE.NACK: {
            const { b, stop } = frame.header;
            const broker = this.open_.get(b);
            if (stop && broker) broker.resume = true;
            return this.window.nack(frame.seq, b, Boolean(stop), new Refusal(frame.header));
        }
        case TYPE.MSG: {
            const consumer = this.consumers.get(`${frame.header.b}/${frame.header.c}`);
            if (consumer && consumer.receive(frame)) this.#ack(consumer, frame.seq);
            return undefined;
        }
        case TYPE.RESULT: {
            const request = this.requests.get(frame.seq);
            this.requests.delete(frame.seq);
            if (!request) return undefined;
            if (frame.header.ok) return request.resolve(frame.payload.length ? JSON.parse(frame.payload) : {});
            return request.reject(new Refusal(frame.header));
        }
        case TYPE.STATUS: {
            const { brokers, orphans } = JSON.parse(frame.payload);
            this.brokers = new Map(brokers.map((status) => [status.b, status]));
            this.orphans = orphans || [];
            return this.emit('status');
        }
        default:
            return undefined; // ROOM: a message that comes now tries by itself
        }
    }
}

function json(value) {
    return Buffer.from(JSON.stringify(value));
}

module.exports = { Supervisor, Refusal };
