/** `cxone-client/undici`. */

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { undiciTransport } from 'cxone-client/undici';
import * as undici from 'undici';
import { anonymous, burst, client, ECHO, nobody, rejection, serve, startMock, until } from './helper.mjs';

/** A transport of its own, closed when the test ends. */
function transportOf(t, dispatcher = new undici.Agent()) {
  t.after(() => dispatcher.destroy());
  return undiciTransport(undici, { dispatcher });
}

test('T6 T21 the main paths by undici', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { transport: transportOf(t) });
  const answer = await cx.post(ECHO, { a: 1 }, { params: { q: 1 } });
  assert.deepEqual([answer.data.method, answer.data.body, answer.data.query, answer.statusText], ['POST', '{"a":1}', 'q=1', 'OK']);
  assert.equal(answer.data.headers['content-type'], 'application/json');
  assert.match(answer.data.headers['user-agent'], /^cxone-client\//);
  assert.ok(answer.headers instanceof Headers);
  assert.equal(answer.url, `${mock.url}${ECHO}?q=1`);
  assert.equal((await cx.head(ECHO)).data, null);
  assert.equal((await cx.get('/api/v2.0/bytes?n=1000', { responseType: 'arraybuffer' })).data.byteLength, 1000);
  assert.equal((await cx.get('/api/v2.0/redirect', { params: { to: ECHO } })).attempts, 2);
  const error = await rejection(cx.get('/api/v2.0/status/404'));
  assert.deepEqual([error.code, error.data], ['STATUS', { status: 404 }]);
  assert.throws(() => undiciTransport({}), TypeError);
});

test('T10 T26 X18 X23 throttles, dead tokens and failures by undici', async (t) => {
  const mock = await startMock(t, '--limit', 'fixed:60/1s');
  const cx = client(t, mock, { transport: transportOf(t) });
  await mock.script({ revoke_after: 20 });
  await mock.faults({ nth: 5, do: [{ status: 429, body: '<html>' }, { connection: 'reset' }, { truncate: 10 }, { status: 503 }, { connection: 'close' }] });
  assert.deepEqual(await burst(cx, 120), []);
  const { early, token_fetches } = await mock.stats();
  assert.deepEqual([early, token_fetches], [0, 2]);
  assert.equal(cx.stats().inFlight, 0);
  for (const fault of [{ delay_ms: 5000 }, { body_delay_ms: 5000 }]) {
    await mock.faults(fault);
    assert.equal((await cx.get(ECHO, { timeout: 300 })).attempts, 2);
  }
});

test('T13 X28 network errors by undici keep their cause', async (t) => {
  const error = await rejection(anonymous(t, await nobody(), { transport: transportOf(t), maxAttempts: 2 }).post('/x'));
  assert.deepEqual([error.code, error.attempts, error.cause.code], ['NETWORK', 2, 'ECONNREFUSED']);
});

test('T28 refusals and empty answers cost no connection', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { transport: transportOf(t), concurrency: 1 });
  await cx.get(ECHO);
  const before = await mock.connections();
  await mock.faults({ do: [{ status: 429, body: '<h1>no</h1>' }, { status: 204 }, { status: 304 }, { status: 204 }] });
  assert.equal((await cx.get(ECHO)).status, 204);
  assert.equal((await cx.fetch(ECHO)).status, 304);
  assert.equal((await cx.fetch(ECHO)).status, 204);
  await cx.get(ECHO);
  assert.equal((await mock.connections()) - before, 0);
});

test('T6 FormData, Blob, URLSearchParams and streams by undici, also when they are sent again', async (t) => {
  const seen = [];
  const { url } = await serve(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ type: request.headers['content-type'], body });
    response.statusCode = seen.length % 2 ? 429 : 200;
    response.end();
  });
  const cx = anonymous(t, url, { transport: transportOf(t) });
  for (const Form of [FormData, undici.FormData]) {
    const form = new Form();
    form.set('a', 'b');
    await cx.post('/x', form);
    for (const { type, body } of seen.splice(0)) {
      const boundary = /^multipart\/form-data; ?boundary="?([^"]+)"?$/.exec(type)?.[1];
      assert.ok(boundary && body.includes(`--${boundary}`), `${type}\n${body}`);
    }
  }
  await cx.post('/x', new Blob(['x'], { type: 'text/csv' }));
  assert.deepEqual(seen.splice(0), [{ type: 'text/csv', body: 'x' }, { type: 'text/csv', body: 'x' }]);
  await cx.post('/x', new URLSearchParams('a=b'));
  assert.deepEqual(seen.splice(0)[1], { type: 'application/x-www-form-urlencoded;charset=UTF-8', body: 'a=b' });
  await cx.post('/x', () => new Blob(['ab']).stream(), { headers: { 'content-type': 'text/plain' } });
  assert.deepEqual(seen.splice(0)[1], { type: 'text/plain', body: 'ab' });
  await cx.post('/x', new Uint8Array([97, 98]).buffer);
  assert.equal(seen.splice(0)[1].body, 'ab');
});

test('T21 fetch by undici gives a global Response', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { transport: transportOf(t), concurrency: 1 });
  const response = await cx.fetch(ECHO);
  assert.ok(response instanceof Response);
  assert.equal(response.url, `${mock.url}${ECHO}`);
  const copy = response.clone();
  assert.equal((await response.json()).path, ECHO);
  assert.equal((await copy.json()).path, ECHO);
  const large = await cx.fetch('/api/v2.0/bytes?n=3000000');
  await cx.get(ECHO); // its slot is free
  assert.equal((await large.arrayBuffer()).byteLength, 3_000_000);
  for (const status of [404, 600]) {
    await mock.faults({ status, body: '1' });
    const failed = await cx.fetch(ECHO);
    assert.deepEqual([failed.status, await failed.text()], [status, '1']);
  }
});

test('T21 a body that ends early, or is cancelled or aborted, by undici', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { transport: transportOf(t) });
  const failures = [];
  const note = (error) => failures.push(error);
  process.on('unhandledRejection', note);
  process.on('uncaughtException', note);
  t.after(() => {
    process.off('unhandledRejection', note);
    process.off('uncaughtException', note);
  });
  await cx.get(ECHO);
  await mock.faults({ truncate: 10 });
  await rejection((await cx.fetch(ECHO)).text());
  await mock.faults({ truncate: 10 });
  await cx.fetch(ECHO); // unread

  const body = (await cx.fetch('/api/v2.0/bytes?n=3000000')).body;
  const reader = body.getReader();
  await reader.read();
  await reader.cancel();

  for (const read of [true, false]) {
    const controller = new AbortController();
    const response = await cx.fetch('/api/v2.0/bytes?n=60000000', { signal: controller.signal });
    const reason = new Error('enough');
    const reading = read ? rejection(response.arrayBuffer()) : undefined;
    controller.abort(reason);
    if (reading) assert.equal(await reading, reason);
    else assert.equal(await rejection(response.text()), reason);
  }
  const controller = new AbortController();
  const slow = rejection(cx.get('/api/v2.0/slow?ms=5000', { signal: controller.signal }));
  await until('it is out', async () => (await mock.stats()).in_flight >= 1);
  controller.abort('enough');
  assert.equal(await slow, 'enough');
  await until('the server has seen it', async () => (await mock.stats()).in_flight === 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(failures, []);
  assert.equal((await cx.get(ECHO)).status, 200);
});

test('T21 whole answers of any length, announced or not, by undici', async (t) => {
  const sizes = [0, 1, 63_000, 200_000, 3_000_000];
  const { url } = await serve(t, async (request, response) => {
    const { searchParams } = new URL(request.url, 'http://x');
    const size = Number(searchParams.get('n'));
    if (searchParams.has('known')) response.setHeader('content-length', size);
    response.setHeader('content-type', 'text/plain');
    response.flushHeaders();
    for (let left = size; left > 0 && !response.destroyed; left -= 10_000) {
      if (!response.write('x'.repeat(Math.min(left, 10_000)))) await sleep(1);
    }
    if (searchParams.has('cut')) response.destroy();
    else if (!searchParams.has('hang')) response.end();
  });
  const cx = anonymous(t, url, { transport: transportOf(t), maxBody: 1_000_000, maxAttempts: 1, timeout: 2000 });
  for (const params of sizes.flatMap((n) => [{ n }, { n, known: 1 }])) {
    const got = cx.get('/x', { params, responseType: params.n % 2 ? 'text' : 'arraybuffer' });
    if (params.n > 1_000_000) {
      const error = await rejection(got);
      assert.deepEqual([error.code, error.status], ['NETWORK', 200], `${JSON.stringify(params)} ${error}`);
      assert.match(error.message, /larger than `maxBody`/);
    } else {
      const { data } = await got;
      assert.equal(data?.length ?? data?.byteLength ?? 0, params.n);
    }
  }
  for (const params of [{ n: 200_000, cut: 1 }, { n: 5, cut: 1 }]) {
    const error = await rejection(cx.get('/x', { params }));
    assert.deepEqual([error.code, error.message], ['NETWORK', "Network Error: the answer's body ended early"]);
  }
  // The end of one that hangs is its caller's or its time limit's, and its slot is free then.
  const late = await rejection(cx.get('/x', { params: { n: 100_000, hang: 1 }, timeout: 200 }));
  assert.equal(late.code, 'TIMEOUT');
  const controller = new AbortController();
  const given = rejection(cx.get('/x', { params: { n: 100_000, hang: 1 }, signal: controller.signal }));
  await until('it is out', () => cx.stats().inFlight === 1);
  await sleep(50);
  controller.abort('enough');
  assert.equal(await given, 'enough');
  await until('the slot is free', () => cx.stats().inFlight === 0);
});

test('T6 fields of several lines, and in UTF-8, by undici', async (t) => {
  const { url } = await serve(t, (_, response) => {
    response.setHeader('x-list', ['a', 'b']);
    response.setHeader('x-name', Buffer.from('Zürich €').toString('latin1'));
    response.end('{}');
  });
  const [by, plain] = [anonymous(t, url, { transport: transportOf(t) }), anonymous(t, url)];
  for (const ask of [(cx) => cx.get('/x'), (cx) => cx.fetch('/x')]) {
    const [mine, theirs] = [await ask(by), await ask(plain)].map((it) => it.headers);
    assert.equal(mine.get('x-list'), 'a, b');
    assert.equal(mine.get('x-name'), theirs.get('x-name'), 'as fetch has it');
  }
});

test('T5 a ProxyAgent carries the requests and the token fetch', async (t) => {
  const mock = await startMock(t);
  const tunnels = [];
  const { url, server } = await serve(t, (_, response) => response.writeHead(500).end());
  server.on('connect', (request, socket) => {
    tunnels.push(request.url);
    const { hostname, port } = new URL(`http://${request.url}`);
    const upstream = connect(port, hostname, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => { socket.destroy(); upstream.destroy(); });
    t.after(() => { socket.destroy(); upstream.destroy(); });
  });
  const cx = client(t, mock, { transport: transportOf(t, new undici.ProxyAgent({ uri: url, proxyTunnel: true })) });
  assert.deepEqual(await burst(cx, 10), []);
  assert.ok(tunnels.length > 0 && tunnels.every((it) => mock.url.endsWith(it)));
  assert.equal((await mock.stats()).token_fetches, 1);
});
