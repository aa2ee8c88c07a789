//! An even rate, measured between the moments at which the server's bucket was empty.
//!
//! A token bucket that holds b and gains r a second, GCRA, nginx's `limit_req`: seen from outside
//! they are the same. A refusal says that the bucket is empty at that moment, and between two such
//! moments it gave out exactly what it gained, if it was never full: r = accepted / time. That is
//! exact to one request, and the longer the time, the finer; agreeing measurements are added up.
//! What a bucket loses while it is full makes that a lower bound only. Two more lower bounds help:
//! it was full when requests went again after a rest, and gave b more than it gained since; or it
//! was full when the growing rate passed r, and held out until b were drained ([`overshoot`]). The
//! greatest of the three counts. (Where refused requests count as well, an empty bucket is in debt,
//! and the measure is low by that much: on the safe side.)
//!
//! Requests leave by GCRA (I.371) at that rate: evenly, and after idling up to b at once. After a
//! refusal one goes when the scope opens, and the rest follow evenly: that much is certain even if
//! the server has taken back what it would have gained. A measured rate is held for [`HOLD`], longer
//! if the last try cost more than one refusal; then it grows by a half at most and within seconds,
//! to be refused once (or by as much as refusals in flight) if nothing has changed. If it is not, as
//! soon as more was accepted than could have been saved up, the limit has risen: the rate doubles by
//! the second until it meets the new one. In the end, when the backlog is done sooner than trying
//! would pay, it is left at rest.
//!
//! A bucket that holds a single request (`limit_req` without burst) is full, and loses, whenever one
//! comes a moment late, as each does where a timer has a grain; so what was accepted measures it too
//! low. There the rate that was refused is itself the measure, and a refusal that states no wait costs
//! but a moment: the interval is shortened a little with each request and lengthened with a refusal
//! that comes soon after another, which comes to rest at a refusal in about a hundred (stochastic
//! approximation, Robbins and Monro 1951). It is not done where a refusal states its wait, or where
//! the interval is so long that a moment does not matter.
//!
//! This is the additive search of TCP's CUBIC (RFC 9438) put on its head: since a bucket, other than
//! a queue in a network, tells its rate exactly, there is no need to fall by a factor and climb back.

use core::time::Duration;

use super::belief::{Basis, BelievedRate, KnownLimit};
use super::{Mark, Refusal};
use crate::gate::Permit;
use crate::time::Instant;

const SECOND: u64 = 1_000_000_000;

/// The times in which the rate grows by a factor of e: while nothing is measured (it doubles each
/// second), when it was measured roughly, and when a measured one is tried again.
const SEEK_TAU: u64 = 1_400_000_000;
const ROUGH_TAU: u64 = 6 * SECOND;
const RETRY_TAU: u64 = 4 * SECOND;

/// A measured rate is held for so long before it is tried to do better.
const HOLD: u64 = 11 * SECOND;

/// So is one that was measured roughly.
const ROUGH_HOLD: u64 = SECOND / 2;

/// As many accepted measure a rate roughly, and as many exactly.
const ROUGH: u64 = 4;
const EXACT: u64 = 16;

/// Of a strict one, a refusal in so many is the price of going as near to it as that.
const TOLERATED: u64 = 64;

/// So many in flight hardly overtake each other.
const IN_TURN: u32 = 2;

/// An interval so long that a moment does not matter.
const LONG: u64 = SECOND / 4;

/// A measure that passes the true rate by less than this many 1024ths is exact enough.
const CLOSE: u64 = 150;

/// The shortest interval, in nanoseconds: no server counts faster.
const FASTEST: u64 = 10_000;

/// Refusals in a row with nothing accepted between them by which a measured rate is no rate.
const FRUITLESS: u32 = 2;

#[derive(Debug)]
pub(super) struct Rate {
    /// Nanoseconds from one request to the next.
    interval: u64,
    /// How many may go at once after a rest.
    burst: u64,
    /// They were accepted over so long a time, in which some were gained.
    burst_time: u64,
    /// When the next may go: GCRA's theoretical arrival time less its tolerance.
    ready: u64,
    quality: Quality,
    /// Were this not a rate but a window: its first request, and how many it held.
    first: Mark,
    held: u64,
    /// The last refusal: the bucket was empty then.
    empty: Mark,
    /// When requests went again after it.
    opened: Option<Mark>,
    /// It was met by a refusal, and nothing was sent since.
    new: bool,
    /// It holds a single request, and a refusal costs but a moment.
    strict: bool,
    /// When it was tried to do better, and the interval until then.
    tried: Option<(Mark, u64)>,
    /// Refused since `empty`, that one not counted.
    refused: u64,
    /// Refusals in a row with nothing accepted between them.
    fruitless: u32,
    /// What agreeing measurements add up to: so many in so many nanoseconds.
    accepted: u64,
    time: u64,
    /// The last measured interval.
    measured: u64,
    hold_until: u64,
    last_sent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quality {
    Configured,
    /// Nothing is measured.
    Sought,
    Rough,
    Exact,
}

/// What a refusal taught.
pub(super) enum Lesson {
    Learned,
    /// That it goes on refusing after a rest: so many were accepted at once, since then.
    NotARate {
        quota: u64,
        first: Mark,
    },
}

impl Rate {
    pub(super) fn known(limit: KnownLimit, burst: u32) -> Rate {
        let interval = nanos(limit.per) / u64::from(limit.requests.max(1));
        Rate {
            quality: Quality::Configured,
            hold_until: HOLD,
            ..Rate::new(interval, u64::from(burst), Mark::default(), Mark::default())
        }
    }

    /// The first refusal: it took so long with so many in flight, and of those sent since `first` so
    /// many were accepted.
    pub(super) fn met(
        accepted: u64,
        in_flight: u64,
        took: Duration,
        refused: Mark,
        first: Mark,
        opens: Instant,
    ) -> Rate {
        // The search begins at an eighth of the pace that was refused, or one at a time.
        let interval = nanos(took) / (in_flight / 8).max(1);
        let rate = Rate::new(interval.min(SECOND), accepted, refused, first);
        let burst_time = nanos(refused.at.saturating_since(first.at)).saturating_add(nanos(took));
        Rate { new: true, burst_time, ready: opens.as_nanos(), ..rate }
    }

    /// A quota of a window so short that it is better used evenly.
    pub(super) fn of_window(quota: u64, window: Duration, began: Mark) -> Rate {
        let interval = nanos(window) / quota.max(1);
        Rate {
            opened: Some(began),
            quality: Quality::Rough,
            last_sent: began.at.as_nanos(),
            ..Rate::new(interval, 1, began, began)
        }
    }

    fn new(interval: u64, burst: u64, empty: Mark, first: Mark) -> Rate {
        Rate {
            interval: interval.max(FASTEST),
            burst: burst.max(1),
            burst_time: 0,
            ready: 0,
            quality: Quality::Sought,
            first,
            held: burst.max(1),
            empty,
            opened: None,
            new: false,
            strict: false,
            tried: None,
            refused: 0,
            fruitless: 0,
            accepted: 0,
            time: 0,
            measured: 0,
            hold_until: 0,
            last_sent: 0,
        }
    }

    pub(super) fn permit(&self, now: Instant) -> Permit {
        match now.as_nanos() >= self.ready {
            true => Permit::Now,
            false => Permit::At(Instant::from_nanos(self.ready)),
        }
    }

    pub(super) fn sent(&mut self, mark: Mark, backlog: u64, learns: bool) {
        let now = mark.at.as_nanos();
        self.opened.get_or_insert(mark);
        self.new = false;
        if learns && now >= self.hold_until && self.is_worth_trying(backlog) {
            self.grow(mark);
        } else if learns && self.strict && self.quality == Quality::Exact {
            let accepted = mark.seq - self.empty.seq;
            self.interval -= (self.interval >> 14) * (1 + accepted / TOLERATED).min(16);
        }
        self.last_sent = now;
        // A quarter is left, since attempts overtake each other on their way.
        let at_once = (self.burst - self.burst.div_ceil(4)).max(1);
        let tolerance = (at_once - 1).saturating_mul(self.interval);
        self.ready = self.ready.max(now.saturating_sub(tolerance)).saturating_add(self.interval);
    }

    pub(super) fn passed(&mut self, mark: Mark, now: Instant) {
        if mark.seq <= self.empty.seq {
            return;
        }
        self.fruitless = 0;
        let first = self.opened.is_some_and(|opened| opened.seq == mark.seq);
        if self.quality == Quality::Sought && first {
            // A refusal may come back sooner than an answer does: this is how long one takes.
            let took = nanos(now.saturating_since(mark.at)).min(SECOND);
            self.interval = self.interval.max(took);
            self.ready = self.ready.max(self.last_sent.saturating_add(self.interval));
        }
    }

    /// Would a refusal of this attempt be one that the rate had to meet?
    pub(super) fn explains(&self, mark: Mark) -> bool {
        let enough = if self.quality == Quality::Sought { ROUGH } else { 1 };
        self.accepted_until(mark) >= enough
    }

    /// For how long nothing is sent after a refusal that the rate explains.
    pub(super) fn rest(&self) -> Duration {
        let rest = match self.strict && self.quality == Quality::Exact {
            true => self.interval,
            false => self.interval.saturating_mul(2).min(SECOND).max(self.interval),
        };
        Duration::from_nanos(rest)
    }

    /// Another refusal of the same event.
    pub(super) fn refused_again(&mut self, mark: Mark) {
        if self.new && mark.seq >= self.first.seq {
            self.burst = (self.burst - 1).max(1); // it was taken for accepted
            self.held = self.burst;
        }
        if mark.seq > self.empty.seq {
            self.refused += 1;
            if self.quality == Quality::Exact && self.refused == 1 {
                self.hold_until = self.hold_until.saturating_add(HOLD); // trying costs more than one here
            }
        }
    }

    pub(super) fn refused(&mut self, mark: Mark, refusal: Refusal) -> Lesson {
        let accepted = self.accepted_until(mark);
        if accepted == 0 && refusal.stated.is_none() {
            self.fruitless += 1;
            if self.quality == Quality::Sought || self.fruitless >= FRUITLESS {
                return Lesson::NotARate { quota: self.held, first: self.first };
            }
        }
        let silent = refusal.stated.is_none();
        let soon = self.strict && silent && self.tried.is_none();
        match self.quality {
            Quality::Exact if soon => self.give_way(accepted),
            _ if accepted < ROUGH => self.slow_down(mark, accepted),
            _ => self.measure(mark, accepted, silent && refusal.in_flight <= IN_TURN),
        }
        let opens = refusal.opens.as_nanos();
        self.hold_until = opens.saturating_add(match self.quality {
            Quality::Sought => 0,
            Quality::Rough => ROUGH_HOLD,
            Quality::Exact | Quality::Configured => HOLD,
        });
        (self.empty, self.opened, self.tried, self.refused) = (mark, None, None, 0);
        self.ready = opens;
        Lesson::Learned
    }

    pub(super) fn belief(&self) -> BelievedRate {
        BelievedRate {
            interval: Duration::from_nanos(self.interval),
            burst: self.burst,
            basis: match self.quality {
                Quality::Configured => Basis::Configured,
                Quality::Sought => Basis::Sought,
                Quality::Rough | Quality::Exact => Basis::Measured,
            },
        }
    }

    /// How many were accepted from the last refusal until this one.
    fn accepted_until(&self, mark: Mark) -> u64 {
        mark.seq.saturating_sub(self.empty.seq).saturating_sub(1 + self.refused)
    }

    /// A strict one refused.
    fn give_way(&mut self, accepted: u64) {
        self.interval += match accepted {
            0..ROUGH => self.interval / 16,
            ROUGH..EXACT => self.interval / 24,
            EXACT..TOLERATED => self.interval / 48,
            _ => 0,
        };
        if accepted < ROUGH {
            self.quality = Quality::Rough; // should it go on, it is another limit
        }
    }

    fn measure(&mut self, mark: Mark, accepted: u64, told_at_once: bool) {
        let opened = self.opened.unwrap_or(mark);
        (self.first, self.held) = (opened, accepted);
        let since = |earlier: Mark| nanos(mark.at.saturating_since(earlier.at));
        let (whole, open) = (since(self.empty), since(opened));
        let rested = whole.saturating_sub(open);
        let sent = mark.seq.saturating_sub(opened.seq);
        let mut least = self.least(whole / accepted, open, sent);
        if self.burst_time > 0 {
            // What seemed to be the burst was in part gained while it went.
            self.burst = self.burst.saturating_sub(self.burst_time / least).max(1);
            self.burst_time = 0;
            least = self.least(whole / accepted, open, sent);
        }
        // One that holds a single request is full whenever that comes a moment late, and refuses what
        // comes a moment early. (Where many are on their way, it may only seem to hold no more.)
        self.strict = self.burst == 1 && told_at_once && self.interval < LONG;
        if self.strict {
            let (quality, margin) = match self.quality {
                Quality::Sought => (Quality::Rough, self.interval / 8),
                _ => (Quality::Exact, self.interval / 32),
            };
            self.quality = quality;
            self.interval = (self.interval + margin).min(whole / accepted).max(FASTEST);
            (self.accepted, self.time, self.measured) = (0, 0, self.interval);
            return;
        }
        let after_rest = sent.saturating_sub(self.refused + self.burst);
        let over = overshoot(self.burst, self.interval, self.tau());

        // By that rate, was it full when requests went again, or while the rate was held?
        let full_after_rest = rested / least > self.burst;
        let saved_at = |(tried, _): (Mark, u64)| {
            let gained = nanos(tried.at.saturating_since(opened.at)) / least;
            let held = (rested / least).min(self.burst);
            held.saturating_add(gained).saturating_sub(tried.seq.saturating_sub(opened.seq))
        };
        let underused = match self.quality {
            // It gained more than it gave until the rate had grown.
            Quality::Sought => rested / least * 5 / 4 > self.burst,
            _ => self.tried.map_or(0, saved_at) > self.burst + 2,
        };
        let (n, time) = if full_after_rest { (after_rest, open) } else { (accepted, whole) };
        if !underused && n >= EXACT {
            let expected = u128::from(self.accepted) * u128::from(time);
            let expected = (expected / u128::from(self.time.max(1))) as u64;
            if expected.abs_diff(n) > 2 + n / 16 {
                (self.accepted, self.time) = (0, 0); // it has changed
            }
            self.accepted = self.accepted.saturating_add(n);
            self.time = self.time.saturating_add(time);
            self.interval = (self.time / self.accepted).max(FASTEST);
            self.measured = self.interval;
            self.quality = Quality::Exact;
        } else {
            // A rough measure that comes out as the last one did is as good as an exact one.
            let agrees = least.abs_diff(self.measured) < least / 8;
            let is_exact = over < CLOSE || self.quality == Quality::Rough && agrees;
            self.quality = if is_exact { Quality::Exact } else { Quality::Rough };
            (self.interval, self.measured) = (least, least);
            (self.accepted, self.time) = (0, 0);
        }
    }

    /// The shortest interval that what was accepted proves; `whole` is that by all since the bucket
    /// was empty, and `sent` were sent since it opened.
    fn least(&self, whole: u64, open: u64, sent: u64) -> u64 {
        let over = overshoot(self.burst, self.interval, self.tau());
        let more = (self.interval >> 10).saturating_mul(over.max(CLOSE / 5));
        let by_overshoot = self.interval.saturating_add(more);
        // It says nothing if the rate had passed that before it grew.
        let grew_past = self.tried.is_some_and(|(_, before)| before >= by_overshoot);
        let by_overshoot = if grew_past { by_overshoot } else { u64::MAX };
        let after_rest = sent.saturating_sub(self.refused + self.burst);
        let by_rest = open.checked_div(after_rest).unwrap_or(u64::MAX);
        whole.min(by_rest).min(by_overshoot).max(FASTEST)
    }

    /// Too few were accepted for a measurement, but no more than one more would have been.
    fn slow_down(&mut self, mark: Mark, accepted: u64) {
        if self.strict && self.quality == Quality::Rough && self.measured > 0 {
            // It was measured a little too short; or it has changed, then the next refusal shows it.
            (self.interval, self.measured) = (self.interval + self.interval / 8, 0);
            return;
        }
        self.strict = false;
        let since = nanos(mark.at.saturating_since(self.empty.at));
        if since < self.interval / 2 {
            return; // so short a time says nothing of so long an interval
        }
        let least = self.interval.saturating_add(self.interval.saturating_mul(3) / 7); // 0.7 of the rate
        let halfway = since.saturating_mul(2) / (2 * accepted + 1);
        self.interval = halfway.clamp(least, least.max(self.interval.saturating_mul(4)));
    }

    /// Trying costs a refusal and so a rest: that of a backlog which is soon done is not worth it.
    fn is_worth_trying(&self, backlog: u64) -> bool {
        match self.quality {
            Quality::Exact | Quality::Configured => self.interval.saturating_mul(backlog) >= HOLD,
            Quality::Sought | Quality::Rough => true,
        }
    }

    fn grow(&mut self, mark: Mark) {
        let now = mark.at.as_nanos();
        let (tried, held) = *self.tried.get_or_insert((mark, self.interval));
        let is_held = matches!(self.quality, Quality::Exact | Quality::Configured);
        if is_held {
            // Were there more accepted since than the rate gains, and what was saved up at rest?
            let rested =
                self.opened.map_or(0, |opened| nanos(opened.at.saturating_since(self.empty.at)));
            let since = nanos(mark.at.saturating_since(tried.at));
            let gained = since.saturating_add(rested) / held;
            if mark.seq.saturating_sub(tried.seq) > gained + ROUGH {
                self.quality = Quality::Sought;
            }
        }
        let fastest = if is_held { held / 3 * 2 } else { FASTEST };
        // Idle time is no reason to go faster.
        let since = now.saturating_sub(self.last_sent).min(self.interval.saturating_mul(2));
        let less = u128::from(self.interval) * u128::from(since) / u128::from(self.tau());
        let less = (less as u64).min(self.interval / 3);
        self.interval = (self.interval - less).max(fastest).max(FASTEST);
    }

    fn tau(&self) -> u64 {
        // As fast as that, but not within a few requests.
        match self.quality {
            Quality::Sought => SEEK_TAU.max(self.interval.saturating_mul(4)),
            Quality::Rough => ROUGH_TAU.max(self.interval.saturating_mul(8)),
            Quality::Exact | Quality::Configured => RETRY_TAU.max(self.interval.saturating_mul(16)),
        }
    }
}

/// A rate that grows by a factor of e in `tau` was refused at `interval`. The bucket was full when
/// it passed the true rate: by how much has it passed it, in 1024ths?
///
/// The excess since then is the burst. With y the ratio of the two rates, y − 1 − ln y = k y, where
/// k = burst · interval / tau. With (y−1)² / (2 + 4(y−1)/3) on the left, which is within 5 % up to
/// y = 3, that is a quadratic equation.
fn overshoot(burst: u64, interval: u64, tau: u64) -> u64 {
    let k = (u128::from(burst) * u128::from(interval)).saturating_mul(1024) / u128::from(tau);
    let k = k.min(512) as u64;
    let (a, b) = (1024 - 4 * k / 3, 10 * k / 3);
    let root = (b * b + 8 * k * a).isqrt();
    ((b + root) * 1024 / (2 * a)).min(3 * 1024)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
