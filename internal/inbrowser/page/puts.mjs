// How fast messages of 200 bytes are stored, beside a page that stores each by a strict
// transaction of its own: one after the other, and all begun at once. By turns.
import assert from 'node:assert/strict';
import { Browser, cut, open, run } from './harness.mjs';

const rounds = 3, many = 10_000, few = 300;

await run(async () => {
  await cut(true);
  const browser = await Browser.start();
  const page = await browser.page();
  await open(page, { clientId: 'puts' });
  const rates = await page.evaluate(async ([rounds, many, few]) => {
    const payload = crypto.getRandomValues(new Uint8Array(200)), rates = [];
    const table = await new Promise((resolve, reject) => {
      const request = indexedDB.open('puts', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('messages', { autoIncrement: true });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const put = () => new Promise((resolve, reject) => {
      const tx = table.transaction('messages', 'readwrite', { durability: 'strict' });
      tx.objectStore('messages').put({ topic: 'out/a', payload });
      tx.oncomplete = resolve;
      tx.onabort = () => reject(tx.error);
      tx.commit();
    });
    const rate = async (n, store) => {
      const began = performance.now();
      await store();
      return (n * 1000) / (performance.now() - began);
    };
    for (let i = 0; i < rounds; i++) {
      rates.push([
        await rate(many, () => Promise.all(Array.from({ length: many }, () => db.publish('out/a', payload)))),
        await rate(few, async () => { for (let n = 0; n < few; n++) await put(); }),
        await rate(few, () => Promise.all(Array.from({ length: few }, put))),
      ]);
    }
    return rates;
  }, [rounds, many, few]);
  const times = [];
  for (const [ours, one, once] of rates) {
    times.push(ours / one);
    console.log(`stored ${Math.round(ours)} a second, a put each: ${Math.round(one)} one after the other (${(ours / one).toFixed(1)} times), ${Math.round(once)} all at once (${(ours / once).toFixed(1)} times)`);
  }
  assert.ok(times.sort((a, b) => a - b)[1] >= Number(process.env.TIMES), `the middle round is below ${process.env.TIMES} times`);
});
