/** What a client tells while it works. */

/** Why a scope is paused. */
export type PauseReason = 'stated' | 'backoff' | 'outage' | 'budget' | 'pace';

/** Every event's `detail` has this: the line for a log. */
interface Said {
  message: string;
}

/** A scope is closed, or closed for longer than it was. */
export interface PauseDetail extends Said {
  scope: string;
  /** From now until it opens. */
  ms: number;
  /** The moment at which it opens. */
  until: Date;
  /** The server stated the wait, or did not; no answer came at all; an announced budget is spent; the rate that is believed had to meet a refusal; or a limit was met within moments. */
  reason: PauseReason;
  /** The status of the answer, for `stated`, `backoff` and `pace`. */
  status?: number;
  /** 1 for the first pause, one more for each that follows without recovery; 0 for a budget. */
  attempt: number;
}

/** The events of a client, by their names. */
export interface CxoneEventMap {
  /** A scope is paused. */
  pause: CustomEvent<PauseDetail>;
  /** The scope may be used again; it speeds up. */
  reopen: CustomEvent<Said & { scope: string }>;
  /** The scope is back at its full concurrency. */
  recover: CustomEvent<Said & { scope: string }>;
  /** What the scope's server is believed to allow has changed; the message says to what. */
  limit: CustomEvent<Said & { scope: string }>;
  /** One request will be sent again by itself. */
  retry: CustomEvent<Said & { ms: number; failures: number; correlationId?: string }>;
  /** A token was fetched, and is used for `ms`. */
  token: CustomEvent<Said & { ms: number }>;
  /** A token fetch failed and will be tried again. */
  tokenretry: CustomEvent<Said & { ms: number; status?: number }>;
  /** The token endpoint refused for good. */
  tokenrefused: CustomEvent<Said & { status?: number }>;
}

const REASONS: PauseReason[] = ['stated', 'backoff', 'outage', 'budget'];
const NAMES = ['pause', 'pause', 'pause', 'pause', 'reopen', 'recover', 'retry', 'token', 'tokenretry', 'tokenrefused', 'pause', 'limit'] as const;

/** A notice of the engine as its record has it. */
export interface Notice {
  kind: number;
  wait: number;
  until: number;
  count: number;
  status: number;
  scope: string;
  message: string;
  correlationId: string | undefined;
}

/** The event for a notice; `now` is the moment on the engine's clock. */
export function eventOf(notice: Notice, now: number): CustomEvent {
  const { kind, wait, until, count, status, scope, message, correlationId } = notice;
  const ms = Math.ceil(wait);
  const known = Number.isNaN(status) ? {} : { status };
  let detail: object;
  if (kind < 4 || kind === 10) {
    const date = new Date(Date.now() + Math.max(0, until - now));
    detail = { message, scope, ms, until: date, reason: REASONS[kind] ?? 'pace', attempt: count, ...known };
  } else if (kind < 6 || kind === 11) {
    detail = { message, scope };
  } else if (kind === 6) {
    detail = { message, ms, failures: count, ...(correlationId === undefined ? {} : { correlationId }) };
  } else {
    detail = { message, ...(Number.isNaN(wait) ? {} : { ms }), ...known };
  }
  return new CustomEvent(NAMES[kind] ?? 'notice', { detail });
}
