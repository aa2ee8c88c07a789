// One job of the table that `scripts/bench limits -- npm` prints, against a server with a limit that
// the client does not know: LOW requests all at once, and HIGH ones, one each 400 ms.
//
//   node limits-run.mjs BASE_URL PATH LOW HIGH
//
// It prints one line of JSON.

import { setTimeout as sleep } from 'node:timers/promises';
import { CxoneClient } from '../dist/node.js';

const [, , baseUrl, path] = process.argv;
const [low, high] = process.argv.slice(4).map(Number);

const client = new CxoneClient({ baseUrl, concurrency: 8 });
const start = performance.now();
const times = [];
const waiting = Array.from({ length: low }, (_, i) =>
  client.request({ url: `${path}/low/${i}`, priority: high > 0 ? 'low' : 'normal' }),
);
for (let i = 0; i < high; i += 1) {
  await sleep(start + 400 * (i + 1) - performance.now());
  const called = performance.now();
  waiting.push(client.request({ url: `${path}/high/${i}`, priority: 'high' }).then(() => times.push(performance.now() - called)));
}
await Promise.all(waiting);
const took = performance.now() - start;
const { throttled } = client.stats();
await client.close();
console.log(JSON.stringify({ took, throttled, high: times.sort((a, b) => a - b) }));
