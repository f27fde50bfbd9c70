// A gateway that wants a token: the page asks for it once, and puts it into no URL.
import assert from 'node:assert/strict';

import { accessible, shot } from './chromium.mjs';

const { GUARDED, PASSWORD, TOKEN } = process.env;

export async function guarded(page, view) {
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  page.on('websocket', (socket) => asked.push(socket.url()));
  const dialog = page.locator('dialog[open]');
  const live = page.locator('#link[data-live=live]');
  await dialog.waitFor();
  assert.match(await dialog.textContent(), /http\.token_file/);
  assert.equal(await page.locator('#list li').count(), 0, 'nothing is shown without it');
  await accessible(page, 'token');
  await shot(page, view, 'token');

  await page.locator('dialog input').fill('not-the-token-not-the-token');
  await page.keyboard.press('Enter');
  await page.locator('dialog[open]', { hasText: 'The token was wrong.' }).waitFor({ timeout: 15_000 });
  await page.locator('dialog input').fill(TOKEN);
  await page.getByRole('button', { name: 'Continue' }).click();
  await live.waitFor({ timeout: 15_000 });
  await page.locator('[data-connection=cloud][data-state=online]').waitFor();

  await page.reload();
  await live.waitFor();
  assert.equal(await dialog.count(), 0, 'it is asked for once');
  assert.ok(asked.length > 10 && !asked.some((url) => url.includes(TOKEN) || url.includes('token=')), 'it is in no URL');
  assert.ok(!(await page.context().cookies()).length, 'nor in a cookie');

  await page.locator('[data-connection=beyond] .trouble', { hasText: 'proxy' }).waitFor();
  await page.locator('[data-connection=beyond] a').press('Enter');
  await page.locator('#event-list li', { hasText: 'beyond' }).waitFor();
  const whole = await page.evaluate(() => [document.documentElement.outerHTML, location.href, document.title, JSON.stringify(localStorage)].join('\n'));
  for (const secret of [TOKEN, PASSWORD]) assert.ok(!whole.includes(secret), `${secret} is in the page`);
  assert.match(whole, /wss:\/\/127/);
  await page.keyboard.press('Escape');

  // This one is a demonstration.
  for (const [button, verb] of [['Cut the link', 'cut'], ['Mend it', 'mend'], ['Fill the disk', 'fill'], ['Free it', 'free'], ['Kill the gateway', 'kill']]) {
    const [answer] = await Promise.all([page.waitForResponse(`${GUARDED}/api/demo/${verb}`), page.getByRole('button', { name: button }).click()]);
    assert.equal(answer.status(), 202, verb);
  }
}
