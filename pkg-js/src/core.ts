/** `cxone-client/core`: the bare engine, for deterministic tests. */

export { Engine, type EngineFailure, type EngineJob, type EngineOutput } from './engine.js';
export type { EngineSettings, KnownLimit, Pacing } from './settings.js';
export { init, type WasmSource } from './wasm.js';
