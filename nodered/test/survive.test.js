'use strict';

// Real Node-RED, real mosquitto, the real sidecar: what was published is received once and in order, whatever was killed.

const assert = require('assert');
const { test } = require('node:test');
const mqtt = require('mqtt');
const { freePort, until, Mosquitto, NodeRED } = require('./node-red');

function flows(port, more = []) {
    return [
        { id: 'tab1', type: 'tab', label: 'test' },
        { id: 'b1', type: 'mqttdb-broker', broker: '127.0.0.1', port, clientid: 'gw', cleansession: false, persistout: true, persistin: true, keepalive: 60, protocolVersion: 4, compactinterval: '30' },
        { id: 'h1', type: 'http in', z: 'tab1', url: '/pub', method: 'post', wires: [['f1']] },
        { id: 'f1', type: 'function', z: 'tab1', outputs: 2, func: 'for (let i = 0; i < msg.payload.n; i++) node.send([{topic: "t/out", qos: 2, payload: String(msg.payload.from + i)}, null]); return [null, msg];', wires: [['o1'], ['r1']] },
        { id: 'o1', type: 'mqttdb out', z: 'tab1', broker: 'b1', topic: '', qos: '', retain: '', wires: [] },
        { id: 'r1', type: 'http response', z: 'tab1', statusCode: '200', wires: [] },
        { id: 'i1', type: 'mqttdb in', z: 'tab1', broker: 'b1', topic: 't/in', qos: '2', datatype: 'buffer', wires: [['f2']] },
        { id: 'f2', type: 'function', z: 'tab1', outputs: 1, func: 'const all = flow.get("all") || []; all.push(msg.payload.toString("hex")); flow.set("all", all);', wires: [[]] },
        { id: 'h2', type: 'http in', z: 'tab1', url: '/got', method: 'get', wires: [['f3']] },
        { id: 'f3', type: 'function', z: 'tab1', outputs: 1, func: 'msg.payload = flow.get("all") || []; return msg;', wires: [['r1']] },
        ...more,
    ];
}

test('broker down, redeploys, kill -9 of the sidecar and of Node-RED: all arrives once and in order', { timeout: 60000 }, async (t) => {
    const port = await freePort();
    const broker = new Mosquitto(port);
    const red = new NodeRED(await freePort());
    t.after(async () => { await red.stop('SIGKILL'); await broker.stop(); red.remove(); if (process.env.SHOW_LOG) console.log(red.log); });
    await red.start();
    await red.deploy(flows(port));
    let sent = 0;
    const publish = async (n) => {
        // A deploy has answered before the flow is there: 404 then, and nothing was published.
        await until('the flow takes it', async () => {
            const answer = await red.api('/pub', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ from: sent, n }) });
            assert.ok([200, 404].includes(answer.status), `status ${answer.status}`);
            return answer.ok;
        });
        sent += n;
    };
    const stored = (n) => until(`${n} pending`, async () => { const [b] = (await red.status()).brokers; return b && b.pending === n; });

    await publish(200);
    await stored(200);
    for (const type of ['full', 'nodes', 'flows']) {
        const [before] = red.sidecars();
        await red.deploy(flows(port, [{ id: `c-${type}`, type: 'comment', z: 'tab1', name: type }]), type);
        await publish(100);
        await stored(sent);
        assert.deepStrictEqual(red.sidecars(), [before], `${type}: the same sidecar`);
    }
    const [pid] = red.sidecars();
    process.kill(pid, 'SIGKILL');
    await publish(200); // into the gap
    await until('another sidecar', () => { const now = red.sidecars(); return now.length === 1 && now[0] !== pid; });
    await stored(sent);
    await red.stop('SIGKILL');

    await broker.start(); // the subscriber is there before the messages
    const got = [];
    const client = mqtt.connect({ host: '127.0.0.1', port, clientId: 'watch' });
    t.after(() => client.endAsync(true));
    client.on('message', (topic, payload) => got.push(payload.toString()));
    await until('the subscriber', () => client.connected);
    await client.subscribeAsync('t/out', { qos: 2 });
    await red.start();
    await until('all', () => got.length >= sent);
    await stored(0);
    assert.deepStrictEqual(got.map(Number), Array.from({ length: sent }, (_, i) => i));
});

test('binary messages come in, also those that were sent while Node-RED was away', { timeout: 60000 }, async (t) => {
    const port = await freePort();
    const broker = new Mosquitto(port);
    const red = new NodeRED(await freePort());
    t.after(async () => { await red.stop('SIGKILL'); await broker.stop(); red.remove(); });
    await broker.start();
    await red.start();
    await red.deploy(flows(port));
    await until('online', async () => ((await red.status()).brokers[0] || {}).state === 'online');
    const client = mqtt.connect({ host: '127.0.0.1', port, clientId: 'source' });
    t.after(() => client.endAsync(true));
    await until('the publisher', () => client.connected);
    const received = async () => (await (await red.api('/got')).json());
    await client.publishAsync('t/in', Buffer.from([0, 255, 128]), { qos: 2 });
    await until('the first', async () => (await received()).length === 1);
    assert.deepStrictEqual(await received(), ['00ff80']);

    await red.stop('SIGKILL');
    for (let i = 1; i <= 50; i++) await client.publishAsync('t/in', Buffer.from([i]), { qos: 2 });
    await red.start();
    const want = Array.from({ length: 50 }, (_, i) => (i + 1).toString(16).padStart(2, '0'));
    await until('the others', async () => (await received()).length >= 50);
    assert.deepStrictEqual(await received(), want);
});
