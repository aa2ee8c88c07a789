/** What a trap of the engine does to everybody else: a build whose engine can be made to trap. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { ECHO, rejection, run, sleep, startMock, until } from './helper.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENTRY = new URL('../build/dist-trap/node.js', import.meta.url);
let cxone;

before(async () => {
  // As new as the package that the other tests test.
  const age = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);
  if (age(ENTRY) < age(new URL('../dist/node.js', import.meta.url))) execFileSync(process.execPath, ['scripts/build.mjs', '--trap'], { cwd: ROOT, stdio: 'inherit' });
  cxone = await import(ENTRY);
});

/** Makes the engine trap, as any call into it might; the next call of the client then meets it. */
function provoke(target) {
  const { instance } = cxone;
  const shared = instance();
  const { pause } = shared.Engine.prototype;
  shared.Engine.prototype.pause = () => shared.trap();
  try {
    target.pause();
  } finally {
    shared.Engine.prototype.pause = pause;
  }
}

test('X27 T27 when the engine traps, all that waits is told, and the next client works', async (t) => {
  const mock = await startMock(t);
  const options = { baseUrl: mock.url, clientId: 'mock-client', clientSecret: 'mock-secret====' };
  const calls = [];
  const fetch = (url, init) => new Promise((_, reject) => {
    calls.push(url);
    init.signal.addEventListener('abort', () => reject(init.signal.reason));
  });
  for (let round = 0; round < 2; round++) {
    const [one, two, hung] = [new cxone.CxoneClient(options), new cxone.CxoneClient(options), new cxone.CxoneClient({ baseUrl: mock.url, fetch })];
    const queue = new cxone.PriorityRequestQueue(1);
    await one.get(ECHO);
    await mock.faults({ on: ECHO, times: 1000, do: { status: 429, retry_after: 600 } });
    await mock.faults({ on: '/oauth2/token', do: { delay_ms: 60_000 } });
    let end;
    const pending = [
      one.get(ECHO), // waits for the server
      one.fetch(ECHO),
      two.get(ECHO), // waits for a token
      two.accessToken(),
      one.get('/api/v2.0/slow?ms=60000'),
      hung.get('/x'),
      hung.fetch('/x', { signal: new AbortController().signal }),
      queue.add({ requestFn: () => new Promise((resolve) => (end = resolve)) }),
      queue.add({ requestFn: () => 'never' }),
      (async () => { for await (const _ of two.interactions()); })(),
    ].map(rejection);
    const closing = [two.close(), queue.onIdle()];
    await until('one is refused', () => one.stats().throttled === 2);

    provoke(one);
    const errors = await Promise.all(pending);
    for (const [i, error] of errors.entries()) {
      assert.ok(error instanceof cxone.EngineError, `${i}: ${error}`);
      assert.deepEqual([error.code, error.name], ['ENGINE', 'EngineError']);
      assert.ok(error.cause instanceof WebAssembly.RuntimeError, String(error.cause));
      assert.match(error.message, /make a new client/);
    }
    await Promise.all(closing);
    end('late');
    await sleep(10);

    // The old ones are done with, and say why.
    for (const late of [one.get(ECHO), two.get(ECHO), one.accessToken(), queue.add({ requestFn: () => 1 })]) {
      assert.equal((await rejection(late)).code, 'ENGINE');
    }
    for (const dead of [one, two, hung]) {
      dead.pause();
      dead.resume();
      dead.setConcurrency(2);
      assert.equal(dead.stats().inFlight, 0);
      await dead.close({ drain: false });
    }
    await queue.close();

    await mock.script({ clear: true });
    const next = new cxone.CxoneClient(options);
    assert.equal((await next.get(ECHO)).status, 200);
    assert.equal(await new cxone.PriorityRequestQueue().add({ requestFn: () => 'works' }), 'works');
    assert.equal(cxone.calculateBackoffDelay('10', 0, () => 0), 10_000);
    await next.close();
  }
});

test('X27 X32 a process whose engine trapped during a long wait ends by itself', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 429, retry_after: 600 });
  const { status, stdout, stderr } = await run(
    `import { CxoneClient, instance } from '${ENTRY}';
    const cx = new CxoneClient({ baseUrl: process.env.URL, clientId: 'mock-client', clientSecret: 'mock-secret====' });
    cx.addEventListener('pause', () => {
      const shared = instance();
      shared.Engine.prototype.submit = () => shared.trap();
      cx.get('/api/v2.0/echo').catch((error) => console.log('submit', error.code));
    });
    await cx.get('/api/v2.0/echo').catch((error) => console.log('pending', error.code));`,
    { env: { URL: mock.url } },
  );
  assert.deepEqual([status, stdout.trim().split('\n').sort()], [0, ['pending ENGINE', 'submit ENGINE']], stderr);
});

test('X27 a trap while a token is read is told as well', async () => {
  const shared = cxone.instance();
  const { read } = shared.Credentials.prototype;
  const fetch = async () => new Response('{"access_token":"t"}');
  const cx = new cxone.CxoneClient({ baseUrl: 'https://h.example', clientId: 'id', clientSecret: 's', fetch });
  shared.Credentials.prototype.read = () => shared.trap();
  try {
    assert.equal((await rejection(cx.get('/x'))).code, 'ENGINE');
  } finally {
    shared.Credentials.prototype.read = read;
  }
  assert.notEqual(cxone.instance(), shared);
});
