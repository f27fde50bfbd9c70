// A connection in each state that there is, and what else may be the matter with one: of
// GATEWAY, whose configuration is CONNECTIONS and which STEERING configures.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';

import { accessible, look, says, shot } from './chromium.mjs';
import { keyboard } from './keyboard.mjs';
import { post, publish, steer } from './gateway.mjs';

const { CONNECTIONS, GATEWAY } = process.env;

const wanted = {
  boiler: ['online', 'Online'], crane: ['orphan', 'Orphan'], dryer: ['backoff', 'Waiting to retry'], kiln: ['paused', 'Paused'],
  lathe: ['backoff', 'Waiting to retry, full'], oven: ['online', 'Online, cannot store'], paint: ['refused', 'Refused'], press: ['connecting', 'Connecting'], saw: ['stalled', 'Stalled'],
};

// Brings the connections there.
async function prepare() {
  await steer('configure', `${CONNECTIONS}  crane: {broker: "mqtt://127.0.0.1:1", client_id: crane}\n`);
  await post('/api/reload');
  await publish('crane', 'load', '1.2');
  await steer('configure', CONNECTIONS);
  await post('/api/reload');
  await post('/api/connections/kiln/pause');
  for (const name of ['saw', 'lathe', 'lathe', 'lathe', 'kiln']) await publish(name, 'speed', '17');
  await assert.rejects(publish('lathe', 'speed', '18'), /507/);
  await assert.rejects(publish('oven', 'heat', '19'), /507.*disk full/);
}

async function states(page, view) {
  const seen = (names) => Object.fromEntries(names.map((name) => {
    const row = document.querySelector(`[data-connection="${name}"]`);
    return [name, [row?.dataset.state, row?.querySelector('.words').textContent]];
  }));
  for (const end = Date.now() + 40_000; ; await page.waitForTimeout(100)) { // two of them come and go
    const now = await page.evaluate(seen, Object.keys(wanted));
    if (isDeepStrictEqual(now, wanted)) break;
    if (Date.now() > end) assert.deepEqual(now, wanted);
  }
  const troubled = (name, words) => page.locator(`[data-connection=${name}] .trouble`, { hasText: words }).waitFor();
  await troubled('saw', 'nothing was acknowledged for 1s');
  await troubled('paint', 'not authorized');
  await troubled('lathe', 'max_messages');
  await troubled('oven', 'disk full');
  await shot(page, view, 'states', true);
  await accessible(page, 'states');
  if (view === 'phone') { // the narrowest that there are, or 400 % of a wide one
    await page.setViewportSize({ width: 320, height: 640 });
    await accessible(page, 'states at 320 px', ['light']);
  }

  // What cannot be done to an orphan is not offered.
  const orphan = page.locator('[data-connection=crane]');
  await orphan.locator('a').press('Enter');
  await page.locator('#detail', { hasText: 'messages wait for a connection of this name' }).waitFor();
  assert.deepEqual(await page.locator('#detail button:visible').allTextContents(), ['Clear…']);
  await page.keyboard.press('Escape');
  await page.locator('[data-connection=_local] a').press('Enter');
  await page.locator('#detail-title', { hasText: '_local' }).waitFor();
  assert.deepEqual(await page.locator('#detail .actions button:visible').allTextContents(), ['Compact', 'Clear…']);
  assert.deepEqual(await page.locator('#detail option').evaluateAll((all) => all.map((o) => o.value)), ['outgoing', 'dead', 'retained']);
}

async function orphan(page) {
  await page.getByRole('button', { name: 'Clear crane' }).click();
  await page.locator('dialog', { hasText: 'Clear 1 message of crane?' }).waitFor();
  await page.locator('#confirm').click();
  await says(page, 'crane: 1 message cleared');
  await page.locator('[data-connection=crane]').waitFor({ state: 'detached' });
}

await prepare();
for (const view of ['wide', 'phone']) await look('states', view, GATEWAY, states);
await look('keyboard', 'wide', GATEWAY, keyboard);
await look('orphan', 'phone', GATEWAY, orphan);
