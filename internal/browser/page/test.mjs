// Looks at the status page in Chromium. The environment says where everything is:
// GATEWAY (its URL), MODULES (node_modules), CHROMIUM, PROFILES (an empty directory) and,
// to keep pictures, SCREENSHOTS.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const { GATEWAY, MODULES, CHROMIUM, PROFILES, SCREENSHOTS } = process.env;
const require = createRequire(path.join(MODULES, 'x.js'));
const { chromium } = require('playwright-core');
const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
const down = 'plant';

const statuses = async () => (await fetch(`${GATEWAY}/api/connections`)).json();
const post = async (url, body) => {
  const response = await fetch(GATEWAY + url, { method: 'POST', body, headers: { 'X-Mqttdb': '1' } });
  assert.ok(response.ok, `${url}: ${response.status} ${await response.clone().text()}`);
};
const publish = (topic, body) => post(`/api/connections/${down}/publish?topic=${encodeURIComponent(topic)}`, body);

async function accessible(page, what) {
  await page.evaluate(axe);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await inspect(page, `${what}, ${colorScheme}`);
  }
}

async function inspect(page, what) {
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  const bad = violations.filter((v) => ['serious', 'critical'].includes(v.impact));
  assert.deepEqual(bad.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], what);
}

async function narrow(page, what) {
  const { wide, width } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, width: innerWidth }));
  assert.ok(wide <= width, `${what}: the page is ${wide} px wide in a window of ${width} px`);
}

async function look(name, viewport) {
  const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  const context = await chromium.launchPersistentContext(path.join(PROFILES, name), { executablePath: CHROMIUM, headless: true, args: flags, viewport });
  const page = context.pages()[0];
  page.setDefaultTimeout(8000);
  const errors = [];
  page.on('pageerror', (e) => errors.push(String(e)));
  page.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
  const shot = async (what, fullPage = false) => {
    if (!SCREENSHOTS) return;
    if (fullPage) await page.evaluate(() => scrollTo(0, 0));
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: path.join(SCREENSHOTS, `${name}-${colorScheme}-${what}.png`), fullPage });
    }
  };
  try {
    await page.goto(GATEWAY);
    const row = page.locator(`[data-connection="${down}"]`);
    const pending = row.locator('.number');
    for (const each of ['cloud', 'edge', down]) await page.locator(`[data-connection="${each}"]`).waitFor();
    await page.locator('[data-connection=cloud][data-state=online]').waitFor();
    assert.match(await row.locator('.words').textContent(), /Waiting to retry|Connecting/);
    await row.locator('.trouble:not([hidden])').waitFor();
    assert.equal(await pending.textContent(), '0');

    // What is published is on the page within a second, and the plot moves.
    const canvas = page.locator('#plot-pending canvas');
    const before = await canvas.evaluate((c) => c.toDataURL());
    for (let i = 0; i < 5; i++) await publish('hall/<b>1</b>', JSON.stringify({ text: '<img src=x onerror=alert(1)>', i }));
    await page.waitForFunction((n) => document.querySelector(`[data-connection="${n}"] .number`).textContent === '5', down, { timeout: 1000 });
    await page.waitForFunction(() => document.getElementById('plot-pending').dataset.last >= 5);
    await page.waitForFunction((old) => document.querySelector('#plot-pending canvas').toDataURL() !== old, before);
    await accessible(page, 'list');
    await narrow(page, 'list');
    await shot('list');

    // The browser shows as text what looks like HTML.
    await row.locator('a').press('Enter');
    await page.waitForFunction(() => document.activeElement.id === 'detail-title'); // the focus is at the connection that was opened
    await page.getByRole('button', { name: 'Look' }).click();
    await page.locator('.messages summary').first().click();
    assert.match(await page.locator('.messages pre').textContent(), /<img src=x onerror/);
    assert.equal(await page.locator('.messages img, .messages b, #event-list img').count(), 0);
    await page.getByRole('button', { name: 'Hex' }).click();
    assert.match(await page.locator('.messages pre').textContent(), /^000000 {2}7b 22/);
    await page.getByRole('button', { name: 'JSON' }).click();
    await accessible(page, 'connection');
    await narrow(page, 'connection');
    await shot('connection', true);
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.locator('#confirm').click();
    await page.waitForFunction((n) => document.querySelector(`[data-connection="${n}"] .number`).textContent === '4', down);

    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export' }).click()]);
    assert.equal((await readFile(await download.path(), 'utf8')).trim().split('\n').length, 4);

    await page.getByRole('button', { name: 'Pause' }).click();
    await page.locator(`[data-connection="${down}"][data-state=paused]`).waitFor();
    await shot('paused');
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.locator(`[data-connection="${down}"]:not([data-state=paused])`).waitFor();

    // Clear names the number, does nothing without confirmation, and all with it.
    await row.getByRole('button', { name: `Clear ${down}` }).click();
    assert.match(await page.locator('dialog').textContent(), /Clear 4 messages of plant\?/);
    await accessible(page, 'dialog');
    await shot('clear');
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    assert.equal(await pending.textContent(), '4');
    await row.getByRole('button', { name: `Clear ${down}` }).click();
    await page.locator('#confirm').click();
    await page.waitForFunction((n) => document.querySelector(`[data-connection="${n}"] .number`).textContent === '0', down);
    assert.equal((await statuses()).find((s) => s.name === down).outgoing.pending, 0);
    await page.waitForFunction(() => document.getElementById('said').textContent.includes('4 messages cleared'));
    assert.deepEqual(errors, [], 'errors in the console');
  } catch (error) {
    error.message = `${name}: ${error.message}\n${errors.join('\n')}`;
    throw error;
  } finally {
    await context.close();
  }
}

const wide = { width: 1280, height: 800 }, phone = { width: 375, height: 812 };
await look('wide', wide);
await look('phone', phone);
