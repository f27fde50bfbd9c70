'use strict';

// What `mqttdb in` makes of a message that came, as core's `mqtt in` does.

const { isUtf8 } = require('buffer');

const KINDS = {
    'text/css': 'string', 'text/html': 'string', 'text/plain': 'string', 'application/xml': 'string', 'application/json': 'json',
    'application/octet-stream': 'buffer', 'application/pdf': 'buffer', 'application/x-gtar': 'buffer', 'application/x-gzip': 'buffer',
    'application/x-tar': 'buffer', 'application/zip': 'buffer', 'audio/aac': 'buffer', 'audio/ac3': 'buffer', 'audio/basic': 'buffer',
    'audio/mp4': 'buffer', 'audio/ogg': 'buffer', 'image/bmp': 'buffer', 'image/gif': 'buffer', 'image/jpeg': 'buffer',
    'image/tiff': 'buffer', 'image/png': 'buffer',
};

/** NotJSON says that a payload cannot be what the node is to give; `key` names the text in the locales. */
class NotJSON extends Error {
    constructor(key) {
        super(key);
        this.key = key;
    }
}

/**
 * @param {{t: string, q: number, r: boolean, p?: object}} header of MSG
 * @param {Buffer} payload
 * @param {string} datatype auto-detect, auto, buffer, utf8, json or base64
 * @param {boolean} v5 whether the broker is one of MQTT 5
 * @returns {object} the message for the flow
 * @throws NotJSON
 */
function incoming(header, payload, datatype, v5) {
    const msg = { topic: header.t, payload: null, qos: header.q || 0, retain: Boolean(header.r) };
    const p = v5 ? header.p : undefined;
    if (p) {
        for (const name of ['responseTopic', 'contentType', 'messageExpiryInterval', 'payloadFormatIndicator', 'userProperties']) {
            if (p[name] !== undefined) msg[name] = p[name];
        }
        if (p.correlationData) msg.correlationData = Buffer.from(p.correlationData, 'base64');
    }
    msg.payload = value(payload, datatype, msg.payloadFormatIndicator === true, (msg.contentType || '').toLowerCase());
    return msg;
}

function value(payload, datatype, saidUtf8, mediaType) {
    const isText = saidUtf8 || isUtf8(payload);
    switch (datatype) {
    case 'buffer':
        return payload;
    case 'base64':
        return payload.toString('base64');
    case 'utf8':
        return payload.toString();
    case 'json':
        if (!isText) throw new NotJSON('invalid-json-string');
        return parse(payload.toString());
    }
    const detect = datatype === 'auto-detect';
    switch (KINDS[mediaType]) {
    case 'buffer':
        return payload;
    case 'string':
        return payload.toString();
    case 'json': {
        const text = payload.toString();
        const parsed = parse(text);
        return detect ? parsed : text;
    }
    }
    if (!isText) return payload;
    const text = payload.toString();
    if (!detect) return text;
    try {
        return JSON.parse(text);
    } catch {
        return text; // it is no JSON, then
    }
}

function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        throw new NotJSON('invalid-json-parse');
    }
}

module.exports = { incoming, NotJSON };
