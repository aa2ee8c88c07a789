// The package in headless Chromium, through each bundler and without one, against the mock, which
// is another origin: with Retry-After exposed to pages, and with it hidden from them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import * as esbuild from 'esbuild';
import { chromium } from 'playwright-core';
import { rollup } from 'rollup';
import * as vite from 'vite';
import webpack from 'webpack';

import { consumer, folder, mock, serve } from './support.mjs';

const PAGES = 5;
const LIMIT = 'fixed:2/2s';
const ARGS = ['--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let browser;
before(async () => {
  let executablePath;
  try {
    executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
  } catch {
    throw new Error('missing: chromium. scripts/setup installs it');
  }
  browser = await chromium.launch({ executablePath, args: ARGS, chromiumSandbox: false });
});
after(() => browser?.close());

const wasm = join(consumer, 'node_modules/cxone-client/dist/cxone.wasm');

/** A folder with the page's sources. */
const sources = (name) => folder(name, {}, { fixtures: ['page', 'sync.mjs'] });

/** How a page comes to be: each gives the folder to serve, and the page's path in it. */
const WAYS = {
  async vite() {
    const root = join(sources('page-vite'), 'page');
    await vite.build({ root, base: './', logLevel: 'error', build: { outDir: '../out' } });
    const files = readdirSync(join(root, '../out/assets'));
    assert.ok(files.some((file) => /^cxone-.+\.wasm$/.test(file)), `the file is among the assets: ${files}`);
    return { root: join(root, '../out') };
  },
  async esbuild() {
    const cwd = sources('page-esbuild');
    const options = { bundle: true, format: 'esm', loader: { '.wasm': 'file' }, logLevel: 'error' };
    await esbuild.build({ ...options, absWorkingDir: cwd, entryPoints: ['page/loaded.js'], outfile: 'out/main.js' });
    copyFileSync(join(cwd, 'page/index.html'), join(cwd, 'out/index.html'));
    return { root: join(cwd, 'out') };
  },
  async webpack() {
    const cwd = sources('page-webpack');
    const stats = await new Promise((resolve, reject) => {
      const options = { context: cwd, mode: 'production', entry: './page/main.js', output: { path: join(cwd, 'out'), filename: 'main.js' } };
      webpack(options, (error, stats) => (error ? reject(error) : resolve(stats)));
    });
    assert.ok(!stats.hasErrors() && !stats.hasWarnings(), stats.toString());
    copyFileSync(join(cwd, 'page/index.html'), join(cwd, 'out/index.html'));
    return { root: join(cwd, 'out') };
  },
  async rollup() {
    const cwd = sources('page-rollup');
    const bundle = await rollup({ input: join(cwd, 'page/told.js'), plugins: [nodeResolve({ browser: true })] });
    await bundle.write({ file: join(cwd, 'out/main.js') });
    return served(cwd);
  },
  async 'no bundler'() {
    sources('page-plain');
    const page = folder('page-plain').slice(consumer.length);
    writeFileSync(join(consumer, page, 'page/index.html'), '<!doctype html><script type="module" src="./plain.js"></script>');
    return { root: consumer, path: `${page}/page/index.html` };
  },
};

/** The bundle in `out`, with the page and the file beside it. */
function served(cwd) {
  copyFileSync(join(cwd, 'page/index.html'), join(cwd, 'out/index.html'));
  copyFileSync(wasm, join(cwd, 'out/cxone.wasm'));
  return { root: join(cwd, 'out') };
}

for (const [way, make] of Object.entries(WAYS)) {
  test(`${way}: Retry-After is kept to where a page may read it`, async (t) => {
    const { root, path = '/index.html' } = await make();
    const server = await mock(t, '--interactions', String(PAGES * 100), '--limit', LIMIT, '--cors', 'exposed');
    const result = await visit(t, await serve(t, root), path, server);
    assert.ok(result.pauses.length > 0 && result.pauses.every((reason) => reason === 'stated'), `${result.pauses}`);
    const { early, throttled } = await server.stats();
    assert.equal(early, 0);
    assert.ok(throttled > 0);
  });
}

test('Retry-After that a page may not read: its own backoff and pace get there', async (t) => {
  const { root } = await WAYS.vite();
  const server = await mock(t, '--interactions', String(PAGES * 100), '--limit', LIMIT, '--cors', 'open');
  const result = await visit(t, await serve(t, root), '/index.html', server);
  assert.equal(result.pauses[0], 'backoff');
  assert.ok(result.pauses.every((reason) => ['backoff', 'pace'].includes(reason)), `${result.pauses}`);
});

test('a Content-Security-Policy needs `wasm-unsafe-eval`, and no more than that', async (t) => {
  const { root } = await WAYS.vite();
  const server = await mock(t, '--interactions', '100', '--cors', 'exposed');
  const policy = (script) => ({ 'content-security-policy': `default-src 'self'; connect-src 'self' ${server.url}; script-src 'self'${script}` });
  const refused = await open(t, await serve(t, root, policy('')), '/index.html', server);
  assert.match(refused.error, /^ConfigError: invalid `wasm`: .* a Content-Security-Policy lacks 'wasm-unsafe-eval'/);
  const result = await visit(t, await serve(t, root, policy(" 'wasm-unsafe-eval'")), '/index.html', server, 1);
  assert.deepEqual(result.pauses, []);
});

test('the development server of Vite, and a page that asks Vite for the URL', async (t) => {
  const root = join(sources('page-vite-dev'), 'page');
  writeFileSync(join(root, 'imported.html'), '<!doctype html><script type="module" src="./imported.js"></script>');
  const dev = await vite.createServer({ root, logLevel: 'error', server: { host: '127.0.0.1', port: 0, fs: { allow: [consumer] } } });
  t.after(() => dev.close());
  await dev.listen();
  const origin = `http://127.0.0.1:${dev.httpServer.address().port}`;
  for (const path of ['/index.html', '/imported.html']) {
    await visit(t, origin, path, await mock(t, '--interactions', '100', '--cors', 'exposed'), 1);
  }
});

test('a file that is another one is told by its URL', async (t) => {
  const cwd = sources('page-wrong');
  await esbuild.build({ absWorkingDir: cwd, entryPoints: ['page/main.js'], outfile: 'out/main.js', bundle: true, format: 'esm', logLevel: 'error' });
  const { root } = served(cwd);
  writeFileSync(join(root, 'cxone.wasm'), '<!doctype html>');
  const origin = await serve(t, root);
  const wrong = await open(t, origin, '/index.html', { options: { baseUrl: origin } });
  assert.match(wrong.error, /^ConfigError: invalid `wasm`: http:.*\/cxone\.wasm cannot be compiled: it is another file/);
  rmSync(join(root, 'cxone.wasm'));
  const missing = await open(t, origin, '/index.html', { options: { baseUrl: origin } });
  assert.match(missing.error, /^ConfigError: invalid `wasm`: http:.*\/cxone\.wasm answered 404: see "Browsers and bundlers"/);
});

/** Opens a page and gives what it says at the end. */
async function open(t, origin, path, server) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const said = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  await page.goto(`${origin}${path}?${new URLSearchParams(server.options)}`);
  try {
    return JSON.parse(await page.locator('output').textContent({ timeout: 60_000 }));
  } catch (cause) {
    throw new Error(`the page said no result, but: ${said.join('\n')}`, { cause });
  }
}

/** As {@link open}, for a page that has to succeed. */
async function visit(t, origin, path, server, pages = PAGES) {
  const { pauses, ...result } = await open(t, origin, path, server);
  assert.deepEqual(result, { interactions: pages * 100, unique: pages * 100, tokenFetches: 1 });
  return { pauses };
}
