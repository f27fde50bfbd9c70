'use strict';

// What an operator does and must not see: Clear, orphans, secrets, processes that stay.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { test } = require('node:test');
const { freePort, until, NodeRED } = require('./node-red');

const SECRET = 'hunter2-is-secret';

function flows(port, more = []) {
    return [
        { id: 'tab1', type: 'tab', label: 'test' },
        { id: 'b1', type: 'mqttdb-broker', broker: '127.0.0.1', port, credentials: { user: 'u', password: SECRET } },
        { id: 'o1', type: 'mqttdb out', z: 'tab1', broker: 'b1', topic: 'a', qos: '1', wires: [] },
        { id: 'j1', type: 'inject', z: 'tab1', once: true, onceDelay: 0.1, props: [{ p: 'payload' }], payload: 'x', payloadType: 'str', wires: [['o1']] },
        ...more,
    ];
}

const pending = (red) => async () => ((await red.status()).brokers[0] || {}).pending === 1;
const clear = (red, b, what) => red.api(`/mqttdb/${b}/clear`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ what }) });

test('Clear, orphans and secrets', { timeout: 60000 }, async (t) => {
    const red = new NodeRED(await freePort());
    t.after(async () => { await red.stop('SIGKILL'); red.remove(); });
    await red.start();
    await red.deploy(flows(await freePort()));
    await until('one is stored', pending(red));
    assert.ok(fs.existsSync(path.join(red.userDir, 'mqttdb', 'b1', 'outgoing')), 'the directory is where it was before mqttdb');

    const [pid] = red.sidecars();
    for (const what of ['cmdline', 'environ']) assert.ok(!fs.readFileSync(`/proc/${pid}/${what}`, 'utf8').includes(SECRET), what);
    assert.ok(!JSON.stringify(await red.status()).includes(SECRET), 'status');
    assert.ok(!red.log.includes(SECRET), 'log');

    assert.strictEqual((await clear(red, 'b1', 'everything')).status, 400);
    assert.deepStrictEqual(await (await clear(red, 'b1', 'outgoing')).json(), { cleared: 1 });
    await until('none is left', async () => (await red.status()).brokers[0].pending === 0);

    // A broker node that is removed leaves what is pending, and another goes on.
    await red.deploy(flows(await freePort()));
    await until('another is stored', pending(red));
    await red.deploy([{ id: 'tab1', type: 'tab', label: 'test' }, { id: 'b2', type: 'mqttdb-broker', broker: '127.0.0.1', port: await freePort() },
        { id: 'o2', type: 'mqttdb out', z: 'tab1', broker: 'b2', topic: 'a', wires: [] }]);
    const orphan = await until('an orphan', async () => (await red.status()).orphans.find((o) => o.b === 'b1'));
    assert.strictEqual(orphan.pending, 1);
    assert.deepStrictEqual(await (await clear(red, 'b1', 'orphan')).json(), { cleared: 1 });
    await until('no orphan', async () => (await red.status()).orphans.length === 0);
});

test('many redeploys leave one sidecar; none without nodes, none after Node-RED', { timeout: 60000 }, async (t) => {
    const red = new NodeRED(await freePort());
    t.after(async () => { await red.stop('SIGKILL'); red.remove(); });
    await red.start();
    const port = await freePort();
    for (let i = 0; i < 20; i++) await red.deploy(flows(port, [{ id: `c${i}`, type: 'comment', z: 'tab1', name: '' }]));
    await until('one sidecar', () => red.sidecars().length === 1);
    await red.deploy([{ id: 'tab1', type: 'tab', label: 'test' }]);
    await until('no sidecar', () => red.sidecars().length === 0);
    await red.deploy(flows(port));
    const [pid] = await until('a sidecar again', () => (red.sidecars().length === 1 ? red.sidecars() : null));
    await red.stop('SIGKILL');
    await until('it has ended with Node-RED', () => { try { return fs.readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '); } catch { return true; } });
});

test('a program that is not there is said, in red, and nothing else breaks', { timeout: 60000 }, async (t) => {
    const red = new NodeRED(await freePort());
    t.after(async () => { await red.stop('SIGKILL'); red.remove(); });
    fs.appendFileSync(path.join(red.userDir, 'settings.js'), 'module.exports.mqttdb = { bin: "/nowhere/mqttdb" };\n');
    await red.start();
    await red.deploy(flows(await freePort()));
    await until('the problem is said', async () => (await red.status()).problem === 'the mqttdb program /nowhere/mqttdb is not there');
});
