// The types, in each way of resolving them, from modules and from CommonJS; with the libraries of
// a browser and with those of Node.js alone; checked in full (`skipLibCheck` off).

import assert from 'node:assert/strict';
import { symlinkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { bin, folder, run } from './support.mjs';

const ours = (name) => join(import.meta.dirname, 'node_modules', name);
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

for (const [compiler, name] of Object.entries(COMPILERS)) {
  for (const { type, ...way } of WAYS) {
    for (const [libraries, lib] of Object.entries(LIBRARIES)) {
      const title = `${compiler}, ${way.moduleResolution ?? way.module}, ${type}, ${libraries}`;
      test(title, async () => {
        const cwd = consumer(title, type, { ...way, lib });
        await run(process.execPath, [bin(name, 'tsc'), '-p', '.'], { cwd });
        if (compiler === 'TypeScript 7' && lib.includes('DOM')) assert.equal(await run(process.execPath, ['out/consumer.js'], { cwd }), 'ran\n');
      });
    }
  }
}

/** A consumer in TypeScript. */
function consumer(title, type, compilerOptions) {
  const settings = {
    compilerOptions: { target: 'es2022', strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, types: ['node'], rootDir: 'types', outDir: 'out', ...compilerOptions },
    files: ['types/consumer.ts'],
  };
  const made = folder(`types-${title.replace(/\W+/g, '-')}`, { 'tsconfig.json': JSON.stringify(settings) }, { type, fixtures: ['types'] });
  // What a consumer would install beside the package.
  mkdirSync(join(made, 'node_modules/@types'), { recursive: true });
  for (const name of ['@types/node', 'undici-types', 'axios']) symlinkSync(ours(name), join(made, 'node_modules', name));
  return made;
}
