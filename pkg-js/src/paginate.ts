/** Items and pages, driven by the page machine of the engine's crate. */

import type { CxoneClient } from './client.js';
import { ConfigError, DecodeError, PageError } from './errors.js';
import type { WasmPages } from './generated/glue.js';
import type { CxoneResponse } from './http.js';
import { shown, type RequestOptions } from './request.js';
import type { Instance } from './wasm.js';

/**
 * The ways in which CXone's APIs page. Not every one brings all while records change: where the
 * server counts (`links`, `search`), those that are removed during a run shift others past its reach,
 * and those that are added may come twice; what is added to a window that was read already
 * (`windows`) is missed; `updated-since` brings what is updated again, and fails where more records
 * share one millisecond than an answer holds.
 *
 *
 * - `cursor`: `cursor` and `page_size`, `entities` and `next_page_token` (the default);
 * - `links`: `top`, then the link in `_links.next`; most lists of the ACD APIs;
 * - `updated-since`: `updatedSince`, then `lastPollTime`; contacts/completed;
 * - `windows`: `startDate` and `endDate`, one window after the other; skills/summary;
 * - `scroll`: `scrollToken`; Digital contacts;
 * - `segments`: `cursor`, a number, and `pageSize`; Interaction Analytics;
 * - `search`: `skip` and `top` in the body of a `POST`; the searches of user-management.
 */
export type PageStyle = 'cursor' | 'links' | 'updated-since' | 'windows' | 'scroll' | 'segments' | 'search';

/** Their names, and whether the items are under a name that has to be given. */
const STYLES: Record<PageStyle, boolean> = {
  cursor: false, links: true, 'updated-since': false, windows: true, scroll: false, segments: false, search: false,
};

/** Where a run of pages stands, between two of them. It can be stored as JSON, and does not grow with the run. */
export interface PageState {
  /** What names the page to ask for; `null` before the first page and after the last. */
  cursor: string | null;
  /** Was the last page read? */
  done: boolean;
  /** How many pages were read. */
  pages: number;
  /** How many items they held. */
  items: number;
  /** Fingerprints of the cursors that must not come again. */
  seen: string[];
  /** Fingerprints of the last page's items, where the next page may repeat them. */
  overlap?: string[];
  /** There: 1 while it is looked whether more follows what shares one time, 2 if it does. */
  look?: number;
  /** Did the run begin at a given cursor? Then what the server says of the number of all items is no matter. */
  partial?: boolean;
}

/** What may be said of a run of pages: of its requests, and of the run. */
export interface PaginateOptions extends Omit<RequestOptions, 'idempotent' | 'idempotencyKey'> {
  /** How the API pages. Default `cursor`. */
  style?: PageStyle;
  /** The field of an answer that holds the items. `links` and `windows` have none by default: `agents`, `skills`, `skillSummaries` … */
  itemsField?: string;
  /** Items to ask for on each page; in the style `updated-since`, what an answer holds at most. Default: the style's, 100 for `cursor`. */
  pageSize?: number;
  /** From when on, in the styles with times: a date, or what `new Date()` takes. */
  since?: Date | string | number;
  /** Until when: the end of the last window. */
  until?: Date | string | number;
  /** How long a window is, in milliseconds. Default: a day. */
  window?: number;
  /** The rest of the body, in the style `search`: filters. */
  data?: Record<string, unknown>;
  /** Starts at the page that a cursor names. */
  cursor?: string;
  /**
   * Goes on where another run stopped. In the style `updated-since` one that is done can be
   * reopened for what came later: `{ ...state, done: false }`.
   */
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
    const { style = 'cursor', itemsField, pageSize, cursor, state, window, data } = options;
    if (typeof style !== 'string' || !Object.hasOwn(STYLES, style)) {
      throw new ConfigError('style', `choose ${Object.keys(STYLES).map((it) => `'${it}'`).join(', ')}`);
    }
    if (itemsField === undefined ? STYLES[style] : typeof itemsField !== 'string' || !/^.+$/.test(itemsField)) {
      throw new ConfigError('itemsField', 'give the name of the field that holds the items');
    }
    if (pageSize !== undefined && (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 0xffff_ffff)) {
      throw new ConfigError('pageSize', 'give a whole number, 1 or more');
    }
    if (window !== undefined && !(Number.isSafeInteger(window) && window >= 1)) {
      throw new ConfigError('window', 'give milliseconds, 1 or more');
    }
    if (cursor !== undefined && typeof cursor !== 'string') throw new ConfigError('cursor', 'give a text, as `state` has it');
    if (data !== undefined && (style !== 'search' || typeof data !== 'object' || data === null || Array.isArray(data))) {
      throw new ConfigError('data', "only the style 'search' has a body: an object");
    }
    moment('since', options.since);
    moment('until', options.until);
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
    const { style = 'cursor', itemsField, pageSize = NaN, since, until, window = NaN, data, cursor: _, state: __, params, ...options } = this.#options;
    const { cursor, done, pages, items, seen, overlap, partial, look = 0 } = this.#state;
    const numbers = [pageSize, moment('since', since), moment('until', until), window, Number(done), pages, items, Number(partial === true), look];
    const texts = [style, itemsField ?? '', joined(seen), joined(overlap)].join('\n');
    const machine = new this.#instance.Pages(texts, new Float64Array(numbers), cursor ?? undefined);
    // Where the last one went: a link is one of its origin.
    let origin = '';
    for (let text = machine.request(); text !== undefined; text = machine.request()) {
      const [link, ...pairs] = text.split('\0');
      const all = params instanceof URLSearchParams ? new URLSearchParams(params) : { ...params };
      const body: Record<string, unknown> = { ...data };
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        if (machine.flags & IN_BODY) body[pairs[i]!] = Number(pairs[i + 1]);
        else if (all instanceof URLSearchParams) all.set(pairs[i]!, pairs[i + 1]!);
        else all[pairs[i]!] = pairs[i + 1]!;
      }
      // A link is of the origin that signing in finds.
      if (link && !origin && !this.#client.originOf(this.#url)) await this.#client.accessToken(options);
      origin ||= this.#client.originOf(this.#url) ?? '';
      const request = link ? { url: origin + link } : { url: this.#url, params: all };
      const post = machine.flags & IN_BODY ? { method: 'POST', data: body, idempotent: true } : {};
      let response: CxoneResponse;
      let malformed: DecodeError | undefined;
      try {
        response = await this.#client.request({ ...options, ...request, ...post });
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        malformed = error;
        response = error as unknown as CxoneResponse;
      }
      origin = new URL(response.url).origin;
      yield this.#page(machine, response, malformed, origin);
    }
  }

  #page(machine: WasmPages, response: CxoneResponse, malformed: DecodeError | undefined, origin: string): Page<T> {
    const { data, status } = response;
    const isObject = !malformed && typeof data === 'object' && data !== null && !Array.isArray(data);
    const empty = data === null || (typeof data === 'string' && data.trim() === '');
    const [items, next, total] = machine.fields.split('\n').map((field) => (isObject ? at(data, field) : undefined));
    const fresh = Array.isArray(items) && machine.flags & OVERLAPS ? items.filter((item) => !machine.is_repeated(JSON.stringify(item))) : items;
    const known = typeof next === 'string' || (Number.isSafeInteger(next) && (next as number) >= 0);
    const problem = machine.answer(
      status,
      isObject ? 2 : empty ? 0 : 1,
      Array.isArray(items) ? items.length : NaN,
      known ? String(next) : undefined,
      next !== undefined && next !== null,
      Number.isSafeInteger(total) && (total as number) >= 0 ? (total as number) : NaN,
      origin,
    );
    if (problem !== undefined) {
      const { statusText, headers, attempts, correlationId } = response;
      const details = { status, statusText, headers, data, attempts, method: machine.flags & IN_BODY ? 'POST' : 'GET', url: shown(response.url), cause: malformed, ...(correlationId === undefined ? {} : { correlationId }) };
      throw new PageError(`Pagination Error: ${problem}`, details);
    }
    const state: PageState = {
      cursor: machine.cursor ?? null,
      done: machine.number(0) === 1,
      pages: machine.number(1),
      items: machine.number(2),
      seen: machine.seen.split('\0').slice(0, -1),
      ...(machine.flags & OVERLAPS ? { overlap: machine.overlap.split('\0').slice(0, -1), look: machine.number(4) } : {}),
      ...(machine.number(3) ? { partial: true } : {}),
    };
    return { items: (fresh ?? []) as T[], number: state.pages, total: state.items, state };
  }
}

/** What a style says of its requests and pages: see `WasmPages`. */
const IN_BODY = 1;
const OVERLAPS = 2;

/** What a field holds; a `.` in its name leads into an object. */
function at(value: unknown, field: string): unknown {
  for (const name of field.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** Milliseconds since 1970; NaN for none. */
function moment(name: string, time: Date | string | number | undefined): number {
  if (time === undefined) return NaN;
  const ms = new Date(time).getTime();
  if (!(ms >= 0)) throw new ConfigError(name, 'give a date from 1970 on');
  return ms;
}

const joined = (marks: readonly string[] = []): string => marks.map((it) => `${it}\0`).join('');

function check(state: PageState | undefined): Partial<PageState> {
  if (state === undefined) return {};
  const { cursor, done, pages, items, seen, overlap = [], partial = false, look = 0 } = state ?? {};
  const texts = (marks: unknown) => Array.isArray(marks) && marks.every((it) => typeof it === 'string');
  const ok =
    (cursor === null || typeof cursor === 'string') &&
    typeof done === 'boolean' &&
    [pages, items, look].every(Number.isSafeInteger) &&
    texts(seen) &&
    texts(overlap) &&
    typeof partial === 'boolean';
  if (!ok) throw new ConfigError('state', 'give what `state` of a run or a page was');
  return state;
}
