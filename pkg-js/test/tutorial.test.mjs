/** The names that a reader of the tutorial looks for, the environment, and the main script. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as cxone from 'cxone-client';
import { client, ECHO, nobody, rejection, run, startMock, until } from './helper.mjs';

const { calculateBackoffDelay, enqueueRequest, fetchAllInteractions, getAccessToken, PRIORITY, setDefaultClient } = cxone;
const SYNC = new URL('../examples/sync.mjs', import.meta.url);

/** An empty folder, with a `.env` if there is a text. */
function folder(t, dotenv) {
  const path = mkdtempSync(join(tmpdir(), 'cxone-'));
  t.after(() => rmSync(path, { recursive: true }));
  if (dotenv !== undefined) writeFileSync(join(path, '.env'), dotenv);
  return path;
}

const variables = (mock) => ({ CXONE_BASE_URL: mock.url, CXONE_CLIENT_ID: 'mock-client', CXONE_CLIENT_SECRET: 'mock-secret====' });

test('T16 T17 X1 X2 X10 calculateBackoffDelay', () => {
  const delay = (retryAfter, retryCount, random = 0) => calculateBackoffDelay(retryAfter, retryCount, () => random);
  for (const none of [undefined, null, '']) {
    assert.deepEqual([0, 1, 2, 3, 4, 5, 50].map((n) => delay(none, n)), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  }
  assert.equal(delay(null, -1), 1000, 'there is no retry before the first');
  assert.equal(delay(null, 2 ** 32), 30_000);
  assert.equal(delay(undefined, 0, 0.5), 1250);
  assert.equal(delay(undefined, 0, 0.3333), 1167, 'rounded up');
  assert.equal(delay('10', 2), 10_000, 'never multiplied');
  assert.equal(delay(60, 0), 60_000, 'never capped');
  assert.equal(delay('60', 0, 0.5), 75_000);
  for (const nonsense of ['0', '-5', '0x10', '1e3', 'soon']) assert.equal(delay(nonsense, 1), 2000, nonsense);
  const date = new Date(Date.now() + 20_000).toUTCString();
  assert.ok(delay(date, 0) > 18_000 && delay(date, 0) <= 20_000);
  for (let i = 0; i < 200; i++) {
    const drawn = calculateBackoffDelay(null);
    assert.ok(drawn >= 1000 && drawn <= 1500 && Number.isInteger(drawn), String(drawn));
  }
});

test('T21 T23 T18 the functions use one default client, which can be replaced', async (t) => {
  const mock = await startMock(t, '--interactions', '250');
  const cx = client(t, mock);
  setDefaultClient(cx);
  t.after(() => setDefaultClient(undefined));
  assert.equal(await cxone.defaultClient(), cx);
  assert.match(await getAccessToken(), /^[0-9a-f]{32}$/);
  assert.equal(await rejection(getAccessToken({ signal: AbortSignal.abort('mine') })), 'mine');
  const { data } = await enqueueRequest('post', ECHO, { priority: PRIORITY.HIGH, data: { a: 1 } });
  assert.deepEqual([data.method, data.body], ['POST', '{"a":1}']);
  assert.equal((await enqueueRequest('GET', ECHO)).status, 200);

  const lines = [];
  const all = await fetchAllInteractions({ log: (line) => lines.push(line) });
  assert.deepEqual([all.length, all[249].id], [250, 'int-000250']);
  assert.deepEqual(lines, [
    '[Pagination] Fetched 100 interactions. Total: 100',
    '[Pagination] Fetched 100 interactions. Total: 200',
    '[Pagination] Fetched 50 interactions. Total: 250',
  ]);
  t.mock.method(console, 'log', () => assert.fail('no line was wanted'));
  assert.equal((await fetchAllInteractions({ log: false, pageSize: 200 })).length, 250);
  assert.equal((await mock.stats()).token_fetches, 1);
});

test('T3 X32 the default client comes from the environment, at the first call', async (t) => {
  const mock = await startMock(t);
  const code = `import { getAccessToken, enqueueRequest, defaultClient } from 'cxone-client';
    try { console.log((await getAccessToken()).length); } catch (error) { console.log(error.message); }
    Object.assign(process.env, JSON.parse(process.env.LATER));
    console.log((await enqueueRequest('GET', '/api/v2.0/echo')).status, (await defaultClient()) === (await defaultClient()));`;
  await mock.faults({ status: 429, retry_after: 1 });
  const { status, stdout, stderr } = await run(code, { cwd: folder(t), env: { LATER: JSON.stringify(variables(mock)) } });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'invalid `baseUrl`: it is missing: set CXONE_BASE_URL\n200 true\n');
  assert.match(stderr, /^Rate limit hit\. Retrying in \d+ms \(attempt 1\)$/m, 'T22');
});

test('T3 fromEnv reads .env, and real variables win', async (t) => {
  const mock = await startMock(t);
  const code = `import { CxoneClient } from 'cxone-client';
    try {
      const cx = await CxoneClient.fromEnv(JSON.parse(process.env.OPTIONS ?? '{}'));
      console.log((await cx.get('/api/v2.0/echo')).status);
    } catch (error) { console.log(error.code, error.field ?? error.message); }`;
  const dotenv = (secret) => `# settings\nCXONE_BASE_URL=${mock.url}\nCXONE_CLIENT_ID="mock-client"\nexport CXONE_CLIENT_SECRET='${secret}'\n`;
  const out = async (text, env = {}) => {
    const { status, stdout, stderr } = await run(code, { cwd: folder(t, text), env });
    assert.equal(status, 0, stderr);
    return stdout.trim();
  };
  const good = 'mock-secret====';
  assert.equal(await out(dotenv(good)), '200');
  assert.equal(await out(dotenv('wrong'), { CXONE_CLIENT_SECRET: good }), '200');
  assert.equal(await out(dotenv(good), { CXONE_CLIENT_SECRET: 'wrong' }), 'TOKEN OAuth Token Fetch Failed: 401 Unauthorized');
  assert.equal(await out(dotenv(good), { CXONE_CLIENT_SECRET: '' }), '200', 'an empty one counts as absent');
  assert.equal(await out(undefined, variables(mock)), '200');
  assert.equal(await out(undefined, { ...variables(mock), CXONE_TOKEN_URL: `${mock.url}/nowhere` }), 'TOKEN OAuth Token Fetch Failed: 401 Unauthorized');
  assert.equal(await out(undefined), 'CONFIG baseUrl');
  assert.equal(await out(undefined, { CXONE_BASE_URL: mock.url }), 'CONFIG clientId');
  assert.equal(await out(undefined, { CXONE_BASE_URL: mock.url, CXONE_CLIENT_ID: 'x' }), 'CONFIG clientSecret');
  assert.equal(await out(dotenv('wrong'), { OPTIONS: JSON.stringify({ clientSecret: good }) }), '200', 'options win over both');
});

test('T3 options that are undefined leave the environment alone', async (t) => {
  const mock = await startMock(t);
  const before = { ...process.env };
  t.after(() => {
    for (const name of Object.keys(variables(mock))) delete process.env[name];
    Object.assign(process.env, before);
  });
  Object.assign(process.env, variables(mock));
  const cx = await cxone.CxoneClient.fromEnv({ baseUrl: undefined, clientId: undefined, concurrency: undefined });
  t.after(() => void cx.close());
  assert.equal((await cx.get(ECHO)).status, 200);
});

test('T22 T24 the main script syncs, and says how it goes', async (t) => {
  const mock = await startMock(t, '--interactions', '250');
  await mock.faults({ nth: 2, do: { status: 429, retry_after: 1 } });
  const { status, stdout, stderr } = await run(SYNC, { cwd: folder(t), env: variables(mock) });
  assert.equal(status, 0, stderr);
  const lines = stderr.trim().split('\n');
  const pause = lines.findIndex((line) => /^Rate limit hit\. Retrying in \d+ms \(attempt 1\)$/.test(line));
  assert.ok(pause > 0, stderr);
  lines.splice(pause, 1);
  assert.deepEqual(lines, [
    '[Init] Starting CXone interaction sync...',
    '[Pagination] Fetched 100 interactions. Total: 100',
    '[Pagination] Fetched 100 interactions. Total: 200',
    '[Pagination] Fetched 50 interactions. Total: 250',
    '[Complete] Successfully synced 250 interactions.',
  ]);
  const items = stdout.trim().split('\n').map((line) => JSON.parse(line).id);
  assert.deepEqual([items.length, new Set(items).size, items[0]], [250, 250, 'int-000001']);
});

test('T24 the main script fails with status 1 and says why', async (t) => {
  const mock = await startMock(t, '--interactions', '250');
  await mock.faults({ nth: 2, do: { status: 500 } });
  for (const [env, text] of [
    [variables(mock), 'Server Error: 500 Internal Server Error'],
    [{ ...variables(mock), CXONE_CLIENT_SECRET: 'hunter2' }, 'OAuth Token Fetch Failed: 401 Unauthorized'],
    [{}, 'invalid `baseUrl`: it is missing: set CXONE_BASE_URL'],
  ]) {
    const { status, stderr } = await run(SYNC, { cwd: folder(t), env });
    assert.equal(status, 1);
    assert.equal(stderr.trim().split('\n').at(-1), `[Fatal] ${text}`);
    assert.ok(!stderr.includes('[Complete]') && !stderr.includes('hunter2'));
  }
});

test('X32 importing starts no work and reads no environment', async (t) => {
  const { status, stdout } = await run(
    `const timers = []; const { setTimeout: real } = globalThis; globalThis.setTimeout = (...args) => { timers.push(args); return real(...args); };
    globalThis.fetch = () => { throw new Error('fetched'); };
    const before = Object.keys(globalThis).length;
    const cxone = await import('${import.meta.resolve('cxone-client')}');
    console.log(timers.length, Object.keys(globalThis).length - before, Object.keys(cxone).includes('instance'));`,
    { cwd: folder(t, 'CXONE_BASE_URL=nonsense') },
  );
  assert.deepEqual([status, stdout], [0, '0 0 false\n']);
});

test('T29 CommonJS gets the same', async () => {
  const { createRequire } = await import('node:module');
  const required = createRequire(import.meta.url)('cxone-client');
  assert.deepEqual(Object.keys(required).sort(), Object.keys(cxone).sort());
  assert.equal(required.calculateBackoffDelay('10', 0, () => 0), 10_000);
  const queue = new required.PriorityRequestQueue();
  assert.equal(await queue.add({ requestFn: () => 1 }), 1);
});

test('the main script says what to check while its host cannot be reached', async (t) => {
  const env = { ...variables({ url: await nobody() }) };
  const child = spawn(process.execPath, [fileURLToPath(SYNC)], { cwd: folder(t), env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  await until('it says so', () => /Retrying/.test(said));
  assert.match(said, /^OAuth Token Fetch Failed: .*Retrying in \d+ms.*CXONE_BASE_URL.*$/m);
});

test('the main script ends when nobody reads on', async (t) => {
  const mock = await startMock(t, '--interactions', '20000');
  const child = spawn('sh', ['-c', '"$0" "$1" | head -n 1', process.execPath, fileURLToPath(SYNC)], { cwd: folder(t), env: { PATH: process.env.PATH, ...variables(mock) }, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  await new Promise((resolve) => child.on('close', resolve));
  assert.ok(!/EPIPE|Unhandled|Complete/.test(said), said);
});
