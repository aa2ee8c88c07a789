/** A client in numbers. */

import type { Host } from './host.js';
import { now } from './host.js';

/** The state of a client at one moment. */
export interface Stats {
  /** Requests that wait for their turn. */
  queued: { high: number; normal: number; low: number };
  /** Failed requests that wait alone for their next attempt. */
  waiting: number;
  /** Attempts that hold a slot. */
  inFlight: number;
  /** Attempts started so far. */
  sends: number;
  /** Answers so far that were throttles. */
  throttled: number;
  /** Attempts so far that were not a request's first. */
  retries: number;
  /** Token fetches started so far. */
  tokenFetches: number;
  /** Requests that ended so far, cancelled ones not counted. */
  finished: number;
  /** Requests that were cancelled so far. */
  cancelled: number;
  /** Every scope that is known now. */
  scopes: {
    name: string;
    /** When it opens, if it is closed. */
    closedUntil?: Date;
    /** Held by `pause(scope)`. */
    held: boolean;
    inFlight: number;
  }[];
}

export function statsOf(host: Host): Stats {
  const [numbers, names] = host.stats();
  const [high, normal, low, waiting, inFlight, sends, throttled, retries, tokenFetches, finished, cancelled] = numbers as unknown as number[];
  const scopes = names.split('\0').slice(0, -1).map((name, i) => {
    const [closedUntil, held, inFlight] = numbers.subarray(11 + 3 * i);
    const at = new Date(Date.now() + closedUntil! - now());
    return { name, ...(Number.isNaN(closedUntil) ? {} : { closedUntil: at }), held: held === 1, inFlight: inFlight! };
  });
  return {
    queued: { high: high!, normal: normal!, low: low! },
    waiting: waiting!,
    inFlight: inFlight!,
    sends: sends!,
    throttled: throttled!,
    retries: retries!,
    tokenFetches: tokenFetches!,
    finished: finished!,
    cancelled: cancelled!,
    scopes,
  };
}
