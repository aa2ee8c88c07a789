/** What the tests share: mocks, servers, clients, child processes. */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { CxoneClient } from 'cxone-client';

/** Answers with what it was sent. */
export const ECHO = '/api/v2.0/echo';
export const INTERACTIONS = '/api/v2.0/interactions';
export const CREDENTIALS = { clientId: 'mock-client', clientSecret: 'mock-secret====' };
/** Waits that no test has to sit out. */
export const FAST = { base: 20, cap: 100 };

const MOCK = process.env.CXONE_MOCK ?? fileURLToPath(new URL('../../target/debug/cxone-mock', import.meta.url));

/** A cxone-mock of its own on a free port, until the test ends. Arguments are the command's. */
export async function startMock(t, ...args) {
  if (!existsSync(MOCK)) throw new Error(`no cxone-mock at ${MOCK}: cargo build -p cxone-mock, or set CXONE_MOCK`);
  const child = spawn(MOCK, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const url = await new Promise((resolve, reject) => {
    let text = '';
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`cxone-mock ${args.join(' ')}: exit ${code}`)));
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const found = /listening on (\S+)/.exec(text);
      if (found) resolve(found[1]);
    });
  });
  let calls = 0;
  const control = async (method, path, body) => {
    calls += 1;
    const { status, text } = await send(`${url}/_mock/${path}`, { method, body: body && JSON.stringify(body) });
    assert.ok(status < 300, text);
    return text && JSON.parse(text);
  };
  return {
    url,
    stats: () => control('GET', 'stats'),
    log: () => control('GET', 'log'),
    /** The arrivals beside those at the token endpoint. */
    sent: async () => (await control('GET', 'log')).filter((entry) => entry.path !== '/oauth2/token'),
    script: (script) => control('POST', 'script', script),
    /** Rules for API requests; each is a fault, or a rule where it has a `do`. */
    faults: (...rules) => control('POST', 'script', { rules: rules.map((rule) => (rule.do ? rule : { do: rule })) }),
    reset: () => control('POST', 'reset'),
    /** Connections beside those of this object. */
    connections: async () => (await control('GET', 'stats')).connections - calls,
  };
}

/** One plain request on a connection of its own. */
export function send(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.once('error', reject);
    request.end(body);
  });
}

/** A client of that mock, closed when the test ends. */
export function client(t, mock, options = {}) {
  const cx = new CxoneClient({ baseUrl: mock.url, ...CREDENTIALS, backoff: FAST, seed: 7, ...options });
  t.after(() => void cx.close({ drain: false }));
  return cx;
}

/** A client without credentials. */
export function anonymous(t, url, options = {}) {
  const cx = new CxoneClient({ baseUrl: url, backoff: FAST, seed: 7, ...options });
  t.after(() => void cx.close({ drain: false }));
  return cx;
}

/** A client that signs in to NICE's own platform, which that mock stands in for: by an access key, and discovery. */
export function platform(t, mock, options = {}) {
  const key = { accessKeyId: 'mock-key', accessKeySecret: 'mock-key-secret====' };
  const cx = new CxoneClient({ issuer: mock.url, ...CREDENTIALS, ...key, backoff: FAST, seed: 7, ...options });
  t.after(() => void cx.close({ drain: false }));
  return cx;
}

const V34 = '/incontactapi/services/v34.0';

/** The first contact of the mock's. */
export const FIRST_DAY = Date.UTC(2020, 0, 1);

/** Where the mock pages in each of the seven styles, and what to say of it. */
export const STYLES = [
  [INTERACTIONS, { style: 'cursor' }],
  [`${V34}/agents`, { style: 'links', itemsField: 'agents', pageSize: 50 }],
  [`${V34}/contacts/completed`, { style: 'updated-since', since: FIRST_DAY - 1000 }],
  [`${V34}/skills/summary`, { style: 'windows', itemsField: 'skillSummaries', since: FIRST_DAY, until: new Date(FIRST_DAY + 864e5), window: 36e5 }],
  ['/dfo/3.0/contacts', { style: 'scroll' }],
  ['/interaction-analytics-gateway/v2/segments/analyzed', { style: 'segments' }],
  ['/user-management/v1/users/search', { style: 'search', data: { filter: 'x' } }],
];

/** A server of its own on a free port; gives its URL. */
export async function serve(t, handler) {
  const server = http.createServer(handler);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, server };
}

/** A URL at which nobody listens. */
export async function nobody() {
  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** Waits until something holds, which it must within ten seconds. */
export async function until(what, holds) {
  const start = Date.now();
  while (!(await holds())) {
    if (Date.now() - start > 10_000) throw new Error(`in vain: ${what}`);
    await sleep(2);
  }
}

/** Sends so many requests at once; the errors of those that failed. */
export async function burst(cx, n, options = {}) {
  const requests = Array.from({ length: n }, (_, i) => cx.get(`${ECHO}/${i}`, options));
  return (await Promise.allSettled(requests)).filter((it) => it.status === 'rejected').map((it) => it.reason);
}

/** What a promise rejects with. */
export function rejection(promise) {
  return promise.then(
    () => assert.fail('it was to reject'),
    (reason) => reason,
  );
}

/** The details of events of that type, as they come. */
export function events(target, type) {
  const details = [];
  target.addEventListener(type, (event) => details.push(event.detail));
  return details;
}

/** The first such event. */
export function once(target, type) {
  return new Promise((resolve) => target.addEventListener(type, (event) => resolve(event.detail), { once: true }));
}

const ENTRY = import.meta.resolve('cxone-client');

/** Runs a module, or a file, in a process of its own, which has to end by itself. */
export function run(code, { env = {}, cwd, node = [] } = {}) {
  const file = code instanceof URL ? [fileURLToPath(code)] : ['--input-type=module', '-e', code.replace("'cxone-client'", `'${ENTRY}'`)];
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CXONE_|NODE_)/.test(name)));
  return new Promise((resolve) => {
    const options = { cwd, env: { ...clean, ...env }, timeout: 30_000, killSignal: 'SIGKILL' };
    execFile(process.execPath, [...node, ...file], options, (error, stdout, stderr) => {
      resolve({ status: error ? (error.code ?? error.signal) : 0, stdout, stderr });
    });
  });
}

export { sleep };
