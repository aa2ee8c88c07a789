/**
 * Types of the runtime that have no name everywhere: those of Node.js know `Headers` and
 * `EventTarget`, but not what the libraries of a browser call the arguments of theirs.
 */

/** What `new Headers(…)` takes. */
export type HeaderFields = NonNullable<ConstructorParameters<typeof Headers>[0]>;

/** What `addEventListener` takes. */
export type Listener = Parameters<EventTarget['addEventListener']>[1];

/** What `addEventListener` takes last. */
export type ListenerOptions = Parameters<EventTarget['addEventListener']>[2];

/** What `removeEventListener` takes last. */
export type UnlistenerOptions = Parameters<EventTarget['removeEventListener']>[2];

/** A `WebAssembly.Module`. */
export type CompiledWasm = typeof globalThis extends { WebAssembly: { Module: { prototype: infer Module } } } ? Module : object;

/** A `WebAssembly.Memory`. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}
