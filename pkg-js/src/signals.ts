/** Abort signals: one listener for each distinct signal, however many requests wait for it. */

type Abort = (reason: unknown) => void;

export class Signals {
  readonly #watched = new Map<AbortSignal, { listener: () => void; aborts: Set<Abort> }>();

  /** Calls `abort` once when the signal fires; gives what ends that. */
  watch(signal: AbortSignal, abort: Abort): () => void {
    let watched = this.#watched.get(signal);
    if (!watched) {
      const aborts = new Set<Abort>();
      const listener = () => {
        this.#watched.delete(signal);
        for (const abort of aborts) abort(signal.reason);
      };
      watched = { listener, aborts };
      this.#watched.set(signal, watched);
      signal.addEventListener('abort', listener, { once: true });
    }
    const { listener, aborts } = watched;
    aborts.add(abort);
    return () => {
      aborts.delete(abort);
      if (aborts.size === 0 && this.#watched.get(signal)?.aborts === aborts) {
        this.#watched.delete(signal);
        signal.removeEventListener('abort', listener);
      }
    };
  }
}
