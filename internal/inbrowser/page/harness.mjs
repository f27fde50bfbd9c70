// Starts Chromium, opens pages, and asks the test's server. The environment says where
// everything is: CHROMIUM, PROFILE (a directory), MODULES (node_modules), SERVER and
// FOREIGN (URLs), BROKER (of its WebSocket listener).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

export const { CHROMIUM, PROFILE, MODULES, SERVER, FOREIGN, BROKER } = process.env;
const { chromium } = createRequire(path.join(MODULES, 'x.js'))('playwright-core');
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const state = async () => (await fetch(`${SERVER}/test/state`)).json();
export const cut = (on) => fetch(`${SERVER}/test/wire?cut=${on}`);
export const still = (on) => fetch(`${SERVER}/test/wire?still=${on}`);

// until waits until a condition holds, looking again and again.
export async function until(what, condition, ms = 15_000) {
  const end = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(performance.now() < end, `${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// arrived are the payloads that arrived on a topic, in order, once as many have come.
export async function arrived(topic, count) {
  const all = async () => (await state()).arrived.filter((a) => a.startsWith(`${topic} `)).map((a) => a.slice(topic.length + 1));
  await until(`${count} messages on ${topic}`, async () => (await all()).length >= count, 30_000).catch(async (error) => {
    throw new Error(`${error.message}: ${(await all()).length} have arrived`);
  });
  return all();
}

export class Browser {
  static running = new Set();

  // start starts a browser of its own, on the profile that there is.
  static async start(...more) {
    const b = new Browser();
    const profile = path.join(PROFILE, 'profile');
    const portFile = path.join(profile, 'DevToolsActivePort');
    await rm(portFile, { force: true });
    b.process = spawn(CHROMIUM, [...flags, ...more, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'], { detached: true, stdio: 'ignore' });
    b.exited = new Promise((resolve) => b.process.once('exit', resolve));
    Browser.running.add(b);
    const port = await until('Chromium', async () => (await readFile(portFile, 'utf8').catch(() => '')).split('\n')[0]);
    b.driver = await chromium.connectOverCDP(`http://127.0.0.1:${port}`);
    b.context = b.driver.contexts()[0];
    return b;
  }

  // page opens a tab on a page of the server.
  async page(url = `${SERVER}/page.html`) {
    const page = await this.context.newPage();
    page.setDefaultTimeout(20_000);
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && console.log(`console: ${m.text()}`));
    page.on('pageerror', (e) => console.log(`page: ${e}`));
    await page.goto(url);
    return page;
  }

  // kill ends all of its processes at once, as the operating system would.
  async kill() {
    Browser.running.delete(this);
    process.kill(-this.process.pid, 'SIGKILL');
    await this.exited;
    await this.driver?.close().catch(() => {});
  }
}

process.once('SIGTERM', () => {
  for (const b of Browser.running) process.kill(-b.process.pid, 'SIGKILL');
  console.log('it took too long');
  process.exit(1);
});

// run runs a test, and ends what it has left.
export async function run(test) {
  try {
    await test();
  } catch (error) {
    console.log(error.stack);
    process.exitCode = 1;
  } finally {
    for (const b of Browser.running) await b.kill();
  }
  process.exit();
}

// open opens the queue in a page, where it is called db from then on.
export async function open(page, options = {}, module = '/mqttdb.js') {
  return page.evaluate(async ([options, module]) => {
    const began = performance.now();
    globalThis.mqttdb = await import(module);
    globalThis.db = await mqttdb.open(options);
    return performance.now() - began;
  }, [{ url: BROKER, durability: process.env.DURABILITY ?? 'strict', ...options }, module]);
}
