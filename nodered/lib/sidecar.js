'use strict';

const { spawn } = require('child_process');
const crypto = require('crypto');
const readline = require('readline');

// What a sidecar may see of this process's environment: nothing that a user may have put a secret in.
const PASSED_ON = /^(path|home|tmpdir|temp|tmp|systemroot|ssl_cert_file|ssl_cert_dir|(http|https|all|no)_proxy|tz|lang)$/i;

/**
 * Starts `mqttdb sidecar`. It ends when this process ends, however that does: its standard input is a pipe from here.
 * @param {{bin: string, tcp?: boolean, onLog?: (entry: object) => void, onExit: (err: Error) => void}} options
 *   tcp: listen at 127.0.0.1, where there are no Unix sockets
 * @returns {{address: Promise<{address: string, token?: string, version: string}>, stop: () => void, pid: number}}
 */
function startSidecar({ bin, tcp = process.platform === 'win32', onLog = () => {}, onExit }) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => PASSED_ON.test(key)));
    const child = spawn(bin, tcp ? ['sidecar', '--listen', 'tcp'] : ['sidecar'], { env, stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true });
    const token = tcp ? crypto.randomBytes(24).toString('hex') : undefined;
    let last = '';
    let ended = false;
    const address = new Promise((resolve, reject) => {
        const end = (err) => {
            if (ended) return;
            ended = true;
            reject(err);
            onExit(err);
        };
        child.on('error', (err) => end(new Error(`start ${bin}: ${err.code === 'ENOEXEC' ? 'it is for another kind of machine' : err.message}`)));
        child.on('exit', (code, signal) => end(new Error(`mqttdb sidecar ended (${signal || code})${last && ': ' + last}`)));
        readline.createInterface({ input: child.stdout }).once('line', (line) => {
            try {
                resolve({ ...JSON.parse(line), token });
            } catch {
                reject(new Error(`${bin} is no mqttdb, or too old a one: it said ${JSON.stringify(line.slice(0, 100))}`));
                child.kill();
            }
        });
    });
    address.catch(() => {}); // onExit says it too
    readline.createInterface({ input: child.stderr }).on('line', (line) => {
        try {
            onLog(JSON.parse(line));
        } catch {
            last = line;
        }
    });
    child.stdin.on('error', () => {}); // it has ended: 'exit' says so
    if (token) child.stdin.write(token + '\n');
    // It must not keep a Node-RED from ending.
    for (const handle of [child, child.stdin, child.stdout, child.stderr]) handle.unref();
    return { address, pid: child.pid, stop: () => child.stdin.end() };
}

module.exports = { startSidecar };
