/** `cxone-client/download`, for Node.js, Deno and Bun: files are streamed to disk, whole and checked, or not there. */

import { fileURLToPath } from 'node:url';

import type { CxoneClient } from './client.js';
import { CxoneError, DownloadError, JobError, NetworkError, type ErrorDetails } from './errors.js';
import type { JobDone, JobOptions, JobStyle } from './jobs.js';
import { isStrong, Part } from './part.js';
import type { RequestOptions } from './request.js';
import { milliseconds } from './settings.js';
import { checkSignal } from './signals.js';
import { LONGEST } from './sleep.js';
import { submitJob } from './submit.js';

/** A body that brings nothing for so long is given up, and the rest asked for. */
const STALL = 30_000;

/** So often in a row a body may end early without having brought anything. */
const IN_VAIN = 5;

/** So often an answer may not go on with what is there. */
const CHANGES = 5;

/** So often a result's address is asked for anew, when it had died before it was used. */
const NEW_ADDRESSES = 2;

/** What may be said of a download, and of all its requests. */
export interface DownloadOptions extends Pick<RequestOptions, 'priority' | 'headers' | 'params' | 'signal' | 'timeout' | 'scope'> {
  /** Milliseconds for which the body may bring nothing before the rest is asked for anew; `Infinity` is no bound. Default 30 000. */
  stallTimeout?: number;
}

/** A file that has arrived. */
export interface Downloaded {
  /** Where it is. */
  path: string;
  /** Its length. */
  bytes: number;
  /** How many of them came with an earlier answer than the last one. */
  resumed: number;
  /** Was a checksum stated, and right? */
  verified: boolean;
}

/**
 * Fetches a file to disk. It replaces one of this name. The client's token goes along to the base
 * URL's origin only.
 *
 * The file appears under its name when it is complete and on disk, and never before: until then it
 * is `{name}.part` beside it. A body that ends early goes on from where it ended, if the server has
 * named what it sends by a strong `ETag` (`Range` and `If-Range`, RFC 9110 §13.1.5), also in a later
 * call, of another process too; else it begins anew. Length and checksum (`Repr-Digest` with
 * sha-256, `x-amz-checksum-sha256`, `Content-MD5`) are checked where the server states them. Memory
 * is bounded by what the transport hands over at once.
 *
 * Rejects with a {@link DownloadError} if the file cannot be written, or another call of this process
 * is writing it; if its length or checksum is not what the server states; if the server packs it
 * (`Content-Encoding`) though it was asked not to; if its body keeps ending early, or it keeps changing; with the signal's reason; else as its requests do.
 *
 * ```js
 * const { bytes, verified } = await download(cx, recordingUrl, 'recording.wav');
 * ```
 */
export async function download(cx: CxoneClient, url: string | URL, file: string | URL, options: DownloadOptions = {}): Promise<Downloaded> {
  const { stallTimeout = STALL, headers, ...request } = options;
  milliseconds('stallTimeout', stallTimeout);
  checkSignal(request.signal);
  const part = await Part.open(file instanceof URL ? fileURLToPath(file) : file);
  try {
    for (let inVain = 0, changes = 0; ; ) {
      const before = part.length;
      // An encoding of the transport's would make lengths and ranges those of something else.
      const fields = new Headers(headers as HeadersInit);
      fields.set('accept', '*/*');
      fields.set('accept-encoding', 'identity');
      fields.delete('range');
      if (part.etag !== undefined && before > 0) {
        fields.set('range', `bytes=${before}-`);
        fields.set('if-range', part.etag);
      }
      let response;
      try {
        response = await cx.stream({ ...request, url, headers: fields });
      } catch (error) {
        // What is there is no part of what is there now.
        if (!(error instanceof CxoneError && error.status === 416 && before > 0)) throw error;
        await part.restart();
        if (++changes >= CHANGES) throw error;
        continue;
      }
      const end = await take(part, response, stallTimeout, request.signal);
      if ('verified' in end) {
        const { length: bytes, resumed } = part;
        await part.finish();
        return { path: part.target, bytes, resumed, verified: end.verified };
      }
      if ('changed' in end) {
        if (++changes >= CHANGES) throw new DownloadError('Download Error: its parts are not of one file', detailsOf(response));
        continue;
      }
      inVain = part.length > before ? 0 : inVain + 1;
      if (inVain >= IN_VAIN) throw end.error ?? new DownloadError('Download Error: its body brings nothing', detailsOf(response));
    }
  } finally {
    await part.close();
  }
}

/**
 * Submits a job, waits until it is done, and fetches its result to a file: at once, before its
 * address dies. If that has died all the same, another one is asked for.
 *
 * Rejects as `runJob` and {@link download} do.
 *
 * ```js
 * const { job, file } = await runJobTo(cx, 'data-extraction', '/data-extraction/v1/jobs', 'metadata.csv', { data });
 * ```
 */
export async function runJobTo(
  cx: CxoneClient,
  style: JobStyle,
  path: string | URL,
  file: string | URL,
  options: JobOptions & Pick<DownloadOptions, 'stallTimeout'> = {},
): Promise<{ job: JobDone; file: Downloaded }> {
  const { stallTimeout = STALL, ...rest } = options;
  const submitted = await submitJob(cx, style, path, rest);
  const { signal = null } = rest;
  for (let asked = 0; ; asked++) {
    const job = await submitted.done();
    if (job.result === undefined) throw new JobError(`Job Error: job ${job.id} is done and names no result`);
    try {
      return { job, file: await download(cx, job.result, file, { priority: 'high', signal, stallTimeout }) };
    } catch (error) {
      const hasDied = error instanceof CxoneError && [403, 404, 410].includes(error.status ?? 0);
      if (!hasDied || asked >= NEW_ADDRESSES) throw error;
    }
  }
}

/** Its body ended early, maybe with an error. */
type Early = { error: unknown };

/** What an answer has come to: the file is there, and maybe verified; or ended early; or it is a part, but not the missing one of the file that is there. */
type End = { verified: boolean } | { changed: true } | Early;

/** Writes what comes. */
async function take(part: Part, response: Response, stallTimeout: number, signal: AbortSignal | null | undefined): Promise<End> {
  const { status, headers } = response;
  // Its lengths, ranges and checksums are not those of the file.
  if (!/^(identity)?$/i.test(headers.get('content-encoding') ?? '')) {
    void response.body?.cancel().catch(() => {});
    await part.restart();
    throw new DownloadError('Download Error: the server packs it, though it was asked not to', detailsOf(response));
  }
  if (status === 206 && goesOn(part, headers)) {
    part.resumed = part.length;
  } else if (status === 200) {
    await part.restart(strongEtag(headers), headers.get('content-md5')?.trim());
    part.total = number(headers.get('content-length'));
  } else {
    void response.body?.cancel().catch(() => {});
    if (status !== 206) throw new DownloadError(`Download Error: the answer is no file, but a ${status}`, detailsOf(response));
    await part.restart();
    return { changed: true };
  }
  const { total } = part;
  const early = await read(part, response, stallTimeout, signal);
  if (early) return early;
  if (total !== undefined && part.length < total) return { error: undefined };
  const isRight = part.isRight(sha256Of(headers));
  const isLonger = total !== undefined && part.length > total;
  if (!isLonger && isRight !== false) return { verified: isRight === true };
  const wrong = isLonger ? `${part.length} bytes of ${total} came` : 'its checksum is not what the server states';
  // Nobody may go on with it.
  await part.restart();
  throw new DownloadError(`Download Error: ${wrong}`, detailsOf(response));
}

/** Does an answer bring the part that is missing, of the version that is there? Not every server minds `If-Range`. */
function goesOn(part: Part, headers: Headers): boolean {
  const range = /^bytes (\d+)-\d*\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
  if (part.etag === undefined || part.length === 0 || Number(range?.[1]) !== part.length) return false;
  const total = number(range?.[2]);
  const first = (part.total ??= total);
  return (headers.get('etag') ?? part.etag) === part.etag && (total ?? first) === first;
}

function number(text: string | null | undefined): number | undefined {
  return text && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Writes the body. `undefined`: it came to its end. */
async function read(part: Part, response: Response, stallTimeout: number, signal: AbortSignal | null | undefined): Promise<Early | undefined> {
  const reader = response.body?.getReader();
  if (!reader) return undefined;
  // What is waited for then ends at once, whatever the transport makes of it.
  const stop = (): void => void reader.cancel().catch(() => {});
  let stalled = false;
  const stall = (): void => {
    stalled = true;
    stop();
  };
  signal?.addEventListener('abort', stop);
  try {
    signal?.throwIfAborted();
    for (;;) {
      const timer = stallTimeout > LONGEST ? undefined : setTimeout(stall, stallTimeout);
      let chunk;
      try {
        chunk = await reader.read();
      } catch (cause) {
        signal?.throwIfAborted();
        return { error: new NetworkError("Network Error: the answer's body ended early", { ...detailsOf(response), cause }) };
      } finally {
        clearTimeout(timer);
      }
      signal?.throwIfAborted();
      if (stalled) return { error: undefined };
      if (chunk.done) return undefined;
      await part.write(chunk.value);
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    // Of one that was not read to its end, nobody wants the rest.
    stop();
  }
}

function strongEtag(headers: Headers): string | undefined {
  const etag = headers.get('etag');
  return etag !== null && isStrong(etag) ? etag : undefined;
}

/** The checksum of the whole file, in base64: what RFC 9530 says, else what object stores do. */
function sha256Of(headers: Headers): string | undefined {
  const digest = /(?:^|,)\s*sha-256=:([^:,]*):/i.exec(headers.get('repr-digest') ?? '')?.[1];
  // That of an object uploaded in pieces is of their checksums, and says so by its suffix.
  const amz = headers.get('x-amz-checksum-sha256');
  return digest ?? (amz?.includes('-') ? undefined : (amz ?? undefined));
}

/** What an error tells of an answer. */
function detailsOf({ status, headers, url }: Response): ErrorDetails {
  const details: ErrorDetails = { method: 'GET', status, headers };
  if (url) details.url = new URL(url).origin + new URL(url).pathname;
  return details;
}
