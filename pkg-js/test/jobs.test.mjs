/** Jobs, each family of them, and what becomes of one that is not done. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { JobError } from 'cxone-client';
import { runJob } from 'cxone-client/jobs';
import { anonymous, client, once, platform, rejection, serve, sleep, startMock } from './helper.mjs';

const EXTRACTIONS = '/data-extraction/v1/jobs';
const V34 = '/incontactapi/services/v34.0';
const FAMILIES = [
  ['data-extraction', EXTRACTIONS],
  ['report', `${V34}/report-jobs/77`],
  ['call-list-upload', `${V34}/lists/call-lists/5/upload`],
];
const QUICK = { pollEvery: 5 };

const isPoll = ({ method, path }) => method === 'GET' && /\/job-\d+$/.test(path);
const polls = async (mock) => (await mock.log()).filter(isPoll);

test('each family is submitted, asked after where it keeps its jobs, and done', async (t) => {
  for (const [style, path] of FAMILIES) {
    const mock = await startMock(t);
    const { id, result, answer } = await runJob(client(t, mock), style, path, { ...QUICK, data: { entityName: 'x' } });
    assert.equal(id, 'job-1');
    // The mock's jobs are still running twice.
    assert.equal((await polls(mock)).length, 3, style);
    assert.equal(typeof result, style === 'call-list-upload' ? 'undefined' : 'string');
    if (style === 'call-list-upload') assert.equal(answer.status, 'Completed');
    else assert.match(result, /\/files\//);
    assert.equal((await mock.stats()).early, 0);
  }
});

test('on NICE’s own platform, too, where calls of Data Extraction keep their distance', async (t) => {
  const mock = await startMock(t);
  const cx = platform(t, mock);
  // They keep 30 s between them, which this deadline does not allow.
  const error = await rejection(runJob(cx, 'data-extraction', EXTRACTIONS, { ...QUICK, deadline: 500 }));
  assert.equal(error.code, 'TIMEOUT');
  assert.equal((await mock.log()).filter((it) => it.path.startsWith(EXTRACTIONS)).length, 1);
  // Other families have a pace of their own.
  for (const [style, path] of FAMILIES.slice(1)) assert.ok((await runJob(cx, style, path, QUICK)).id);

  // Whoever is allowed more may say so.
  await mock.reset();
  const pacing = { requests: 1, per: 100, burst: 1, fixed: true };
  const faster = platform(t, mock, { scopes: [{ name: 'data-extraction', concurrency: 1, pacing }] });
  const { result } = await runJob(faster, 'data-extraction', EXTRACTIONS, QUICK);
  assert.ok(result);
  const times = (await mock.log()).filter((it) => it.path.startsWith(EXTRACTIONS)).map((it) => it.at_ms);
  assert.equal(times.length, 4);
  assert.ok(times[3] - times[0] >= 250, `${times}`);
});

test('what is asked is what was said', async (t) => {
  const seen = [];
  const { url } = await serve(t, async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    seen.push([request.method, request.url, request.headers['x-a'], text]);
    response.end(request.method === 'POST' ? '17' : '{"jobStatus":{"status":"SUCCEEDED"}}');
  });
  const cx = anonymous(t, url);
  // Numbers are ids, too, and JSON is JSON whatever its type.
  const job = await runJob(cx, 'data-extraction', new URL(`${url}/jobs?x=y`), { data: { a: 1 }, headers: { 'x-a': 'b' }, priority: 'low' });
  assert.deepEqual(job, { id: '17', answer: { jobStatus: { status: 'SUCCEEDED' } } });
  assert.deepEqual(seen, [
    ['POST', '/jobs?x=y', 'b', '{"a":1}'],
    ['GET', '/jobs/17', 'b', ''],
  ]);
  seen.length = 0;
  await runJob(cx, 'data-extraction', '/jobs');
  assert.equal(seen[0][3], '{}');
});

test('throttles, dead tokens and resets on the way are no matter', async (t) => {
  const mock = await startMock(t);
  await mock.faults(
    { nth: 1, do: { status: 429, retry_after: 1 } },
    { nth: 3, do: { status: 401 } },
    { nth: 5, do: { connection: 'reset' } },
    { nth: 6, do: { truncate: 5 } },
  );
  assert.equal((await runJob(client(t, mock), ...FAMILIES[1], QUICK)).id, 'job-1');
  const { early, faults } = await mock.stats();
  assert.deepEqual([early, faults], [0, 4]);
});

test('a submission whose answer was lost is not repeated', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ truncate: 1 });
  const error = await rejection(runJob(client(t, mock), ...FAMILIES[0], QUICK));
  assert.equal(error.code, 'NETWORK');
  assert.equal((await mock.sent()).length, 1);
});

test('a job that fails says why, and one that makes no sense says so', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const run = () => rejection(runJob(cx, ...FAMILIES[0], QUICK));
  const says = (method, body) => mock.script({ rules: [{ on: EXTRACTIONS, method, do: { status: 200, body: JSON.stringify(body) } }] });

  await says('GET', { jobStatus: { status: 'FAILED', result: { errorMessage: 'too much' } } });
  const error = await run();
  assert.ok(error instanceof JobError);
  assert.deepEqual([error.code, error.name, error.message], ['JOB', 'JobError', 'Job Error: job job-1 is FAILED: too much']);
  assert.deepEqual([error.status, error.attempts, error.url], [200, 1, `${mock.url}${EXTRACTIONS}/job-1`]);
  assert.equal(error.data.jobStatus.status, 'FAILED');
  assert.ok(error.headers instanceof Headers && error.correlationId);

  await says('GET', { jobStatus: { status: 'EXPIRED' } });
  assert.match((await run()).message, /^Job Error: job job-\d+ is EXPIRED$/);
  await says('GET', {});
  assert.match((await run()).message, /there is no state in `jobStatus\.status`/);
  await says('GET', { jobStatus: { status: 5 } });
  assert.match((await run()).message, /there is no state/);
  await says('GET', []);
  assert.equal((await run()).code, 'DECODE');
  for (const id of [null, {}, true, 1.5, ['x']]) {
    await says('POST', id);
    assert.match((await run()).message, /names no id/, JSON.stringify(id));
  }
  for (const id of ['../../admin', '', 'a?b']) {
    await says('POST', id);
    assert.match((await run()).message, /cannot stand in a path/, id);
  }
  await mock.script({ rules: [{ on: EXTRACTIONS, do: { status: 200, body: '<html>' } }] });
  assert.deepEqual([(await run()).code, (await mock.sent()).at(-1).method], ['DECODE', 'POST']);
});

test('nobody waits past a job’s deadline', { timeout: 10_000 }, async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  // Its family is asked after every 30 s: that it will not be done in time is known at once.
  const error = await rejection(runJob(cx, ...FAMILIES[0], { deadline: 20_000 }));
  assert.deepEqual([error.code, error.message], ['JOB', 'Job Error: job job-1 is not done within its deadline']);
  assert.equal((await polls(mock)).length, 1);

  const running = JSON.stringify({ jobResult: { state: 'Running' } });
  await mock.script({ rules: [{ on: `${V34}/report-jobs`, method: 'GET', times: 100_000, do: { status: 200, body: running } }] });
  const late = await rejection(runJob(cx, ...FAMILIES[1], { pollEvery: 20, deadline: 300 }));
  assert.ok(['JOB', 'TIMEOUT'].includes(late.code), `${late}`);
  assert.ok((await polls(mock)).length > 2);

  // The submission counts, and so does each answer.
  for (const method of ['POST', 'GET']) {
    await mock.script({ clear: true, rules: [{ on: `${V34}/report-jobs`, method, do: { delay_ms: 5000 } }] });
    assert.equal((await rejection(runJob(cx, ...FAMILIES[1], { deadline: 100 }))).code, 'TIMEOUT', method);
  }
});

test('a job without a deadline has none', async (t) => {
  const mock = await startMock(t);
  assert.equal((await runJob(client(t, mock), ...FAMILIES[1], { ...QUICK, deadline: Infinity })).id, 'job-1');
});

test('X27 a signal ends a job wherever it is, with its reason', { timeout: 10_000 }, async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const controller = new AbortController();
  // The wait between two polls.
  const job = runJob(cx, ...FAMILIES[0], { signal: controller.signal });
  while ((await polls(mock)).length === 0) await sleep(5);
  await sleep(20);
  controller.abort('enough');
  assert.equal(await rejection(job), 'enough');
  // A poll, and before anything.
  await mock.script({ rules: [{ on: `${V34}/report-jobs`, method: 'GET', do: { delay_ms: 5000 } }] });
  assert.equal((await rejection(runJob(cx, ...FAMILIES[1], { signal: AbortSignal.timeout(100) }))).name, 'TimeoutError');
  const sent = (await mock.sent()).length;
  assert.equal(await rejection(runJob(cx, ...FAMILIES[1], { signal: AbortSignal.abort('early') })), 'early');
  assert.equal((await mock.sent()).length, sent);
});

test('a client that is closed ends its jobs', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const told = once(cx, 'token');
  const job = runJob(cx, ...FAMILIES[1], { pollEvery: 200 });
  await told;
  while ((await polls(mock)).length === 0) await sleep(5);
  await cx.close();
  assert.equal((await rejection(job)).code, 'CLOSED');
});

test('options that cannot be used are told', async (t) => {
  const cx = anonymous(t, 'http://127.0.0.1:1');
  for (const [style, options, field] of [
    ['export', {}, 'style'],
    ['toString', {}, 'style'],
    ['report', { deadline: -1 }, 'deadline'],
    ['report', { pollEvery: 'often' }, 'pollEvery'],
    ['report', { priority: 'urgent' }, 'priority'],
  ]) {
    const error = await rejection(runJob(cx, style, '/x', options));
    assert.deepEqual([error.code, error.field], ['CONFIG', field]);
  }
});

test('what is read of jobs is what core reads', (t) => {
  const vectors = JSON.parse(readFileSync(new URL('../../tests/vectors/jobs.json', import.meta.url), 'utf8'));
  const { jobFields, jobNext, jobPath } = anonymous(t, 'http://127.0.0.1:1').instance;
  for (const { style, id_field, state_field, result_field, problem_field, poll_every_ms } of vectors.families) {
    assert.deepEqual(jobFields(style).split('\n'), [id_field, state_field, result_field, problem_field, '']);
    assert.equal(jobNext(`${style}\nRUNNING`, NaN, Infinity, 0), poll_every_ms);
  }
  for (const [style, submittedTo, id, path] of vectors.paths) assert.equal(jobPath(`${style}\n${submittedTo}\n${id}`) ?? null, path, `${submittedTo} ${id}`);
  for (const [name, state] of Object.entries(vectors.states)) {
    assert.equal(jobNext(`report\n${name}`, 7, 1000, 0), { done: -1, failed: -2, running: 7 }[state], JSON.stringify(name));
  }
  for (const { every, deadline, start, now, wait } of vectors.polling) {
    assert.equal(jobNext('report\nRUNNING', every, deadline, now - start), wait ?? -3);
  }
  const century = 100 * 365 * 864e5;
  assert.equal(jobNext('report\nRUNNING', NaN, Infinity, century), 5000);
});
