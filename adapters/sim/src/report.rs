//! What came out of a run.

use std::time::Duration;

use cxone_core::{Priority, RequestError};

use crate::limiter::{LimitSpec, Model};

/// What came out of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Requests that were submitted.
    pub requests: u64,
    /// From the first submit to the last end.
    pub makespan: Duration,
    /// The least that it could have been: see [`ideal_makespan`](crate::ideal_makespan).
    pub ideal: Duration,
    /// Attempts that the clients started.
    pub attempts: u64,
    /// Attempts that the limiter refused.
    pub throttled: u64,
    /// Requests that did not end well, those that were not accepted or never ended included.
    pub lost: u64,
    /// How the first of those ended that the engine gave up.
    pub given_up: Option<RequestError>,
    /// Attempts that were started before a moment that a refusal had stated to that client: law 1
    /// of the engine, counted by the world and not by the engine. A stated wait below a second
    /// sets none.
    pub early: u64,
    /// The most attempts that any one client had in flight.
    pub max_in_flight: u64,
    /// From submit to end by class, HIGH first, of the requests that ended well.
    pub classes: [Class; 3],
    /// After the limit rose, how many requests passed until it was used: nine tenths of it, over
    /// a window of it or, for a bucket, over twenty requests. `None`: it did not rise, or was
    /// never used.
    pub passed_until_rise_used: Option<u64>,
    /// When requests passed the limiter, since the run's start.
    pub accepted_at: Vec<Duration>,
    /// When it refused one.
    pub refused_at: Vec<Duration>,
}

/// Latencies of a class, from submit to end. All zero if no request of it ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Requests of it that ended well.
    pub requests: u64,
    /// The median.
    pub p50: Duration,
    /// The 99th percentile (nearest rank: below a hundred requests, the longest).
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Report {
    /// The makespan over the least that it could have been; 1 for a run of nothing. It says little of
    /// a run that lost requests.
    pub fn ratio(&self) -> f64 {
        match self.ideal.as_nanos() {
            0 => 1.0,
            ideal => self.makespan.as_nanos() as f64 / ideal as f64,
        }
    }

    /// The latencies of one class.
    pub fn class(&self, class: Priority) -> &Class {
        &self.classes[class as usize - 1]
    }
}

impl Class {
    pub(crate) fn of(mut all: Vec<Duration>) -> Class {
        all.sort_unstable();
        let rank = |percent: usize| all[(all.len() * percent).div_ceil(100).max(1) - 1];
        match all.last() {
            None => Class::default(),
            Some(&max) => Class { requests: all.len() as u64, p50: rank(50), p99: rank(99), max },
        }
    }
}

/// Requests over which a rate is measured.
const RATE_OVER: usize = 20;

/// How many of these passes, all after a rise to `limit`, came until it was used.
pub(crate) fn used_after(passes: &[Duration], limit: &LimitSpec) -> Option<u64> {
    let (many, within) = match limit.model {
        Model::Fixed | Model::Sliding => {
            ((limit.quota as usize * 9).div_ceil(10).max(1), limit.window)
        }
        Model::Bucket | Model::Leaky => {
            let even = limit.window.saturating_mul(RATE_OVER as u32) / limit.quota.max(1);
            (RATE_OVER + 1, even.saturating_mul(10) / 9)
        }
    };
    let used = passes.windows(many).position(|run| run[many - 1] - run[0] <= within)?;
    Some((used + many) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let class = Class::of((1..=200).rev().map(secs).collect());
        assert_eq!((class.p50, class.p99, class.max), (secs(100), secs(198), secs(200)));
        let few = Class::of(vec![secs(3), secs(1)]);
        assert_eq!((few.p50, few.p99, few.max, few.requests), (secs(1), secs(3), secs(3), 2));
        assert_eq!(Class::of(Vec::new()), Class::default());
    }

    #[test]
    fn a_rise_is_used_once_nine_tenths_of_the_new_rate_pass() {
        let ms = Duration::from_millis;
        let limit = "bucket:20/s+20".parse().unwrap();
        // 5 a second for 40 requests, then 19 a second.
        let slow = (0..40).map(|i| ms(i * 200));
        let fast = (0..40).map(|i| ms(8000 + i * 52));
        let passes: Vec<Duration> = slow.chain(fast).collect();
        let used = used_after(&passes, &limit).unwrap();
        assert!((59..=61).contains(&used), "{used}");
        assert_eq!(used_after(&passes[..50], &limit), None);
    }
}
