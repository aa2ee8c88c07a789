/** What is sent, and what comes back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import packageJson from 'cxone-client/package.json' with { type: 'json' };
import { anonymous, client, ECHO, events, rejection, serve, startMock, until } from './helper.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A server that tells the raw requests that it got; what answers decides `how`. */
async function recorder(t, how = (_, response) => response.end('{}')) {
  const seen = [];
  const { url } = await serve(t, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString('latin1');
    seen.push({ method: request.method, url: request.url, headers: request.headers, body });
    how(request, response, seen.length);
  });
  return { url, seen };
}

test('T6 every request carries the tutorial\'s fields', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  for (const method of ['get', 'POST', 'DELETE']) {
    const { data } = await cx.request({ method, url: ECHO });
    assert.equal(data.headers.accept, 'application/json');
    assert.equal(data.headers['content-type'], 'application/json');
    assert.equal(data.headers['user-agent'], `cxone-client/${packageJson.version}`);
    assert.equal(data.method, method.toUpperCase());
  }
});

test('T6 what the caller sets wins', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { userAgent: 'sync/1', headers: { 'X-Team': 'a', 'X-Other': 'b' } });
  const { data } = await cx.post(ECHO, new URLSearchParams({ a: 'b c' }), { headers: [['Accept', 'text/csv'], ['x-other', 'c']] });
  const { headers } = data;
  assert.deepEqual([headers.accept, headers['user-agent'], headers['x-team'], headers['x-other']], ['text/csv', 'sync/1', 'a', 'c']);
  assert.equal(headers['content-type'], 'application/x-www-form-urlencoded;charset=UTF-8');
  assert.equal(data.body, 'a=b+c');
});

test('T6 T21 the methods, their bodies and queries', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  for (const [answer, method, body] of [
    [await cx.get(ECHO), 'GET', ''],
    [await cx.delete(ECHO), 'DELETE', ''],
    [await cx.post(ECHO, { n: 1 }), 'POST', '{"n":1}'],
    [await cx.put(ECHO, [1]), 'PUT', '[1]'],
    [await cx.patch(ECHO, 'text'), 'PATCH', 'text'],
    [await cx.post(ECHO), 'POST', ''],
    [await cx.post(ECHO, false), 'POST', 'false'],
    [await cx.post(ECHO, new Uint8Array([65, 66])), 'POST', 'AB'],
    [await cx.post(ECHO, new Uint8Array([64, 65, 66]).buffer), 'POST', '@AB'],
  ]) {
    assert.deepEqual([answer.data.method, answer.data.body], [method, body]);
  }
  assert.equal((await cx.head(ECHO)).data, null);
  const params = { top: 5, q: 'a&b', list: ['x', 'y'], none: undefined, nothing: null, at: new Date(0), yes: true };
  const { data } = await cx.get(`${ECHO}/x?first=1`, { params });
  assert.equal(data.query, 'first=1&top=5&q=a%26b&list=x&list=y&at=1970-01-01T00%3A00%3A00.000Z&yes=true');
  assert.equal((await cx.get(ECHO, { params: new URLSearchParams('a=1&a=2') })).data.query, 'a=1&a=2');
});

test('T6 objects are sent as they are when the request is made, and bad ones fail at once', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  cx.pause();
  const body = { n: 1 };
  const request = cx.post(ECHO, body);
  body.n = 2;
  cx.resume();
  assert.equal((await request).data.body, '{"n":1}');
  const circular = {};
  circular.circular = circular;
  const throws = { toJSON() { throw new Error('no'); } };
  for (const data of [circular, 1n, throws]) {
    const error = await rejection(cx.post(ECHO, data));
    assert.deepEqual([error.code, error.field], ['CONFIG', 'data']);
    assert.ok(error.cause instanceof Error);
  }
  assert.equal((await cx.get(ECHO)).status, 200, 'and nothing else is harmed');
});

test('T6 FormData, Blob and URLSearchParams keep their own Content-Type, from a function too', async (t) => {
  const { url, seen } = await recorder(t);
  const cx = anonymous(t, url, { headers: { 'content-type': 'application/json' } });
  const form = () => {
    const form = new FormData();
    form.set('a', 'b');
    return form;
  };
  for (const [make, type] of [
    [form, /^multipart\/form-data; ?boundary=/],
    [() => new Blob(['x'], { type: 'text/csv' }), /^text\/csv$/],
    [() => new URLSearchParams('a=b'), /^application\/x-www-form-urlencoded/],
    [() => new Blob(['x']), /^application\/json$/],
    [() => ({ a: 1 }), /^application\/json$/],
    [() => 'text', /^application\/json$/],
  ]) {
    for (const data of [make(), make, async () => make()]) {
      await cx.post('/x', data);
      assert.match(seen.at(-1).headers['content-type'], type);
      const boundary = /boundary=(.*)/.exec(seen.at(-1).headers['content-type'])?.[1];
      if (boundary) assert.ok(seen.at(-1).body.includes(boundary.replaceAll('"', '')));
    }
  }
  await cx.post('/x', form(), { headers: { 'content-type': 'text/plain' } });
  assert.equal(seen.at(-1).headers['content-type'], 'text/plain', 'the caller knows best');
});

test('X23 body factories are called for each sending', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  await mock.faults({ do: [{ status: 429 }, { status: 502 }, { connection: 'reset' }] });
  let made = 0;
  const stream = () => {
    made += 1;
    return new Blob([`body ${made}`]).stream();
  };
  const { data, attempts } = await cx.put(ECHO, stream);
  assert.deepEqual([data.body, made, attempts], ['body 4', 4, 4]);
});

test('X23 a body factory that fails ends the request, once, with its error', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  let made = 0;
  for (const fail of [() => { made += 1; throw new Error('no body'); }, async () => { made += 1; throw new Error('no body'); }]) {
    const error = await rejection(cx.put(ECHO, fail));
    assert.deepEqual([error.code, error.cause.message], ['NETWORK', 'no body']);
  }
  assert.equal(made, 2);
  assert.equal((await mock.stats()).api_requests, 0);
  assert.equal((await cx.get(ECHO)).status, 200);
});

test('X23 T7 X27 a body factory that never ends holds its slot no longer than its request', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1, maxAttempts: 2 });
  await cx.accessToken();
  let late;
  const never = () => new Promise((resolve) => (late = resolve));
  const error = await rejection(cx.put(ECHO, never, { timeout: 50 }));
  assert.deepEqual([error.code, error.attempts], ['TIMEOUT', 2]);
  const controller = new AbortController();
  const aborted = rejection(cx.put(ECHO, never, { signal: controller.signal }));
  await until('it has a slot', () => cx.stats().inFlight === 1);
  controller.abort('enough');
  assert.equal(await aborted, 'enough');
  assert.equal(cx.stats().inFlight, 0);
  late('too late');
  assert.equal((await cx.get(ECHO)).status, 200);
  assert.equal((await mock.stats()).api_requests, 1);
});

test('X23 a stream is sent once and never again', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const stream = () => new Blob(['abcd']).stream();
  async function* chunks() {
    yield new TextEncoder().encode('ab');
    yield new TextEncoder().encode('cd');
  }
  for (const data of [stream(), chunks()]) assert.equal((await cx.put(ECHO, data)).data.body, 'abcd');
  await mock.reset();
  for (const fault of [{ status: 502 }, { status: 429, retry_after: 1 }, { status: 401 }]) {
    await mock.faults(fault);
    const error = await rejection(client(t, mock).put(ECHO, stream()));
    assert.deepEqual([error.attempts, error.status], [1, fault.status]);
  }
  assert.equal((await mock.stats()).api_requests, 3);
});

test('T7 an attempt has a timeout', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { maxAttempts: 1 });
  await cx.get(ECHO);
  for (const query of ['ms', 'body_ms']) {
    const error = await rejection(cx.get(`/api/v2.0/slow?${query}=3000`, { timeout: 150 }));
    assert.deepEqual([error.code, error.name, error.attempts], ['TIMEOUT', 'TimeoutError', 1]);
  }
  assert.equal((await rejection(client(t, mock, { timeout: 150, maxAttempts: 1 }).get('/api/v2.0/slow?ms=3000'))).code, 'TIMEOUT');
});

test('T9 T25 X29 the correlation id is the same in all retries', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ do: [{ status: 502 }, { status: 429 }, { connection: 'reset' }] });
  const { attempts, correlationId } = await client(t, mock).get(ECHO);
  assert.equal(attempts, 4);
  assert.match(correlationId, UUID);
  const sent = await mock.sent();
  assert.equal(sent.length, 4);
  assert.ok(sent.every((entry) => entry.correlation_id === correlationId));
});

test('T25 the correlation id can be given or switched off', async (t) => {
  const mock = await startMock(t);
  const off = client(t, mock, { correlationIds: false });
  for (const without of [await off.get(ECHO), await client(t, mock).get(ECHO, { correlationId: false })]) {
    assert.ok(!('correlationId' in without));
    assert.equal(without.data.headers['x-correlation-id'], undefined);
  }
  const given = client(t, mock, { headers: { 'X-Correlation-ID': 'job-1' } });
  for (const [cx, options, id] of [
    [off, { correlationId: 'mine' }, 'mine'],
    [given, {}, 'job-1'],
    [given, { correlationId: 'mine' }, 'mine'],
    [given, { headers: { 'X-Correlation-ID': 'mine' } }, 'mine'],
    [given, { correlationId: 'no', headers: { 'x-correlation-id': 'mine' } }, 'mine'],
  ]) {
    const { data, correlationId } = await cx.get(ECHO, options);
    assert.deepEqual([correlationId, data.headers['x-correlation-id']], [id, id]);
  }
});

test('T6 answers: parsed, text, bytes, Blob, empty, and their ids', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const answer = await cx.get(ECHO);
  assert.deepEqual([answer.status, answer.statusText, answer.url], [200, 'OK', `${mock.url}${ECHO}`]);
  assert.ok(answer.headers instanceof Headers);
  assert.match(answer.traceId, /^\d+$/);
  assert.equal(typeof (await cx.get(ECHO, { responseType: 'text' })).data, 'string');
  const bytes = await cx.get('/api/v2.0/bytes?n=1000', { responseType: 'arraybuffer' });
  assert.ok(bytes.data instanceof ArrayBuffer);
  assert.equal(new Uint8Array(bytes.data)[999], 999 % 251);
  const blob = await cx.get('/api/v2.0/bytes?n=10', { responseType: 'blob' });
  assert.deepEqual([blob.data.size, blob.data.type], [10, 'application/octet-stream']);
  await mock.faults({ do: [{ status: 204 }, { status: 200 }, { status: 200, body: '<p>' }, { status: 206, body: '1' }, { status: 207, body: 'null' }] });
  for (const [status, data] of [[204, null], [200, null], [200, '<p>'], [206, 1], [207, null]]) {
    const answer = await cx.get(ECHO);
    assert.deepEqual([answer.status, answer.data], [status, data]);
  }
});

test('T6 packed answers are unpacked, within maxBody', async (t) => {
  const { url } = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
    response.end(gzipSync(JSON.stringify('x'.repeat(100_000))));
  });
  assert.equal((await anonymous(t, url).get('/x')).data.length, 100_000);
  const error = await rejection(anonymous(t, url, { maxBody: 1000 }).get('/x'));
  assert.deepEqual([error.code, error.attempts], ['NETWORK', 1]);
});

test('T6 a body larger than allowed fails once; a HEAD has none', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { maxBody: 1000 });
  assert.equal((await cx.get('/api/v2.0/bytes?n=1000', { responseType: 'arraybuffer' })).data.byteLength, 1000);
  const error = await rejection(cx.get('/api/v2.0/bytes?n=1001'));
  assert.deepEqual([error.code, error.attempts], ['NETWORK', 1]);
  assert.equal(error.message, "Network Error: the answer's body is larger than `maxBody`");
  const head = await cx.head('/api/v2.0/bytes?n=1001');
  assert.deepEqual([head.headers.get('content-length'), head.data], ['1001', null]);
});

test('X28 a body that is not the JSON that it says it is', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ status: 200, body: '{"a":' });
  const cx = client(t, mock);
  const error = await rejection(cx.get(ECHO));
  assert.deepEqual([error.code, error.name, error.status, error.statusText, error.data], ['DECODE', 'DecodeError', 200, 'OK', '{"a":']);
  assert.match(error.correlationId, UUID);
  // An error's body is kept as it is.
  await mock.faults({ status: 400, body: '{"a":' });
  assert.equal((await rejection(cx.get(ECHO))).data, '{"a":');
});

test('X31 another origin never gets the token', async (t) => {
  const [mock, other] = [await startMock(t), await startMock(t)];
  const cx = client(t, mock, { headers: { 'x-team': 'a' } });
  const url = `${other.url}${ECHO}`;
  for (const options of [{}, { auth: true }]) {
    const error = await rejection(cx.get(url, options));
    assert.deepEqual([error.code, error.field], ['CONFIG', 'auth']);
  }
  assert.equal((await other.stats()).requests, 0);
  const error = await rejection(cx.get(url, { auth: false }));
  assert.equal(error.message, 'Auth/Permission Error: 401 Unauthorized');
  const totals = [await mock.stats(), await other.stats()].map((it) => it.token_requests);
  assert.deepEqual(totals, [0, 0]);

  const { url: elsewhere, seen } = await recorder(t);
  await cx.get(`${elsewhere}/x`, { auth: false });
  const { headers } = seen[0];
  assert.deepEqual([headers.authorization, headers['x-team'], headers['x-correlation-id'] !== undefined], [undefined, undefined, true]);
});

test('X31 a path stays under the base URL whatever it looks like', async (t) => {
  const { url, seen } = await recorder(t);
  const cx = anonymous(t, `${url}/gw`);
  for (const path of ['//evil.example/x', '\\\\evil.example/x', '/a/../b', 'c', '?q=1', ' https://evil.example']) {
    await cx.get(path);
    assert.match(seen.at(-1).url, /^\/gw\//, path);
  }
  for (const path of ['/../x', '..', '/%2e%2e/x', 'javascript:x', 'ftp://h/x', 'http://', 'https://u:p@h.example/']) {
    assert.equal((await rejection(cx.get(path))).field, 'url', path);
  }
  assert.equal(seen.length, 6);
});

test('X31 redirects are followed within the origin and only for safe methods', async (t) => {
  const [mock, other] = [await startMock(t), await startMock(t)];
  const cx = client(t, mock);
  const redirect = (to, options) => cx.get('/api/v2.0/redirect', { params: { to }, ...options });
  const there = await redirect(`${ECHO}/there`);
  assert.deepEqual([there.url, there.attempts], [`${mock.url}${ECHO}/there`, 2]);
  assert.equal((await redirect(`${mock.url}${ECHO}/there`)).status, 200);

  for (const to of [`${other.url}${ECHO}`, `//${new URL(other.url).host}${ECHO}`, 'http://u:p@127.0.0.1/', 'nonsense://x']) {
    const away = await redirect(to);
    assert.deepEqual([away.status, away.headers.get('location')], [302, to]);
  }
  assert.equal((await other.stats()).requests, 0);

  assert.equal((await cx.post('/api/v2.0/redirect', undefined, { params: { to: ECHO } })).status, 302);
  assert.equal((await client(t, mock, { followRedirects: false }).get('/api/v2.0/redirect', { params: { to: ECHO } })).status, 302);
  const response = await cx.fetch(`/api/v2.0/redirect?to=${ECHO}/there`);
  assert.deepEqual([response.status, response.url], [200, `${mock.url}${ECHO}/there`]);

  const circle = '/api/v2.0/redirect?to=/x';
  await mock.faults({ on: '/api/v2.0/redirect', times: 1000, do: { status: 302, headers: { location: circle } } });
  assert.equal((await cx.get(circle)).status, 302, 'it ends');
});

test('T21 fetch resolves with a Response, for error statuses too', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const response = await cx.fetch(ECHO, { method: 'PUT', body: 'x', priority: 'high', headers: { 'X-A': 'b' } });
  assert.ok(response instanceof Response);
  const echo = await response.json();
  assert.deepEqual([echo.method, echo.body, echo.headers['x-a']], ['PUT', 'x', 'b']);
  for (const status of [400, 403, 404, 500]) {
    const response = await cx.fetch(`/api/v2.0/status/${status}`);
    assert.deepEqual([response.status, response.ok, await response.json()], [status, false, { status }]);
    assert.equal(response.url, `${mock.url}/api/v2.0/status/${status}`);
  }
  await mock.faults({ times: 3, do: { status: 429 } });
  assert.equal((await cx.fetch(ECHO)).status, 200);
});

test('T21 fetch takes a Request', async (t) => {
  const mock = await startMock(t);
  const form = new FormData();
  form.set('a', 'b');
  const request = new Request(`${mock.url}${ECHO}`, { method: 'POST', body: form, headers: { 'x-a': 'b' } });
  const echo = await (await client(t, mock).fetch(request)).json();
  assert.deepEqual([echo.method, echo.headers['x-a']], ['POST', 'b']);
  assert.match(echo.headers['content-type'], /^multipart\/form-data/);
  assert.match(echo.body, /name="a"/);
});

test('X5 the body of a Request is sent again after a throttle', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const form = new FormData();
  form.set('a', 'b');
  for (const body of ['text', new Uint8Array([0x61, 0x62]), form]) {
    await mock.faults({ times: 2, do: { status: 429 } });
    const request = new Request(`${mock.url}${ECHO}`, { method: 'POST', body });
    const type = request.headers.get('content-type');
    const echo = await (await cx.fetch(request)).json();
    assert.match(echo.body, /^text$|^ab$|name="a"/);
    if (type) assert.equal(echo.headers['content-type'], type);
    assert.equal(request.bodyUsed, false);
  }
});

test('X31 where redirects are not followed, the runtime is told not to', async (t) => {
  const asked = [];
  const fetch = async (url, { redirect }) => {
    asked.push(redirect);
    return new Response(null, { status: 302, headers: { location: '/b' } });
  };
  const transport = { send: ({ redirect }) => fetch('', { redirect }).then((answer) => ({ status: answer.status, url: '', header: (name) => answer.headers.get(name), headers: () => answer.headers, stream: () => null, text: async () => '', bytes: async () => new Uint8Array(), response: () => answer })) };
  const cx = anonymous(t, 'http://a.example', { transport, followRedirects: false });
  assert.equal((await cx.get('/a')).status, 302);
  assert.equal((await cx.fetch('/a')).status, 302);
  assert.deepEqual(asked, ['manual', 'manual']);
});

test('X31 fetch keeps to `redirect`', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  const from = `/api/v2.0/redirect?to=${ECHO}`;
  const asked = (redirect) => new Request(mock.url + from, { redirect });
  for (const [input, init] of [[from, { redirect: 'manual' }], [asked('manual')], [asked('error'), { redirect: 'manual' }]]) {
    assert.equal((await cx.fetch(input, init)).status, 302);
  }
  for (const [input, init] of [[from, { redirect: 'error' }], [asked('error')], [from, { redirect: 'error', method: 'POST' }]]) {
    const error = await rejection(cx.fetch(input, init));
    assert.deepEqual([error.code, error.attempts, error.cause.message], ['NETWORK', 1, 'it redirects, which is not followed']);
  }
  assert.equal((await mock.sent()).filter((it) => it.path === ECHO).length, 0);
  assert.equal((await cx.fetch(asked('follow'))).status, 200);
  assert.equal((await cx.fetch(ECHO, { redirect: 'error' })).status, 200);
  assert.equal((await rejection(cx.fetch(from, { redirect: 'never' }))).field, 'redirect');
});

test('T21 what init leaves undefined is the Request\'s', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  const controller = new AbortController();
  const make = () => new Request(`${mock.url}${ECHO}`, { method: 'PUT', body: 'x', headers: { 'x-a': 'b' }, signal: controller.signal });
  const nothing = { method: undefined, body: undefined, headers: undefined, signal: undefined, priority: undefined };
  for (const init of [nothing, { body: null }, null]) {
    const echo = await (await cx.fetch(make(), init)).json();
    assert.deepEqual([echo.method, echo.body, echo.headers['x-a']], ['PUT', 'x', 'b']);
  }
  controller.abort(new Error('mine'));
  assert.equal((await rejection(cx.fetch(make(), nothing))).message, 'mine');
});

test('T21 an answer of fetch that nobody reads holds up nobody', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  const stream = await cx.fetch('/api/v2.0/bytes?n=300000');
  await cx.get(ECHO);
  assert.equal((await stream.arrayBuffer()).byteLength, 300_000);
});

test('T21 statuses that a Response cannot be made with', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  for (const status of [204, 205, 304, 599, 600, 999]) {
    await mock.faults({ status });
    const response = await cx.fetch(ECHO);
    assert.equal(response.status, status);
    await response.text();
    await mock.faults({ status });
    const [{ value, reason }] = await Promise.allSettled([cx.get(ECHO)]);
    assert.equal((value ?? reason).status, status);
  }
  assert.equal((await cx.get(ECHO)).status, 200);
});

test('T21 an injected fetch, or transport, that gives nonsense harms nobody else', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  for (const fetch of [async () => undefined, async () => ({ status: 200 }), () => { throw new Error('sync'); }, async () => ({ status: 200, headers: { get: () => 5 } })]) {
    const error = await rejection(anonymous(t, mock.url, { fetch, maxAttempts: 2 }).get('/x'));
    assert.equal(error.code, 'NETWORK', `${error}`);
  }
  const broken = { status: 200, url: '', header: () => null, headers: () => { throw new Error('no headers'); }, stream: () => null, text: async () => '', bytes: async () => new Uint8Array() };
  for (const answer of [undefined, {}, broken]) {
    const bad = anonymous(t, mock.url, { transport: { send: async () => answer }, maxAttempts: 2, concurrency: 1 });
    for (const ask of [() => bad.get('/x'), () => bad.fetch('/x'), () => bad.get('/x')]) assert.ok((await rejection(ask())) instanceof Error);
    assert.equal(bad.stats().inFlight, 0);
  }
  // What is no promise.
  const thrower = { then() { throw new Error('no then'); } };
  for (const answer of [undefined, {}, thrower]) {
    const bad = anonymous(t, mock.url, { transport: { send: () => answer }, maxAttempts: 2, concurrency: 1 });
    for (const ask of [() => bad.get('/x'), () => bad.fetch('/x')]) assert.equal((await rejection(ask())).code, 'NETWORK');
    assert.equal(bad.stats().inFlight, 0);
  }
  assert.equal((await cx.get(ECHO)).status, 200);
});

test('T20 stats tell what is going on', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  const told = events(cx, 'token');
  await cx.get(ECHO);
  cx.pause();
  const controller = new AbortController();
  const waiting = rejection(cx.get(ECHO, { signal: controller.signal }));
  assert.deepEqual(cx.stats(), {
    queued: { high: 0, normal: 1, low: 0 },
    waiting: 0,
    inFlight: 0,
    sends: 1,
    throttled: 0,
    retries: 0,
    tokenFetches: 1,
    finished: 1,
    cancelled: 0,
    scopes: cx.stats().scopes,
  });
  controller.abort();
  await waiting;
  assert.equal(cx.stats().cancelled, 1);
  assert.match(told[0].message, /^Access token fetched/);
  await cx.close();
  assert.equal(cx.stats().finished, 1);
});
