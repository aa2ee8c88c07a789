// How requests are paced: what is learned, and what a client can be told.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError, CxoneClient, PriorityRequestQueue } from 'cxone-client';

const answer = (headers = {}) => new Response('{}', { headers: { 'content-type': 'application/json', ...headers } });

function client(fetch, options) {
  return new CxoneClient({ baseUrl: 'http://api.test', fetch, ...options });
}

test('x14 an announced budget is believed, told, and not overrun', async () => {
  let left = 3;
  const cx = client(async () => {
    assert.ok(left > 0, 'it was overrun');
    left -= 1;
    return answer({ 'x-ratelimit-limit': '3', 'x-ratelimit-remaining': String(left), 'x-ratelimit-reset': '3600' });
  });
  const told = new Promise((resolve) => cx.addEventListener('limit', (event) => resolve(event.detail), { once: true }));
  for (let n = 0; n < 3; n += 1) await cx.get('/x');
  const { scope, message } = await told;
  assert.equal(scope, 'default');
  assert.match(message, /^Rate limit believed: 3 requests/);
  await assert.rejects(cx.get('/x'), { code: 'RATE_LIMITED' });
  await cx.close({ drain: false });
});

test('a known rate is kept to, for all scopes or for one', async () => {
  for (const options of [
    { pacing: { requests: 10, per: 1000, burst: 1, fixed: true } },
    { pacing: 'off', scopes: [{ name: 'default', pacing: { requests: 10, per: 1000, burst: 1 } }] },
  ]) {
    const at = [];
    const cx = client(async () => {
      at.push(performance.now());
      return answer();
    }, options);
    await Promise.all(Array.from({ length: 4 }, () => cx.get('/x')));
    await cx.close();
    // Timers fire late, never early.
    for (let n = 1; n < at.length; n += 1) assert.ok(at[n] - at[0] >= 100 * n - 1, `${at}`);
  }
});

test('what cannot be a pacing is refused by name', () => {
  for (const [options, field] of [
    [{ pacing: 'fast' }, 'pacing'],
    [{ pacing: { requests: 5 } }, 'pacing'],
    [{ pacing: { requests: 0, per: 1000 } }, 'pacing'],
    [{ scopes: [{ name: 'a', pacing: { requests: 1, per: 1000, burst: 0 } }] }, 'scopes.pacing'],
  ]) {
    assert.throws(() => client(async () => answer(), options), (error) => error instanceof ConfigError && error.message.includes(field));
  }
});

test('a queue that runs nothing again keeps to a known rate, too', async () => {
  for (const options of [
    { pacing: { requests: 10, per: 1000, burst: 1, fixed: true } },
    { scopes: [{ name: 'slow', pacing: { requests: 10, per: 1000, burst: 1, fixed: true } }] },
  ]) {
    const queue = new PriorityRequestQueue({ concurrency: 4, ...options });
    const at = await Promise.all(Array.from({ length: 4 }, () => queue.add({ scope: 'slow', requestFn: () => performance.now() })));
    for (let n = 1; n < at.length; n += 1) assert.ok(at[n] - at[n - 1] >= 90, `${at}`);
    await queue.close();
  }
});
