//! How long a request and its answer are on the way.

use std::time::Duration;

use crate::dice::Dice;

/// The time on the way there and back, drawn anew for each attempt: one half is spent before the
/// request reaches the server, the other after the answer has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Evenly spread over a span.
    Uniform {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// With a long tail: a log-normal distribution around this median with σ = 0.5, cut at its
    /// first and its last thousandth. One in a hundred takes more than three times the median.
    LongTail {
        /// Half of all are faster.
        median: Duration,
    },
}

/// Quantiles of the log-normal distribution with median 1 and σ = 0.5: probability and value, both
/// in thousandths. Between them it is linear, so that there is no arithmetic but of integers.
const LOG_NORMAL: [(u64, u64); 11] = [
    (0, 213),
    (10, 312),
    (100, 527),
    (250, 714),
    (500, 1000),
    (750, 1401),
    (900, 1898),
    (950, 2276),
    (990, 3200),
    (999, 4690),
    (1000, 4690),
];

impl Latency {
    /// That latency, give or take so many percent.
    pub fn about(middle: Duration, percent: u32) -> Latency {
        let spread = middle * percent.min(100) / 100;
        Latency::Uniform { least: middle - spread, most: middle + spread }
    }

    /// No attempt is faster than this.
    pub fn least(&self) -> Duration {
        match *self {
            Latency::Constant(latency) => latency,
            Latency::Uniform { least, most } => least.min(most),
            Latency::LongTail { median } => scale(median, LOG_NORMAL[0].1),
        }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> Duration {
        match *self {
            Latency::Constant(latency) => latency,
            Latency::Uniform { least, most } => {
                let spread = nanos(most.abs_diff(least));
                self.least() + Duration::from_nanos(dice.below(spread.saturating_add(1)))
            }
            Latency::LongTail { median } => {
                // In thousandths of a thousandth, for a smooth line between the quantiles.
                let p = dice.below(1_000_000);
                let above = LOG_NORMAL.partition_point(|(q, _)| q * 1000 <= p);
                let ((p0, v0), (p1, v1)) = (LOG_NORMAL[above - 1], LOG_NORMAL[above]);
                let value = v0 + (v1 - v0) * (p - p0 * 1000) / ((p1 - p0) * 1000).max(1);
                scale(median, value)
            }
        }
    }
}

fn scale(by: Duration, thousandths: u64) -> Duration {
    let scaled = by.as_nanos() * u128::from(thousandths) / 1000;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn draws(latency: Latency) -> Vec<Duration> {
        let mut dice = Dice::new(1);
        let mut all: Vec<Duration> = (0..20_000).map(|_| latency.draw(&mut dice)).collect();
        all.sort();
        all
    }

    #[test]
    fn an_even_spread_reaches_both_its_ends_and_no_further() {
        let all = draws(Latency::about(100 * MS, 10));
        assert!(all[0] >= 90 * MS && all[0] < 91 * MS, "{:?}", all[0]);
        assert!(all[19_999] <= 110 * MS && all[19_999] > 109 * MS, "{:?}", all[19_999]);
    }

    #[test]
    fn a_long_tail_has_the_quantiles_of_the_log_normal_distribution() {
        let latency = Latency::LongTail { median: 100 * MS };
        let all = draws(latency);
        assert!(all[0] >= latency.least());
        for (share, expected) in [(0.5, 100), (0.9, 190), (0.99, 320)] {
            let found = all[(20_000.0 * share) as usize].as_millis().abs_diff(expected);
            assert!(found * 20 < expected, "{share}: {found} ms off");
        }
    }
}
