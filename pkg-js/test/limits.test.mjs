/** Refusals, pauses, and the order in which they are left. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CxoneClient, PRIORITY } from 'cxone-client';
import { anonymous, burst, client, ECHO, events, once, rejection, serve, sleep, startMock, until } from './helper.mjs';

const queued = (cx) => Object.values(cx.stats().queued).reduce((sum, n) => sum + n);

test('T10 T28 a 429 is waited for, whatever its body is', async (t) => {
  for (const body of ['json', 'html', 'empty']) {
    const mock = await startMock(t, '--limit', 'fixed:6/1s', '--body', body);
    assert.deepEqual(await burst(client(t, mock), 12), []);
    const stats = await mock.stats();
    assert.ok(stats.throttled > 0, JSON.stringify(stats));
    assert.equal(stats.early, 0);
  }
});

test('T28 a throttled body is drained and never parsed, also one that never ends', async (t) => {
  let calls = 0;
  const { url } = await serve(t, (_, response) => {
    calls += 1;
    if (calls > 2) return response.end('{}');
    response.writeHead(429, { 'content-type': 'application/json' });
    if (calls === 1) response.end('{"not": json');
    else response.write('{'); // and never an end: it is given up after a second
  });
  const { attempts } = await anonymous(t, url).get('/x');
  assert.equal(attempts, 3);
});

test('T28 a refusal costs no connection', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  await cx.get(ECHO);
  const before = await mock.connections();
  await mock.faults({ times: 3, do: { status: 429, body: '<h1>no</h1>' } });
  await cx.get(ECHO);
  assert.equal((await mock.connections()) - before, 0);
});

test('T14 X12 Retry-After as a date, also of a skewed clock', async (t) => {
  for (const skew of [0, -3600, 3600]) {
    const mock = await startMock(t, '--limit', 'fixed:6/1s', '--retry-after', 'date', '--clock-skew', String(skew));
    assert.deepEqual(await burst(client(t, mock), 9), []);
    assert.equal((await mock.stats()).early, 0, `skew ${skew}`);
  }
});

test('T15 T16 T17 T22 without a header the own backoff grows, and each pause is told', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ times: 4, do: { status: 429 } });
  const cx = client(t, mock, { backoff: { base: 40, cap: 100 } });
  const pauses = events(cx, 'pause');
  const reopened = once(cx, 'reopen');
  const { attempts } = await cx.get(ECHO);
  assert.equal(attempts, 5);
  assert.equal(pauses.length, 4);
  for (const [i, base] of [40, 80, 100, 100].entries()) {
    const { scope, ms, until, reason, status, attempt, message } = pauses[i];
    assert.deepEqual([scope, reason, status, attempt], ['default', 'backoff', 429, i + 1]);
    assert.ok(ms >= base && ms <= 1.5 * base + 1, `${i}: ${ms}`);
    assert.equal(message, `Rate limit hit. Retrying in ${ms}ms (attempt ${i + 1})`);
    assert.ok(until instanceof Date);
  }
  assert.equal((await reopened).scope, 'default');
});

test('T19 at most eight are in flight, and that can be changed', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const slow = (n) => Promise.all(Array.from({ length: n }, () => cx.get('/api/v2.0/slow?ms=200')));
  await slow(30);
  assert.equal((await mock.stats()).max_in_flight, 8);
  cx.setConcurrency(2);
  await mock.reset();
  await slow(8);
  assert.equal((await mock.stats()).max_in_flight, 2);
  for (const n of [0, -1, 1.5, NaN, 65_536, '3']) {
    assert.throws(() => cx.setConcurrency(n), { code: 'CONFIG', field: 'concurrency' }, String(n));
  }
});

test('T18 T20 a pause accepts requests and releases them in order of priority', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  cx.pause();
  cx.pause();
  const requests = [];
  for (const priority of ['low', PRIORITY.NORMAL, 'HIGH', 3, undefined, PRIORITY.HIGH]) {
    requests.push(cx.get(`${ECHO}/${requests.length}`, priority === undefined ? {} : { priority }));
  }
  assert.deepEqual(cx.stats().queued, { high: 2, normal: 2, low: 2 });
  await sleep(30);
  assert.equal((await mock.stats()).api_requests, 0);
  cx.resume();
  cx.resume();
  await Promise.all(requests);
  assert.deepEqual((await mock.sent()).map((it) => it.path.slice(-1)).join(''), '251403');
});

test('T20 one scope can be held alone', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { scopeBy: 'family' });
  cx.pause('dfo');
  const held = cx.get('/dfo/3.0/contacts');
  await cx.get('/media-playback/v1/x');
  assert.ok(cx.stats().scopes.some((scope) => scope.name === 'dfo' && scope.held));
  assert.equal(queued(cx), 1);
  cx.resume('dfo');
  await held;
});

test('T20 resume ends a hold and never a wait that the server wants (X5)', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 429, retry_after: 1 });
  const cx = client(t, mock);
  const paused = once(cx, 'pause');
  const request = cx.get(ECHO);
  const { until } = await paused;
  cx.pause();
  cx.resume();
  const [{ closedUntil }] = cx.stats().scopes;
  assert.ok(Math.abs(closedUntil - until) < 50);
  await request;
  assert.equal((await mock.stats()).early, 0);
});

test('X7 T20 a HIGH request overtakes the LOW ones that wait', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ do: [{ status: 429, retry_after: 1 }, { status: 429, retry_after: 1 }] });
  const cx = client(t, mock, { concurrency: 2 });
  const low = Array.from({ length: 6 }, (_, i) => cx.get(`${ECHO}/low${i}`, { priority: 'low' }));
  await until('both are refused', () => cx.stats().throttled === 2);
  const high = await cx.get(`${ECHO}/high`, { priority: 'high' });
  assert.equal(high.attempts, 1);
  await Promise.all(low);
  assert.equal((await mock.sent())[2].path, `${ECHO}/high`);
  assert.equal((await mock.stats()).early, 0);
});

test('X1 X2 X3 X4 X5 staggered refusals with eight in flight are never retried early', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ do: [1, 3, 2, 1, 2, 1, 3, 2].map((retry_after) => ({ status: 429, retry_after })) });
  const cx = client(t, mock);
  const pauses = events(cx, 'pause');
  assert.deepEqual(await burst(cx, 60), []);
  const stats = await mock.stats();
  assert.deepEqual([stats.throttled, stats.early], [8, 0]);
  // Never multiplied, and the slightest of jitters.
  assert.ok(pauses.every((it) => it.ms <= 3250), JSON.stringify(pauses));
});

test('X6 X8 T30 after the pause one goes first to see', async (t) => {
  const mock = await startMock(t);
  const refused = { status: 429, retry_after: 1 };
  await mock.faults({ do: Array.from({ length: 9 }, () => refused) });
  assert.deepEqual(await burst(client(t, mock), 40), []);
  const sent = await mock.sent();
  assert.ok(sent.slice(0, 9).every((entry) => entry.status === 429));
  assert.ok(sent[8].at_ms >= sent[0].at_ms + 950, 'alone, after a second');
  assert.ok(sent[9].at_ms >= sent[8].at_ms + 950, 'and the next alone again');
  const stats = await mock.stats();
  assert.equal(stats.early, 0);
  assert.ok(stats.max_in_flight <= 8);
});

test('X8 X9 waits that would outlast the caller end at once', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ times: 1000, do: { status: 429, retry_after: 20, body: '<h1>slow down</h1>' } });
  const cx = client(t, mock);
  const error = await rejection(cx.get(ECHO, { deadline: 5000 }));
  assert.equal(error.code, 'RATE_LIMITED');
  assert.equal(error.message, 'Rate Limited: 429 Too Many Requests');
  const wait = error.retryAt - Date.now();
  assert.ok(wait > 15_000 && wait < 21_000, String(wait));
  assert.equal(error.data, '<h1>slow down</h1>');
  assert.equal(error.headers.get('retry-after'), '20');

  // As well where it is no refusal.
  for (const [status, code] of [[502, 'SERVER'], [408, 'STATUS']]) {
    const busy = await startMock(t);
    await busy.faults({ times: 1, do: { status, retry_after: 3600 } });
    const error = await rejection(client(t, busy).get(ECHO));
    assert.deepEqual([error.code, error.status, error.attempts], [code, status, 1]);
    const until = error.retryAt - Date.now();
    assert.ok(until > 3_590_000 && until < 3_601_000, String(until));
  }

  // Beyond maxWait each that waits ends, and each that comes until then.
  const impatient = client(t, mock, { maxWait: 1000 });
  const errors = await burst(impatient, 12);
  assert.equal(errors.length, 12);
  assert.ok(errors.every((it) => it.code === 'RATE_LIMITED' && it.retryAt > Date.now()));
  const before = (await mock.stats()).api_requests;
  const late = await rejection(impatient.get(ECHO));
  assert.deepEqual([late.code, late.attempts], ['RATE_LIMITED', 0]);
  assert.equal((await mock.stats()).api_requests, before);
  // fetch tells what fetch would: the answer.
  const response = await client(t, mock, { maxWait: 1000 }).fetch(ECHO);
  assert.deepEqual([response.status, await response.text()], [429, '<h1>slow down</h1>']);
});

test('X10 X11 a worthless Retry-After makes no hot loop', async (t) => {
  for (const value of ['0', '-5', '0x10', 'soon', 'Thu, 01 Jan 1970 00:00:00 GMT']) {
    const mock = await startMock(t);
    await mock.faults({ times: 3, do: { status: 429, headers: { 'retry-after': value } } });
    const cx = client(t, mock);
    const pauses = events(cx, 'pause');
    assert.equal((await cx.get(ECHO)).attempts, 4);
    assert.ok(pauses.every((it, i) => it.ms >= 20 * 2 ** i), `${value}: ${JSON.stringify(pauses)}`);
  }
});

test('X11 forms of Retry-After that the tutorial misreads', async (t) => {
  const mock = await startMock(t);
  for (const [value, least, most] of [['1.5', 1500, 1751], ['1e3', 20, 31], ['1, 2', 2000, 2251]]) {
    const cx = client(t, mock);
    await mock.faults({ status: 429, headers: { 'retry-after': value } });
    const paused = once(cx, 'pause');
    const controller = new AbortController();
    const request = rejection(cx.get(ECHO, { signal: controller.signal })).catch(() => {});
    const { ms } = await paused;
    controller.abort();
    await request;
    assert.ok(ms >= least && ms <= most, `${value}: ${ms}`);
  }
});

test('X14 an announced budget is kept without a refusal', async (t) => {
  for (const headers of ['draft10', 'x-delta']) {
    const mock = await startMock(t, '--limit', 'fixed:5/1s', '--headers', headers);
    const cx = client(t, mock, { concurrency: 1 });
    const pauses = events(cx, 'pause');
    assert.deepEqual(await burst(cx, 12), []);
    assert.equal((await mock.stats()).throttled, 0);
    assert.deepEqual([pauses[0].reason, pauses[0].attempt, pauses[0].status], ['budget', 0, undefined]);
    assert.match(pauses[0].message, /^The announced budget is spent\./);
  }
});

test('X15 a refusal of one family leaves the others alone', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ on: '/dfo/', do: { status: 429, retry_after: 2 } });
  const cx = client(t, mock, { scopeBy: 'family' });
  const paused = once(cx, 'pause');
  const refused = cx.get('/dfo/3.0/contacts');
  const { scope, until } = await paused;
  assert.equal(scope, 'dfo');
  for (let i = 0; i < 20; i++) await cx.get('/media-playback/v1/x');
  assert.ok(Date.now() < until.getTime(), 'they did not wait for it');
  await refused;
  assert.equal((await mock.stats()).early, 0);
});

test('X15 scopes by a rule of the caller, and by request', async (t) => {
  const mock = await startMock(t);
  const seen = [];
  const cx = client(t, mock, {
    scopeBy(method, url) {
      seen.push([method, url.pathname]);
      url.pathname = '/changed'; // it is a copy
      return ['narrow', 'wide'];
    },
  });
  cx.pause('wide');
  const held = cx.get(ECHO);
  await cx.get(ECHO, { scope: 'other' });
  assert.equal(queued(cx), 1);
  cx.resume('wide');
  assert.equal((await held).data.path, ECHO);
  assert.deepEqual(seen, [['GET', ECHO]]);
  for (const scope of [['a', 'b', 'c', 'd', 'e'], [1], 5, 'a\0b', '', ['']]) {
    const error = await rejection(cx.get(ECHO, { scope }));
    assert.deepEqual([error.code, error.field], ['CONFIG', 'scope'], JSON.stringify(scope));
  }
});

test('X23 X24 other statuses that throttle', async (t) => {
  const mock = await startMock(t);
  for (const status of [403, 503, 509, 529]) {
    await mock.faults({ status, retry_after: 1 });
    const cx = client(t, mock);
    if (status === 503) {
      // It may have been processed.
      const error = await rejection(cx.post(ECHO));
      assert.equal(error.message, 'Server Error: 503 Service Unavailable');
      await mock.faults({ status, retry_after: 1 });
      assert.equal((await client(t, mock).post(ECHO, undefined, { idempotencyKey: 'k' })).attempts, 2);
    } else {
      assert.equal((await cx.post(ECHO)).attempts, 2, String(status));
    }
    assert.equal(cx.stats().throttled, 1);
  }
});

test('X26 LOW gets its share', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1, fairShare: 4 });
  cx.pause();
  const requests = Array.from({ length: 12 }, (_, i) => cx.get(`${ECHO}/h${i}`, { priority: 'high' }));
  requests.push(cx.get(`${ECHO}/low`, { priority: 'low' }));
  cx.resume();
  await Promise.all(requests);
  const at = (await mock.sent()).findIndex((it) => it.path === `${ECHO}/low`);
  assert.ok(at >= 1 && at <= 4, String(at));
});

test('X15 a long poll counts apart', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1, scopes: [{ name: 'poll', concurrency: 1, apart: true }] });
  let over = false;
  const poll = cx.get('/api/v2.0/slow?ms=400', { scope: 'poll' }).then(() => (over = true));
  await until('it is out', async () => (await mock.stats()).in_flight === 1);
  await cx.get(ECHO);
  assert.equal(over, false);
  await poll;
});

test('X27 a deadline covers the time in the queue', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  cx.pause();
  const error = await rejection(cx.get(ECHO, { deadline: 100 }));
  assert.deepEqual([error.code, error.attempts], ['TIMEOUT', 0]);
  assert.equal((await mock.stats()).api_requests, 0);
  cx.resume();
  const sent = await rejection(cx.get('/api/v2.0/slow?ms=5000', { deadline: 100 }));
  assert.deepEqual([sent.code, sent.attempts], ['TIMEOUT', 1]);
  await until('its slot is free', () => cx.stats().inFlight === 0);
});

test('X1 a Retry-After beyond 2^31 ms neither fires at once nor overflows', async (t) => {
  const mock = await startMock(t);
  const timers = [];
  const { setTimeout: real } = globalThis;
  t.after(() => (globalThis.setTimeout = real));
  for (const seconds of [2_147_484, 9_000_000, 4_000_000_000]) {
    await mock.faults({ status: 429, retry_after: seconds });
    const cx = client(t, mock, { maxWait: Infinity, retryFor: Infinity });
    const paused = once(cx, 'pause');
    const controller = new AbortController();
    const request = rejection(cx.get(ECHO, { signal: controller.signal }));
    await until('it is refused', () => cx.stats().throttled === 1);
    globalThis.setTimeout = (f, ms, ...rest) => {
      timers.push(ms);
      return real(f, ms, ...rest);
    };
    const { ms, until: date } = await paused;
    // What is submitted now waits with it.
    const other = rejection(cx.get(ECHO, { signal: controller.signal }));
    await new Promise((resolve) => real(resolve, 150));
    globalThis.setTimeout = real;
    assert.ok(ms >= seconds * 1000 && ms <= seconds * 1000 + 250, String(ms));
    assert.ok(Number.isNaN(date.getTime()) || date > Date.now() + 2 ** 31);
    assert.ok(timers.length < 5, 'no busy loop');
    assert.ok(timers.every((it) => it <= 2 ** 31 - 1), JSON.stringify(timers));
    assert.equal(cx.stats().sends, 1);
    controller.abort(new Error('enough'));
    assert.equal((await request).message, 'enough');
    assert.equal((await other).message, 'enough');
  }
});

test('X1 beyond maxWait such a wait fails at once, with the moment', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 429, retry_after: 9_000_000 });
  const error = await rejection(client(t, mock).get(ECHO));
  assert.equal(error.code, 'RATE_LIMITED');
  assert.ok(error.retryAt - Date.now() > 8_999_000_000);
});

test('X32 clients share nothing', async (t) => {
  const [one, two] = [await startMock(t), await startMock(t)];
  const [first, second] = [client(t, one), client(t, two)];
  first.pause();
  await second.get(ECHO);
  await first.close({ drain: false });
  await second.get(ECHO);
  assert.deepEqual([(await one.stats()).requests, (await two.stats()).token_fetches], [0, 1]);
  assert.ok(second instanceof CxoneClient);
});

test('T15 X11 X9 settings reach the engine', async (t) => {
  const mock = await startMock(t);
  const paused = async (options, fault) => {
    await mock.faults(fault);
    const cx = client(t, mock, options);
    const told = once(cx, 'pause');
    const controller = new AbortController();
    const request = rejection(cx.get(ECHO, { signal: controller.signal }));
    const detail = await told;
    controller.abort();
    await request;
    return detail;
  };
  const stated = (name, value) => ({ status: 429, headers: { [name]: String(value) } });
  let { ms, reason } = await paused({ reading: { msHeaders: ['X-Wait-Ms'] } }, stated('x-wait-ms', 1200));
  assert.deepEqual([ms >= 1200 && ms <= 1450, reason], [true, 'stated'], String(ms));
  ({ ms } = await paused({ reading: { resetUnit: 'delta-ms' } }, stated('x-ratelimit-reset', 1200)));
  assert.ok(ms >= 1200 && ms <= 1450, String(ms));
  ({ reason } = await paused({ reading: { mode: 'strict' } }, stated('retry-after', '1.5')));
  assert.equal(reason, 'backoff');
  ({ ms } = await paused({ backoff: { base: 1000, stated: 'half' }, seed: 3 }, { status: 429, retry_after: 100 }));
  assert.ok(ms >= 100_250 && ms <= 150_000, `jitter of up to a half: ${ms}`);

  await mock.faults({ times: 1000, do: { status: 502 } });
  const cx = client(t, mock, { maxAttempts: 1000, retryFor: 300, backoff: { base: 50, cap: 50 } });
  const error = await rejection(cx.get(ECHO));
  assert.equal(error.code, 'SERVER');
  assert.ok(error.attempts > 1 && error.attempts < 10, String(error.attempts));

  await mock.script({ clear: true });
  await mock.faults({ on: '/oauth2/token', do: { status: 400 } });
  const cooled = client(t, mock, { tokenCooldown: 50 });
  assert.equal((await rejection(cooled.get(ECHO))).code, 'TOKEN');
  await sleep(60);
  assert.equal((await cooled.get(ECHO)).status, 200);
});

test('X1 the longest waits that can be written', async (t) => {
  const mock = await startMock(t);
  for (const value of ['99999999999', '9999999999999', '99999999999999999999', '9'.repeat(400)]) {
    await mock.faults({ status: 429, headers: { 'retry-after': value } });
    const error = await rejection(client(t, mock).get(ECHO));
    assert.equal(error.code, 'RATE_LIMITED', value);
    assert.ok(error.retryAt > Date.now() + 2 ** 31, `${value}: ${error.retryAt}`);
    JSON.stringify(error);
  }
});
