// Builds dist/: the WebAssembly, its glue, the code for each runtime, and the types.
// Needs wasm-pack and the wasm32 target; everything else comes from npm.
//
//   node scripts/build.mjs           the package
//   node scripts/build.mjs --js      the package, around the WebAssembly of the last build
//   node scripts/build.mjs --trap    with an engine that can be made to trap, for the tests

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import binaryen from 'binaryen';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const trap = process.argv.includes('--trap');
const onlyJs = process.argv.includes('--js');
const dist = trap ? 'build/dist-trap' : 'dist';
const bin = (name) => `node_modules/.bin/${name}`;
const env = { ...process.env, CARGO_ENCODED_RUSTFLAGS: rustFlags() };
const run = (command, ...args) => execFileSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env });
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

/** What every runtime of the package's knows. */
const FEATURES = ['bulk-memory', 'nontrapping-float-to-int', 'sign-ext', 'mutable-globals', 'reference-types', 'multivalue'].map((it) => `--enable-${it}`);

if (!onlyJs) rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

// The WebAssembly.
const made = trap ? 'build/wasm-trap' : 'build/wasm';
if (!onlyJs) {
  run('wasm-pack', '--log-level', 'warn', 'build', '../adapters/fetch', '--target', 'web', '--no-pack',
    '--no-typescript', '--profile', 'wasm', '--out-dir', `${root}${made}`, '--', '--features', trap ? 'standalone,trap' : 'standalone');
  optimise(`${made}/cxone_fetch_bg.wasm`, `${made}/optimised.wasm`);
  copyFileSync(`${made}/optimised.wasm`, `${dist}/cxone.wasm`);
}
// Its glue is a module, and of a module there is only one. Here it becomes a function with all its
// state inside, so that each call is an instance of its own; what nobody calls stays out.
const names = `{ initSync, Engine, Credentials, Pages, Alarm, calculateBackoff, jobFields, jobNext, jobPath, pollPause${trap ? ', trap' : ''} }`;
const glue = await build({
  stdin: { contents: `import ${names} from './${made}/cxone_fetch.js'; glue = ${names};`, resolveDir: root },
  bundle: true,
  format: 'iife',
  define: { 'import.meta.url': "''" },
  write: false,
});
mkdirSync('src/generated', { recursive: true });
writeFileSync('src/generated/glue.js', `export function glue() {\nlet glue;\n${glue.outputFiles[0].text}return glue;\n}\n`);

// The code.
const common = {
  bundle: true,
  target: 'es2022',
  define: { __VERSION__: JSON.stringify(version) },
  minify: true,
  legalComments: 'none',
  sourcemap: true,
  sourcesContent: true,
  logLevel: 'warning',
};
const node = { ...common, platform: 'node' };
// In CommonJS there is no import.meta; a file knows its own name all the same.
const cjs = {
  ...node,
  format: 'cjs',
  define: { ...node.define, 'import.meta.url': '__url' },
  banner: { js: "const __url=require('node:url').pathToFileURL(__filename).href;" },
};
/** The entry of the trap build shows the instance too, so that a test can reach its `trap()`. */
const withInstance = { stdin: { contents: "export * from './node.js'; export { instance } from './wasm.js';", resolveDir: 'src' } };
const web = { ...common, platform: 'browser', format: 'esm' };
// What goes with a client takes the classes of errors from where that has them: of each there is one.
const beside = {
  plugins: [{ name: 'errors', setup: (it) => it.onResolve({ filter: /^\.\/errors\.js$/ }, () => ({ path: 'cxone-client', external: true })) }],
};
await Promise.all([
  build({ ...node, format: 'esm', ...(trap ? withInstance : { entryPoints: ['src/node.ts'] }), outfile: `${dist}/node.js` }),
  build({ ...cjs, entryPoints: ['src/node.ts'], outfile: `${dist}/node.cjs` }),
  build({ ...web, entryPoints: ['src/web.ts'], outfile: `${dist}/web.js` }),
  build({ ...web, entryPoints: ['src/workerd.ts'], outfile: `${dist}/workerd.js`, external: ['./cxone.wasm'] }),
  ...['axios', 'undici'].flatMap((name) => [
    build({ ...web, entryPoints: [`src/${name}.ts`], outfile: `${dist}/${name}.js` }),
    build({ ...cjs, banner: {}, entryPoints: [`src/${name}.ts`], outfile: `${dist}/${name}.cjs` }),
  ]),
  ...['jobs', 'agent', 'download'].flatMap((name) => {
    const options = { ...beside, entryPoints: [`src/${name}.ts`] };
    return [build({ ...(name === 'download' ? node : web), format: 'esm', ...options, outfile: `${dist}/${name}.js` }), build({ ...cjs, banner: {}, ...options, outfile: `${dist}/${name}.cjs` })];
  }),
]);
// `cxone-client/core` is a window on the same code, so that there is one of everything.
for (const [file, from] of [['core', 'node'], ['core-web', 'web'], ['core-workerd', 'workerd']]) {
  writeFileSync(`${dist}/${file}.js`, `export { Engine, init } from './${from}.js';\n`);
}
writeFileSync(`${dist}/core.cjs`, `const { Engine, init } = require('./node.cjs');\nmodule.exports = { Engine, init };\n`);

// The types, once for each module system: what a `.d.ts` is decides the package.json beside it.
if (!trap) {
  run(bin('tsc'), '-p', '.', '--outDir', `${dist}/types/esm`);
  // tsc copies no declarations that it was given.
  cpSync('src/generated/glue.d.ts', `${dist}/types/esm/generated/glue.d.ts`);
  // What `cxone-client/wasm` is decides the bundler that imports it: something that `wasm` takes.
  writeFileSync(`${dist}/types/esm/cxone.d.ts`, "import type { WasmSource } from './wasm.js';\ndeclare const wasm: WasmSource;\nexport default wasm;\n");
  cpSync(`${dist}/types/esm`, `${dist}/types/cjs`, { recursive: true });
  writeFileSync(`${dist}/types/esm/package.json`, '{ "type": "module" }\n');
  writeFileSync(`${dist}/types/cjs/package.json`, '{ "type": "commonjs" }\n');
  cpSync('../LICENSE-MIT', 'LICENSE-MIT');
  cpSync('../LICENSE-APACHE', 'LICENSE-APACHE');
  report();
}

/** Runs wasm-opt, which takes most of the time, unless it has seen the same file before. */
function optimise(from, to) {
  // What is inlined makes it smaller by itself, but larger when it is compressed.
  const inline = ['--one-caller-inline-max-function-size', '10'];
  const args = ['-O3', '--converge', ...inline, '--low-memory-unused', '--strip-producers', ...FEATURES];
  const { version } = JSON.parse(readFileSync('node_modules/binaryen/package.json', 'utf8'));
  const seen = createHash('sha256').update(readFileSync(from)).update(`${version} ${args} ${withoutMessages}`).digest('hex');
  const note = `${to}.of`;
  if (existsSync(to) && existsSync(note) && readFileSync(note, 'utf8') === seen) return;
  const bare = `${to}.bare`;
  writeFileSync(bare, withoutMessages(readFileSync(from)));
  run(bin('wasm-opt'), ...args, '-g', bare, '-o', bare);
  // What is similar mostly has similar names; side by side it is compressed better.
  run(bin('wasm-opt'), ...FEATURES, '-g', '--reorder-functions-by-name', bare, '-o', bare);
  run(bin('wasm-opt'), ...FEATURES, '--strip-debug', bare, '-o', to);
  writeFileSync(note, seen);
}

/**
 * Puts a trap in place of what puts together the message of a panic, which ends in that trap anyway
 * and shows the message to nobody. Those functions come compiled with the toolchain, and all of
 * Rust's formatting with them; none of them ever returns.
 */
function withoutMessages(wasm) {
  binaryen.setDebugInfo(true); // it keeps the names
  const module = binaryen.readBinary(wasm);
  const never = /^(<?(core|alloc)\[\w+\]::.*::|__rustc\[\w+\]::)(panic\w*|\w+_fail(ed)?|handle_error|handle_alloc_error|capacity_overflow|__\w+_error_handler)$/;
  let found = 0;
  for (let i = 0; i < module.getNumFunctions(); i++) {
    const it = module.getFunctionByIndex(i);
    const { name, module: imported, results } = binaryen.getFunctionInfo(it);
    if (imported || results !== binaryen.none || !never.test(name)) continue;
    binaryen.Function.setBody(it, module.unreachable());
    found += 1;
  }
  if (found === 0) throw new Error('panics are called something else now: see withoutMessages()');
  return module.emitBinary();
}

/**
 * Panics name files: not those of the machine that it was built on. And functions are inlined only
 * where they are short: compressed it is a seventh smaller than with the thresholds that LLVM has by
 * itself, and a queue of tasks that do nothing takes a quarter longer. No loop is unrolled: that is 2 kB
 * less, and a fiftieth of that time.
 */
function rustFlags() {
  const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { encoding: 'utf8' }).trim();
  const names = [
    [process.env.CARGO_HOME ?? `${homedir()}/.cargo`, '/cargo'],
    [`${sysroot}/lib/rustlib/src/rust`, '/rust'],
    [fileURLToPath(new URL('../..', import.meta.url)), ''],
  ];
  const sizes = ['-inline-threshold=10', '-inlinehint-threshold=25', '-unroll-threshold=0', '-unroll-allow-partial=0'];
  return [...names.map(([from, to]) => `--remap-path-prefix=${from}=${to}`), ...sizes.map((it) => `-Cllvm-args=${it}`)].join('\x1f');
}

/** What it weighs on the wire, and whether that is too much. */
function report() {
  const gzip = (file) => gzipSync(readFileSync(`${dist}/${file}`), { level: 9 }).length;
  const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const wasm = gzip('cxone.wasm');
  const js = gzip('web.js');
  console.log(`size, gzip: cxone.wasm ${kb(wasm)}, web.js ${kb(js)}, together ${kb(wasm + js)}`);
  if (wasm + js > 100_000) {
    console.error('Together they may not be more than 100 kB.');
    process.exitCode = 1;
  }
}
