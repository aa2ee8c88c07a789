// One contender, in a process of its own: sends as many requests as it is told to, each time it is
// told, and says how long that took and how much CPU time.
//
//   fork('http-run.mjs', [BASE_URL, TRANSPORT, NAME])

import axios from 'axios';
import axiosRetry from 'axios-retry';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import ky from 'ky';
import PQueue from 'p-queue';
import * as undici from 'undici';
import { CxoneClient } from '../dist/node.js';
import { undiciTransport } from '../dist/undici.js';

const CONCURRENCY = 32;

/** Sends so many requests, with so many outstanding at any time. */
async function send(count, outstanding, request) {
  const work = async () => {
    while (count-- > 0) await request();
  };
  await Promise.all(Array.from({ length: outstanding }, work));
}

/** What has no queue of its own is held at the concurrency; what has one always has some waiting. */
const alone = (request) => (count) => send(count, CONCURRENCY, request);
const queued = (request) => (count) => send(count, 100, request);

export function contenders(baseUrl) {
  const url = `${baseUrl}/api/v2.0/interactions/4711`;
  const path = '/api/v2.0/interactions/4711';
  const queue = () => new PQueue({ concurrency: CONCURRENCY });
  const client = new CxoneClient({ baseUrl, concurrency: CONCURRENCY });
  const overUndici = new CxoneClient({ baseUrl, concurrency: CONCURRENCY, transport: undiciTransport(undici) });
  const plain = axios.create({ adapter: 'fetch' });
  const retrying = axios.create({ adapter: 'fetch' });
  axiosRetry(retrying, { retries: 3 });
  const policy = retry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() });
  const dispatcher = new undici.RetryAgent(new undici.Agent());
  const queues = { axios: queue(), ky: queue(), cockatiel: queue(), undici: queue() };
  const viaFetch = async () => (await fetch(url)).json();
  // What a request of ours carries, so that one sees what of the difference is that.
  const headers = () => ({ accept: 'application/json', 'content-type': 'application/json', 'user-agent': 'bench', 'x-correlation-id': crypto.randomUUID() });
  const like = () => ({ headers: headers(), signal: AbortSignal.timeout(15_000) });
  return {
    fetch: {
      'bare': alone(viaFetch),
      'bare, with AbortSignal.timeout': alone(async () => (await fetch(url, { signal: AbortSignal.timeout(15_000) })).json()),
      'bare, with that and the headers of ours': alone(async () => (await fetch(url, like())).json()),
      'cxone-client, request()': queued(() => client.request({ url: path })),
      'cxone-client, fetch()': queued(async () => (await client.fetch(path)).json()),
      'axios': alone(() => plain.get(url)),
      'axios-retry + p-queue': queued(() => queues.axios.add(() => retrying.get(url))),
      'ky + p-queue': queued(() => queues.ky.add(() => ky(url).json())),
      'cockatiel + p-queue': queued(() => queues.cockatiel.add(() => policy.execute(viaFetch))),
    },
    'undici.request': {
      'bare': alone(async () => (await undici.request(url)).body.json()),
      'bare, with AbortSignal.timeout': alone(async () => (await undici.request(url, { signal: AbortSignal.timeout(15_000) })).body.json()),
      'bare, with that and the headers of ours': alone(async () => (await undici.request(url, like())).body.json()),
      'cxone-client, request()': queued(() => overUndici.request({ url: path })),
      'cxone-client, fetch()': queued(async () => (await overUndici.fetch(path)).json()),
      'RetryAgent + p-queue': queued(() => queues.undici.add(async () => (await undici.request(url, { dispatcher })).body.json())),
    },
  };
}

if (process.send && process.argv[4]) {
  const [, , baseUrl, transport, name] = process.argv;
  const run = contenders(baseUrl)[transport][name];
  process.on('message', async (count) => {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await run(count);
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    process.send({ rate: count / seconds, cpu: (user + system) / count });
  });
  process.on('disconnect', () => process.exit());
}
