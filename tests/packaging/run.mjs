// Packs the package, installs the tarball into a fresh folder as a user would, and runs the tests
// against that. Needs pkg-js/dist and the mock's binary: scripts/checks/npm-package builds both.
//
//   node run.mjs [files]

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), 'cxone-client-packaging-'));
try {
  const npm = (...args) => execFileSync('npm', [...args, '--loglevel=error'], { cwd: folder, encoding: 'utf8' });
  const tarball = join(folder, npm('pack', join(here, '../../pkg-js'), '--pack-destination', folder).trim().split('\n').at(-1));
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  // Offline: a package without dependencies needs no registry.
  npm('install', tarball, '--offline', '--no-audit', '--no-fund');
  const named = process.argv.slice(2);
  const files = named.length > 0 ? named : readdirSync(here).filter((name) => name.endsWith('.test.mjs'));
  const env = { ...process.env, CONSUMER: folder, TARBALL: tarball };
  const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', '--test-reporter=spec', ...files], { cwd: here, env, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
