/** Abort signals: one listener for each distinct signal, however many requests wait for it. */

import { ConfigError } from './errors.js';

type Abort = (reason: unknown) => void;

/** What waits for a signal. */
export class Watch {
  /** Called once when the signal fires. */
  abort: Abort;
  readonly #end: (watch: Watch) => void;

  constructor(abort: Abort, end: (watch: Watch) => void) {
    this.abort = abort;
    this.#end = end;
  }

  /** Waits no longer. */
  end(): void {
    this.#end(this);
  }
}

/** Throws what a signal that has fired has as its reason, and for what is no signal. */
export function checkSignal(signal: AbortSignal | null | undefined): void {
  if (signal === undefined || signal === null) return;
  if (typeof signal.addEventListener !== 'function') throw new ConfigError('signal', 'give an AbortSignal, like `controller.signal`');
  if (signal.aborted) throw signal.reason;
}

export class Signals {
  readonly #watched = new Map<AbortSignal, { listener: () => void; watches: Set<Watch> }>();

  watch(signal: AbortSignal, abort: Abort): Watch {
    const watch = new Watch(abort, (watch) => this.#end(signal, watch));
    if (signal.aborted) {
      // It fired while the request was accepted.
      abort(signal.reason);
      return watch;
    }
    let watched = this.#watched.get(signal);
    if (!watched) {
      const watches = new Set<Watch>();
      const listener = () => {
        this.#watched.delete(signal);
        for (const watch of watches) watch.abort(signal.reason);
      };
      watched = { listener, watches };
      this.#watched.set(signal, watched);
      signal.addEventListener('abort', listener, { once: true });
    }
    watched.watches.add(watch);
    return watch;
  }

  #end(signal: AbortSignal, watch: Watch): void {
    const watched = this.#watched.get(signal);
    if (!watched?.watches.delete(watch) || watched.watches.size > 0) return;
    this.#watched.delete(signal);
    signal.removeEventListener('abort', watched.listener);
  }
}
