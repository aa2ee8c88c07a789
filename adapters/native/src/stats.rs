//! What a client is doing, in numbers.

use std::time::Duration;

use cxone_core::{Belief, Priority};

use crate::clock::Clock;

/// The state of a client at one moment; the counters count since it was built.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that wait for their turn, by class: HIGH, NORMAL, LOW.
    pub queued: [u64; Priority::ALL.len()],
    /// Failed requests that wait alone for their next sending.
    pub waiting: u64,
    /// Sendings that hold a slot.
    pub in_flight: u64,
    /// Sendings so far.
    pub sends: u64,
    /// Answers so far that were throttles.
    pub throttled: u64,
    /// Sendings so far that were not a request's first.
    pub retries: u64,
    /// Token fetches so far.
    pub token_fetches: u64,
    /// Requests that ended so far.
    pub finished: u64,
    /// Requests that were cancelled so far.
    pub cancelled: u64,
    /// Every scope that is known now.
    pub scopes: Vec<ScopeStats>,
}

/// The state of one scope.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ScopeStats {
    /// Its name.
    pub name: String,
    /// How long it stays closed; `None` if it is not.
    pub closed_for: Option<Duration>,
    /// Is it held by [`pause_scope`](crate::Client::pause_scope) or
    /// [`pause`](crate::Client::pause)?
    pub held: bool,
    /// Sendings in flight in it.
    pub in_flight: u32,
    /// What its server is believed to allow, and why.
    pub belief: Belief,
    /// How long until the next window of the quota in [`belief`](Self::belief) begins, if that is
    /// known. (The moment that is given there is the engine's, and says nothing elsewhere.)
    pub resets_in: Option<Duration>,
}

impl Stats {
    pub(crate) fn new(stats: &cxone_core::Stats, clock: &Clock) -> Stats {
        Stats {
            queued: stats.queued,
            waiting: stats.waiting,
            in_flight: stats.in_flight,
            sends: stats.sends,
            throttled: stats.throttled,
            retries: stats.retries,
            token_fetches: stats.token_fetches,
            finished: stats.finished,
            cancelled: stats.cancelled,
            scopes: stats.scopes.iter().map(|scope| ScopeStats::new(scope, clock)).collect(),
        }
    }
}

impl ScopeStats {
    fn new(scope: &cxone_core::ScopeStats, clock: &Clock) -> ScopeStats {
        let closed_for = scope.closed_until.map(|at| clock.until(at));
        let resets = scope.belief.quota.and_then(|quota| quota.resets);
        ScopeStats {
            name: scope.name.to_string(),
            closed_for: closed_for.filter(|wait| !wait.is_zero()),
            held: scope.held,
            in_flight: scope.in_flight,
            belief: scope.belief,
            resets_in: resets.map(|at| clock.until(at)),
        }
    }
}
