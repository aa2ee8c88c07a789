// The package in Node.js, as a module, in CommonJS, and bundled.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import webpack from 'webpack';

import { consumer, FILES, folder, mock, run, serve } from './support.mjs';

const node = process.execPath;
const LIMIT = 'fixed:3/1s';

/** What a sync of 450 interactions through that limit gives; it ends by itself or times out. */
async function assertSyncs(out, server) {
  const { pauses, ...result } = JSON.parse(out.trim().split('\n').at(-1));
  assert.deepEqual(result, { interactions: 450, unique: 450, tokenFetches: 1 });
  assert.ok(pauses.includes('stated'), `${pauses}`);
  const stats = await server.stats();
  assert.equal(stats.early, 0);
  assert.ok(stats.throttled > 0);
}

test('an ECMAScript module signs in, pages and exits', async (t) => {
  const server = await mock(t, '--interactions', '450', '--limit', LIMIT);
  const cwd = folder('node-esm', {}, { fixtures: ['app.mjs', 'sync.mjs'] });
  await assertSyncs(await run(node, ['app.mjs'], { cwd, env: server.env, timeout: 30_000 }), server);
});

test('a CommonJS module signs in, pages and exits', async (t) => {
  const server = await mock(t, '--interactions', '450', '--limit', LIMIT);
  const cwd = folder('node-cjs', {}, { type: 'commonjs', fixtures: ['app.cjs', 'sync.mjs'] });
  await assertSyncs(await run(node, ['app.cjs'], { cwd, env: server.env, timeout: 30_000 }), server);
});

test('a bundle for Node.js needs the file or its bytes, and its error says so', async (t) => {
  const server = await mock(t, '--interactions', '450', '--limit', LIMIT);
  const cwd = folder('node-bundle', {
    'without.mjs': `import { CxoneClient } from 'cxone-client';
      try { new CxoneClient({ baseUrl: 'https://a.example' }); console.log('worked'); } catch (error) { console.log(error.code, error.field, error.message); }`,
    'with.mjs': `import { CxoneClient } from 'cxone-client';
      import wasm from 'cxone-client/wasm';
      import { sync } from './sync.mjs';
      const { CXONE_BASE_URL: baseUrl, CXONE_CLIENT_ID: clientId, CXONE_CLIENT_SECRET: clientSecret } = process.env;
      console.log(JSON.stringify(await sync(new CxoneClient({ baseUrl, clientId, clientSecret, wasm }))));`,
  }, { fixtures: ['sync.mjs'] });
  await build({ absWorkingDir: cwd, entryPoints: ['without.mjs', 'with.mjs'], outdir: 'out', outExtension: { '.js': '.mjs' }, bundle: true, platform: 'node', target: 'node20', format: 'esm', loader: { '.wasm': 'binary' } });
  await build({ absWorkingDir: cwd, entryPoints: ['without.mjs'], outdir: 'out', outExtension: { '.js': '.cjs' }, bundle: true, platform: 'node', format: 'cjs' });
  for (const file of ['out/without.mjs', 'out/without.cjs']) {
    assert.match(await run(node, [file], { cwd }), /^CONFIG wasm invalid `wasm`: the file cxone\.wasm is not beside the code/, file);
  }
  copyFileSync(join(consumer, 'node_modules/cxone-client/dist/cxone.wasm'), join(cwd, 'out/cxone.wasm'));
  assert.equal(await run(node, ['out/without.mjs'], { cwd }), 'worked\n');
  await assertSyncs(await run(node, ['out/with.mjs'], { cwd, env: server.env, timeout: 30_000 }), server);
});

test('webpack for Node.js finds the file', async () => {
  const cwd = folder('node-webpack', { 'main.mjs': "import { CxoneClient } from 'cxone-client';\nconsole.log(new CxoneClient({ baseUrl: 'https://a.example' }).stats().sends);" });
  const output = { path: join(cwd, 'out'), filename: 'main.cjs' };
  const stats = await new Promise((resolve, reject) => {
    webpack({ context: cwd, mode: 'production', target: 'node20', entry: './main.mjs', output }, (error, stats) => (error ? reject(error) : resolve(stats)));
  });
  assert.ok(!stats.hasErrors() && !stats.hasWarnings(), stats.toString());
  assert.equal(await run(node, ['out/main.cjs'], { cwd }), '0\n');
});

test('the engine can be brought in each form, to the entry of browsers', async (t) => {
  const dist = join(consumer, 'node_modules/cxone-client/dist');
  const bytes = readFileSync(join(dist, 'cxone.wasm'));
  const url = `${await serve(t, dist)}/cxone.wasm`;
  const options = { baseUrl: 'https://a.example' };
  let copies = 0;
  // Each copy of the module has loaded nothing yet.
  const fresh = () => import(`${pathToFileURL(join(dist, 'web.js'))}?${copies++}`);
  for (const wasm of [bytes, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), new WebAssembly.Module(bytes)]) {
    const { CxoneClient } = await fresh();
    assert.equal(new CxoneClient({ ...options, wasm }).stats().sends, 0);
  }
  for (const make of [() => bytes, () => new WebAssembly.Module(bytes), () => url, () => new URL(url), () => fetch(url), async () => new Response(bytes)]) {
    const { CxoneClient, init } = await fresh();
    assert.equal((await CxoneClient.create({ ...options, wasm: await make() })).stats().sends, 0);
    await init(make());
  }
  const { CxoneClient, init } = await fresh();
  const early = { code: 'CONFIG', field: 'wasm', message: /await CxoneClient\.create\(…\)/ };
  assert.throws(() => new CxoneClient(options), early);
  assert.throws(() => new CxoneClient({ ...options, wasm: url }), { code: 'CONFIG', field: 'wasm', message: /takes time/ });
  await init(fetch(url));
  assert.equal(new CxoneClient(options).stats().sends, 0);
});

test('both module systems name the same things', async () => {
  const require = createRequire(join(consumer, 'x.cjs'));
  const cwd = folder('node-names', {
    'names.mjs': `const names = {};
      for (const entry of ['', '/core', '/axios', '/undici', '/jobs', '/download', '/agent']) names[entry] = Object.keys(await import('cxone-client' + entry)).sort();
      console.log(JSON.stringify(names));`,
  });
  const names = JSON.parse(await run(node, ['names.mjs'], { cwd }));
  for (const [entry, exported] of Object.entries(names)) {
    const required = Object.keys(require(`cxone-client${entry}`)).sort();
    assert.deepEqual(exported.filter((it) => it !== 'default' && it !== 'module.exports'), required, entry);
  }
  for (const name of ['CxoneClient', 'PRIORITY', 'PriorityRequestQueue', 'calculateBackoffDelay', 'enqueueRequest', 'fetchAllInteractions', 'getAccessToken', 'setDefaultClient', 'init']) {
    assert.ok(names[''].includes(name), name);
  }
  assert.deepEqual(names['/core'], ['Engine', 'init']);
  assert.deepEqual([names['/jobs'], names['/download'], names['/agent']], [['runJob'], ['download', 'runJobTo'], ['agentEvents']]);
  assert.ok(statSync(require.resolve('cxone-client/wasm')).size > 10_000);
});

test('a job’s result is on disk, from a module, from CommonJS, and bundled; its errors are the package’s own', async (t) => {
  const server = await mock(t, '--job-polls', '0');
  const text = readFileSync(join(import.meta.dirname, 'fixtures/files.mjs'), 'utf8');
  const cwd = folder('node-files', { 'files.cjs': text.replace(/^import (.*) from (.*);$/gm, 'const $1 = require($2);') }, { fixtures: ['files.mjs'] });
  await build({ absWorkingDir: cwd, entryPoints: ['files.mjs'], outfile: 'bundle.mjs', bundle: true, platform: 'node', target: 'node20', format: 'esm' });
  copyFileSync(join(consumer, 'node_modules/cxone-client/dist/cxone.wasm'), join(cwd, 'cxone.wasm'));
  for (const file of ['files.mjs', 'files.cjs', 'bundle.mjs']) {
    assert.equal(await run(node, [file], { cwd, env: server.env, timeout: 30_000 }), FILES, file);
  }
});

test('importing it does nothing, and a client that does nothing lets the process exit', async () => {
  const cwd = folder('node-idle', {
    'idle.mjs': `const timer = globalThis.setTimeout, wasm = WebAssembly.Module;
      const fail = (what) => () => { throw new Error(what + ' at import'); };
      globalThis.setTimeout = fail('a timer'); globalThis.fetch = fail('a request'); WebAssembly.Module = fail('a compilation');
      const { CxoneClient } = await import('cxone-client');
      globalThis.setTimeout = timer; WebAssembly.Module = wasm;
      new CxoneClient({ baseUrl: 'https://a.example' });
      console.log('done');`,
  });
  assert.equal(await run(node, ['idle.mjs'], { cwd, timeout: 10_000 }), 'done\n');
});

test('import and first client are quick', async () => {
  const cwd = folder('node-start', {
    'start.mjs': `const start = performance.now();
      const { CxoneClient } = await import('cxone-client');
      const imported = performance.now();
      new CxoneClient({ baseUrl: 'https://a.example' });
      console.log(JSON.stringify([imported - start, performance.now() - start]));`,
  });
  const runs = [];
  for (let i = 0; i < 9; i++) runs.push(JSON.parse(await run(node, ['start.mjs'], { cwd })));
  const median = (at) => runs.map((it) => it[at]).sort((a, b) => a - b)[4];
  console.log(`import ${median(0).toFixed(1)} ms, with the first client ${median(1).toFixed(1)} ms; the quickest of ${runs.length} ${Math.min(...runs.map((it) => it[1])).toFixed(1)} ms`);
  // The aim is 30 ms on an idle machine; this only notices what is of another order.
  assert.ok(median(1) < 300);
});
