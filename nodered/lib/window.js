'use strict';

/**
 * What was published and is not done yet, in order: nothing is forgotten before the sidecar has it on disk.
 * Entries are {b, seq, header, payload, size, done}; seq is 0 until one is sent. Each is ended exactly once, by done(err).
 */
class Window {
    /** @param {number} limit bytes it may hold */
    constructor(limit) {
        this.limit = limit;
        this.bytes = 0;
        this.sent = new Map(); // seq -> entry, in the order of seq
        this.held = []; // entries whose broker is not open yet
        this.seq = 0;
    }

    /** @returns {boolean} whether an entry of size bytes may come in. One alone may always. */
    hasRoom(size) {
        return this.bytes === 0 || this.bytes + size <= this.limit;
    }

    hold(entry) {
        this.bytes += entry.size;
        this.held.push(entry);
    }

    /** Gives entry the next seq. */
    send(entry) {
        this.bytes += entry.size;
        entry.seq = ++this.seq;
        this.sent.set(entry.seq, entry);
    }

    /** Takes out what is held for broker b, in order. */
    release(b) {
        const out = this.held.filter((entry) => entry.b === b);
        this.held = this.held.filter((entry) => entry.b !== b);
        for (const entry of out) this.bytes -= entry.size;
        return out;
    }

    /** What was sent to b is held again: the sidecar has not opened it. Before what is held already. */
    takeBack(b) {
        const back = [];
        for (const entry of this.sent.values()) if (entry.b === b) back.push(entry);
        for (const entry of back) {
            this.sent.delete(entry.seq);
            entry.seq = 0;
        }
        this.held = back.concat(this.held);
    }

    /** All up to seq are done. */
    ack(seq) {
        for (const entry of this.sent.values()) {
            if (entry.seq > seq) return;
            this.#end(entry);
        }
    }

    /** Seq was refused; with stop, all later ones of b were too. */
    nack(seq, b, stop, err) {
        for (const entry of [...this.sent.values()]) {
            if (entry.seq === seq || (stop && entry.b === b && entry.seq > seq)) this.#end(entry, err);
        }
    }

    /** Gives up what b has. */
    fail(b, err) {
        for (const entry of this.release(b)) entry.done(err);
        this.nack(0, b, true, err);
    }

    /** @returns {number} how many of b are not done */
    count(b) {
        let n = 0;
        for (const entry of this.sent.values()) if (entry.b === b) n++;
        for (const entry of this.held) if (entry.b === b) n++;
        return n;
    }

    #end(entry, err) {
        this.sent.delete(entry.seq);
        this.bytes -= entry.size;
        entry.done(err);
    }
}

module.exports = { Window };
