//! An even rate, measured between the moments at which the server's bucket was empty.

use core::time::Duration;

use super::belief::{Belief, Limit, Pacing};
use super::{Mark, Refusal};
use crate::gate::Permit;
use crate::time::Instant;

const SECOND: u64 = 1_000_000_000;

/// While nothing is measured the rate doubles in about this time.
const SEARCH_TAU: u64 = 1_400_000_000;
/// A measured rate is kept for so long before it is tried to do better.
const HOLD: u64 = 15 * SECOND;
const GROW_TAU: u64 = 20 * SECOND;
const GROW_FASTER: u64 = 2 * SECOND;
/// Fewer than so many accepted between two refusals measure nothing.
const ENOUGH: u64 = 4;

#[derive(Debug)]
pub(super) struct Bucket {
    /// Nanoseconds from one request to the next.
    interval: u64,
    burst: u64,
    /// GCRA's theoretical arrival time.
    tat: u64,
    learns: bool,
    measured: bool,
    first: Mark,
    /// The last refusal: the bucket was empty then.
    mark: Mark,
    /// Refused since, the mark not counted.
    refused: u64,
    /// Refusals in a row with nothing accepted between them.
    fruitless: u32,
    /// What consistent measurements add up to: so many in so long a time.
    accepted: u64,
    span: u64,
    hold_until: u64,
    last: u64,
}

pub(super) enum Lesson {
    Learned,
    NotARate,
}

impl Bucket {
    pub(super) fn known(limit: Limit, burst: u32, pacing: Pacing) -> Bucket {
        let per = u64::try_from(limit.per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / u64::from(limit.requests.max(1))).max(1);
        let mark = Mark::default();
        Bucket {
            learns: pacing != Pacing::Fixed(limit),
            measured: true,
            hold_until: HOLD,
            ..Bucket::new(interval, u64::from(burst.max(1)), mark, mark)
        }
    }

    /// After the first refusal.
    pub(super) fn met(quota: u64, rtt: Duration, mark: Mark, first: Mark, opens: Instant) -> Bucket {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        let mut bucket = Bucket::new(rtt.clamp(SECOND / 10_000, SECOND), quota, mark, first);
        bucket.empty_until(opens);
        bucket
    }

    /// A quota of a short window, kept to evenly.
    pub(super) fn of_window(quota: u64, window: u64, mark: Mark) -> Bucket {
        let interval = (window / quota.max(1)).max(SECOND / 10_000);
        Bucket::new(interval, 1, mark, mark)
    }

    fn new(interval: u64, burst: u64, mark: Mark, first: Mark) -> Bucket {
        Bucket {
            interval,
            burst: burst.max(1),
            tat: 0,
            learns: true,
            measured: false,
            first,
            mark,
            refused: 0,
            fruitless: 0,
            accepted: 0,
            span: 0,
            hold_until: 0,
            last: 0,
        }
    }

    pub(super) fn permit(&self, now: Instant) -> Permit {
        let earliest = self.tat.saturating_sub((self.burst - 1).saturating_mul(self.interval));
        match now.as_nanos() >= earliest {
            true => Permit::Now,
            false => Permit::At(Instant::from_nanos(earliest)),
        }
    }

    pub(super) fn sent(&mut self, mark: Mark) {
        let now = mark.at.as_nanos();
        let since = now.saturating_sub(self.last).min(2 * self.interval);
        self.last = now;
        if self.learns && now >= self.hold_until {
            let tau = match self.measured {
                false => SEARCH_TAU,
                true => {
                    let grown = now - self.hold_until;
                    (u128::from(GROW_TAU) * u128::from(GROW_FASTER)
                        / u128::from(GROW_FASTER + grown)) as u64
                }
            };
            let level = self.level(now);
            let less = u128::from(self.interval) * u128::from(since) / u128::from(tau.max(1));
            let less = (less as u64).min(self.interval / 3);
            self.interval = (self.interval - less).max(SECOND / 100_000);
            self.set_level(level, now);
        }
        self.tat = self.tat.max(now).saturating_add(self.interval);
    }

    pub(super) fn passed(&mut self, mark: Mark, _now: Instant) -> bool {
        if mark.seq > self.mark.seq {
            self.fruitless = 0;
        }
        false
    }

    pub(super) fn refused_again(&mut self, mark: Mark) {
        if mark.seq > self.mark.seq {
            self.refused += 1;
        }
    }

    pub(super) fn refused(&mut self, mark: Mark, refusal: &Refusal) -> Lesson {
        let accepted = self.passed_since_mark(mark);
        let span = mark.at.saturating_since(self.mark.at).as_nanos() as u64;
        if accepted == 0 {
            self.fruitless += 1;
            if refusal.stated.is_none() && (!self.measured || self.fruitless >= 2) {
                return Lesson::NotARate;
            }
        }
        if accepted >= ENOUGH {
            // As many as the rate so far would give, but for noise?
            let expected = match self.accepted {
                0 => accepted,
                n => (u128::from(n) * u128::from(span) / u128::from(self.span.max(1))) as u64,
            };
            let noise = 2 + accepted / 16;
            if self.accepted == 0 || expected.abs_diff(accepted) > noise {
                (self.accepted, self.span) = (0, 0);
            }
            self.accepted += accepted;
            self.span += span;
            self.interval = (self.span / self.accepted).max(SECOND / 100_000);
            self.measured = true;
        } else {
            self.interval = self.interval.saturating_add(self.interval * 3 / 7);
        }
        self.mark = mark;
        self.refused = 0;
        self.hold_until = refusal.opens.as_nanos() + HOLD;
        if !self.measured {
            self.hold_until = 0;
        }
        self.empty_until(refusal.opens);
        Lesson::Learned
    }

    pub(super) fn passed_since_mark(&self, mark: Mark) -> u64 {
        (mark.seq - self.mark.seq).saturating_sub(1).saturating_sub(self.refused)
    }

    pub(super) fn marked_at(&self) -> Instant {
        self.mark.at
    }

    pub(super) fn first(&self) -> Mark {
        self.first
    }

    pub(super) fn burst(&self) -> u64 {
        self.burst
    }

    pub(super) fn belief(&self) -> Belief {
        Belief::Rate {
            interval: Duration::from_nanos(self.interval),
            burst: u32::try_from(self.burst).unwrap_or(u32::MAX),
            measured: self.measured,
        }
    }

    /// One request may go at that moment, and then evenly.
    fn empty_until(&mut self, at: Instant) {
        self.tat = at.as_nanos().saturating_add((self.burst - 1).saturating_mul(self.interval));
    }

    /// How far the bucket is from full, in nanoseconds at the present interval.
    fn level(&self, now: u64) -> u64 {
        self.tat.saturating_sub(now) / self.interval.max(1)
    }

    fn set_level(&mut self, missing: u64, now: u64) {
        if missing > 0 {
            self.tat = now.saturating_add(missing.saturating_mul(self.interval));
        }
    }
}
