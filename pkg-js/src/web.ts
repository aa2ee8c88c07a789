/** The entry for browsers, and for whatever is none of the others. */

import { compileAnswer, setPlatform } from './wasm.js';

/** Browsers hide redirects from scripts, so there the browser follows them. */
const isBrowser = 'document' in globalThis || 'importScripts' in globalThis;

setPlatform({
  load: async () => compileAnswer(await fetch(new URL('./cxone.wasm', import.meta.url))),
  redirect: isBrowser ? 'follow' : 'manual',
  userAgent: !isBrowser,
});

export * from './index.js';
/** @internal */
export { Engine } from './engine.js';
