// Every block of code in the README runs as it stands there, against the mock.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { consumer, folder, mock, run } from './support.mjs';

const root = join(consumer, 'node_modules/cxone-client');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

const cwd = folder('readme');
mkdirSync(join(cwd, 'node_modules'));
cpSync(root, join(cwd, 'node_modules/cxone-client'), { recursive: true });
for (const name of ['axios', 'undici']) symlinkSync(join(import.meta.dirname, 'node_modules', name), join(cwd, 'node_modules', name));

test('there are blocks', () => assert.ok(blocks.length >= 8, String(blocks.length)));

for (const [i, code] of blocks.entries()) {
  test(`block ${i + 1}: ${code.split('\n').find((line) => line && !line.startsWith('import'))}`, async (t) => {
    const server = await mock(t, '--interactions', '250', '--job-polls', '0');
    // A block goes on with the client of the first, where it makes none.
    const client = code.includes('cx = ') || !/\bcx\b/.test(code) ? '' : "import { CxoneClient as Client } from 'cxone-client';\nconst cx = await Client.fromEnv();\n";
    const worker = code.includes('export default');
    const visit = `import worker from './${i}.mjs';\nlet closed;\nconst ctx = { waitUntil: (it) => (closed = it) };\nconsole.log((await worker.fetch(new Request('http://a.example'), process.env, ctx)).status);\nawait closed;\n`;
    folder('readme', { [`${i}.mjs`]: client + code, [`${i}-visit.mjs`]: visit });
    const out = await run(process.execPath, [worker ? `${i}-visit.mjs` : `${i}.mjs`], { cwd, env: server.env, timeout: 30_000 });
    for (const [, expected] of code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)) assert.ok(out.includes(expected), out);
    if (worker) assert.equal(out, '200\n');
  });
}

test('what it names of the package is there', async () => {
  const entry = await import(join(root, 'dist/node.js'));
  for (const [, name] of readme.matchAll(/`([A-Z][A-Za-z]+Error)`/g)) if (!['AxiosError', 'AnyCxoneError'].includes(name)) assert.equal(typeof entry[name], 'function', name);
  const codes = [...readme.matchAll(/^\| `([A-Z_]+)` \| `(\w+Error)`/gm)].map(([, code, name]) => [code, name]);
  const types = readFileSync(join(root, 'dist/types/esm/errors.d.ts'), 'utf8');
  const declared = /type ErrorCode = ([^;]+);/.exec(types)[1].match(/[A-Z_]+/g);
  assert.deepEqual(codes.map(([code]) => code).sort(), declared.sort());
  for (const [code, name] of codes) assert.match(types, new RegExp(`class ${name} extends CxoneError \\{\\s+readonly code = ["']${code}["']`));
});

test('every option and every event is in its table', () => {
  const members = (file, name) => {
    const text = readFileSync(join(root, 'dist/types/esm', file), 'utf8');
    const body = new RegExp(`interface ${name}[^{]*\\{\\n(.*?)\\n\\}`, 's').exec(text)[1];
    return [...body.matchAll(/^    (\w+)\??:/gm)].map(([, member]) => member);
  };
  const rows = (head) => readme.split(`\n| ${head} |`)[1].split('\n\n')[0].split('\n').flatMap((row) => [...(/^\| ([^|]*) \|/.exec(row)?.[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name));
  const sorted = (names) => [...new Set(names)].sort();
  assert.deepEqual(sorted(rows('of a client')), sorted([...members('client.d.ts', 'Address'), ...members('client.d.ts', 'CommonOptions'), ...members('settings.d.ts', 'EngineSettings')]));
  assert.deepEqual(sorted(rows('of a request')), sorted([...members('request.d.ts', 'RequestOptions'), ...members('request.d.ts', 'RequestConfig')]));
  assert.deepEqual(sorted(rows('event')), sorted(members('events.d.ts', 'CxoneEventMap')));
});
