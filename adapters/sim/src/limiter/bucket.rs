//! Tokens that refill evenly.
//!
//! A token is kept as `window` parts, and `quota` parts arrive each nanosecond, so the refill
//! is exact for any quota and window.

use std::time::Duration;

use super::{Decision, LimitSpec, nanos};

#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    /// Parts of tokens held; below zero when refused requests count.
    level: i128,
    /// When `level` was true.
    at: Duration,
}

impl TokenBucket {
    pub(super) fn full(spec: &LimitSpec) -> TokenBucket {
        TokenBucket { level: capacity(spec), at: Duration::ZERO }
    }

    pub(super) fn try_acquire(&mut self, spec: &LimitSpec, now: Duration) -> Decision {
        let token = spec.unit() as i128;
        let elapsed = now.saturating_sub(self.at).as_nanos();
        let refill = i128::try_from(elapsed.saturating_mul(spec.rate())).unwrap_or(i128::MAX);
        self.level = self.level.saturating_add(refill).min(capacity(spec));
        self.at = now;

        let allowed = self.level >= token;
        if allowed || spec.count_refused {
            self.level = (self.level - token).max(-capacity(spec));
        }
        let until = |level: i128| {
            let missing = (level - self.level).max(0) as u128;
            now.saturating_add(nanos(missing.div_ceil(spec.rate())))
        };
        if allowed {
            let remaining = self.level / token;
            Decision::Allowed { remaining: remaining as u64, reset: until((remaining + 1) * token) }
        } else {
            Decision::Refused { retry_at: until(token) }
        }
    }

    /// Keeps the tokens held, now that they are counted in other parts.
    pub(super) fn rescale(&mut self, old: &LimitSpec, new: &LimitSpec) {
        let level = self.level.saturating_mul(new.unit() as i128) / old.unit() as i128;
        self.level = level.min(capacity(new));
    }
}

fn capacity(spec: &LimitSpec) -> i128 {
    i128::from(spec.burst.max(1)) * spec.unit() as i128
}
