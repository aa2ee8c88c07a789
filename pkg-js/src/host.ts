/**
 * Drives the engine: performs what it wants, reports what was seen, and decides nothing.
 *
 * No call into the engine ever calls back, so any of it may be called at any time, from within a
 * listener or a transport too; what it leads to is performed in order by whoever drains at the
 * moment. Events go out after the drain.
 */

import { ClosedError, ConfigError, CxoneError, ENGINE_ERRORS, QueueFullError, TokenError, type EngineError } from './errors.js';
import { eventOf, type Notice } from './events.js';
import type { WasmAlarm, WasmEngine } from './generated/glue.js';
import { encodeSettings, settingError, type EngineSettings } from './settings.js';
import { trapped, type Instance } from './wasm.js';

/** Kinds of records, and the numbers before the first (`adapters/fetch`, `record.rs`). */
const enum Kind {
  Send = 1,
  Body = 2,
  Abort = 3,
  FetchToken = 4,
  AbortToken = 5,
  Finish = 6,
  Fail = 7,
  Notice = 8,
}
export const HEADER = 3;
const LONGEST = 10;

/** What to do with the body of an answer. */
export const enum Verdict {
  Read = 0,
  Stream = 1,
  Drain = 2,
  Follow = 3,
}

/** How an attempt failed (`adapters/fetch`, `Engine::failed`). */
export const enum Failure {
  Unsent = 0,
  Unsendable = 1,
  Reset = 2,
  Truncated = 3,
  TooLarge = 4,
  Aborted = 5,
}

/** The end of a request that did not end well. */
export interface Failed {
  /** An index into {@link ENGINE_ERRORS}. */
  kind: number;
  /** 0 for none. */
  status: number;
  retryAt: Date | undefined;
  message: string;
}

/** Flags of a request. */
export const AUTH = 1;
export const STREAM = 2;
export const REPLAY_IF_UNPROCESSED = 4;
export const REPLAY_NEVER = 8;

/** What the host keeps of one request, and what it has to do for it. */
export abstract class Task {
  // There may be a million of them: fields that are declared only are no work for each.
  declare slot: number;
  declare generation: number;
  /** The attempt in flight; 0 for none. */
  declare flying: number;
  /** Its end was told, or it was cancelled. */
  declare ended: boolean;

  constructor() {
    this.slot = 0;
    this.generation = 0;
    this.flying = 0;
    this.ended = false;
  }

  /** Start this attempt, with the token of that generation (0 for none). Must not throw. */
  abstract send(number: number, token: number): void;
  /** What to do with the body of the answer. */
  abstract body(number: number, verdict: Verdict): void;
  /** End this attempt. */
  abstract abort(number: number): void;
  /** It ended well. */
  abstract finish(): void;
  /** It did not. */
  abstract fail(failed: Failed): void;
  /** The engine itself has failed, or what ended it has thrown. */
  abstract broken(error: unknown): void;
  /** The id that it is known by in logs. */
  get correlationId(): string | undefined {
    return undefined;
  }
}

/** How a host fetches tokens. */
export interface TokenSource {
  fetch(generation: number): void;
  abort(generation: number): void;
  /** Ends whatever is under way. */
  stop(): void;
}

export class Host {
  readonly instance: Instance;
  readonly #engine: WasmEngine;
  readonly #target: EventTarget | undefined;
  readonly #tokens: TokenSource | undefined;
  /** By their slots. */
  #tasks: (Task | undefined)[] = [];
  /** By their ids: those whose slot is another's by now. The engine gives it away when it writes a
   * task's end, which may be read later, and whose attempt may be out still. */
  #displaced = new Map<number, Task>();
  #view: Float64Array;
  readonly #offset: number;
  readonly #room: number;
  #draining = false;
  /** The engine was told something since the last drain. */
  #news = false;
  #alarm: WasmAlarm | undefined;
  #armed = Infinity;
  /** The way from the alarm, which nothing collects, to the host: there only while it is set. */
  readonly #bell: { host: Host | undefined } = { host: undefined };
  #events: CustomEvent[] = [];
  #closing: (() => void)[] | undefined;
  #closed = false;
  #broken: EngineError | undefined;
  #lastStats: [Float64Array, string] | undefined;
  readonly #self = new WeakRef(this);
  readonly #clock: () => number;

  /** `clock` in milliseconds. */
  constructor(instance: Instance, settings: EngineSettings, clock: () => number, target?: EventTarget, tokens?: (host: Host) => TokenSource, published = false) {
    this.instance = instance;
    this.#clock = clock;
    this.#target = target;
    try {
      this.#engine = new instance.Engine(...encodeSettings(settings, published), clock());
    } catch (error) {
      throw settingError(error);
    }
    this.#offset = this.#engine.records;
    this.#room = this.#engine.room;
    this.#view = this.#records();
    this.#tokens = tokens?.(this);
    instance.onTrap.add(this.#self);
    unclosed.register(this, [instance.onTrap, this.#self]);
  }

  /** Puts a task into the queue. Throws if it is not accepted. */
  submit(task: Task, priority: number, scopes: string | undefined, flags: number, timeout = NaN, deadline = NaN): void {
    if (this.#closed) throw this.#broken ?? new ClosedError();
    const free = !this.#draining;
    let id;
    try {
      id = this.#engine.submit(priority, scopes, flags, timeout, deadline, this.#clock(), free);
    } catch (error) {
      throw trapped(this.instance, error);
    }
    if (id < 0) throw this.#refused(id);
    task.slot = id >>> 0;
    task.generation = ((id - task.slot) / 2 ** 32) | 0; // it has 21 bits
    const before = this.#tasks[task.slot];
    if (before) this.#displaced.set(idOf(before.slot, before.generation), before);
    this.#tasks[task.slot] = task;
    this.#drained(free);
  }

  /** Gives up a task: nothing more is told of it. */
  cancel(task: Task): void {
    if (task.ended) return;
    this.#end(task);
    if (this.#closed) return;
    try {
      this.#engine.cancel(task.slot, task.generation, this.#clock());
    } catch (error) {
      trapped(this.instance, error);
      return;
    }
    this.#drain();
  }

  /** The head of an answer to the task's attempt arrived. */
  head(task: Task, number: number, status: number, headers: string | undefined, redirect: boolean): void {
    if (this.#closed) return;
    const free = !this.#draining;
    try {
      this.#engine.head(task.slot, task.generation, number, status, headers, redirect, this.#clock(), headers === undefined ? 0 : Date.now(), free);
    } catch (error) {
      trapped(this.instance, error);
      return;
    }
    this.#drained(free);
  }

  /** The attempt is over: its body was read, or drained. */
  done(task: Task, number: number): void {
    this.#over(task, number);
    if (this.#closed) return;
    const free = !this.#draining;
    try {
      this.#engine.done(task.slot, task.generation, number, this.#clock(), free);
    } catch (error) {
      trapped(this.instance, error);
      return;
    }
    this.#drained(free);
  }

  /** The attempt is over without a complete answer. */
  failed(task: Task, number: number, failure: Failure): void {
    this.#over(task, number);
    this.#do(() => this.#engine.failed(task.slot, task.generation, number, failure, this.#clock()));
  }

  /** An answer to a task that streams is handed over as it is: one call for its whole end. */
  settled(task: Task, number: number, status: number, headers: string | undefined): void {
    task.flying = 0;
    if (task.ended) this.#forget(task);
    this.head(task, number, status, headers, false);
  }

  token(generation: number, lifetime: number): void {
    this.#do(() => this.#engine.token(generation, lifetime, this.#clock()));
  }

  tokenFailed(generation: number, failure: number, status: number, headers: string): void {
    this.#do(() => this.#engine.token_failed(generation, failure, status, headers, this.#clock(), Date.now()));
  }

  pause(scope: string | undefined): void {
    this.#do(() => this.#engine.pause(scope, this.#clock()));
  }

  resume(scope: string | undefined): void {
    this.#do(() => this.#engine.resume(scope, this.#clock()));
  }

  setConcurrency(concurrency: number): void {
    let accepted = Number.isInteger(concurrency) && concurrency >= 0;
    this.#do(() => (accepted &&= this.#engine.set_concurrency(concurrency, this.#clock())));
    if (!accepted) throw new ConfigError('concurrency', 'choose 1 to 65535');
  }

  /** Ends the host; resolves when nothing is in flight any more. */
  close(drain: boolean): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      (this.#closing ??= []).push(resolve);
      this.#do(() => this.#engine.close(drain, this.#clock()));
    });
  }

  get isClosed(): boolean {
    return this.#closed || this.#closing !== undefined;
  }

  /** Numbers and names as the engine's `stats` and `scope_names` give them. */
  stats(): [Float64Array, string] {
    return this.#lastStats ?? this.#currentStats();
  }

  /** The instance has trapped: all that waits is told. */
  trapped(cause: EngineError): void {
    if (this.#closed) return;
    this.#broken = cause;
    try {
      this.#alarm?.clear();
    } catch {
      // It was the instance's; what it leaves is one timer that finds a closed host.
    }
    this.#tokens?.stop();
    const tasks = [...this.#tasks, ...this.#displaced.values()];
    this.#shut([new Float64Array(11), '']);
    for (const task of tasks) {
      if (!task) continue;
      if (task.flying) task.abort(task.flying);
      if (!task.ended) task.broken(cause);
    }
  }

  #currentStats(): [Float64Array, string] {
    return [this.#engine.stats(), this.#engine.scope_names()];
  }

  #do(command: () => void): void {
    if (this.#closed) return;
    try {
      command();
    } catch (error) {
      trapped(this.instance, error);
      return;
    }
    this.#drain();
  }

  #drain(): void {
    if (this.#closed) return;
    try {
      if (!this.#draining) this.#engine.drain();
    } catch (error) {
      trapped(this.instance, error);
      return;
    }
    this.#drained(!this.#draining);
  }

  /** The engine was told something; and its records are written, unless somebody reads them. */
  #drained(written: boolean): void {
    if (!written) {
      this.#news = true;
      return;
    }
    let view = this.#records();
    if (view[2] === HEADER && !this.#closing) {
      this.#arm(view[0]!);
      return;
    }
    this.#draining = true;
    try {
      for (;;) {
        const length = view[2]!;
        // What is performed may be news in turn, and not everything may have fitted.
        this.#news = length > this.#room - LONGEST;
        this.#perform(view, length);
        if (this.#closed) return; // trapped
        if (!this.#news) break;
        this.#engine.drain();
        view = this.#records();
      }
      this.#arm(this.#records()[0]!);
      if (this.#closing && this.#engine.is_idle()) this.#shut(this.#currentStats());
    } catch (error) {
      trapped(this.instance, error);
    } finally {
      this.#draining = false;
    }
    if (this.#events.length > 0) this.#tell();
  }

  #perform(view: Float64Array, length: number): void {
    for (let at = HEADER; at < length; ) {
      // What is performed may make the memory grow, which takes the view away.
      if (view.byteLength === 0) view = this.#records();
      // Numbers of this size are kept as they are only if they are known to be whole.
      const slot = view[at + 1]! >>> 0;
      const generation = view[at + 2]! | 0;
      switch (view[at]! | 0) {
        case Kind.Send: {
          const task = this.#find(slot, generation);
          const number = view[at + 3]! | 0;
          const token = view[at + 4]! | 0;
          at += 5;
          if (!task) {
            // Given up since the record was written, by what was performed before it.
            this.#do(() => this.#engine.failed(slot, generation, number, Failure.Aborted, this.#clock()));
            break;
          }
          task.flying = number;
          task.send(number, token);
          break;
        }
        case Kind.Body: {
          const number = view[at + 3]! | 0;
          const verdict = view[at + 4]! | 0;
          at += 5;
          this.#find(slot, generation)?.body(number, verdict);
          break;
        }
        case Kind.Abort: {
          const number = view[at + 3]! | 0;
          at += 4;
          const task = this.#find(slot, generation);
          if (task?.flying === number) task.abort(number);
          // It was over before this was read, and the engine heeds no answer of one that it aborts.
          else this.#do(() => this.#engine.failed(slot, generation, number, Failure.Aborted, this.#clock()));
          break;
        }
        case Kind.FetchToken:
          at += 2;
          this.#tokens?.fetch(slot);
          break;
        case Kind.AbortToken:
          at += 2;
          this.#tokens?.abort(slot);
          break;
        case Kind.Finish: {
          at += 3;
          const task = this.#find(slot, generation);
          if (!task) break;
          this.#end(task);
          try {
            task.finish();
          } catch (error) {
            task.broken(error);
          }
          break;
        }
        case Kind.Fail: {
          const task = this.#find(slot, generation);
          const [error, status, retryAt, message] = [view[at + 3]!, view[at + 4]!, view[at + 5]!, view[at + 6]!];
          at += 7;
          if (!task) break;
          this.#end(task);
          const failed: Failed = {
            kind: error,
            status,
            retryAt: Number.isNaN(retryAt) ? undefined : new Date(Date.now() + Math.max(0, Math.ceil(retryAt - this.#clock()))),
            message: this.#engine.text(message),
          };
          try {
            task.fail(failed);
          } catch (error) {
            task.broken(error);
          }
          break;
        }
        default:
          this.#notice(view, at + 1);
          at += 10;
      }
    }
  }

  #notice(view: Float64Array, at: number): void {
    if (!this.#target) return;
    const [kind, slot, generation, wait, until, count, status, scope, message] = view.subarray(at, at + 9);
    const notice: Notice = {
      kind: kind!,
      wait: wait!,
      until: until!,
      count: count!,
      status: status!,
      scope: Number.isNaN(scope) ? '' : this.#engine.text(scope!),
      message: this.#engine.text(message!),
      correlationId: this.#find(slot!, generation!)?.correlationId,
    };
    this.#events.push(eventOf(notice, this.#clock()));
  }

  /** Tells what was seen, after everything was done. A listener may do anything. */
  #tell(): void {
    while (this.#events.length > 0 && !this.#draining) this.#target?.dispatchEvent(this.#events.shift()!);
  }

  #find(slot: number, generation: number): Task | undefined {
    const task = this.#tasks[slot];
    return task?.generation === generation ? task : this.#displaced.get(idOf(slot, generation));
  }

  #end(task: Task): void {
    task.ended = true;
    if (!task.flying) this.#forget(task);
  }

  #over(task: Task, number: number): void {
    if (task.flying !== number) return;
    task.flying = 0;
    if (task.ended) this.#forget(task);
  }

  #forget(task: Task): void {
    if (this.#tasks[task.slot] === task) this.#tasks[task.slot] = undefined;
    else this.#displaced.delete(idOf(task.slot, task.generation));
  }

  #refused(id: number): CxoneError {
    const message = this.#engine.refusal();
    if (id === -1) return new QueueFullError(message.replace('queue_limit', '`queueLimit`'));
    if (id === -2) return new ClosedError(message);
    return new ConfigError('scope', message.replace(/^.*?: /, ''));
  }

  /** Sees to it that the alarm rings at the deadline, or before it. It is set anew only if it
   * would ring too late: most deadlines are never reached. */
  #arm(deadline: number): void {
    if (deadline === this.#armed) return;
    if (deadline === Infinity) {
      this.#alarm?.clear();
      this.#armed = Infinity;
      this.#bell.host = undefined;
    } else if (deadline < this.#armed) {
      this.#alarm ??= new this.instance.Alarm(Host.#ringer(this.#bell));
      this.#bell.host = this;
      this.#alarm.set(Math.max(0, deadline - this.#clock()));
      this.#armed = deadline;
    }
  }

  static #ringer(bell: { host: Host | undefined }): () => void {
    return () => {
      const { host } = bell;
      if (host) host.#ring();
    };
  }

  #ring(): void {
    this.#armed = Infinity;
    this.#do(() => this.#engine.timeout(this.#clock()));
  }

  #records(): Float64Array {
    if (!this.#view?.byteLength) {
      this.#view = new Float64Array(this.instance.memory.buffer, this.#offset, this.#room);
    }
    return this.#view;
  }

  /** Lets go of everything. */
  #shut(stats: [Float64Array, string]): void {
    this.#closed = true;
    this.instance.onTrap.delete(this.#self);
    this.#lastStats = stats;
    this.#tasks = [];
    this.#displaced.clear();
    if (!this.#broken) {
      this.#alarm?.free();
      this.#engine.free();
    }
    for (const resolve of this.#closing ?? []) resolve();
  }
}

/** What a host that nobody closed leaves behind goes when it is collected. */
const unclosed = new FinalizationRegistry<[Instance['onTrap'], WeakRef<Host>]>(([all, one]) => all.delete(one));

const idOf = (slot: number, generation: number): number => generation * 2 ** 32 + slot;

/** Was there no token to be had? */
export function isTokenFailure(failed: Failed): boolean {
  return errorOf(failed) === TokenError;
}

/** The error that a failed request ends with. */
export function errorOf(failed: Failed): (typeof ENGINE_ERRORS)[number] {
  return ENGINE_ERRORS[failed.kind]!;
}

/** Milliseconds on the clock that the engine counts by. */
export function now(): number {
  return performance.now();
}
