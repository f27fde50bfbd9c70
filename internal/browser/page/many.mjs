// The page with many CONNECTIONS, none of which is online, and MESSAGES pending on the
// first of them. Prints what it measured.
import assert from 'node:assert/strict';

import { look, shows } from './chromium.mjs';
import { publish } from './gateway.mjs';

const { CONNECTIONS, GATEWAY, MESSAGES } = process.env;
const count = new Intl.NumberFormat('en').format;

await look('many', 'wide', GATEWAY, async (page) => {
  const took = async (what, act, most) => {
    const began = performance.now();
    await act();
    const ms = Math.round(performance.now() - began);
    console.log(`${what}: ${ms} ms`);
    assert.ok(ms < most, `${what} took ${ms} ms, more than ${most}`);
  };
  await took('the page is there anew, with all connections', async () => {
    await page.reload();
    await page.waitForFunction((n) => document.querySelectorAll('#list li').length > n, Number(CONNECTIONS));
    await shows(page, 'line000', count(MESSAGES));
  }, 5000);
  await page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ type: 'longtask' });
  });
  for (let i = 1; i <= 3; i++) {
    await took('a published message is shown', async () => {
      await publish('line000', 'a', 'x');
      await shows(page, 'line000', count(Number(MESSAGES) + i));
    }, 1000);
  }
  await took('one of them opens', async () => {
    await page.locator('[data-connection=line000] a').click();
    await page.locator('#detail-title').waitFor();
  }, 2000);
  await took('its messages are shown', async () => {
    await page.getByRole('button', { name: 'Look' }).click();
    await page.locator('.messages summary').first().waitFor();
  }, 2000);
  await took('a connection is found by its name', async () => {
    await page.locator('#find').fill('line01');
    await page.locator('[data-connection=line002]').waitFor({ state: 'hidden' });
  }, 2000);
  await page.evaluate(() => new Promise((done) => { // some seconds of plots
    let seen = 0;
    new MutationObserver(() => ++seen === 3 && done()).observe(document.getElementById('plot-pending'), { attributes: true, attributeFilter: ['aria-label'] });
    setTimeout(done, 5000);
  }));
  const longest = Math.round(await page.evaluate(() => globalThis.longest));
  console.log(`the page was busy for ${longest} ms at most`);
  assert.ok(longest < 1000, `the page hung for ${longest} ms`);
});
