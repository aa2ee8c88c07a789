//! A queue that drains evenly: nginx's `limit_req` with `nodelay`.
//!
//! The level is kept in parts as in the token bucket: a request is `window` parts, and `quota`
//! parts drain each nanosecond. What nginx calls *excess* is the level less the request itself.

use std::time::Duration;

use super::{Decision, LimitSpec, nanos};

#[derive(Clone, Debug, Default)]
pub(super) struct LeakyBucket {
    /// Parts of requests in the bucket.
    level: u128,
    /// When `level` was true.
    at: Duration,
}

impl LeakyBucket {
    pub(super) fn try_acquire(&mut self, spec: &LimitSpec, now: Duration) -> Decision {
        let request = spec.unit();
        let capacity = (u128::from(spec.burst) + 1) * request;
        let elapsed = now.saturating_sub(self.at).as_nanos();
        self.level = self.level.saturating_sub(elapsed.saturating_mul(spec.rate()));
        self.at = now;

        let allowed = self.level + request <= capacity;
        if allowed {
            self.level += request;
        } else if spec.count_refused {
            // Bounded, so that a flood is forgiven after twice the time of a full bucket.
            self.level = (self.level + request).min(2 * capacity);
        }
        let drained_to = |level: u128| {
            let surplus = self.level.saturating_sub(level);
            now.saturating_add(nanos(surplus.div_ceil(spec.rate())))
        };
        if allowed {
            let remaining = (capacity - self.level) / request;
            let next = capacity - (remaining + 1).min(u128::from(spec.burst) + 1) * request;
            Decision::Allowed { remaining: remaining as u64, reset: drained_to(next) }
        } else {
            Decision::Refused { retry_at: drained_to(capacity - request) }
        }
    }

    /// How long the last request in the bucket would take to reach its bottom.
    pub(super) fn ahead(&self, spec: &LimitSpec) -> Duration {
        nanos(self.level.saturating_sub(spec.unit()).div_ceil(spec.rate()))
    }

    /// Keeps what is in the bucket, now that it is counted in other parts.
    pub(super) fn rescale(&mut self, old: &LimitSpec, new: &LimitSpec) {
        self.level = self.level.saturating_mul(new.unit()) / old.unit();
    }
}
