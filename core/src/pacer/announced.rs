//! Budgets that answers announce.

use core::time::Duration;

use super::belief::Belief;
use super::window::{Reserve, standard_below};
use super::{Asker, Mark};
use crate::gate::Permit;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// The announced reset of a budget that is spent.
    spent_until: Instant,
    budget: Option<Budget>,
    high: Reserve,
    /// A reset that was dated by the earliest of all answers proved too early.
    coarse: bool,
    /// No window is longer than this, as answers show, and none is as short as that.
    at_most: Option<Duration>,
    too_short: Duration,
    /// A window was dated by its length, and that proved right.
    proved: bool,
}

/// Announced seconds are whole, and a `Date` may take off most of another one.
const ROUNDING: Duration = Duration::from_millis(1100);

#[derive(Debug)]
struct Budget {
    /// Attempts below this number may go.
    ends: u64,
    /// Only attempts from this number on were sent after `ends` was known.
    fresh_from: u64,
    /// The first attempt of the window was sent, and answered, then.
    began: Instant,
    met: Instant,
    reset: Instant,
    /// It is `met` and a guessed length.
    dated: bool,
    quota: u64,
    /// Its reset made it whole, as far as is known.
    whole: bool,
    length: Option<Duration>,
    /// Since the reset nothing was announced: `ends` is a guess.
    guessed: bool,
    /// The least that this window's answers said: what is left once all are answered.
    least: u64,
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
    /// A delivered answer announced that nothing remains until `reset`. Says until when, if that is
    /// later than what was known.
    pub(crate) fn spent(&mut self, reset: Instant, now: Instant) -> Option<Instant> {
        // Seconds are rounded up: of all that this window's answers said, the earliest is right.
        let reset = match &self.budget {
            Some(budget)
                if !budget.guessed
                    && !self.coarse
                    && reset.saturating_since(budget.reset) <= ROUNDING * 2 =>
            {
                reset.min(budget.reset)
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

    pub(crate) fn is_live(&self) -> bool {
        self.budget.is_some()
    }

    /// A request was refused although it was believed to be within the budget.
    pub(crate) fn forget(&mut self) {
        match self.budget.take() {
            Some(budget) if budget.guessed && budget.dated => {
                self.too_short = budget.began.saturating_since(budget.met);
                self.proved = false;
            }
            Some(budget) if budget.guessed => self.coarse = true,
            _ => {}
        }
    }

    /// An answer said what is left. `sent`: how many the scope has sent so far; `others`: how many
    /// more are in flight, each of which may be counted already or not.
    pub(crate) fn see(
        &mut self,
        mark: Mark,
        said: Announcement,
        sent: u64,
        others: u32,
        now: Instant,
    ) {
        let ends = sent.saturating_add(said.remaining).saturating_sub(u64::from(others));
        let reset = now + said.reset;
        let Some(budget) = &mut self.budget else {
            self.budget = Some(Budget {
                ends,
                fresh_from: sent,
                began: mark.at,
                met: now,
                reset,
                dated: false,
                quota: said.quota.unwrap_or(said.remaining + 1),
                whole: false,
                length: said.window,
                guessed: false,
                least: said.remaining,
            });
            return self.date();
        };
        budget.quota = said.quota.unwrap_or(budget.quota.max(said.remaining + 1));
        budget.length = said.window.or(budget.length);
        // Was it sent when the last known end was known already?
        let causal = mark.seq >= budget.fresh_from;
        if budget.guessed && !causal {
            return; // of the window before
        }
        // More is left than before, and not only since answers overtake each other.
        let grown = said.remaining > budget.least.saturating_add(u64::from(others));
        if causal && (budget.guessed || grown) {
            budget.whole = budget.guessed && said.remaining + 1 + (sent - mark.seq) >= budget.quota;
            if budget.guessed && budget.dated {
                self.proved = true;
            }
            if !budget.guessed {
                budget.began = mark.at;
            }
            (budget.guessed, budget.dated) = (false, false);
            (budget.ends, budget.fresh_from) = (ends, sent);
            (budget.least, budget.reset, budget.met) = (said.remaining, reset, now);
            return self.date();
        }
        budget.least = budget.least.min(said.remaining);
        if ends < budget.ends || causal {
            (budget.ends, budget.fresh_from) = (ends, sent);
            if causal {
                budget.least = said.remaining;
            }
        }
        if self.coarse || reset < budget.reset {
            budget.reset = reset;
            self.date();
        }
    }

    /// Dates the reset by the length of the window, if that is known or can be guessed.
    fn date(&mut self) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        if self.coarse {
            return;
        }
        if let Some(length) = budget.length {
            budget.reset = budget.reset.min(budget.met + length);
            return;
        }
        let bound = budget.reset.saturating_since(budget.began);
        let at_most = self.at_most.map_or(bound, |most| most.min(bound));
        self.at_most = Some(at_most);
        if let Some(length) = standard_below(at_most, ROUNDING)
            && length > self.too_short
            && budget.met + length < budget.reset
        {
            budget.reset = budget.met + length;
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
        if !budget.guessed && now >= budget.reset {
            return Permit::Now;
        }
        if seq >= budget.ends {
            return match budget.guessed {
                true if in_flight == 0 => Permit::Now,
                true => Permit::AfterAnswer,
                false if in_flight == 0 && budget.least > 0 => Permit::Now,
                false => Permit::At(budget.reset),
            };
        }
        let left = budget.ends - seq;
        if asker.high || budget.guessed || asker.backlog <= left + u64::from(in_flight) {
            return Permit::Now;
        }
        let length = budget.length.unwrap_or(budget.reset.saturating_since(budget.began));
        self.high.permit(now, left, self.high.some(budget.quota), budget.reset, length)
    }

    pub(super) fn sent(&mut self, mark: Mark, high: bool) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        if !budget.guessed && mark.at >= budget.reset {
            budget.guessed = true;
            budget.fresh_from = mark.seq;
            budget.began = mark.at;
            let trusted = budget.whole && (!budget.dated || self.proved);
            budget.ends = mark.seq + if trusted { budget.quota } else { 1 };
            self.high.roll();
        } else if mark.seq >= budget.ends {
            budget.ends = mark.seq + 1;
            budget.least = budget.least.saturating_sub(1);
        }
        self.high.sent(high);
    }

    pub(super) fn belief(&self) -> Belief {
        match &self.budget {
            None => Belief::Unknown,
            Some(budget) => Belief::Quota {
                requests: budget.quota,
                window: budget.length,
                remaining: budget.ends,
                resets: Some(budget.reset),
            },
        }
    }
}
