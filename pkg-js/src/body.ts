/** Reading bodies, never more of them than is wanted. */

import type { Ending, TransportResponse } from './transport.js';

/** How many bytes of a body that nobody wants are read at most, so that its connection is used again. */
const DRAIN_LIMIT = 64 * 1024;

/** The body is larger than it may be. */
export class TooLarge extends Error {}

/** All of a body, as text or bytes; throws {@link TooLarge} beyond `max` bytes. */
export function readBody(response: TransportResponse, max: number, binary: boolean, ending?: Ending): Promise<string | Uint8Array> {
  try {
    const announced = length(response);
    // A length that was announced and is small enough is kept to, if nothing unpacks it.
    if (announced !== undefined && announced <= max && !response.header('content-encoding')) {
      return Promise.resolve(binary ? response.bytes() : response.text());
    }
    return readChunks(response, max, binary, announced, ending);
  } catch (error) {
    return Promise.reject(error);
  }
}

async function readChunks(response: TransportResponse, max: number, binary: boolean, announced: number | undefined, ending: Ending | undefined): Promise<string | Uint8Array> {
  if (announced !== undefined && announced > max) {
    await cancel(response);
    throw new TooLarge();
  }
  const bytes = await readUpTo(response, max, [], ending);
  if (!bytes) throw new TooLarge();
  return binary ? bytes : new TextDecoder().decode(bytes);
}

/** What fits of a body that nobody wants. How that ends matters to nobody. */
export async function drainBody(response: TransportResponse, ending: Ending): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  try {
    await readUpTo(response, DRAIN_LIMIT, kept, ending);
  } catch {
    // What was read is kept.
  }
  return concat(kept);
}

/** Lets go of a body. */
export async function cancel(response: TransportResponse): Promise<void> {
  await response.stream()?.cancel().catch(() => {});
}

/** All chunks of a body if they are no more than `max` bytes; those that are go into `kept`. */
async function readUpTo(response: TransportResponse, max: number, kept: Uint8Array[], ending: Ending | undefined): Promise<Uint8Array | undefined> {
  const reader = response.stream()?.getReader();
  if (!reader) return new Uint8Array();
  // A body that does not know the signal, as of a `fetch` of the caller's own, is ended all the same.
  ending?.addEventListener('abort', () => void reader.cancel().catch(() => {}));
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concat(kept);
    const room = max - size;
    kept.push(value.length > room ? value.subarray(0, room) : value);
    size += value.length;
    if (size > max) {
      await reader.cancel().catch(() => {});
      return undefined;
    }
  }
}

function length(response: TransportResponse): number | undefined {
  const value = response.header('content-length');
  return value && /^\d+$/.test(value) ? Number(value) : undefined;
}

function concat(chunks: Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
