// Dead letters: the broker hangs up on a message, which is set aside.
import assert from 'node:assert/strict';

import { accessible, shot } from './chromium.mjs';
import { post, publish, setAside } from './gateway.mjs';

const option = (page, text) => page.waitForFunction(
  (t) => [...document.querySelectorAll('.browser option')].some((o) => o.textContent === t), text, { timeout: 15_000 });

export async function deadLetters(page, view) {
  await publish('edge', 'taken', '1'); // after some that are not the broker would count as refusing all
  await post('/api/connections/edge/drain');
  await publish('edge', 'too/large', '<script>alert(1)</script>'.padEnd(5000, '.'));
  await page.locator('[data-connection=edge] a').press('Enter');
  await option(page, 'Dead letters (1)');
  await page.locator('#event-list [data-kind=dead]').first().waitFor();
  await page.locator('.browser select').selectOption('dead'); // and looks
  await page.locator('.messages summary').click();
  assert.match(await page.locator('.messages .callout').textContent(), /\S/, 'why it was set aside');
  assert.match(await page.locator('.messages pre').textContent(), /^<script>alert/);
  await accessible(page, 'dead letters', ['light']);
  await shot(page, view, 'dead', true);
  await page.getByRole('button', { name: 'Requeue' }).click();
  await page.locator('.browser [role=status]', { hasText: 'is in the queue again' }).waitFor();
  // The broker takes it no better, perhaps before the page hears of anything.
  await setAside('edge', Number(/\d+/.exec(await page.locator('.browser [role=status]').textContent())[0]));
  await page.getByRole('button', { name: 'Look' }).click();
  await page.locator('.messages summary').click();
  await page.getByRole('button', { name: 'Delete' }).click();
  assert.match(await page.locator('dialog').textContent(), /too\/large is forgotten/);
  await page.locator('#confirm').click();
  await option(page, 'Dead letters (0)');
  await page.locator('.messages li').waitFor({ state: 'detached' }); // the count comes by itself, perhaps before the answer
}
