//! A quota a window.

use core::time::Duration;

use super::belief::Belief;
use super::search::{STANDARD, Search, slack};
use super::{Asker, Mark, Refusal};
use crate::gate::Permit;
use crate::time::{Instant, Wall};

#[derive(Debug)]
pub(super) struct Window {
    quota: u64,
    length: Option<Duration>,
    /// The first attempt of the window, and when it was answered.
    base: Mark,
    /// That of the window before.
    before: Instant,
    /// Refused in this window.
    refused: u64,
    /// When the window begins anew, at the latest.
    reset: Option<Instant>,
    /// Windows in a row that were used up without a refusal.
    clean: u32,
    /// After so many of them it is measured again.
    measure_after: u32,
    fixed: bool,
    /// So many may be in flight, as in the gate's ramp: a window that slides frees its places at
    /// the pace at which they were taken.
    ramp: u32,
    /// A refusal fell into this window.
    spoiled: bool,
    /// Refused far too early once: the reset may be dated wrongly.
    doubted: bool,
    /// It was met by being refused, and no other has begun since.
    new: bool,
    /// Accepted beyond the quota in this window.
    over: u32,
    pub(super) high: Reserve,
}

impl Window {
    pub(super) fn known(quota: u32, length: Duration) -> Window {
        Window {
            quota: u64::from(quota.max(1)),
            length: Some(length),
            base: Mark::default(),
            before: Instant::ORIGIN,
            refused: 0,
            reset: Some(Instant::ORIGIN),
            clean: 0,
            measure_after: 1,
            fixed: true,
            ramp: 1,
            spoiled: false,
            doubted: false,
            new: false,
            over: 0,
            high: Reserve::default(),
        }
    }

    /// The server has refused and stated a wait.
    pub(super) fn met(quota: u64, first: Mark, reset: Instant, wall: Wall, now: Instant) -> Window {
        Window {
            quota,
            length: guess(first.at, reset, wall, now),
            base: first,
            before: first.at,
            refused: 1,
            reset: Some(reset),
            clean: 0,
            measure_after: 2,
            fixed: false,
            ramp: 1,
            spoiled: true,
            doubted: false,
            new: true,
            over: 0,
            high: Reserve::default(),
        }
    }

    /// A probe found it open again.
    pub(super) fn found(quota: u64, mark: Mark, length: Option<Duration>, now: Instant) -> Window {
        Window {
            quota,
            length,
            base: mark,
            before: mark.at,
            refused: 0,
            reset: length.map(|length| now + length + slack(length)),
            clean: 0,
            measure_after: 2,
            fixed: false,
            ramp: 1,
            spoiled: true,
            doubted: false,
            new: false,
            over: 0,
            high: Reserve::default(),
        }
    }

    pub(super) fn permit(&self, now: Instant, seq: u64, in_flight: u32, asker: Asker) -> Permit {
        if self.reset.is_some_and(|reset| now >= reset) {
            return Permit::Now;
        }
        let used = self.used(seq);
        if used < self.quota && in_flight >= self.ramp {
            return Permit::Full;
        }
        if used < self.quota {
            let left = self.quota - used;
            return match self.reset {
                Some(reset) if !asker.high && asker.backlog > left + u64::from(in_flight) => {
                    let length = self.length.unwrap_or(reset.saturating_since(self.base.at));
                    self.high.permit(now, left, self.high.seen(self.quota), reset, length)
                }
                _ => Permit::Now,
            };
        }
        // A few that are left are worth a try: they would wait for a whole window.
        let few = !self.spoiled && asker.backlog <= self.quota / 4;
        let measure = self.reset.is_none() || few || self.clean >= self.measure_after;
        match self.reset {
            _ if measure && in_flight <= self.over / 2 => Permit::Now,
            _ if measure && !self.fixed => Permit::AfterAnswer,
            Some(reset) => Permit::At(reset),
            None => Permit::AfterAnswer,
        }
    }

    pub(super) fn sent(&mut self, mark: Mark, high: bool) {
        if self.reset.is_some_and(|reset| mark.at >= reset) {
            let used = self.used(mark.seq);
            self.clean += u32::from(used >= self.quota && !self.spoiled);
            self.spoiled = false;
            self.new = false;
            self.ramp = 1;
            self.over = 0;
            self.before = self.base.at;
            self.base = mark;
            self.refused = 0;
            self.reset = self.length.map(|length| mark.at + length + slack(length));
            self.high.roll();
        }
        self.high.sent(high);
    }

    pub(super) fn passed(&mut self, mark: Mark, now: Instant) -> bool {
        if mark.seq == self.base.seq
            && let Some(length) = self.length
        {
            self.reset = Some(now + length + slack(length));
        }
        if mark.seq >= self.base.seq {
            self.ramp = self.ramp.max(1).saturating_add(1);
        }
        let used = self.used(mark.seq + 1);
        if used > self.quota && mark.seq >= self.base.seq && !self.fixed {
            self.quota = used;
            self.over += 1;
            return true;
        }
        false
    }

    pub(super) fn refused_again(&mut self, mark: Mark) {
        if mark.seq >= self.base.seq {
            self.refused += 1;
            if self.new {
                self.quota = (self.quota - 1).max(1);
            }
        }
    }

    pub(super) fn refused(
        &mut self,
        mark: Mark,
        refusal: &Refusal,
        now: Instant,
        wall: Wall,
    ) -> Option<Search> {
        let used = self.used(mark.seq);
        self.refused += 1;
        if used > 0 {
            if self.clean >= self.measure_after {
                self.measure_after = self.measure_after.saturating_mul(2);
            }
            self.clean = 0;
            self.spoiled = true;
        }
        if used > 0 && used < self.quota / 2 && refusal.stated.is_none() && !self.doubted {
            self.doubted = true;
            return None;
        }
        self.doubted = false;
        if used > 0 {
            self.quota = used;
        }
        if let Some(wait) = refusal.stated {
            let reset = now + wait;
            // The window began at the base or a little before, or has not ended yet.
            let began = if used > 0 { self.base.at } else { self.before };
            let length = reset.saturating_since(began);
            self.length = snap(length).or(Some(length));
            self.reset = Some(reset);
            return None;
        }
        if used > 0 && self.reset.is_some() {
            return None;
        }
        if used == 0 {
            self.length = None; // too short
        }
        let first = if used > 0 { self.base.at } else { self.before };
        let mut search = Search::new(self.quota, first, wall, now);
        search.refused(refusal.opens, wall, now);
        Some(search)
    }

    pub(super) fn belief(&self, seq: u64) -> Belief {
        Belief::Quota {
            requests: self.quota,
            window: self.length,
            remaining: self.quota.saturating_sub(self.used(seq)),
            resets: self.reset,
        }
    }

    fn used(&self, seq: u64) -> u64 {
        seq.saturating_sub(self.base.seq).saturating_sub(self.refused)
    }
}

/// The length of a window of which the first use and the reset are known.
fn guess(first: Instant, reset: Instant, wall: Wall, now: Instant) -> Option<Duration> {
    let seen = reset.saturating_since(first);
    snap(seen).or_else(|| {
        // Does the wall clock divide it?
        let at = wall.as_millis() + reset.saturating_since(now).as_millis() as u64;
        let aligned = |seconds: &u64| {
            let past = at % (seconds * 1000);
            past <= 1100 && Duration::from_secs(*seconds) >= seen
        };
        STANDARD.iter().find(|seconds| **seconds >= 10 && aligned(seconds)).map(|s| Duration::from_secs(*s))
    })
}

/// The standard window that this length is, if it is one but for rounding.
pub(super) fn snap(length: Duration) -> Option<Duration> {
    let near = |seconds: &u64| {
        let window = Duration::from_secs(*seconds);
        length.abs_diff(window) <= (window / 50).max(Duration::from_millis(1500)).min(window / 5)
    };
    STANDARD.iter().rev().find(|seconds| near(seconds)).map(|seconds| Duration::from_secs(*seconds))
}

/// The longest standard window of at most this length, if it is that but for rounding.
pub(super) fn standard_below(length: Duration, rounding: Duration) -> Option<Duration> {
    let windows = STANDARD.iter().rev().map(|seconds| Duration::from_secs(*seconds));
    windows.into_iter().find(|window| *window <= length && length - *window < rounding)
}

/// What is kept of a quota for urgent requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserve {
    now: u64,
    before: u64,
}

impl Reserve {
    pub(super) fn roll(&mut self) {
        (self.before, self.now) = (self.now, 0);
    }

    pub(super) fn sent(&mut self, high: bool) {
        self.now += u64::from(high);
    }

    /// As many as the window before needed.
    pub(super) fn seen(&self, quota: u64) -> u64 {
        self.before.saturating_sub(self.now).min(quota / 4)
    }

    /// A sixteenth, or more if more are needed.
    pub(super) fn some(&self, quota: u64) -> u64 {
        (self.before.max(self.now) + 1).max(quota / 16).min(quota / 4)
    }

    /// May a request that is not urgent use one of the `left` ones?
    pub(super) fn permit(
        &self,
        now: Instant,
        left: u64,
        most: u64,
        reset: Instant,
        length: Duration,
    ) -> Permit {
        if left > most {
            return Permit::Now;
        }
        // `left` are kept for as long a part of the window as they are of the reserve.
        let tail = length / 20;
        let length = length.saturating_sub(tail);
        let kept = length.as_nanos() * u128::from(left) / u128::from(most.max(1));
        let until_reset = Duration::from_nanos(kept as u64) + tail;
        let at = Instant::from_nanos(reset.as_nanos().saturating_sub(until_reset.as_nanos() as u64));
        if now >= at { Permit::Now } else { Permit::At(at) }
    }
}
