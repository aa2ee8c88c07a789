/** The names that a reader of the tutorial looks for, on one default client. */

import { CxoneClient } from './client.js';
import type { CxoneResponse } from './http.js';
import type { PaginateOptions } from './paginate.js';
import type { RequestConfig } from './request.js';
import { instance } from './wasm.js';

let chosen: CxoneClient | undefined;
let made: Promise<CxoneClient> | undefined;

/**
 * Replaces the client that the functions of this module use. Without it the first of them that is
 * called makes one from the environment, which writes to `console.warn` what it waits for.
 */
export function setDefaultClient(client: CxoneClient | undefined): void {
  chosen = client;
  made = undefined;
}

/** The client that the functions of this module use. */
export async function defaultClient(): Promise<CxoneClient> {
  if (chosen) return chosen;
  made ??= CxoneClient.fromEnv().then((client) => {
    for (const type of ['pause', 'tokenretry'] as const) client.addEventListener(type, (event) => console.warn(event.detail.message));
    return client;
  });
  try {
    return await made;
  } catch (error) {
    // What is missing may be there at the next call.
    made = undefined;
    throw error;
  }
}

/** The access token that requests carry now; fetched if there is none. */
export async function getAccessToken(options?: Pick<RequestConfig, 'signal' | 'deadline'>): Promise<string> {
  return (await defaultClient()).accessToken(options);
}

/**
 * The delay in milliseconds before retry number `retryCount` (from 0): what `Retry-After` states
 * if it is to be believed, else 1 000 · 2ⁿ up to 30 000, and up to half of it more at random.
 */
export function calculateBackoffDelay(
  retryAfter?: string | number | null,
  retryCount = 0,
  random: () => number = Math.random,
): number {
  const stated = retryAfter === undefined || retryAfter === null ? undefined : String(retryAfter);
  // Beyond the cap all are the same, and the number that crosses has 32 bits.
  const n = Math.min(Math.max(retryCount, 0), 99);
  return instance().calculateBackoff(stated, n, random(), Date.now());
}

/** Sends a request through the queue of the default client. */
export async function enqueueRequest<T = any>(
  method: string,
  url: string | URL,
  options: Omit<RequestConfig, 'method' | 'url'> = {},
): Promise<CxoneResponse<T>> {
  return (await defaultClient()).request<T>({ ...options, method, url });
}

/** What may be said to {@link fetchAllInteractions}. */
export interface FetchAllOptions extends PaginateOptions {
  /** Gets a line for each page; `false` for none. Default `console.log`. */
  log?: ((line: string) => void) | false;
}

/** All interactions of the default client, in one array. For more than fit into memory: `client.interactions()`. */
export async function fetchAllInteractions<T = any>({ log = console.log, ...options }: FetchAllOptions = {}): Promise<T[]> {
  const all: T[] = [];
  for await (const page of (await defaultClient()).interactions<T>(options).pages()) {
    for (const item of page.items) all.push(item);
    if (log) log(`[Pagination] Fetched ${page.items.length} interactions. Total: ${page.total}`);
  }
  return all;
}
