//! The engine of `cxone-client`: priorities, a concurrency cap, shared pauses, honest waits,
//! single-flight tokens and retries, as pure state machines. No I/O, no clock, no timers, no
//! threads, no async and no global state: a host hands in what it saw and the time at which it
//! saw it, and is told what to do.
//!
//! # The loop
//!
//! A host does three things in turn, for ever:
//!
//! 1. drain [`Engine::poll_output`] and do what it says,
//! 2. wait until [`Engine::poll_timeout`], or until something happens,
//! 3. feed exactly one thing: a command, an [`Input`], or [`Engine::handle_timeout`].
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use cxone_core::{Config, Engine, Head, Input, Instant, Job, Now, Output, Priority, Wall};
//!
//! // The host's clocks; here they only move when we say so.
//! let mut clock = Instant::ORIGIN;
//! let now = |clock: Instant| Now::new(clock, Wall::from_millis(1_795_392_000_000));
//!
//! let mut engine = Engine::new(Config::default(), 42, now(clock))?;
//! let job = Job { priority: Priority::High, auth: false, ..Job::default() };
//! let id = engine.submit(job, now(clock))?;
//!
//! // A server that is busy once. A real host sends requests; this one knows the answers.
//! let mut answers = VecDeque::from([(429, "3"), (200, "")]);
//! let mut result = None;
//! loop {
//!     // 1. Do what the engine says.
//!     while let Some(output) = engine.poll_output() {
//!         match output {
//!             Output::Send { attempt, .. } => {
//!                 let (status, wait) = answers.pop_front().expect("it is sent twice");
//!                 let head = Head { status, headers: &[("retry-after", wait)], redirect: false };
//!                 engine.handle_input(Input::Head { attempt, head }, now(clock));
//!             }
//!             Output::Body { attempt, .. } => {
//!                 engine.handle_input(Input::Done { attempt }, now(clock));
//!             }
//!             Output::Finish { id: of, result: how } if of == id => result = Some(how),
//!             _ => {}
//!         }
//!     }
//!     // 2. Wait for its deadline, if nothing else happens first.
//!     let Some((deadline, _why)) = engine.poll_timeout() else { break };
//!     clock = deadline;
//!     // 3. Tell it.
//!     engine.handle_timeout(now(clock));
//! }
//! assert_eq!(result, Some(Ok(())));
//! assert!(clock >= Instant::from_millis(3000), "never before the server said");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/virtual_clock.rs` is the same as a test that asserts an exact trace; copy it.
//!
//! # What crosses
//!
//! *Ids, not payloads.* The host keeps URLs, bodies, answers and reply channels by [`RequestId`],
//! and token strings by [`Generation`]. Of an answer, the status and the headers in
//! [`SIGNAL_HEADERS`] come in. *Late news is harmless*: an input about something that is over
//! does nothing. *Randomness is handed in* as one seed.
//!
//! # The laws
//!
//! Each is a property test over random sequences of events (`tests/laws.rs`).
//!
//! 1. **Never early.** No attempt starts in a scope before the latest deadline that a refusal
//!    charged to that scope has set, measured from receipt. A shorter or later answer never
//!    shortens a wait; a cap never shortens a server's wait. A refusal that states no wait sets own
//!    backoff, or [a pacer's rest](pacing#how-long-is-waited-where-a-refusal-does-not-say); while
//!    nothing is known to be let in, none is sent before one in flight is, or a second is over.
//! 2. **Never over.** Attempts in flight never exceed the concurrency limit, nor a scope's own. A
//!    slot is held from [`Output::Send`] until the host reports the attempt over.
//! 3. **Exactly one end.** Each accepted request gets exactly one [`Output::Finish`], or, once
//!    cancelled, none.
//! 4. **In order.** HIGH before NORMAL before LOW, first come first served inside a class; a
//!    retried request keeps its place. A class with an eligible request gets at least one of
//!    every [`Config::fair_share`] sends.
//! 5. **One fetch.** At most one token fetch is out; a 401 refreshes only the generation that the
//!    attempt carried; a request is replayed after a 401 at most once.
//! 6. **Bounded.** Attempts, time spent retrying, queue length and retry budget are finite. A wait
//!    that would outlast them fails at once, with the moment at which trying again makes sense.
//! 7. **Same everywhere.** Same settings, seed and inputs: the same outputs, byte for byte.
//! 8. **No busy loop.** [`Engine::poll_timeout`] is `None` or later than the last `now`; an early
//!    [`Engine::handle_timeout`] changes nothing.
//! 9. **No leak.** After all requests have ended nothing is held for them and no timer is left
//!    but that of a token fetch which is still out.
//!
//! # Where to read on
//!
//! [`Job`], [`Input`] and [`Output`] are the vocabulary. [`Config`] has the settings and their
//! defaults. [`retry`] says what each status means, [`signals`] what headers say about waiting,
//! [`oauth`] reads token answers, [`sign_in`] says how to come by them, and [`page`] is pagination.
//! [`pacing`] explains to an operator what the engine believes of a server's limits, and how to read
//! it.
#![forbid(unsafe_code)]
// Without a standard library there is none to call: no clock, no thread, no file. Tests have one.
#![cfg_attr(not(test), no_std)]

#[macro_use]
extern crate alloc;

mod agent;
mod alone;
mod attempt;
pub mod backoff;
mod base64;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod budget;
mod chunks;
pub mod config;
pub mod credentials;
mod dispatch;
mod engine;
pub mod error;
pub mod event;
mod field;
mod form;
mod gate;
pub mod http_date;
pub mod job;
mod json;
mod key_set;
pub mod oauth;
mod pacer;
#[doc = include_str!("../docs/pacing.md")]
pub mod pacing {
    pub use crate::pacer::{Basis, Belief, BelievedQuota, BelievedRate, KnownLimit, Pacing};
}
pub mod page;
pub mod profile;
mod queue;
pub mod rate_limit;
pub mod reading;
pub mod retry;
pub mod retry_after;
mod scope;
pub mod sign_in;
pub mod signals;
mod sort;
mod status;
mod structured_field;
mod text;
pub mod time;
mod timer;
mod token;
mod token_fetch;

pub use agent::poll_pause;
pub use backoff::{Backoff, Chance, StatedJitter};
pub use config::{Config, DEFAULT_SCOPE, DRAIN_LIMIT, DRAIN_TIMEOUT, MAX_SCOPES, ScopeConfig};
pub use credentials::{ClientAuth, ClientCredentials};
pub use engine::{Engine, ScopeStats, Stats};
pub use error::{ConfigError, RequestError, SubmitError, TokenFailure};
pub use event::{
    AttemptId, Failure, Generation, Head, Input, Job, Notice, Output, PauseReason, Priority,
    Replay, RequestId, Verdict, Wake,
};
pub use job::{JobPolling, JobState, JobStyle, job_state};
pub use oauth::{TokenGrant, TokenRefusal, read_token_answer};
pub use pacer::{Basis, Belief, BelievedQuota, BelievedRate, KnownLimit, Pacing};
pub use page::{PageError, PageFields, PageState, PageStep, PageStyle, Pages};
pub use reading::{Mode, Reading, ResetUnit};
pub use sign_in::{AccessKey, SignIn, SignInConfig, SignInRequest};
pub use signals::{SIGNAL_HEADERS, Signals, is_signal_header};
pub use status::status_text;
pub use time::{Instant, Now, Wall};
