/** Waiting. */

/** The longest time that `setTimeout` can wait: beyond it a runtime fires at once. */
export const LONGEST = 2 ** 31 - 1;

/** Resolves after so many milliseconds; rejects with the signal's reason as soon as that fires. */
export async function sleep(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
  for (let left = ms; left > 0; left -= LONGEST) await once(Math.min(left, LONGEST), signal);
}

function once(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const abort = (): void => {
      end();
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      end();
      resolve();
    }, Math.ceil(ms));
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort);
  });
}
