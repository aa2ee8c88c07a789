/** Sends by undici, which does much less for an answer than `fetch`, and knows proxies. */

import { makeResponse, type Ending, type Payload, type Transport, type TransportResponse } from './transport.js';

/** What is used of undici: give the module, or an object with its `request`. */
export interface Undici {
  request(url: string, options: any): Promise<UndiciResponse>;
  getGlobalDispatcher?(): unknown;
  util?: { parseHeaders(headers: any): Fields };
}

type Fields = Record<string, string | string[] | undefined>;

interface UndiciResponse {
  statusCode: number;
  headers: Fields;
  body: AsyncIterable<Uint8Array> & {
    text(): Promise<string>;
    arrayBuffer(): Promise<ArrayBuffer>;
    destroy(error?: Error): unknown;
    on(event: 'error', listener: () => void): unknown;
  };
}

/** The settings of the transport. */
export interface UndiciOptions {
  /** A `Dispatcher` of that same module: an `Agent`, a `ProxyAgent`, a `Pool`. Default: its global one. */
  dispatcher?: unknown;
}

/**
 * A transport for `new CxoneClient({ transport })`:
 *
 * ```js
 * import * as undici from 'undici';
 * import { undiciTransport } from 'cxone-client/undici';
 * const transport = undiciTransport(undici, { dispatcher: new undici.ProxyAgent(url) });
 * ```
 */
export function undiciTransport(undici: Undici, { dispatcher }: UndiciOptions = {}): Transport {
  if (typeof undici?.request !== 'function') throw new TypeError("undici: give the module, import * as undici from 'undici'");
  return {
    send(request) {
      const { method, url, ending } = request;
      const { body, headers } = toUndici(request.body, request.headers);
      // Times are the engine's to keep: undici's own ones would cut longer attempts short.
      const [headersTimeout, bodyTimeout] = [0, 0];
      if (request.whole && ending) {
        const to = (dispatcher ?? undici.getGlobalDispatcher?.()) as Dispatcher | undefined;
        if (typeof to?.dispatch === 'function') {
          return new Promise((resolve, reject) => {
            const start = url.indexOf('/', 8); // after http:// or https://
            const hash = url.indexOf('#', start);
            const [origin, path] = [url.slice(0, start), url.slice(start, hash < 0 ? url.length : hash)];
            const exchange = new Exchange(url, ending, undici, resolve, reject);
            to.dispatch({ origin, path, method, headers, body, headersTimeout, bodyTimeout }, exchange);
          });
        }
      }
      const signal = ending ?? request.signal;
      const options = { method, headers, body, signal, dispatcher, headersTimeout, bodyTimeout };
      return undici.request(url, options).then((response) => new Answer(response, url));
    },
  };
}

/** What is used of a `Dispatcher`: its public way below `request`. */
interface Dispatcher {
  dispatch(options: object, handler: object): unknown;
}

/** What a handler may do with what it is told of. */
interface Controller {
  abort(reason: unknown): void;
  pause(): void;
  resume(): void;
}

/** So many bytes may lie about before anybody asks for them. */
const MOST_UNREAD = 64 * 1024;

/**
 * A handler for undici's dispatchers that keeps the whole answer. Its `request` makes a Node.js
 * stream of each body, which takes as long as everything else that is done for a short one.
 */
class Exchange implements TransportResponse {
  declare readonly url: string;
  declare status: number;
  declare private fields: Fields;
  declare private readonly ending: Ending;
  declare private readonly undici: Undici;
  declare private readonly resolve: (response: TransportResponse) => void;
  declare private readonly reject: (error: unknown) => void;
  declare private controller: Controller | undefined;
  declare private chunks: Uint8Array[];
  declare private unread: number;
  declare private paused: boolean;
  /** Nothing more will come; with the error, if that is why. */
  declare private over: { error?: unknown } | undefined;
  /** Is told of news. */
  declare private awaited: (() => void) | undefined;
  /** Somebody wants what comes, whatever it is. */
  declare private wanted: boolean;

  constructor(url: string, ending: Ending, undici: Undici, resolve: (response: TransportResponse) => void, reject: (error: unknown) => void) {
    this.url = url;
    this.status = 0;
    this.fields = {};
    this.ending = ending;
    this.undici = undici;
    this.resolve = resolve;
    this.reject = reject;
    this.controller = undefined;
    this.chunks = [];
    this.unread = 0;
    this.paused = false;
    this.over = undefined;
    this.awaited = undefined;
    this.wanted = false;
    ending.addEventListener('abort', () => this.controller?.abort(ending.reason));
  }

  // What a dispatcher calls.
  onRequestStart(controller: Controller): void {
    this.controller = controller;
    if (this.ending.aborted) controller.abort(this.ending.reason);
  }
  onResponseStart(_: unknown, status: number, fields: Fields): void {
    if (status < 200) return; // the answer is still to come
    this.status = status;
    this.fields = fields;
    this.resolve(this);
  }
  onResponseData(_: unknown, chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.unread += chunk.length;
    if (this.unread > MOST_UNREAD && !this.wanted) {
      this.paused = true;
      this.controller?.pause();
    }
    this.awaited?.();
  }
  onResponseEnd(): void {
    this.over = {};
    this.awaited?.();
  }
  onResponseError(_: unknown, error: unknown): void {
    this.over = { error };
    this.reject(error);
    this.awaited?.();
  }

  // The same as undici 6 calls it.
  onConnect(abort: (reason: unknown) => void): void {
    this.onRequestStart({ abort, pause() {}, resume() {} });
  }
  onHeaders(status: number, raw: unknown, resume: () => void): boolean {
    this.controller!.resume = resume;
    this.onResponseStart(undefined, status, this.undici.util!.parseHeaders(raw));
    return !this.paused;
  }
  onData(chunk: Uint8Array): boolean {
    this.onResponseData(undefined, chunk);
    return !this.paused;
  }
  onComplete(): void {
    this.onResponseEnd();
  }
  onError(error: unknown): void {
    this.onResponseError(undefined, error);
  }

  header(name: string): string | null {
    return fieldOf(this.fields, name);
  }
  headers(): Headers {
    return headersOf(this.fields);
  }
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream(
      {
        pull: async (controller) => {
          while (this.chunks.length === 0 && !this.over) await this.#more();
          for (const chunk of this.chunks) controller.enqueue(new Uint8Array(chunk));
          const { length } = this.chunks;
          this.chunks = [];
          this.unread = 0;
          if (length > 0 || !this.over) return;
          if ('error' in this.over) controller.error(this.over.error);
          else controller.close();
        },
        cancel: (reason) => this.controller?.abort(reason ?? new Error('nobody wants the rest')),
      },
      { highWaterMark: 0 },
    );
  }
  async text(): Promise<string> {
    const text = (await this.#all()).toString();
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text; // as `fetch` does
  }
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.#all());
  }
  response(): Response {
    return makeResponse(this.stream(), this.status, '', this.headers(), this.url);
  }

  async #all(): Promise<Buffer> {
    this.wanted = true;
    while (!this.over) await this.#more();
    if ('error' in this.over) throw this.over.error;
    return (this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks)) as Buffer;
  }

  /** Resolves when there is news. */
  #more(): Promise<void> {
    if (this.paused) {
      this.paused = false;
      this.controller?.resume();
    }
    return new Promise((resolve) => (this.awaited = resolve));
  }
}

class Answer implements TransportResponse {
  readonly status: number;
  readonly url: string;
  readonly #response: UndiciResponse;

  constructor(response: UndiciResponse, url: string) {
    this.#response = response;
    this.status = response.statusCode;
    this.url = url;
    // An abort after the head is told by the reading; where nobody reads it must not be thrown.
    response.body.on('error', () => {});
  }
  header(name: string): string | null {
    return fieldOf(this.#response.headers, name);
  }
  headers(): Headers {
    return headersOf(this.#response.headers);
  }
  stream(): ReadableStream<Uint8Array> | null {
    const { body } = this.#response;
    const chunks = body[Symbol.asyncIterator]();
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(new Uint8Array(value));
        },
        cancel() {
          body.destroy();
        },
      },
      { highWaterMark: 0 },
    );
  }
  text(): Promise<string> {
    return this.#response.body.text();
  }
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.#response.body.arrayBuffer());
  }
  response(): Response {
    const empty = [204, 205, 304].includes(this.status);
    // It is read to its end, which comes at once, so that its connection is used again.
    if (empty) void this.text().catch(() => {});
    return makeResponse(empty ? null : this.stream(), this.status, '', this.headers(), this.url);
  }
}

function fieldOf(fields: Fields, name: string): string | null {
  const value = fields[name];
  return value === undefined ? null : typeof value === 'string' ? value : value.join(', ');
}

function headersOf(fields: Fields): Headers {
  const headers = new Headers();
  for (const name in fields) {
    const values = fields[name]!;
    if (typeof values === 'string') headers.append(name, bytes(values));
    else for (const value of values) headers.append(name, bytes(value));
  }
  return headers;
}

/** undici reads bytes as UTF-8 where fetch reads them as Latin-1, which is all that Headers take. */
function bytes(value: string): string {
  return /[^\0-\xff]/.test(value) ? latin1(value) : value;
}

/** What undici's `request` does not take by itself is brought into a form that it takes. */
function toUndici(body: Payload | undefined, headers: Record<string, string>): { body: unknown; headers: Record<string, string> } {
  if (body === undefined || typeof body === 'string') return { body, headers };
  if (body instanceof URLSearchParams || body instanceof Blob || body instanceof FormData || body instanceof ReadableStream) {
    // The standard's own serialisation, with the Content-Type that belongs to it.
    const { headers: own, body: stream } = new Response(body);
    const type = own.get('content-type');
    // The headers are those of all sendings, and a boundary is that of one.
    return { body: stream, headers: type === null ? headers : { 'content-type': type, ...headers } };
  }
  return { body: body instanceof ArrayBuffer ? new Uint8Array(body) : body, headers };
}

function latin1(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('');
}
