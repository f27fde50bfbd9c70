// Somebody fills in the form of examples/browser where there is no network.
import assert from 'node:assert/strict';
import { arrived, Browser, BROKER, cut, run, SERVER } from './harness.mjs';

await run(async () => {
  await cut(true);
  const browser = await Browser.start();
  const page = await browser.page(`${SERVER}/example/index.html`);
  await page.evaluate((broker) => (localStorage.broker = broker), BROKER);
  await page.goto(`${SERVER}/example/index.html?durability=${process.env.DURABILITY ?? 'strict'}`);
  for (let i = 0; i < 3; i++) {
    await page.getByLabel('Meter').fill('pump-7');
    await page.getByLabel('Value').fill(`${i}.5`);
    await page.getByRole('button', { name: 'Store' }).click();
    await page.waitForFunction((n) => document.querySelector('#said').textContent === `${n}.5 of pump-7 is stored.`, i);
  }
  await page.locator('#state[data-pending="3"]').waitFor();
  assert.match(await page.locator('#state').textContent(), /^Not connected, 3 not sent yet\. /);
  await cut(false);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.locator('#state[data-pending="0"]').waitFor();
  const values = (await arrived('readings/pump-7', 3)).map((r) => JSON.parse(r).value);
  assert.deepEqual(values, [0.5, 1.5, 2.5]);

  // The page itself is there without a network, too.
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload(); // what came before the Service Worker it has not seen
  await page.getByRole('button', { name: 'Store', disabled: false }).waitFor();
  await fetch(`${SERVER}/test/pages?gone=true`);
  await page.reload();
  await page.getByLabel('Value').fill('9.5');
  await page.getByRole('button', { name: 'Store' }).click();
  assert.equal(JSON.parse((await arrived('readings/pump-1', 1))[0]).value, 9.5);
});
