/** The entry for Cloudflare Workers, where modules of WebAssembly are imported compiled. */

// @ts-expect-error The runtime makes a module of it.
import compiled from './cxone.wasm';

import { setPlatform } from './wasm.js';

setPlatform({
  loadSync: () => compiled as WebAssembly.Module,
  load: async () => compiled as WebAssembly.Module,
  redirect: 'manual',
  userAgent: true,
});

export * from './index.js';
/** @internal */
export { Engine } from './engine.js';
