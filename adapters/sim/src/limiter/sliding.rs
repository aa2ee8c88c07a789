//! The exact times of the last requests.

use std::{collections::VecDeque, time::Duration};

use super::{Decision, LimitSpec};

#[derive(Clone, Debug, Default)]
pub(super) struct SlidingLog {
    /// When the requests that count came, oldest first.
    times: VecDeque<Duration>,
}

impl SlidingLog {
    pub(super) fn try_acquire(&mut self, spec: &LimitSpec, now: Duration) -> Decision {
        let leaves = |time: Duration| time.saturating_add(spec.window);
        while self.times.front().is_some_and(|&time| leaves(time) <= now) {
            self.times.pop_front();
        }
        let quota = spec.quota.max(1) as usize;
        let used = self.times.len();
        if used < quota {
            self.times.push_back(now);
            let remaining = (quota - used - 1) as u64;
            return Decision::Allowed { remaining, reset: leaves(self.times[0]) };
        }
        if spec.count_refused {
            self.times.push_back(now);
            // Only as many of the latest as make up the quota decide anything.
            self.times.drain(..self.times.len() - quota);
        }
        // Below the quota again once only `quota - 1` of them remain.
        Decision::Refused { retry_at: leaves(self.times[self.times.len() - quota]) }
    }
}
