/** NICE's own platform: access keys and discovery. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CxoneClient, TokenError } from 'cxone-client';
import { CREDENTIALS, platform, rejection, startMock } from './helper.mjs';

const AGENTS = '/incontactapi/services/v34.0/agents';
const KEY = { accessKeyId: 'mock-key', accessKeySecret: 'mock-key-secret====' };

const signIns = async (mock) =>
  (await mock.log()).map((it) => it.path).filter((path) => /^\/(auth|\.well-known)\//.test(path)).map((path) => path.split('/').pop());

test('an access key signs in, and all else is discovered once', async (t) => {
  const mock = await startMock(t, '--interactions', '3');
  const cx = platform(t, mock);
  const answers = await Promise.all(Array.from({ length: 20 }, () => cx.get(AGENTS)));
  assert.ok(answers.every(({ data, url }) => data.agents.length === 3 && url.startsWith(mock.url)));
  assert.deepEqual(await signIns(mock), ['openid-configuration', 'token', 'cxone-configuration']);
  const names = (await mock.log()).filter((it) => it.path === '/auth/token').map((it) => it.client);
  assert.deepEqual(names, ['mock-client']);
});

test('a refresh token serves the next time, and nothing is discovered again', async (t) => {
  const mock = await startMock(t, '--interactions', '3');
  const cx = platform(t, mock);
  await cx.get(AGENTS);
  await mock.script({ revoke_tokens: true });
  await cx.get(AGENTS);
  assert.deepEqual(await signIns(mock), ['openid-configuration', 'token', 'cxone-configuration', 'token']);
  assert.equal((await mock.stats()).token_refused, 0);
});

test('a blip anywhere in a sign-in fails nobody', async (t) => {
  const mock = await startMock(t, '--interactions', '3');
  await mock.script({
    rules: [
      { on: '/.well-known/openid', do: { status: 503 } },
      { on: '/auth/token', do: { status: 429, retry_after: 1 } },
      { on: '/.well-known/cxone', do: { connection: 'reset' } },
    ],
  });
  await platform(t, mock).get(AGENTS);
  assert.equal((await mock.stats()).early, 0);
});

test('pages, links among them, are had from the host that was discovered', async (t) => {
  const mock = await startMock(t, '--interactions', '120');
  const found = [];
  for await (const agent of platform(t, mock).paginate(AGENTS, { style: 'links', itemsField: 'agents', pageSize: 50 })) found.push(agent.id);
  assert.equal(new Set(found).size, 120);
});

test('a link is followed by another client before it has signed in', async (t) => {
  const mock = await startMock(t, '--interactions', '120');
  const run = (state) => platform(t, mock).paginate(AGENTS, { style: 'links', itemsField: 'agents', pageSize: 50, state });
  const found = [];
  let state;
  for await (const page of run().pages()) {
    found.push(...page.items);
    ({ state } = page);
    break;
  }
  for await (const agent of run(state)) found.push(agent);
  assert.equal(new Set(found.map((it) => it.id)).size, 120);
});

/** A platform whose APIs are below a path of another host, and what was asked of it. */
function elsewhere(base = 'https://api.example/gw') {
  const asked = [];
  const claims = Buffer.from(JSON.stringify({ tenantId: 't' })).toString('base64url');
  const fetch = async (url) => {
    asked.push(String(url));
    const { pathname } = new URL(url);
    if (pathname.endsWith('/openid-configuration')) return Response.json({ token_endpoint: 'https://issuer.example/auth/token' });
    if (pathname === '/auth/token') return Response.json({ access_token: `a.${claims}.c`, expires_in: 3600 });
    if (pathname.endsWith('/cxone-configuration')) return Response.json({ api_endpoint: base });
    return Response.json({ agents: [{ id: 1 }], _links: {} });
  };
  return { asked, options: { ...CREDENTIALS, ...KEY, issuer: 'https://issuer.example', fetch } };
}

test('a link is followed as it is, whatever the path of the APIs, before signing in too', async (t) => {
  const { asked, options } = elsewhere();
  const cx = new CxoneClient(options);
  t.after(() => cx.close());
  const state = { cursor: '/gw/agents?skip=50', done: false, pages: 1, items: 50, seen: [], partial: true };
  for await (const agent of cx.paginate('/agents', { style: 'links', itemsField: 'agents', state })) assert.equal(agent.id, 1);
  assert.equal(asked.at(-1), 'https://api.example/gw/agents?skip=50');
});

test('a link that waits for the discovery is given up by its signal and by its deadline', async (t) => {
  const cx = new CxoneClient({ ...elsewhere().options, fetch: (_, { signal }) => new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))) });
  t.after(() => cx.close({ drain: false }));
  const state = { cursor: '/gw/agents?skip=50', done: false, pages: 1, items: 50, seen: [], partial: true };
  const first = (options) => rejection(cx.paginate('/agents', { style: 'links', itemsField: 'agents', state, ...options })[Symbol.asyncIterator]().next());
  const controller = new AbortController();
  const aborted = first({ signal: controller.signal });
  controller.abort('enough');
  assert.equal(await aborted, 'enough');
  assert.equal((await first({ deadline: 50 })).name, 'TimeoutError');
});

test('an absolute URL waits for the discovery, and is judged by it', async (t) => {
  const { asked, options } = elsewhere();
  const cx = new CxoneClient(options);
  t.after(() => cx.close());
  const [own, other] = await Promise.all([cx.get('https://api.example/gw/agents'), rejection(cx.get('https://other.example/agents'))]);
  assert.equal(own.status, 200);
  assert.match(other.cause.message, /another origin/);
  assert.ok(!asked.some((url) => url.startsWith('https://other.example')));
  await cx.get('https://other.example/agents', { auth: false });
});

test('an address with a password that is discovered is none', async (t) => {
  const { options } = elsewhere('https://me:pw@api.example');
  const cx = new CxoneClient(options);
  t.after(() => cx.close());
  const error = await rejection(cx.get('/agents'));
  assert.match(error.cause.message, /names no usable api_endpoint/);
});

test('X17 a wrong key is refused, and shown nowhere', async (t) => {
  const mock = await startMock(t);
  const cx = platform(t, mock, { accessKeySecret: 'hunter2====' });
  const error = await rejection(cx.get(AGENTS));
  assert.ok(error instanceof TokenError);
  assert.match(error.cause.message, /^invalid_grant/);
  const { inspect } = await import('node:util');
  assert.doesNotMatch(inspect([cx, error], { depth: 9, showHidden: true }), /hunter2/);
});

test('what cannot be sent, or is missing, is told', async (t) => {
  const mock = await startMock(t);
  const error = await rejection(platform(t, mock).get(AGENTS, { auth: false }));
  assert.match(error.cause.message, /needs an absolute URL/);
  for (const [options, field] of [
    [{ ...CREDENTIALS, accessKeyId: 'k' }, 'accessKeySecret'],
    [{ ...CREDENTIALS, accessKeySecret: 's' }, 'accessKeyId'],
    [{ ...KEY }, 'clientId'],
    [{ ...CREDENTIALS, ...KEY, issuer: 'cxone' }, 'issuer'],
    [{ ...CREDENTIALS, issuer: mock.url }, 'baseUrl'],
  ]) {
    assert.throws(() => new CxoneClient(options), (thrown) => thrown.field === field, field);
  }
});

test('any OAuth server can be discovered for client credentials', async (t) => {
  const mock = await startMock(t, '--interactions', '3');
  await mock.script({ rules: [{ on: '/.well-known/openid', do: { status: 200, body: JSON.stringify({ token_endpoint: `${mock.url}/oauth2/token` }) } }] });
  const cx = new CxoneClient({ baseUrl: mock.url, issuer: mock.url, ...CREDENTIALS });
  t.after(() => void cx.close({ drain: false }));
  await cx.get(AGENTS);
  const { discoveries, token_fetches } = await mock.stats();
  assert.deepEqual([discoveries, token_fetches], [1, 1]);
});

test('calls of data extraction keep their distance, and hold up nothing else', async (t) => {
  const mock = await startMock(t, '--interactions', '3');
  const cx = platform(t, mock);
  const jobs = '/data-extraction/v1/jobs';
  await cx.get(jobs);
  const [error] = await Promise.all([rejection(cx.get(jobs, { deadline: 1000 })), cx.get(AGENTS)]);
  assert.equal(error.code, 'TIMEOUT');
  assert.equal((await mock.log()).filter((it) => it.path === jobs).length, 1);
});
