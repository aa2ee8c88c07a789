/** Sends by undici's own `request`, which does much less for an answer than `fetch`, and knows proxies. */

import { makeResponse, type Payload, type Transport, type TransportResponse } from './transport.js';

/** What is used of undici: give the module, or an object with its `request`. */
export interface Undici {
  request(url: string, options: any): Promise<UndiciResponse>;
}

interface UndiciResponse {
  statusCode: number;
  headers: Record<string, string | string[] | undefined>;
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
    async send(request) {
      const { method, url } = request;
      const { body, headers } = toUndici(request.body, request.headers);
      const signal = request.ending ?? request.signal;
      // Times are the engine's to keep: undici's own ones would cut longer attempts short.
      const options = { method, headers, body, signal, headersTimeout: 0, bodyTimeout: 0, dispatcher };
      return new Answer(await undici.request(url, options), url);
    },
  };
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
    const value = this.#response.headers[name];
    return value === undefined ? null : typeof value === 'string' ? value : value.join(', ');
  }
  headers(): Headers {
    const headers = new Headers();
    for (const [name, values] of Object.entries(this.#response.headers)) {
      for (const value of Array.isArray(values) ? values : [values]) {
        if (value === undefined) continue;
        // undici reads bytes as UTF-8 where fetch reads them as Latin-1, which is all that Headers take.
        headers.append(name, /[^\0-\xff]/.test(value) ? latin1(value) : value);
      }
    }
    return headers;
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
