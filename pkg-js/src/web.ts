/** The entry for browsers, and for whatever is none of the others. */

import { ConfigError } from './errors.js';
import { setPlatform } from './wasm.js';

/** Browsers hide redirects from scripts, so there the browser follows them. */
const isBrowser = 'document' in globalThis || 'importScripts' in globalThis;

setPlatform({
  async load() {
    const url = new URL('./cxone.wasm', import.meta.url);
    const response = await fetch(url);
    if (!response.ok) {
      throw new ConfigError('wasm', `${url} answered ${response.status}: see "Bundlers" in the README, or give its bytes or URL`);
    }
    return WebAssembly.compile(await response.arrayBuffer());
  },
  redirect: isBrowser ? 'follow' : 'manual',
  userAgent: !isBrowser,
});

export * from './index.js';
/** @internal */
export { Engine } from './engine.js';
