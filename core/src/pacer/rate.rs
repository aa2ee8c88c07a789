//! An even rate, measured between the moments at which the server's bucket was empty.
//!
//! A token bucket that holds b and gains r a second, GCRA, nginx's `limit_req`: seen from outside
//! they are the same. A refusal says that the bucket is empty at that moment, and between two such
//! moments it gave out exactly what it gained, if it was never full: r = accepted / time. That is
//! exact to one request, and the longer the time, the finer; agreeing measurements are added up.
//! What a bucket loses while it is full makes that a lower bound only. More lower bounds help. From
//! whatever moment on, it gave at most b more than it gained: that tells the more, the fuller it was
//! then, as when requests went again after a rest, when the last one came later than evenly, or when
//! a rate that was too low began to grow. And it was full when the growing rate passed r, and held
//! out until b were drained ([`overshoot`]). The greatest of them counts. (Where refused requests
//! count as well, an empty bucket is in debt, and the measure is low by that much: on the safe side.)
//!
//! Requests leave by GCRA (I.371) at that rate: evenly, and after idling up to b at once. After a
//! refusal one goes when the scope opens, and the rest follow evenly: that much is certain even if
//! the server has taken back what it would have gained. Only of an exact rate's rest an eighth is used
//! as saved up, so that a rate which was measured a little too low does not leave the bucket full.
//! While nothing is measured the first one is a question: the others wait for its answer.
//!
//! A measured rate is held for [`HOLD`], longer if the last try cost more than one refusal; then it
//! grows by a half at most and within seconds, to be refused once (or by as much as refusals in
//! flight) if nothing has changed. If it is not, as soon as more was accepted than could have been
//! saved up, the limit has risen: the rate doubles by the second until it meets the new one. In the
//! end, when the backlog is done sooner than trying would pay, it is left at rest.
//!
//! A bucket that holds a single request (`limit_req` without burst) is full, and loses, whenever one
//! comes a moment late, as each does where a timer has a grain; so what was accepted measures it too
//! low. There the rate that was refused is itself the measure, and a refusal that states no wait costs
//! but a moment: the interval is shortened a little with each request and lengthened with a refusal
//! that comes soon after another, which comes to rest at a refusal in about a hundred (stochastic
//! approximation, Robbins and Monro 1951). It is not done where a refusal states its wait, or where
//! the interval is so long that a moment does not matter.
//!
//! Requests that leave evenly need not arrive so: those that are held up somewhere on their way, as
//! under load, arrive together, and a bucket that holds few refuses them whatever the rate. So a
//! refusal while more are in flight than leave in the time of an answer is put down to such a jam, and
//! teaches nothing; unless it is so time and again, or nothing was accepted before it.
//!
//! Where a rate goes on refusing after a rest it may be no rate but a window, of which what was accepted
//! until then is the quota. One that was measured twice is interrupted instead, as by an outage that
//! answers 429, or by a quota of a longer window beside it: own backoff finds the end of that, and
//! the rate goes on.
//!
//! This is the additive search of TCP's CUBIC (RFC 9438) put on its head: since a bucket, other than
//! a queue in a network, tells its rate exactly, there is no need to fall by a factor and climb back.

use core::time::Duration;

use super::belief::{Basis, BelievedRate, KnownLimit};
use super::{Mark, Refusal};
use crate::gate::Permit;
use crate::time::{Instant, nanos, scaled};

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

/// Of what an exact one gains at rest one in so many is used, by leaving sooner by as small a part.
const SAVED: u64 = 8;

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

/// Refusals in a row that are put down to a jam, if fewer than [`EXACT`] were accepted between them.
const JAMS: u32 = 3;

/// So many answers that take longer make that the usual time.
const LATELY: u64 = 128;

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
    /// The last one that came later than evenly: the bucket was full then, if this is its rate.
    full: Mark,
    /// When the next one would come evenly.
    due: u64,
    /// It was met by a refusal, and nothing was sent since.
    new: bool,
    /// An answer is awaited, and if it lets in, it opens then.
    opens: Option<u64>,
    /// It was met before any answer: those that were let in may have been so until theirs came.
    hasty: bool,
    /// It holds a single request, and a refusal costs but a moment.
    strict: bool,
    /// When it was tried to do better, and the interval until then.
    tried: Option<(Mark, u64)>,
    /// It was measured, and again: it is a rate.
    proven: bool,
    /// Refused since `empty`, that one not counted.
    refused: u64,
    /// Refusals in a row with nothing accepted between them.
    fruitless: u32,
    /// The shortest time that an answer took lately.
    quickest: u64,
    /// Refusals in a row for which requests that had been held up were to blame.
    jams: u32,
    /// What agreeing measurements add up to: so many in so many nanoseconds.
    accepted: u64,
    time: u64,
    /// The last measured interval.
    measured: u64,
    hold_until: u64,
    last_sent: u64,
    /// What was saved up at rest and may be used, as time.
    saved: u64,
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

    /// None is known to have been let in: until one is, nothing goes, but for a second at most.
    pub(super) fn awaiting_answer(self) -> Rate {
        let ready = self.ready.saturating_add(SECOND);
        Rate { opens: Some(self.ready), ready, hasty: true, ..self }
    }

    pub(super) fn awaits(&self) -> bool {
        self.opens.is_some()
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
            full: first,
            due: 0,
            new: false,
            opens: None,
            hasty: false,
            strict: false,
            tried: None,
            proven: false,
            refused: 0,
            fruitless: 0,
            quickest: u64::MAX,
            jams: 0,
            accepted: 0,
            time: 0,
            measured: 0,
            hold_until: 0,
            last_sent: 0,
            saved: 0,
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
        let is_question = learns && self.quality == Quality::Sought && self.opened.is_none();
        self.opened.get_or_insert(mark);
        if now > self.due {
            self.full = mark;
        }
        self.due = self.due.max(now).saturating_add(self.interval);
        self.new = false;
        self.opens = None;
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
        let sooner = (self.interval / SAVED).min(self.saved);
        self.saved -= sooner;
        self.ready =
            self.ready.max(now.saturating_sub(tolerance)).saturating_add(self.interval - sooner);
        if is_question {
            self.ready = self.ready.max(now.saturating_add(SECOND)); // or until it is answered
        }
    }

    pub(super) fn passed(&mut self, mark: Mark, now: Instant) {
        if mark.seq >= self.first.seq {
            self.ready = self.opens.take().unwrap_or(self.ready);
        }
        if self.hasty && self.burst_time > 0 && self.opened.is_none_or(|it| mark.seq < it.seq) {
            self.burst_time = nanos(now.saturating_since(self.first.at));
        }
        if mark.seq <= self.empty.seq {
            return;
        }
        self.fruitless = 0;
        let took = nanos(now.saturating_since(mark.at));
        self.quickest = self.quickest.saturating_add(self.quickest / LATELY).min(took);
        let first = self.opened.is_some_and(|opened| opened.seq == mark.seq);
        if self.quality == Quality::Sought && first {
            // A refusal may come back sooner than an answer does: this is how long one takes.
            let took = took.min(SECOND);
            self.interval = self.interval.max(took);
            self.tried = self.tried.map(|(tried, before)| (tried, before.max(took)));
            self.ready = self.last_sent.saturating_add(self.interval);
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
        let mut interrupted = false;
        if accepted == 0 && refusal.stated.is_none() && !refusal.explained {
            self.fruitless += 1;
            interrupted = self.quality == Quality::Sought || self.fruitless >= FRUITLESS;
            if interrupted && !self.proven {
                return Lesson::NotARate { quota: self.held, first: self.first };
            }
        }
        let silent = refusal.stated.is_none();
        let soon = self.strict && silent && self.tried.is_none();
        let jam = silent && accepted > 0 && self.is_jam(refusal.in_flight);
        self.jams = if jam && accepted < EXACT { self.jams + 1 } else { 0 };
        self.proven |= self.quality != Quality::Sought && accepted >= ROUGH;
        match self.quality {
            _ if jam || interrupted => {}
            Quality::Exact if soon => self.give_way(accepted),
            _ if accepted < ROUGH => self.slow_down(mark, accepted),
            _ => self.measure(
                mark,
                accepted,
                silent && (self.strict || refusal.in_flight <= IN_TURN),
            ),
        }
        let opens = refusal.opens.as_nanos();
        let hold_until = opens.saturating_add(match self.quality {
            Quality::Sought => 0,
            Quality::Rough => ROUGH_HOLD,
            Quality::Exact | Quality::Configured => HOLD,
        });
        if !jam {
            self.hold_until = hold_until;
        }
        (self.empty, self.opened, self.tried, self.refused) = (mark, None, None, 0);
        self.due = 0;
        self.ready = opens;
        let saves = self.quality == Quality::Exact && !self.strict;
        let rest = if saves { opens.saturating_sub(mark.at.as_nanos()) } else { 0 };
        self.saved = rest.min(self.burst.saturating_mul(self.interval)) / SAVED;
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
        let far = self.interval.saturating_sub(self.measured) > self.measured / 8;
        if accepted < ROUGH || far {
            self.quality = Quality::Rough; // should it go on, it is another limit
        }
    }

    fn measure(&mut self, mark: Mark, accepted: u64, told_at_once: bool) {
        let opened = self.opened.unwrap_or(mark);
        (self.first, self.held) = (opened, accepted);
        let since = |earlier: Mark| nanos(mark.at.saturating_since(earlier.at));
        let (whole, open) = (since(self.empty), since(opened));
        let rested = whole.saturating_sub(open);
        let mut least = self.least(whole / accepted, opened, mark);
        if self.burst_time > 0 {
            // What seemed to be the burst was in part gained while it went.
            self.burst = self.burst.saturating_sub(self.burst_time / least).max(1);
            self.burst_time = 0;
            least = self.least(whole / accepted, opened, mark);
        }
        // One that holds a single request is full whenever that comes a moment late, and refuses what
        // comes a moment early. (Where many are on their way, it may only seem to hold no more.)
        self.strict = self.burst == 1 && told_at_once && self.interval < LONG;
        if self.strict {
            let (quality, margin) = match self.quality {
                Quality::Sought => (Quality::Rough, self.interval / 8),
                _ if self.agrees(self.interval) => (Quality::Exact, self.interval / 32),
                _ => (Quality::Rough, self.interval / 32),
            };
            self.quality = quality;
            self.interval = (self.interval + margin).min(whole / accepted).max(FASTEST);
            (self.accepted, self.time, self.measured) = (0, 0, self.interval);
            return;
        }
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
        let (n, time) = if full_after_rest { self.gained(opened, mark) } else { (accepted, whole) };
        let late = self.gained(self.full, mark);
        let proves_more = late.0 >= EXACT && late.1 / late.0 < time / n.max(1);
        let (n, time) = if proves_more { late } else { (n, time) };
        if !underused && n >= EXACT {
            let expected = scaled(self.accepted, time, self.time);
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
            let agrees = self.quality == Quality::Rough && self.agrees(least);
            let is_exact = over < CLOSE || agrees;
            self.quality = if is_exact { Quality::Exact } else { Quality::Rough };
            (self.interval, self.measured) = (least, least);
            (self.accepted, self.time) = (0, 0);
        }
    }

    /// The shortest interval that what was accepted until this one proves; `whole` is that by all
    /// since the bucket was empty.
    fn least(&self, whole: u64, opened: Mark, mark: Mark) -> u64 {
        let over = overshoot(self.burst, self.interval, self.tau());
        let more = (self.interval >> 10).saturating_mul(over.max(CLOSE / 5));
        let by_overshoot = self.interval.saturating_add(more);
        // It says nothing if the rate had passed that before it grew.
        let grew_past = self.tried.is_some_and(|(_, before)| before >= by_overshoot);
        let by_overshoot = if grew_past { by_overshoot } else { u64::MAX };
        let by = |(n, time): (u64, u64), enough| if n >= enough { time / n } else { u64::MAX };
        let by_rest = by(self.gained(opened, mark), 1);
        let by_late = by(self.gained(self.full, mark), EXACT);
        whole.min(by_rest).min(by_late).min(by_overshoot).max(FASTEST)
    }

    /// What the bucket gained for certain from one moment to another, and in how long a time, however
    /// full it was at first.
    fn gained(&self, full: Mark, until: Mark) -> (u64, u64) {
        let n = until.seq.saturating_sub(full.seq).saturating_sub(self.burst);
        (n, nanos(until.at.saturating_since(full.at)))
    }

    /// Does the last measure say the same of it?
    fn agrees(&self, interval: u64) -> bool {
        interval.abs_diff(self.measured) < interval / 8
    }

    /// Are more in flight than may go at once and then follow evenly while one is answered? They
    /// were held up on their way, and came together.
    fn is_jam(&self, in_flight: u32) -> bool {
        let sent_over =
            u64::from(in_flight).saturating_sub(self.burst).saturating_mul(self.interval);
        self.jams < JAMS && sent_over > self.quickest.saturating_add(self.quickest / 2)
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
        let halfway = match accepted {
            0 => since, // it is longer than that, and nobody knows by how much
            _ => since.saturating_mul(2) / (2 * accepted + 1),
        };
        self.interval = halfway.clamp(least, least.max(self.interval.saturating_mul(4)));
        if self.quality == Quality::Exact {
            self.quality = Quality::Rough;
        }
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
        let is_held = matches!(self.quality, Quality::Exact | Quality::Configured);
        if is_held && self.tried.is_none() {
            self.full = mark; // by then, if the rate was too slow
        }
        let (tried, held) = *self.tried.get_or_insert((mark, self.interval));
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
        let less = scaled(self.interval, since, self.tau()).min(self.interval / 3);
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
    let k = scaled(burst, interval.saturating_mul(1024), tau).min(512);
    let (a, b) = (1024 - 4 * k / 3, 10 * k / 3);
    let root = (b * b + 8 * k * a).isqrt();
    ((b + root) * 1024 / (2 * a)).min(3 * 1024)
}

#[cfg(test)]
mod tests;
