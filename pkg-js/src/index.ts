/** What the package offers. */

export { CxoneClient, type ClientOptions, type CloseOptions, type CommonOptions, type FetchInit, type WhereOptions } from './client.js';
export {
  AuthError,
  ClosedError,
  ConfigError,
  CxoneError,
  DecodeError,
  DownloadError,
  EngineError,
  JobError,
  NetworkError,
  PageError,
  QueueFullError,
  RateLimitedError,
  ServerError,
  StatusError,
  TimeoutError,
  TokenError,
  isCxoneError,
  type AnyCxoneError,
  type ErrorCode,
} from './errors.js';
export type { CxoneEventMap, PauseDetail, PauseReason } from './events.js';
export type { CxoneResponse } from './http.js';
export { Pagination, type Page, type PageState, type PageStyle, type PaginateOptions } from './paginate.js';
export { PriorityRequestQueue, type QueueEntry, type QueueOptions } from './queue.js';
export { PRIORITY, type Data, type Params, type Priority, type Redirect, type RequestConfig, type RequestOptions, type ScopeBy } from './request.js';
export type { EngineSettings, KnownLimit, Pacing } from './settings.js';
export type { Stats } from './stats.js';
export type { Payload, Transport, TransportRequest, TransportResponse } from './transport.js';
export {
  calculateBackoffDelay,
  defaultClient,
  enqueueRequest,
  fetchAllInteractions,
  getAccessToken,
  setDefaultClient,
  type FetchAllOptions,
} from './tutorial.js';
export { init, type WasmSource } from './wasm.js';
