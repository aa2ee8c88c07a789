//! The settings, their defaults, and their checks.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::backoff::Backoff;
use crate::error::ConfigError;
use crate::pacer::{KnownLimit, Pacing};
use crate::reading::Reading;

/// How many scopes a request may name.
pub const MAX_SCOPES: usize = 4;

/// How many bytes of a body that nobody wants are read at most.
pub const DRAIN_LIMIT: usize = 64 * 1024;

/// How long a body that nobody wants is read at most.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of the scope of a request that names none.
pub const DEFAULT_SCOPE: &str = "default";

/// The settings of an [`Engine`](crate::Engine). Every default is the value we would choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Attempts in flight at once, 1 to 65 535. Default 8.
    pub concurrency: u32,
    /// Failures (the 408 … timeout row of [`retry`](crate::retry)) after which a request fails,
    /// at least 1. Throttles and the replay after a 401 do not count. Default 5.
    pub max_attempts: u32,
    /// Time spent retrying after a request's first send. Default 1 h.
    pub retry_for: Duration,
    /// The longest wait that a server may state. Default 15 min.
    pub max_wait: Duration,
    /// Time allowed to an attempt; for a streamed one, until its head. Default 15 s.
    pub attempt_timeout: Duration,
    /// Requests that may wait, checked at submit and never at a requeue. Default 1 048 576.
    pub queue_limit: u32,
    /// A class with an eligible request gets one of so many sends, at least 2. Default 16.
    pub fair_share: u32,
    /// After the token endpoint refused for good, no fetch is tried for so long. Default 30 s.
    pub token_cooldown: Duration,
    /// The arithmetic of the waits.
    pub backoff: Backoff,
    /// How limit headers are read.
    pub reading: Reading,
    /// How scopes are paced of which [`scopes`](Self::scopes) says nothing else. Default: their
    /// limits are learned.
    pub pacing: Pacing,
    /// Scopes that are known beforehand. Others come and go as jobs name them.
    pub scopes: Vec<ScopeConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            concurrency: 8,
            max_attempts: 5,
            retry_for: Duration::from_secs(3600),
            max_wait: Duration::from_secs(15 * 60),
            attempt_timeout: Duration::from_secs(15),
            queue_limit: 1 << 20,
            fair_share: 16,
            token_cooldown: Duration::from_secs(30),
            backoff: Backoff::default(),
            reading: Reading::default(),
            pacing: Pacing::default(),
            scopes: Vec::new(),
        }
    }
}

/// What is known beforehand of a scope.
#[derive(Clone, Debug)]
pub struct ScopeConfig {
    /// Its name.
    pub name: String,
    /// Attempts in flight at once in this scope, at least 1; `None`: as the client's.
    pub concurrency: Option<u32>,
    /// Do its attempts count apart from the client's concurrency? For long polls, which would
    /// hold a slot for minutes. Needs a `concurrency`.
    pub apart: bool,
    /// How it is paced; `None`: as [`Config::pacing`] says.
    pub pacing: Option<Pacing>,
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let error = |field, fix| Err(ConfigError { field, fix });
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return error("concurrency", "choose 1 to 65535");
        }
        if self.max_attempts == 0 {
            return error("max_attempts", "choose 1 (no retry) or more");
        }
        if self.queue_limit == 0 {
            return error("queue_limit", "choose 1 or more");
        }
        if self.fair_share < 2 {
            return error("fair_share", "choose 2 or more");
        }
        if self.attempt_timeout.is_zero() {
            return error("attempt_timeout", "choose more than zero; Duration::MAX is none");
        }
        if self.backoff.base < Duration::from_millis(1) {
            return error(
                "backoff.base",
                "choose 1 ms or more: without a pause a retry is a hot loop",
            );
        }
        if self.backoff.cap < self.backoff.base {
            return error("backoff.cap", "choose at least backoff.base");
        }
        if !is_possible(self.pacing) {
            return error("pacing", LIMIT_FIX);
        }
        for (i, scope) in self.scopes.iter().enumerate() {
            if !scope.pacing.is_none_or(is_possible) {
                return error("scopes.pacing", LIMIT_FIX);
            }
            if scope.name.is_empty() {
                return error("scopes.name", "a scope needs a name");
            }
            if self.scopes[..i].iter().any(|other| other.name == scope.name) {
                return error("scopes.name", "name each scope once");
            }
            match scope.concurrency {
                Some(n) if !(1..=MAX_CONCURRENCY).contains(&n) => {
                    return error("scopes.concurrency", "choose 1 to 65535");
                }
                None if scope.apart => {
                    return error(
                        "scopes.concurrency",
                        "a scope apart needs a concurrency of its own",
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

const LIMIT_FIX: &str = "choose 1 request or more in 1 ms or more, and a burst of 1 or more";

fn is_possible(pacing: Pacing) -> bool {
    match pacing {
        Pacing::Learned | Pacing::Off => true,
        Pacing::Fixed(KnownLimit { requests, per, burst })
        | Pacing::Seeded(KnownLimit { requests, per, burst }) => {
            requests > 0 && per >= Duration::from_millis(1) && burst != Some(0)
        }
    }
}

/// More than any runtime keeps open; it keeps counters far from their ends.
pub(crate) const MAX_CONCURRENCY: u32 = 65_535;
