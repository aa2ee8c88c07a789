// The npm package signs in to oidc-provider, as the native client does in ../oidc.rs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { CxoneClient } from '../../../pkg-js/dist/node.js';

const AGENTS = '/incontactapi/services/v34.0/agents';

async function provider(t, lifetime) {
  const script = fileURLToPath(new URL('server.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, String(lifetime)], { stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => child.kill());
  const [port] = await once(createInterface(child.stdout), 'line');
  const url = `http://127.0.0.1:${port}`;
  return { url, calls: async () => (await fetch(`${url}/calls`)).json() };
}

function client(t, options) {
  const cx = new CxoneClient(options);
  t.after(() => cx.close({ drain: false }));
  return cx;
}

const KEY = { clientId: 'a:client', clientSecret: 'client-secret====', accessKeyId: 'key-1', accessKeySecret: 'key-secret====' };

test('an access key signs in by discovery and the password grant, then by refresh tokens that rotate', async (t) => {
  const { url, calls } = await provider(t, 2);
  const cx = client(t, { issuer: url, ...KEY });
  for (let i = 0; i < 50; i++) {
    await cx.get(AGENTS);
    await sleep(100);
  }
  const { openid, configuration, password, refresh_token } = await calls();
  assert.deepEqual([openid, configuration, password], [1, 1, 1]);
  assert.ok(refresh_token >= 2 && refresh_token <= 7, `${refresh_token} refreshes`);
});

test('client credentials work by Basic and in the body', async (t) => {
  for (const options of [
    { clientId: 'a:client', clientSecret: 'client-secret====', clientAuth: 'basic' },
    { clientId: 'post-client', clientSecret: 'post-secret====' },
  ]) {
    const { url, calls } = await provider(t, 3600);
    await client(t, { baseUrl: url, issuer: url, ...options }).get(AGENTS);
    const { client_credentials, configuration } = await calls();
    assert.deepEqual([client_credentials, configuration], [1, 0]);
  }
});

test('a wrong access key is refused for good', async (t) => {
  const { url } = await provider(t, 3600);
  const cx = client(t, { issuer: url, ...KEY, accessKeySecret: 'wrong' });
  const error = await cx.get(AGENTS).then(() => assert.fail('it has a token'), (reason) => reason);
  assert.equal(error.code, 'TOKEN');
  assert.equal(error.cause.message, 'invalid_grant: no such access key');
});
