//! What may be told of a pacer: its settings, and what it believes.

use core::time::Duration;

use crate::time::Instant;

/// How a scope is paced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pacing {
    /// What the server allows is learned from its answers.
    #[default]
    Learned,
    /// Nothing is learned: only refusals and budgets announced as spent hold requests back.
    Off,
    /// This limit is kept to, and nothing is learned.
    Fixed(Limit),
    /// This limit is believed until the server's answers say otherwise.
    Seeded(Limit),
}

/// A limit as an operator knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// So many requests, at least 1,
    pub requests: u32,
    /// in so long a time, at least 1 ms.
    pub per: Duration,
    /// `None`: a quota a window, all of which may be used at once. `Some(n)`: a rate, of which
    /// `n` requests, at least 1, may go at once after a rest.
    pub burst: Option<u32>,
}

/// What the engine believes a scope's server to allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Belief {
    /// Nothing is known: requests go as fast as the concurrency allows.
    #[default]
    Unknown,
    /// A quota a window.
    Quota {
        /// Requests a window.
        requests: u64,
        /// Its length, if known.
        window: Option<Duration>,
        /// How many are left now.
        remaining: u64,
        /// When it begins anew, if known.
        resets: Option<Instant>,
    },
    /// An even rate.
    Rate {
        /// The time from one request to the next.
        interval: Duration,
        /// Requests that may go at once after a rest.
        burst: u32,
        /// Whether it was measured, or is still looked for.
        measured: bool,
    },
}
