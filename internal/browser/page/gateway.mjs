// The gateway that the page shows, asked without the page.
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';

const { GATEWAY, STEERING } = process.env;

export const statuses = async () => (await fetch(`${GATEWAY}/api/connections`)).json();
export const status = async (name) => (await statuses()).find((s) => s.name === name);

/** Waits until a connection has a dead letter with a number above seq. */
export async function setAside(name, seq) {
  for (const end = Date.now() + 15_000; Date.now() < end; await setTimeout(50)) {
    const letters = await (await fetch(`${GATEWAY}/api/connections/${name}/messages?queue=dead`)).json();
    if (letters.some((m) => m.seq > seq)) return;
  }
  assert.fail(`${name}: no message above ${seq} was set aside`);
}

export async function post(url, body) {
  const response = await fetch(GATEWAY + url, { method: 'POST', body, headers: { 'X-Mqttdb': '1' } });
  assert.ok(response.ok, `${url}: ${response.status} ${await response.clone().text()}`);
}

export const publish = (connection, topic, body) => post(`/api/connections/${connection}/publish?topic=${encodeURIComponent(topic)}`, body);

/** Stops, starts or configures it. */
export async function steer(verb, body) {
  const response = await fetch(`${STEERING}/${verb}`, { method: 'POST', body });
  assert.ok(response.ok, `${verb}: ${await response.clone().text()}`);
}
