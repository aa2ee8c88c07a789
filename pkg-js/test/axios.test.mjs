/** `cxone-client/axios`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import axios, { AxiosError, AxiosHeaders, CanceledError } from 'axios';
import { cxoneAdapter } from 'cxone-client/axios';
import { anonymous, client, ECHO, nobody, rejection, serve, startMock, until } from './helper.mjs';

function api(cx, options = {}) {
  return axios.create({ adapter: cxoneAdapter(cx, axios), ...options });
}

test('T6 T10 T25 T26 one line gets it all', async (t) => {
  const mock = await startMock(t);
  const http = api(client(t, mock));
  await mock.faults({ do: [{ status: 429, body: '<html>' }, { status: 401 }, { connection: 'reset' }] });
  const response = await http.get(ECHO, { cxone: { priority: 'high' } });
  assert.deepEqual([response.status, response.statusText, response.data.path], [200, 'OK', ECHO]);
  assert.equal(response.headers['content-type'], 'application/json');
  assert.ok(response.headers instanceof AxiosHeaders);
  assert.equal(response.config.url, ECHO);
  assert.equal(response.data.headers.accept, 'application/json');
  assert.match(response.data.headers['user-agent'], /^cxone-client\//);
  const ids = new Set((await mock.sent()).map((it) => it.correlation_id));
  assert.equal(ids.size, 1);
});

test('T5 X31 baseURL, and another origin', async (t) => {
  const [mock, other] = [await startMock(t), await startMock(t)];
  const cx = client(t, mock);
  const http = api(cx, { baseURL: `${mock.url}/api/v2.0` });
  assert.equal((await http.get('echo')).data.path, ECHO);
  assert.equal((await http.get('/echo')).data.path, ECHO);
  const error = await rejection(api(cx, { baseURL: other.url }).get(ECHO));
  assert.ok(error instanceof AxiosError);
  assert.equal(error.cause.field, 'auth');
  assert.equal((await other.stats()).requests, 0);
  assert.equal((await rejection(api(cx, { baseURL: other.url }).get(ECHO, { cxone: { auth: false } }))).response.status, 401);
});

test('T21 params and paramsSerializer', async (t) => {
  const mock = await startMock(t);
  const http = api(client(t, mock));
  assert.equal((await http.get(ECHO, { params: { a: 1, b: ['x', 'y'] } })).data.query, 'a=1&b%5B%5D=x&b%5B%5D=y');
  const paramsSerializer = { serialize: (params) => Object.keys(params).join('+') };
  assert.equal((await http.get(ECHO, { params: { a: 1, b: 2 }, paramsSerializer })).data.query, 'a+b');
  assert.equal((await http.get(ECHO, { params: { b: ['x', 'y'] }, paramsSerializer: { indexes: null } })).data.query, 'b=x&b=y');
});

test('T21 bodies: objects, forms, texts and bytes', async (t) => {
  const mock = await startMock(t);
  const http = api(client(t, mock));
  const echo = async (...args) => (await http.post(ECHO, ...args)).data;
  let it = await echo({ a: [1] });
  assert.deepEqual([it.body, it.headers['content-type']], ['{"a":[1]}', 'application/json']);
  it = await echo(new URLSearchParams('a=b'));
  assert.deepEqual([it.body, it.headers['content-type']], ['a=b', 'application/x-www-form-urlencoded;charset=utf-8']);
  const form = new FormData();
  form.set('a', 'b');
  it = await echo(form);
  assert.match(it.headers['content-type'], /^multipart\/form-data; ?boundary=/);
  assert.match(it.body, /name="a"/);
  it = (await http.postForm(ECHO, { a: 'b' })).data;
  const [, boundary] = /^multipart\/form-data; ?boundary=(.+)$/.exec(it.headers['content-type']);
  assert.ok(it.body.includes(`--${boundary}`) && it.body.includes('name="a"'), it.body);
  it = await echo(new Blob(['x'], { type: 'text/csv' }));
  assert.deepEqual([it.body, it.headers['content-type']], ['x', 'text/csv']);
  it = await echo('text', { headers: { 'Content-Type': 'text/plain' } });
  assert.deepEqual([it.body, it.headers['content-type']], ['text', 'text/plain']);
  it = await echo(new Uint8Array([97]));
  assert.equal(it.body, 'a');
  it = await echo({ a: 1 }, { transformRequest: [(data) => JSON.stringify({ ...data, b: 2 })] });
  assert.equal(it.body, '{"a":1,"b":2}');
  it = (await http.get(ECHO, { data: {} })).data;
  assert.deepEqual([it.body, it.headers['content-type']], ['', 'application/json']);
  it = (await http.delete(ECHO, { data: { a: 1 } })).data;
  assert.equal(it.body, '{"a":1}');
  it = (await http.get(ECHO, { headers: { 'X-A': 'b', 'X-None': null, Accept: 'text/csv' } })).data;
  assert.deepEqual([it.headers['x-a'], it.headers['x-none'], it.headers.accept], ['b', undefined, 'text/csv']);
});

test('T8 auth becomes a Basic header, in place of the token', async (t) => {
  const seen = [];
  const cx = anonymous(t, 'https://h.example', {
    fetch: async (_, init) => {
      seen.push(init.headers.authorization);
      return new Response('{}');
    },
  });
  await api(cx).get('/x', { auth: { username: 'ü', password: 'p' } });
  assert.equal(seen[0], `Basic ${Buffer.from('ü:p').toString('base64')}`);
});

test('T21 responseType and transformResponse', async (t) => {
  const mock = await startMock(t);
  const http = api(client(t, mock));
  assert.equal(typeof (await http.get(ECHO, { responseType: 'json' })).data, 'object');
  // As in axios: what is JSON is parsed unless it is told not to.
  assert.equal(typeof (await http.get(ECHO, { responseType: 'text', transitional: { forcedJSONParsing: false } })).data, 'string');
  const bytes = (await http.get('/api/v2.0/bytes?n=10', { responseType: 'arraybuffer' })).data;
  assert.ok(Buffer.isBuffer(bytes), 'as axios gives it in Node.js');
  assert.deepEqual([...bytes], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal((await http.get('/api/v2.0/bytes?n=10', { responseType: 'blob' })).data.size, 10);
  const stream = (await http.get('/api/v2.0/bytes?n=100', { responseType: 'stream' })).data;
  let size = 0;
  for await (const chunk of stream) size += chunk.length;
  assert.equal(size, 100);
  assert.equal((await http.get(ECHO, { transformResponse: [(data) => `${typeof data}!`] })).data, 'string!');
  await mock.faults({ status: 204 });
  assert.equal((await http.get(ECHO)).data, '');
  await mock.faults({ status: 200, body: '{"a":' });
  const error = await rejection(http.get(ECHO, { responseType: 'json', transitional: { silentJSONParsing: false } }));
  assert.ok(error instanceof AxiosError);
  assert.equal(error.code, 'ERR_BAD_RESPONSE');
});

test('T11 T12 X28 validateStatus, and errors with their response', async (t) => {
  const mock = await startMock(t);
  const http = api(client(t, mock, { maxAttempts: 1 }));
  for (const [status, code] of [[404, 'ERR_BAD_REQUEST'], [403, 'ERR_BAD_REQUEST'], [500, 'ERR_BAD_RESPONSE'], [502, 'ERR_BAD_RESPONSE']]) {
    const error = await rejection(http.get(`/api/v2.0/status/${status}`));
    assert.ok(axios.isAxiosError(error));
    assert.deepEqual([error.code, error.message, error.status], [code, `Request failed with status code ${status}`, status]);
    assert.deepEqual([error.response.status, error.response.data], [status, { status }]);
    assert.equal(error.response.headers['content-type'], 'application/json');
    assert.equal(error.cause.status, status);
    assert.ok(error.config);
    const { data } = await http.get(`/api/v2.0/status/${status}`, { validateStatus: (it) => it === status });
    assert.deepEqual(data, { status });
    assert.equal((await http.get(`/api/v2.0/status/${status}`, { validateStatus: null })).status, status);
  }
  const error = await rejection(http.get(ECHO, { validateStatus: (status) => status !== 200 }));
  assert.deepEqual([error.code, error.response.status], ['ERR_BAD_REQUEST', 200]);
  const stream = await rejection(http.get('/api/v2.0/status/404', { responseType: 'stream' }));
  assert.equal(stream.response.status, 404);
  await mock.faults({ status: 429, retry_after: 3600 });
  const limited = await rejection(http.get(ECHO));
  assert.deepEqual([limited.response.status, limited.response.headers['retry-after'], limited.cause.code], [429, '3600', 'RATE_LIMITED']);
  assert.ok(limited.cause.retryAt > new Date());
});

test('T21 each cookie that is set is there, as in axios', async (t) => {
  const { url } = await serve(t, (request, response) => {
    response.writeHead(request.url === '/bad' ? 400 : 200, [['Set-Cookie', 'a=1; Path=/'], ['Set-Cookie', 'b=2'], ['X-A', 'b']].flat()).end('{}');
  });
  const ways = [['/x', {}], ['/bad', {}], ['/x', { responseType: 'stream' }]];
  for (const [path, options] of ways.map(([path, options]) => [path, { ...options, validateStatus: null }])) {
    const [own, theirs] = [await api(anonymous(t, url)).get(path, options), await axios.get(url + path, options)];
    assert.deepEqual(own.headers['set-cookie'], ['a=1; Path=/', 'b=2']);
    assert.deepEqual(own.headers['set-cookie'], theirs.headers['set-cookie']);
    assert.equal(own.headers['x-a'], 'b');
  }
});

test('T21 X28 the data of an error is of its responseType, byte by byte', async (t) => {
  const bytes = Buffer.from('{ "a":\t"\xff" }', 'latin1');
  const { url } = await serve(t, (request, response) => {
    response.writeHead(Number(request.url.slice(1)), { 'content-type': 'application/json' }).end(bytes);
  });
  const http = api(anonymous(t, url, { maxAttempts: 1 }));
  for (const path of ['/404', '/500']) {
    const { data } = (await rejection(http.get(path, { responseType: 'arraybuffer' }))).response;
    assert.ok(Buffer.isBuffer(data));
    assert.deepEqual(data, bytes);
    assert.deepEqual((await rejection(axios.get(url + path, { responseType: 'arraybuffer' }))).response.data, bytes);
    const blob = (await rejection(http.get(path, { responseType: 'blob' }))).response.data;
    assert.deepEqual([Buffer.from(await blob.arrayBuffer()), blob.type], [bytes, 'application/json']);
    const text = await rejection(http.get(path, { responseType: 'text', transitional: { forcedJSONParsing: false } }));
    assert.equal(text.response.data, '{ "a":\t"\ufffd" }');
    assert.deepEqual(text.cause.data, { a: '\ufffd' });
  }
});

test('T13 X28 errors without a response', async (t) => {
  const mock = await startMock(t);
  let error = await rejection(api(anonymous(t, await nobody(), { maxAttempts: 1 })).get('/x'));
  assert.ok(error instanceof AxiosError);
  assert.deepEqual([error.code, error.response, error.cause.code], ['ERR_NETWORK', undefined, 'NETWORK']);
  const http = api(client(t, mock, { maxAttempts: 1 }));
  error = await rejection(http.get('/api/v2.0/slow?ms=3000', { timeout: 100 }));
  assert.deepEqual([error.code, error.response], ['ECONNABORTED', undefined], 'as in axios');
  error = await rejection(http.get('/api/v2.0/slow?ms=3000', { timeout: 100, transitional: { clarifyTimeoutError: true } }));
  assert.equal(error.code, 'ETIMEDOUT');
  error = await rejection(api(client(t, mock, { clientSecret: 'hunter2' })).get(ECHO));
  assert.deepEqual([error.message, error.response, error.cause.code], ['OAuth Token Fetch Failed: 401 Unauthorized', undefined, 'TOKEN']);
  assert.doesNotMatch(JSON.stringify(error), /hunter2/);
});

test('X27 signal and cancelToken, before, during and in the queue', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  const http = api(cx);
  for (const when of ['before', 'queued', 'in flight']) {
    for (const how of ['signal', 'cancelToken']) {
      const controller = new AbortController();
      const source = axios.CancelToken.source();
      const cancel = () => (how === 'signal' ? controller.abort() : source.cancel('by token'));
      if (when === 'before') cancel();
      if (when === 'queued') cx.pause();
      const request = rejection(http.get('/api/v2.0/slow?ms=5000', how === 'signal' ? { signal: controller.signal } : { cancelToken: source.token }));
      if (when === 'in flight') await until('it is out', () => cx.stats().inFlight === 1);
      if (when === 'queued') await until('it waits', () => cx.stats().queued.normal === 1);
      cancel();
      const error = await request;
      assert.ok(error instanceof CanceledError && axios.isCancel(error), `${when} ${how}: ${error}`);
      assert.deepEqual([error.code, error.message], ['ERR_CANCELED', how === 'signal' ? 'canceled' : 'by token']);
      cx.resume();
    }
  }
  assert.equal((await http.get(ECHO)).status, 200);
});

test('X27 signal and cancelToken end a stream that is being read', async (t) => {
  const { url } = await serve(t, (_, response) => response.write('begin'));
  const http = api(anonymous(t, url));
  for (const how of ['signal', 'cancelToken']) {
    const controller = new AbortController();
    const source = axios.CancelToken.source();
    const { data } = await http.get('/x', { responseType: 'stream', ...(how === 'signal' ? { signal: controller.signal } : { cancelToken: source.token }) });
    const reader = data.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), 'begin');
    const rest = rejection(reader.read());
    controller.abort();
    source.cancel();
    assert.ok(axios.isCancel(await rest), how);
  }
});
