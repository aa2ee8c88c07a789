// The types, in each way of resolving them, from modules and from CommonJS; with the libraries of
// a browser and with those of Node.js alone; checked in full (`skipLibCheck` off).

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { bin, consumer as installed, folder, run } from './support.mjs';

const COMPILERS = { 'TypeScript 7': 'typescript', 'TypeScript 5.9': 'typescript-5' };
const WAYS = [
  { module: 'node16', type: 'module' },
  { module: 'node16', type: 'commonjs' },
  { module: 'nodenext', type: 'module' },
  { module: 'nodenext', type: 'commonjs' },
  { module: 'esnext', moduleResolution: 'bundler', type: 'module' },
];
const LIBRARIES = {
  'a browser’s libraries': ['ES2023', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable', 'ESNext.Disposable'],
  'the libraries of Node.js': ['ES2023', 'ESNext.Disposable'],
};

// With what a consumer would have beside the package.
const modules = join(installed, 'types/node_modules');
mkdirSync(join(modules, '@types'), { recursive: true });
cpSync(join(installed, 'node_modules/cxone-client'), join(modules, 'cxone-client'), { recursive: true });
for (const name of ['@types/node', 'undici-types', 'axios']) symlinkSync(join(import.meta.dirname, 'node_modules', name), join(modules, name));

for (const [compiler, name] of Object.entries(COMPILERS)) {
  for (const { type, ...way } of WAYS) {
    for (const [libraries, lib] of Object.entries(LIBRARIES)) {
      // The older one takes its time: once from a module, and once by a bundler.
      const twice = lib.includes('DOM') ? way.module === 'nodenext' && type === 'module' : way.module === 'esnext';
      if (name === 'typescript-5' && !twice) continue;
      const title = `${compiler}, ${way.moduleResolution ?? way.module}, ${type}, ${libraries}`;
      test(title, async () => {
        const cwd = consumer(title, type, { ...way, lib });
        await run(process.execPath, [bin(name, 'tsc'), '-p', '.'], { cwd });
        if (compiler === 'TypeScript 7' && lib.includes('DOM')) assert.equal(await run(process.execPath, ['out/consumer.js'], { cwd }), 'ran\n');
      });
    }
  }
}

test('a page that knows nothing of Node.js', async () => {
  const options = { module: 'esnext', moduleResolution: 'bundler', lib: ['ES2022', 'DOM', 'DOM.Iterable'], types: [], noEmit: true };
  const cwd = consumer('page', 'module', options, ['types/browser.ts']);
  await run(process.execPath, [bin('typescript', 'tsc'), '-p', '.'], { cwd });
});

/** A consumer in TypeScript. */
function consumer(title, type, compilerOptions, files = ['types/consumer.ts']) {
  const settings = {
    compilerOptions: { target: 'es2022', strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, types: ['node'], rootDir: 'types', outDir: 'out', ...compilerOptions },
    files,
  };
  return folder(`types/${title.replace(/\W+/g, '-')}`, { 'tsconfig.json': JSON.stringify(settings) }, { type, fixtures: ['types'] });
}
