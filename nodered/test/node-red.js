'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');

const root = path.join(__dirname, '..');

/** @returns {Promise<number>} a port of 127.0.0.1 that was free */
function freePort() {
    return new Promise((resolve, reject) => {
        const server = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/** @returns {Promise<*>} what condition gives, once that is true; it is asked each 50 ms */
async function until(what, condition, ms = 20000) {
    const end = Date.now() + ms;
    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

/** A real mosquitto at a port. */
class Mosquitto {
    constructor(port) {
        this.port = port;
        this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mqttdb-broker-'));
        fs.writeFileSync(path.join(this.dir, 'conf'), `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n`);
    }

    async start() {
        this.child = spawn('mosquitto', ['-c', path.join(this.dir, 'conf')], { stdio: 'ignore', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
        await until('mosquitto listens', () => new Promise((resolve) => {
            const socket = net.connect(this.port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).on('error', () => resolve(false));
        }));
    }

    async stop() {
        if (this.child) await end(this.child, 'SIGTERM');
        this.child = null;
    }
}

/** A real Node-RED with a user directory of its own. */
class NodeRED {
    constructor(port) {
        this.port = port;
        this.userDir = fs.mkdtempSync(path.join(os.tmpdir(), 'mqttdb-node-red-'));
        fs.writeFileSync(path.join(this.userDir, 'settings.js'), 'module.exports = { flowFile: "flows.json", credentialSecret: "test", logging: { console: { level: "info" } }, diagnostics: { enabled: false } };\n');
        const scope = path.join(this.userDir, 'node_modules', '@mqttdb');
        fs.mkdirSync(scope, { recursive: true });
        fs.symlinkSync(root, path.join(scope, 'node-red'));
        fs.writeFileSync(path.join(this.userDir, 'package.json'), JSON.stringify({ name: 'test', version: '1.0.0', private: true, dependencies: { '@mqttdb/node-red': '*' } }));
        this.log = '';
    }

    async start() {
        const red = path.join(path.dirname(require.resolve(`${process.env.NODE_RED || 'node-red'}/package.json`)), 'red.js');
        this.child = spawn(process.execPath, [red, '-u', this.userDir, '-p', String(this.port), '--define', 'uiHost=127.0.0.1'],
            { env: { ...process.env, MQTTDB_BIN: process.env.MQTTDB_BIN || path.join(root, '../bin/mqttdb') } });
        for (const out of [this.child.stdout, this.child.stderr]) out.on('data', (data) => { this.log += data; });
        await until('Node-RED answers', () => this.api('/flows').then((r) => r.ok, () => false));
    }

    api(where, options = {}) {
        return fetch(`http://127.0.0.1:${this.port}${where}`, options);
    }

    async deploy(flows, type = 'full') {
        const answer = await this.api('/flows', { method: 'POST', headers: { 'Content-Type': 'application/json', 'Node-RED-Deployment-Type': type }, body: JSON.stringify(flows) });
        if (!answer.ok) throw new Error(`deploy: ${answer.status} ${await answer.text()}`);
    }

    async status() {
        return (await this.api('/mqttdb/status')).json();
    }

    /** The process ids of its sidecars. */
    sidecars() {
        const pid = String(this.child.pid);
        return fs.readdirSync('/proc').filter((id) => /^\d+$/.test(id)).filter((id) => {
            try {
                const [state, parent] = fs.readFileSync(`/proc/${id}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
                return parent === pid && state !== 'Z' && fs.readFileSync(`/proc/${id}/cmdline`, 'utf8').includes('sidecar');
            } catch {
                return false; // it has ended
            }
        }).map(Number);
    }

    async stop(signal = 'SIGTERM') {
        if (this.child) await end(this.child, signal);
        this.child = null;
    }

    remove() {
        fs.rmSync(this.userDir, { recursive: true, force: true });
    }
}

function end(child, signal) {
    return new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once('exit', resolve);
        return child.kill(signal);
    });
}

module.exports = { freePort, until, Mosquitto, NodeRED };
