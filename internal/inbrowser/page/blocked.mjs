// The browser's user has blocked cookies and site data.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Browser, BROKER, PROFILE, run } from './harness.mjs';

await run(async () => {
  const settings = path.join(PROFILE, 'profile', 'Default');
  await mkdir(settings, { recursive: true });
  await writeFile(path.join(settings, 'Preferences'), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }));
  const browser = await Browser.start();
  const page = await browser.page();
  assert.equal(await page.evaluate(() => { try { return localStorage && 'there'; } catch { return 'blocked'; } }), 'blocked');
  const failed = await page.evaluate(async (url) => {
    const { open } = await import('/mqttdb.js');
    return open({ url }).then(() => ({}), ({ code, message, hint }) => ({ code, message, hint }));
  }, BROKER);
  assert.equal(failed.code, 'store', failed.message);
  assert.match(failed.hint, /cookies and site data/);
  console.log(failed.message);
});
