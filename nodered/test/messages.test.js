'use strict';

const assert = require('assert');
const { test } = require('node:test');
const { outgoing } = require('../lib/outgoing');
const { incoming, NotJSON } = require('../lib/incoming');
const { connection, brokerId } = require('../lib/connection');
const { isFilter, isTopic } = require('../lib/topics');
const { Window } = require('../lib/window');
const { shown } = require('../lib/state');

for (const { name, node = {}, msg, want } of [
    { name: 'the topic of the node goes first', node: { topic: 'n' }, msg: { topic: 'm', payload: 'x' }, want: ['n', 0, false, 'x'] },
    { name: 'the topic of the message', msg: { topic: 'm', payload: 'x' }, want: ['m', 0, false, 'x'] },
    { name: 'strings of old flows', node: { qos: '2', retain: 'true' }, msg: { topic: 'm', payload: 'x' }, want: ['m', 2, true, 'x'] },
    { name: 'qos and retain of the message', msg: { topic: 'm', payload: 'x', qos: '1', retain: 'true' }, want: ['m', 1, true, 'x'] },
    { name: 'a qos that is none', msg: { topic: 'm', payload: 'x', qos: 7 }, want: ['m', 0, false, 'x'] },
    { name: 'an object', msg: { topic: 'm', payload: { a: [1] } }, want: ['m', 0, false, '{"a":[1]}'] },
    { name: 'a number', msg: { topic: 'm', payload: 0 }, want: ['m', 0, false, '0'] },
    { name: 'null', msg: { topic: 'm', payload: null }, want: ['m', 0, false, ''] },
    { name: 'a topic with a wildcard', msg: { topic: 'm/#', payload: 'x' }, want: null },
    { name: 'no topic', msg: { payload: 'x' }, want: null },
]) test(`out: ${name}`, () => {
    const got = outgoing(node, msg, false);
    assert.deepStrictEqual(got && [got.t, got.q, got.r, got.payload.toString()], want);
});

test('out: an empty topic with a response topic, MQTT 5', () => {
    const got = outgoing({}, { topic: '', responseTopic: 'r', payload: '', userProperties: { a: 1, b: 'x' } }, true);
    assert.deepStrictEqual([got.t, got.p], ['r', { userProperties: { a: '1', b: 'x' } }]);
});

const bytes = Buffer.from([0, 255, 254]);
for (const { name, type, payload, want } of [
    { name: 'buffer', type: 'buffer', payload: bytes, want: bytes },
    { name: 'auto, binary', type: 'auto', payload: bytes, want: bytes },
    { name: 'auto, text', type: 'auto', payload: '{"a":1}', want: '{"a":1}' },
    { name: 'auto-detect, JSON', type: 'auto-detect', payload: '{"a":1}', want: { a: 1 } },
    { name: 'auto-detect, text', type: 'auto-detect', payload: '{a', want: '{a' },
    { name: 'auto-detect, nothing', type: 'auto-detect', payload: '', want: '' },
    { name: 'utf8', type: 'utf8', payload: 'ä', want: 'ä' },
    { name: 'base64', type: 'base64', payload: bytes, want: 'AP/+' },
    { name: 'json', type: 'json', payload: '[1]', want: [1] },
]) test(`in: ${name}`, () => assert.deepStrictEqual(incoming({ t: 'a', q: 1, r: true }, Buffer.from(payload), type, false), { topic: 'a', payload: want, qos: 1, retain: true }));

test('in: json that is none is an error', () => {
    assert.throws(() => incoming({ t: 'a' }, Buffer.from('{'), 'json', false), NotJSON);
    assert.throws(() => incoming({ t: 'a' }, bytes, 'json', false), NotJSON);
});

for (const { name, n, url } of [
    { name: 'nothing', n: {}, url: 'mqtt://localhost:1883' },
    { name: 'host and port as a string', n: { broker: 'h', port: '1884' }, url: 'mqtt://h:1884' },
    { name: 'IPv6', n: { broker: '::1' }, url: 'mqtt://[::1]:1883' },
    { name: 'TLS', n: { broker: 'h', port: 8883, usetls: true }, url: 'mqtts://h:8883' },
    { name: 'tcp', n: { broker: 'tcp://h:1', port: 5 }, url: 'mqtt://h:1' },
    { name: 'WebSocket with credentials', n: { broker: 'wss://u:p@h/mqtt' }, url: 'wss://h/mqtt' },
]) test(`broker: ${name}`, () => assert.strictEqual(connection(n, {}, null, 'e').url, url));

test('broker: the settings of an old node', () => {
    const c = connection({ broker: 'h', port: '1883', compatmode: true, keepalive: '30', cleansession: true, persistout: true, persistin: false, compactinterval: '45' }, { user: 'u', password: 'p' }, null, 'e');
    assert.deepStrictEqual([c.protocol, c.keep_alive, c.clean, c.persist, c.compaction_s, c.username, c.password],
        ['3.1', 30, true, { outgoing: true, incoming: false }, 45, 'u', 'p']);
});

test('broker: compaction is 30 s when blank, and a day at most', () => {
    assert.deepStrictEqual(['', undefined, 'x', '0', '1', '90000'].map((v) => connection({ compactinterval: v }, {}, null, 'e').compaction_s), [30, 30, 30, 30, 1, 86400]);
});

test('broker: an id that is no name of a directory gets one', () => {
    assert.strictEqual(brokerId('12ab.34cd'), '12ab.34cd');
    assert.match(brokerId('../X'), /^n[0-9a-f]{32}$/);
});

test('topics', () => {
    for (const good of ['#', 'a/#', '+/b', 'a//b', '/', '$share/g/a/#']) assert.ok(isFilter(good), good);
    for (const bad of ['', 'a#', '#/a', 'a+/b', undefined]) assert.ok(!isFilter(bad), String(bad));
    assert.ok(isTopic('a/b') && !isTopic('a/+') && !isTopic('') && !isTopic('a\n'));
});

test('window: each message is ended once, in order, and its room comes back', () => {
    const ended = [];
    const window = new Window(100);
    const entry = (name, b) => ({ b, seq: 0, size: 40, done: (err) => ended.push([name, err ? err.message : '']) });
    window.send(entry('a', 'x'));
    window.send(entry('b', 'y'));
    assert.ok(!window.hasRoom(40));
    window.ack(1);
    assert.ok(window.hasRoom(40));
    window.send(entry('c', 'x'));
    window.send(entry('d', 'x'));
    window.nack(3, 'x', true, new Error('full'));
    window.ack(4);
    assert.deepStrictEqual(ended, [['a', ''], ['c', 'full'], ['d', 'full'], ['b', '']]);
    assert.strictEqual(window.bytes, 0);
});

test('window: what is taken back comes before what was held', () => {
    const window = new Window(1000);
    window.send({ b: 'x', size: 1, name: 1 });
    window.hold({ b: 'x', size: 1, name: 2 });
    window.takeBack('x');
    assert.deepStrictEqual(window.release('x').map((entry) => entry.name), [1, 2]);
    assert.strictEqual(window.bytes, 0);
});

test("status: core's texts while nothing is queued", () => {
    const say = (key, { n }) => `${key} ${n}`;
    const of = (state, pending) => shown({ state, pending, incoming_pending: 0 }, null, say);
    assert.deepStrictEqual(of('online', 0), { fill: 'green', shape: 'dot', text: 'node-red:common.status.connected' });
    assert.deepStrictEqual(of('backoff', 0), { fill: 'yellow', shape: 'ring', text: 'node-red:common.status.connecting' });
    assert.deepStrictEqual(of('paused', 0), { fill: 'red', shape: 'ring', text: 'node-red:common.status.disconnected' });
    assert.strictEqual(of('online', 120).text, 'mqttdb.status.online 120');
    assert.deepStrictEqual(shown(undefined, new Error('no program'), say), { fill: 'red', shape: 'ring', text: 'no program' });
});
