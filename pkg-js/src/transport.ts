/** How a request gets onto the wire. */

import type { ResponseBody } from './runtime.js';

/** A body that can be sent. */
export type Payload = string | ArrayBuffer | ArrayBufferView | Blob | FormData | URLSearchParams | ReadableStream | AsyncIterable<Uint8Array>;

/** One sending. */
export interface TransportRequest {
  method: string;
  url: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: Payload | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** The same, for who only listens: a real signal is dear, and made only when it is asked for. */
  readonly ending?: Ending;
  /** The body of the answer will be read to its end, or given up: nobody streams it. */
  readonly whole?: boolean;
  /** A redirect is the answer, and never followed, whatever the transport does with others. */
  readonly redirect?: 'manual' | undefined;
}

/** A controller that was never used to abort, and how many sendings have had it. */
interface Shared {
  controller: AbortController;
  uses: number;
}

/** To make a controller takes Node.js a tenth of the time of a whole `fetch`. */
const spare: Shared[] = [];
const MOST_SPARE = 64;
/** Its `fetch` forgets a signal only when it is collected. */
const MOST_USES = 16;

/** What ends one sending, and its signal for those who need a real one. */
export class Ending {
  declare aborted: boolean;
  declare reason: unknown;
  declare private controller: AbortController | undefined;
  declare private shared: Shared | undefined;
  declare private listeners: (() => void)[] | undefined;

  constructor() {
    this.aborted = false;
    this.reason = undefined;
    this.controller = undefined;
    this.shared = undefined;
    this.listeners = undefined;
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.aborted) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  /** The same, for who lets go of it when the body was read: then others get it. */
  get sharedSignal(): AbortSignal {
    if (!this.controller) {
      this.shared = spare.pop() ?? { controller: new AbortController(), uses: 0 };
      this.controller = this.shared.controller;
    }
    return this.controller.signal;
  }

  /** What it could end has ended by itself. */
  over(): void {
    const shared = this.shared;
    if (!shared || this.aborted) return;
    this.shared = undefined;
    this.controller = undefined;
    shared.uses += 1;
    if (shared.uses < MOST_USES && spare.length < MOST_SPARE) spare.push(shared);
  }

  /** As of a signal, and so undici takes it for one. */
  addEventListener(_: 'abort', listener: () => void): void {
    (this.listeners ??= []).push(listener);
  }

  removeEventListener(_: 'abort', listener: () => void): void {
    this.listeners = this.listeners?.filter((it) => it !== listener);
  }

  abort(reason?: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason ?? new DOMException('This operation was aborted', 'AbortError');
    this.controller?.abort(this.reason);
    const listeners = this.listeners ?? [];
    this.listeners = undefined;
    for (const listener of listeners) listener();
  }
}

/** The answer to it, its body unread. */
export interface TransportResponse {
  status: number;
  /** Where it came from, redirects followed by the runtime included. */
  url: string;
  /** A header field by its name in lower case, duplicates joined by `, `. */
  header(name: string): string | null;
  headers(): Headers;
  /** Chunks of the body; `null` if it has none. */
  stream(): ReadableStream<Uint8Array> | null;
  text(): Promise<string>;
  bytes(): Promise<Uint8Array>;
  /** The answer as a global `Response`. */
  response(): Response;
}

/** Sends requests: the global `fetch` by default, or `undiciTransport` of `cxone-client/undici`. */
export interface Transport {
  /**
   * Resolves when the head of the answer is there; rejects if there is none.
   *
   * It has to heed `request.signal`: when that fires before the head, reject soon; after it, end the
   * body, so that whoever reads it is told. The slot of a request is free only when its transport
   * has ended. One that ignores the signal keeps timeouts and `close()` waiting for as long as it
   * likes itself.
   */
  send(request: TransportRequest): Promise<TransportResponse>;
}

/** Why an answer is none to who follows no redirect. */
export const REDIRECTED = 'it redirects, which is not followed';

/** Sends by `fetch`, the runtime's own unless another is given. */
export function fetchTransport(redirect: 'manual' | 'follow', fetch?: typeof globalThis.fetch): Transport {
  return {
    async send(request) {
      const { method, url, headers, body, ending } = request;
      // A `fetch` of somebody else's may keep the signal.
      const signal = fetch || !ending ? request.signal : ending.sharedSignal;
      const init: RequestInit & { duplex?: 'half' } = { method, headers, signal, redirect: request.redirect ?? redirect };
      if (body !== undefined) {
        init.body = body as BodyInit;
        // A stream has to say so (Fetch standard); there is no other value.
        if (isStream(body)) init.duplex = 'half';
      }
      // The global one is looked up late, so that it can be replaced, and called as it wants it.
      const answer = await (fetch ? fetch(url, init) : globalThis.fetch(url, init));
      // A browser tells that there is one, and nothing of it.
      if (answer.type === 'opaqueredirect') throw Object.assign(new TypeError(REDIRECTED), { code: 'ERR_INVALID_REDIRECT' });
      return new FetchResponse(answer);
    },
  };
}

/** Can it be read only once? */
export function isStream(body: unknown): boolean {
  return body instanceof ReadableStream || (typeof body === 'object' && body !== null && Symbol.asyncIterator in body);
}

/** A global `Response`, also with a status that its constructor does not take. */
export function makeResponse(body: ResponseBody | null, status: number, statusText: string, headers: Headers, url: string): Response {
  const empty = status === 204 || status === 205 || status === 304;
  const usual = status >= 200 && status <= 599;
  const made = new Response(empty ? null : body, { status: usual ? status : 500, statusText, headers });
  Object.defineProperty(made, 'url', { value: url });
  if (!usual) Object.defineProperty(made, 'status', { value: status });
  return made;
}

class FetchResponse implements TransportResponse {
  declare readonly status: number;
  declare private readonly answer: Response;
  declare private fields: Record<string, string> | undefined;

  constructor(response: Response) {
    this.answer = response;
    this.status = response.status;
    this.fields = undefined;
  }
  get url(): string {
    return this.answer.url;
  }
  header(name: string): string | null {
    // Each `get` of theirs costs as much as to go through all fields, and some twenty are asked for.
    const { headers } = this.answer;
    // What stands in for a `Response` in a test may have no more than a `get`.
    if (!(headers as Partial<Iterable<unknown>>)[Symbol.iterator]) return headers.get(name);
    this.fields ??= Object.fromEntries(headers);
    return this.fields[name] ?? null;
  }
  headers(): Headers {
    return this.answer.headers;
  }
  stream(): ReadableStream<Uint8Array> | null {
    return this.answer.body;
  }
  text(): Promise<string> {
    return this.answer.text();
  }
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.answer.arrayBuffer());
  }
  response(): Response {
    return this.answer;
  }
}
