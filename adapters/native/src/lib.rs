//! A client for the NICE CXone REST APIs that knows about rate limits.
//!
//! ```no_run
//! use cxone_client::{Client, Priority};
//! use serde_json::Value;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder()
//!     .base_url("https://YOUR_SUBDOMAIN.api.nicecxone.com")
//!     .client_credentials("id", "secret")
//!     .build()?; // or `Client::from_env()?`
//!
//! let agents: Value = client
//!     .get("/incontactapi/services/v34.0/agents")
//!     .query(&[("top", "50")])
//!     .priority(Priority::High)
//!     .send()
//!     .await?
//!     .json()?;
//! # Ok(())
//! # }
//! ```
//!
//! A request waits for its turn in a queue of three classes, is sent when the server allows it,
//! and is sent again where that is safe. Its caller sees the answer, or an [`Error`] that says
//! what went wrong and when trying again makes sense; never a 429 that could be waited for.
//!
//! # What it does about limits
//!
//! - A refusal (429, 509, 529, and a 503 or 403 that names a limit) pauses its *scope*: the
//!   whole client by default, an API family or whatever you name with
//!   [`scope_by`](ClientBuilder::scope_by). Nobody sends before the moment that the server
//!   states; after it one request goes first to see, then the pace rises again.
//! - What a server allows is learned, from what its answers announce and from its refusals, and kept
//!   to: see [`Pacing`], and [the operator's page](cxone_core::pacing) for what is believed, why, and
//!   how to read it. [`stats`](Client::stats) and [`notices`](Client::notices) show it.
//! - What was refused keeps its place, and during the pause urgent requests overtake.
//! - Timeouts, resets and 408, 425, 502, 503, 504 are retried if sending twice does no harm:
//!   `GET`, `PUT`, `DELETE`, and what has an
//!   [`idempotency_key`](RequestBuilder::idempotency_key) or is said to be
//!   [`idempotent`](RequestBuilder::idempotent).
//! - One token serves everybody. It is renewed before it expires, and after a 401 once.
//!
//! # Pages
//!
//! ```no_run
//! use futures_util::StreamExt;
//! # use serde_json::Value;
//! # async fn run(client: cxone_client::Client) -> Result<(), cxone_client::Error> {
//! let mut pages = client.interactions::<Value>().pages();
//! while let Some(page) = pages.next().await {
//!     let page = page?; // an error ends the run: `page.state` of the last one resumes it
//!     println!("[Pagination] Fetched {} interactions. Total: {}", page.items.len(), page.total);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # NICE's own platform
//!
//! With the [access key](ClientBuilder::access_key) of a user the client signs in to NICE's own
//! platform: it discovers token endpoint and API host, and renews by refresh token. Its APIs page in
//! seven ways, each a [`PageStyle`]; a [`job`](Client::job) is submitted and asked after until it is
//! done, and a [`download`](Client::download) streams to disk:
//!
//! ```no_run
//! use cxone_client::{Client, JobStyle, PageStyle};
//! use futures_util::TryStreamExt;
//! # use serde_json::{Value, json};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder()
//!     .client_credentials("id", "secret")
//!     .access_key("key id", "key secret")
//!     .build()?; // or `Client::from_env()?`
//!
//! let agents = client.paginate::<Value>("/incontactapi/services/v34.0/agents");
//! let agents: Vec<Value> = agents.style(PageStyle::links("agents")).try_collect().await?;
//!
//! let extraction = client.job(JobStyle::data_extraction(), "/data-extraction/v1/jobs");
//! let (job, file) = extraction.json(&json!({ "entityName": "…" })).run_to("metadata.csv").await?;
//! println!("{} agents; job {}, {} bytes", agents.len(), job.id, file.bytes);
//! # Ok(())
//! # }
//! ```
//!
//! # When it fails
//!
//! ```no_run
//! use cxone_client::ErrorKind;
//! # async fn run(client: cxone_client::Client) {
//! if let Err(error) = client.post("/callbacks").json(&["…"]).send().await {
//!     match error.kind() {
//!         ErrorKind::RateLimited { retry_at, .. } => println!("come back at {retry_at:?}"),
//!         ErrorKind::Status => println!("{error}: {:?}", error.body()),
//!         _ => println!("{error} (correlation id {:?})", error.correlation_id()),
//!     }
//! }
//! # }
//! ```
//!
//! # Cancelling, pausing, closing
//!
//! Dropping the future of a request cancels it. [`Client::pause`] holds the queue back,
//! [`Client::close`] ends the client, at once or when everything is done.
//!
//! # What it tells
//!
//! [`Client::notices`] yields each pause, retry and token as it happens; `tracing` gets the same
//! as events of the target `cxone_client`:
//!
//! | level | what |
//! |---|---|
//! | `ERROR` | the token endpoint refused for good |
//! | `WARN` | the server forced a pause, or did not answer; a token fetch failed and is tried again |
//! | `INFO` | a pause that pacing brings with it, or a spent budget; a scope reopened; a believed limit changed; one request is retried; a token was fetched |
//! | `DEBUG` | a scope is back at full concurrency |
//!
//! What is about one request stands in its span: `request`, of level `INFO`, with its method, path,
//! `correlation_id` and priority. No secret, query or body is ever in any of them.
//!
//! # Runtime
//!
//! tokio, with time and I/O enabled. [`ClientBuilder::build`] needs none yet: the client settles in
//! the runtime from which it is first used. A sending is driven by its caller at first, and becomes a
//! task there when it has been out for 10 to 20 ms, so that a caller who leaves its future unpolled
//! holds up its own request for so long and nobody else's; one more task keeps the time. All else
//! happens in passing, in whichever task or thread has something to tell: no request waits for
//! another task to get its turn.

#![forbid(unsafe_code)]

mod address;
mod agent;
mod attempt;
mod builder;
mod client;
mod clock;
mod download;
mod driver;
mod env;
mod error;
mod foreign;
mod home;
mod hub;
mod job;
mod json;
mod line;
mod notice;
mod outgoing;
mod paginate;
mod pending;
mod request;
mod response;
mod scope;
mod secret;
mod settings;
mod stats;
mod token;

pub use agent::AgentEvents;
pub use builder::ClientBuilder;
pub use client::{Client, Close};
pub use download::{Download, Downloaded};
pub use error::{Error, ErrorKind};
pub use job::{Job, JobDone};
pub use notice::{Notice, Notices};
pub use paginate::{Page, PageStream, Paginate};
pub use request::RequestBuilder;
pub use response::{Response, StreamResponse};
pub use scope::{ScopeBy, ScopeRule};
pub use settings::BuildError;
pub use stats::{ScopeStats, Stats};
pub use token::TokenError;

pub use cxone_core::page::{PageError, PageState, PageStyle};
pub use cxone_core::profile::{GOVERNMENT_ISSUER, PLATFORM_ISSUER, Profile};
pub use cxone_core::{
    Backoff, Basis, Belief, BelievedQuota, BelievedRate, ClientAuth, JobStyle, KnownLimit, Pacing,
    PauseReason, Priority, Reading, TokenFailure, Wall,
};
