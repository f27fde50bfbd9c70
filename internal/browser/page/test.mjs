// Looks at the status page in Chromium, with real gateways: GATEWAY (its URL; STEERING
// stops, starts and configures it, CONNECTIONS is its configuration), and GUARDED, which
// wants TOKEN and is a demonstration.
import { operate } from './operate.mjs';
import { deadLetters } from './dead.mjs';
import { guarded } from './guarded.mjs';
import { look } from './chromium.mjs';
import { orphans, reconnect, reload } from './changes.mjs';
import { story } from './story.mjs';

const { GATEWAY, GUARDED, SCREENSHOTS } = process.env;

const views = ['wide', 'phone'];

async function open() {
  if (SCREENSHOTS) await story();
  for (const view of views) {
    await look('operate', view, GATEWAY, async (page) => {
      await operate(page, view);
      await deadLetters(page, view);
    });
  }
  await look('changes', 'wide', GATEWAY, async (page) => {
    await reload(page);
    await orphans(page);
    await reconnect(page);
  }, /WebSocket connection|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET/); // so the console names what does not answer
}

async function closed() {
  for (const view of views) await look('guarded', view, GUARDED, guarded, /401|WebSocket connection/);
}

await Promise.all([open(), closed()]);
