//! What is waited for, and for how long.

use std::{
    fmt,
    time::{Duration, Instant},
};

use cxone_client::Notice;

/// A wait with no more left than this is over: what follows it may be told of a moment earlier.
const OVER: Duration = Duration::from_millis(50);

/// A wait that a notice tells of.
pub(crate) struct Wait {
    until: Instant,
    why: String,
}

impl Wait {
    /// The wait that begins `now`, if the notice tells of one.
    pub(crate) fn new(notice: &Notice, now: Instant) -> Option<Wait> {
        let (wait, why) = match notice {
            Notice::Paused { wait, reason, .. } => (wait, reason.to_string()),
            Notice::Retrying { wait, .. } => (wait, "the request failed, own backoff".into()),
            Notice::TokenRetrying { wait, failure } => (wait, failure.to_string()),
            _ => return None,
        };
        Some(Wait { until: now + *wait, why })
    }

    /// How it is shown while it lasts; `None` when it is over.
    pub(crate) fn countdown(&self, now: Instant) -> Option<String> {
        let left = self.until.saturating_duration_since(now);
        // Rounded up, so that it never shows 0.0 s.
        let tenths = left.as_millis().div_ceil(100);
        (tenths > 0).then(|| format!("paused {}.{} s: {}", tenths / 10, tenths % 10, self.why))
    }
}

/// All waits of a run. One that only lengthens another adds what it lengthens it by.
#[derive(Default)]
pub(crate) struct Waits {
    count: u64,
    total: Duration,
    until: Option<Instant>,
}

impl Waits {
    pub(crate) fn add(&mut self, wait: &Wait, now: Instant) {
        let begin = self.until.map_or(now, |until| until.max(now));
        if begin.duration_since(now) <= OVER {
            self.count += 1;
        }
        self.total += wait.until.saturating_duration_since(begin);
        self.until = Some(wait.until.max(begin));
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => f.write_str("none"),
            n => write!(f, "{n}, {:.1} s in all", self.total.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(now: Instant, ms: u64) -> Wait {
        let why = "429, the server states the wait".into();
        Wait { until: now + Duration::from_millis(ms), why }
    }

    #[test]
    fn a_wait_counts_down_to_nothing() {
        let now = Instant::now();
        let wait = wait(now, 3_200);
        let shown = |after| wait.countdown(now + Duration::from_millis(after));
        assert_eq!(shown(0).unwrap(), "paused 3.2 s: 429, the server states the wait");
        assert_eq!(shown(3_000).unwrap(), "paused 0.2 s: 429, the server states the wait");
        assert_eq!(shown(3_190).unwrap(), "paused 0.1 s: 429, the server states the wait");
        assert_eq!(shown(3_200), None);
    }

    #[test]
    fn waits_that_overlap_count_once() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut waits = Waits::default();
        assert_eq!(waits.to_string(), "none");
        waits.add(&wait(now, 1_000), now);
        waits.add(&wait(at(500), 1_000), at(500));
        waits.add(&wait(at(600), 100), at(600));
        assert_eq!(waits.to_string(), "1, 1.5 s in all");
        waits.add(&wait(at(2_000), 2_000), at(2_000));
        assert_eq!(waits.to_string(), "2, 3.5 s in all");
    }

    #[test]
    fn a_wait_that_is_told_a_moment_before_the_last_one_ends_counts() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut waits = Waits::default();
        waits.add(&wait(now, 1_000), now);
        waits.add(&wait(at(998), 2_000), at(998));
        assert_eq!(waits.to_string(), "2, 3.0 s in all");
    }
}
