//! Budgets that answers announce.

use core::time::Duration;

use super::belief::Belief;
use super::window::Reserve;
use super::{Asker, Mark};
use crate::gate::Permit;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// The announced reset of a budget that is spent.
    spent_until: Instant,
    budget: Option<Budget>,
    high: Reserve,
}

#[derive(Debug)]
struct Budget {
    /// Attempts below this number may go.
    ends: u64,
    /// Only attempts from this number on were sent after `ends` was known.
    fresh_from: u64,
    reset: Instant,
    began: Instant,
    quota: u64,
    /// Its reset made it whole, as far as is known.
    whole: bool,
    length: Option<Duration>,
    /// Since the reset nothing was announced: `ends` is a guess.
    guessed: bool,
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
    /// A delivered answer announced that nothing remains until `reset`. `true` if that is later
    /// than what was known.
    pub(crate) fn spent(&mut self, reset: Instant, now: Instant) -> bool {
        let later = reset > now && reset > self.spent_until;
        if later {
            self.spent_until = reset;
        }
        later
    }

    pub(super) fn spent_until(&self) -> Instant {
        self.spent_until
    }

    pub(crate) fn is_live(&self) -> bool {
        self.budget.is_some()
    }

    pub(crate) fn forget(&mut self) {
        self.budget = None;
    }

    /// An answer said what is left. `sent`: how many the scope has sent so far.
    pub(crate) fn see(&mut self, mark: Mark, said: Announcement, sent: u64, now: Instant) {
        let ends = (mark.seq + 1).saturating_add(said.remaining);
        let reset = now + said.reset;
        let Some(budget) = &mut self.budget else {
            self.budget = Some(Budget {
                ends,
                fresh_from: sent,
                reset,
                began: now,
                quota: said.quota.unwrap_or(said.remaining + 1),
                whole: false,
                length: said.window,
                guessed: false,
            });
            return;
        };
        budget.quota = said.quota.unwrap_or(budget.quota.max(said.remaining + 1));
        budget.length = said.window.or(budget.length);
        let causal = mark.seq >= budget.fresh_from;
        if budget.guessed && causal {
            budget.whole = said.remaining + 1 + (sent - mark.seq) >= budget.quota;
            budget.guessed = false;
            (budget.ends, budget.fresh_from) = (ends, sent);
            budget.reset = reset;
            budget.began = now;
            return;
        }
        if budget.guessed {
            return; // of the window before
        }
        if ends < budget.ends || causal {
            (budget.ends, budget.fresh_from) = (ends, sent);
        }
        let rolled = reset.saturating_since(budget.reset) > Duration::from_millis(1100);
        if causal && rolled {
            budget.reset = reset;
            budget.began = now;
        } else {
            budget.reset = budget.reset.min(reset);
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
                false => Permit::At(budget.reset),
            };
        }
        let left = budget.ends - seq;
        if asker.high || budget.guessed || asker.backlog <= left {
            return Permit::Now;
        }
        let length = budget.length.unwrap_or(budget.reset.saturating_since(budget.began));
        self.high.permit(now, left, budget.quota, budget.reset, length)
    }

    pub(super) fn sent(&mut self, mark: Mark, high: bool) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        if !budget.guessed && mark.at >= budget.reset {
            budget.guessed = true;
            budget.fresh_from = mark.seq;
            budget.ends = mark.seq + if budget.whole { budget.quota } else { 1 };
            self.high.roll();
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
