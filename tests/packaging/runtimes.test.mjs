// The package in the other runtimes: Deno, Bun, and workerd, which runs Cloudflare Workers.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';

import { bin, consumer, FILES, folder, mock, run } from './support.mjs';

const SYNC = ['--interactions', '450', '--limit', 'fixed:3/1s'];
const app = (name) => folder(name, {}, { fixtures: ['app.mjs', 'app.cjs', 'sync.mjs'] });

async function assertSynced({ pauses, ...result }, server) {
  assert.deepEqual(result, { interactions: 450, unique: 450, tokenFetches: 1 });
  assert.ok(pauses.length > 0 && pauses.every((reason) => reason === 'stated'), `${pauses}`);
  assert.equal((await server.stats()).early, 0);
}

test('Deno', async (t) => {
  const server = await mock(t, ...SYNC);
  const args = ['run', '--allow-net', '--allow-env', '--allow-read', '--no-lock', '--cached-only', 'app.mjs'];
  const out = await run(program('deno'), args, { cwd: app('deno'), env: { ...server.env, DENO_NO_UPDATE_CHECK: '1' }, timeout: 60_000 });
  await assertSynced(JSON.parse(out), server);
});

test('Deno and Bun run jobs, and write files', async (t) => {
  const cwd = folder('files', {}, { fixtures: ['files.mjs'] });
  const deno = [program('deno'), 'run', '--allow-net', '--allow-env', '--allow-read', '--allow-write', '--no-lock', '--cached-only'];
  for (const [command, ...args] of [deno, [bun(), 'run']]) {
    const server = await mock(t, '--job-polls', '0');
    const out = await run(command, [...args, 'files.mjs'], { cwd, env: { ...server.env, DENO_NO_UPDATE_CHECK: '1' }, timeout: 60_000 });
    assert.equal(out, FILES, command);
  }
});

for (const file of ['app.mjs', 'app.cjs']) {
  test(`Bun, ${file}`, async (t) => {
    const server = await mock(t, ...SYNC);
    const out = await run(bun(), ['run', file], { cwd: app('bun'), env: server.env, timeout: 60_000 });
    await assertSynced(JSON.parse(out), server);
  });
}

test('workerd, bundled as for Cloudflare, a client each request', async (t) => {
  const server = await mock(t, ...SYNC, '--job-polls', '0');
  const cwd = folder('workerd', {}, { fixtures: ['worker.js', 'sync.mjs'] });
  // As wrangler does: modules of WebAssembly stay modules.
  await build({
    absWorkingDir: cwd, entryPoints: ['worker.js'], outfile: 'out/worker.js', bundle: true, format: 'esm', target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'], external: ['*.wasm'], logLevel: 'error',
  });
  const bindings = Object.entries(server.env).map(([name, text]) => `( name = "${name}", text = "${text}" )`);
  const port = await freePort();
  writeFileSync(join(cwd, 'config.capnp'), `using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (
      services = [
        ( name = "main", worker = .worker ),
        ( name = "internet", network = ( allow = ["private"] ) ),
      ],
      sockets = [ ( name = "http", address = "127.0.0.1:${port}", http = (), service = "main" ) ],
    );
    const worker :Workerd.Worker = (
      modules = [
        ( name = "worker.js", esModule = embed "out/worker.js" ),
        ( name = "./cxone.wasm", wasm = embed "../node_modules/cxone-client/dist/cxone.wasm" ),
      ],
      bindings = [${bindings.join(', ')}],
      compatibilityDate = "2026-01-01",
    );`);
  // What npm links may be a script, which does not hand on that it is killed.
  const { default: workerd } = createRequire(import.meta.url)('workerd');
  const child = spawn(workerd, ['serve', 'config.capnp'], { cwd, stdio: 'inherit' });
  t.after(() => child.kill());
  const url = `http://127.0.0.1:${port}`;
  let response;
  for (let tries = 0; !response; tries++) {
    try {
      response = await fetch(url);
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  assert.equal(response.status, 200, await response.clone().text());
  await assertSynced(await response.json(), server);
  // Another request in the same isolate has a client of its own.
  const again = await (await fetch(url)).json();
  assert.deepEqual([again.unique, again.tokenFetches], [450, 1]);
  assert.deepEqual(await (await fetch(`${url}/jobs`)).json(), { id: 'job-1', Type: 'AgentState' });
});

/** A runtime's program: npm links it. */
function program(name) {
  return join(import.meta.dirname, 'node_modules/.bin', name);
}

/** Bun's own program, which its package links only when it may run scripts. */
function bun() {
  const vendor = join(import.meta.dirname, 'node_modules/@oven');
  // The first has no suffix: the others are for other libraries and older processors.
  return join(vendor, readdirSync(vendor).sort()[0], 'bin/bun');
}

/** A port that was free just now. */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
