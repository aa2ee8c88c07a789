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
const HOLD: u64 = 11 * SECOND;
const GROW_TAU: u64 = 4 * SECOND;
/// One measured roughly grows by this.
const ROUGH_TAU: u64 = 6 * SECOND;
const FASTEST: u64 = 10_000;
/// Fewer than so many accepted between two refusals measure nothing.
const ENOUGH: u64 = 4;
const EXACT: u64 = 16;

#[derive(Debug)]
pub(super) struct Bucket {
    /// Nanoseconds from one request to the next.
    interval: u64,
    burst: u64,
    /// The next may go then: GCRA's theoretical arrival time less its tolerance.
    ready: u64,
    learns: bool,
    quality: Quality,
    first: Mark,
    /// The last refusal: the bucket was empty then.
    mark: Mark,
    /// When requests went again after it.
    opened: Mark,
    /// When it was tried to do better.
    grown: Option<(Mark, u64)>,
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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quality {
    /// Nothing is measured.
    None,
    Rough,
    Exact,
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
            quality: Quality::Exact,
            hold_until: HOLD,
            ..Bucket::new(interval, u64::from(burst.max(1)), mark, mark)
        }
    }

    /// After the first refusal.
    pub(super) fn met(quota: u64, rtt: Duration, mark: Mark, first: Mark, opens: Instant) -> Bucket {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        let mut bucket = Bucket::new(rtt.clamp(FASTEST, SECOND), quota, mark, first);
        bucket.empty_until(opens);
        bucket
    }

    /// A quota of a short window, kept to evenly.
    pub(super) fn of_window(quota: u64, window: u64, mark: Mark) -> Bucket {
        let interval = (window / quota.max(1)).max(FASTEST);
        Bucket { opened: mark, quality: Quality::Rough, ..Bucket::new(interval, 1, mark, mark) }
    }

    fn new(interval: u64, burst: u64, mark: Mark, first: Mark) -> Bucket {
        Bucket {
            interval,
            burst: burst.max(1),
            ready: 0,
            learns: true,
            quality: Quality::None,
            first,
            mark,
            opened: Mark::default(),
            grown: None,
            refused: 0,
            fruitless: 0,
            accepted: 0,
            span: 0,
            hold_until: 0,
            last: 0,
        }
    }

    pub(super) fn permit(&self, now: Instant) -> Permit {
        match now.as_nanos() >= self.ready {
            true => Permit::Now,
            false => Permit::At(Instant::from_nanos(self.ready)),
        }
    }

    pub(super) fn sent(&mut self, mark: Mark, backlog: u64) {
        let now = mark.at.as_nanos();
        if self.opened.seq <= self.mark.seq {
            self.opened = mark;
        }
        let since = now.saturating_sub(self.last).min(2 * self.interval);
        self.last = now;
        // What is left may not be worth a refusal.
        let worth = self.quality != Quality::Exact
            || self.interval.saturating_mul(backlog) >= HOLD;
        if self.learns && worth && now >= self.hold_until {
            let (grown, base) = *self.grown.get_or_insert((mark, self.interval));
            // More was accepted than the rate and all that was saved up explain: it has risen.
            let rested = nanos(self.opened.at.saturating_since(self.mark.at));
            let explained = (nanos(mark.at.saturating_since(grown.at)) + rested) / base + 4;
            if self.quality == Quality::Exact && mark.seq - grown.seq > explained {
                self.quality = Quality::None;
            }
            let tau = self.tau();
            let less = u128::from(self.interval) * u128::from(since) / u128::from(tau.max(1));
            let less = (less as u64).min(self.interval / 3);
            let fastest = if self.quality == Quality::Exact { base * 2 / 3 } else { FASTEST };
            self.interval = (self.interval - less).max(fastest.max(FASTEST));
        }
        let tolerance = (self.burst - 1).saturating_mul(self.interval);
        self.ready = self.ready.max(now.saturating_sub(tolerance)).saturating_add(self.interval);
    }

    /// The time in which the rate grows by a factor of e.
    fn tau(&self) -> u64 {
        match self.quality {
            Quality::None => SEARCH_TAU,
            Quality::Rough => ROUGH_TAU,
            Quality::Exact => GROW_TAU,
        }
    }

    pub(super) fn passed(&mut self, mark: Mark, now: Instant) -> bool {
        if mark.seq > self.mark.seq {
            self.fruitless = 0;
            if self.quality == Quality::None && mark.seq == self.opened.seq {
                // A refusal may be told sooner than an answer: that is how long one takes.
                let rtt = now.saturating_since(mark.at).as_nanos() as u64;
                self.interval = self.interval.max(rtt.min(SECOND));
                self.ready = self.ready.max(self.last.saturating_add(self.interval));
            }
        }
        false
    }

    pub(super) fn refused_again(&mut self, mark: Mark) {
        if self.opened.seq == 0 && mark.seq >= self.first.seq {
            self.burst = (self.burst - 1).max(1);
        }
        if mark.seq > self.mark.seq {
            self.refused += 1;
            if self.quality == Quality::Exact {
                self.hold_until += HOLD;
            }
        }
    }

    /// Does the rate explain this refusal?
    pub(super) fn explains(&self, mark: Mark) -> bool {
        self.passed_since_mark(mark) >= ENOUGH
    }

    /// For how long nothing is sent after a refusal that the rate explains.
    pub(super) fn rest(&self) -> Duration {
        Duration::from_nanos(self.interval.saturating_mul(2).min(SECOND))
    }

    pub(super) fn refused(&mut self, mark: Mark, refusal: &Refusal) -> Lesson {
        let accepted = self.passed_since_mark(mark);
        let span = nanos(mark.at.saturating_since(self.mark.at));
        if accepted == 0 {
            self.fruitless += 1;
            if refusal.stated.is_none()
                && (self.quality == Quality::None || self.fruitless >= 2)
            {
                return Lesson::NotARate;
            }
        }
        if accepted >= ENOUGH {
            let whole = span / accepted;
            // Had it been full in between, some would have been lost, and it allows more.
            let since_opened = (mark.seq - self.opened.seq).saturating_sub(self.refused);
            let open = nanos(mark.at.saturating_since(self.opened.at));
            let rest = nanos(self.opened.at.saturating_since(self.mark.at));
            let without_burst = match since_opened.checked_sub(self.burst) {
                Some(more @ 1..) => open / more,
                _ => u64::MAX,
            };
            let least = whole.min(without_burst).max(FASTEST);
            let surplus = |at: Mark| {
                let allowed = nanos(at.at.saturating_since(self.mark.at)) / least;
                allowed.saturating_sub(at.seq - self.mark.seq)
            };
            let slow = self.grown.is_some_and(|(grown, _)| surplus(grown) > self.burst + 1);
            let filled = rest / least > self.burst;
            let counted = if filled { since_opened.saturating_sub(self.burst) } else { accepted };
            // Had it been full when the rate grew past it, it would have taken until now to empty.
            let share = overshoot(self.burst, self.interval, self.tau());
            let more = (self.interval >> 10).saturating_mul(share.max(30));
            let least = least.min(self.interval + more);
            if slow {
                self.interval = least;
                self.quality = if share < 150 { Quality::Exact } else { Quality::Rough };
                (self.accepted, self.span) = (0, 0);
            } else if counted >= EXACT {
                let (n, t) = if filled { (counted, open) } else { (accepted, span) };
                let expected = match self.accepted {
                    0 => n,
                    so_far => (u128::from(so_far) * u128::from(t) / u128::from(self.span.max(1))) as u64,
                };
                let noise = 2 + n / 16;
                if self.accepted == 0 || expected.abs_diff(n) > noise {
                    (self.accepted, self.span) = (0, 0);
                }
                self.accepted += n;
                self.span += t;
                self.interval = (self.span / self.accepted).max(FASTEST);
                self.quality = Quality::Exact;
            } else {
                self.interval = least;
                self.quality = if share < 150 { Quality::Exact } else { Quality::Rough };
                (self.accepted, self.span) = (0, 0);
            }
        } else {
            self.interval = self.interval.saturating_add(self.interval * 3 / 7);
        }
        self.mark = mark;
        self.grown = None;
        self.refused = 0;
        self.hold_until = refusal.opens.as_nanos() + match self.quality {
            Quality::None => 0,
            Quality::Rough => SECOND / 2,
            Quality::Exact => HOLD,
        };
        self.empty_until(refusal.opens);
        Lesson::Learned
    }

    pub(super) fn passed_since_mark(&self, mark: Mark) -> u64 {
        (mark.seq - self.mark.seq).saturating_sub(1).saturating_sub(self.refused)
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
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
            measured: self.quality != Quality::None,
        }
    }

    /// One request may go at that moment, and then evenly.
    fn empty_until(&mut self, at: Instant) {
        self.ready = at.as_nanos();
    }
}

/// A rate that grows by a factor of e in `tau` was refused at `interval`: by how much had it passed
/// the rate of a bucket that was full when it did? In 1024ths of that rate.
///
/// The excess since then is the burst: with y the ratio of the two rates, y − 1 − ln y = k y, where
/// k = burst · interval / tau. With (y−1)² / (2 + 4(y−1)/3) for the left side, which is within 5 %
/// up to y = 3, this is a quadratic equation.
fn overshoot(burst: u64, interval: u64, tau: u64) -> u64 {
    let k = (u128::from(burst) * u128::from(interval) * 1024 / u128::from(tau.max(1))).min(512) as u64;
    let (a, b) = (1024 - 4 * k / 3, 10 * k / 3);
    let root = (b * b + 8 * k * a).isqrt();
    ((b + root) * 1024 / (2 * a)).min(3 * 1024)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
