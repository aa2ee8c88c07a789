//! A scriptable stand-in for the NICE CXone REST APIs, over real sockets.
//!
//! Point your integration at it instead of at the platform and see what it does when it is
//! throttled, when its token dies in the middle, when a page never ends or a connection breaks.
//! Then ask the mock what your integration did: how often it signed in, whether it lost or
//! repeated anything, and whether it ever came back before it was told to.
//!
//! ```
//! use cxone_mock::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Fault, Mock, Rule};
//! use serde_json::Value;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = Mock::builder()
//!     .interactions(150)
//!     .limit("fixed:50/2s".parse()?)
//!     .script(Rule::api(Fault::status(503).retry_after(1)).nth(2))
//!     .start()
//!     .await?;
//!
//! // Here your integration runs against `mock.url()`. This one is as simple as can be.
//! let http = reqwest::Client::new();
//! let form = [
//!     ("grant_type", "client_credentials"),
//!     ("client_id", DEFAULT_CLIENT_ID),
//!     ("client_secret", DEFAULT_CLIENT_SECRET),
//! ];
//! let token: Value = http.post(mock.token_url()).form(&form).send().await?.json().await?;
//! let token = token["access_token"].as_str().ok_or("no token")?;
//! let interactions = format!("{}/api/v2.0/interactions", mock.url());
//! let page: Value = http.get(&interactions).bearer_auth(token).send().await?.json().await?;
//! assert_eq!(page["entities"][0]["id"], "int-000001");
//! let refused = http.get(&interactions).bearer_auth(token).send().await?;
//! assert_eq!(refused.status(), 503);
//!
//! let stats = mock.stats();
//! assert_eq!((stats.token_fetches, stats.throttled), (1, 1));
//! assert_eq!((stats.unique, stats.duplicates, stats.early), (100, 0, 0));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Mock`] listens on a free port of 127.0.0.1 until it is dropped, and speaks HTTP/1.1 and
//! HTTP/2 (with prior knowledge, without TLS). From other languages run the command
//! `cxone-mock`, or [`cli`] inside another: it prints where it listens.
//!
//! # What it answers
//!
//! | path | answer |
//! |---|---|
//! | `POST /oauth2/token` | a token, as RFC 6749 §4.4 has it; strictly, see below |
//! | `POST /auth/token` | the platform's: a JWT for an access key (RFC 6749 §4.3) or a refresh token |
//! | `/.well-known/openid-configuration`, `/.well-known/cxone-configuration?tenantId=` | where its endpoints are |
//! | `GET /api/v2.0/interactions?cursor=&page_size=` | a page of the [data set](interaction): `entities`, `next_page_token` |
//! | `/incontactapi/services/v…/agents?skip=&top=`, `…/skills`, `…/teams` | the same data set with `_links.next` and `totalRecords` |
//! | `…/contacts/completed?updatedSince=` | the same with `lastPollTime`, three records to a time; 204 past the end |
//! | `…/skills/summary?startDate=&endDate=` | the records of a window; 204 if there is none |
//! | `/dfo/3.0/contacts?scrollToken=` | the same, 25 a page, with `hits` |
//! | `/interaction-analytics-gateway/v2/segments/analyzed?cursor=&pageSize=` | the same with `links.next` |
//! | `POST /user-management/v1/users/search` | the same, by `skip` and `top` (at most 50) in the body |
//! | `POST /data-extraction/v1/jobs`, `GET …/jobs/{id}` | a job, its state, and the address of its result, which lives for 30 s |
//! | `POST …/report-jobs/{id}`, `POST …/lists/call-lists/{id}/upload` | the same of the ACD APIs |
//! | `/media-playback/v1/contacts?acd-call-id=` | the address of a recording, which lives for 30 s |
//! | `…/agent-sessions/{id}/get-next-event?timeout=` | 304, and every third time an event |
//! | `/api/v2.0/echo` and the families below | method, path, query, headers and body as JSON, without the token |
//! | `/api/v2.0/status/{code}` | that status |
//! | `/api/v2.0/redirect?to=&code=` | a redirect |
//! | `/api/v2.0/slow?ms=&body_ms=` | late, the head or the body |
//! | `/api/v2.0/bytes?n=` | so many bytes |
//!
//! The families are `/incontactapi/services/…`, `/dfo/…`, `/user-management/…`,
//! `/data-extraction/…`, `/media-playback/…`, `/interaction-analytics-gateway/…` and
//! `/interaction-recording-management-service/…`. All want a token; without a good one they
//! answer 401 with `WWW-Authenticate: error="invalid token"`. Every answer has an `x-trace-id`:
//! the request's number in the log.
//!
//! The token endpoint takes id and secret from the form or from HTTP Basic, not from both.
//! It refuses any query, since secrets must never be in a URL; any other body than a form; a
//! parameter given twice; a value with a bare `=`; another scope than `contact-center-api`.
//! Tokens expire when they say so, and can be [revoked](Script::revoke_after).
//!
//! # Limits
//!
//! [`Builder::limit`] limits each client id, and [`Builder::limit_for`] those requests of it
//! that go to one part of the API, by any [`LimitSpec`]: fixed window, sliding log, token bucket
//! or leaky bucket. How a refusal looks is a matter of [`RetryAfter`], [`LimitHeaders`],
//! [`RefusalBody`] and [`Builder::refuse_with`]. Limits can be changed while the mock runs.
//!
//! # Faults
//!
//! A [`Script`] says what goes wrong when, from the start or at any time later: its [`Rule`]s
//! pick requests, its [`Fault`]s are what happens to them. Faults stand in front of token check
//! and limits, as a gateway would, and use up no quota. [`PageFault`]s spoil a page of the
//! interactions each time that it is asked for.
//!
//! # Early
//!
//! A refusal that states a time, by limiter or by script, sets a deadline for that client id in
//! the scope that refused: the part of the API whose limit it is, or all of the API. A request
//! whose head arrives before that deadline is counted in [`Stats::early`], unless it arrives
//! within [a grace](Builder::early_grace) of 250 ms after the refusal was written: it was under
//! way and could not know.
//!
//! The deadline is the one that was stated, read back from the answer as an honest client reads
//! it: whole seconds count in full, and a date is read by the server's own clock, however wrong.
//! A later refusal never shortens an earlier deadline. A client that waits as it is told, from
//! when it has the answer in its hands, is never early.
//!
//! # Over HTTP
//!
//! | request | does |
//! |---|---|
//! | `GET /_mock/stats` | gives [`Stats`] |
//! | `GET /_mock/log` | gives the last 100 000 arrivals, each a [`LogEntry`] |
//! | `POST /_mock/script` | plays a [`Script`] in JSON; 400 says what is wrong with it |
//! | `POST /_mock/reset` | counts from zero again, as [`Mock::reset`] |
//!
//! These need no token and count as nothing.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod builder;
pub mod cli;
mod clock;
mod control;
mod cors;
mod deadline;
mod fault;
mod files;
mod interactions;
mod jobs;
mod limits;
mod oauth;
mod platform;
mod refusal;
mod routes;
mod script;
mod server;
mod service;
mod shared;
mod stats;
mod tokens;
mod visit;

pub use builder::{
    Builder, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
};
pub use cors::Cors;
pub use cxone_sim::{LimitSpec, SpecError};
pub use fault::Fault;
pub use interactions::{Interaction, PageFault, interaction, interaction_id};
pub use oauth::ExpiresIn;
pub use refusal::{LimitHeaders, RefusalBody, RetryAfter};
pub use script::{Rule, Script};
pub use server::Mock;
pub use stats::{LogEntry, Stats};

/// The path of the gateway's token endpoint.
const TOKEN_PATH: &str = "/oauth2/token";

/// The path of the platform's token endpoint.
const PLATFORM_TOKEN_PATH: &str = "/auth/token";

/// Below it is what a sign-in discovers.
const WELL_KNOWN: &str = "/.well-known/";

/// Is this path a token endpoint's?
fn is_token_path(path: &str) -> bool {
    path == TOKEN_PATH || path == PLATFORM_TOKEN_PATH
}

/// Does this path belong to signing in, and not to the API?
fn is_sign_in(path: &str) -> bool {
    is_token_path(path) || path.starts_with(WELL_KNOWN)
}
