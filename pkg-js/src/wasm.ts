/** The compiled engine: where it comes from, and the one instance that clients share. */

import { glue, type Glue } from './generated/glue.js';
import { ConfigError, EngineError } from './errors.js';
import type { CompiledWasm, WasmMemory } from './runtime.js';

/** What {@link init} and the constructors take: bytes, a compiled module, a URL or an answer. */
export type WasmSource =
  | CompiledWasm
  | ArrayBuffer
  | ArrayBufferView<ArrayBuffer>
  | URL
  | string
  | Response
  | PromiseLike<Response>;

/** What differs between runtimes; each entry file of the package has one. */
export interface Platform {
  /** Reads and compiles the engine, where that can be done without waiting. */
  loadSync?(): CompiledWasm;
  /** Reads a file by its URL, where `fetch` does not. */
  read?(url: URL): ArrayBufferView<ArrayBuffer>;
  /** Reads and compiles the engine. */
  load(): Promise<CompiledWasm>;
  /** Browsers do not show redirects: there they are followed by the browser. */
  redirect: 'manual' | 'follow';
  /** May a `User-Agent` be set? */
  userAgent: boolean;
  /** The environment's variables and the text of `.env`, where there are such things. */
  environment?(): Promise<Record<string, string | undefined>>;
}

/** One instance of the engine's code. Clients share it, since each costs memory of its own. */
export interface Instance extends Glue {
  memory: WasmMemory;
  /** Called when it has trapped: nothing in it can be trusted any more. */
  onTrap: Set<WeakRef<{ trapped(error: EngineError): void }>>;
}

let platform: Platform;
let compiled: WebAssembly.Module | undefined;
let shared: Instance | undefined;

/** To be called once by an entry file. It starts nothing. */
export function setPlatform(it: Platform): void {
  platform = it;
}

/** The platform of this entry. */
export function currentPlatform(): Platform {
  return platform;
}

/** The shared instance, made when it is first asked for, and anew after a trap. */
export function instance(source?: WasmSource): Instance {
  if (source !== undefined) compiled ??= compileSync(source);
  if (shared) return shared;
  if (!compiled) {
    if (!platform.loadSync) {
      throw new ConfigError(
        'wasm',
        'this runtime loads it asynchronously: use `await CxoneClient.create(…)`, or `await init()` first',
      );
    }
    compiled = platform.loadSync();
  }
  const made = glue();
  const exports = made.initSync({ module: compiled });
  shared = Object.assign(made, { memory: exports.memory, onTrap: new Set() as Instance['onTrap'] });
  return shared;
}

/**
 * Loads the engine where that takes time (browsers, workers). Afterwards constructors need no
 * `await`. In Node.js, Deno and Bun it need not be called.
 */
export async function init(source?: WasmSource): Promise<void> {
  compiled ??= await (source === undefined ? platform.load() : compile(source));
}

/** The instance has trapped: whoever uses it is told, and the next client gets a new one. */
export function trapped(instance: Instance, cause: unknown): EngineError {
  if (shared === instance) shared = undefined;
  const error = new EngineError(cause);
  const told = [...instance.onTrap];
  instance.onTrap.clear();
  for (const client of told) client.deref()?.trapped(error);
  return error;
}

/** The names of the header fields that say something about waiting, in lower case. */
export function signalHeaders({ Engine }: Instance, msHeaders: string[] = []): string[] {
  return [...Engine.signal_headers().split('\n'), ...msHeaders.map((name) => name.toLowerCase())];
}

function compileSync(source: WasmSource): WebAssembly.Module {
  if (source instanceof WebAssembly.Module) return source;
  try {
    if (isFile(source)) return new WebAssembly.Module(platform.read!(new URL(source)));
    if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return new WebAssembly.Module(source);
  } catch (cause) {
    throw new ConfigError('wasm', `it cannot be read, or is no WebAssembly: ${WHERE}`, { cause });
  }
  throw new ConfigError(
    'wasm',
    'give bytes or a WebAssembly.Module; a URL or a Response takes time: give it to `CxoneClient.create()` or `init()`',
  );
}

/** Can it be read without waiting? */
function isFile(source: WasmSource): source is string | URL {
  return !!platform.read && isUrl(source) && /^file:/.test(String(source));
}

function isUrl(source: WasmSource): source is string | URL {
  return typeof source === 'string' || source instanceof URL;
}

async function compile(source: WasmSource): Promise<CompiledWasm> {
  if (isUrl(source) && !isFile(source)) {
    try {
      source = await fetch(source);
    } catch (cause) {
      throw new ConfigError('wasm', `it cannot be fetched: ${WHERE}`, { cause });
    }
  }
  // An answer that is still to come, and whatever else: what it is, is seen then.
  source = await (source as Exclude<WasmSource, string | URL>);
  return source instanceof Response ? compileAnswer(source) : compileSync(source);
}

/** Compiles what a server has answered. */
export async function compileAnswer(answer: Response): Promise<CompiledWasm> {
  const { ok, status, url } = answer;
  if (!ok) throw new ConfigError('wasm', `${url} answered ${status}: ${WHERE}`);
  try {
    // Streaming wants the right Content-Type, which not every server knows.
    return await WebAssembly.compile(await answer.arrayBuffer());
  } catch (cause) {
    throw new ConfigError('wasm', `${url} cannot be compiled: it is another file (${WHERE}), or a Content-Security-Policy lacks 'wasm-unsafe-eval'`, { cause });
  }
}

const WHERE = 'see "Browsers and bundlers" in the README, or give its URL or bytes';
