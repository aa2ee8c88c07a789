/** Token fetches: the request is built, and its answer read, in the engine's memory. */

import { readBody, TooLarge } from './body.js';
import { ConfigError, type ErrorDetails } from './errors.js';
import type { WasmCredentials } from './generated/glue.js';
import { Failure, type Host, type TokenSource } from './host.js';
import { classify, signalsOf } from './http.js';
import type { Transport, TransportResponse } from './transport.js';
import { trapped } from './wasm.js';

/** The longest answer that is read: one with a token is small. */
const LONGEST_ANSWER = 64 * 1024;
const GRANTED = 4;
const NETWORK = 1;
const UNSENDABLE = 3;

export class Tokens implements TokenSource {
  readonly #credentials: WasmCredentials;
  readonly #url: URL;
  readonly #transport: Transport;
  readonly #headers: Record<string, string>;
  readonly #signalHeaders: string[];
  readonly #host: Host;
  #fetching: { generation: number; controller: AbortController } | undefined;
  #trouble: ErrorDetails = {};
  #value: { generation: number; authorization: string } | undefined;

  constructor(
    host: Host,
    credentials: WasmCredentials,
    url: URL,
    transport: Transport,
    userAgent: string | undefined,
    signalHeaders: string[],
  ) {
    this.#host = host;
    this.#credentials = credentials;
    this.#url = url;
    this.#transport = transport;
    this.#signalHeaders = signalHeaders;
    this.#headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' };
    if (userAgent !== undefined) this.#headers['user-agent'] = userAgent;
    if (credentials.leak_in(url.search.slice(1))) {
      throw new ConfigError('tokenUrl', 'secrets do not belong into a URL: use clientId and clientSecret');
    }
  }

  fetch(generation: number): void {
    const controller = new AbortController();
    this.#fetching = { generation, controller };
    this.#fetch(generation, controller.signal).catch((error: unknown) => {
      if (error instanceof WebAssembly.RuntimeError) {
        trapped(this.#host.instance, error);
      } else {
        // What a transport gave is no answer.
        this.#trouble = { cause: error };
        this.#host.tokenFailed(generation, UNSENDABLE, 0, '');
      }
    });
  }

  abort(generation: number): void {
    if (this.#fetching?.generation === generation) this.stop();
  }

  stop(): void {
    this.#fetching?.controller.abort();
    this.#fetching = undefined;
    this.#trouble = {};
  }

  /** The value for `Authorization`. */
  authorization(generation: number): string | undefined {
    if (this.#value?.generation !== generation) {
      const token = this.#credentials.token(generation);
      if (token === undefined) return undefined;
      this.#value = { generation, authorization: `Bearer ${token}` };
    }
    return this.#value.authorization;
  }

  /** Why the last fetch failed, for the errors of those who waited for it. */
  get trouble(): ErrorDetails {
    return this.#trouble;
  }

  async #fetch(generation: number, signal: AbortSignal): Promise<void> {
    let response: TransportResponse;
    let body: Uint8Array;
    try {
      const authorization = this.#credentials.authorization();
      const headers = authorization === undefined ? this.#headers : { ...this.#headers, authorization };
      const request = { method: 'POST', url: this.#url.href, headers, body: this.#credentials.form(), signal };
      response = await this.#transport.send(request);
      body = await read(response);
    } catch (cause) {
      if (this.#over(generation)) return;
      this.#trouble = { cause };
      const unsendable = classify(cause) === Failure.Unsendable;
      this.#host.tokenFailed(generation, unsendable ? UNSENDABLE : NETWORK, 0, '');
      return;
    }
    // A fetch that was ended is forgotten.
    if (this.#over(generation)) return;
    const read_ = this.#credentials.read(generation, response.status, body);
    if (read_ === GRANTED) {
      this.#trouble = {};
      this.#host.token(generation, this.#credentials.lifetime());
      return;
    }
    // The body stays unsaid: it may hold a token after all, under a name that nobody knows.
    const cause = new Error(this.#credentials.problem());
    const statusText = this.#host.instance.Engine.status_text(response.status);
    this.#trouble = { status: response.status, statusText, headers: response.headers(), cause };
    this.#host.tokenFailed(generation, read_, response.status, signalsOf(response, this.#signalHeaders) ?? '');
  }

  #over(generation: number): boolean {
    if (this.#fetching?.generation !== generation) return true;
    this.#fetching = undefined;
    return false;
  }
}

/** What is beyond the limit makes an answer unreadable. */
async function read(response: TransportResponse): Promise<Uint8Array> {
  try {
    return (await readBody(response, LONGEST_ANSWER, true)) as Uint8Array;
  } catch (error) {
    if (error instanceof TooLarge) return new Uint8Array();
    throw error;
  }
}
