'use strict';

const SHOWN = {
    online: { fill: 'green', shape: 'dot', text: 'node-red:common.status.connected' },
    connecting: { fill: 'yellow', shape: 'ring', text: 'node-red:common.status.connecting' },
    disconnected: { fill: 'red', shape: 'ring', text: 'node-red:common.status.disconnected' },
};
const KIND = { online: 'online', stalled: 'connecting', connecting: 'connecting', backoff: 'connecting' };

/**
 * What a node shows: core's own texts while nothing is queued, for flows match on them.
 * @param {object|undefined} status of the broker, as in STATUS
 * @param {Error|null} problem of the sidecar, or of the broker's store
 * @param {(key: string, values?: object) => string} translate
 * @returns {{fill: string, shape: string, text: string}}
 */
function shown(status, problem, translate) {
    if (problem) return { fill: 'red', shape: 'ring', text: problem.message };
    const kind = (status && KIND[status.state]) || 'disconnected';
    const plain = SHOWN[kind];
    const queued = status ? status.pending + status.incoming_pending : 0;
    if (status && status.full) return { fill: 'yellow', shape: plain.shape, text: translate('mqttdb.status.full', { n: queued }) };
    return queued ? { ...plain, text: translate(`mqttdb.status.${kind}`, { n: queued }) } : plain;
}

module.exports = { shown };
