import { Detail, safety } from './detail.js';
import { askToken, confirm } from './dialogs.js';
import { data, make, show, text } from './dom.js';
import { Events } from './events.js';
import { bytes, plural } from './format.js';
import { clearable, List, summary } from './list.js';
import { Model } from './model.js';
import { Plots } from './plots.js';
import { HTTPSource } from './source.js';

const $ = (id) => document.getElementById(id);
const source = new HTTPSource();
const model = new Model();
const events = new Events();
const plots = new Plots();
const list = new List(model, (name) => act('clear', name));
const detail = new Detail(source, act);

// What has changed is drawn once per frame, and ages once per second.
let changed = new Set();
let scheduled = false;
let offset = 0; // of the gateway's clock to that of this browser

function draw() {
  scheduled = false;
  const now = Date.now() + offset;
  const statuses = [...model.connections.values()];
  list.show(changed, detail.name, $('find').value.toLowerCase(), now);
  changed = new Set();
  const { line, title } = summary(statuses);
  text($('summary'), line);
  if (document.title !== title) document.title = title;
  show($('empty'), statuses.length === 0);
  const safe = statuses.length > 0 && statuses.every((s) => safety(s).safe);
  text($('power'), safe ? 'Safe to power off' : 'Messages are waiting');
  data($('power'), 'safe', String(safe));
  const status = model.connections.get(detail.name);
  if (status) detail.show(status, model.rates(status.name), now);
}

function schedule(names) {
  for (const name of names) changed.add(name);
  if (!scheduled) requestAnimationFrame(draw);
  scheduled = true;
}

function select() {
  const name = decodeURIComponent(/^#connection=(.*)$/.exec(location.hash)?.[1] ?? '');
  const before = detail.name;
  detail.open(model.connections.has(name) ? name : '');
  if (before && !detail.name) document.querySelector(`[data-connection="${CSS.escape(before)}"] a`)?.focus();
  text($('plots-scope'), detail.name || 'all connections');
  plot();
  draw(); // at once, or what cannot be done would be offered for a moment
}

function plot() {
  const now = Date.now() + offset;
  text($('plots-title'), model.span(detail.name, now) < 3_600_000 ? `Last ${model.span(detail.name, now) / 60_000} minutes` : 'Last hour');
  plots.show(model.series(detail.name, now));
}

function notice(error) {
  text($('notice'), error ? [error.message, error.hint].filter(Boolean).join(' · ') : '');
  show($('notice'), Boolean(error));
}

async function act(verb, name, more) {
  if (verb === 'failed') return notice(more);
  if (verb === 'confirm') return confirm(more.title, more.text, more.yes);
  const { count: pending, bytes: size } = clearable(model.connections.get(name));
  if (verb === 'clear' && !await confirm(`Clear ${plural(pending, 'message')} of ${name}?`, `${plural(pending, 'pending message')} (${bytes(size)}) will be forgotten and never reach the broker. What arrives until you confirm is cleared, too.`, `Clear ${plural(pending, 'message')}`)) return;
  notice(null);
  say(`${name}: ${verb} …`, longest);
  try {
    const done = await source.act(name, verb, verb === 'drain' || verb === 'compact' ? { timeout: '10m' } : {});
    say(`${name}: ${said(verb, done)}`, 8000);
  } catch (error) {
    say('');
    notice(error);
  }
}

const longest = 600_000; // what a request may take, ms
let saying;

// Says something for a while, in ms.
function say(words, time = 0) {
  clearTimeout(saying);
  text($('said'), words);
  if (words) saying = setTimeout(() => text($('said'), ''), time);
}

function said(verb, done) {
  switch (verb) {
    case 'clear': return `${plural(done.cleared, 'message')} cleared`;
    case 'drain': return done.pending ? `${plural(done.pending, 'message')} still pending` : 'drained, nothing is pending';
    case 'compact': return `compacted, ${bytes(done.reclaimed_bytes)} given back`;
    default: return done.status;
  }
}

async function hello(m) {
  offset = m.at - Date.now();
  model.hello(m);
  text($('version'), m.version ?? '');
  show($('demo'), m.demo);
  schedule(model.connections.keys());
  select();
  events.clear();
  const [, latest] = await Promise.allSettled([remember(), source.events()]);
  if (latest.status === 'fulfilled') latest.value.forEach((event) => events.add(event));
}

// Fills what was not seen here with what the gateway remembers.
async function remember() {
  model.history(await source.history());
  plot();
}

let asking = false;

async function link(state) {
  text($('link'), { live: 'Live', waiting: 'No contact, trying again', token: 'Token wanted' }[state]);
  data($('link'), 'live', state);
  data(document.body, 'stale', String(state !== 'live'));
  if (state !== 'token' || asking) return;
  asking = true;
  const token = await askToken(source.hasToken);
  asking = false;
  if (token) source.setToken(token);
}

for (const [verb, label] of Object.entries({ cut: 'Cut the link', mend: 'Mend it', fill: 'Fill the disk', free: 'Free it', kill: 'Kill the gateway' })) {
  $('demo-actions').append(make('button', { type: 'button', click: () => source.demo(verb).catch(notice) }, label));
}
$('notice').addEventListener('click', () => notice(null));
$('find').addEventListener('input', () => schedule([]));
addEventListener('hashchange', select);
addEventListener('keydown', (e) => {
  if (e.key === 'Escape' && detail.name && !document.querySelector('dialog')) location.hash = '';
  if (e.key === '/' && !/INPUT|SELECT|TEXTAREA/.test(e.target.tagName)) {
    e.preventDefault();
    $('find').focus();
  }
});

// A page that nobody sees is given little time by its browser.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && document.body.dataset.stale === 'false') remember().catch(() => {}); // the next one may do
});

setInterval(() => {
  if (document.body.dataset.stale === 'true') return;
  model.tick(Date.now() + offset);
  if (document.hidden) return;
  schedule([]);
  plot();
}, 1000);

source.subscribe({
  link,
  message(m) {
    switch (m.type) {
      case 'hello': return hello(m);
      case 'status':
        model.status(m);
        return schedule(m.connections.map((status) => status.name));
      case 'gone':
        model.gone(m.names);
        return m.names.includes(detail.name) ? select() : schedule([]);
      case 'event': return events.add(m.event);
    }
  },
});
