/** Items and pages, driven by the page machine of the engine's crate. */

import type { CxoneClient } from './client.js';
import { ConfigError, DecodeError, PageError } from './errors.js';
import type { WasmPages } from './generated/glue.js';
import type { CxoneResponse } from './http.js';
import { shown, type RequestOptions } from './request.js';
import type { Instance } from './wasm.js';

/** Where a run of pages stands, between two of them. It can be stored as JSON. */
export interface PageState {
  /** The cursor of the page to ask for; `null` before the first page and after the last. */
  cursor: string | null;
  /** Was the last page read? */
  done: boolean;
  /** How many pages were read. */
  pages: number;
  /** How many items they held. */
  items: number;
  /** Every cursor so far: none may come again. */
  seen: string[];
}

/** What may be said of a run of pages: of its requests, and of the run. */
export interface PaginateOptions extends Omit<RequestOptions, 'idempotent' | 'idempotencyKey'> {
  /** Items to ask for on each page. Default 100. */
  pageSize?: number;
  /** Starts at the page that a cursor names. */
  cursor?: string;
  /** Goes on where another run stopped. */
  state?: PageState;
}

/** One page of items. */
export interface Page<T> {
  /** Its items, in the server's order. */
  items: T[];
  /** Which page of the run it is, from 1 on; pages before a resumed run count. */
  number: number;
  /** How many items the run has brought so far, these included. */
  total: number;
  /** From where to go on after this page. */
  state: PageState;
}

/**
 * A run of pages: iterate over it for the items, over {@link pages} for whole pages. Nothing is
 * fetched before it is asked for. A page that cannot be had, or used, is an error: an incomplete
 * run never looks like a complete one, and {@link state} tells from where to go on.
 */
export class Pagination<T> implements AsyncIterable<T> {
  /** @internal */
  static readonly name: string = 'Pagination';
  readonly #client: CxoneClient;
  readonly #instance: Instance;
  readonly #url: string | URL;
  readonly #options: PaginateOptions;
  #state: PageState;

  /** @internal */
  constructor(client: CxoneClient, instance: Instance, url: string | URL, options: PaginateOptions) {
    const { pageSize = 100, cursor, state } = options;
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 0xffff_ffff) {
      throw new ConfigError('pageSize', 'give a whole number, 1 or more');
    }
    if (cursor !== undefined && typeof cursor !== 'string') throw new ConfigError('cursor', 'give a text, as `state` has it');
    this.#client = client;
    this.#instance = instance;
    this.#url = url;
    this.#options = options;
    this.#state = { cursor: cursor ?? null, done: false, pages: 0, items: 0, seen: [], ...check(state) };
  }

  /** From where to go on so that nothing is missed: after the last page whose items were all read. */
  get state(): PageState {
    return this.#state;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.#run()) {
      yield* page.items;
      this.#state = page.state;
    }
  }

  /** Whole pages, each with the state from which to go on after it. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    for await (const page of this.#run()) {
      this.#state = page.state;
      yield page;
    }
  }

  /** From {@link state} on, so that nothing is lost to who stops in the middle of a page and iterates again. */
  async *#run(): AsyncGenerator<Page<T>, void, undefined> {
    const { pageSize = 100, cursor: _, state: __, params, ...options } = this.#options;
    const { cursor, done, pages, items, seen } = this.#state;
    const machine = new this.#instance.Pages(pageSize, cursor ?? undefined, done, pages, items, seen.map((it) => `${it}\0`).join(''));
    for (let query = machine.request(); query !== undefined; query = machine.request()) {
      const all = params instanceof URLSearchParams ? new URLSearchParams(params) : { ...params };
      const pairs = query.split('\0');
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        if (all instanceof URLSearchParams) all.set(pairs[i]!, pairs[i + 1]!);
        else all[pairs[i]!] = pairs[i + 1]!;
      }
      let response: CxoneResponse;
      let malformed: DecodeError | undefined;
      try {
        response = await this.#client.request({ ...options, url: this.#url, params: all });
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        malformed = error;
        response = error as unknown as CxoneResponse;
      }
      yield this.#page(machine, response, malformed);
    }
  }

  #page(machine: WasmPages, response: CxoneResponse, malformed: DecodeError | undefined): Page<T> {
    const { data, status } = response;
    const isObject = !malformed && typeof data === 'object' && data !== null && !Array.isArray(data);
    const empty = data === null || (typeof data === 'string' && data.trim() === '');
    const items = isObject ? data[machine.items_field] : undefined;
    const next: unknown = isObject ? data[machine.next_field] : undefined;
    const known = typeof next === 'string' || (Number.isSafeInteger(next) && (next as number) >= 0);
    const problem = machine.answer(
      status,
      isObject ? 2 : empty ? 0 : 1,
      Array.isArray(items) ? items.length : NaN,
      known ? String(next) : undefined,
      next !== undefined && next !== null,
    );
    if (problem !== undefined) {
      const { statusText, headers, attempts, correlationId } = response;
      const details = { status, statusText, headers, data, attempts, method: 'GET', url: shown(response.url), cause: malformed, ...(correlationId === undefined ? {} : { correlationId }) };
      throw new PageError(`Pagination Error: ${problem}`, details);
    }
    const state: PageState = {
      cursor: machine.cursor ?? null,
      done: machine.done,
      pages: machine.pages,
      items: machine.items,
      seen: machine.seen.split('\0').slice(0, -1),
    };
    return { items, number: state.pages, total: state.items, state };
  }
}

function check(state: PageState | undefined): Partial<PageState> {
  if (state === undefined) return {};
  const { cursor, done, pages, items, seen } = state ?? {};
  const ok =
    (cursor === null || typeof cursor === 'string') &&
    typeof done === 'boolean' &&
    Number.isSafeInteger(pages) &&
    Number.isSafeInteger(items) &&
    Array.isArray(seen) &&
    seen.every((it) => typeof it === 'string');
  if (!ok) throw new ConfigError('state', 'give what `state` of a run or a page was');
  return state;
}
