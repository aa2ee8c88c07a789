//! Simulated servers for testing clients of rate-limited APIs.
//!
//! So far this crate holds one thing: [`limiter`], the four ways in which servers count
//! requests, as plain functions of time. There is no clock and no I/O in it: a caller hands
//! in the time, so that a test can run an hour in a microsecond and get the same answer twice.
//!
//! ```
//! use std::time::Duration;
//!
//! use cxone_sim::{Decision, LimitSpec, Limiter};
//!
//! let spec: LimitSpec = "fixed:2/10s".parse()?;
//! let mut limiter = Limiter::new(spec);
//! let at = Duration::from_secs;
//!
//! assert!(limiter.try_acquire(at(0)).is_allowed());
//! assert!(limiter.try_acquire(at(3)).is_allowed());
//! assert_eq!(limiter.try_acquire(at(4)), Decision::Refused { retry_at: at(10) });
//! assert!(limiter.try_acquire(at(10)).is_allowed());
//! # Ok::<(), cxone_sim::SpecError>(())
//! ```

#![forbid(unsafe_code)]

pub mod limiter;

pub use limiter::{Decision, LimitSpec, Limiter, Model, SpecError};
