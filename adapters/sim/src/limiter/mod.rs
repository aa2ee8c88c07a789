//! Rate limiters as state machines of time.
//!
//! | [`Model`] | allows | seen in |
//! |---|---|---|
//! | [`Fixed`](Model::Fixed) | `quota` requests in each window, windows aligned to time zero | most API gateways |
//! | [`Sliding`](Model::Sliding) | `quota` requests in any span of one window | exact per-user limits |
//! | [`Bucket`](Model::Bucket) | `quota` a window on average, `burst` at once | AWS, Stripe, Envoy |
//! | [`Leaky`](Model::Leaky) | `quota` a window evenly, `burst` beyond that | nginx `limit_req … nodelay` |
//!
//! Time is a [`Duration`] since an origin that the caller chooses. Time never runs backwards:
//! a `now` earlier than the last one counts as the last one. All arithmetic is in integers
//! and exact to the nanosecond, so a request at `retry_at` is allowed and one a nanosecond
//! before it is not.

mod bucket;
mod fixed;
mod leaky;
mod sliding;
mod spec;

use std::time::Duration;

use bucket::TokenBucket;
use fixed::FixedWindow;
use leaky::LeakyBucket;
use sliding::SlidingLog;
pub use spec::{LimitSpec, Model, SpecError};

/// What a limiter says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may pass; it has been counted.
    Allowed {
        /// How many more would pass at this same moment.
        remaining: u64,
        /// When the quota next grows; `now` if it is whole.
        reset: Duration,
    },
    /// The request may not pass.
    Refused {
        /// The earliest time at which a request would pass, were none to come before.
        retry_at: Duration,
    },
}

impl Decision {
    /// Whether the request may pass.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed { .. })
    }

    /// How many more requests would pass at this moment: 0 after a refusal.
    pub fn remaining(&self) -> u64 {
        match *self {
            Decision::Allowed { remaining, .. } => remaining,
            Decision::Refused { .. } => 0,
        }
    }

    /// When the quota next grows; after a refusal, when a request would pass.
    pub fn reset(&self) -> Duration {
        match *self {
            Decision::Allowed { reset, .. } => reset,
            Decision::Refused { retry_at } => retry_at,
        }
    }
}

/// A limiter of any [`Model`], with its state.
#[derive(Clone, Debug)]
pub struct Limiter {
    spec: LimitSpec,
    state: State,
    /// The latest time seen.
    now: Duration,
}

#[derive(Clone, Debug)]
enum State {
    Fixed(FixedWindow),
    Sliding(SlidingLog),
    Bucket(TokenBucket),
    Leaky(LeakyBucket),
}

impl Limiter {
    /// A limiter that has seen no request.
    pub fn new(spec: LimitSpec) -> Limiter {
        Limiter { spec, state: State::new(&spec), now: Duration::ZERO }
    }

    /// Asks for one request at `now`, and counts it.
    pub fn try_acquire(&mut self, now: Duration) -> Decision {
        self.now = self.now.max(now);
        match &mut self.state {
            State::Fixed(window) => window.try_acquire(&self.spec, self.now),
            State::Sliding(log) => log.try_acquire(&self.spec, self.now),
            State::Bucket(bucket) => bucket.try_acquire(&self.spec, self.now),
            State::Leaky(bucket) => bucket.try_acquire(&self.spec, self.now),
        }
    }

    /// For a leaky bucket, how long a request that was just allowed is ahead of the even rate:
    /// nginx without `nodelay` holds it back for so long. Zero for the other models.
    pub fn ahead(&self) -> Duration {
        match &self.state {
            State::Leaky(bucket) => bucket.ahead(&self.spec),
            _ => Duration::ZERO,
        }
    }

    /// Changes the limit, as servers do without notice.
    ///
    /// Within one model what has been used stays used; a change of model starts afresh.
    pub fn change(&mut self, spec: LimitSpec) {
        let old = std::mem::replace(&mut self.spec, spec);
        match &mut self.state {
            State::Bucket(bucket) if spec.model == Model::Bucket => bucket.rescale(&old, &spec),
            State::Leaky(bucket) if spec.model == Model::Leaky => bucket.rescale(&old, &spec),
            _ if old.model == spec.model => {}
            state => *state = State::new(&spec),
        }
    }

    /// The limit in force.
    pub fn spec(&self) -> &LimitSpec {
        &self.spec
    }
}

impl State {
    fn new(spec: &LimitSpec) -> State {
        match spec.model {
            Model::Fixed => State::Fixed(FixedWindow::default()),
            Model::Sliding => State::Sliding(SlidingLog::default()),
            Model::Bucket => State::Bucket(TokenBucket::full(spec)),
            Model::Leaky => State::Leaky(LeakyBucket::default()),
        }
    }
}

/// A duration of so many nanoseconds, at most [`Duration::MAX`].
fn nanos(n: u128) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    match u64::try_from(n / NANOS) {
        // The remainder is below 10⁹, so it fits.
        Ok(secs) => Duration::new(secs, (n % NANOS) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests;
