// What web/static/model.js remembers. It touches no document, so that it runs here.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Model } from '../../../web/static/model.js';

const status = (pending, accepted = pending, sent = 0) => ({ name: 'cloud', outgoing: { pending, accepted, sent } });
const hello = (at, pending) => ({ at, connections: [status(pending)], order: ['cloud'] });
const history = (first_ms, pending) => ({ step_ms: 10_000, connections: { cloud: { first_ms, pending, accepted: pending, sent: pending.map((n) => n && 0) } } });
const times = (model) => model.samples.get('cloud').map(([at]) => at);

test('history comes before what was sampled here', () => {
  const model = new Model();
  model.hello(hello(100_000, 5));
  model.history(history(70_000, [1, null, 3, 4]));
  assert.deepEqual(model.samples.get('cloud').map(([at, pending]) => [at, pending]), [[70_000, 1], [90_000, 3], [100_000, 5]]);
});

test('history fills the time without contact, and no other', () => {
  const model = new Model();
  model.hello(hello(100_000, 5));
  for (let at = 102_000; at <= 120_000; at += 2000) model.tick(at);
  model.hello(hello(200_000, 9)); // again, after 80 s
  model.history(history(90_000, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
  const all = times(model);
  assert.deepEqual(all, [...all].sort((a, b) => a - b), 'in order');
  assert.equal(new Set(all).size, all.length, 'each once');
  for (let at = 130_000; at <= 190_000; at += 10_000) assert.ok(all.includes(at), `${at} is filled`);
  assert.equal(all.filter((at) => at > 100_000 && at < 120_000).length, 9, 'what was sampled here stays as it is');
  const again = all.length;
  model.history(history(90_000, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
  assert.equal(times(model).length, again, 'twice is once');
});

test('a gateway that remembers nothing takes nothing away', () => {
  const model = new Model();
  model.hello(hello(100_000, 5));
  model.history({ step_ms: 10_000, connections: {} });
  model.history(history(100_000, []));
  assert.deepEqual(times(model), [100_000]);
});

test('rates are differences, and not negative after a restart', () => {
  const model = new Model();
  model.hello(hello(0, 0));
  model.status({ at: 2000, connections: [status(10, 20, 10)] });
  assert.deepEqual(model.rates('cloud'), { in: 10, out: 5 });
  model.status({ at: 4000, connections: [status(0, 0, 0)] });
  assert.deepEqual(model.rates('cloud'), { in: 0, out: 0 });
});

test('what is gone is forgotten, and a hello says all there is', () => {
  const model = new Model();
  model.hello({ at: 0, connections: [status(1)], orphans: [{ ...status(2), name: 'old' }], order: ['cloud', 'old'] });
  assert.deepEqual(model.order, ['cloud', 'old']);
  model.gone(['old']);
  assert.deepEqual(model.order, ['cloud']);
  model.hello({ at: 1, connections: [], orphans: [], order: [] });
  assert.equal(model.connections.size, 0);
});

test('an hour is kept, and no more', () => {
  const model = new Model();
  model.hello(hello(0, 1));
  for (let at = 2000; at <= 2 * 3_600_000; at += 2000) model.tick(at);
  assert.ok(times(model).length <= 1800 + 102);
  assert.equal(model.series('cloud', 2 * 3_600_000)[1].filter((n) => n === 1).length, 1800);
});
