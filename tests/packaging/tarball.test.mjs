// What is in the tarball, and what the linters of packages say of it.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { bin, consumer, run, tarball } from './support.mjs';

const root = join(consumer, 'node_modules/cxone-client');
const files = readdirSync(root, { recursive: true }).filter((file) => statSync(join(root, file)).isFile());
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

test('the tarball holds these files and no others', () => {
  const code = ['agent', 'axios', 'download', 'jobs', 'node', 'undici'].flatMap((it) => [`${it}.js`, `${it}.js.map`, `${it}.cjs`, `${it}.cjs.map`]);
  const intended = [
    'package.json', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE',
    ...[...code, 'web.js', 'web.js.map', 'workerd.js', 'workerd.js.map', 'core.js', 'core.cjs', 'core-web.js', 'core-workerd.js', 'cxone.wasm'].map((it) => `dist/${it}`),
  ];
  const others = files.filter((file) => !/^dist\/types\/(esm|cjs)\/([a-z]+\.d\.ts|generated\/glue\.d\.ts|package\.json)$/.test(file) && !/^examples\/[a-z.-]+\.mjs$/.test(file));
  assert.deepEqual(others.sort(), intended.sort());
  const types = (kind) => files.filter((file) => file.startsWith(`dist/types/${kind}/`)).map((file) => file.slice(15));
  assert.deepEqual(types('esm'), types('cjs'));
});

test('every target of `exports` exists', () => {
  const targets = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(targets));
  for (const target of [...targets(manifest.exports), manifest.main, manifest.module, manifest.types]) {
    assert.ok(files.includes(target.slice(2)), target);
  }
});

test('nothing runs at installation, and nothing else is installed', () => {
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare']) assert.equal(manifest.scripts[name], undefined);
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(readdirSync(join(consumer, 'node_modules')).filter((name) => !name.startsWith('.')), ['cxone-client']);
});

test('no file names a folder of the machine that built it', () => {
  const repository = join(import.meta.dirname, '../..');
  const traces = [repository, homedir(), consumer, process.env.CARGO_HOME].filter((path) => path && path !== '/');
  for (const file of files) {
    const text = readFileSync(join(root, file), 'latin1');
    for (const trace of traces) assert.ok(!text.includes(`${trace}/`), `${file} names ${trace}`);
  }
});

test('the source maps point into the sources and bring them along', () => {
  const maps = files.filter((file) => file.endsWith('.map'));
  assert.ok(maps.length >= 6);
  for (const file of maps) {
    const { sources, sourcesContent } = JSON.parse(readFileSync(join(root, file), 'utf8'));
    for (const source of sources) assert.match(source, /^\.\.\/src\/[a-z/]+\.(ts|js)$/, file);
    assert.equal(sourcesContent.length, sources.length);
    assert.ok(sourcesContent.every((text) => text.length > 0), file);
  }
});

test('publint has nothing to say', async () => {
  const { publint } = await import('publint');
  const packed = await import('publint/node').then(({ publint: node }) => node ?? publint, () => publint);
  const { messages } = await packed({ pkgDir: root, strict: true });
  assert.deepEqual(messages, []);
});

test('arethetypeswrong has nothing to say', async () => {
  await run(process.execPath, [bin('@arethetypeswrong/cli', 'attw'), tarball, '--profile', 'node16', '--exclude-entrypoints', 'wasm', '--no-color']);
});
