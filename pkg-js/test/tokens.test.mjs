/** Signing in. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { TokenError } from 'cxone-client';
import { anonymous, burst, client, ECHO, events, nobody, rejection, run, serve, sleep, startMock } from './helper.mjs';

test('T1 T5 T8 client credentials are exchanged under the base URL', async (t) => {
  const mock = await startMock(t);
  const { data } = await client(t, mock).get(ECHO);
  assert.equal(data.headers.authorization, '[redacted]');
  const log = await mock.log();
  assert.deepEqual([log[0].method, log[0].path], ['POST', '/oauth2/token']);
  assert.equal(log[1].client, 'mock-client');
});

test('T1 X16 the grant is a form in the body, with the scope, and no secret is in the URL', async (t) => {
  const seen = [];
  const { url } = await serve(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ url: request.url, headers: request.headers, body });
    response.setHeader('content-type', 'application/json');
    response.end('{"access_token":"t","expires_in":3600}');
  });
  await client(t, { url }).get('/x');
  const [token, api] = seen;
  assert.equal(token.url, '/oauth2/token');
  assert.equal(token.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(token.headers.authorization, undefined);
  assert.match(token.headers['user-agent'], /^cxone-client\//);
  const form = new URLSearchParams(token.body);
  assert.deepEqual(Object.fromEntries(form), {
    grant_type: 'client_credentials',
    client_id: 'mock-client',
    client_secret: 'mock-secret====',
    scope: 'contact-center-api',
  });
  assert.equal(api.headers.authorization, 'Bearer t');

  await client(t, { url }, { scope: null }).get('/x');
  assert.ok(!seen[2].body.includes('scope'));
  await client(t, { url }, { scope: 'other' }).get('/x');
  assert.equal(new URLSearchParams(seen[4].body).get('scope'), 'other');
});

test('T5 the token URL can be elsewhere', async (t) => {
  const [tokens, api] = [await startMock(t), await startMock(t)];
  const cx = client(t, api, { tokenUrl: `${tokens.url}/oauth2/token` });
  // The API's own mock does not know the token: what counts is where it was fetched.
  const error = await rejection(cx.get(ECHO));
  assert.equal(error.message, 'Auth/Permission Error: 401 Unauthorized');
  assert.equal((await tokens.stats()).token_fetches, 2);
  assert.equal((await api.stats()).token_requests, 0);
});

test('T5 a base URL may have a path, and the token endpoint is under it', async (t) => {
  const paths = [];
  const { url } = await serve(t, (request, response) => {
    paths.push(request.url);
    response.end('{"access_token":"t"}');
  });
  for (const base of [`${url}/gateway`, `${url}/gateway/`]) {
    await client(t, { url: base }).get('/api/x?y=1');
  }
  assert.deepEqual(paths, ['/gateway/oauth2/token', '/gateway/api/x?y=1', '/gateway/oauth2/token', '/gateway/api/x?y=1']);
});

test('T2 X19 a token is cached, also without expires_in', async (t) => {
  for (const form of ['absent', 'text', 'expiresIn']) {
    const mock = await startMock(t, '--expires-in', form);
    const cx = client(t, mock);
    const told = events(cx, 'token');
    for (let i = 0; i < 5; i++) await cx.get(ECHO);
    assert.equal((await mock.stats()).token_fetches, 1, form);
    assert.equal(told.length, 1);
    // 3600 s, renewed 5 s early.
    assert.ok(told[0].ms > 3_590_000 && told[0].ms <= 3_595_000, told[0].ms);
  }
});

test('T4 a refused fetch says so and is not repeated', async (t) => {
  const mock = await startMock(t);
  const body = '{"error":"invalid_client","error_description":"who?"}';
  await mock.faults({ on: '/oauth2/token', times: 1000, do: { status: 401, body } });
  const cx = client(t, mock);
  const refused = events(cx, 'tokenrefused');
  const error = await rejection(cx.get(ECHO));
  assert.ok(error instanceof TokenError);
  assert.equal(error.message, 'OAuth Token Fetch Failed: 401 Unauthorized');
  assert.deepEqual([error.code, error.status, error.statusText], ['TOKEN', 401, 'Unauthorized']);
  assert.equal(error.cause.message, 'invalid_client: who?');
  assert.equal(error.data, undefined);
  assert.equal(error.headers.get('content-type'), 'application/json');
  assert.equal(refused[0].status, 401);

  for (const again of [await rejection(cx.get(ECHO)), await rejection(cx.accessToken())]) {
    assert.equal(again.message, error.message);
    assert.equal(again.status, 401);
    assert.ok(again.retryAt > Date.now() + 20_000);
  }
  assert.equal((await mock.stats()).token_requests, 1);
});

test('T4 a network error of the token endpoint keeps its cause', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { tokenUrl: `${await nobody()}/oauth2/token`, backoff: { base: 10_000, cap: 10_000 } });
  const error = await rejection(cx.get(ECHO, { deadline: 5000 }));
  assert.equal(error.code, 'TOKEN');
  assert.equal(error.cause.cause.code, 'ECONNREFUSED');
  assert.equal((await mock.stats()).requests, 0);
});

test('X16 the secret also travels as Basic', async (t) => {
  const mock = await startMock(t);
  await client(t, mock, { clientAuth: 'basic' }).get(ECHO);
  assert.equal((await mock.stats()).token_fetches, 1);
});

test('X18 two hundred cold requests fetch one token', async (t) => {
  const mock = await startMock(t);
  assert.deepEqual(await burst(client(t, mock), 200), []);
  assert.equal((await mock.stats()).token_requests, 1);
});

test('T26 X21 a token revoked midway fails nobody', async (t) => {
  const mock = await startMock(t);
  await mock.script({ revoke_after: 60 });
  assert.deepEqual(await burst(client(t, mock), 120), []);
  assert.equal((await mock.stats()).token_fetches, 2);
});

test('T11 T26 a lasting 401 is an auth error after one refresh', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ times: 1000, do: { status: 401, headers: { 'www-authenticate': 'error="invalid token"' } } });
  const cx = client(t, mock);
  const error = await rejection(cx.get(ECHO));
  assert.equal(error.message, 'Auth/Permission Error: 401 Unauthorized');
  assert.deepEqual([error.code, error.attempts], ['AUTH', 2]);
  assert.equal((await mock.stats()).token_fetches, 2);
  assert.equal((await burst(cx, 20)).length, 20);
  assert.equal((await mock.stats()).token_fetches, 2, 'not one a request');
});

test('X20 a token of four seconds makes no storm', async (t) => {
  const mock = await startMock(t, '--token-lifetime', '4');
  const cx = client(t, mock);
  const start = Date.now();
  while (Date.now() - start < 5_500) {
    assert.deepEqual(await burst(cx, 8), []);
    await sleep(50);
  }
  const stats = await mock.stats();
  assert.ok(stats.token_fetches >= 2 && stats.token_fetches <= 4, JSON.stringify(stats));
  assert.equal(stats.unauthorized, 0);
});

test('X22 two 503 from the token endpoint fail nobody', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ on: '/oauth2/token', do: [{ status: 503 }, { status: 503 }] });
  const cx = client(t, mock);
  const retries = events(cx, 'tokenretry');
  assert.deepEqual(await burst(cx, 50), []);
  assert.equal((await mock.stats()).token_requests, 3);
  assert.deepEqual(retries.map((it) => it.status), [503, 503]);
  assert.equal(cx.stats().tokenFetches, 3);
});

test('T4 a redirect of the token endpoint is not followed', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ on: '/oauth2/token', do: { status: 307, headers: { location: `${mock.url}/oauth2/token` } } });
  const error = await rejection(client(t, mock).get(ECHO));
  assert.equal(error.message, 'OAuth Token Fetch Failed: 307 Temporary Redirect');
  assert.equal((await mock.stats()).token_requests, 1);
});

test('X17 no page follows a redirect of the token endpoint, or of discovery, either', async (t) => {
  const stolen = [];
  const other = await serve(t, (request, response) => {
    stolen.push(request.url);
    response.end('{"access_token":"x","expires_in":3600}');
  });
  const { url } = await serve(t, (request, response) => response.writeHead(307, { location: `${other.url}/steal` }).end());
  const web = new URL('./web.js', import.meta.resolve('cxone-client'));
  for (const where of [`baseUrl: '${url}'`, `issuer: '${url}', accessKeyId: 'key', accessKeySecret: 'secret'`]) {
    const { stdout, stderr } = await run(`
      globalThis.document = {};
      const { readFileSync } = await import('node:fs');
      const { CxoneClient } = await import('${web}');
      const wasm = readFileSync(new URL('./cxone.wasm', '${web}'));
      const cx = await CxoneClient.create({ ${where}, clientId: 'id', clientSecret: 'hunter2', wasm });
      await cx.get('/x').catch((error) => console.log(error.code, error.message));
      await cx.close();
    `);
    assert.match(stdout, /^TOKEN OAuth Token Fetch Failed: 307/, stderr);
  }
  assert.deepEqual(stolen, []);
});

test('T4 a redirect of the token endpoint that a browser hides is a refusal', async (t) => {
  const modes = [];
  const fetch = async (_, { redirect }) => {
    modes.push(redirect);
    return Object.defineProperties(new Response(null), { type: { value: 'opaqueredirect' }, status: { value: 0 } });
  };
  const error = await rejection(client(t, { url: 'https://h.example' }, { fetch }).get('/x'));
  assert.deepEqual([error.code, error.cause.message], ['TOKEN', 'it redirects, which is not followed']);
  assert.deepEqual(modes, ['manual'], 'once, and never again');
});

test('T4 answers without a usable token are refusals', async (t) => {
  for (const body of ['{"access_token":""}', '<html>', '{"access_token":"a\\nb"}', '{"access_token":"\\u20ac"}', 'x'.repeat(70_000)]) {
    const { url } = await serve(t, (_, response) => response.end(body));
    const error = await rejection(client(t, { url }).get('/x'));
    assert.equal(error.code, 'TOKEN', body.slice(0, 40));
    assert.equal(error.message, 'OAuth Token Fetch Failed: 200 OK');
    assert.ok(!JSON.stringify([error.cause.message, error.stack]).includes('a\\nb'));
  }
});

test('T4 an answer of the token endpoint without end is not read to its end', async (t) => {
  let sent = 0;
  const { url } = await serve(t, (_, response) => {
    const chunk = 'x'.repeat(16_384);
    const write = () => {
      while (!response.destroyed && sent < 200_000_000) {
        sent += chunk.length;
        if (!response.write(chunk)) return response.once('drain', write);
      }
      response.end();
    };
    write();
  });
  const error = await rejection(client(t, { url }).get('/x'));
  assert.equal(error.code, 'TOKEN');
  assert.ok(sent < 100_000_000, String(sent));
});

test('T1 without credentials no token is fetched', async (t) => {
  const mock = await startMock(t);
  const cx = anonymous(t, mock.url);
  const error = await rejection(cx.get(ECHO));
  assert.equal(error.message, 'Auth/Permission Error: 401 Unauthorized');
  assert.equal((await mock.stats()).token_requests, 0);
  for (const never of [cx.get(ECHO, { auth: true }), cx.accessToken()]) {
    assert.equal((await rejection(never)).code, 'CONFIG');
  }
});

test('T8 an Authorization of the caller takes the place of the token', async (t) => {
  const mock = await startMock(t);
  const token = await client(t, mock).accessToken();
  await mock.reset();
  const cx = client(t, mock);
  const { status } = await cx.get(ECHO, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(status, 200);
  assert.equal((await mock.stats()).token_requests, 0);
});

test('T1 accessToken gives what requests carry, sends nothing and takes no slot for good', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock, { concurrency: 1 });
  const tokens = await Promise.all([cx.accessToken(), cx.accessToken(), cx.accessToken()]);
  assert.equal(new Set(tokens).size, 1);
  assert.match(tokens[0], /^[0-9a-f]{32}$/);
  await cx.get(ECHO);
  const stats = await mock.stats();
  assert.deepEqual([stats.token_fetches, stats.api_requests], [1, 1]);
  assert.equal(cx.stats().inFlight, 0);
});

test('X20 X22 a token endpoint that hangs is asked again', async (t) => {
  const mock = await startMock(t);
  await mock.faults({ on: '/oauth2/token', do: { delay_ms: 5000 } });
  const cx = client(t, mock, { timeout: 200 });
  assert.equal((await cx.get(ECHO)).status, 200);
  assert.equal((await mock.stats()).token_requests, 2);
  await mock.faults({ on: '/oauth2/token', do: { delay_ms: 5000 } });
  const error = await rejection(client(t, mock).get(ECHO, { deadline: 100 }));
  assert.deepEqual([error.code, error.attempts], ['TIMEOUT', 0]);
});

test('T4 a transport that gives the token fetch nonsense fails the request and nobody else', async (t) => {
  const mock = await startMock(t);
  const broken = { status: 200, url: '', header: () => null, headers: () => { throw new Error('no headers'); }, stream: () => null, text: async () => '', bytes: async () => new Uint8Array() };
  for (const answer of [broken, {}, undefined]) {
    const cx = client(t, mock, { transport: { send: async () => answer }, backoff: { base: 10_000, cap: 10_000 } });
    const error = await rejection(cx.get(ECHO, { deadline: 5000 }));
    assert.equal(error.code, 'TOKEN', `${error}`);
    assert.ok(error.cause instanceof Error);
  }
  assert.equal((await client(t, mock).get(ECHO)).status, 200);
});

test('T5 the global fetch is looked up when it is needed', async (t) => {
  const cx = anonymous(t, 'https://h.example');
  t.mock.method(globalThis, 'fetch', async (url) => new Response(JSON.stringify(url), { headers: { 'content-type': 'application/json' } }));
  assert.equal((await cx.get('/x')).data, 'https://h.example/x');
});

test('who waits for a token alone may give up, or have a deadline', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  await mock.faults({ on: '/oauth2/token', do: { delay_ms: 60_000 } });
  const controller = new AbortController();
  const waiting = rejection(cx.accessToken({ signal: controller.signal }));
  controller.abort(new Error('mine'));
  assert.equal((await waiting).message, 'mine');
  assert.equal((await rejection(cx.accessToken({ signal: AbortSignal.abort('before') }))), 'before');
  assert.equal((await rejection(cx.accessToken({ signal: 5 }))).field, 'signal');
  assert.equal((await rejection(cx.accessToken({ deadline: -1 }))).field, 'deadline');
  assert.equal((await rejection(cx.accessToken({ deadline: 50 }))).code, 'TIMEOUT');
  assert.deepEqual([cx.stats().inFlight, cx.stats().queued.normal], [0, 0]);
});
