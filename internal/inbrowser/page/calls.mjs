// Everything that a page can ask for, once.
import assert from 'node:assert/strict';
import { arrived, Browser, cut, open, run, until } from './harness.mjs';

await run(async () => {
  const browser = await Browser.start();
  const page = await browser.page();
  const shared = process.env.SHARED !== 'false';
  console.log(`ready after ${Math.round(await open(page, { sharedWorker: shared, clientId: 'calls' }))} ms`);

  // Stored, then delivered; any payload.
  const seqs = await page.evaluate(async () => {
    const receipts = [];
    for (const [payload, options] of [['text', { qos: 0 }], ['', undefined], [new Uint8Array([65, 66]), { qos: 1 }], [new Uint8Array([0, 67]).subarray(1), { qos: 2 }], ['é', { qos: 2 }], [undefined, { qos: 2 }]]) {
      receipts.push(await db.publish('out/a', payload, options));
    }
    await Promise.all(receipts.map((r) => r.delivered));
    return receipts.map((r) => r.seq);
  });
  assert.deepEqual(seqs, [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(await arrived('out/a', 6), ['text', '', 'AB', 'C', 'é', '']);

  // What is wrong is refused, with a code.
  const codes = await page.evaluate(async () => {
    const code = (promise) => promise.then(() => 'done', (error) => error.code ?? error.name);
    return [
      await code(db.publish('out/#', 'x')), await code(db.publish('', 'x')), await code(db.publish('out/a', 'x', { qos: 3 })), await code(db.publish('out/a', { a: 1 })),
      await code(db.publish('out/a', new Uint8Array(5 << 20))), await code(db.subscribe('a#').next()), await code(db.clear({ queue: 'x' })),
    ];
  });
  assert.deepEqual(codes, ['invalid', 'invalid', 'RangeError', 'TypeError', 'too-large', 'invalid', 'failed']);

  // Subscriptions: live, and as one that has to be acknowledged.
  const got = await page.evaluate(async () => {
    const live = db.subscribe('in/#'), take = async (n) => {
      const list = [];
      for await (const m of live) if (list.push(`${m.topic} ${m.text()} ${m.qos} ${m.payload.constructor.name}`) === n) break;
      return list;
    };
    const taken = take(3);
    while ((await db.status()).state !== 'online') await new Promise((r) => setTimeout(r, 20));
    for (let i = 0; i < 3; i++) await (await db.publish('in/x', `${i}`)).delivered;
    return taken;
  });
  assert.deepEqual(got, ['in/x 0 1 Uint8Array', 'in/x 1 1 Uint8Array', 'in/x 2 1 Uint8Array']);

  // The statuses say how it goes; what waits can be cleared; pause, resume, drain.
  await page.evaluate(() => {
    globalThis.statuses = [];
    db.onstatus = (s) => statuses.push(s);
  });
  await cut(true);
  await until('the state is told', () => page.evaluate(() => statuses.at(-1)?.state !== 'online' && statuses.length > 0));
  const cleared = await page.evaluate(async () => {
    for (let i = 0; i < 5; i++) await db.publish('out/cleared', 'x', { qos: 2 });
    const before = (await db.status()).outgoing.pending;
    const n = await db.clear({ topic: 'out/cleared' });
    return [before, n, (await db.status()).outgoing.pending];
  });
  assert.deepEqual(cleared, [5, 5, 0]);
  await page.evaluate(() => db.pause());
  await until('paused', () => page.evaluate(() => statuses.at(-1).state === 'paused'));
  await cut(false);
  await page.evaluate(async () => {
    await db.publish('out/later', '1', { qos: 1 });
    const late = await db.drain({ timeout: 100 }).then(() => 'drained', (error) => error.code);
    if (late !== 'timeout') throw new Error(late);
    await db.resume();
    await db.drain();
    const { outgoing, evictable } = await db.status();
    if (outgoing.pending !== 0 || typeof evictable !== 'boolean') throw new Error('status');
  });
  assert.deepEqual(await arrived('out/later', 1), ['1']);

  // What is closed is closed; another can be opened.
  await page.evaluate(async () => {
    const last = db.publish('out/last', '1');
    await db.close();
    await last;
    const code = await db.publish('out/last', '2').catch((error) => error.code);
    if (code !== 'closed') throw new Error(code);
  });
  await open(page, { sharedWorker: shared, clientId: 'calls' });
  await page.evaluate(async () => (await db.publish('out/again', '1')).delivered);
});
