// What an operator does every day: sees that a connection is down, watches, clears.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { accessible, says, shot, shows } from './chromium.mjs';
import { publish, status } from './gateway.mjs';

const down = 'plant';

export async function operate(page, view) {
  const row = page.locator(`[data-connection="${down}"]`);
  const pending = row.locator('.number');
  for (const each of ['cloud', 'edge', down]) await page.locator(`[data-connection="${each}"]`).waitFor();
  await page.locator('[data-connection=cloud][data-state=online]').waitFor();
  assert.match(await row.locator('.words').textContent(), /Waiting to retry|Connecting/);
  await row.locator('.trouble:not([hidden])').waitFor();
  assert.equal(await pending.textContent(), '0');
  await page.locator('#power[data-safe=true]').waitFor();

  // What is published is on the page within a second, and the plot moves.
  const before = await page.locator('#plot-pending canvas').evaluate((c) => c.toDataURL());
  const n = { wide: 5, phone: 8 }[view]; // another one the second time: an hour has few pixels
  for (let i = 0; i < n; i++) await publish(down, 'hall/<b>1</b>', JSON.stringify({ text: '<img src=x onerror=alert(1)>', i }));
  await shows(page, down, n, { timeout: 1000 });
  assert.equal(await page.title(), `⚠ ${n} pending · mqttdb`, 'a tab in the background says so, too');
  await page.waitForFunction((least) => document.getElementById('plot-pending').dataset.last >= least, n);
  await page.waitForFunction((old) => document.querySelector('#plot-pending canvas').toDataURL() !== old, before);
  await page.locator('#power[data-safe=false]').waitFor();
  await accessible(page, 'list');
  await shot(page, view, 'list');

  // Who comes back to a tab finds the hour whole.
  await Promise.all([page.waitForResponse((r) => r.url().endsWith('/api/history')), page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')))]);

  await messages(page, view, n);

  await page.getByRole('button', { name: 'Pause' }).click();
  await page.locator(`[data-connection="${down}"][data-state=paused]`).waitFor();
  await says(page, 'plant: paused');
  await shot(page, view, 'paused');
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.locator(`[data-connection="${down}"]:not([data-state=paused])`).waitFor();

  await clear(page, view, n - 1);

  await page.locator('[data-connection=cloud] a').press('Enter');
  await page.getByRole('button', { name: 'Drain' }).click();
  await says(page, 'cloud: drained, nothing is pending');
  await page.getByRole('button', { name: 'Compact' }).click();
  await says(page, 'cloud: compacted');
  await page.keyboard.press('Escape');
  await page.locator('#detail').waitFor({ state: 'hidden' });
}

// The browser of messages shows as text what looks like HTML.
async function messages(page, view, n) {
  await page.locator(`[data-connection="${down}"] a`).press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'detail-title'); // of what was opened
  await page.getByRole('button', { name: 'Look' }).click();
  await page.locator('.messages summary').first().click();
  assert.match(await page.locator('.messages pre').textContent(), /<img src=x onerror/);
  assert.equal(await page.locator('.messages img, .messages b').count(), 0);
  assert.equal(await page.locator('.messages .topic').first().textContent(), 'hall/<b>1</b>');
  await page.getByRole('button', { name: 'Hex' }).click();
  assert.match(await page.locator('.messages pre').textContent(), /^000000 {2}7b 22/);
  await page.getByRole('button', { name: 'JSON' }).click();
  await accessible(page, 'connection');
  await shot(page, view, 'connection', true);
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.locator('#confirm').click();
  await shows(page, down, n - 1);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export' }).click()]);
  assert.equal((await readFile(await download.path(), 'utf8')).trim().split('\n').length, n - 1);
}

// Clear names the number, does nothing without confirmation, and all with it.
async function clear(page, view, n) {
  const button = page.getByRole('button', { name: `Clear ${down}` });
  await button.click();
  assert.match(await page.locator('dialog').textContent(), new RegExp(`Clear ${n} messages of plant\\?`));
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel');
  await accessible(page, 'dialog');
  await shot(page, view, 'clear');
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.equal((await status(down)).outgoing.pending, n);
  await button.click();
  await page.locator('#confirm').click();
  await shows(page, down, 0);
  assert.equal((await status(down)).outgoing.pending, 0);
  await says(page, `${n} messages cleared`);
}
