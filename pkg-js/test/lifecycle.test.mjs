/** Clients that close, and processes that end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CxoneClient } from 'cxone-client';
import { anonymous, client, ECHO, nobody, rejection, run, sleep, startMock, until } from './helper.mjs';

const SLOW = '/api/v2.0/slow?ms=5000';
const CLIENT = `import { CxoneClient, PriorityRequestQueue } from 'cxone-client';
const cx = new CxoneClient({ baseUrl: process.env.URL, clientId: 'mock-client', clientSecret: 'mock-secret====', backoff: { base: 20, cap: 100 } });
`;

test('X27 close drains', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 2 });
  cx.pause();
  let ended = 0;
  const requests = Array.from({ length: 8 }, () => cx.get('/api/v2.0/slow?ms=30').then(() => (ended += 1)));
  await cx.close(); // it lifts the hold
  await Promise.all(requests);
  assert.equal(ended, 8);
  assert.equal((await rejection(cx.get(ECHO))).code, 'CLOSED');
  assert.equal(cx.stats().finished, 8);
  await cx.close();
  await cx.close({ drain: false });
  cx.pause();
  cx.resume();
  cx.setConcurrency(3);
});

test('X27 a drain sits out the waits of the server', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 429, retry_after: 1 });
  const cx = client(t, mock);
  const request = cx.get(ECHO);
  await until('it is refused', () => cx.stats().throttled === 1);
  await cx.close();
  assert.equal((await request).attempts, 2);
  assert.equal((await mock.stats()).early, 0);
});

test('X27 close aborts, and cuts a drain short', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const slow = Array.from({ length: 12 }, () => rejection(cx.get(SLOW)));
  await until('eight are out', async () => (await mock.stats()).in_flight === 8);
  let drained = false;
  const drain = cx.close().then(() => (drained = true));
  await sleep(50);
  assert.equal(drained, false);
  assert.equal((await rejection(cx.get(ECHO))).code, 'CLOSED');
  await cx.close({ drain: false });
  await drain;
  for (const error of await Promise.all(slow)) {
    assert.deepEqual([error.code, error.name], ['CLOSED', 'ClosedError']);
    assert.ok(error.correlationId);
  }
  await until('the server has seen it', async () => (await mock.stats()).in_flight === 0);
});

test('X27 close without anything to do, and of a token fetch', async (t) => {
  const mock = await startMock(t);
  await client(t, mock).close();
  await mock.faults({ on: '/oauth2/token', do: { delay_ms: 5000 } });
  const cx = client(t, mock);
  const request = rejection(cx.get(ECHO));
  await until('it is being fetched', async () => (await mock.stats()).token_requests === 1);
  await cx.close({ drain: false });
  assert.equal((await request).code, 'CLOSED');
});

test('X27 await using drains and closes', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const request = cx.get(ECHO);
  assert.equal(typeof CxoneClient.prototype[Symbol.asyncDispose], 'function');
  await cx[Symbol.asyncDispose]();
  assert.equal((await request).status, 200);
  assert.equal((await rejection(cx.get(ECHO))).code, 'CLOSED');
});

test('X25 X27 a hundred thousand requests wait and are closed at once', async (t) => {
  const cx = anonymous(t, await nobody());
  cx.pause();
  let closed = 0;
  const requests = Array.from({ length: 100_000 }, () => cx.get(ECHO).catch((error) => (closed += Number(error.code === 'CLOSED'))));
  assert.equal(cx.stats().queued.normal, 100_000);
  await cx.close({ drain: false });
  await Promise.all(requests);
  assert.equal(closed, 100_000);
  assert.deepEqual([cx.stats().finished, cx.stats().sends], [100_000, 0]);
});

test('X32 the process ends by itself when there is nothing to do', async (t) => {
  const mock = await startMock(t);
  for (const [name, code] of [
    ['nothing was done', ''],
    ['one request', `console.log((await cx.get('/api/v2.0/echo')).status);`],
    ['a pause was sat out', `await fetch(process.env.URL + '/_mock/script', { method: 'POST', body: '{"rules":[{"do":{"status":429,"retry_after":1}}]}' });
      console.log((await cx.get('/api/v2.0/echo')).attempts);`],
    ['closed', `await cx.get('/api/v2.0/echo'); await cx.close(); console.log('closed');`],
    ['an answer that nobody read', `await cx.fetch('/api/v2.0/bytes?n=10'); console.log('unread');`],
    ['aborted during an hour of pause', `await fetch(process.env.URL + '/_mock/script', { method: 'POST', body: '{"rules":[{"do":{"status":429,"retry_after":800}}]}' });
      const controller = new AbortController();
      cx.addEventListener('pause', () => controller.abort('enough'));
      await cx.get('/api/v2.0/echo', { signal: controller.signal }).catch(console.log);`],
    ['failed', `await cx.get('/api/v2.0/status/500').catch((error) => console.log(error.message));`],
    ['a queue', `const queue = new PriorityRequestQueue(); console.log(await queue.add({ requestFn: async () => 'done' }));`],
    ['a signal that never fires', `await cx.get('/api/v2.0/echo', { signal: new AbortController().signal }); console.log('ok');`],
  ]) {
    await mock.script({ clear: true });
    const { status, stderr } = await run(CLIENT + code, { env: { URL: mock.url } });
    assert.equal(status, 0, `${name}: ${stderr}`);
  }
});

test('X32 work keeps the process alive until it is done', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 429, retry_after: 1 });
  // Nobody awaits it: only the client's timer is left.
  const { status, stdout } = await run(`${CLIENT}cx.get('/api/v2.0/echo').then((it) => console.log(it.attempts));`, { env: { URL: mock.url } });
  assert.deepEqual([status, stdout], [0, '2\n']);
});

test('X32 a held client does not keep the process alive', async (t) => {
  const { status, stdout } = await run(`${CLIENT}cx.pause(); cx.get('/x').then(console.log, console.log); console.log('end');`, { env: { URL: await nobody() } });
  assert.deepEqual([status, stdout], [0, 'end\n']);
});

test('X32 clients that are done with leave nothing behind, closed or not', async () => {
  const { status, stdout, stderr } = await run(
    `${CLIENT}
    const made = [];
    for (let i = 0; i < 200; i++) {
      const one = new CxoneClient({ baseUrl: process.env.URL, maxAttempts: 1, fetch: async () => new Response('{}') });
      await one.get('/x');
      if (i % 2) await one.close();
      made.push(new WeakRef(one));
    }
    for (let i = 0; i < 10; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log(made.filter((it) => it.deref()).length);`,
    { env: { URL: 'https://h.example' }, node: ['--expose-gc'] },
  );
  assert.equal(status, 0, stderr);
  assert.ok(Number(stdout) <= 5, stdout);
});

test('X27 what a fetch or a body factory asks of its own client ends too', async () => {
  const answer = () => new Response('{}', { headers: { 'content-type': 'application/json' } });
  const inner = [];
  const ask = (path, options) => inner.push(cx.get(path, options).then((r) => r.status, (error) => error.code));
  const cx = new CxoneClient({
    baseUrl: 'http://h.example',
    maxWait: 1000,
    scopeBy: (method, url) => url.pathname,
    fetch: async (url) => {
      if (url.endsWith('/closed')) return new Response('', { status: 429, headers: { 'retry-after': '3600' } });
      if (url.endsWith('/outer')) for (const options of [{ deadline: 0 }, { deadline: 0 }, {}]) ask('/inner', options);
      return answer();
    },
  });
  await cx.get('/outer');
  assert.equal((await rejection(cx.get('/closed'))).code, 'RATE_LIMITED');
  await cx.post('/made', async () => {
    ask('/closed');
    ask('/closed');
    return 'body';
  });
  assert.deepEqual(await Promise.all(inner), ['TIMEOUT', 'TIMEOUT', 200, 'RATE_LIMITED', 'RATE_LIMITED']);
  const { waiting, inFlight } = cx.stats();
  assert.deepEqual([waiting, inFlight], [0, 0]);
  await cx.close();
});

test('a client that nobody closed leaves nothing behind', async () => {
  const code = `import { CxoneClient, PriorityRequestQueue } from 'cxone-client';
    import { setTimeout as sleep } from 'node:timers/promises';
    const { onTrap } = new CxoneClient({ baseUrl: 'http://a.example' }).instance;
    for (let i = 0; i < 200; i++) new CxoneClient({ baseUrl: 'http://a.example' }), new PriorityRequestQueue();
    for (let i = 0; i < 50 && onTrap.size > 5; i++) { gc(); await sleep(5); }
    console.log(onTrap.size <= 5);`;
  const { stdout, stderr } = await run(code, { node: ['--expose-gc'] });
  assert.equal(stdout, 'true\n', stderr);
});
