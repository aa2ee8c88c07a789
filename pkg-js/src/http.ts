/** One request from its acceptance to its end, and each sending of it. */

import { cancel, drainBody, readBody, TooLarge } from './body.js';
import { DecodeError, type ErrorDetails } from './errors.js';
import { errorOf, Failure, isTokenFailure, STREAM, Task, Verdict, type Failed, type Host } from './host.js';
import { hasOwnType, payloadOf, shown, type Outgoing, type RequestConfig } from './request.js';
import type { Watch } from './signals.js';
import { Ending, isStream, makeResponse, REDIRECTED, type Payload, type Transport, type TransportRequest, type TransportResponse } from './transport.js';

/** What requests need of their client. */
export interface Wire {
  host: Host;
  transport: Transport;
  /** The fields that say something about waiting, in lower case. */
  signalHeaders: string[];
  /** The value for `Authorization`, of that token. */
  authorization(token: number): string | undefined;
  /** The last token fetch that failed: the cause of what failed for want of a token. */
  tokenTrouble(): ErrorDetails;
  /** Where a request goes that was made before that was known; `undefined`: it still is not. */
  place(early: string): string | undefined;
  followRedirects: boolean;
  maxBody: number;
  statusText(status: number): string;
}

/** The answer to a request, its body read. */
export interface CxoneResponse<T = any> {
  status: number;
  statusText: string;
  headers: Headers;
  /** The body: parsed if it is JSON; text, bytes or a Blob as `responseType` has it; `null` if it is empty. */
  data: T;
  /** Where it came from. */
  url: string;
  /** How often the request was sent. */
  attempts: number;
  /** The id that each sending carried. */
  correlationId?: string;
  /** The server's own id of the answer (`x-trace-id`). */
  traceId?: string;
}

/** The codes of Node.js and undici for what never left, and for what can never be sent. */
const UNSENT = /^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|ConnectionRefused)/;
const UNSENDABLE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|ERR_TLS_CERT|ERR_INVALID_|UND_ERR_INVALID_ARG|ERR_SSL_WRONG)/;

const REDIRECTS = [301, 302, 303, 307, 308];

/** The codes of an error and its causes. */
function* codes(error: unknown): Generator<string> {
  for (let depth = 0; depth < 8 && typeof error === 'object' && error !== null; depth++) {
    const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
    if (typeof code === 'string') yield code;
    error = cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
}

/** How a sending without an answer failed. */
export function classify(error: unknown): Failure {
  const found = [...codes(error)];
  if (found.some((code) => UNSENDABLE.test(code))) return Failure.Unsendable;
  if (found.some((code) => UNSENT.test(code))) return Failure.Unsent;
  return Failure.Reset;
}

/** The fields that matter, names and values in turn, one a line; `undefined` if there is none but a date. */
export function signalsOf(response: TransportResponse, names: string[]): string | undefined {
  let found = '';
  let said = false;
  for (const name of names) {
    const value = response.header(name);
    if (value === null) continue;
    found += `${found && '\n'}${name}\n${value.replace(/[\r\n]+/g, ' ')}`;
    said ||= name !== 'date';
  }
  return said ? found : undefined;
}

/** What was last seen of an answer. */
interface Answer {
  response: TransportResponse;
  body: string | Uint8Array | undefined;
}

/** One sending. */
class Flight implements TransportRequest {
  // As with a task, what is only declared here is no work for each.
  declare readonly number: number;
  declare readonly method: string;
  declare readonly url: string;
  declare headers: Record<string, string>;
  declare body: Payload | undefined;
  declare readonly whole: boolean;
  declare readonly redirect: 'manual' | undefined;
  declare readonly ending: Ending;
  /** Its body is being made, and nothing was sent yet. */
  declare making: boolean;
  declare response: TransportResponse | undefined;

  constructor(number: number, method: string, url: string, headers: Record<string, string>, whole: boolean, redirect: 'manual' | undefined) {
    this.number = number;
    this.whole = whole;
    this.redirect = redirect;
    this.method = method;
    this.url = url;
    this.headers = headers;
    this.body = undefined;
    this.ending = new Ending();
    this.making = false;
    this.response = undefined;
  }

  get signal(): AbortSignal {
    return this.ending.signal;
  }
}

abstract class HttpTask extends Task {
  declare protected readonly wire: Wire;
  declare readonly outgoing: Outgoing;
  declare protected readonly reject: (reason: unknown) => void;
  declare protected attempts: number;
  declare protected last: Answer | undefined;
  declare private flight: Flight | undefined;
  /** Where a redirect has led. */
  declare protected elsewhere: string | undefined;
  declare private sent: boolean;
  declare private cause: unknown;
  /** The watch of the caller's signal. */
  declare private watch: Watch | undefined;

  constructor(wire: Wire, outgoing: Outgoing, reject: (reason: unknown) => void) {
    super();
    this.wire = wire;
    this.outgoing = outgoing;
    this.reject = reject;
    this.attempts = 0;
    this.last = undefined;
    this.flight = undefined;
    this.elsewhere = undefined;
    this.sent = false;
    this.cause = undefined;
    this.watch = undefined;
  }

  override get correlationId(): string | undefined {
    return this.outgoing.correlationId;
  }

  set watched(watch: Watch) {
    if (this.ended) watch.end();
    else this.watch = watch;
  }

  /** The caller's signal has fired. */
  aborted(reason: unknown): void {
    if (this.ended) return;
    this.wire.host.cancel(this);
    this.reject(reason);
  }

  send(number: number, token: number): void {
    this.place();
    const { method, url, headers, data, type, flags, redirect } = this.outgoing;
    const flight = new Flight(number, method, this.elsewhere ?? url, headers, (flags & STREAM) === 0, redirect === 'follow' && this.wire.followRedirects ? undefined : 'manual');
    this.flight = flight;
    this.attempts = number;
    this.cause = undefined;
    if (token !== 0) flight.headers = { ...headers, authorization: this.wire.authorization(token) ?? '' };
    if (typeof data !== 'function') {
      flight.body = data;
      this.transmit(flight);
      return;
    }
    flight.making = true;
    payloadOf(data).then(
      (body) => {
        if (this.flight !== flight) return; // given up
        flight.making = false;
        flight.body = body;
        if (headers['content-type'] === undefined && !hasOwnType(body)) flight.headers = { ...flight.headers, 'content-type': type };
        this.transmit(flight);
      },
      // Whoever makes the body has failed: that is no failure of the network.
      (error: unknown) => this.broke(flight, Failure.Unsendable, error),
    );
  }

  abort(number: number): void {
    const flight = this.flight;
    if (flight?.number !== number) return;
    flight.ending.abort();
    if (flight.making) this.broke(flight, Failure.Aborted, undefined);
  }

  body(number: number, verdict: Verdict): void {
    const flight = this.flight;
    if (flight?.number !== number || !flight.response) return;
    if (verdict === Verdict.Stream) {
      this.flying = 0;
      return;
    }
    if (verdict === Verdict.Follow) this.elsewhere = this.redirect(flight.response);
    const answer: Answer = { response: flight.response, body: undefined };
    this.last = answer;
    let reading: Promise<string | Uint8Array>;
    if (verdict === Verdict.Read) {
      // The length that a HEAD is told is that of a body which does not come.
      const max = this.outgoing.method === 'HEAD' ? Infinity : this.wire.maxBody;
      reading = readBody(flight.response, max, this.isBinary(), flight.ending);
    } else {
      reading = drainBody(flight.response, flight.ending);
    }
    reading.then(
      (body) => {
        answer.body = body;
        if (flight.ending.aborted) return this.broke(flight, Failure.Aborted, undefined);
        flight.ending.over();
        this.flight = undefined;
        this.wire.host.done(this, number);
      },
      (error: unknown) => this.broke(flight, error instanceof TooLarge ? Failure.TooLarge : Failure.Truncated, error),
    );
  }

  fail(failed: Failed): void {
    this.watch?.end();
    this.rejectWith(failed);
  }

  broken(error: unknown): void {
    this.ended = true;
    this.watch?.end();
    this.reject(error);
  }

  /** Is the body wanted as bytes? */
  protected abstract isBinary(): boolean;

  /** The caller's signal does not matter any more. */
  protected unwatch(): void {
    this.watch?.end();
  }

  /** The answer, to be handed over unread; the caller's signal still ends it, for as long as there is somebody to read it. */
  protected handOver(): Response {
    const { response, ending } = this.flight!;
    const made = response!.response();
    if (this.watch && made.body) {
      // Nothing of what outlives the request may hold on to the body, which may outlive the answer.
      this.watch.abort = aborting(ending);
      unread.register(made.body, this.watch);
    } else {
      this.watch?.end();
    }
    return made;
  }

  protected rejectWith(failed: Failed): void {
    const details = this.about();
    if (failed.retryAt) details.retryAt = failed.retryAt;
    const Class = errorOf(failed);
    if (isTokenFailure(failed)) {
      const trouble = this.wire.tokenTrouble();
      this.reject(new Class(failed.message, { ...details, ...trouble }));
      return;
    }
    if (this.last) {
      const { response, body } = this.last;
      details.status = response.status;
      details.statusText = this.wire.statusText(response.status);
      details.headers = response.headers();
      details.data = dataOf(response, body);
      details.body = body;
    }
    if (this.cause !== undefined) details.cause = this.cause;
    this.reject(new Class(failed.message.replace('max_body', '`maxBody`').replace('attempt_timeout', '`timeout`'), details));
  }

  /** Which request an error is about. */
  protected about(): ErrorDetails {
    const { method, url, correlationId } = this.outgoing;
    const details: ErrorDetails = { method, url: shown(url), attempts: this.attempts };
    if (correlationId !== undefined) details.correlationId = correlationId;
    return details;
  }

  /** What was asked for before it was known where the APIs are has its URL now. */
  private place(): void {
    const { early } = this.outgoing;
    const placed = early === undefined ? undefined : this.wire.place(early);
    if (placed === undefined) return;
    this.outgoing.url = placed;
    this.outgoing.early = undefined;
  }

  private transmit(flight: Flight): void {
    let sending;
    try {
      if (this.outgoing.early !== undefined) {
        const unknown = new TypeError('signing in finds the base URL: without a token, or to another origin, a request needs an absolute URL and `auth: false`');
        throw Object.assign(unknown, { code: 'ERR_INVALID_URL' });
      }
      if (isStream(this.outgoing.data)) {
        if (this.sent) throw new TypeError('a stream can be sent only once');
        this.sent = true;
      }
      // A transport of somebody else's may give what is no promise.
      sending = Promise.resolve(this.wire.transport.send(flight));
    } catch (error) {
      sending = Promise.reject(error);
    }
    sending.then(
      (response) => this.answered(flight, response),
      (error: unknown) => this.broke(flight, classify(error), error),
    );
  }

  private answered(flight: Flight, response: TransportResponse): void {
    flight.response = response;
    const { host, signalHeaders, followRedirects } = this.wire;
    let follow;
    let signals;
    try {
      follow = followRedirects && this.outgoing.follows && response.status >= 300 && response.status < 400 && this.redirect(response) !== undefined;
      signals = signalsOf(response, signalHeaders);
      if (this.outgoing.redirect === 'error' && REDIRECTS.includes(response.status)) {
        void cancel(response);
        throw new TypeError(REDIRECTED);
      }
    } catch (error) {
      // What a transport gave is no answer, or not to be one.
      this.broke(flight, Failure.Unsendable, error);
      return;
    }
    host.head(this, flight.number, response.status, signals, follow);
    // Nobody wants it any more: its transport has to end before its slot is free.
    if (flight.ending.aborted && this.flying === flight.number) {
      void cancel(response).then(() => this.broke(flight, Failure.Aborted, undefined));
    }
  }

  private broke(flight: Flight, failure: Failure, cause: unknown): void {
    if (this.flying !== flight.number) return;
    if (flight.ending.aborted) failure = Failure.Aborted;
    else if (!(cause instanceof TooLarge)) this.cause = cause;
    this.flight = undefined;
    this.wire.host.failed(this, flight.number, failure);
  }

  /** Where an answer redirects to, if it may be followed: the same origin. */
  private redirect(response: TransportResponse): string | undefined {
    const location = response.header('location');
    if (!location || !REDIRECTS.includes(response.status)) return undefined;
    const here = new URL(this.elsewhere ?? this.outgoing.url);
    try {
      const there = new URL(location, here);
      return there.origin === here.origin && !there.username && !there.password ? there.href : undefined;
    } catch {
      return undefined;
    }
  }
}

/** A request whose caller gets the body read. */
export class WholeTask extends HttpTask {
  declare private readonly resolve: (response: CxoneResponse) => void;
  declare private readonly type: NonNullable<RequestConfig['responseType']>;

  constructor(
    wire: Wire,
    outgoing: Outgoing,
    type: RequestConfig['responseType'],
    resolve: (response: CxoneResponse) => void,
    reject: (reason: unknown) => void,
  ) {
    super(wire, outgoing, reject);
    this.resolve = resolve;
    this.type = type ?? 'json';
  }

  finish(): void {
    this.unwatch();
    const { response, body } = this.last!;
    const headers = response.headers();
    let data: unknown = body;
    try {
      if (this.type === 'json') data = dataOf(response, body, true);
      else if (this.type === 'arraybuffer') data = toBuffer(body as Uint8Array);
      else if (this.type === 'blob') data = new Blob([toBuffer(body as Uint8Array)], { type: headers.get('content-type') ?? '' });
    } catch {
      // Its reason quotes the body, which may be nobody's business.
      const statusText = this.wire.statusText(response.status);
      const details = { ...this.about(), status: response.status, statusText, headers, data: body };
      this.reject(new DecodeError('Invalid Answer: its body says that it is JSON, and is not', details));
      return;
    }
    const { correlationId } = this.outgoing;
    const traceId = response.header('x-trace-id');
    const result: CxoneResponse = {
      status: response.status,
      statusText: this.wire.statusText(response.status),
      headers,
      data,
      url: response.url || this.outgoing.url,
      attempts: this.attempts,
    };
    if (correlationId !== undefined) result.correlationId = correlationId;
    if (traceId !== null) result.traceId = traceId;
    this.resolve(result);
  }

  protected isBinary(): boolean {
    return this.type === 'arraybuffer' || this.type === 'blob';
  }
}

/** A request whose caller gets a `Response`, as from `fetch`. */
export class FetchTask extends HttpTask {
  declare private readonly resolve: (response: Response) => void;
  declare private readonly rejects: boolean;

  /** An answer with an error status is an answer to who calls `fetch`, unless it `rejects`. */
  constructor(wire: Wire, outgoing: Outgoing, resolve: (response: Response) => void, reject: (reason: unknown) => void, rejects = false) {
    super(wire, outgoing, reject);
    this.resolve = resolve;
    this.rejects = rejects;
  }

  finish(): void {
    this.resolve(this.handOver());
  }

  protected isBinary(): boolean {
    return true;
  }

  protected override rejectWith(failed: Failed): void {
    const last = !this.rejects && failed.status !== 0 && failed.kind <= 3 ? this.last : undefined;
    if (!last || last.response.status !== failed.status) {
      super.rejectWith(failed);
      return;
    }
    const { response, body } = last;
    const { status } = response;
    const bytes = body === undefined ? null : toBuffer(body);
    this.resolve(makeResponse(bytes, status, this.wire.statusText(status), response.headers(), response.url || this.outgoing.url));
  }
}

/** Watches of signals, to be ended when the bodies that they are for are gone. */
const unread = new FinalizationRegistry<Watch>((watch) => watch.end());

function aborting(controller: AbortController): (reason: unknown) => void {
  return (reason) => controller.abort(reason);
}

/** What a body is as data: JSON if it says so, else text; `null` if it is empty. */
function dataOf(response: TransportResponse, body: string | Uint8Array | undefined, strict = false): unknown {
  const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : body;
  if (!text) return text === undefined && !strict ? undefined : null;
  if (!/^[^;]*[/+]json\b/i.test(response.header('content-type') ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (strict) throw error;
    return text;
  }
}

function toBuffer(bytes: Uint8Array | string): ArrayBuffer {
  const all = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
  const { buffer, byteOffset, byteLength } = all;
  return (byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)) as ArrayBuffer;
}

