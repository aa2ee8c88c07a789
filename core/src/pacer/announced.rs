//! A budget that answers announce.
//!
//! An answer says what was left when the server made it. What is in flight may be counted in that
//! already or not, so as many as that fewer may go; the least of what a window's answers say counts,
//! and an answer to an attempt that was sent after the last such news replaces it.
//!
//! When the window ends is announced in whole seconds, mostly rounded up, of which the earliest of
//! all the window's answers is the best date. A finer one is the answer to its first request plus
//! the window's length, where that is announced or can be told from the resets: windows last whole
//! seconds, and mostly begin with their first request. That is tried with one request, and not again
//! if it proves wrong. After a reset one request asks what there is, unless the last reset made the
//! budget whole.

use core::time::Duration;

use super::belief::{Basis, BelievedQuota};
use super::reserve::Reserve;
use super::search::standard_below;
use super::{Asker, Mark, STALE_AFTER};
use crate::gate::Permit;
use crate::time::Instant;

/// Announced seconds are whole.
const ROUNDING: Duration = Duration::from_millis(1100);

#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// The announced reset of a budget that is spent.
    spent_until: Instant,
    budget: Option<Budget>,
    reserve: Reserve,
    /// The earliest of a window's dates proved too early: the last one counts.
    coarse: bool,
    /// No window is longer than this, as answers show, and none is as short as that.
    at_most: Option<Duration>,
    too_short: Duration,
    /// A window that was dated by its length was dated rightly.
    proved: bool,
}

#[derive(Debug)]
struct Budget {
    quota: u64,
    /// Announced.
    length: Option<Duration>,
    /// The first attempt of the window was sent, and answered, then.
    began: Instant,
    answered: Instant,
    reset: Instant,
    /// So long after the last news one request asks anew, however far the reset: it may be nonsense.
    stale: Instant,
    /// That is `answered` and a length which is only guessed.
    dated: bool,
    /// Attempts below this number may go.
    ends: u64,
    /// Attempts from this number on were sent when `ends` was known.
    fresh_from: u64,
    /// The least that this window's answers said: so many are left when all are answered.
    least: u64,
    /// The last reset made it whole.
    whole: bool,
    /// The window has been reset, and nothing is announced since.
    awaited: bool,
}

impl Budget {
    /// When it is asked for anew.
    fn over(&self) -> Instant {
        self.reset.min(self.stale)
    }
}

/// One announcement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcement {
    pub(crate) remaining: u64,
    pub(crate) reset: Duration,
    pub(crate) quota: Option<u64>,
    pub(crate) window: Option<Duration>,
}

impl Announced {
    /// Nothing is left until `reset`. Says until when it is closed, if that is later than before.
    pub(super) fn spent(&mut self, reset: Instant, now: Instant) -> Option<Instant> {
        let reset = match &self.budget {
            Some(budget) if !budget.awaited && !self.coarse => {
                let rounded = reset.saturating_since(budget.reset) <= 2 * ROUNDING;
                if rounded { reset.min(budget.reset) } else { reset }
            }
            _ => reset,
        };
        let later = reset > now && reset > self.spent_until;
        later.then(|| {
            self.spent_until = reset;
            reset
        })
    }

    pub(super) fn spent_until(&self) -> Instant {
        self.spent_until
    }

    pub(super) fn is_live(&self) -> bool {
        self.budget.is_some()
    }

    /// A request was refused: because of this budget, however it was understood? `sent` in all.
    pub(super) fn is_to_blame(&mut self, sent: u64) -> bool {
        if !self.blames(sent) {
            return false; // there is enough left: somebody else refused
        }
        let Some(budget) = self.budget.take() else {
            return false; // not reached
        };
        if budget.awaited && budget.dated {
            self.too_short = budget.began.saturating_since(budget.answered);
            self.proved = false;
        } else if budget.awaited {
            self.coarse = true;
        }
        true
    }

    pub(super) fn blames(&self, sent: u64) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.awaited || sent >= budget.ends)
    }

    /// An answer said what is left. So many were `sent` so far, of which so many `others` are in
    /// flight. Says whether that is news.
    pub(super) fn see(
        &mut self,
        mark: Mark,
        said: Announcement,
        sent: u64,
        others: u32,
        now: Instant,
    ) -> bool {
        let others = u64::from(others);
        let ends = sent.saturating_add(said.remaining).saturating_sub(others);
        let reset = now + said.reset;
        let Some(budget) = &mut self.budget else {
            self.budget = Some(Budget {
                quota: said.quota.unwrap_or(said.remaining.saturating_add(1)),
                length: said.window,
                began: mark.at,
                answered: now,
                reset,
                stale: now + STALE_AFTER,
                dated: false,
                ends,
                fresh_from: sent,
                least: said.remaining,
                whole: false,
                awaited: false,
            });
            self.date();
            return true;
        };
        let quota = said.quota.unwrap_or(budget.quota.max(said.remaining.saturating_add(1)));
        let news =
            quota != budget.quota || said.window.is_some_and(|_| said.window != budget.length);
        budget.quota = quota;
        budget.length = said.window.or(budget.length);
        budget.stale = now + STALE_AFTER;
        let fresh = mark.seq >= budget.fresh_from;
        if budget.awaited && !fresh {
            return news; // of the window before
        }
        // More is left than before, and not only since answers overtake each other.
        let grown = said.remaining > budget.least.saturating_add(others);
        if fresh && (budget.awaited || grown) {
            let used = sent.saturating_sub(mark.seq);
            budget.whole = budget.awaited && said.remaining.saturating_add(used) >= quota;
            self.proved |= budget.awaited && budget.dated;
            if !budget.awaited {
                budget.began = mark.at;
            }
            (budget.answered, budget.reset) = (now, reset);
            (budget.awaited, budget.dated) = (false, false);
            (budget.ends, budget.fresh_from, budget.least) = (ends, sent, said.remaining);
            self.date();
            return news;
        }
        budget.least = if fresh { said.remaining } else { budget.least.min(said.remaining) };
        if fresh || ends < budget.ends {
            (budget.ends, budget.fresh_from) = (ends, sent);
        }
        if self.coarse || reset < budget.reset {
            budget.reset = reset;
            self.date();
        }
        news
    }

    /// Dates the reset by the window's length, if that is known or can be guessed.
    fn date(&mut self) {
        let Some(budget) = self.budget.as_mut().filter(|_| !self.coarse) else {
            return;
        };
        if let Some(length) = budget.length {
            budget.reset = budget.reset.min(budget.answered + length);
            return;
        }
        let bound = budget.reset.saturating_since(budget.began);
        let at_most = self.at_most.map_or(bound, |most| most.min(bound));
        self.at_most = Some(at_most);
        if let Some(length) = standard_below(at_most, ROUNDING)
            && length > self.too_short
            && budget.answered + length < budget.reset
        {
            budget.reset = budget.answered + length;
            budget.dated = true;
        }
    }

    pub(super) fn permit(&self, now: Instant, seq: u64, in_flight: u32, asker: Asker) -> Permit {
        if now < self.spent_until {
            return Permit::At(self.spent_until);
        }
        let Some(budget) = &self.budget else {
            return Permit::Now;
        };
        if !budget.awaited && now >= budget.over() {
            return Permit::Now;
        }
        if seq >= budget.ends {
            let one_more = in_flight == 0 && (budget.awaited || budget.least > 0);
            return match budget.awaited {
                _ if one_more => Permit::Now,
                true => Permit::AfterAnswer,
                false => Permit::At(budget.over()),
            };
        }
        let left = budget.ends - seq;
        if asker.high || budget.awaited || asker.backlog <= left.saturating_add(in_flight.into()) {
            return Permit::Now;
        }
        let length = budget.length.unwrap_or(budget.reset.saturating_since(budget.began));
        let kept = self.reserve.ample(budget.quota);
        Reserve::permit(now, left, kept, budget.reset, length, self.reserve.is_wanted())
    }

    pub(super) fn sent(&mut self, mark: Mark, high: bool) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        if !budget.awaited && mark.at >= budget.over() {
            let reset = mark.at >= budget.reset;
            let trusted = reset && budget.whole && (!budget.dated || self.proved);
            (budget.awaited, budget.began, budget.fresh_from) = (true, mark.at, mark.seq);
            budget.ends = mark.seq.saturating_add(if trusted { budget.quota } else { 1 });
            self.reserve.roll();
        } else if mark.seq >= budget.ends {
            budget.ends = mark.seq + 1;
            budget.least = budget.least.saturating_sub(1);
        }
        self.reserve.sent(high);
    }

    pub(super) fn belief(&self, seq: u64) -> Option<BelievedQuota> {
        let budget = self.budget.as_ref()?;
        Some(BelievedQuota {
            requests: budget.quota,
            window: budget.length,
            remaining: budget.ends.saturating_sub(seq),
            resets: Some(budget.reset),
            basis: Basis::Announced,
        })
    }
}

#[cfg(test)]
mod tests;
