/** What is tried again, and what is not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { anonymous, burst, client, ECHO, events, nobody, rejection, startMock } from './helper.mjs';

test('X23 transient failures of a GET are healed', async (t) => {
  const mock = await startMock(t);
  for (const fault of [
    { status: 408 },
    { status: 425 },
    { status: 502 },
    { status: 503, retry_after: 1 },
    { status: 503 },
    { status: 504 },
    { connection: 'reset' },
    { connection: 'close' },
    { truncate: 10 },
    { delay_ms: 5000 },
    { body_delay_ms: 5000 },
  ]) {
    await mock.faults(fault);
    const response = await client(t, mock).get(ECHO, { timeout: 500 });
    assert.equal(response.attempts, 2, JSON.stringify(fault));
    assert.equal(response.data.path, ECHO);
  }
});

test('X23 a POST is not sent twice unless it may be', async (t) => {
  for (const [fault, again] of [
    [{ status: 502 }, false],
    [{ connection: 'reset' }, false],
    [{ truncate: 5 }, false],
    [{ status: 429 }, true],
    [{ status: 401 }, true],
  ]) {
    const mock = await startMock(t);
    await mock.faults(fault);
    const cx = client(t, mock);
    const [plain] = await Promise.allSettled([cx.post(ECHO, 1)]);
    const name = JSON.stringify(fault);
    assert.equal(plain.status === 'fulfilled', again, name);
    assert.equal((await mock.stats()).api_requests, again ? 2 : 1, name);
    for (const options of [{ idempotencyKey: 'k-1' }, { idempotent: true }, { headers: { 'Idempotency-Key': 'k' } }]) {
      await mock.faults(fault);
      assert.equal((await cx.post(ECHO, 1, options)).attempts, 2, name);
    }
  }
});

test('X23 what was never sent is sent again whatever its method', async (t) => {
  const url = await nobody();
  const error = await rejection(anonymous(t, url, { maxAttempts: 3 }).post('/x', 1));
  assert.deepEqual([error.code, error.attempts], ['NETWORK', 3]);
});

test('X9 attempts are finite and the last answer is kept', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ times: 1000, do: { status: 502, body: '{"n":1}' } });
  const error = await rejection(client(t, mock, { maxAttempts: 3 }).get(ECHO));
  assert.equal(error.message, 'Server Error: 502 Bad Gateway');
  assert.deepEqual([error.code, error.attempts, error.data], ['SERVER', 3, { n: 1 }]);
  assert.equal((await mock.stats()).api_requests, 3);
});

test('T27 failures never wedge the queue', async (t) => {
  const mock = await startMock(t);
  await mock.faults({
    times: 70,
    do: [{ status: 500 }, { connection: 'reset' }, { status: 404 }, { connection: 'close' }, { truncate: 3 }, { status: 429 }, { status: 401 }],
  });
  const cx = client(t, mock, { maxAttempts: 1, concurrency: 4 });
  const failed = await burst(cx, 60);
  assert.ok(failed.length > 20, String(failed.length));
  assert.ok(failed.every((error) => error.code));
  await mock.script({ clear: true });
  assert.deepEqual(await burst(cx, 30), []);
  const { inFlight, waiting, queued, finished } = cx.stats();
  assert.deepEqual([inFlight, waiting, queued, finished], [0, 0, { high: 0, normal: 0, low: 0 }, 90]);
});

test('X23 an outage pauses the job instead of failing all of it', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ times: 8, do: { connection: 'reset' } });
  const cx = client(t, mock, { concurrency: 4 });
  const [pauses, retries] = [events(cx, 'pause'), events(cx, 'retry')];
  assert.deepEqual(await burst(cx, 40), []);
  const outage = pauses.find((it) => it.reason === 'outage');
  assert.match(outage.message, /^No answer from the server\. Retrying in /);
  const sent = new Set((await mock.sent()).map((it) => it.correlation_id));
  assert.ok(retries.length > 0);
  assert.ok(retries.every((it) => it.failures >= 1 && it.ms >= 0 && sent.has(it.correlationId)), JSON.stringify(retries));
});

test('X8 X9 a retry waits alone and holds no slot', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 502 });
  const cx = client(t, mock, { concurrency: 1, backoff: { base: 600, cap: 600 } });
  const order = [];
  const first = cx.get(`${ECHO}/first`).then(() => order.push('first'));
  const second = cx.get(`${ECHO}/second`).then(() => order.push('second'));
  await Promise.all([first, second]);
  assert.deepEqual(order, ['second', 'first']);
  assert.equal(cx.stats().retries, 1);
});
