/** A queue of plain functions, on the same engine: no network, no token, no time limit. */

import { errorOf, Failure, Host, now, REPLAY_NEVER, STREAM, Task, Verdict, type Failed } from './host.js';
import { ConfigError } from './errors.js';
import { priorityOf, scopesOf, type Priority } from './request.js';
import { known, object, SETTINGS, type EngineSettings, type Pacing } from './settings.js';
import { checkSignal, Signals, type Watch } from './signals.js';
import { instance, signalHeaders } from './wasm.js';

/** The settings of a queue. */
export interface QueueOptions extends Pick<EngineSettings, 'concurrency' | 'maxAttempts' | 'retryFor' | 'maxWait' | 'queueLimit' | 'fairShare' | 'backoff' | 'reading' | 'pacing' | 'scopes' | 'seed'> {
  /** Functions that run at once. Default 5. */
  concurrency?: number;
  /** How many may start in a time. Without `retry` no answer is read and nothing is learned: name a limit. */
  pacing?: Pacing;
  /**
   * Runs a function again whose result or error looks like the answer of an HTTP server (a
   * `status` or `response.status`, with `headers`) and says that trying again helps: a throttle
   * pauses the queue as it pauses a client. Default false.
   */
  retry?: boolean;
}

/** What is added to a queue. */
export interface QueueEntry<T> {
  /** Called when it is its turn. */
  requestFn: () => T | PromiseLike<T>;
  /** Its class. Default NORMAL. */
  priority?: Priority;
  /** Takes it out of the queue, with the signal's own `reason`; what runs already is not waited for. */
  signal?: AbortSignal | null;
  /** The scope whose limit it consumes, or up to four, narrowest first. */
  scope?: string | readonly string[];
}

/**
 * Runs functions by priority, so many at once: HIGH before NORMAL before LOW, first come first
 * served within one, and none starves.
 */
export class PriorityRequestQueue {
  /** @internal */
  static readonly name: string = 'PriorityRequestQueue';
  readonly #host: Host;
  readonly #jobs: Jobs;
  readonly #signals = new Signals();

  /** Give its concurrency, or settings; throws a `ConfigError` for one that cannot be used. */
  constructor(options: number | QueueOptions = {}) {
    if (typeof options !== 'number') {
      object('options', options);
      const { timeout: _, tokenCooldown: __, ...settings } = SETTINGS;
      known('', options, { ...settings, retry: 1 });
    }
    const { retry = false, concurrency = 5, ...rest } = typeof options === 'number' ? { concurrency: options } : options;
    const it = instance();
    // Where nothing is run again and nothing paced there is nothing to time, and to ask the time takes time.
    const timed = retry || rest.pacing !== undefined || rest.scopes !== undefined;
    this.#host = new Host(it, { ...rest, concurrency, timeout: Infinity }, timed ? now : () => 0);
    this.#jobs = new Jobs(this.#host, retry ? signalHeaders(it, rest.reading?.msHeaders) : undefined);
  }

  /** Runs a function when it is its turn; settles as it does. */
  add<T>(entry: QueueEntry<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (typeof entry?.requestFn !== 'function') throw new ConfigError('requestFn', 'give a function: add({ requestFn })');
      const { requestFn, signal } = entry;
      checkSignal(signal);
      const jobs = this.#jobs;
      const job = new Job(jobs, requestFn, resolve as (value: unknown) => void, reject);
      const scope = entry.scope === undefined ? undefined : scopesOf(entry.scope);
      jobs.count += 1;
      try {
        this.#host.submit(job, priorityOf(entry.priority), scope, jobs.headers ? STREAM : STREAM | REPLAY_NEVER);
      } catch (error) {
        jobs.left();
        throw error;
      }
      if (signal) job.watched = this.#signals.watch(signal, (reason) => job.aborted(reason));
    });
  }

  /** Starts nothing more until {@link resume}; what runs, runs on. */
  pause(): void {
    this.#host.pause(undefined);
  }

  /** Ends {@link pause}. */
  resume(): void {
    this.#host.resume(undefined);
  }

  /** Functions that wait for their turn. */
  get size(): number {
    const [numbers] = this.#host.stats();
    return numbers[0]! + numbers[1]! + numbers[2]! + numbers[3]!;
  }

  /** Functions that run. */
  get pending(): number {
    return this.#host.stats()[0][4]!;
  }

  /** Changes how many may run at once, 1 to 65 535. */
  setConcurrency(n: number): void {
    this.#host.setConcurrency(n);
  }

  /** Resolves when nothing waits or runs. */
  onIdle(): Promise<void> {
    return this.#jobs.count === 0 ? Promise.resolve() : new Promise((resolve) => this.#jobs.idle.push(resolve));
  }

  /** Accepts no more; resolves when all that was accepted has ended. Without `drain` what waits fails now as a `ClosedError`. */
  close({ drain = true }: { drain?: boolean } = {}): Promise<void> {
    return this.#host.close(drain);
  }
}

/** What the jobs of a queue have in common. */
class Jobs {
  readonly host: Host;
  /** The fields that matter of what looks like an answer, if anything is run again. */
  readonly headers: string[] | undefined;
  /** How many wait or run. */
  count = 0;
  /** Called when there is none. */
  idle: (() => void)[] = [];

  constructor(host: Host, headers: string[] | undefined) {
    this.host = host;
    this.headers = headers;
  }

  left(): void {
    this.count -= 1;
    if (this.count > 0 || this.idle.length === 0) return;
    const idle = this.idle;
    this.idle = [];
    for (const resolve of idle) resolve();
  }
}

/** A function that waits or runs. There may be a million of them: what they share is one field. */
class Job extends Task {
  declare private readonly jobs: Jobs;
  declare private readonly run: () => unknown;
  declare private readonly resolve: (value: unknown) => void;
  declare private readonly reject: (reason: unknown) => void;
  declare private succeeded: boolean;
  declare private left: boolean;
  declare private outcome: unknown;
  declare private watch: Watch | undefined;

  constructor(jobs: Jobs, run: () => unknown, resolve: (value: unknown) => void, reject: (reason: unknown) => void) {
    super();
    this.jobs = jobs;
    this.run = run;
    this.resolve = resolve;
    this.reject = reject;
    this.succeeded = false;
    this.left = false;
    this.outcome = undefined;
    this.watch = undefined;
  }

  set watched(watch: Watch) {
    if (this.ended) watch.end();
    else this.watch = watch;
  }

  aborted(reason: unknown): void {
    if (this.ended) return;
    this.jobs.host.cancel(this);
    this.reject(reason);
    this.leave();
  }

  send(number: number): void {
    let result;
    let later;
    try {
      const { run } = this;
      result = run();
      // Whatever a `then` does, throwing and settling twice included, is what it is to `await`.
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') later = Promise.resolve(result);
    } catch (error) {
      this.settled(number, false, error);
      return;
    }
    if (later) {
      later.then(
        (value) => this.settled(number, true, value),
        (error: unknown) => this.settled(number, false, error),
      );
    } else {
      this.settled(number, true, result);
    }
  }

  body(number: number, verdict: Verdict): void {
    if (verdict !== Verdict.Stream) this.jobs.host.done(this, number);
  }

  abort(): void {}

  finish(): void {
    this.watch?.end();
    if (this.succeeded) this.resolve(this.outcome);
    else this.reject(this.outcome);
    this.leave();
  }

  fail(failed: Failed): void {
    this.watch?.end();
    if (this.outcome === undefined) {
      const Class = errorOf(failed);
      this.reject(new Class(failed.message, failed.retryAt ? { retryAt: failed.retryAt } : {}));
    } else if (this.succeeded) {
      this.resolve(this.outcome);
    } else {
      this.reject(this.outcome);
    }
    this.leave();
  }

  broken(error: unknown): void {
    this.ended = true;
    this.flying = 0;
    this.watch?.end();
    this.reject(error);
    this.leave();
  }

  /** It is gone when nobody waits for it and it does not run. */
  private leave(): void {
    if (this.flying || this.left) return;
    this.left = true;
    this.jobs.left();
  }

  private settled(number: number, succeeded: boolean, outcome: unknown): void {
    if (this.flying !== number) return;
    if (this.ended) {
      // Nobody waited for it, but its slot was taken until now.
      this.jobs.host.failed(this, number, Failure.Aborted);
      this.leave();
      return;
    }
    this.succeeded = succeeded;
    this.outcome = outcome;
    if (this.jobs.headers === undefined) {
      this.jobs.host.settled(this, number, 200, undefined);
      return;
    }
    let status = 200;
    let headers;
    try {
      ({ status, headers } = answerIn(outcome, this.jobs.headers));
    } catch {
      // What cannot be read is no answer.
    }
    if (status < 400) this.jobs.host.settled(this, number, 200, headers);
    else this.jobs.host.head(this, number, status, headers, false);
  }
}

/** What of an outcome is the answer of a server: its status, and the fields that matter. */
function answerIn(outcome: unknown, names: string[]): { status: number; headers: string | undefined } {
  type Answer = { status?: unknown; headers?: unknown };
  const own = outcome as (Answer & { response?: Answer }) | null | undefined;
  const answer = typeof own?.response === 'object' && own.response !== null ? own.response : own;
  const status = typeof answer?.status === 'number' && answer.status >= 100 && answer.status <= 999 ? answer.status : 200;
  const headers = answer?.headers as Record<string, unknown> | { get(name: string): unknown } | undefined;
  // A function `get` knows the names in any case; those of a plain object are brought into one.
  const plain = typeof headers?.get === 'function' ? undefined : Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  const get = (name: string) => (plain ? plain[name] : (headers as { get(name: string): unknown }).get(name));
  const found = names.flatMap((name) => {
    const value = get(name);
    return value === undefined || value === null ? [] : [`${name}\n${String(value).replace(/[\r\n]+/g, ' ')}`];
  });
  return { status, headers: found.length > 0 ? found.join('\n') : undefined };
}
