// What the tests share: folders of consumers, the mock, and running a command to its end.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { createInterface } from 'node:readline';

/** The folder with the installed tarball. Node.js finds the package from every folder in it. */
export const consumer = process.env.CONSUMER;
export const tarball = process.env.TARBALL;
if (!consumer || !tarball) throw new Error('start the tests by `npm test`, which packs and installs the package');

const tools = createRequire(import.meta.url);

/** What `fixtures/files.mjs` prints where all is well. */
export const FILES = '100000 true true true 2\n';

/** A fresh folder of a consumer with these files, and links to these tools of ours. */
export function folder(name, files = {}, { type = 'module', fixtures = [] } = {}) {
  const made = join(consumer, name);
  mkdirSync(made, { recursive: true });
  writeFileSync(join(made, 'package.json'), JSON.stringify({ private: true, type }));
  for (const fixture of fixtures) cpSync(join(import.meta.dirname, 'fixtures', fixture), join(made, fixture), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(made, file)), { recursive: true });
    writeFileSync(join(made, file), text);
  }
  return made;
}

/** The program that a tool's package declares. */
export function bin(name, program = name) {
  let at = dirname(tools.resolve(existsSync(join(import.meta.dirname, 'node_modules', name)) ? `${name}/package.json` : name));
  const { bin } = tools(join(at, 'package.json'));
  return join(at, typeof bin === 'string' ? bin : bin[program]);
}

/** Runs a command to its end; throws with all that it printed if it fails. */
export function run(command, args, { cwd = consumer, env = {}, timeout = 120_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(out);
      // Lines of generated code are long.
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}\n${(out + err).replace(/.{500,}/g, '…').slice(-8000)}`));
    });
  });
}

/** Starts `cxone-mock`; ends with the test. */
export async function mock(t, ...args) {
  const program = join(import.meta.dirname, '../../target/debug/cxone-mock');
  if (!existsSync(program)) throw new Error('missing: the mock. Run `cargo build --package cxone-mock`');
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const said = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [, name, value] = /^(.*) (\S+)$/.exec(line);
    said[name] = value;
    if (name === 'client secret') break;
  }
  const url = said['listening on'];
  return {
    url,
    env: { CXONE_BASE_URL: url, CXONE_CLIENT_ID: said['client id'], CXONE_CLIENT_SECRET: said['client secret'] },
    options: { baseUrl: url, clientId: said['client id'], clientSecret: said['client secret'] },
    stats: async () => (await fetch(`${url}/_mock/stats`)).json(),
  };
}

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.map': 'application/json' };

/** Serves a folder; ends with the test. */
export async function serve(t, root, headers = {}) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    try {
      const body = await readFile(join(root, pathname.endsWith('/') ? `${pathname}index.html` : pathname));
      const type = TYPES[extname(pathname) || '.html'] ?? 'application/octet-stream';
      response.writeHead(200, { ...headers, 'content-type': type }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
