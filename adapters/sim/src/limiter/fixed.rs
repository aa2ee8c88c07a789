//! A counter that starts again with each window.

use std::time::Duration;

use super::{Decision, LimitSpec, nanos};

#[derive(Clone, Debug, Default)]
pub(super) struct FixedWindow {
    /// The number of the window that is being counted, from time zero.
    window: u128,
    used: u32,
}

impl FixedWindow {
    pub(super) fn try_acquire(&mut self, spec: &LimitSpec, now: Duration) -> Decision {
        let window = now.as_nanos() / spec.unit();
        // A window that was made longer has a smaller number: its use is kept.
        if window > self.window {
            self.used = 0;
        }
        self.window = window;
        let end = nanos((window + 1) * spec.unit());
        match spec.quota.checked_sub(self.used).and_then(|left| left.checked_sub(1)) {
            Some(remaining) => {
                self.used += 1;
                Decision::Allowed { remaining: remaining.into(), reset: end }
            }
            None => Decision::Refused { retry_at: end },
        }
    }
}
