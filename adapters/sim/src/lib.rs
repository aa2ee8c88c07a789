//! Simulated servers and virtual time for testing clients of rate-limited APIs.
//!
//! [`limiter`] holds the four ways in which servers count requests, as plain functions of time.
//! [`World`] runs real engines against a model server, on a clock that jumps from event to event:
//! hours of traffic take milliseconds, and the same seed gives the same run. There is no clock and
//! no I/O in any of it.
//!
//! ```
//! use std::time::Duration;
//!
//! use cxone_core::{Config, Priority};
//! use cxone_sim::{Client, Latency, RetryAfter, Server, SimJob, Windows, World};
//!
//! // 600 recordings at 150 per 5 minutes, all wanted at once.
//! let mut server = Server::new("fixed:150/5m".parse()?);
//! server.windows = Windows::FirstRequest;
//! server.retry_after = RetryAfter::Seconds;
//! let job = SimJob { at: Duration::ZERO, priority: Priority::Normal };
//! let client = Client { config: Config::default(), jobs: vec![job; 600] };
//! let world = World::new(server, Latency::Constant(Duration::from_millis(100)), client);
//!
//! let report = world.run(1)?;
//! assert_eq!((report.lost, report.early), (0, 0));
//! assert!(report.makespan >= report.ideal && report.ideal > Duration::from_secs(900));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`suite()`] is the set of worlds by which the engine's pacing is judged; see it with
//! `cargo run --release -p cxone-sim --example suite`.

#![forbid(unsafe_code)]

mod dice;
mod headers;
mod ideal;
mod latency;
pub mod limiter;
#[cfg(test)]
mod peers;
mod report;
mod server;
mod stalls;
pub mod suite;
mod summary;
mod world;

pub use headers::{Announce, RetryAfter};
pub use ideal::ideal_makespan;
pub use latency::Latency;
pub use limiter::{Decision, LimitSpec, Limiter, Model, SpecError};
pub use report::{Class, Report};
pub use server::{Change, Server, When, Windows};
pub use stalls::Stalls;
pub use suite::{Policy, Scenario, Urgent, strangers, suite};
pub use summary::Summary;
pub use world::{Client, Event, SimJob, World};
