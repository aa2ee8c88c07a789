//! What rate or quota the server seems to allow in one scope.
//!
//! Whether a scope may send is asked in two places: its [`gate`](crate::gate), which knows what
//! the server refused, and here, what it is believed to allow. For now that is a concurrency of
//! the scope's own and the budget which the server announces as spent. This is the seam for more:
//! a learned rate answers [`Permit::At`] the next permit's moment, and a quota shared between
//! processes answers [`Permit::AfterAnswer`] until its store has granted one.

use crate::gate::Permit;
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct Pacer {
    concurrency: Option<u32>,
    /// The announced reset of a budget that is spent.
    spent_until: Instant,
}

impl Pacer {
    pub(crate) fn new(concurrency: Option<u32>) -> Self {
        Pacer { concurrency, spent_until: Instant::ORIGIN }
    }

    /// A delivered answer announced that nothing remains until `reset`. `true` if that is later
    /// than what was known.
    pub(crate) fn announce_spent(&mut self, reset: Instant, now: Instant) -> bool {
        let later = reset > now && reset > self.spent_until;
        if later {
            self.spent_until = reset;
        }
        later
    }

    pub(crate) fn permit(&self, now: Instant, in_flight: u32) -> Permit {
        if now < self.spent_until {
            Permit::At(self.spent_until)
        } else if self.concurrency.is_some_and(|most| in_flight >= most) {
            Permit::Full
        } else {
            Permit::Now
        }
    }

    /// The last announced reset, which may be past.
    pub(crate) fn spent_until(&self) -> Instant {
        self.spent_until
    }

    pub(crate) fn concurrency(&self) -> Option<u32> {
        self.concurrency
    }
}
