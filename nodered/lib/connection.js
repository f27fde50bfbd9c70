'use strict';

// The payload of OPEN (docs/sidecar-protocol.md) from the settings of a broker node.

const crypto = require('crypto');
const net = require('net');

/** @returns {boolean} a check box: a boolean, or the string of an old flow */
function ticked(value, otherwise) {
    if (value === undefined || value === null || value === '') return otherwise;
    return value === true || value === 'true';
}

/** @returns {string} the id of a broker in the protocol, which is also the name of its directory */
function brokerId(id) {
    if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(id) && !id.endsWith('.')) return id;
    return 'n' + crypto.createHash('sha256').update(id).digest('hex').slice(0, 32);
}

function brokerUrl(n) {
    const host = n.url || n.broker || 'localhost';
    if (!host.includes('://')) {
        const scheme = ticked(n.usetls, false) ? 'mqtts' : 'mqtt';
        return new URL(`${scheme}://${net.isIPv6(host) ? `[${host}]` : host}:${n.broker ? n.port || 1883 : 1883}`);
    }
    return new URL(host.replace(/^tcp:/i, 'mqtt:').replace(/^(ssl|tls):/i, 'mqtts:'));
}

function message(topic, payload, qos, retain) {
    if (!topic) return undefined;
    if (payload !== null && typeof payload === 'object' && !Buffer.isBuffer(payload)) payload = JSON.stringify(payload);
    return { topic, payload: String(payload ?? ''), qos: Number(qos || 0), retain: ticked(retain, false) };
}

// Go reads no PKCS #8 key that is encrypted.
function plainKey(key, passphrase) {
    if (!key || !/BEGIN ENCRYPTED PRIVATE KEY/.test(key)) return text(key);
    return crypto.createPrivateKey({ key, passphrase: passphrase || '' }).export({ type: 'pkcs8', format: 'pem' });
}

function text(value) {
    if (Array.isArray(value)) return value.map(text).join('\n');
    return value ? value.toString() : undefined;
}

function tlsSettings(n, tlsNode) {
    const options = {};
    if (tlsNode && typeof tlsNode.addTLSOptions === 'function') tlsNode.addTLSOptions(options);
    const verify = options.rejectUnauthorized ?? ticked(n.verifyservercert, false);
    return {
        ca: text(options.ca), cert: text(options.cert), key: plainKey(options.key, options.passphrase),
        pfx: options.pfx ? Buffer.from(options.pfx).toString('base64') : undefined,
        passphrase: options.passphrase || undefined, server_name: options.servername || undefined,
        alpn: options.ALPNProtocols, insecure: !verify,
    };
}

function count(value) {
    const n = Number(value);
    return n > 0 ? Math.floor(n) : undefined;
}

/** @returns {number} seconds between compactions, 1 to 86,400 */
function compaction(value) {
    const n = Number(value);
    return value === '' || value === null || !(n >= 1) ? 30 : Math.min(Math.floor(n), 86400);
}

/**
 * @param {object} n the settings of the node, with what a `connect` action has changed
 * @param {{user?: string, password?: string}} credentials
 * @param {object|null} tlsNode
 * @param {string} ephemeral a client id for when nothing is stored
 * @returns {object}
 * @throws Error for a URL or key that cannot be read
 */
function connection(n, credentials, tlsNode, ephemeral) {
    const url = brokerUrl(n);
    const username = n.username ?? credentials.user ?? decodeURIComponent(url.username);
    const password = n.password ?? credentials.password ?? decodeURIComponent(url.password);
    url.username = url.password = '';
    const persist = { outgoing: ticked(n.persistout, true), incoming: ticked(n.persistin, false) };
    const stored = persist.outgoing || persist.incoming;
    const secure = /^(mqtts|wss):$/.test(url.protocol) || ticked(n.usetls, false);
    const keepalive = Number(n.keepalive ?? 60);
    const version = ticked(n.compatmode, false) ? 3 : Number(n.protocolVersion || 4);
    return {
        url: url.href,
        protocol: { 3: '3.1', 5: '5' }[version] || '3.1.1',
        // Left out, the sidecar makes one and stores it: a session that outlives restarts needs the same.
        client_id: n.clientid || (stored ? undefined : ephemeral),
        clean: ticked(n.cleansession, true) || (!n.clientid && !stored),
        keep_alive: Number.isFinite(keepalive) ? keepalive : 60,
        username: username || undefined, password: password || undefined,
        tls: secure ? tlsSettings(n, tlsNode) : undefined,
        connect: ticked(n.autoConnect, true),
        will: n.will || message(n.willTopic, n.willPayload, n.willQos, n.willRetain),
        birth: n.birth || message(n.birthTopic, n.birthPayload, n.birthQos, n.birthRetain),
        close: n.close || message(n.closeTopic, n.closePayload, n.closeQos, n.closeRetain),
        persist,
        compaction_s: compaction(n.compactinterval),
        limits: {
            max_messages: count(n.maxmessages), max_bytes: count(n.maxbytes), max_age_s: count(n.maxage),
            overflow: n.overflow || undefined,
        },
        rate: { messages: count(n.drainrate) },
    };
}

module.exports = { connection, brokerId, ticked, message, compaction };
