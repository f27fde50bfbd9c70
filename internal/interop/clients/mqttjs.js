// What programs that use mqtt.js do, each with a broker at URL:
//
//	node mqttjs.js BEHAVIOUR URL VERSION
//
// VERSION is 3, 4 or 5: MQTT 3.1, 3.1.1 or 5. It ends with status 0 if the broker
// did what it must.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const readline = require('node:readline');
const mqtt = require('mqtt');

const [, , behaviour, url, versionText] = process.argv;
const version = Number(versionText);
const clients = [];

// client connects, with what options say beside the version.
async function client(options = {}) {
  const c = mqtt.connect(url, {
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    clientId: `js${clients.length}-${process.pid}`,
    reconnectPeriod: 0,
    connectTimeout: 10000,
    ...options,
  });
  clients.push(c);
  c.on('error', (err) => { throw err; });
  const [connack] = await once(c, 'connect');
  c.connack = connack;
  return c;
}

// inbox collects what comes to c.
function inbox(c) {
  const messages = [];
  let wake = () => {};
  c.on('message', (topic, payload, packet) => {
    messages.push({ topic, payload, packet });
    wake();
  });
  return {
    messages,
    async first(n) {
      while (messages.length < n) await new Promise((resolve) => { wake = resolve; });
      return messages;
    },
  };
}

// kept is what makes a session outlive its connection, or not.
function kept(yes) {
  return { clean: !yes, ...(yes && version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}) };
}

// inOrderOfEachQoS checks that what was published as 0, 1, 2, … at QoS 1, 2, 1, …
// came once, and in order within a QoS: mqtt.js tells of a message at QoS 2 when
// its PUBREL comes.
function inOrderOfEachQoS(messages) {
  for (const qos of [1, 2]) {
    const some = messages.filter((m) => m.packet.qos === qos);
    some.forEach((m, i) => assert.equal(m.payload.toString(), String(2 * i + qos - 1)));
    assert.equal(some.length, messages.length / 2);
  }
}

// everyByte is a payload that is no text.
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

const behaviours = {
  // Topics and payloads of any kind arrive as they were sent, at each QoS.
  async payloads() {
    const sub = await client();
    const got = inbox(sub);
    await sub.subscribeAsync('Größe/+/#', { qos: 2 });
    const pub = await client();
    const payloads = [everyByte, Buffer.alloc(0), Buffer.alloc(1 << 20, 7)];
    let n = 0;
    for (const qos of [0, 1, 2]) {
      for (const payload of payloads) {
        await pub.publishAsync('Größe/温度/🌡', payload, { qos });
        const messages = await got.first(++n);
        assert.equal(messages[n - 1].topic, 'Größe/温度/🌡');
        assert.ok(payload.equals(messages[n - 1].payload));
        assert.equal(messages[n - 1].packet.qos, qos);
      }
    }
  },

  // Many messages that are on their way at once keep their order, at each QoS.
  async order() {
    const sub = await client();
    const got = inbox(sub);
    await sub.subscribeAsync('order/#', { qos: 2 });
    const pub = await client();
    let n = 0;
    for (const qos of [0, 1, 2]) {
      const acknowledged = [];
      for (let i = 0; i < 500; i++) acknowledged.push(pub.publishAsync(`order/${qos}`, String(n + i), { qos }));
      await Promise.all(acknowledged);
      n += 500;
      const messages = await got.first(n);
      messages.forEach((m, i) => assert.equal(m.payload.toString(), String(i)));
    }
  },

  // A retained message comes to who subscribes later, flagged, until it is
  // replaced or removed; a live one comes without the flag.
  async retained() {
    const pub = await client();
    await pub.publishAsync('retained/a', 'old', { qos: 1, retain: true });
    await pub.publishAsync('retained/a', 'new', { qos: 1, retain: true });
    await pub.publishAsync('retained/b', 'gone', { qos: 1, retain: true });
    await pub.publishAsync('retained/b', '', { qos: 1, retain: true });
    const sub = await client();
    const got = inbox(sub);
    await sub.subscribeAsync('retained/#', { qos: 1 });
    await pub.publishAsync('retained/c', 'live', { qos: 1, retain: true });
    const messages = await got.first(2);
    assert.deepEqual(messages.map((m) => [m.topic, m.payload.toString(), m.packet.retain]),
      [['retained/a', 'new', true], ['retained/c', 'live', false]]);
    for (const topic of ['retained/a', 'retained/c']) await pub.publishAsync(topic, '', { qos: 1, retain: true });
  },

  // A will is published for a client that is cut off, not for one that says
  // goodbye.
  async will() {
    const sub = await client();
    const got = inbox(sub);
    await sub.subscribeAsync('will/#', { qos: 2 });
    const polite = await client({ will: { topic: 'will/polite', payload: 'no', qos: 1 } });
    await polite.endAsync();
    const lost = await client({ will: { topic: 'will/lost', payload: 'yes', qos: 2, retain: false } });
    lost.stream.destroy();
    const messages = await got.first(1);
    assert.deepEqual([messages[0].topic, messages[0].payload.toString(), messages[0].packet.qos], ['will/lost', 'yes', 2]);
  },

  // What is unsubscribed does not come any more; overlapping filters work.
  async filters() {
    const sub = await client();
    const got = inbox(sub);
    const granted = await sub.subscribeAsync({ 'f/+/x': { qos: 0 }, 'f/#': { qos: 2 }, 'g': { qos: 1 } });
    assert.deepEqual(granted.map((g) => g.qos), [0, 2, 1]);
    await sub.unsubscribeAsync(['f/+/x', 'f/#']);
    await sub.publishAsync('f/1/x', 'not any more', { qos: 1 });
    await sub.publishAsync('g', 'still', { qos: 1 });
    const messages = await got.first(1);
    assert.equal(messages[0].payload.toString(), 'still');
  },

  // Another client with the same id takes its place.
  async takeover() {
    const first = await client({ clientId: 'same' });
    const closed = once(first, 'close');
    const second = await client({ clientId: 'same' });
    await closed;
    await second.publishAsync('t', 'it works', { qos: 2 });
  },

  // The client pings, and is not disconnected.
  async keepalive() {
    const c = await client({ keepalive: 1 });
    let closed = false;
    c.on('close', () => { closed = true; });
    for (let pongs = 0; pongs < 2;) {
      const [packet] = await once(c, 'packetreceive');
      if (packet.cmd === 'pingresp') pongs++;
    }
    assert.ok(!closed);
  },

  // A client that gets what it publishes, so that its packet ids and the broker's
  // are the same numbers at the same time; with a session that ends and one that
  // is kept.
  async collisions() {
    for (const clean of [true, false]) {
      const c = await client({ clientId: `both-${clean}-${process.pid}`, ...kept(!clean) });
      const got = inbox(c);
      await c.subscribeAsync('both/#', { qos: 2 });
      const acknowledged = [];
      for (let i = 0; i < 600; i++) acknowledged.push(c.publishAsync(`both/${1 + (i % 2)}`, String(i), { qos: 1 + (i % 2) }));
      await Promise.all(acknowledged);
      inOrderOfEachQoS(await got.first(600));
      await c.endAsync();
    }
  },

  // What came while the client of a session that is kept was away comes in order
  // when it is back.
  async session() {
    const options = { clientId: `kept-${version}`, ...kept(true) };
    const first = await client(options);
    assert.ok(!first.connack.sessionPresent);
    await first.subscribeAsync('away/#', { qos: 2 });
    await first.endAsync();
    const pub = await client();
    const acknowledged = [];
    for (let i = 0; i < 500; i++) acknowledged.push(pub.publishAsync('away/x', String(i), { qos: 1 + (i % 2) }));
    await Promise.all(acknowledged);
    const back = mqtt.connect(url, { protocolVersion: version, reconnectPeriod: 0, ...options });
    clients.push(back);
    const got = inbox(back);
    const [connack] = await once(back, 'connect');
    assert.ok(connack.sessionPresent);
    inOrderOfEachQoS(await got.first(500));
  },

  // The properties of a message come through; what was promised of limits holds.
  async properties() {
    const sub = await client({ properties: { receiveMaximum: 3, topicAliasMaximum: 5 } });
    const got = inbox(sub);
    await sub.subscribeAsync('p/#', { qos: 1, rap: true });
    const own = await client();
    const deaf = inbox(own);
    await own.subscribeAsync('p/#', { qos: 1, nl: true });
    const properties = {
      payloadFormatIndicator: true, messageExpiryInterval: 3600, contentType: 'text/plain', responseTopic: 'p/answer',
      correlationData: everyByte, userProperties: { colour: ['red', 'green'], Größe: '5' },
    };
    await own.publishAsync('p/1', 'x', { qos: 1, retain: true, properties });
    const messages = await got.first(1);
    const { properties: there, retain } = messages[0].packet;
    assert.equal(retain, true);
    assert.deepEqual({ ...there, userProperties: { ...there.userProperties } }, properties);
    await own.publishAsync('p/1', '', { qos: 1, retain: true });
    await got.first(2);
    assert.equal(deaf.messages.length, 0);
  },

  // Publishes for as long as "more" comes in, each time 100 messages at QoS 1,
  // and says when they are acknowledged. The connection may be lost meanwhile.
  async publishing() {
    const c = mqtt.connect(url, { protocolVersion: version, clientId: 'publishing', clean: true, reconnectPeriod: 50 });
    clients.push(c);
    c.on('error', () => {}); // it tries again
    console.log('ready');
    let n = 0;
    for await (const line of readline.createInterface({ input: process.stdin })) {
      if (line !== 'more') break;
      const acknowledged = [];
      for (let i = 0; i < 100; i++) acknowledged.push(c.publishAsync('stored/js', String(n++), { qos: 1 }));
      console.log('sent');
      await Promise.all(acknowledged);
      console.log('acknowledged');
    }
  },
};

(async () => {
  assert.ok(behaviours[behaviour], `no behaviour ${behaviour}`);
  await behaviours[behaviour]();
  await Promise.all(clients.map((c) => c.endAsync(true)));
  process.exit(0);
})().catch((err) => {
  console.error(err);
  process.exit(1);
});
