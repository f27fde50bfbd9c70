// Where a page and its scripts may come from, and two versions of them at once.
import assert from 'node:assert/strict';
import { arrived, Browser, BROKER, FOREIGN, open, run, SERVER } from './harness.mjs';

const port = new URL(SERVER).port;
const publish = async (page, payload) => page.evaluate(async (p) => (await db.publish('out/a', p)).delivered, payload);
const code = (page, options) => page.evaluate(async (o) => {
  const { open } = await import('/mqttdb.js');
  return open(o).then(() => 'opened', (error) => error.code);
}, { url: BROKER, durability: 'memory', ...options });

await run(async () => {
  const browser = await Browser.start(`--host-resolver-rules=MAP gw.local 127.0.0.1`);

  // Scripts of another origin: the Worker is a Blob of this one.
  const foreign = await browser.page(`${SERVER}/foreign.html`);
  await open(foreign, { clientId: 'foreign', name: 'foreign' }, `${FOREIGN}/mqttdb.js`);
  await publish(foreign, 'foreign');

  // A page that came by http from elsewhere has no locks: a SharedWorker does without.
  const insecure = [];
  for (let i = 0; i < 2; i++) {
    const page = await browser.page(`http://gw.local:${port}/page.html`);
    assert.equal(await page.evaluate(() => isSecureContext || 'locks' in navigator), false);
    await open(page, { clientId: 'insecure' });
    await publish(page, `insecure ${i}`);
    insecure.push(page);
  }
  assert.equal(await code(insecure[0], { sharedWorker: false }), 'insecure');
  await insecure[0].close();
  await publish(insecure[1], 'insecure still');

  // What cannot work says so.
  const page = await browser.page();
  assert.equal(await code(page, { url: 'mqtt://127.0.0.1:1883' }), 'failed', 'a browser reaches no MQTT by TCP');
  assert.equal(await code(page, { name: 'wrong', url: 'nonsense' }), 'settings');
  assert.equal(await code(page, { name: 'A B' }), 'settings');
  assert.equal(await code(page, { name: 'other', wasm: '/mqttdb/nothing.wasm.gz' }), 'failed');
  await open(page, { clientId: 'right' }); // after all that

  // What the newest page asks for is done; what it asks in vain harms no other.
  const second = await browser.page();
  assert.equal(await code(second, { clientId: 'right', url: 'nonsense' }), 'settings');
  await publish(page, 'unharmed');
  await open(second, { clientId: 'changed' });
  await publish(page, 'with what the second says');

  // A newer version of the scripts takes the queue over.
  const upgraded = await browser.page();
  await open(upgraded, { clientId: 'right' }, '/newer/mqttdb.js');
  await publish(upgraded, 'newer');
  assert.equal(await page.evaluate(() => db.publish('out/a', 'older').catch((error) => error.code)), 'superseded');
  assert.equal(await code(await browser.page(), { clientId: 'right' }), 'superseded');
  assert.equal(await code(await browser.page(), { clientId: 'right', sharedWorker: false }), 'superseded', 'also in a Worker that is new');

  assert.deepEqual((await arrived('out/a', 7)).sort(), ['foreign', 'insecure 0', 'insecure 1', 'insecure still', 'newer', 'unharmed', 'with what the second says']);
});
