'use strict';

// What `mqttdb out` makes of a message, as core's `mqtt out` does.

const { isTopic } = require('./topics');

/**
 * @param {object} node the settings: topic, qos, retain; they go before the message's
 * @param {object} msg
 * @param {boolean} v5 whether the broker is one of MQTT 5
 * @returns {{t: string, q: number, r: boolean, p?: object, payload: Buffer} | null} null: the topic is invalid
 */
function outgoing(node, msg, v5) {
    let topic = node.topic || msg.topic;
    const asked = parseInt(node.qos || msg.qos || 0, 10);
    const qos = asked === 1 || asked === 2 ? asked : 0;
    const retain = [true, 'true'].includes(node.retain || msg.retain);
    const p = v5 ? properties({ ...msg, ...node.properties }) : undefined;
    if (v5 && !topic && p && p.responseTopic) {
        topic = p.responseTopic;
        delete p.responseTopic;
    }
    if (!isTopic(topic)) return null;
    const message = { t: topic, q: qos, r: retain, payload: bytes(msg.payload) };
    if (p && Object.keys(p).length) message.p = p;
    return message;
}

/** @returns {Buffer} a payload as it is sent */
function bytes(payload) {
    if (Buffer.isBuffer(payload)) return payload;
    if (payload === null || payload === undefined) return Buffer.alloc(0);
    return Buffer.from(typeof payload === 'object' ? JSON.stringify(payload) : String(payload));
}

/** @returns {object} the MQTT 5 properties in from, as the protocol has them */
function properties(from) {
    const p = {};
    for (const name of ['contentType', 'responseTopic']) if (from[name] && typeof from[name] === 'string') p[name] = from[name];
    if (from.correlationData) p.correlationData = Buffer.from(from.correlationData).toString('base64');
    const expiry = parseInt(from.messageExpiryInterval, 10);
    if (expiry >= 0) p.messageExpiryInterval = expiry;
    if (String(from.payloadFormatIndicator) === 'true') p.payloadFormatIndicator = true;
    const user = userProperties(from.userProperties);
    if (user) p.userProperties = user;
    return p;
}

/** @returns {object|undefined} name -> string; other values as JSON, none left out */
function userProperties(from) {
    if (!from || typeof from !== 'object') return undefined;
    const entries = Object.entries(from).filter(([, v]) => v !== null && v !== undefined)
        .map(([key, v]) => [key, typeof v === 'string' ? v : JSON.stringify(v)]);
    return entries.length ? Object.fromEntries(entries) : undefined;
}

module.exports = { outgoing, bytes, userProperties };
