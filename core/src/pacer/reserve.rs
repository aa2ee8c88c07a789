//! What is kept of a window's quota for urgent requests.
//!
//! LOW requests would spend a window's quota in its first moments, and a HIGH one that comes later
//! would wait for the next window. So the last few are kept: the fewer, the more of the window is
//! over, as if urgent requests came evenly; and in its last fortieth nothing is, so that none is
//! lost. It costs no time, since it holds only those back of whom some must wait for the next
//! window anyway: a backlog that fits into what is left is let go at once.

use core::time::Duration;

use crate::gate::Permit;
use crate::time::{Instant, nanos, scaled};

/// Urgent requests of this window, and of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserve {
    now: u64,
    before: u64,
}

/// A part of the window at its end in which nothing is kept.
const TAIL: u32 = 40;

impl Reserve {
    /// A window begins.
    pub(super) fn roll(&mut self) {
        (self.before, self.now) = (self.now, 0);
    }

    pub(super) fn sent(&mut self, high: bool) {
        self.now += u64::from(high);
    }

    /// As many as are still to come if this window is like the one before. For a quota that is only
    /// guessed: what is used late in a window that slides is missing at its next beginning.
    pub(super) fn as_before(&self, quota: u64) -> u64 {
        self.before.saturating_sub(self.now).min(quota / 4)
    }

    /// A sixteenth, or more if more were needed, before any was seen: for a quota that is told.
    pub(super) fn ample(&self, quota: u64) -> u64 {
        (self.before.max(self.now) + 1).max(quota / 16).min(quota / 4)
    }

    /// Were there urgent ones lately? Then another may come at any moment.
    pub(super) fn is_wanted(&self) -> bool {
        self.now + self.before > 0
    }

    /// May a request that is not urgent have one of the `left` ones? At most `kept` are kept, and
    /// the last of them until the tail, if that is wanted.
    pub(super) fn permit(
        now: Instant,
        left: u64,
        kept: u64,
        reset: Instant,
        window: Duration,
        last: bool,
    ) -> Permit {
        if left > kept {
            return Permit::Now;
        }
        // The `left` ones are kept for that part of the window which they are of the reserve; or one
        // less, so that the last one is kept until the tail.
        let tail = window / TAIL;
        let part = left.saturating_sub(u64::from(last));
        let rest = scaled(nanos(window - tail), part, kept).saturating_add(nanos(tail));
        let at = Instant::from_nanos(reset.as_nanos().saturating_sub(rest));
        if now >= at { Permit::Now } else { Permit::At(at) }
    }
}

#[cfg(test)]
mod tests;
