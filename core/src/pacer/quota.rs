//! A quota a window, learned from refusals.
//!
//! A fixed window is used best by sending all that it holds at once and waiting for its reset. How
//! much that is, is what was accepted in the window that was found full; when it resets, the server
//! said or a [search](super::search) found out. The window's length follows from both: from first
//! use to reset if that is a length that people choose, else that of the clock's windows which ends
//! there, else from the next refusal. It is dated from the answer to its first request, and a little
//! later, since a window that began earlier than believed costs that little, and one that is
//! believed to begin too early costs refusals.
//!
//! A window that slides (a log of the last requests) frees each place when it was taken one window
//! ago. So requests go no faster than at first: one, then two, one more for each answer.
//!
//! A quota may grow, or be shared with others who leave some of it. After 3, 5, 9 … windows that
//! were used up without a refusal one request more is tried, at the end and by itself, and if it is
//! accepted another; and whenever the few that are left would have to wait for a window of their
//! own. One refusal far below the quota may be bad luck in dating; a second is believed.

use core::time::Duration;

use super::belief::{Basis, BelievedQuota, KnownLimit};
use super::reserve::Reserve;
use super::search::{Search, between, slack, standard, window_of};
use super::{Asker, Mark, Refusal};
use crate::gate::Permit;
use crate::time::{Instant, Wall};

/// Windows used up without a refusal after which the quota is first tried again.
const TRY_AFTER: u32 = 2;

#[derive(Debug)]
pub(super) struct Window {
    quota: u64,
    length: Option<Duration>,
    /// It is longer than this, as a refusal showed.
    too_short: Duration,
    /// A shorter one that this window, or the one that just began, is tried with.
    trial: Option<Duration>,
    trying: Option<Duration>,
    basis: Basis,
    /// The first attempts of this window and of the one before.
    base: Mark,
    before: Mark,
    /// Refused in this window.
    refused: u64,
    /// Accepted in it beyond the quota.
    beyond: u32,
    /// When the next begins, at the latest.
    reset: Option<Instant>,
    /// So many may be in flight.
    ramp: u32,
    /// It was met by a refusal, and no other has begun since.
    new: bool,
    /// A refusal told that this window is full.
    full: bool,
    /// The last refusal came too early.
    doubted: bool,
    /// Windows in a row that were used up without a refusal, and after how many it is tried again.
    clean: u32,
    try_after: u32,
    reserve: Reserve,
}

impl Window {
    pub(super) fn known(limit: KnownLimit) -> Window {
        Window {
            reset: Some(Instant::ORIGIN), // the first request begins one
            new: false,
            full: false,
            basis: Basis::Configured,
            ..Window::new(u64::from(limit.requests), Mark::default(), Some(limit.per))
        }
    }

    /// The server has refused and stated when it will not.
    pub(super) fn met(quota: u64, first: Mark, reset: Instant, wall: Wall, now: Instant) -> Window {
        let length = window_of(first.at, reset, wall, now);
        Window { reset: Some(reset), refused: 1, ..Window::new(quota, first, length) }
    }

    /// A probe was let in.
    pub(super) fn found(
        quota: u64,
        probe: Mark,
        length: Option<Duration>,
        too_short: Duration,
        now: Instant,
    ) -> Window {
        let reset = length.map(|length| now + length + slack(length));
        Window {
            too_short,
            reset,
            ramp: 2,
            new: false,
            full: false,
            ..Window::new(quota, probe, length)
        }
    }

    fn new(quota: u64, base: Mark, length: Option<Duration>) -> Window {
        Window {
            quota: quota.max(1),
            length,
            too_short: length.unwrap_or_default(),
            trial: None,
            trying: None,
            basis: Basis::Measured,
            base,
            before: base,
            refused: 0,
            beyond: 0,
            reset: None,
            ramp: 1,
            new: true,
            full: true,
            doubted: false,
            clean: 0,
            try_after: TRY_AFTER,
            reserve: Reserve::default(),
        }
    }

    pub(super) fn permit(
        &self,
        now: Instant,
        seq: u64,
        in_flight: u32,
        asker: Asker,
        learns: bool,
    ) -> Permit {
        if self.reset.is_some_and(|reset| now >= reset) {
            return Permit::Now;
        }
        let used = self.used(seq);
        if used < self.quota {
            if in_flight >= self.ramp {
                return Permit::Full;
            }
            let left = self.quota - used;
            return match self.reset {
                Some(reset)
                    if !asker.high && asker.backlog > left.saturating_add(in_flight.into()) =>
                {
                    let kept = self.reserve.as_before(self.quota);
                    let length = self.length.unwrap_or(reset.saturating_since(self.base.at));
                    Reserve::permit(now, left, kept, reset, length, false)
                }
                _ => Permit::Now,
            };
        }
        // A few that are left are worth a try, since they would wait for a window of their own.
        let few = !self.full && asker.backlog <= self.quota / 4;
        let due = self.clean >= self.try_after && self.trial.is_none();
        let tries = self.reset.is_none() || learns && (few || due);
        match self.reset {
            _ if tries && in_flight <= self.beyond / 2 => Permit::Now,
            Some(reset) if !tries => Permit::At(reset),
            _ => Permit::AfterAnswer,
        }
    }

    pub(super) fn sent(&mut self, mark: Mark, high: bool) {
        if self.reset.is_some_and(|reset| mark.at >= reset) {
            let clean = !self.full && self.used(mark.seq) >= self.quota;
            self.clean = self.clean.saturating_add(clean.into());
            (self.before, self.base) = (self.base, mark);
            (self.refused, self.beyond, self.ramp) = (0, 0, 1);
            (self.new, self.full) = (false, false);
            // Until it is answered, when it is dated better.
            self.reset = self.length.map(|length| mark.at + length + slack(length));
            self.trying = self.trial.take();
            self.reserve.roll();
        }
        self.reserve.sent(high);
    }

    /// Says whether the quota has grown.
    pub(super) fn passed(&mut self, mark: Mark, now: Instant, learns: bool) -> bool {
        if mark.seq < self.base.seq {
            return false;
        }
        self.ramp = self.ramp.saturating_add(1);
        if mark.seq == self.base.seq {
            self.began(now, learns);
        }
        let used = self.used(mark.seq + 1);
        let grows = learns && used > self.quota;
        if grows {
            (self.quota, self.basis) = (used, Basis::Measured);
            self.beyond = self.beyond.saturating_add(1);
        }
        grows
    }

    /// Dates the end of a window whose first request was answered.
    fn began(&mut self, answered: Instant, learns: bool) {
        self.length = self.trying.take().or(self.length);
        let Some(mut length) = self.length else {
            return;
        };
        if learns && self.clean >= self.try_after {
            self.trial = between(self.too_short, length);
            length = self.trial.unwrap_or(length);
        }
        self.reset = Some(answered + length + slack(length));
    }

    /// Is a refusal of this attempt about the quota? One that is soon over, in the midst of a
    /// window, is about something else.
    pub(super) fn is_of(&self, mark: Mark, stated: Option<Duration>) -> bool {
        let used = self.used(mark.seq);
        let long = stated.is_none_or(|wait| wait >= super::WINDOW_FROM);
        long || used == 0 || used >= self.quota
    }

    /// Another refusal of the same event.
    pub(super) fn refused_again(&mut self, mark: Mark) {
        if mark.seq >= self.base.seq {
            self.refused += 1;
            if self.new {
                self.quota = (self.quota - 1).max(1); // it was taken for accepted
            }
        }
    }

    /// Says from where to search for the next window, if nothing else tells when it begins.
    pub(super) fn refused(
        &mut self,
        mark: Mark,
        refusal: Refusal,
        wall: Wall,
        now: Instant,
    ) -> Option<Search> {
        let used = self.used(mark.seq);
        self.refused += 1;
        if used == 0 {
            return self.began_too_early(refusal, wall, now);
        }
        if self.clean >= self.try_after {
            self.try_after = self.try_after.saturating_mul(2);
        }
        (self.clean, self.full) = (0, true);
        let early = refusal.stated.is_none() && used < self.quota / 2 && !self.doubted;
        self.doubted = early;
        if early {
            return None;
        }
        (self.quota, self.basis) = (used, Basis::Measured);
        match refusal.stated {
            Some(wait) => {
                self.reset_at(now + wait, self.base.at);
                None
            }
            None if self.reset.is_some() => None,
            None => self.search(self.base, refusal, wall, now),
        }
    }

    fn began_too_early(&mut self, refusal: Refusal, wall: Wall, now: Instant) -> Option<Search> {
        if let (Some(tried), Some(length)) = (self.trying.take(), self.length) {
            // It is the window before still, and that is used up.
            self.too_short = tried;
            self.base = self.before;
            self.reset = Some(self.base.at + length + 2 * slack(length));
            (self.clean, self.try_after) = (0, self.try_after.saturating_mul(2));
            refusal.stated?; // else the reset is still where it was
        }
        match refusal.stated {
            Some(wait) => {
                self.reset_at(now + wait, self.before.at);
                None
            }
            None => self.search(self.before, refusal, wall, now),
        }
    }

    /// The server said when this window, which began then, ends.
    fn reset_at(&mut self, reset: Instant, began: Instant) {
        let length = reset.saturating_since(began);
        let length = standard(length).unwrap_or(length);
        (self.length, self.too_short) = (Some(length), length);
        self.reset = Some(reset);
    }

    fn search(&self, first: Mark, refusal: Refusal, wall: Wall, now: Instant) -> Option<Search> {
        let mut search = Search::new(self.quota, first);
        search.refused(refusal.opens, wall, now);
        Some(search)
    }

    pub(super) fn belief(&self, seq: u64) -> BelievedQuota {
        BelievedQuota {
            requests: self.quota,
            window: self.length,
            remaining: self.quota.saturating_sub(self.used(seq)),
            resets: self.reset,
            basis: self.basis,
        }
    }

    fn used(&self, seq: u64) -> u64 {
        seq.saturating_sub(self.base.seq).saturating_sub(self.refused)
    }
}

#[cfg(test)]
mod tests;
