'use strict';

const { EventEmitter } = require('events');
const WebSocket = require('ws');
const { TYPE, encode, decode } = require('./frame');

const NEVER_AGAIN = new Set([4000, 4001]); // a sidecar that does not fit: another start does not help soon

/**
 * One WebSocket to a sidecar. What is written within a turn of the event loop goes out in one write.
 * Events: `welcome` (header), `frame` (frame), `close` (Error). It is of no use after `close`.
 */
class Link extends EventEmitter {
    /** @param {{address: string, hello: object}} options address as the sidecar prints it */
    constructor({ address, hello }) {
        super();
        const unix = address.startsWith('unix:');
        this.socket = new WebSocket(unix ? `ws+unix:${address.slice(5)}:/` : `ws://${address.slice(4)}/`, 'mqttdb-sidecar.1', {
            perMessageDeflate: false, maxPayload: 64 << 20, skipUTF8Validation: true,
        });
        this.corked = false;
        this.closed = false;
        this.reason = null;
        this.socket.on('open', () => {
            if (this.socket._socket.unref) this.socket._socket.unref();
            this.send(encode({ type: TYPE.HELLO, header: hello }));
        });
        this.socket.on('message', (data) => this.#receive(data));
        this.socket.on('error', (err) => { this.reason = err; });
        this.socket.on('close', (code, text) => {
            this.closed = true;
            const err = this.reason || new Error(`the sidecar has closed (${code}${text.length ? ': ' + text : ''})`);
            err.fatal = NEVER_AGAIN.has(code);
            this.emit('close', err);
        });
    }

    /** Sends an encoded frame; without effect once closed. */
    send(data) {
        if (this.closed || this.socket.readyState !== WebSocket.OPEN) return;
        const stream = this.socket._socket;
        if (!this.corked) {
            this.corked = true;
            stream.cork();
            setImmediate(() => {
                this.corked = false;
                stream.uncork();
            });
        }
        this.socket.send(data);
    }

    /** Closes it; `close` follows. */
    end() {
        this.socket.close(1000);
    }

    #receive(data) {
        let frame;
        try {
            frame = decode(data);
        } catch (err) {
            this.reason = new Error(`the sidecar sent ${err.message}`);
            this.socket.close(1002);
            return;
        }
        this.emit(frame.type === TYPE.WELCOME ? 'welcome' : 'frame', frame);
    }
}

module.exports = { Link };
