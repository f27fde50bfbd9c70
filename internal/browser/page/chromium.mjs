// Chromium with the status page in it. The environment says where everything is: MODULES
// (node_modules), CHROMIUM, PROFILES (an empty directory) and, to keep pictures, SCREENSHOTS.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const { MODULES, CHROMIUM, PROFILES, SCREENSHOTS } = process.env;
const require = createRequire(path.join(MODULES, 'x.js'));
const { chromium } = require('playwright-core');
const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');

export const viewports = { wide: { width: 1280, height: 800 }, phone: { width: 375, height: 812 } };

/** Has do(page, view) look at the page at url; expected are errors of the console that may be. */
export async function look(name, view, url, act, expected = /^$/) {
  const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  const context = await chromium.launchPersistentContext(path.join(PROFILES, `${name}-${view}`), { executablePath: CHROMIUM, headless: true, args: flags, viewport: viewports[view] });
  const page = context.pages()[0];
  page.setDefaultTimeout(8000);
  const errors = [];
  const note = (text) => !expected.test(text) && errors.push(text);
  page.on('pageerror', (e) => note(String(e)));
  page.on('console', (m) => m.type() === 'error' && note(m.text()));
  try {
    await page.goto(url);
    await act(page, view);
    assert.deepEqual(errors, [], 'errors in the console');
  } catch (error) {
    error.message = `${name}, ${view}: ${error.message}\n${errors.join('\n')}`;
    throw error;
  } finally {
    await context.close();
  }
}

/** Keeps a picture in each colour scheme. */
export async function shot(page, view, what, fullPage = false) {
  if (!SCREENSHOTS) return;
  if (fullPage) await page.evaluate(() => scrollTo(0, 0));
  const said = (style) => page.evaluate((s) => (document.getElementById('said').style.visibility = s), style);
  if (fullPage) await said('hidden'); // it would be in the middle
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: path.join(SCREENSHOTS, `${view}-${colorScheme}-${what}.png`), fullPage });
  }
  await said('');
}

/** Fails if axe-core finds anything, in either colour scheme, or if the page is wider than its window. */
export async function accessible(page, what, schemes = ['light', 'dark']) {
  await page.evaluate(axe);
  for (const colorScheme of schemes) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], `${what}, ${colorScheme}`);
  }
  const { wide, width } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, width: innerWidth }));
  assert.ok(wide <= width, `${what}: the page is ${wide} px wide in a window of ${width} px`);
}

/** Waits until a connection has so many pending messages on the page. */
export const shows = (page, name, pending, options) => page.waitForFunction(
  ([n, p]) => document.querySelector(`[data-connection="${n}"] .number`)?.textContent === p, [name, String(pending)], options);

/** Waits until the page says that something was done. */
export const says = (page, words) => page.waitForFunction((w) => document.getElementById('said').textContent.includes(w), words);
