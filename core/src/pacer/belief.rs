//! What may be told of a pacer: its settings, and what it believes.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::text::text;
use crate::time::{Instant, millis};

/// How a scope is paced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pacing {
    /// What the server allows is learned from its answers.
    #[default]
    Learned,
    /// Nothing is learned: only refusals and budgets announced as spent hold requests back.
    Off,
    /// This limit is kept to, whatever the server announces, and nothing is learned. Refusals are
    /// obeyed as always.
    Fixed(KnownLimit),
    /// This limit is believed until the server's answers say otherwise.
    Seeded(KnownLimit),
}

/// A limit as an operator knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownLimit {
    /// So many requests, at least 1,
    pub requests: u32,
    /// in so long a time, at least 1 ms.
    pub per: Duration,
    /// `None`: a quota a window, all of which may be used at once. `Some(n)`: an even rate, of
    /// which `n` requests, at least 1, may go at once after a rest.
    pub burst: Option<u32>,
}

/// What the engine believes a scope's server to allow. Where nothing is believed, requests go as
/// fast as the concurrency lets them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Belief {
    /// A quota a window.
    pub quota: Option<BelievedQuota>,
    /// An even rate.
    pub rate: Option<BelievedRate>,
}

/// A quota that is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BelievedQuota {
    /// Requests a window.
    pub requests: u64,
    /// The window's length, if known.
    pub window: Option<Duration>,
    /// How many are left in this window.
    pub remaining: u64,
    /// When the next window begins, at the latest, if known.
    pub resets: Option<Instant>,
    /// Why it is believed.
    pub basis: Basis,
}

/// A rate that is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BelievedRate {
    /// The time from one request to the next.
    pub interval: Duration,
    /// Requests that may go at once after a rest.
    pub burst: u64,
    /// Why it is believed.
    pub basis: Basis,
}

/// Why something is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// It is in the configuration.
    Configured,
    /// The server's answers announce it.
    Announced,
    /// It was measured by what the server accepted until it refused.
    Measured,
    /// It was met, but not measured yet: it is being looked for.
    Sought,
}

impl Basis {
    const fn word(self) -> &'static str {
        match self {
            Basis::Configured => "configured",
            Basis::Announced => "announced",
            Basis::Measured => "measured",
            Basis::Sought => "sought",
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Belief {
    /// What its `Display` shows: `150 requests per 300000ms (announced)`, `one request each 20ms
    /// (measured)`, `one request each 2500µs (sought)`, or both.
    pub fn text(&self) -> String {
        let quota = self.quota.map(|BelievedQuota { requests, window, basis, .. }| {
            let span = window.map_or_else(|| "window".to_owned(), |it| text![millis(it), "ms"]);
            text![requests, " requests per ", span, " (", basis.word(), ")"]
        });
        let rate = self.rate.map(|BelievedRate { interval, basis, .. }| {
            text!["one request each ", fine(interval), " (", basis.word(), ")"]
        });
        match (quota, rate) {
            (Some(quota), Some(rate)) => text![quota, ", ", rate],
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "unknown".to_owned(),
        }
    }
}

impl fmt::Display for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// In milliseconds, or below ten of them, where these are too coarse, in microseconds.
fn fine(interval: Duration) -> String {
    match u64::try_from(interval.as_micros()) {
        Ok(micros @ ..10_000) if micros % 1000 > 0 => text![micros, "µs"],
        _ => text![millis(interval), "ms"],
    }
}

#[cfg(test)]
mod tests;
