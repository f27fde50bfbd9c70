// What changes under the page: the configuration, and the gateway itself.
import assert from 'node:assert/strict';

import { accessible, shot, shows } from './chromium.mjs';
import { post, publish, steer } from './gateway.mjs';

const { CONNECTIONS, GATEWAY } = process.env;
const old = '  old: {broker: "mqtt://127.0.0.1:1", client_id: old}\n';

// What somebody wrote into the configuration is shown as text.
export async function reload(page) {
  await page.locator('#link[data-live=live]').waitFor();
  await steer('configure', `${CONNECTIONS}  "<img src=x onerror=alert(2)>": {}\n`);
  const refused = await fetch(`${GATEWAY}/api/reload`, { method: 'POST', headers: { 'X-Mqttdb': '1' } });
  assert.equal(refused.status, 422);
  await page.locator('#event-list [data-kind=reloaded]', { hasText: '<img src=x' }).waitFor();
  assert.equal(await page.locator('#event-list img').count(), 0);
}

// A connection that is taken out of the configuration with messages stays in sight.
export async function orphans(page) {
  const row = page.locator('[data-connection=old]');
  await steer('configure', `${CONNECTIONS}${old}`);
  await post('/api/reload');
  await row.waitFor();
  await publish('old', 'a', 'left behind');
  await shows(page, 'old', 1);
  await steer('configure', CONNECTIONS);
  await post('/api/reload');
  await page.locator('[data-connection=old][data-state=orphan]').waitFor();
  assert.match(await row.textContent(), /in no configuration/);
  await accessible(page, 'orphan', ['light']);
  await shot(page, 'wide', 'orphan');
}

// The page says that it has lost the gateway, and finds it when it is there again, with
// what it had.
export async function reconnect(page) {
  await publish('plant', 'a', 'before');
  await shows(page, 'plant', 1);
  await steer('stop');
  await page.locator('#link[data-live=waiting]').waitFor();
  assert.equal(await page.evaluate(() => document.body.dataset.stale), 'true');
  await accessible(page, 'no contact', ['light']);
  await shot(page, 'wide', 'lost');
  await steer('start');
  await page.locator('#link[data-live=live]').waitFor({ timeout: 15_000 });
  await shows(page, 'plant', 1);
  await publish('plant', 'a', 'after');
  await shows(page, 'plant', 2, { timeout: 1000 });
  await page.waitForFunction(() => document.getElementById('plot-pending').dataset.last >= 2);
  await page.locator('#event-list li').first().waitFor();
}
