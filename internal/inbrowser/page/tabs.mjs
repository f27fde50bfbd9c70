// Several tabs use one queue: over one connection to the broker, and on when the tab is
// gone whose Worker owned it. TABS says how many, SHARED whether there is a SharedWorker,
// END how the owner's tab ends: closed or crashed.
import assert from 'node:assert/strict';
import { arrived, Browser, open, run, state, until } from './harness.mjs';

const { TABS, SHARED, END, DURABILITY = 'strict' } = process.env;
const durable = DURABILITY !== 'memory';

await run(async () => {
  const browser = await Browser.start();
  const tabs = [];
  for (let i = 0; i < Number(TABS); i++) {
    const page = await browser.page();
    await open(page, { sharedWorker: SHARED === 'true', clientId: 'tabs' });
    tabs.push(page);
  }
  await until('the link', () => tabs[0].evaluate(async () => (await db.status()).state === 'online'));
  assert.equal((await state()).open, 1, 'connections to the broker');

  // All publish; each notes what was stored, and how long that took at most.
  for (const [i, page] of tabs.entries()) {
    await page.evaluate((i) => {
      globalThis.tab = { stored: [], longest: 0, failed: [], stop: false };
      tab.done = (async () => {
        for (let n = 0; !tab.stop; n++) {
          const from = performance.now();
          try {
            await db.publish(`out/${i}`, `${n}`, { qos: 2 });
            tab.stored.push(`${n}`);
            tab.longest = Math.max(tab.longest, performance.now() - from);
          } catch (error) {
            tab.failed.push(`${error.code}: ${error.message}`);
          }
          await new Promise((r) => setTimeout(r, 3));
        }
      })();
    }, i);
  }
  for (const page of tabs) await page.waitForFunction(() => tab.stored.length >= 30);

  const [first, ...others] = tabs;
  for (const page of others) await page.evaluate(() => ((tab.longest = 0), (tab.until = tab.stored.length + 30)));
  if (END === 'closed') await first.close();
  else {
    const session = await browser.context.newCDPSession(first), crashed = first.waitForEvent('crash');
    session.send('Page.crash').catch(() => {}); // is never answered
    await crashed;
  }
  for (const page of others) await page.waitForFunction(() => tab.stored.length > tab.until);
  const longest = [];
  for (const [i, page] of others.entries()) {
    const { stored, failed, longest: took } = await page.evaluate(async () => {
      tab.stop = true;
      await tab.done;
      return tab;
    });
    longest.push(Math.round(took));
    assert.deepEqual(failed, [], 'what could not be stored');
    if (!durable) continue;
    assert.deepEqual(await arrived(`out/${i + 1}`, stored.length), stored, 'all that was stored has arrived, once and in order');
  }
  console.log(`${TABS} tabs, the owner's was ${END}: the longest wait for publish was ${Math.max(...longest)} ms`);
  await others[0].evaluate(() => db.drain());
  for (const [i] of others.entries()) {
    const list = (await state()).arrived.filter((a) => a.startsWith(`out/${i + 1} `));
    assert.equal(new Set(list).size, list.length, 'something has arrived twice');
  }
  await until('one connection', async () => (await state()).open === 1);
  assert.ok(Math.max(...longest) < Number(process.env.TAKEOVER), `takeover within ${process.env.TAKEOVER} ms`);
});
