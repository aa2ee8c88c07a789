/** `cxone-client/core`: the bare engine. The examples show more. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Engine } from 'cxone-client/core';
import { run } from './helper.mjs';

const of = (outputs, type) => outputs.filter((it) => it.type === type);

test('T18 T19 the engine sends by class, within its concurrency', () => {
  const engine = new Engine({ concurrency: 2 });
  engine.pause();
  const [low, normal, high] = ['low', 'normal', 'high'].map((priority) => engine.submit({ priority }));
  assert.deepEqual(of(engine.outputs(), 'send'), []);
  engine.resume();
  assert.deepEqual(of(engine.outputs(), 'send'), [{ type: 'send', request: high, attempt: 1 }, { type: 'send', request: normal, attempt: 1 }]);
  engine.head(high, 1, 200);
  assert.deepEqual(engine.outputs(), [{ type: 'body', request: high, attempt: 1, verdict: 'read' }]);
  engine.done(high, 1);
  const outputs = engine.outputs();
  assert.deepEqual(of(outputs, 'finish'), [{ type: 'finish', request: high }]);
  assert.deepEqual(of(outputs, 'send')[0].request, low);
});

test('X1 X4 the latest deadline holds, to the day', () => {
  const engine = new Engine({ concurrency: 2, maxWait: Infinity, retryFor: Infinity });
  const [a, b] = [engine.submit(), engine.submit()];
  engine.outputs();
  engine.head(a, 1, 429, { 'retry-after': '1' });
  engine.head(b, 1, 429, { 'Retry-After': '9000000' });
  engine.outputs();
  engine.done(a, 1);
  engine.done(b, 1);
  engine.outputs();
  assert.ok(engine.next.at >= 9_000_000_000 && engine.next.at <= 9_000_000_250);
  engine.advance(8_999_999_999);
  assert.deepEqual(engine.outputs(), []);
  engine.advance();
  assert.equal(of(engine.outputs(), 'send').length, 1, 'a probe');
});

test('T14 X12 dates are read by the date of their answer', () => {
  const engine = new Engine({}, { epoch: Date.UTC(2026, 0, 1) });
  const request = engine.submit();
  engine.outputs();
  engine.head(request, 1, 429, { date: 'Thu, 01 Jan 1998 00:00:00 GMT', 'retry-after': 'Thu, 01 Jan 1998 00:00:05 GMT' });
  const [{ ms, scope, message }] = of(engine.outputs(), 'notice');
  assert.ok(ms >= 5000 && ms <= 5250, String(ms));
  assert.equal(scope, 'default');
  assert.match(message, /^Rate limit hit\. Retrying in \d+ms \(attempt 1\)$/);
});

test('T26 X18 X22 tokens: one fetch, a retry, a refresh', () => {
  const engine = new Engine();
  const requests = [1, 2, 3].map(() => engine.submit({ auth: true }));
  const [{ token }] = of(engine.outputs(), 'fetch-token');
  engine.tokenFailed(token, 'transient', 503);
  assert.match(of(engine.outputs(), 'notice')[0].message, /503/);
  assert.equal(engine.next.reason, 'token');
  engine.advance();
  const [{ token: second }] = of(engine.outputs(), 'fetch-token');
  engine.token(second, 3_600_000);
  const sends = of(engine.outputs(), 'send');
  assert.deepEqual(sends.map((it) => it.request), requests);
  assert.ok(sends.every((it) => it.token === second));
  engine.head(requests[0], 1, 401);
  engine.outputs();
  engine.done(requests[0], 1);
  assert.equal(of(engine.outputs(), 'fetch-token').length, 1);
});

test('T11 T12 ends that are not well have a code, a text and a moment', () => {
  const engine = new Engine({ maxAttempts: 1 });
  const ask = (status, headers) => {
    const request = engine.submit({ replay: 'never' });
    engine.outputs();
    engine.head(request, 1, status, headers);
    const outputs = engine.outputs();
    engine.done(request, 1);
    return of([...outputs, ...engine.outputs()], 'finish')[0].error;
  };
  assert.deepEqual(ask(403), { code: 'AUTH', message: 'Auth/Permission Error: 403 Forbidden', status: 403 });
  assert.deepEqual(ask(502), { code: 'SERVER', message: 'Server Error: 502 Bad Gateway', status: 502 });
  assert.deepEqual(ask(404), { code: 'STATUS', message: 'Request Failed: 404 Not Found', status: 404 });
  const limited = ask(429, { 'retry-after': '20' });
  assert.deepEqual([limited.code, limited.status], ['RATE_LIMITED', 429]);
  assert.ok(limited.retryAt >= 20_000);
});

test('X27 cancelling, closing, timeouts and deadlines', () => {
  const engine = new Engine({ concurrency: 1, queueLimit: 2 });
  const first = engine.submit({ timeout: 100 });
  engine.outputs();
  const second = engine.submit({ deadline: 50 });
  const third = engine.submit();
  assert.throws(() => engine.submit(), { code: 'QUEUE_FULL' });
  engine.outputs();
  assert.deepEqual(engine.next, { at: 50, reason: 'deadline' });
  engine.advance();
  assert.equal(of(engine.outputs(), 'finish')[0].error.code, 'TIMEOUT');
  engine.advance();
  assert.equal(engine.now, 100);
  assert.deepEqual(of(engine.outputs(), 'abort'), [{ type: 'abort', request: first, attempt: 1 }]);
  engine.cancel(third);
  engine.failed(first, 1, 'aborted');
  engine.outputs();
  engine.close({ drain: false });
  const ends = of(engine.outputs(), 'finish').map((it) => [it.request, it.error.code]);
  assert.ok(!ends.some(([request]) => request === second || request === third));
  assert.throws(() => engine.submit(), { code: 'CLOSED' });
  assert.equal(engine.next, undefined);
});

test('X28 bad settings and scopes are told', () => {
  assert.throws(() => new Engine({ concurrency: 0 }), { code: 'CONFIG', field: 'concurrency' });
  assert.throws(() => new Engine().submit({ scope: ['a', 'b', 'c', 'd', 'e'] }), { code: 'CONFIG', field: 'scope' });
  assert.throws(() => new Engine().submit({ priority: 5 }), { code: 'CONFIG', field: 'priority' });
  assert.throws(() => new Engine().submit({ replay: 'sometimes' }), { code: 'CONFIG', field: 'replay' });
  assert.throws(() => new Engine().submit({ deadline: '5' }), { code: 'CONFIG', field: 'deadline' });
});

test('what cannot be meant is told', () => {
  const engine = new Engine({ seed: 1 });
  const request = engine.submit();
  engine.outputs();
  for (const wrong of [() => engine.failed(request, 1, 'timeout'), () => engine.tokenFailed(1, 'gone'), () => engine.advance(-1), () => engine.advance(NaN)]) {
    assert.throws(wrong, { code: 'CONFIG' });
  }
  assert.equal(engine.now, 0);
  // Headers as `fetch` has them.
  engine.head(request, 1, 429, new Headers({ 'Retry-After': '20' }));
  assert.ok(engine.outputs().find((it) => it.type === 'notice').ms >= 20_000);
});

test('the engine is taken from where it is said to be, or that is told', async () => {
  const sources = `
    const { readFileSync } = await import('node:fs');
    const file = new URL('${import.meta.resolve('cxone-client/wasm')}');
    const bytes = readFileSync(file);
    const make = { file: () => file, text: () => file.href, bytes: () => bytes, answer: () => new Response(bytes), later: async () => new Response(bytes),
      missing: () => new URL('none.wasm', file), other: () => new URL('node.js', file), bad: () => new Uint8Array(3), nothing: () => null, number: () => 5, path: () => file.pathname };`;
  const tried = async (which, how) => {
    const { stdout, stderr } = await run(`
      import { CxoneClient } from 'cxone-client';
      ${sources}
      const options = { baseUrl: 'https://h.example', wasm: make.${which}() };
      try {
        const cx = ${how};
        console.log(cx.stats().sends);
      } catch (error) {
        console.log(error.code, error.field);
      }`);
    return stdout.trim() || stderr;
  };
  const create = 'await CxoneClient.create(options)';
  const all = ['file', 'text', 'bytes', 'answer', 'later', 'missing', 'other', 'bad', 'nothing', 'number', 'path'];
  const found = await Promise.all(all.map((which) => tried(which, create)));
  assert.deepEqual(Object.fromEntries(all.map((which, i) => [which, found[i]])), Object.fromEntries(all.map((which, i) => [which, i < 5 ? '0' : 'CONFIG wasm'])));
  assert.equal(await tried('file', 'new CxoneClient(options)'), '0');
  assert.equal(await tried('bad', 'new CxoneClient(options)'), 'CONFIG wasm');
});
