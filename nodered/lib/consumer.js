'use strict';

/**
 * What one node receives from one broker. It outlives the node through a redeploy: what comes meanwhile waits.
 * A message counts as handled when the node has passed it on; the sidecar keeps what is not, and gives it again.
 */
class Consumer {
    constructor(b, c) {
        this.b = b;
        this.c = c;
        this.topics = new Map(); // topic -> {topic, qos, nl, rap, rh}
        this.handler = null;
        this.store = null; // the queue that `latest` counts in
        this.latest = 0;
        this.waiting = [];
        this.subscribed = false; // on this WebSocket
    }

    /** A message has come. @returns {boolean} whether it is handled, so that it may be acknowledged */
    receive(frame) {
        if (frame.seq <= this.latest) return true; // given again after a break, though it was handled
        if (!this.handler) {
            this.waiting.push(frame);
            return false;
        }
        this.latest = frame.seq;
        this.handler(frame.header, frame.payload);
        return true;
    }

    /** Gives handler what has waited. @returns {number} the seq up to which all is handled, 0: nothing new */
    attach(handler) {
        this.handler = handler;
        const waited = this.waiting;
        this.waiting = [];
        for (const frame of waited) this.receive(frame);
        return waited.length ? this.latest : 0;
    }

    /** The queue that messages come from now. */
    from(store) {
        if (store === this.store) return;
        this.store = store;
        this.latest = 0;
    }

    /** The WebSocket is gone; what was not handled comes again. */
    lost() {
        this.subscribed = false;
        this.waiting = [];
    }
}

module.exports = { Consumer };
