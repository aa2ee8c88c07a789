/** An adapter for axios v1: `axios.create({ adapter: cxoneAdapter(client, axios) })`. */

import type { AxiosAdapter, AxiosResponse, InternalAxiosRequestConfig } from 'axios';

import type { CxoneClient } from './client.js';
import type { CxoneError } from './errors.js';
import type { Priority } from './request.js';

/** What may be said of a request beside axios's own settings. */
export interface CxoneAxiosOptions {
  /** Its class. */
  priority?: Priority;
  /** Milliseconds allowed to the whole request. */
  deadline?: number;
  /** The scope whose limit it consumes. */
  scope?: string | readonly string[];
  /** Does it carry the client's token? */
  auth?: boolean;
  /** Sending it twice does no harm. */
  idempotent?: boolean;
}

declare module 'axios' {
  interface AxiosRequestConfig {
    /** For `cxone-client/axios`. */
    cxone?: CxoneAxiosOptions;
  }
}

/** What is used of axios: give the default export, or the module. */
export interface AxiosModule {
  AxiosError: new (message?: string, code?: string, config?: any, request?: any, response?: any) => Error;
  CanceledError: new (message?: string, config?: any, request?: any) => Error;
  AxiosHeaders: { from(headers: any): any };
  getUri(config: any): string;
}

const CODES: Record<string, string> = {
  TIMEOUT: 'ETIMEDOUT',
  NETWORK: 'ERR_NETWORK',
  CONFIG: 'ERR_BAD_OPTION_VALUE',
  DECODE: 'ERR_BAD_RESPONSE',
};

/**
 * An adapter that sends by this client:
 *
 * ```js
 * import axios from 'axios';
 * import { cxoneAdapter } from 'cxone-client/axios';
 * const api = axios.create({ adapter: cxoneAdapter(client, axios) });
 * ```
 *
 * `baseURL`, `params` and `paramsSerializer`, `responseType`, `validateStatus`, `signal`,
 * `cancelToken` and `timeout` (each attempt's) mean what they mean in axios; further options go
 * into `cxone`. A `baseURL` or URL on another origin than the client's gets no token, and is refused
 * unless you say so: `cxone: { auth: false }`.
 */
export function cxoneAdapter(client: CxoneClient, axios: AxiosModule): AxiosAdapter {
  return async (config) => {
    const { signal, release } = signalOf(config, axios);
    let body: unknown;
    try {
      const response = await send(client, axios, config, signal);
      const { validateStatus } = config;
      if (!response.status || !validateStatus || validateStatus(response.status)) {
        body = response.data;
        return response;
      }
      const message = `Request failed with status code ${response.status}`;
      const code = response.status >= 500 ? 'ERR_BAD_RESPONSE' : 'ERR_BAD_REQUEST';
      throw new axios.AxiosError(message, code, config, null, response);
    } finally {
      // What is still to be read can still be cancelled, for as long as there is somebody to read it.
      if (body instanceof ReadableStream) unread.register(body, release);
      else release();
    }
  };
}

const unread = new FinalizationRegistry<() => void>((release) => release());

async function send(client: CxoneClient, axios: AxiosModule, config: InternalAxiosRequestConfig, signal: AbortSignal): Promise<AxiosResponse> {
  const { method = 'get', timeout, responseType, cxone = {} } = config;
  const wanted = responseType === 'arraybuffer' || responseType === 'blob' ? responseType : 'text';
  const headers = Object.fromEntries(
    Object.entries(config.headers.toJSON() as Record<string, unknown>).flatMap(([name, value]) =>
      value === null || value === undefined || value === false ? [] : [[name, String(value)]],
    ),
  );
  // axios has a default for every browser and Node.js; ours is the right one, and FormData knows its own.
  if (headers['Accept'] === 'application/json, text/plain, */*') delete headers['Accept'];
  // Without an effect in browsers either; some give an empty one to have a Content-Type sent.
  let data = /^(get|head)$/i.test(method) ? undefined : config.data;
  if ((typeof FormData !== 'undefined' && data instanceof FormData) || (data instanceof Blob && data.type !== '')) delete headers['Content-Type'];
  if (typeof data?.getHeaders === 'function' && typeof data.pipe === 'function') {
    // The package form-data, which is axios's own FormData in Node.js.
    delete headers['Content-Type'];
    for (const [name, value] of Object.entries(data.getHeaders())) headers[name] = String(value);
    data = streamOf(data);
  }
  if (config.auth) {
    const { username = '', password = '' } = config.auth;
    headers['Authorization'] = `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${username}:${password}`)))}`;
  }
  try {
    const url = axios.getUri(config);
    if (responseType === 'stream') {
      const answer = await client.fetch(url, { ...cxone, method, headers, signal, ...(data == null ? {} : { body: data }), ...(timeout ? { timeout } : {}) });
      return { data: answer.body, status: answer.status, statusText: answer.statusText, headers: fieldsOf(axios, answer.headers), config, request: null };
    }
    const answer = await client.request({
      ...cxone,
      method,
      url,
      headers,
      signal,
      responseType: wanted,
      ...(data == null ? {} : { data }),
      ...(timeout ? { timeout } : {}),
    });
    return {
      data: responseType === 'arraybuffer' && typeof Buffer === 'function' ? Buffer.from(answer.data) : (answer.data ?? ''),
      status: answer.status,
      statusText: answer.statusText,
      headers: fieldsOf(axios, answer.headers),
      config,
      request: null,
    };
  } catch (error) {
    if (signal.aborted) throw error;
    return answered(axios, config, error as CxoneError);
  }
}

/** An error that is an answer is left to `validateStatus`; any other becomes an `AxiosError`. */
function answered(axios: AxiosModule, config: InternalAxiosRequestConfig, error: CxoneError): AxiosResponse {
  const response =
    error.status === undefined || error.code === 'TOKEN'
      ? undefined
      : {
          data: bodyOf(config, error),
          status: error.status,
          statusText: error.statusText ?? '',
          headers: fieldsOf(axios, error.headers ?? new Headers()),
          config,
          request: null,
        };
  if (response && ['STATUS', 'AUTH', 'SERVER', 'RATE_LIMITED'].includes(error.code)) {
    const { validateStatus } = config;
    if (!validateStatus || validateStatus(response.status)) return response;
    const code = response.status >= 500 ? 'ERR_BAD_RESPONSE' : 'ERR_BAD_REQUEST';
    throw Object.assign(new axios.AxiosError(`Request failed with status code ${response.status}`, code, config, null, response), { cause: error });
  }
  // axios has two codes for it, and a setting that chooses.
  const aborted = error.code === 'TIMEOUT' && !config.transitional?.clarifyTimeoutError;
  const code = aborted ? 'ECONNABORTED' : (CODES[error.code] ?? error.code);
  throw Object.assign(new axios.AxiosError(error.message, code, config, null, response), { cause: error });
}

/** The body of an error as its `responseType` has it. */
function bodyOf({ responseType }: InternalAxiosRequestConfig, { body = '', headers }: CxoneError): unknown {
  const isBinary = responseType === 'arraybuffer' || responseType === 'blob';
  if (!isBinary) return typeof body === 'string' ? body : new TextDecoder().decode(body);
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : new Uint8Array(body);
  if (responseType === 'blob') return new Blob([bytes], { type: headers?.get('content-type') ?? '' });
  return typeof Buffer === 'function' ? Buffer.from(bytes.buffer) : bytes.buffer;
}

/** Each cookie that is set is a value of its own, as in axios. */
function fieldsOf(axios: AxiosModule, headers: Headers): any {
  const cookies = headers.getSetCookie();
  return axios.AxiosHeaders.from({ ...Object.fromEntries(headers), ...(cookies.length > 0 ? { 'set-cookie': cookies } : {}) });
}

/** The chunks of an old stream of Node.js, which only tells them. */
function streamOf(source: any): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      source.on('data', (chunk: string | Uint8Array) => {
        controller.enqueue(typeof chunk === 'string' ? encoder.encode(chunk) : chunk);
        if ((controller.desiredSize ?? 0) <= 0) source.pause();
      });
      source.on('end', () => controller.close());
      source.on('error', (error: unknown) => controller.error(error));
    },
    pull() {
      source.resume();
    },
    cancel() {
      source.destroy?.();
    },
  });
}

/** One signal for axios's two ways of cancelling. */
function signalOf(config: InternalAxiosRequestConfig, axios: AxiosModule): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const cancel = (reason?: unknown) => {
    const known = reason instanceof axios.CanceledError;
    controller.abort(known ? reason : new axios.CanceledError(undefined, config));
  };
  const { cancelToken, signal } = config;
  cancelToken?.throwIfRequested();
  const token = cancelToken as unknown as { subscribe?(f: (reason: unknown) => void): void; unsubscribe?(f: (reason: unknown) => void): void } | undefined;
  token?.subscribe?.(cancel);
  const abort = () => cancel();
  if (signal?.aborted) abort();
  else signal?.addEventListener?.('abort', abort);
  return {
    signal: controller.signal,
    release() {
      token?.unsubscribe?.(cancel);
      signal?.removeEventListener?.('abort', abort);
    },
  };
}
