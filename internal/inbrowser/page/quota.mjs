// The browser grants little. What is stored until then stays, and when it was sent there
// is room again.
import assert from 'node:assert/strict';
import { arrived, Browser, cut, open, run, SERVER, until } from './harness.mjs';

const quota = 40 << 20;

await run(async () => {
  await cut(true);
  const browser = await Browser.start();
  const page = await browser.page();
  const session = await browser.context.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: SERVER, quotaSize: quota });
  await open(page, { clientId: 'quota' });

  // Each marker on out/a follows something large, which the listener does not hear of.
  const fill = (n) => page.evaluate(async (n) => {
    const large = new Uint8Array(256 << 10), stored = []; // of noise: the browser packs what it stores
    for (let at = 0; at < large.length; at += 1 << 16) crypto.getRandomValues(large.subarray(at, at + (1 << 16)));
    for (; ; n++) {
      try {
        await db.publish('large', large, { qos: 2 });
        await db.publish('out/a', `${n}`, { qos: 2 });
        stored.push(`${n}`);
      } catch ({ code, message, hint }) {
        const { usage } = await navigator.storage.estimate();
        return { stored, code, message, hint, usage };
      }
      if (stored.length === 300) throw new Error('it is never full');
    }
  }, n);
  const { stored, code, message, hint, usage } = await fill(0);
  console.log(`after ${stored.length} messages, ${usage >> 20} of ${quota >> 20} MiB are used: ${message}`);
  assert.equal(code, 'full');
  assert.ok(hint.length > 0, 'what to do about it');
  assert.ok(usage > quota / 2, 'most of it is used');

  // Also for those who come then.
  await page.reload();
  await open(page, { clientId: 'quota' });
  assert.equal((await fill(1000)).code, 'full');

  const began = performance.now();
  await cut(false);
  await page.evaluate(async () => {
    dispatchEvent(new Event('online'));
    await db.drain();
  });
  assert.deepEqual(await arrived('out/a', stored.length), stored);
  await until('there is room again', () => page.evaluate(() => db.publish('out/b', new Uint8Array(1 << 20), { qos: 2 }).then(() => true, ({ code }) => {
    if (code !== 'full') throw new Error(code);
  })), 30_000);
  console.log(`sent, and room again, after ${Math.round(performance.now() - began)} ms`);
});
