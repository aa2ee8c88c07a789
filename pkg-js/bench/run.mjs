// Measures the package beside what people use today, all contenders in turns in one run, and
// prints Markdown tables. No check: figures depend on the machine, and nothing fails by being slow.
//
//   npm run bench              both
//   npm run bench -- http      requests over HTTP
//   npm run bench -- queue     the queue alone

import { execSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';

process.chdir(import.meta.dirname);
if (!existsSync('../dist/node.js')) throw new Error('there is no dist yet: npm run build');
if (!existsSync('node_modules')) execSync('npm ci', { stdio: 'inherit' });

const wanted = process.argv.slice(2);
console.log(`Node.js ${process.versions.node}, ${cpus().length} × ${cpus()[0].model}\n`);
if (wanted.length === 0 || wanted.includes('http')) {
  const { http } = await import('./http.mjs');
  console.log(`${await http()}\n`);
}
if (wanted.length === 0 || wanted.includes('queue')) {
  const { queue } = await import('./queue.mjs');
  console.log(await queue());
}
process.exit(); // connections are kept alive
