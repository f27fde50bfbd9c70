// What goes wrong on the way: credentials that expire, a link that is cut or silent, a
// Worker that fails.
import assert from 'node:assert/strict';
import { arrived, Browser, cut, open, run, state, still, until } from './harness.mjs';

const status = (page) => page.evaluate(() => db.status());

await run(async () => {
  const browser = await Browser.start();
  const page = await browser.page();

  // Username and password are asked for before each attempt; what was published
  // meanwhile is sent when the broker takes them.
  await page.evaluate(async (url) => {
    globalThis.mqttdb = await import('/mqttdb.js');
    globalThis.asked = 0;
    globalThis.db = await mqttdb.open({
      url, durability: 'memory', sharedWorker: false, clientId: 'troubles', keepAlive: 1, username: 'page',
      password: async () => {
        if (++asked === 1) throw new Error('the token service is away');
        return asked === 2 ? 'wrong' : 'secret';
      },
    });
  }, process.env.BROKER);
  await page.evaluate(async (url) => {
    const away = await mqttdb.open({ url, durability: 'memory', sharedWorker: false, clientId: 'away', name: 'away', password: () => Promise.reject(new Error('the token service is away')) });
    while (!(await away.status()).last_error.includes('the token service is away')) await new Promise((r) => setTimeout(r, 20));
    await away.close();
  }, process.env.BROKER);
  await page.evaluate(async () => {
    await db.publish('out/a', 'early', { qos: 2 });
    await db.drain();
  });
  assert.equal(await page.evaluate(() => asked), 3);
  assert.deepEqual(await arrived('out/a', 1), ['early']);

  // A silent link is found out within twice the keepalive, and true is what is shown.
  await still(true);
  const from = performance.now();
  await until('the link is given up', async () => (await status(page)).state !== 'online', 2500);
  console.log(`a silent link was given up after ${Math.round(performance.now() - from)} ms, keepalive 1000 ms`);
  await page.evaluate(() => db.publish('out/a', 'into the silence', { qos: 2 }));
  await still(false);

  // The network is another one: no backoff is waited for.
  await cut(true);
  await until('it has failed some times', async () => (await status(page)).next_attempt && Date.parse((await status(page)).next_attempt) - Date.now() > 900, 40_000);
  await cut(false);
  const again = performance.now();
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.evaluate(() => db.drain());
  console.log(`online again after ${Math.round(performance.now() - again)} ms`);
  assert.ok(performance.now() - again < 800, 'it is dialed at once');
  assert.deepEqual(await arrived('out/a', 2), ['early', 'into the silence']);

  // A bug ends the Worker; another one goes on, and so do subscriptions.
  await page.evaluate(() => {
    globalThis.heard = [];
    globalThis.subscription = db.subscribe('in/#', { qos: 1 });
    (async () => {
      for await (const m of subscription) heard.push(m.text());
    })();
  });
  const { served } = await state();
  const [worker] = page.workers();
  const failed = worker.evaluate(() => mqttdbHosts.host1.broken('a drill')).catch(() => {});
  await until('another Worker', async () => (await state()).served > served && (await status(page)).state === 'online');
  await failed;
  await page.evaluate(async () => (await db.publish('out/a', 'after the bug', { qos: 2 })).delivered);
  await until('the subscription is there again', () => page.evaluate(async () => {
    await (await db.publish('in/x', 'heard')).delivered;
    return heard.length > 0;
  }));
  assert.deepEqual(await arrived('out/a', 3), ['early', 'into the silence', 'after the bug']);
});
