// The browser is killed while a page publishes where there is no network; what was stored
// is there when it is started on the same profile, and arrives once and in order when
// there is a network again. COUNT says how many messages are published before the
// reload, ROUNDS how often the browser is killed.
import assert from 'node:assert/strict';
import { arrived, Browser, cut, open, run } from './harness.mjs';

const count = Number(process.env.COUNT), rounds = Number(process.env.ROUNDS);
const topics = ['out/1', 'out/2']; // at QoS 1 and 2
const stored = { 'out/1': 0, 'out/2': 0 }; // all numbers below were stored, but for those that were never published
const expected = { 'out/1': [], 'out/2': [] }; // from, to: of each round

await run(async () => {
  await cut(true);
  let browser, page;
  const begin = async () => {
    browser = await Browser.start();
    await browser.context.exposeFunction('noted', (topic, n) => (stored[topic] = Math.max(stored[topic], n + 1)));
    page = await browser.page();
    await open(page, { clientId: 'kill', durability: 'strict' });
  };
  // publish goes on in the page, with up to 64 at a time; next are the numbers to begin with.
  const publish = (next, until) => page.evaluate(async ([topics, next, until]) => {
    await Promise.all(topics.map(async (topic, i) => {
      for (let n = next[i]; n < until; ) {
        const last = Math.min(n + 64, until) - 1, all = [];
        for (; n <= last; n++) all.push(db.publish(topic, `${n}`, { qos: i + 1 }));
        await Promise.all(all);
        noted(topic, last);
      }
    }));
  }, [topics, next, until]);

  await begin();
  await publish([0, 0], count / 2);
  await page.reload();
  await open(page, { clientId: 'kill', durability: 'strict' });
  await publish([count / 2, count / 2], count);
  await browser.kill();

  // What was under way when the browser was killed may be stored or not: the next number
  // of a topic is a fresh one, so that nothing is ever published twice.
  let next = count;
  for (let round = 0; round < rounds; round++) {
    await begin();
    const before = { ...stored };
    const publishing = publish([next, next], 1e9).catch(() => {});
    const enough = Math.random() * 500;
    while (Object.keys(stored).some((t) => stored[t] < Math.max(before[t], next) + enough)) await new Promise((r) => setTimeout(r, 5));
    await browser.kill();
    await publishing;
    for (const t of topics) expected[t].push([next, stored[t]]);
    next = Math.max(...Object.values(stored)) + 1000;
  }

  await begin();
  assert.ok(await page.evaluate(async () => (await db.status()).outgoing.pending) >= 2 * count);
  const from = performance.now();
  await cut(false);
  await page.evaluate(async () => {
    dispatchEvent(new Event('online'));
    await db.drain();
  });
  console.log(`${rounds + 1} kills; sent in ${Math.round(performance.now() - from)} ms`);
  for (const [i, topic] of topics.entries()) {
    const got = (await arrived(topic, count)).map(Number);
    const first = i === 1 ? got : got.filter((n, at) => got.indexOf(n) === at); // QoS 1 may repeat
    if (i === 1) assert.equal(new Set(got).size, got.length, 'something arrived twice at QoS 2');
    assert.deepEqual(first, [...first].sort((a, b) => a - b), `${topic}: not in order`);
    const there = new Set(got);
    for (const [a, b] of [[0, count], ...expected[topic]]) {
      for (let n = a; n < b; n++) assert.ok(there.has(n), `${topic}: ${n} was stored, and has not arrived`);
    }
  }
});
