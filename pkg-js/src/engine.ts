/**
 * The bare engine, for deterministic tests: no network, no timers, and a clock that moves only
 * when the test says so.
 */

import { ClosedError, ConfigError, ENGINE_ERRORS, QueueFullError } from './errors.js';
import type { WasmEngine } from './generated/glue.js';
import { headersOf, priorityOf, scopesOf, type Priority } from './request.js';
import type { HeaderFields } from './runtime.js';
import { AUTH, HEADER, REPLAY_IF_UNPROCESSED, REPLAY_NEVER, STREAM } from './host.js';
import { encodeSettings, known, milliseconds, SETTINGS, settingError, type EngineSettings } from './settings.js';
import { instance, type Instance } from './wasm.js';

/** A request as the engine sees it. */
export interface EngineJob {
  /** Default `normal`. */
  priority?: Priority;
  /** The scopes whose limits it consumes, narrowest first. Default: one for everything. */
  scope?: string | readonly string[];
  /** Does it carry the token? Default false. */
  auth?: boolean;
  /** May it be sent again: `always` (the default), only `if-unprocessed`, or `never`. */
  replay?: 'always' | 'if-unprocessed' | 'never';
  /** Is its slot free as soon as the head of the answer is there? */
  stream?: boolean;
  /** Milliseconds allowed to an attempt. */
  timeout?: number;
  /** Milliseconds allowed to the request. */
  deadline?: number;
}

/** What the engine wants done. `request` is as `submit` gave it; `attempt` counts from 1. */
export type EngineOutput =
  | { type: 'send'; request: number; attempt: number; token?: number }
  | { type: 'body'; request: number; attempt: number; verdict: 'read' | 'stream' | 'drain' | 'follow' }
  | { type: 'abort'; request: number; attempt: number }
  | { type: 'fetch-token'; token: number }
  | { type: 'abort-token'; token: number }
  | { type: 'finish'; request: number; error?: { code: string; message: string; status?: number; retryAt?: number } }
  | { type: 'notice'; message: string; scope?: string; ms?: number };

/** How an attempt failed. */
export type EngineFailure = 'unsent' | 'unsendable' | 'reset' | 'truncated' | 'too-large' | 'aborted';

const VERDICTS = ['read', 'stream', 'drain', 'follow'] as const;
const FAILURES: EngineFailure[] = ['unsent', 'unsendable', 'reset', 'truncated', 'too-large', 'aborted'];
const WAKES = ['gate', 'token', 'attempt-timeout', 'retry', 'budget', 'deadline'] as const;
const TOKEN_FAILURES = ['transient', 'network', 'refused', 'unsendable'] as const;

/**
 * The engine with a virtual clock. Give it a command or what was seen, then do what
 * {@link outputs} says, until {@link next} names the moment to advance to.
 */
export class Engine {
  /** @internal */
  static readonly name: string = 'Engine';
  /** The virtual clock, in milliseconds. Move it forward as you like. */
  now: number;
  /** The wall clock at `now` = 0, in milliseconds since 1970: it matters only to dates in headers. */
  readonly epoch: number;
  readonly #instance: Instance;
  readonly #engine: WasmEngine;
  #next: { at: number; reason: (typeof WAKES)[number] } | undefined;

  constructor(settings: EngineSettings = {}, { now = 0, epoch = Date.UTC(2026, 10, 23) }: { now?: number; epoch?: number } = {}) {
    this.now = now;
    this.epoch = epoch;
    known('', settings, SETTINGS);
    this.#instance = instance();
    try {
      this.#engine = new this.#instance.Engine(...encodeSettings({ seed: 0, ...settings }), now);
    } catch (error) {
      throw settingError(error);
    }
  }

  /** Accepts a request, and gives its name. */
  submit(job: EngineJob = {}): number {
    const replay = { always: 0, 'if-unprocessed': REPLAY_IF_UNPROCESSED, never: REPLAY_NEVER }[job.replay ?? 'always'];
    if (replay === undefined) throw new ConfigError('replay', "choose 'always', 'if-unprocessed' or 'never'");
    milliseconds('timeout', job.timeout);
    milliseconds('deadline', job.deadline);
    const flags = (job.auth ? AUTH : 0) | (job.stream ? STREAM : 0) | replay;
    const id = this.#engine.submit(priorityOf(job.priority), scopesOf(job.scope), flags, job.timeout ?? NaN, job.deadline ?? NaN, this.now, false);
    if (id >= 0) return id;
    const message = this.#engine.refusal();
    if (id === -1) throw new QueueFullError(message);
    if (id === -2) throw new ClosedError(message);
    throw new ConfigError('scope', message);
  }

  /** Gives up a request. */
  cancel(request: number): void {
    this.#engine.cancel(...named(request), this.now);
  }

  /** The head of an answer arrived. */
  head(request: number, attempt: number, status: number, headers: HeaderFields = {}, redirect = false): void {
    this.#engine.head(...named(request), attempt, status, linesOf(headers), redirect, this.now, this.epoch + this.now, false);
  }

  /** The attempt is over: its body was read, or drained. */
  done(request: number, attempt: number): void {
    this.#engine.done(...named(request), attempt, this.now, false);
  }

  /** The attempt is over without a complete answer. */
  failed(request: number, attempt: number, failure: EngineFailure): void {
    this.#engine.failed(...named(request), attempt, indexOf(FAILURES, failure), this.now);
  }

  /** A token was fetched, which is good for `lifetime` milliseconds; by default for an hour. */
  token(token: number, lifetime?: number): void {
    this.#engine.token(token, lifetime ?? NaN, this.now);
  }

  /** A token fetch failed. */
  tokenFailed(token: number, failure: (typeof TOKEN_FAILURES)[number], status = 0, headers: HeaderFields = {}): void {
    this.#engine.token_failed(token, indexOf(TOKEN_FAILURES, failure), status, linesOf(headers), this.now, this.epoch + this.now);
  }

  /** Time has passed: `ms`, or up to the moment that {@link next} names. */
  advance(ms = (this.next?.at ?? this.now) - this.now): void {
    this.now += milliseconds('ms', ms);
    this.#engine.timeout(this.now);
  }

  /** Holds one scope, or everything. */
  pause(scope?: string): void {
    this.#engine.pause(scope, this.now);
  }

  /** Lifts that hold. */
  resume(scope?: string): void {
    this.#engine.resume(scope, this.now);
  }

  /** Accepts no more requests. */
  close({ drain = true }: { drain?: boolean } = {}): void {
    this.#engine.close(drain, this.now);
  }

  /** What is to be done now, in this order. */
  outputs(): EngineOutput[] {
    const outputs: EngineOutput[] = [];
    for (;;) {
      this.#engine.drain();
      const view = new Float64Array(this.#instance.memory.buffer, this.#engine.records, this.#engine.room);
      const length = view[2]!;
      this.#next = view[0] === Infinity ? undefined : { at: view[0]!, reason: WAKES[view[1]!]! };
      if (length === HEADER) return outputs;
      for (let at = HEADER; at < length; ) at = this.#read(view, at, outputs);
    }
  }

  /** The moment that the engine waits for, and why; `undefined` if it waits for nothing. True after {@link outputs}. */
  get next(): { at: number; reason: (typeof WAKES)[number] } | undefined {
    return this.#next;
  }

  #read(view: Float64Array, at: number, outputs: EngineOutput[]): number {
    const [kind, slot, generation, third, fourth, fifth, sixth] = view.subarray(at, at + 7) as unknown as number[];
    const request = generation! * 2 ** 32 + slot!;
    switch (kind) {
      case 1:
        outputs.push({ type: 'send', request, attempt: third!, ...(fourth ? { token: fourth } : {}) });
        return at + 5;
      case 2:
        outputs.push({ type: 'body', request, attempt: third!, verdict: VERDICTS[fourth!]! });
        return at + 5;
      case 3:
        outputs.push({ type: 'abort', request, attempt: third! });
        return at + 4;
      case 4:
        outputs.push({ type: 'fetch-token', token: slot! });
        return at + 2;
      case 5:
        outputs.push({ type: 'abort-token', token: slot! });
        return at + 2;
      case 6:
        outputs.push({ type: 'finish', request });
        return at + 3;
      case 7: {
        const { code } = new ENGINE_ERRORS[third!]!('');
        const error = { code, message: this.#engine.text(sixth!), ...(fourth ? { status: fourth } : {}), ...(Number.isNaN(fifth) ? {} : { retryAt: fifth! }) };
        outputs.push({ type: 'finish', request, error });
        return at + 7;
      }
      default: {
        const [wait, scope, message] = [view[at + 4]!, view[at + 8]!, view[at + 9]!];
        outputs.push({
          type: 'notice',
          message: this.#engine.text(message),
          ...(Number.isNaN(scope) ? {} : { scope: this.#engine.text(scope) }),
          ...(Number.isNaN(wait) ? {} : { ms: wait }),
        });
        return at + 10;
      }
    }
  }
}

function indexOf<T extends string>(choices: readonly T[], choice: T): number {
  const index = choices.indexOf(choice);
  if (index < 0) throw new ConfigError('failure', `choose ${choices.map((it) => `'${it}'`).join(' or ')}`);
  return index;
}

function linesOf(headers: HeaderFields): string | undefined {
  return Object.entries(headersOf(headers)).flat().join('\n') || undefined;
}

function named(request: number): [slot: number, generation: number] {
  const slot = request >>> 0;
  return [slot, (request - slot) / 2 ** 32];
}
