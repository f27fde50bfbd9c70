'use strict';

// The frames of docs/sidecar-protocol.md: u8 type | u8 flags | u16 hlen | u64 seq | header JSON | payload, big-endian.

const TYPE = Object.freeze({
    HELLO: 1, WELCOME: 2, OPEN: 3, CLOSE: 4, DETACH: 5, CONNECT: 6, DISCONNECT: 7, PUB: 8, SUB: 9, UNSUB: 10,
    MSGACK: 11, CREDIT: 12, CLEAR: 13, COMPACT: 14, STOP: 15,
    ACK: 32, NACK: 33, MSG: 34, RESULT: 35, STATUS: 36, ROOM: 37,
});
const FLAG = Object.freeze({ RESUME: 1, REDELIVERED: 1 });

const FIXED = 12; // bytes before the header
const NOTHING = Buffer.alloc(0);

/**
 * Encodes a frame.
 * @param {object} frame type, flags (0), seq (0, an integer up to 2^53), header (object; left out: none), payload (Buffer)
 * @returns {Buffer}
 * @throws RangeError for a header of more than 65,535 bytes
 */
function encode({ type, flags = 0, seq = 0, header, payload = NOTHING }) {
    const text = header === undefined ? '' : JSON.stringify(header);
    const hlen = Buffer.byteLength(text);
    if (hlen > 0xffff) throw new RangeError(`the topic and properties have ${hlen} bytes: more than 65,535 cannot be sent`);
    const out = Buffer.allocUnsafe(FIXED + hlen + payload.length);
    out[0] = type;
    out[1] = flags;
    out.writeUInt16BE(hlen, 2);
    out.writeUInt32BE(Math.floor(seq / 2 ** 32), 4);
    out.writeUInt32BE(seq % 2 ** 32, 8);
    out.write(text, FIXED);
    payload.copy(out, FIXED + hlen);
    return out;
}

/**
 * Decodes a frame. The payload shares the memory of data.
 * @param {Buffer} data
 * @returns {{type: number, flags: number, seq: number, header: object, payload: Buffer}}
 * @throws Error that says what is wrong with it
 */
function decode(data) {
    if (data.length < FIXED) throw new Error(`a frame of ${data.length} bytes`);
    const end = FIXED + data.readUInt16BE(2);
    if (data.length < end) throw new Error('a header longer than its frame');
    const header = end === FIXED ? {} : JSON.parse(data.toString('utf8', FIXED, end));
    if (header === null || typeof header !== 'object' || Array.isArray(header)) throw new Error('a header that is no object');
    return {
        type: data[0],
        flags: data[1],
        seq: data.readUInt32BE(4) * 2 ** 32 + data.readUInt32BE(8),
        header,
        payload: data.subarray(end),
    };
}

module.exports = { TYPE, FLAG, encode, decode };
