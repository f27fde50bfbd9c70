// What happened before a picture is taken: without it there is no last hour to be seen.
import { setTimeout } from 'node:timers/promises';

import { post, publish } from './gateway.mjs';

/** Two minutes of sensors that publish, and of a connection that was paused for a while. */
export async function story() {
  for (let second = 0; second < 120; second++) {
    const readings = Math.round(6 + 4 * Math.sin(second / 9));
    if (second === 50 || second === 85) await post(`/api/connections/cloud/${second === 50 ? 'pause' : 'resume'}`);
    for (let i = 0; i < readings; i++) await publish(i % 3 ? 'cloud' : 'edge', `hall/${i}/temperature`, '{"celsius": 21.5}');
    await setTimeout(1000);
  }
}
