// Requests a second, and CPU time a request, beside the bare transport: 32 at once, against a
// server on this machine that answers at once. The contenders take turns, round after round.

import { fork } from 'node:child_process';
import axios from 'axios';
import axiosRetry from 'axios-retry';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import ky from 'ky';
import PQueue from 'p-queue';
import * as undici from 'undici';
import { CxoneClient } from '../dist/node.js';
import { undiciTransport } from '../dist/undici.js';
import { median, table } from './table.mjs';

const CONCURRENCY = 32;
const SLICE = 2_000;

/** Runs so many at once of what has no queue of its own. */
async function workers(count, send) {
  const work = async () => {
    while (count-- > 0) await send();
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}

/** Hands over all at once to what has a queue of its own. */
function queued(count, send) {
  return Promise.all(Array.from({ length: count }, send));
}

function contenders(baseUrl) {
  const url = `${baseUrl}/api/v2.0/interactions/4711`;
  const path = '/api/v2.0/interactions/4711';
  const queue = () => new PQueue({ concurrency: CONCURRENCY });
  const client = new CxoneClient({ baseUrl, concurrency: CONCURRENCY });
  const overUndici = new CxoneClient({ baseUrl, concurrency: CONCURRENCY, transport: undiciTransport(undici) });
  const alone = axios.create({ adapter: 'fetch' });
  const retrying = axios.create({ adapter: 'fetch' });
  axiosRetry(retrying, { retries: 3 });
  const policy = retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() });
  const retryAgent = new undici.RetryAgent(new undici.Agent());
  const queues = { axios: queue(), ky: queue(), cockatiel: queue(), undici: queue() };
  const viaFetch = async () => (await fetch(url)).json();
  const viaUndici = async () => (await undici.request(url)).body.json();
  return {
    fetch: {
      'bare fetch': (n) => workers(n, viaFetch),
      'cxone-client, request()': (n) => queued(n, () => client.request({ url: path })),
      'cxone-client, fetch()': (n) => queued(n, async () => (await client.fetch(path)).json()),
      'axios': (n) => workers(n, () => alone.get(url)),
      'axios-retry + p-queue': (n) => queued(n, () => queues.axios.add(() => retrying.get(url))),
      'ky + p-queue': (n) => queued(n, () => queues.ky.add(() => ky(url).json())),
      'cockatiel + p-queue': (n) => queued(n, () => queues.cockatiel.add(() => policy.execute(viaFetch))),
    },
    'undici.request': {
      'bare undici.request': (n) => workers(n, viaUndici),
      'cxone-client, request()': (n) => queued(n, () => overUndici.request({ url: path })),
      'cxone-client, fetch()': (n) => queued(n, async () => (await overUndici.fetch(path)).json()),
      'RetryAgent + p-queue': (n) => queued(n, () => queues.undici.add(async () => (await undici.request(url, { dispatcher: retryAgent })).body.json())),
    },
  };
}

export async function http(rounds) {
  const server = fork(new URL('server.mjs', import.meta.url));
  const port = await new Promise((resolve) => server.once('message', resolve));
  const groups = contenders(`http://127.0.0.1:${port}`);
  const all = Object.entries(groups).flatMap(([transport, group]) => Object.entries(group).map(([name, run]) => ({ transport, name, run, rates: [], cpus: [] })));
  for (let round = -2; round < rounds; round++) {
    // Each round begins with another one, so that nobody always follows the same.
    for (let i = 0; i < all.length; i++) {
      const it = all[(i + round + all.length) % all.length];
      const cpu = process.cpuUsage();
      const start = performance.now();
      await it.run(SLICE);
      const seconds = (performance.now() - start) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      if (round < 0) continue; // warm
      it.rates.push(SLICE / seconds);
      it.cpus.push((user + system) / SLICE);
    }
  }
  server.disconnect();
  const rows = all.map(({ transport, name, rates, cpus }) => {
    const bare = all.find((it) => it.transport === transport);
    const [rate, cpu] = [median(rates), median(cpus)];
    return [transport, name, Math.round(rate), (rate / median(bare.rates)).toFixed(2), cpu.toFixed(0), (cpu / median(bare.cpus)).toFixed(2)];
  });
  console.log(table(['over', '', 'requests/s', 'of bare', 'CPU µs/request', 'of bare'], rows));
}
