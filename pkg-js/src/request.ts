/** A request: what a caller may say of it, and what is made of that. */

import { ConfigError } from './errors.js';
import { AUTH, REPLAY_IF_UNPROCESSED, REPLAY_NEVER, STREAM } from './host.js';
import type { HeaderFields } from './runtime.js';
import type { Instance } from './wasm.js';
import { milliseconds } from './settings.js';
import { isStream, type Payload } from './transport.js';

/** The classes of requests: HIGH leaves before NORMAL before LOW, first come first served within one. */
export const PRIORITY = Object.freeze({ HIGH: 1, NORMAL: 2, LOW: 3 } as const);

/** A class of requests, by number or name. */
export type Priority = 1 | 2 | 3 | 'high' | 'normal' | 'low' | 'HIGH' | 'NORMAL' | 'LOW';

/** A body: what `fetch` takes, a value to send as JSON, or a function that makes one for each sending. */
export type Data = Payload | object | number | boolean | null | (() => Data | Promise<Data>);

/** Query parameters. `undefined` and `null` are left out, arrays repeat the name, dates are ISO 8601. */
export type Params = URLSearchParams | Record<string, ParamValue | readonly ParamValue[]>;
type ParamValue = string | number | boolean | bigint | Date | null | undefined;

/** What may be said of any request. */
export interface RequestOptions {
  /** Its class. Default `normal`. */
  priority?: Priority;
  /** Header fields, in place of the client's own ones of these names. An `Authorization` takes the place of the token. */
  headers?: HeaderFields;
  /** Added to the query. */
  params?: Params;
  /** Ends the request with the signal's own `reason`, wherever it is. */
  signal?: AbortSignal | null;
  /** Milliseconds allowed to each sending; `Infinity` is none. Default: the client's `timeout`. */
  timeout?: number;
  /** Milliseconds allowed to the whole request: queue, pauses and retries included. Default: none. */
  deadline?: number;
  /** The scope whose limit it consumes, or up to four, narrowest first. Default: the client's `scopeBy`. */
  scope?: string | readonly string[];
  /** Does it carry the client's token? Default: yes, if the client has credentials. Another origin than the base URL's never gets it. */
  auth?: boolean;
  /** Sending it twice does no harm, as for a `POST` that only searches: it is retried as a `GET` is. */
  idempotent?: boolean;
  /** Sent as `Idempotency-Key`, which makes any method replayable: for operations that know the field. */
  idempotencyKey?: string;
  /** Its `X-Correlation-ID`; `false` sends none. Default: a fresh UUID. */
  correlationId?: string | false;
}

/** A request whose whole answer is read. */
export interface RequestConfig extends RequestOptions {
  /** Default `GET`. */
  method?: string;
  /** A path below the base URL, or an absolute URL. */
  url: string | URL;
  /** The body. Objects are sent as JSON, and so is `null`: leave it out to send none. Streams are sent once and never again. */
  data?: Data;
  /** What `data` of the answer is: `json` (the default) parses what says that it is JSON and leaves other bodies as text. */
  responseType?: 'json' | 'text' | 'arraybuffer' | 'blob';
}

/** What becomes of a redirect: as of `fetch`. */
export type Redirect = 'follow' | 'manual' | 'error';

/** How a request that names no scope is given one. */
export type ScopeBy = 'client' | 'family' | 'published' | ((method: string, url: URL) => string | readonly string[] | undefined);

/** What a client gives to its requests. */
export class RequestDefaults {
  /** The base URL; as long as that is not `found`, the issuer stands in for it. */
  base!: URL;
  found: boolean;
  /** What a path is put behind: the base URL, without a slash at its end. */
  root!: string;
  origin!: string;
  /** Those of requests to the base URL's origin, and to others. */
  readonly headers: Record<string, string>;
  readonly otherHeaders: Record<string, string>;
  readonly correlationIds: boolean;
  readonly hasCredentials: boolean;
  readonly scopeBy: ScopeBy;

  constructor(base: URL, found: boolean, headers: Record<string, string>, correlationIds: boolean, hasCredentials: boolean, scopeBy: ScopeBy) {
    this.place(base);
    this.found = found;
    this.headers = { accept: 'application/json', 'content-type': 'application/json', ...headers };
    this.otherHeaders = { accept: 'application/json', 'content-type': 'application/json' };
    const agent = headers['user-agent'];
    if (agent !== undefined) this.otherHeaders['user-agent'] = agent;
    this.correlationIds = correlationIds;
    this.hasCredentials = hasCredentials;
    this.scopeBy = scopeBy;
  }

  /** The APIs are there. */
  place(base: URL): void {
    this.base = base;
    this.origin = base.origin;
    this.root = this.origin + base.pathname.replace(/\/+$/, '');
    this.found = true;
  }
}

/** A request as it is kept: everything about it is checked. */
export interface Outgoing {
  method: string;
  url: string;
  /** What was asked for, as long as it is not known where the APIs are. */
  early: string | undefined;
  headers: Record<string, string>;
  /** The `Content-Type` of what a function makes, if that has none of its own. */
  type: string;
  data: Payload | (() => Data | Promise<Data>) | undefined;
  correlationId: string | undefined;
  priority: number;
  scopes: string | undefined;
  flags: number;
  timeout: number | undefined;
  deadline: number | undefined;
  follows: boolean;
  redirect: Redirect;
}

const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'];
const RESPONSE_TYPES = ['json', 'text', 'arraybuffer', 'blob'];

export function outgoing(config: RequestConfig & { redirect?: Redirect }, defaults: RequestDefaults, instance: Instance, streams: boolean): Outgoing {
  const method = config.method === undefined ? 'GET' : methodOf(config.method);
  const { data, redirect = 'follow' } = config;
  const isRead = method === 'GET' || method === 'HEAD';
  if (!['follow', 'manual', 'error'].includes(redirect)) throw new ConfigError('redirect', "choose 'follow', 'manual' or 'error'");
  if (data !== undefined && isRead) throw new ConfigError('data', `a ${method} cannot have a body: give \`params\``);
  const { url, isOwn: isBelow } = resolve(defaults, config.url, config.params);
  if (config.responseType !== undefined && !RESPONSE_TYPES.includes(config.responseType)) {
    throw new ConfigError('responseType', "choose 'json', 'text', 'arraybuffer' or 'blob'");
  }
  const given = config.headers === undefined ? undefined : headersOf(config.headers);
  // As long as nobody knows where the APIs are, what the token is for is judged later.
  const isEarly = !defaults.found && isAbsolute(config.url) && config.auth !== false && !given?.['authorization'];
  const isOwn = isBelow || isEarly;
  const headers = { ...(isOwn ? defaults.headers : defaults.otherHeaders) };
  const type = headers['content-type']!;
  // What a function makes has its type when it is made.
  if (data !== undefined && (typeof data === 'function' || hasOwnType(data))) delete headers['content-type'];
  const correlationId = given?.['x-correlation-id'] ?? correlation(config, headers['x-correlation-id'], defaults);
  if (correlationId !== undefined) headers['x-correlation-id'] = correlationId;
  else delete headers['x-correlation-id'];
  if (config.idempotencyKey !== undefined) headers['idempotency-key'] = headerValue('idempotencyKey', config.idempotencyKey);
  if (given) Object.assign(headers, given);

  const auth = config.auth ?? (defaults.hasCredentials && headers['authorization'] === undefined);
  if (auth && !defaults.hasCredentials) throw new ConfigError('auth', 'this client has no credentials');
  if (auth && !isOwn) {
    throw new ConfigError('auth', `${new URL(url).origin} is not the base URL's origin and gets no token: say \`auth: false\``);
  }
  const replayable = config.idempotent || IDEMPOTENT.includes(method) || headers['idempotency-key'] !== undefined;
  const replay = isStream(data) ? REPLAY_NEVER : replayable ? 0 : REPLAY_IF_UNPROCESSED;
  return {
    method,
    url,
    early: isEarly ? url : defaults.found || isAbsolute(config.url) ? undefined : url.slice(defaults.origin.length),
    headers,
    type,
    data: typeof data === 'function' ? (data as () => Data) : payload(data),
    correlationId,
    priority: priorityOf(config.priority),
    scopes: scopesOf(config.scope ?? scopeBy(method, url, isOwn, defaults, instance)),
    flags: (auth ? AUTH : 0) | (streams ? STREAM : 0) | replay,
    timeout: config.timeout === undefined ? undefined : attemptTimeout(config.timeout),
    deadline: config.deadline === undefined ? undefined : milliseconds('deadline', config.deadline),
    follows: isRead && redirect === 'follow',
    redirect,
  };
}

/** Is it no path below the base URL? */
export const isAbsolute = (path: string | URL): boolean => /^[a-z][a-z0-9+.-]*:/i.test(String(path));

/** Paths of names between single slashes, with a query or not, that a URL takes as they are. */
const PLAIN = /^\/?[\w~-][\w.~-]*(?:\/[\w~-][\w.~-]*)*(?:\?[\w.~=&-]*)?$/;

/** Where a request goes, and whether that is the base URL's origin. */
function resolve(defaults: RequestDefaults, path: string | URL, params: Params | undefined): { url: string; isOwn: boolean } {
  if (typeof path === 'string' && PLAIN.test(path)) {
    // Most are like this, and to parse them takes longer than all the rest.
    const plain = `${defaults.root}${path.startsWith('/') ? '' : '/'}${path}`;
    if (params === undefined) return { url: plain, isOwn: true };
    const url = new URL(plain);
    appendParams(url, params);
    return { url: url.href, isOwn: true };
  }
  const url = urlOf(defaults, path);
  appendParams(url, params);
  return { url: url.href, isOwn: url.origin === defaults.origin };
}

/** The URL of a path, which stays below the base whatever it looks like, or of an absolute URL. */
export function urlOf({ root }: RequestDefaults, path: string | URL): URL {
  if (typeof path !== 'string' && !(path instanceof URL)) {
    throw new ConfigError('url', 'give a path, or a URL with https or http');
  }
  const text = String(path);
  if (!isAbsolute(text)) {
    const url = new URL(`${root}/${text.replace(/^\//, '')}`);
    if (!url.href.startsWith(`${root}/`)) throw new ConfigError('url', "its path leads out of the base URL's");
    return url;
  }
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new ConfigError('url', 'it is no URL: give a path, or a URL with https or http');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new ConfigError('url', 'give a path, or a URL with https or http');
  }
  if (url.username || url.password) {
    throw new ConfigError('url', 'secrets do not belong into a URL: use a header');
  }
  return url;
}

const CLASSES = ['high', 'normal', 'low'];

/** A class by its number; throws for what is none. */
export function priorityOf(priority: Priority = 2): number {
  const index = typeof priority === 'string' ? CLASSES.indexOf(priority.toLowerCase()) + 1 : priority;
  if (index !== 1 && index !== 2 && index !== 3) {
    throw new ConfigError('priority', "choose PRIORITY.HIGH, NORMAL or LOW, or 'high', 'normal' or 'low'");
  }
  return index;
}

/** Scopes as they cross: joined by NUL. */
export function scopesOf(scope: string | readonly string[] | undefined): string | undefined {
  if (scope === undefined) return undefined;
  const names = typeof scope === 'string' ? [scope] : scope;
  if (!Array.isArray(names) || names.some((name) => typeof name !== 'string' || name.includes('\0'))) {
    throw new ConfigError('scope', 'give a name, or an array of names');
  }
  return names.length === 0 ? undefined : names.join('\0');
}

/** Header fields by their names in lower case. */
export function headersOf(init: HeaderFields | undefined): Record<string, string> {
  if (init === undefined) return {};
  // It checks the names and values, and joins those of one name.
  try {
    return Object.fromEntries(new Headers(init));
  } catch {
    // The reason would show the value, which may be a secret.
    throw new ConfigError('headers', 'a name or a value cannot be sent');
  }
}

/** Query, fragment and whatever else may be nobody's business are left out. */
export function shown(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

/** Adds parameters to a query. */
export function appendParams(url: URL, params: Params | undefined): void {
  if (params === undefined || params === null) return;
  if (typeof params !== 'object') throw new ConfigError('params', 'give an object, or URLSearchParams');
  if (params instanceof URLSearchParams) {
    for (const [name, value] of params) url.searchParams.append(name, value);
    return;
  }
  for (const [name, values] of Object.entries(params)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      if (value === undefined || value === null) continue;
      const text = value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : String(value);
      if (typeof value === 'object' && /^(\[object |Invalid Date$)/.test(text)) throw new ConfigError('params', `\`${name}\` cannot be sent as a text`);
      url.searchParams.append(name, text);
    }
  }
}

/** What is sent in one sending of what a function makes. */
export async function payloadOf(make: () => Data | Promise<Data>): Promise<Payload | undefined> {
  return payload(await make());
}

/** What is sent for a value: as it is now, whatever becomes of an object later. */
function payload(data: Data | undefined): Payload | undefined {
  if (data === undefined || typeof data === 'string' || hasOwnType(data) || isBinary(data) || isStream(data)) {
    return data as Payload | undefined;
  }
  try {
    return JSON.stringify(data);
  } catch (cause) {
    throw new ConfigError('data', 'it cannot be written as JSON', { cause });
  }
}

/** A body that brings its own `Content-Type`; also of a class of another realm or package. */
export function hasOwnType(data: unknown): boolean {
  const kind = kindOf(data);
  return kind === 'URLSearchParams' || kind === 'FormData' || ((kind === 'Blob' || kind === 'File') && (data as Blob).type !== '');
}

function isBinary(data: unknown): boolean {
  const kind = kindOf(data);
  return data instanceof ArrayBuffer || ArrayBuffer.isView(data) || kind === 'Blob' || kind === 'File';
}

function kindOf(data: unknown): unknown {
  return typeof data === 'object' && data !== null ? (data as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] : undefined;
}

function methodOf(method: unknown = 'GET'): string {
  // A name as HTTP has them, and none that a runtime refuses to send.
  if (typeof method !== 'string' || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(method) || /^(CONNECT|TRACE|TRACK)$/i.test(method)) {
    throw new ConfigError('method', 'give the name of a method, like GET or POST');
  }
  return method.toUpperCase();
}

/** What can be sent as the value of a header field. */
export function headerValue(field: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new ConfigError(field, 'give a text that can be the value of a header field');
  }
  return value;
}

function attemptTimeout(timeout: number): number {
  if (milliseconds('timeout', timeout) === 0) {
    throw new ConfigError('timeout', 'it cannot be zero; Infinity is none');
  }
  return timeout;
}

function correlation(config: RequestConfig, ofClient: string | undefined, defaults: RequestDefaults): string | undefined {
  if (config.correlationId === false) return undefined;
  if (config.correlationId !== undefined) return headerValue('correlationId', config.correlationId);
  return ofClient ?? (defaults.correlationIds ? crypto.randomUUID() : undefined);
}

function scopeBy(
  method: string,
  url: string,
  isOwn: boolean,
  { scopeBy, root }: RequestDefaults,
  instance: Instance,
): string | readonly string[] | undefined {
  if (typeof scopeBy === 'function') return scopeBy(method, new URL(url));
  if (!isOwn) return new URL(url).origin;
  if (scopeBy === 'client') return undefined;
  const path = /^[^?#]*/.exec(url.slice(root.length))![0];
  return scopeBy === 'published' ? instance.Engine.published_scopes(method, path).split('\0') : instance.Engine.api_family(path);
}
