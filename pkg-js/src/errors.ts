/** What can go wrong, told so that the caller can do something about it. */

/** Tells the classes of errors apart, also across realms and copies of the package. */
export type ErrorCode =
  | 'RATE_LIMITED'
  | 'AUTH'
  | 'SERVER'
  | 'STATUS'
  | 'TIMEOUT'
  | 'NETWORK'
  | 'TOKEN'
  | 'CLOSED'
  | 'QUEUE_FULL'
  | 'DECODE'
  | 'PAGE'
  | 'JOB'
  | 'DOWNLOAD'
  | 'CONFIG'
  | 'ENGINE';

/** What is known of a request that failed. */
export interface ErrorDetails {
  status?: number;
  statusText?: string;
  headers?: Headers;
  data?: unknown;
  /** @internal As it came. */
  body?: string | Uint8Array | undefined;
  attempts?: number;
  retryAt?: Date;
  correlationId?: string;
  method?: string;
  url?: string;
  cause?: unknown;
}

/**
 * The base of all errors of this package. `code` tells which it is.
 *
 * Printing one shows no header, no body, no query and no secret; `headers` and `data` are there
 * for whoever asks.
 */
export abstract class CxoneError extends Error {
  // Classes that people see keep their names in minified code; what else is there needs none.
  /** @internal */
  static override readonly name: string = 'CxoneError';
  abstract readonly code: ErrorCode;
  /** The status of the last answer; of a {@link TokenError} the token endpoint's. */
  declare readonly status?: number;
  /** The canonical phrase of that status. */
  declare readonly statusText?: string;
  /** How often the request was sent. */
  readonly attempts!: number;
  /** The moment before which trying again makes no sense, where it is known. */
  declare readonly retryAt?: Date;
  /** The id that each sending carried as `X-Correlation-ID`. */
  declare readonly correlationId?: string;
  /** The server's own id of the last answer (`x-trace-id`): support asks for it. */
  declare readonly traceId?: string;
  /** The method of the request. */
  declare readonly method?: string;
  /** Where the request went, without the query. */
  declare readonly url?: string;
  /** What no printing shows, `%o` included, which shows all that is a property. */
  readonly #hidden: ErrorDetails;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    hideBytes(details.cause);
    const { cause: _, headers, data, body, ...shown } = details;
    this.#hidden = { ...(headers && { headers }), data, body };
    this.attempts = 0;
    for (const [name, value] of Object.entries(shown)) {
      if (value !== undefined) Object.assign(this, { [name]: value });
    }
    const traceId = headers?.get('x-trace-id');
    if (traceId) Object.assign(this, { traceId });
  }

  /** The header fields of the last answer. */
  get headers(): Headers | undefined {
    return this.#hidden.headers;
  }

  /** The body of the last answer: parsed if it is JSON, else text; never a token endpoint's. */
  get data(): unknown {
    return this.#hidden.data;
  }

  /** @internal What `data` was made of, for the axios adapter. */
  get body(): string | Uint8Array | undefined {
    return this.#hidden.body;
  }
}

/** undici shows the bytes that it could not parse, which may hold a body, a cookie or a token. */
function hideBytes(error: unknown): void {
  for (let depth = 0; depth < 8 && error instanceof Error; depth++) {
    if (error.name === 'HTTPParserError' && 'data' in error) {
      const { data } = error;
      Object.defineProperty(error, 'data', { get: () => data, enumerable: false });
    }
    error = error.cause;
  }
}

/** The server refuses for longer than this request may wait; see `retryAt`. */
export class RateLimitedError extends CxoneError {
  readonly code = 'RATE_LIMITED';
  /** @internal */
  static override readonly name: string = 'RateLimitedError';
}

/** 401 although the token was renewed, or 403. */
export class AuthError extends CxoneError {
  readonly code = 'AUTH';
  /** @internal */
  static override readonly name: string = 'AuthError';
}

/** 5xx, and no more attempts are allowed. */
export class ServerError extends CxoneError {
  readonly code = 'SERVER';
  /** @internal */
  static override readonly name: string = 'ServerError';
}

/** Any other error status. */
export class StatusError extends CxoneError {
  readonly code = 'STATUS';
  /** @internal */
  static override readonly name: string = 'StatusError';
}

/** No answer within the attempt's `timeout`, or the request's `deadline` passed. */
export class TimeoutError extends CxoneError {
  readonly code = 'TIMEOUT';
  /** @internal */
  static override readonly name: string = 'TimeoutError';
}

/** No complete answer: DNS, connection, certificate, a truncated or oversized body. */
export class NetworkError extends CxoneError {
  readonly code = 'NETWORK';
  /** @internal */
  static override readonly name: string = 'NetworkError';
}

/** No token can be had: `OAuth Token Fetch Failed: …`. */
export class TokenError extends CxoneError {
  readonly code = 'TOKEN';
  /** @internal */
  static override readonly name: string = 'TokenError';
}

/** The client was closed. */
export class ClosedError extends CxoneError {
  readonly code = 'CLOSED';
  /** @internal */
  static override readonly name: string = 'ClosedError';
  constructor(message = 'Client Closed: it accepts no more requests', details?: ErrorDetails) {
    super(message, details);
  }
}

/** As many requests wait as `queueLimit` allows. */
export class QueueFullError extends CxoneError {
  readonly code = 'QUEUE_FULL';
  /** @internal */
  static override readonly name: string = 'QueueFullError';
}

/** The answer says that it is JSON, and is not. `data` is its text. */
export class DecodeError extends CxoneError {
  readonly code = 'DECODE';
  /** @internal */
  static override readonly name: string = 'DecodeError';
}

/** A page cannot be used; the run of pages ends here, and not well. */
export class PageError extends CxoneError {
  readonly code = 'PAGE';
  /** @internal */
  static override readonly name: string = 'PageError';
}

/** A job failed, is not done within its deadline, or cannot be understood: see `cxone-client/jobs`. */
export class JobError extends CxoneError {
  readonly code = 'JOB';
  /** @internal */
  static override readonly name: string = 'JobError';
}

/** A download cannot be kept, or is not what the server says it is: see `cxone-client/download`. */
export class DownloadError extends CxoneError {
  readonly code = 'DOWNLOAD';
  /** @internal */
  static override readonly name: string = 'DownloadError';
}

/** An option, of a client or of a request, that cannot be used. */
export class ConfigError extends CxoneError {
  readonly code = 'CONFIG';
  /** @internal */
  static override readonly name: string = 'ConfigError';
  /** The option. */
  readonly field: string;
  constructor(field: string, fix: string, details?: ErrorDetails) {
    super(`invalid \`${field}\`: ${fix}`, details);
    this.field = field;
  }
}

/** The engine has failed, which is a bug: please report it. A new client works. */
export class EngineError extends CxoneError {
  readonly code = 'ENGINE';
  /** @internal */
  static override readonly name: string = 'EngineError';
  constructor(cause: unknown) {
    super('Engine Failure: this is a bug in cxone-client; make a new client to go on', { cause });
  }
}

/** Any error of this package: `switch (error.code)` tells which. */
export type AnyCxoneError =
  | RateLimitedError
  | AuthError
  | ServerError
  | StatusError
  | TimeoutError
  | NetworkError
  | TokenError
  | ClosedError
  | QueueFullError
  | DecodeError
  | PageError
  | JobError
  | DownloadError
  | ConfigError
  | EngineError;

/** Is it an error of this package? TypeScript then knows its class from its `code`. */
export function isCxoneError(error: unknown): error is AnyCxoneError {
  return error instanceof CxoneError;
}

/** The classes of the engine's own errors, by their numbers (`adapters/fetch`, `record.rs`). */
export const ENGINE_ERRORS = [
  RateLimitedError,
  AuthError,
  ServerError,
  StatusError,
  TimeoutError,
  NetworkError,
  TokenError,
  ClosedError,
] as const;
