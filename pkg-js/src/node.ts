/** The entry for Node.js, Deno and Bun: the engine is a file beside this one, read when it is first needed. */

import { readFileSync } from 'node:fs';
import * as util from 'node:util';

import { ConfigError } from './errors.js';
import { setPlatform } from './wasm.js';

function loadSync(): WebAssembly.Module {
  let bytes;
  try {
    bytes = readFileSync(new URL('./cxone.wasm', import.meta.url));
  } catch (cause) {
    throw new ConfigError(
      'wasm',
      "the file cxone.wasm is not beside the code, which a bundler may have moved: keep the package external, or give the file's bytes (cxone-client/wasm)",
      { cause },
    );
  }
  return new WebAssembly.Module(bytes);
}

function environment(): Record<string, string | undefined> {
  return { ...dotenv(), ...Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== '')) };
}

/** What `.env` in the working directory says; real variables win over it. */
function dotenv(): Record<string, string | undefined> {
  let text;
  try {
    text = readFileSync('.env', 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new ConfigError('.env', 'the file cannot be read', { cause });
  }
  return util.parseEnv(text) as Record<string, string | undefined>;
}

setPlatform({
  loadSync,
  read: (url) => readFileSync(url),
  load: async () => loadSync(),
  redirect: 'manual',
  userAgent: true,
  environment: async () => environment(),
});

export * from './index.js';
/** @internal */
export { Engine } from './engine.js';
