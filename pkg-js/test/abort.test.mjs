/** Signals, wherever a request is when they fire; and calls from within calls. */

import assert from 'node:assert/strict';
import { getEventListeners, setMaxListeners } from 'node:events';
import { test } from 'node:test';

import { anonymous, burst, client, ECHO, once, rejection, run, serve, sleep, startMock, until } from './helper.mjs';

const SLOW = '/api/v2.0/slow?ms=5000';
const queued = (cx) => Object.values(cx.stats().queued).reduce((sum, n) => sum + n);

/** A fetch that answers when it is told to, and ignores its signal. */
function stubborn() {
  const calls = [];
  const fetch = (url, init) =>
    new Promise((resolve, reject) => calls.push({ url, init, reject, answer: (body = '{}', init = {}) => resolve(new Response(body, { headers: { 'content-type': 'application/json' }, ...init })) }));
  return { calls, fetch };
}

test('X27 a signal ends a request that is queued, with its own reason', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  cx.pause();
  const reason = { any: 'thing' };
  const controller = new AbortController();
  const requests = [cx.get(ECHO, { signal: controller.signal }), cx.fetch(ECHO, { signal: controller.signal })].map(rejection);
  assert.equal(queued(cx), 2);
  controller.abort(reason);
  assert.deepEqual(await Promise.all(requests), [reason, reason]);
  assert.equal(queued(cx), 0);
  assert.equal(cx.stats().cancelled, 2);
  const late = cx.get(ECHO, { signal: controller.signal });
  assert.equal(await rejection(late), reason);
  assert.equal((await rejection(cx.fetch(ECHO, { signal: AbortSignal.abort() }))).name, 'AbortError');
  assert.equal((await mock.stats()).requests, 0);
});

test('X27 a signal ends a request that waits for its next attempt', async (t) => {
  const mock = await startMock(t);
  for (const fault of [{ status: 429, retry_after: 60 }, { status: 502 }]) {
    await mock.faults(fault);
    const cx = client(t, mock, { backoff: { base: 20_000, cap: 20_000 } });
    const controller = new AbortController();
    const request = rejection(cx.get(ECHO, { signal: controller.signal }));
    await until('it waits', () => cx.stats().waiting + queued(cx) === 1 && cx.stats().inFlight === 0 && cx.stats().sends === 1);
    controller.abort('enough');
    assert.equal(await request, 'enough');
    assert.deepEqual([cx.stats().waiting, queued(cx)], [0, 0]);
  }
});

test('X27 a signal ends a request in flight, and its slot is free', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 2 });
  await cx.get(ECHO);
  const controller = new AbortController();
  const slow = Array.from({ length: 6 }, (_, i) => rejection(cx.get(i % 2 ? '/api/v2.0/slow?body_ms=5000' : SLOW, { signal: controller.signal })));
  await until('two are out', async () => (await mock.stats()).in_flight === 2);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 1, 'one listener a signal');
  controller.abort();
  for (const reason of await Promise.all(slow)) assert.equal(reason, controller.signal.reason);
  await cx.get(ECHO);
  const { cancelled, inFlight, sends } = cx.stats();
  assert.deepEqual([cancelled, inFlight, sends], [6, 0, 4]);
  await until('the server has seen it', async () => (await mock.stats()).in_flight === 0);
});

test('X27 a signal ends a wait for a token', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ on: '/oauth2/token', do: { delay_ms: 1500 } });
  const cx = client(t, mock);
  const controller = new AbortController();
  const request = rejection(cx.get(ECHO, { signal: controller.signal }));
  await until('it is being fetched', async () => (await mock.stats()).token_requests === 1);
  controller.abort('enough');
  assert.equal(await request, 'enough');
  await cx.get(ECHO);
  assert.ok((await mock.stats()).token_requests <= 2);
});

test('X27 a signal ends the body of an answer that was handed over', async (t) => {
  const { url } = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write('begin');
  });
  const cx = anonymous(t, url);
  const controller = new AbortController();
  const response = await cx.fetch('/x', { signal: controller.signal });
  const reader = response.body.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), 'begin');
  const rest = rejection(reader.read());
  const reason = new Error('enough');
  controller.abort(reason);
  assert.equal(await rest, reason);
  assert.equal(cx.stats().inFlight, 0);
});

test('X27 it still does when only the body is held on to', async (t) => {
  const { url } = await serve(t, (_, response) => response.write('begin'));
  const { stdout, status, stderr } = await run(
    `import { CxoneClient } from 'cxone-client';
    const cx = new CxoneClient({ baseUrl: process.env.URL });
    const controller = new AbortController();
    const reading = (async () => {
      const { body } = await cx.fetch('/x', { signal: controller.signal });
      for await (const _ of body);
    })();
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      gc();
    }
    controller.abort('enough');
    const late = new Promise((resolve) => setTimeout(resolve, 5000, 'in vain').unref());
    console.log(await Promise.race([reading.catch((reason) => reason), late]));
    process.exit();`,
    { env: { URL: url }, node: ['--expose-gc'] },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout.trim(), 'enough');
});

test('X27 AbortSignal.timeout ends a request with its own reason', async (t) => {
  const mock = await startMock(t);
  const error = await rejection(client(t, mock).get(SLOW, { signal: AbortSignal.timeout(50) }));
  assert.ok(error instanceof DOMException);
  assert.equal(error.name, 'TimeoutError');
});

test('X27 what was watched is let go of when a request ends', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ do: [{ status: 500 }, { status: 500 }] });
  const cx = client(t, mock);
  const { signal } = new AbortController();
  await rejection(cx.get(ECHO, { signal }));
  assert.equal((await cx.fetch(ECHO, { signal })).status, 500);
  for (let i = 0; i < 3; i++) await cx.get(ECHO, { signal });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('X27 a signal that lives long keeps no answer alive', async (t) => {
  const mock = await startMock(t);
  const { stdout, status, stderr } = await run(
    `import { CxoneClient } from 'cxone-client';
    const cx = new CxoneClient({ baseUrl: process.env.URL, clientId: 'mock-client', clientSecret: 'mock-secret====' });
    const { signal } = new AbortController();
    const answers = [];
    for (let i = 0; i < 50; i++) {
      const response = await cx.fetch('/api/v2.0/bytes?n=1000', { signal });
      await response.arrayBuffer();
      answers.push(new WeakRef(response));
    }
    for (let i = 0; i < 50; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (answers.filter((it) => it.deref()).length < 10) break;
    }
    console.log(answers.filter((it) => it.deref()).length);
    globalThis.keep = signal;
    await cx.close();`,
    { env: { URL: mock.url }, node: ['--expose-gc'] },
  );
  assert.equal(status, 0, stderr);
  assert.ok(Number(stdout) < 10, stdout);
});

test('X25 X27 aborting 2 000 of 100 000 that are queued touches only these', async (t) => {
  const cx = anonymous(t, 'http://127.0.0.1:9', { concurrency: 1 });
  cx.pause();
  const one = new AbortController();
  setMaxListeners(0, one.signal);
  let listeners = 0;
  let rejected = 0;
  for (let i = 0; i < 100_000; i++) {
    let options = {};
    if (i % 100 === 0) options = { signal: one.signal };
    if (i % 100 === 50) {
      const controller = new AbortController();
      one.signal.addEventListener('abort', () => controller.abort(i));
      listeners += 1;
      options = { signal: controller.signal };
    }
    cx.get('/x', options).catch(() => (rejected += 1));
  }
  assert.equal(queued(cx), 100_000);
  assert.equal(getEventListeners(one.signal, 'abort').length, listeners + 1);
  one.abort();
  await sleep(0);
  const { cancelled, sends } = cx.stats();
  assert.deepEqual([cancelled, queued(cx), rejected, sends], [2000, 98_000, 2000, 0]);
  await cx.close({ drain: false });
  await sleep(0);
  assert.equal(rejected, 100_000);
});

test('X27 a slot is free only when the transport has ended', async (t) => {
  const { calls, fetch } = stubborn();
  const cx = anonymous(t, 'https://h.example', { fetch, concurrency: 1 });
  for (const end of [(call) => call.answer(), (call) => call.reject(new TypeError('late'))]) {
    calls.length = 0;
    const controller = new AbortController();
    const first = rejection(cx.get('/first', { signal: controller.signal }));
    const second = cx.get('/second');
    controller.abort('enough');
    assert.equal(await first, 'enough', 'its caller is told at once');
    await sleep(10);
    assert.deepEqual([calls.length, cx.stats().inFlight], [1, 1], 'and its slot is taken');
    assert.ok(calls[0].init.signal.aborted);
    end(calls[0]);
    await until('the next is out', () => calls.length === 2);
    calls[1].answer();
    assert.equal((await second).status, 200);
  }
});

test('X27 the same after a timeout', async (t) => {
  const { calls, fetch } = stubborn();
  const cx = anonymous(t, 'https://h.example', { fetch, concurrency: 1, maxAttempts: 1 });
  const first = rejection(cx.get('/first', { timeout: 30 }));
  const second = cx.get('/second');
  await until('it was aborted', () => calls[0].init.signal.aborted);
  await sleep(30);
  assert.equal(calls.length, 1);
  calls[0].answer();
  const { code, message } = await first;
  assert.deepEqual([code, message], ['TIMEOUT', 'Timeout: no complete answer within `timeout`']);
  await until('the next is out', () => calls.length === 2);
  calls[1].answer();
  await second;
});

test('X27 T28 a body that does not know the signal is ended all the same', async (t) => {
  const ended = [];
  const deaf = (status) => new Response(new ReadableStream({ cancel: () => void ended.push(status) }), { status });
  const answers = [deaf(200), deaf(429), deaf(200), new Response('{}')];
  const cx = anonymous(t, 'https://h.example', { fetch: async () => answers.shift(), concurrency: 1 });
  const controller = new AbortController();
  // A timeout, and a throttle whose body is not waited for; then the caller's own signal.
  const first = rejection(cx.get('/first', { timeout: 1500, signal: controller.signal }));
  await until('the third is out', () => answers.length === 1);
  controller.abort('enough');
  assert.equal(await first, 'enough');
  assert.equal((await cx.get('/second')).status, 200);
  assert.deepEqual(ended, [200, 429, 200]);
  await cx.close();
});

test('X27 a signal may fire while its request is accepted', async (t) => {
  const controller = new AbortController();
  const { calls, fetch } = stubborn();
  const cx = anonymous(t, 'https://h.example', {
    concurrency: 1,
    fetch(url, init) {
      controller.abort('while it is sent');
      return fetch(url, init);
    },
  });
  assert.equal(await rejection(cx.get('/first', { signal: controller.signal })), 'while it is sent');
  const second = cx.get('/second');
  calls[0].answer();
  await until('the next is out', () => calls.length === 2);
  calls[1].answer();
  await second;
});

test('X27 what is about to be sent may be aborted by what is sent before it', async (t) => {
  const controller = new AbortController();
  let sent = 0;
  const cx = anonymous(t, 'https://h.example', {
    concurrency: 2,
    fetch: async () => {
      sent += 1;
      if (sent === 1) controller.abort('before');
      return new Response('{}');
    },
  });
  cx.pause();
  const requests = [cx.get('/1'), rejection(cx.get('/2', { signal: controller.signal })), cx.get('/3')];
  cx.resume(); // both slots are filled in one go
  assert.equal((await requests[0]).status, 200);
  assert.equal(await requests[1], 'before');
  assert.equal((await requests[2]).status, 200);
  assert.deepEqual([cx.stats().inFlight, sent], [0, 2]);
});

test('X3 listeners, abort handlers and an injected fetch may call the client', async (t) => {
  const mock = await startMock(t);
  const controller = new AbortController();
  const more = [];
  let depth = 0;
  const cx = client(t, mock, {
    concurrency: 2,
    fetch(url, init) {
      if (String(url).includes('/nested') && depth++ < 3) {
        more.push(cx.get(`${ECHO}/nested`), cx.get(`${ECHO}/other`));
        cx.pause();
        cx.resume();
        cx.setConcurrency(3);
        cx.stats();
      }
      return fetch(url, init);
    },
  });
  const order = [];
  for (const type of ['pause', 'reopen', 'recover', 'token']) {
    cx.addEventListener(type, () => {
      order.push(type);
      more.push(cx.get(`${ECHO}/${type}`));
      cx.pause('none');
      cx.resume('none');
    });
  }
  controller.signal.addEventListener('abort', () => more.push(cx.get(`${ECHO}/aborted`)));
  await mock.faults({ status: 429, retry_after: 1 });
  const aborted = rejection(cx.get(SLOW, { signal: controller.signal }));
  cx.addEventListener('token', () => controller.abort('enough'));
  more.push(cx.get(`${ECHO}/nested`));
  assert.equal(await aborted, 'enough');
  for (let i = 0; i < more.length; i++) assert.equal((await more[i]).status, 200);
  assert.deepEqual([...new Set(order)], ['token', 'pause', 'reopen', 'recover']);
  assert.ok(more.length >= 10);
  assert.equal(cx.stats().inFlight, 0);
});

test('X3 a listener may close the client', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ times: 8, do: { status: 429, retry_after: 60 } });
  const cx = client(t, mock);
  let closed;
  cx.addEventListener('pause', () => (closed ??= cx.close({ drain: false })));
  const errors = await burst(cx, 20);
  await closed;
  assert.equal(errors.length, 20);
  assert.ok(errors.every((it) => it.code === 'CLOSED'));
});

test('X3 an injected fetch may close the client', async (t) => {
  const cx = anonymous(t, 'https://h.example', {
    concurrency: 3,
    fetch: async () => {
      void cx.close({ drain: false });
      return new Response('{}');
    },
  });
  cx.pause();
  const requests = [1, 2, 3, 4, 5].map((i) => rejection(cx.get(`/${i}`)));
  cx.resume();
  for (const error of await Promise.all(requests)) assert.equal(error.code, 'CLOSED');
  await cx.close();
  assert.equal(cx.stats().inFlight, 0);
});

test('X3 events come in the order of what they tell', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ do: [{ status: 429 }, { status: 429 }] });
  const cx = client(t, mock);
  const told = [];
  for (const type of ['pause', 'reopen']) cx.addEventListener(type, ({ detail }) => told.push(detail.message));
  const paused = once(cx, 'pause');
  await cx.get(ECHO);
  assert.equal((await paused).attempt, 1);
  assert.equal(told.length, 3);
  assert.match(told[0], /attempt 1/);
  assert.match(told[1], /attempt 2/);
});

test('T7 X27 a signal that serves one sending after the other ends only the one that it is for', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1, maxAttempts: 1 });
  const troubles = [];
  const note = (trouble) => troubles.push(trouble);
  for (const event of ['warning', 'unhandledRejection', 'uncaughtException']) {
    process.on(event, note);
    t.after(() => process.off(event, note));
  }
  const bodies = [];
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 20; n++) {
      const { data, headers } = await cx.get(ECHO, { params: { n } });
      bodies.push([data.query, headers]);
      // Read by its caller, and later: its signal is nobody else's.
      if (n === 7) bodies.push([cx.fetch(ECHO, { params: { n } }), undefined]);
    }
    const error = await rejection(cx.get('/api/v2.0/slow?ms=5000', { timeout: 100 }));
    assert.equal(error.code, 'TIMEOUT');
    const controller = new AbortController();
    const given = rejection(cx.get('/api/v2.0/slow?ms=5000', { signal: controller.signal }));
    setTimeout(() => controller.abort('enough'), 50);
    assert.equal(await given, 'enough');
  }
  for (const [it] of bodies) {
    if (it instanceof Promise) assert.equal((await (await it).json()).query, 'n=7');
  }
  await sleep(50);
  assert.deepEqual(troubles, []);
});
