// mqttdb in the browser: what a page publishes is stored, and sent when the broker can be
// reached. See docs/browser.md, and mqttdb.d.ts for what is exported.
import { MqttdbError } from './mqttdb/attach.js';
import { Database } from './mqttdb/client.js';

export { MqttdbError };

// open resolves when the queue can be used; the broker need not be reachable.
export async function open(options) {
  const database = new Database(options);
  try {
    return await database.opened;
  } catch (error) {
    database.close();
    throw error;
  }
}
