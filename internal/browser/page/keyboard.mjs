// All of it with the keyboard alone, by somebody who sees where they are.
import assert from 'node:assert/strict';

import { says, shows } from './chromium.mjs';

const most = 200; // tab stops of a page

// What has the focus, in words, and whether it is seen.
const focused = () => {
  const at = document.activeElement;
  const box = at.getBoundingClientRect();
  return {
    what: at === document.body ? '' : at.id || at.getAttribute('aria-label') || at.textContent.trim() || at.tagName,
    seen: at === document.body || (getComputedStyle(at).outlineStyle !== 'none' && box.width > 0 && box.left >= 0 && box.top >= 0 && box.bottom <= innerHeight + 1),
  };
};

/** Goes by Tab until what has the focus is named so. */
async function tabTo(page, name) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(focused)).what === name) return;
  }
  assert.fail(`${name} cannot be reached by Tab`);
}

export async function keyboard(page) {
  await page.locator('[data-connection=lathe]').waitFor();
  const stops = [];
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    const { what, seen } = await page.evaluate(focused);
    if (!what) break;
    assert.ok(seen, `one does not see that ${what} has the focus`);
    stops.push(what);
  }
  assert.equal(stops[0], 'Skip to the connections');
  for (const each of ['find', 'boiler', 'lathe', 'Clear lathe', 'event-list']) assert.ok(stops.includes(each), `${each} is no stop of ${stops}`);
  assert.ok(!stops.includes('Clear boiler'), 'there is nothing to clear');

  await page.keyboard.press('/');
  assert.equal((await page.evaluate(focused)).what, 'find');
  await page.keyboard.type('lathe');
  await page.locator('[data-connection=boiler]').waitFor({ state: 'hidden' });
  await tabTo(page, 'lathe');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'detail-title');
  await tabTo(page, 'Pause');
  await page.keyboard.press('Space');
  await says(page, 'lathe: paused');
  await tabTo(page, 'Look');
  await page.keyboard.press('Enter');
  await page.locator('.messages summary').first().waitFor();
  await page.keyboard.press('Tab'); // Export
  await page.keyboard.press('Tab'); // the first message
  await page.keyboard.press('Enter');
  await page.locator('.messages details[open] pre').waitFor();

  await page.evaluate(() => document.getElementById('detail-title').focus());
  await tabTo(page, 'Clear…');
  await page.keyboard.press('Enter');
  await page.locator('dialog[open]').waitFor();
  assert.equal((await page.evaluate(focused)).what, 'Cancel', 'the safe answer has the focus');
  await page.keyboard.press('Enter');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.equal((await page.evaluate(focused)).what, 'Clear…', 'the focus is back where it was');
  await page.keyboard.press('Enter');
  await page.locator('dialog[open]').waitFor();
  await page.keyboard.press('Tab');
  assert.equal((await page.evaluate(focused)).what, 'confirm');
  await page.keyboard.press('Enter');
  await shows(page, 'lathe', 0);
  await page.keyboard.press('Escape');
  await page.locator('#detail').waitFor({ state: 'hidden' });
  assert.equal((await page.evaluate(focused)).what, 'lathe', 'the focus is on what was open');
}
