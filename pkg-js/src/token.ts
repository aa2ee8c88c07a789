/** Token fetches: the request is built, and its answer read, in the engine's memory. */

import { readBody, TooLarge } from './body.js';
import type { ErrorDetails } from './errors.js';
import type { WasmCredentials } from './generated/glue.js';
import { Failure, type Host, type TokenSource } from './host.js';
import { classify, signalsOf } from './http.js';
import type { Transport, TransportResponse } from './transport.js';
import { trapped } from './wasm.js';

/** The longest answer that is read: one with a token is small. */
const LONGEST_ANSWER = 64 * 1024;
const GRANTED = 4;
const MORE = 5;
const NETWORK = 1;
const UNSENDABLE = 3;

export class Tokens implements TokenSource {
  readonly #credentials: WasmCredentials;
  /** Is told where the tenant's APIs are. */
  readonly #found: (api: string) => void;
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
    found: (api: string) => void,
    transport: Transport,
    userAgent: string | undefined,
    signalHeaders: string[],
  ) {
    this.#host = host;
    this.#credentials = credentials;
    this.#found = found;
    this.#transport = transport;
    this.#signalHeaders = signalHeaders;
    this.#headers = { accept: 'application/json' };
    if (userAgent !== undefined) this.#headers['user-agent'] = userAgent;
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

  /** One request after the other until there is a token: where its endpoint is, the token, where the APIs are. */
  async #fetch(generation: number, signal: AbortSignal): Promise<void> {
    this.#credentials.start();
    while (await this.#exchange(generation, signal));
  }

  /** Does another one follow? */
  async #exchange(generation: number, signal: AbortSignal): Promise<boolean> {
    let response: TransportResponse;
    let body: Uint8Array;
    try {
      const headers = { ...this.#headers };
      const [url, form, authorization] = this.#credentials.request().split('\0') as [string, string, string];
      if (authorization) headers['authorization'] = authorization;
      if (form) headers['content-type'] = 'application/x-www-form-urlencoded';
      response = await this.#transport.send({ method: form ? 'POST' : 'GET', url, headers, body: form || undefined, signal, redirect: 'manual' });
      body = await read(response);
    } catch (cause) {
      if (this.#over(generation)) return false;
      this.#trouble = { cause };
      const unsendable = classify(cause) === Failure.Unsendable;
      this.#host.tokenFailed(generation, unsendable ? UNSENDABLE : NETWORK, 0, '');
      return false;
    }
    // A fetch that was ended is forgotten.
    if (this.#fetching?.generation !== generation) return false;
    const read_ = this.#credentials.read(generation, response.status, body);
    if (read_ === MORE) return true;
    this.#fetching = undefined;
    if (read_ === GRANTED) {
      this.#trouble = {};
      const api = this.#credentials.api();
      if (api !== undefined) this.#found(api);
      this.#host.token(generation, this.#credentials.lifetime());
      return false;
    }
    // The body stays unsaid: it may hold a token after all, under a name that nobody knows.
    const cause = new Error(this.#credentials.problem());
    const statusText = this.#host.instance.Engine.status_text(response.status);
    this.#trouble = { status: response.status, statusText, headers: response.headers(), cause };
    this.#host.tokenFailed(generation, read_, response.status, signalsOf(response, this.#signalHeaders) ?? '');
    return false;
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
