/** What goes wrong, and how it is told; and what never is. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, inspect } from 'node:util';

import * as cxone from 'cxone-client';
import { anonymous, client, CREDENTIALS, ECHO, nobody, rejection, serve, startMock } from './helper.mjs';

const { CxoneClient, CxoneError, PriorityRequestQueue } = cxone;

test('T11 T12 T13 errors say what the tutorial says', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { maxAttempts: 1 });
  for (const [status, code, name, text] of [
    [403, 'AUTH', 'AuthError', 'Auth/Permission Error: 403 Forbidden'],
    [500, 'SERVER', 'ServerError', 'Server Error: 500 Internal Server Error'],
    [503, 'SERVER', 'ServerError', 'Server Error: 503 Service Unavailable'],
    [404, 'STATUS', 'StatusError', 'Request Failed: 404 Not Found'],
    [400, 'STATUS', 'StatusError', 'Request Failed: 400 Bad Request'],
  ]) {
    const error = await rejection(cx.get(`/api/v2.0/status/${status}`));
    assert.deepEqual([error.message, error.code, error.name, error.status], [text, code, name, status]);
    assert.ok(error instanceof cxone[name] && error instanceof CxoneError && error instanceof Error);
    assert.deepEqual([error.data, error.attempts], [{ status }, 1]);
    assert.ok(text.endsWith(`${status} ${error.statusText}`));
  }
  assert.equal((await mock.stats()).api_requests, 5, 'none of these is sent again');
});

test('X28 an error keeps status, headers, body and ids', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 409, headers: { 'x-trace-id': 't-17' }, body: '{"errorCode":"E1"}' });
  const error = await rejection(client(t, mock).get(`${ECHO}?key=1`));
  assert.deepEqual([error.status, error.traceId, error.method, error.url], [409, 't-17', 'GET', `${mock.url}${ECHO}`]);
  assert.equal(error.headers.get('x-trace-id'), 't-17');
  assert.deepEqual(error.data, { errorCode: 'E1' });
  assert.equal(error.correlationId, (await mock.sent())[0].correlation_id);
});

test('T13 X28 a network error keeps its cause', async (t) => {
  const error = await rejection(anonymous(t, await nobody(), { maxAttempts: 2 }).get('/x'));
  assert.deepEqual([error.code, error.name, error.attempts, error.status], ['NETWORK', 'NetworkError', 2, undefined]);
  assert.equal(error.cause.cause.code, 'ECONNREFUSED');
  assert.match(error.message, /^Network Error: /);
});

test('T13 X28 every class has its code', async (t) => {
  const mock = await startMock(t);
  const full = client(t, mock, { queueLimit: 3 });
  full.pause();
  const waiting = [1, 2, 3].map(() => full.get(ECHO));
  const error = await rejection(full.get(ECHO));
  assert.deepEqual([error.code, error.name], ['QUEUE_FULL', 'QueueFullError']);
  assert.match(error.message, /`queueLimit`/);
  full.resume();
  await Promise.all(waiting);

  const closed = client(t, mock);
  await closed.close();
  for (const late of [closed.get(ECHO), closed.fetch(ECHO), closed.accessToken()]) {
    const error = await rejection(late);
    assert.deepEqual([error.code, error.name, error.message], ['CLOSED', 'ClosedError', 'Client Closed: it accepts no more requests']);
  }
});

/** All that a log could show of it. */
function shown(...values) {
  const deep = { depth: Infinity, showHidden: true, maxStringLength: Infinity, maxArrayLength: Infinity };
  return values.map((it) => `${inspect(it)}\n${inspect(it, deep)}\n${String(it?.stack ?? it)}\n${JSON.stringify(it)}`).join('\n');
}

test('X16 X17 no secret is ever shown', async (t) => {
  const SECRET = 'hunter2====';
  const TOKEN = 'tok-hunter2';
  for (const clientAuth of ['body', 'basic']) {
    const mock = await startMock(t);
    const quoting = JSON.stringify({ error: 'x', error_description: `bad ${SECRET}` });
    await mock.faults({
      on: '/oauth2/token',
      do: [{ status: 503, body: quoting }, { status: 200, body: JSON.stringify({ access_token: TOKEN, token_type: 'Bearer' }) }, { status: 400, body: quoting }],
    });
    const cx = client(t, mock, { clientId: 'id', clientSecret: SECRET, clientAuth, maxAttempts: 2 });
    const told = [];
    for (const type of ['pause', 'reopen', 'recover', 'retry', 'token', 'tokenretry', 'tokenrefused']) {
      cx.addEventListener(type, (event) => told.push(event, event.detail));
    }
    const request = cx.get(`${ECHO}?key=${SECRET}`, { headers: { 'x-key': SECRET } });
    const before = shown(cx, request);
    // The API does not know that token: 401, then the refused refresh.
    const error = await rejection(request);
    assert.equal(error.code, 'TOKEN');
    assert.ok(told.length >= 6);
    const text = before + shown(cx, cx.stats(), error, error.cause, error.headers, ...told);
    assert.doesNotMatch(text, /hunter2|aHVudGVyM/);
    assert.equal((await mock.stats()).token_requests, 3);
    for (const entry of await mock.log()) assert.ok(!entry.path.includes('hunter2'));
    assert.doesNotMatch(shown(await rejection(cx.accessToken())), /hunter2/);
  }
});

test('X16 X17 no token is shown by what a failed sending leaves', async (t) => {
  const { url, server } = await serve(t, (request, response) => {
    if (request.url === '/oauth2/token') response.end('{"access_token":"tok-hunter2"}');
    else request.socket.destroy();
  });
  const cx = client(t, { url }, { maxAttempts: 2 });
  const error = await rejection(cx.put(ECHO, { key: 'hunter2' }, { params: { key: 'hunter2' } }));
  assert.equal(error.code, 'NETWORK');
  assert.doesNotMatch(shown(error, cx), /hunter2/);
  const inFlight = rejection(cx.get('/x'));
  assert.doesNotMatch(shown(cx), /hunter2/);
  server.closeAllConnections();
  await inFlight;
});

test('X28 printing an error shows neither query, headers nor body', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 409, headers: { 'set-cookie': 'hunter2' }, body: '{"a":"hunter2"}' });
  const error = await rejection(client(t, mock).get(`${ECHO}?q=hunter2`));
  assert.doesNotMatch(`${inspect(error)}${JSON.stringify(error)}${error.stack}`, /hunter2/);
  assert.doesNotMatch(`${format('%o %O', error, error)}${shown(error)}`, /hunter2/);
  assert.match(inspect(error), /StatusError: Request Failed: 409 Conflict/);
  assert.deepEqual([error.data.a, error.headers.get('set-cookie')], ['hunter2', 'hunter2'], 'it is there for whoever asks');
});

test('X28 the bytes that could not be parsed are not printed', async (t) => {
  const cause = Object.assign(new Error('Response does not match'), { name: 'HTTPParserError', data: 'hunter2' });
  const fetch = () => Promise.reject(new TypeError('fetch failed', { cause }));
  const error = await rejection(anonymous(t, 'https://h.example', { maxAttempts: 1, fetch }).get('/x'));
  assert.equal(error.cause.cause, cause);
  assert.doesNotMatch(`${format('%o', error)}${shown(error)}`, /hunter2/);
  assert.equal(cause.data, 'hunter2');
});

test('X28 settings that cannot be used are named, with what to do', () => {
  const good = { baseUrl: 'https://h.example', clientId: 'id', clientSecret: 'hunter2' };
  for (const [options, field] of [
    [undefined, 'options'],
    [null, 'options'],
    [{}, 'baseUrl'],
    [{ ...good, baseUrl: '' }, 'baseUrl'],
    [{ ...good, baseUrl: 'h.example' }, 'baseUrl'],
    [{ ...good, baseUrl: 'ftp://h.example' }, 'baseUrl'],
    [{ ...good, baseUrl: 'https://id:hunter2@h.example' }, 'baseUrl'],
    [{ ...good, baseUrl: 'https://h.example/?a=hunter2' }, 'baseUrl'],
    [{ ...good, tokenUrl: 'https://t.example?client_secret=hunter2' }, 'tokenUrl'],
    [{ ...good, tokenUrl: 'https://t.example?x=hunter2' }, 'tokenUrl'],
    [{ ...good, tokenUrl: '/oauth2/token' }, 'tokenUrl'],
    [{ ...good, tokenUrl: '' }, 'tokenUrl'],
    [{ ...good, clientId: '' }, 'clientId'],
    [{ ...good, clientId: undefined }, 'clientId'],
    [{ ...good, clientId: '', clientSecret: '' }, 'clientId'],
    [{ ...good, clientId: 5 }, 'clientId'],
    [{ ...good, clientSecret: '' }, 'clientSecret'],
    [{ ...good, clientSecret: undefined }, 'clientSecret'],
    [{ ...good, clientSecret: {} }, 'clientSecret'],
    [{ ...good, scope: 5 }, 'scope'],
    [{ ...good, clientAuth: 'header' }, 'clientAuth'],
    [{ ...good, scopeBy: 'tenant' }, 'scopeBy'],
    [{ ...good, userAgent: 'a\nb' }, 'userAgent'],
    [{ ...good, headers: { 'a b': 'hunter2' } }, 'headers'],
    [{ ...good, headers: { a: 'hunter2\n' + 'b' } }, 'headers'],
    [{ ...good, correlationIds: 'no' }, 'correlationIds'],
    [{ ...good, followRedirects: 1 }, 'followRedirects'],
    [{ ...good, maxBody: -1 }, 'maxBody'],
    [{ ...good, maxBody: '5' }, 'maxBody'],
    [{ ...good, fetch: {} }, 'fetch'],
    [{ ...good, transport: {} }, 'transport'],
    [{ ...good, transport: null }, 'transport'],
    [{ ...good, concurrency: 0 }, 'concurrency'],
    [{ ...good, concurrency: 65_536 }, 'concurrency'],
    [{ ...good, concurrency: '8' }, 'concurrency'],
    [{ ...good, concurrency: NaN }, 'concurrency'],
    [{ ...good, maxAttempts: 0 }, 'maxAttempts'],
    [{ ...good, maxAttempts: 1.5 }, 'maxAttempts'],
    [{ ...good, timeout: 0 }, 'timeout'],
    [{ ...good, timeout: -1 }, 'timeout'],
    [{ ...good, timeout: '1s' }, 'timeout'],
    [{ ...good, retryFor: NaN }, 'retryFor'],
    [{ ...good, maxWait: '5' }, 'maxWait'],
    [{ ...good, queueLimit: 0 }, 'queueLimit'],
    [{ ...good, fairShare: 1 }, 'fairShare'],
    [{ ...good, tokenCooldown: -1 }, 'tokenCooldown'],
    [{ ...good, backoff: 5 }, 'backoff'],
    [{ ...good, backoff: { base: 0 } }, 'backoff.base'],
    [{ ...good, backoff: { base: 10, cap: 5 } }, 'backoff.cap'],
    [{ ...good, backoff: { stated: 'all' } }, 'backoff.stated'],
    [{ ...good, reading: { mode: 'sloppy' } }, 'reading.mode'],
    [{ ...good, reading: { resetUnit: 's' } }, 'reading.resetUnit'],
    [{ ...good, reading: { msHeaders: 'x' } }, 'reading.msHeaders'],
    [{ ...good, reading: { msHeaders: ['a\nb'] } }, 'reading.msHeaders'],
    [{ ...good, scopes: {} }, 'scopes'],
    [{ ...good, scopes: [null] }, 'scopes'],
    [{ ...good, scopes: [{ name: '' }] }, 'scopes.name'],
    [{ ...good, scopes: [{ name: 'a', concurrency: 0 }] }, 'scopes.concurrency'],
    [{ ...good, seed: -1 }, 'seed'],
  ]) {
    assert.throws(
      () => new CxoneClient(options),
      (error) => {
        const name = inspect(options);
        assert.equal(error.code, 'CONFIG', `${name}: ${error.stack}`);
        assert.equal(error.field, field, name);
        assert.ok(error.message.startsWith(`invalid \`${field}\`: `), error.message);
        assert.ok(error.message.length > `invalid \`${field}\`: `.length + 5, error.message);
        assert.doesNotMatch(shown(error), /hunter2/, name);
        return true;
      },
      inspect(options),
    );
  }
  for (const bad of [0, 65_536, NaN, '5', { concurrency: -1 }, { fairShare: 0 }]) {
    assert.throws(() => new cxone.PriorityRequestQueue(bad), { code: 'CONFIG' }, inspect(bad));
  }
  void new CxoneClient(good).close();
  void new CxoneClient({ baseUrl: new URL('https://h.example') }).close();
});

test('X28 requests that cannot be made are told at once, and nothing is sent', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  for (const [config, field] of [
    [{}, 'url'],
    [{ url: 5 }, 'url'],
    [{ url: 'mailto:x@y.example' }, 'url'],
    [{ url: ECHO, method: 'GE T' }, 'method'],
    [{ url: ECHO, method: '' }, 'method'],
    [{ url: ECHO, method: 'CONNECT' }, 'method'],
    [{ url: ECHO, data: 'x' }, 'data'],
    [{ url: ECHO, method: 'head', data: {} }, 'data'],
    [{ url: ECHO, headers: { 'bad name': 'x' } }, 'headers'],
    [{ url: ECHO, headers: { x: 'bad\nvalue' } }, 'headers'],
    [{ url: ECHO, headers: 5 }, 'headers'],
    [{ url: ECHO, timeout: 0 }, 'timeout'],
    [{ url: ECHO, timeout: NaN }, 'timeout'],
    [{ url: ECHO, deadline: -1 }, 'deadline'],
    [{ url: ECHO, deadline: '5' }, 'deadline'],
    [{ url: ECHO, priority: 4 }, 'priority'],
    [{ url: ECHO, priority: 'urgent' }, 'priority'],
    [{ url: ECHO, priority: null }, 'priority'],
    [{ url: ECHO, idempotencyKey: 'a\nb' }, 'idempotencyKey'],
    [{ url: ECHO, correlationId: 'a\nb' }, 'correlationId'],
    [{ url: ECHO, correlationId: '\u20ac' }, 'correlationId'],
    [{ url: ECHO, responseType: 'xml' }, 'responseType'],
    [{ url: ECHO, params: 'a=1' }, 'params'],
    [{ url: ECHO, params: { filter: { from: 1 } } }, 'params'],
    [{ url: ECHO, params: { at: [new Date(NaN)] } }, 'params'],
    [{ url: ECHO, signal: new AbortController() }, 'signal'],
  ]) {
    const error = await rejection(cx.request(config));
    assert.deepEqual([error.code, error.field], ['CONFIG', field], `${inspect(config)}: ${error}`);
  }
  assert.equal((await rejection(cx.request())).code, 'CONFIG');
  assert.equal((await mock.stats()).requests, 0);
  assert.equal((await cx.get(ECHO, { timeout: Infinity, deadline: Infinity })).status, 200);
  assert.equal((await rejection(cx.get(ECHO, { deadline: 0 }))).code, 'TIMEOUT');
});

test('X28 printing an error shows no body, whatever its cause has seen of it', async (t) => {
  const json = await serve(t, (_, response) => response.setHeader('content-type', 'application/json').end('hunter2!'));
  const parsing = await serve(t, (request) => request.socket.end('HTTP/1.1 200 OK\r\nno header hunter2\r\n\r\n{"access_token":"hunter2"}'));
  for (const [code, { url }, options, config] of [
    ['DECODE', json, {}, {}],
    ['NETWORK', parsing, { maxAttempts: 1 }, {}],
    ['TIMEOUT', parsing, CREDENTIALS, { deadline: 100 }],
  ]) {
    const error = await rejection(anonymous(t, url, options).get(ECHO, config));
    assert.doesNotMatch(`${inspect(error, { depth: 9 })} ${JSON.stringify(error)}`, /hunter2/);
    assert.ok([code, 'TOKEN'].includes(error.code), `${error}`);
  }
});

test('X32 importing does nothing, and making a client sends nothing', async (t) => {
  const mock = await startMock(t);
  const cx = new CxoneClient({ baseUrl: mock.url, ...CREDENTIALS });
  cx.pause();
  cx.setConcurrency(3);
  cx.resume();
  await cx.close();
  assert.equal((await mock.stats()).requests, 0);
});

test('an option that there is not is named', () => {
  const baseUrl = 'http://a.example';
  for (const [options, field] of [
    [{ concurency: 4 }, 'concurency'],
    [{ backoff: { max: 5 } }, 'backoff.max'],
    [{ reading: { header: [] } }, 'reading.header'],
    [{ scopes: [{ name: 'a', limit: 5 }] }, 'scopes.limit'],
    [{ pacing: { requests: 1, per: 1000, bursts: 5 } }, 'pacing.bursts'],
  ]) {
    const misspelt = { code: 'CONFIG', field, message: /there is no such option/ };
    assert.throws(() => new cxone.CxoneClient({ baseUrl, ...options }), misspelt, field);
    if (field !== 'concurency') assert.throws(() => new cxone.PriorityRequestQueue(options), misspelt, field);
  }
  assert.throws(() => new cxone.PriorityRequestQueue({ concurency: 4 }), { field: 'concurency' });
  assert.throws(() => new cxone.PriorityRequestQueue({ baseUrl }), { field: 'baseUrl' });
  assert.throws(() => new cxone.PriorityRequestQueue(-1), { field: 'concurrency', message: /1 or more/ });
});
