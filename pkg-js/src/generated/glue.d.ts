/** The WebAssembly module's exports, as its Rust source documents them (`adapters/fetch`). */

import type { CompiledWasm, WasmMemory } from '../runtime.js';

export interface WasmEngine {
  readonly records: number;
  readonly room: number;
  drain(): void;
  text(index: number): string;
  submit(
    priority: number,
    scopes: string | undefined,
    flags: number,
    timeout: number,
    deadline: number,
    now: number,
    drain: boolean,
  ): number;
  refusal(): string;
  cancel(slot: number, generation: number, now: number): void;
  head(
    slot: number,
    generation: number,
    number: number,
    status: number,
    headers: string | undefined,
    redirect: boolean,
    now: number,
    wall: number,
    drain: boolean,
  ): void;
  done(slot: number, generation: number, number: number, now: number, drain: boolean): void;
  failed(slot: number, generation: number, number: number, failure: number, now: number): void;
  token(token: number, lifetime: number, now: number): void;
  token_failed(
    token: number,
    failure: number,
    status: number,
    headers: string | undefined,
    now: number,
    wall: number,
  ): void;
  timeout(now: number): void;
  pause(scope: string | undefined, now: number): void;
  resume(scope: string | undefined, now: number): void;
  set_concurrency(concurrency: number, now: number): boolean;
  close(drain: boolean, now: number): void;
  is_idle(): boolean;
  stats(): Float64Array;
  scope_names(): string;
  free(): void;
}

export interface WasmCredentials {
  leak_in(query: string): boolean;
  start(): void;
  request(): string;
  api(): string | undefined;
  read(generation: number, status: number, body: Uint8Array): number;
  lifetime(): number;
  problem(): string;
  token(generation: number): string | undefined;
  free(): void;
}

export interface WasmPages {
  readonly fields: string;
  readonly flags: number;
  request(): string | undefined;
  is_repeated(item: string): boolean;
  answer(
    status: number,
    body: number,
    items: number,
    next: string | undefined,
    other: boolean,
    total: number,
    origin: string,
  ): string | undefined;
  readonly cursor: string | undefined;
  number(place: number): number;
  readonly seen: string;
  readonly overlap: string;
  free(): void;
}

export interface WasmAlarm {
  set(ms: number): void;
  clear(): void;
  free(): void;
}

export interface Glue {
  initSync(source: { module: CompiledWasm }): { memory: WasmMemory };
  Engine: {
    new (
      settings: Float64Array,
      msHeaders: string,
      scopes: string,
      seed: number,
      now: number,
    ): WasmEngine;
    signal_headers(): string;
    status_text(status: number): string;
    api_family(path: string): string;
    published_scopes(method: string, path: string): string;
  };
  Credentials: new (texts: string, flags: number) => WasmCredentials;
  Pages: new (texts: string, numbers: Float64Array, cursor: string | undefined) => WasmPages;
  Alarm: new (ring: () => void) => WasmAlarm;
  calculateBackoff(
    retryAfter: string | undefined,
    retryCount: number,
    random: number,
    wall: number,
  ): number;
  jobFields(style: string): string | undefined;
  jobNext(texts: string, every: number, deadline: number, elapsed: number): number;
  jobPath(texts: string): string | undefined;
  pollPause(took: number): number;
  trap?(): void;
}

/** Makes the glue anew: each call is an instance with a state of its own. */
export function glue(): Glue;
