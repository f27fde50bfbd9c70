'use strict';

const path = require('path');
const { findBinary } = require('./binary');
const { startSidecar } = require('./sidecar');
const { Supervisor } = require('./supervisor');

// In the process, not in this module: Node-RED may load it twice, and a data directory has one owner.
const KEY = Symbol.for('@mqttdb/node-red supervisors');

/** @returns {Supervisor} the one of this Node-RED; it is there from the first call to the end of the process */
function supervisorOf(RED) {
    const all = process[KEY] || (process[KEY] = new Map());
    const dataDir = path.resolve(RED.settings.userDir || '.', 'mqttdb');
    let supervisor = all.get(dataDir);
    if (!supervisor) {
        const settings = RED.settings.mqttdb || {};
        supervisor = new Supervisor({
            dataDir,
            start: ({ onExit }) => startSidecar({
                bin: findBinary({ bin: settings.bin }), onExit,
                onLog: ({ level, msg, time, ...rest }) => {
                    const say = { ERROR: 'error', WARN: 'warn', INFO: 'debug' }[level] || 'trace';
                    const more = Object.entries(rest).map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`).join(' ');
                    RED.log[say](`mqttdb: ${msg} ${more}`.trim());
                },
            }),
        });
        all.set(dataDir, supervisor);
    }
    return supervisor;
}

module.exports = { supervisorOf };
