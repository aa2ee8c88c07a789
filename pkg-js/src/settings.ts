/** The settings of an engine: their types, their checks, and the order in which they cross. */

import { ConfigError } from './errors.js';

/** A limit of the server's, as you know it. */
export interface KnownLimit {
  /** So many requests, */
  requests: number;
  /** in so many milliseconds. */
  per: number;
  /** Left out: a quota a window, all of which may be used at once. Else an even rate, of which so many may go at once after a rest. */
  burst?: number;
  /** Keep to it, and learn nothing; else it is believed until answers say otherwise. */
  fixed?: boolean;
}

/** How requests are paced: what the server allows is learned (the default); nothing is; or it is known. */
export type Pacing = 'learned' | 'off' | KnownLimit;

/** The settings that decide when a request is sent. Times are in milliseconds. */
export interface EngineSettings {
  /** Requests in flight at once, 1 to 65 535. Default 8. */
  concurrency?: number;
  /** Failures (timeouts, resets, 408, 425, 502, 503, 504) after which a request fails. Throttles do not count. Default 5. */
  maxAttempts?: number;
  /** Time spent retrying after a request's first sending. Default 1 h. */
  retryFor?: number;
  /** The longest wait that a server may ask for; beyond it requests fail with `retryAt`. Default 15 min. */
  maxWait?: number;
  /** Time allowed to one sending; `Infinity` is none. Default 15 000. */
  timeout?: number;
  /** Requests that may wait. Default 1 048 576. */
  queueLimit?: number;
  /** A class that waits gets at least one of so many sends, 2 or more. Default 16. */
  fairShare?: number;
  /** After the token endpoint refused for good, none is asked for so long. Default 30 000. */
  tokenCooldown?: number;
  /** The waits after a throttle that states none. */
  backoff?: {
    /** The first, 1 or more. Default 1 000. */
    base?: number;
    /** The longest, before jitter. It never caps a server's wait. Default 30 000. */
    cap?: number;
    /** Jitter on a wait that the server states: `slight` (at most 10 % and 250 ms), or up to `half` of it, as the tutorial has it. */
    stated?: 'slight' | 'half';
  };
  /** How limit headers are read. */
  reading?: {
    /** `strict` takes only what the RFCs allow. Default `lenient`. */
    mode?: 'lenient' | 'strict';
    /** What the number of a Reset header counts. Default `auto`: by its size. */
    resetUnit?: 'auto' | 'delta-s' | 'delta-ms' | 'epoch-s' | 'epoch-ms';
    /** More headers that state a wait in milliseconds, most trusted first. */
    msHeaders?: string[];
  };
  /** How requests are paced. Default `learned`. */
  pacing?: Pacing;
  /** Limits of single scopes. */
  scopes?: {
    /** The scope. */
    name: string;
    /** Its requests in flight at once. */
    concurrency?: number;
    /** They count apart from the client's `concurrency`: for long polls. */
    apart?: boolean;
    /** How it is paced. Default: as the client's `pacing` says. */
    pacing?: Pacing;
  }[];
  /** The seed of all jitter, a whole number, for a run that can be repeated. Default: random. */
  seed?: number;
}

/** As the engine's constructor takes them. */
export type EncodedSettings = [
  numbers: Float64Array,
  msHeaders: string,
  scopes: string,
  seed: number,
];

/** The names of all settings of an engine. */
export const SETTINGS: Record<keyof EngineSettings, 1> = {
  concurrency: 1, maxAttempts: 1, retryFor: 1, maxWait: 1, timeout: 1, queueLimit: 1, fairShare: 1, tokenCooldown: 1, backoff: 1, reading: 1, pacing: 1, scopes: 1, seed: 1,
};

const RESET_UNITS = ['auto', 'delta-s', 'delta-ms', 'epoch-s', 'epoch-ms'];

/** Checks the types; ranges are for the engine to check. */
export function encodeSettings(settings: EngineSettings, published = false): EncodedSettings {
  const { backoff = {}, reading = {}, scopes = [], seed } = settings;
  object('backoff', backoff);
  known('backoff.', backoff, { base: 1, cap: 1, stated: 1 });
  object('reading', reading);
  known('reading.', reading, { mode: 1, resetUnit: 1, msHeaders: 1 });
  if (!Array.isArray(scopes)) throw new ConfigError('scopes', 'give an array of {name, concurrency, apart, pacing}');
  const numbers = [
    count('concurrency', settings.concurrency),
    count('maxAttempts', settings.maxAttempts),
    count('queueLimit', settings.queueLimit),
    count('fairShare', settings.fairShare),
    milliseconds('retryFor', settings.retryFor),
    milliseconds('maxWait', settings.maxWait),
    milliseconds('timeout', settings.timeout),
    milliseconds('tokenCooldown', settings.tokenCooldown),
    milliseconds('backoff.base', backoff.base),
    milliseconds('backoff.cap', backoff.cap),
    choice('backoff.stated', ['slight', 'half'], backoff.stated),
    choice('reading.mode', ['lenient', 'strict'], reading.mode),
    choice('reading.resetUnit', RESET_UNITS, reading.resetUnit),
    ...pacing('pacing', settings.pacing),
  ];
  for (const scope of scopes) {
    object('scopes', scope);
    known('scopes.', scope, { name: 1, concurrency: 1, apart: 1, pacing: 1 });
    text('scopes.name', scope.name);
    numbers.push(count('scopes.concurrency', scope.concurrency), scope.apart ? 1 : 0, ...pacing('scopes.pacing', scope.pacing));
  }
  numbers.push(published ? 1 : 0);
  const msHeaders = reading.msHeaders ?? [];
  if (!Array.isArray(msHeaders)) throw new ConfigError('reading.msHeaders', 'give an array of header names');
  for (const name of msHeaders) text('reading.msHeaders', name);
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new ConfigError('seed', 'give a whole number from 0 to 2^53 - 1');
  }
  const names = scopes.map((scope) => scope.name).join('\n');
  return [Float64Array.from(numbers), msHeaders.join('\n'), names, seed ?? random()];
}

function pacing(name: string, given: Pacing | undefined): number[] {
  if (given === undefined) return [NaN, NaN, NaN, NaN];
  if (typeof given !== 'object') return [choice(name, ['learned', 'off'], given), NaN, NaN, NaN];
  object(name, given);
  known(`${name}.`, given, { requests: 1, per: 1, burst: 1, fixed: 1 });
  const { requests, per, burst, fixed } = given;
  if (requests === undefined || per === undefined) throw new ConfigError(name, "choose 'learned', 'off' or {requests, per}");
  return [fixed ? 2 : 3, count(`${name}.requests`, requests), milliseconds(`${name}.per`, per), count(`${name}.burst`, burst)];
}

/** A whole number below 2^53. Made when it is needed: Workers refuse randomness before a request. */
function random(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high! >>> 11) * 2 ** 32 + low!;
}

/** What the engine says of a setting, `name\nfix`, as an error. */
export function settingError(said: unknown): unknown {
  if (typeof said !== 'string') return said;
  const [name = '', fix = ''] = said.split('\n');
  const camel = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return new ConfigError(
    camel === 'attemptTimeout' ? 'timeout' : camel,
    fix.replace('backoff.base', '`backoff.base`').replace('Duration::MAX', 'Infinity'),
  );
}

/** A time in milliseconds, or NaN for what is not given. */
export function milliseconds(field: string, value: number | undefined): number {
  if (value === undefined) return NaN;
  if (typeof value !== 'number' || !(value >= 0)) {
    throw new ConfigError(field, 'give milliseconds, 0 or more, or Infinity');
  }
  return value;
}

function count(field: string, value: number | undefined): number {
  if (value === undefined) return NaN;
  if (!Number.isInteger(value) || value < 0) throw new ConfigError(field, 'give a whole number, 1 or more');
  return value;
}

function choice(field: string, choices: string[], value: string | undefined): number {
  if (value === undefined) return 0;
  const index = choices.indexOf(value);
  if (index < 0) throw new ConfigError(field, `choose ${choices.map((it) => `'${it}'`).join(' or ')}`);
  return index;
}

/** A text on one line. */
export function text(field: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || value === '' || /[\n\r\0]/.test(value)) {
    throw new ConfigError(field, 'give a text that is not empty, on one line');
  }
}

export function object(field: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw new ConfigError(field, 'give an object');
}

/** Throws for an option that there is not: it is misspelt. */
export function known(path: string, options: object, names: Record<string, 1>): void {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(names, name)) throw new ConfigError(path + name, 'there is no such option');
  }
}
