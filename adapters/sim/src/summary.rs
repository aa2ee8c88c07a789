//! A scenario over many seeds.

use std::time::Duration;

use cxone_core::{Config, ConfigError, Priority};

use crate::report::Report;
use crate::suite::Scenario;

/// What a scenario's runs have in common: medians over the seeds (of an even number the upper one
/// of the two in the middle), and the worst.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The median of the makespan over the least that it could have been.
    pub makespan_ratio: f64,
    /// The median of the attempts that were refused.
    pub throttled: u64,
    /// Requests that were lost, of all runs.
    pub lost: u64,
    /// Attempts that were started too early, of all runs.
    pub early: u64,
    /// The most attempts that one client had in flight in any run.
    pub max_in_flight: u64,
    /// The median of the 99th percentiles of HIGH; `None` if there is no request of that class.
    pub high_p99: Option<Duration>,
    /// The median of how many requests passed after a rise until it was used, of those runs in
    /// which it was.
    pub passed_until_rise_used: Option<u64>,
    /// The largest ratio of all runs.
    pub worst_makespan_ratio: f64,
    /// The most refused attempts of all runs.
    pub worst_throttled: u64,
}

impl Scenario {
    /// Runs it with so many seeds, from 0.
    ///
    /// # Errors
    ///
    /// A setting of `config` is out of its range.
    pub fn measure(&self, config: &Config, seeds: u32) -> Result<Summary, ConfigError> {
        let world = self.world(config);
        let runs = (0..seeds).map(|seed| world.run(seed.into())).collect::<Result<Vec<_>, _>>()?;
        Ok(Summary::of(&runs))
    }
}

impl Summary {
    fn of(runs: &[Report]) -> Summary {
        let mut ratios: Vec<f64> = runs.iter().map(Report::ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let throttled = sorted(runs.iter().map(|run| run.throttled));
        let high = runs.iter().map(|run| run.class(Priority::High));
        let high = sorted(high.filter(|high| high.requests > 0).map(|high| high.p99));
        let rises = sorted(runs.iter().filter_map(|run| run.passed_until_rise_used));
        Summary {
            makespan_ratio: median(&ratios).unwrap_or(1.0),
            throttled: median(&throttled).unwrap_or(0),
            lost: runs.iter().map(|run| run.lost).sum(),
            early: runs.iter().map(|run| run.early).sum(),
            max_in_flight: runs.iter().map(|run| run.max_in_flight).max().unwrap_or(0),
            high_p99: median(&high),
            passed_until_rise_used: median(&rises),
            worst_makespan_ratio: ratios.last().copied().unwrap_or(1.0),
            worst_throttled: throttled.last().copied().unwrap_or(0),
        }
    }
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values
}

fn median<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len() / 2).copied()
}
