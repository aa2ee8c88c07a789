/// <reference lib="esnext.disposable" preserve="true" />
/** The client. */

import { environment, type Environment } from './env.js';
import { ConfigError } from './errors.js';
import type { CxoneEventMap } from './events.js';
import { AUTH, errorOf, Failure, Host, isTokenFailure, now, Task, type Failed } from './host.js';
import { FetchTask, WholeTask, type CxoneResponse, type Wire } from './http.js';
import { Pagination, type PaginateOptions } from './paginate.js';
import { headersOf, headerValue, isAbsolute, outgoing, urlOf, RequestDefaults, type Data, type Redirect, type RequestConfig, type RequestOptions, type ScopeBy } from './request.js';
import type { HeaderFields, Listener, ListenerOptions, UnlistenerOptions } from './runtime.js';
import { encodeSettings, known, milliseconds, object, SETTINGS, type EngineSettings } from './settings.js';
import { checkSignal, Signals, type Watch } from './signals.js';
import { statsOf, type Stats } from './stats.js';
import { Tokens } from './token.js';
import { fetchTransport, type Payload, type Transport } from './transport.js';
import { currentPlatform, init, instance, signalHeaders, type Instance, type WasmSource } from './wasm.js';

declare const __VERSION__: string;

/** The items of {@link CxoneClient.interactions}. */
const INTERACTIONS = '/api/v2.0/interactions';

/** Where NICE's own platform is discovered. */
const PLATFORM_ISSUER = 'https://cxone.niceincontact.com';

/** The largest body that is read into memory by default: 64 MiB. */
const MAX_BODY = 64 * 1024 * 1024;

/** The names of all settings. */
const OPTIONS: Record<keyof Address | keyof CommonOptions, 1> = {
  ...SETTINGS,
  baseUrl: 1, accessKeyId: 1, accessKeySecret: 1, tokenUrl: 1, issuer: 1, clientId: 1, clientSecret: 1, scope: 1, clientAuth: 1, scopeBy: 1,
  headers: 1, userAgent: 1, correlationIds: 1, followRedirects: 1, maxBody: 1, fetch: 1, transport: 1, wasm: 1,
};

/** The settings of a client. Every default is the value we would choose. */
export type ClientOptions = CommonOptions & WhereOptions;

/** Where the APIs are, or who finds that out: a base URL, an access key, or both. */
export type WhereOptions = Address & (Required<Pick<Address, 'baseUrl'>> | Required<Pick<Address, 'accessKeyId' | 'accessKeySecret'>>);

interface Address {
  /** The URL under which the APIs are: `https://YOUR_SUBDOMAIN.api.nicecxone.com`. It may have a path. Required, unless there is an access key: then it is discovered. */
  baseUrl?: string | URL;
  /** Signs in to NICE's own platform with an access key of a user, beside `clientId` and `clientSecret`. */
  accessKeyId?: string;
  /** Its secret. It is sent to the token endpoint only, and never shown. */
  accessKeySecret?: string;
}

/** The settings of a client, but for where the APIs are. */
export interface CommonOptions extends EngineSettings {
  /** The token endpoint. Default: `oauth2/token` under the base URL; discovered, where there is an issuer or an access key. */
  tokenUrl?: string | URL;
  /** Where endpoints are discovered. Default, with an access key: `https://cxone.niceincontact.com`; the government's cloud is `https://cxone-gov.niceincontact.com`. */
  issuer?: string | URL;
  /** For the OAuth 2.0 client credentials grant. Without id and secret requests carry no token. */
  clientId?: string;
  /** The secret. It is sent to the token endpoint only, and never shown. */
  clientSecret?: string;
  /** The OAuth scope to ask for; `null` asks for none. Default: `contact-center-api` of a gateway, none where there is an issuer or an access key. */
  scope?: string | null;
  /** How id and secret travel: in the form `body`, or as HTTP `basic`. Default: `basic` with an access key, else `body`. */
  clientAuth?: 'body' | 'basic';
  /** How a request that names no scope is given one: one for the whole `client` (the default), one for each API `family`, those of NICE's `published` limits, which it starts from (the default with an access key), or a rule of your own. A refusal pauses its scope only. */
  scopeBy?: ScopeBy;
  /** Sent with each request to the base URL's origin. */
  headers?: HeaderFields;
  /** Default `cxone-client/VERSION`; browsers send their own. */
  userAgent?: string;
  /** Does each request carry an `X-Correlation-ID`? Default true; switch it off where CORS forbids it. */
  correlationIds?: boolean;
  /** Are redirects of GET and HEAD on the same origin followed? Default true. Those that are not resolve with their 3xx, and `headers.get('location')`; pages cannot see a redirect: there `true` leaves all of them to the browser, and `false` makes them fail. */
  followRedirects?: boolean;
  /** The largest body in bytes that is read into memory. Default 64 MiB. */
  maxBody?: number;
  /** Used in place of the global `fetch`. As that does, it has to reject soon when its `signal` fires: timeouts and `close()` wait for it. */
  fetch?: typeof globalThis.fetch;
  /** Used in place of any `fetch`: see `cxone-client/undici`. */
  transport?: Transport;
  /** The engine's WebAssembly, where the package cannot find it itself. */
  wasm?: WasmSource;
}

/** What {@link CxoneClient.fetch} takes: what `fetch` takes, and more. */
export interface FetchInit extends RequestOptions {
  /** Default `GET`. */
  method?: string;
  /** What `fetch` takes as a body. */
  body?: Payload | null;
  /** As of `fetch`, but `follow` (the default) follows only what the client follows: see `followRedirects`. Pages cannot see a redirect: there `manual` fails as `error` does. */
  redirect?: Redirect;
}

/** How {@link CxoneClient.close} treats what was accepted before. */
export interface CloseOptions {
  /** It still runs to its end, waits included (the default); else it fails now as a `ClosedError`. */
  drain?: boolean;
}

/**
 * A client for one tenant of NICE CXone. A request waits for its turn in a queue of three classes,
 * is sent when the server allows it, and is sent again where that is safe. Its caller sees the
 * answer, or an error that says what went wrong and when trying again makes sense.
 */
export class CxoneClient extends EventTarget {
  /** @internal */
  static override readonly name: string = 'CxoneClient';
  readonly #instance: Instance;
  readonly #host: Host;
  readonly #wire: Wire;
  readonly #defaults: RequestDefaults;
  readonly #signals = new Signals();

  /**
   * In Node.js, Deno and Bun. Elsewhere: {@link CxoneClient.create}.
   * @throws {ConfigError} which names the option that cannot be used.
   */
  constructor(options: ClientOptions) {
    super();
    object('options', options);
    known('', options, OPTIONS);
    const { redirect, userAgent: mayHaveUserAgent } = currentPlatform();
    const keyId = string('accessKeyId', options.accessKeyId);
    const keySecret = string('accessKeySecret', options.accessKeySecret);
    const platform = options.accessKeyId !== undefined || options.accessKeySecret !== undefined;
    const issuer = options.issuer !== undefined ? parseUrl('issuer', options.issuer) : platform ? new URL(PLATFORM_ISSUER) : undefined;
    const findApi = platform && options.baseUrl === undefined;
    const base = findApi ? new URL(issuer!.origin) : parseUrl('baseUrl', options.baseUrl);
    if (base.search) throw new ConfigError('baseUrl', 'it cannot have a query');
    const id = string('clientId', options.clientId);
    const secret = string('clientSecret', options.clientSecret);
    if (id && !secret) throw new ConfigError('clientSecret', 'it is empty or missing: set CXONE_CLIENT_SECRET');
    if ((options.clientId !== undefined || options.clientSecret !== undefined) && !id) {
      throw new ConfigError('clientId', 'it is empty or missing: set CXONE_CLIENT_ID');
    }
    if (platform && !keyId) throw new ConfigError('accessKeyId', 'it is empty or missing: set CXONE_ACCESS_KEY_ID');
    if (platform && !keySecret) throw new ConfigError('accessKeySecret', 'it is empty or missing: set CXONE_ACCESS_KEY_SECRET');
    if (platform && !id) throw new ConfigError('clientId', 'it is missing: an access key needs a client, too; set CXONE_CLIENT_ID');
    check(options);
    const scopeBy = options.scopeBy ?? (platform ? 'published' : 'client');
    const transport = options.transport ?? fetchTransport(redirect, options.fetch);
    const userAgent = mayHaveUserAgent ? (options.userAgent ?? `cxone-client/${__VERSION__}`) : options.userAgent;
    const headers = headersOf(options.headers);
    if (userAgent !== undefined) headers['user-agent'] ??= headerValue('userAgent', userAgent);

    this.#instance = instance(options.wasm);
    const matter = signalHeaders(this.#instance, options.reading?.msHeaders);
    let tokens: Tokens | undefined;
    this.#host = new Host(
      this.#instance,
      options,
      now,
      this,
      id && secret
        ? (host) => {
            const scope = options.scope === null ? undefined : (options.scope ?? (issuer ? undefined : 'contact-center-api'));
            const basic = (options.clientAuth ?? (platform ? 'basic' : 'body')) === 'basic';
            const given = options.tokenUrl !== undefined ? parseUrl('tokenUrl', options.tokenUrl) : undefined;
            const url = given ?? (issuer ? undefined : new URL(`${base.href.replace(/\/+$/, '')}/oauth2/token`));
            const texts = [id, secret, scope, keyId, keySecret, issuer?.href, url?.href].map((it) => `${it ?? ''}\0`).join('');
            const credentials = new this.#instance.Credentials(texts, (basic ? 1 : 0) | (findApi ? 2 : 0));
            if (given && credentials.leak_in(given.search.slice(1))) {
              throw new ConfigError('tokenUrl', 'secrets do not belong into a URL: use clientId and clientSecret');
            }
            const found = (api: string) => {
              this.#defaults.place(new URL(api));
            };
            return (tokens = new Tokens(host, credentials, found, transport, headers['user-agent'], matter));
          }
        : undefined,
      scopeBy === 'published',
    );
    this.#defaults = new RequestDefaults(base, !findApi, headers, options.correlationIds ?? true, tokens !== undefined, scopeBy);
    const phrases: string[] = [];
    this.#wire = {
      host: this.#host,
      transport,
      signalHeaders: matter,
      authorization: (token) => tokens?.authorization(token),
      tokenTrouble: () => tokens?.trouble ?? {},
      place: (early) => {
        const url = urlOf(this.#defaults, early);
        return this.#defaults.found && url.origin === this.#defaults.origin ? url.href : undefined;
      },
      followRedirects: options.followRedirects ?? true,
      maxBody: options.maxBody ?? MAX_BODY,
      statusText: (status) => (phrases[status] ??= this.#instance.Engine.status_text(status)),
    };
  }

  /** As the constructor, in runtimes that load WebAssembly asynchronously: browsers, workers. */
  static async create(options: ClientOptions): Promise<CxoneClient> {
    await init(options?.wasm);
    return new CxoneClient(options);
  }

  /**
   * A client from the environment, else from a `.env` file in the working directory: for a gateway
   * `CXONE_BASE_URL`, `CXONE_CLIENT_ID`, `CXONE_CLIENT_SECRET` (and `CXONE_TOKEN_URL`); for NICE's
   * own platform `CXONE_ACCESS_KEY_ID` and `CXONE_ACCESS_KEY_SECRET` in place of the first (and
   * `CXONE_ISSUER`). Options win over both.
   */
  static async fromEnv(options: Partial<ClientOptions> = {}): Promise<CxoneClient> {
    const env: Environment = await environment();
    const found: Partial<ClientOptions> = {};
    for (const name of ['baseUrl', 'tokenUrl', 'clientId', 'clientSecret', 'accessKeyId', 'accessKeySecret', 'issuer'] as const) {
      if (env[name] !== undefined) found[name] = env[name];
    }
    const all: Partial<ClientOptions> = { ...found, ...defined(options) };
    const platform = all.accessKeyId !== undefined || all.accessKeySecret !== undefined;
    if (all.baseUrl === undefined && !platform) throw new ConfigError('baseUrl', 'it is missing: set CXONE_BASE_URL');
    if (!all.clientId) throw new ConfigError('clientId', 'it is missing: set CXONE_CLIENT_ID');
    if (!all.clientSecret) throw new ConfigError('clientSecret', 'it is missing: set CXONE_CLIENT_SECRET');
    return CxoneClient.create(all as ClientOptions);
  }

  /**
   * Sends a request and reads the whole answer, as often as it takes: throttles, dead tokens and
   * transient failures are dealt with before the caller sees anything.
   *
   * Rejects with a {@link CxoneError} (4xx and 5xx too), or with the signal's own reason.
   */
  request<T = any>(config: RequestConfig): Promise<CxoneResponse<T>> {
    return new Promise((resolve, reject) => {
      object('config', config);
      const made = outgoing(config, this.#defaults, this.#instance, false);
      this.#accept(new WholeTask(this.#wire, made, config.responseType, resolve, reject), config.signal);
    });
  }

  /** A `GET`. */
  get<T = any>(url: string | URL, config: Omit<RequestConfig, 'url' | 'method'> = {}): Promise<CxoneResponse<T>> {
    return this.request({ ...config, url, method: 'GET' });
  }

  /** A `HEAD`. */
  head(url: string | URL, config: Omit<RequestConfig, 'url' | 'method'> = {}): Promise<CxoneResponse> {
    return this.request({ ...config, url, method: 'HEAD' });
  }

  /** A `DELETE`. */
  delete<T = any>(url: string | URL, config: Omit<RequestConfig, 'url' | 'method'> = {}): Promise<CxoneResponse<T>> {
    return this.request({ ...config, url, method: 'DELETE' });
  }

  /** A `POST`: sent again only if the server refused it or never saw it, unless it has an `idempotencyKey`. `null` is sent as JSON; `undefined` sends no body. */
  post<T = any>(url: string | URL, data?: Data, config: Omit<RequestConfig, 'url' | 'method' | 'data'> = {}): Promise<CxoneResponse<T>> {
    return this.request({ ...config, url, method: 'POST', ...(data === undefined ? {} : { data }) });
  }

  /** A `PUT`. */
  put<T = any>(url: string | URL, data?: Data, config: Omit<RequestConfig, 'url' | 'method' | 'data'> = {}): Promise<CxoneResponse<T>> {
    return this.request({ ...config, url, method: 'PUT', ...(data === undefined ? {} : { data }) });
  }

  /** A `PATCH`, which is retried as a `post` is. */
  patch<T = any>(url: string | URL, data?: Data, config: Omit<RequestConfig, 'url' | 'method' | 'data'> = {}): Promise<CxoneResponse<T>> {
    return this.request({ ...config, url, method: 'PATCH', ...(data === undefined ? {} : { data }) });
  }

  /**
   * Like the global `fetch`, through the queue: resolves with a `Response`, for error statuses
   * too, as soon as its head is there. The slot is free then, and a body that ends early is not
   * retried. Of a `Request` its URL, method, headers, body, signal and
   * redirect are taken; what `init` leaves `undefined` is the `Request`'s. Its body is read into
   * memory, so that it can be sent again; it is not `bodyUsed` afterwards.
   */
  fetch(input: string | URL | Request, init: FetchInit = {}): Promise<Response> {
    return new Promise((resolve, reject) => {
      const from = fromRequest(input);
      const { body, ...config } = { ...from, ...defined(init ?? {}) };
      const data = body ?? from.body;
      const made = outgoing({ ...config, ...(data == null ? {} : { data }) }, this.#defaults, this.#instance, true);
      this.#accept(new FetchTask(this.#wire, made, resolve, reject), config.signal);
    });
  }

  /** @internal The engine's module, for those that go with a client. */
  get instance(): Instance {
    return this.#instance;
  }

  /** @internal As {@link fetch}, but rejects where {@link request} does; the token goes along to the base URL's origin only. */
  stream(config: RequestConfig): Promise<Response> {
    return new Promise((resolve, reject) => {
      const isOwn = !isAbsolute(config.url) || urlOf(this.#defaults, config.url).origin === this.#defaults.origin;
      const made = outgoing(isOwn ? config : { ...config, auth: false }, this.#defaults, this.#instance, true);
      this.#accept(new FetchTask(this.#wire, made, resolve, reject, true), config.signal);
    });
  }

  /** @internal The origin of what is asked for; `undefined` as long as it is not known where the APIs are. */
  originOf(url: string | URL): string | undefined {
    return this.#defaults.found || isAbsolute(url) ? urlOf(this.#defaults, url).origin : undefined;
  }

  /** The items of all pages, fetched as they are read. How the API pages is said by `style`. */
  paginate<T = any>(url: string | URL, options: PaginateOptions = {}): Pagination<T> {
    return new Pagination<T>(this, this.#instance, url, options);
  }

  /** All interactions, 100 a page. */
  interactions<T = any>(options: PaginateOptions = {}): Pagination<T> {
    return this.paginate<T>(INTERACTIONS, options);
  }

  /** The access token that requests carry now; fetched if there is none. */
  accessToken({ signal, deadline }: Pick<RequestOptions, 'signal' | 'deadline'> = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      if (!this.#defaults.hasCredentials) throw new ConfigError('clientId', 'this client has no credentials');
      const task = new TokenTask(this.#wire, resolve, reject);
      checkSignal(signal);
      this.#host.submit(task, 1, 'cxone-client/access-token', AUTH, NaN, milliseconds('deadline', deadline));
      this.#watch(task, signal);
    });
  }

  /** Holds everything back, or one scope. What is in flight finishes; requests are still accepted; deadlines run. */
  pause(scope?: string): void {
    this.#host.pause(scope);
  }

  /** Ends {@link pause}, and never a wait that the server wants. */
  resume(scope?: string): void {
    this.#host.resume(scope);
  }

  /** Changes how many requests may be in flight at once, 1 to 65 535; those that are stay. */
  setConcurrency(n: number): void {
    this.#host.setConcurrency(n);
  }

  /** What the client is doing, in numbers. */
  stats(): Stats {
    return statsOf(this.#host);
  }

  /** Ends the client; resolves when nothing is in flight any more. A drain can be cut short by another call with `drain: false`. */
  close({ drain = true }: CloseOptions = {}): Promise<void> {
    return this.#host.close(drain);
  }

  /** For `await using`: drains and closes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(task: WholeTask | FetchTask, signal: AbortSignal | null | undefined): void {
    checkSignal(signal);
    this.#host.submit(task, task.outgoing.priority, task.outgoing.scopes, task.outgoing.flags, task.outgoing.timeout, task.outgoing.deadline);
    this.#watch(task, signal);
  }

  #watch(task: WholeTask | FetchTask | TokenTask, signal: AbortSignal | null | undefined): void {
    if (signal) task.watched = this.#signals.watch(signal, (reason) => task.aborted(reason));
  }
}

export interface CxoneClient {
  addEventListener<K extends keyof CxoneEventMap>(type: K, listener: ((event: CxoneEventMap[K]) => void) | { handleEvent(event: CxoneEventMap[K]): void } | null, options?: ListenerOptions): void;
  addEventListener(type: string, listener: Listener, options?: ListenerOptions): void;
  removeEventListener<K extends keyof CxoneEventMap>(type: K, listener: ((event: CxoneEventMap[K]) => void) | { handleEvent(event: CxoneEventMap[K]): void } | null, options?: UnlistenerOptions): void;
  removeEventListener(type: string, listener: Listener, options?: UnlistenerOptions): void;
}

/** Waits for a token as any request does, and sends nothing. */
class TokenTask extends Task {
  readonly #wire: Wire;
  readonly #resolve: (token: string) => void;
  readonly #reject: (error: unknown) => void;
  #watch: Watch | undefined;

  constructor(wire: Wire, resolve: (token: string) => void, reject: (error: unknown) => void) {
    super();
    this.#wire = wire;
    this.#resolve = resolve;
    this.#reject = reject;
  }
  set watched(watch: Watch) {
    if (this.ended) watch.end();
    else this.#watch = watch;
  }
  aborted(reason: unknown): void {
    this.#wire.host.cancel(this);
    this.broken(reason);
  }
  send(number: number, token: number): void {
    this.#watch?.end();
    this.#resolve(this.#wire.authorization(token)!.slice('Bearer '.length));
    // Nothing was sent, so nothing is known of the token or of the server.
    this.#wire.host.cancel(this);
    this.#wire.host.failed(this, number, Failure.Aborted);
  }
  body(): void {}
  abort(): void {}
  finish(): void {}
  fail(failed: Failed): void {
    const Class = errorOf(failed);
    const details = isTokenFailure(failed) ? { ...this.#wire.tokenTrouble() } : {};
    if (failed.retryAt) details.retryAt = failed.retryAt;
    this.broken(new Class(failed.message, details));
  }
  broken(error: unknown): void {
    this.#watch?.end();
    this.#reject(error);
  }
}

/** What is not `undefined` of it. */
function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function fromRequest(input: string | URL | Request): Omit<FetchInit, 'body'> & { url: string | URL; body?: Data } {
  if (!(typeof Request !== 'undefined' && input instanceof Request)) return { url: input as string | URL };
  const { url, method, headers, signal, redirect, body } = input;
  // Each sending gets a copy, so that it can be sent again. Firefox says of no Request that it has a body.
  const none = body === null || method === 'GET' || method === 'HEAD';
  return { url, method, headers, signal, redirect, ...(none ? {} : { body: () => input.clone().arrayBuffer() }) };
}

function parseUrl(field: string, value: string | URL | undefined): URL {
  if (value === undefined || value === '') {
    const like = field === 'baseUrl' ? 'https://YOUR_SUBDOMAIN.api.nicecxone.com, or set CXONE_BASE_URL' : 'leave it out, or give a URL';
    throw new ConfigError(field, `it is missing: ${like}`);
  }
  let url;
  try {
    url = new URL(value);
  } catch {
    throw new ConfigError(field, 'it is no absolute URL, like https://YOUR_SUBDOMAIN.api.nicecxone.com');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new ConfigError(field, 'its scheme must be https (or http, for a server under test)');
  }
  if (url.username || url.password) {
    throw new ConfigError(field, 'secrets do not belong into a URL: use clientId and clientSecret');
  }
  url.hash = '';
  return url;
}

/** Checks the types of all options that are used before the engine is made. */
function check(options: ClientOptions): void {
  encodeSettings(options);
  const { scope, clientAuth, scopeBy, correlationIds, followRedirects, maxBody, fetch, transport } = options;
  if (scope !== undefined && scope !== null && (typeof scope !== 'string' || scope.includes('\0'))) throw new ConfigError('scope', 'give a text, or null for none');
  if (clientAuth !== undefined && clientAuth !== 'body' && clientAuth !== 'basic') throw new ConfigError('clientAuth', "choose 'body' or 'basic'");
  if (scopeBy !== undefined && scopeBy !== 'client' && scopeBy !== 'family' && scopeBy !== 'published' && typeof scopeBy !== 'function') {
    throw new ConfigError('scopeBy', "choose 'client', 'family' or 'published', or give a function");
  }
  for (const [field, value] of Object.entries({ correlationIds, followRedirects })) {
    if (value !== undefined && typeof value !== 'boolean') throw new ConfigError(field, 'choose true or false');
  }
  if (maxBody !== undefined && !(typeof maxBody === 'number' && maxBody >= 0)) throw new ConfigError('maxBody', 'give bytes, 0 or more');
  if (fetch !== undefined && typeof fetch !== 'function') throw new ConfigError('fetch', 'give a function like the global fetch');
  if (transport !== undefined && typeof transport?.send !== 'function') {
    throw new ConfigError('transport', 'give an object with a function `send`, like undiciTransport(undici)');
  }
}

function string(field: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || value.includes('\0')) throw new ConfigError(field, 'give a text');
  return value;
}
