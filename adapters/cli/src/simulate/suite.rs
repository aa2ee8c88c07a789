//! The suite, as a table or as JSON.

use std::{fmt, io};

use cxone_sim::{Scenario, Summary, suite};
use serde::Serialize;

use super::{Args, millis, misused, print, rounded};
use crate::failure::Failure;

/// Enough for a median that does not hang on one seed.
const SEEDS: u32 = 20;

/// One element of the array that `--json` prints: medians over the seeds.
#[derive(Serialize)]
struct Row {
    scenario: &'static str,
    policy: &'static str,
    requests: u32,
    makespan_ratio: f64,
    throttled: u64,
    lost: u64,
    early: u64,
    max_in_flight: u64,
    high_p99_ms: Option<u64>,
    worst: Worst,
}

#[derive(Serialize)]
struct Worst {
    makespan_ratio: f64,
    throttled: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let seeds = args.seeds.unwrap_or(SEEDS);
    let mut rows = Vec::new();
    for scenario in chosen(&args.only) {
        let policy = args.policy.of_sim();
        let summary = scenario.measure(&scenario.config(policy), seeds)?;
        rows.push(Row::new(&scenario, policy.name(), &summary));
    }
    print(&if args.json {
        serde_json::to_string(&rows).map_err(io::Error::from)?
    } else {
        Table { rows: &rows, seeds }.to_string()
    })?;
    Ok(())
}

/// The scenarios that are wanted, in the suite's order.
fn chosen(only: &[String]) -> Vec<Scenario> {
    let suite = suite();
    let names = || suite.iter().map(|scenario| scenario.name);
    if let Some(unknown) = only.iter().find(|name| names().all(|known| known != name.as_str())) {
        let names: Vec<&str> = names().collect();
        misused(&format!(
            "--only {unknown}: there is no such scenario; there are {}",
            names.join(", ")
        ));
    }
    let wanted = |scenario: &Scenario| only.is_empty() || only.iter().any(|it| it == scenario.name);
    suite.into_iter().filter(wanted).collect()
}

/// A line each scenario.
struct Table<'a> {
    rows: &'a [Row],
    seeds: u32,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = match self.seeds {
            1 => "1 seed".into(),
            seeds => format!("{seeds} seeds"),
        };
        writeln!(
            f,
            "Medians of {seeds}; time is in multiples of the least that the limit allows.\n"
        )?;
        let [time, refused] = ["time", "429s"];
        line(
            f,
            [
                "scenario", "requests", time, refused, "worst", refused, "lost", "early", "flying",
                "HIGH p99",
            ],
        )?;
        for row in self.rows {
            let ratio = |ratio: f64| format!("{ratio:.3}");
            writeln!(f)?;
            line(
                f,
                [
                    row.scenario,
                    &row.requests.to_string(),
                    &ratio(row.makespan_ratio),
                    &row.throttled.to_string(),
                    &ratio(row.worst.makespan_ratio),
                    &row.worst.throttled.to_string(),
                    &row.lost.to_string(),
                    &row.early.to_string(),
                    &row.max_in_flight.to_string(),
                    &row.high_p99_ms.map_or("-".into(), |ms| format!("{ms} ms")),
                ],
            )?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, [name, rest @ ..]: [&str; 10]) -> fmt::Result {
    write!(f, "{name:<16}")?;
    let widths = [8, 6, 5, 6, 5, 4, 5, 6, 9];
    rest.iter().zip(widths).try_for_each(|(cell, width)| write!(f, " {cell:>width$}"))
}

impl Row {
    fn new(scenario: &Scenario, policy: &'static str, summary: &Summary) -> Row {
        Row {
            scenario: scenario.name,
            policy,
            requests: scenario.requests,
            makespan_ratio: rounded(summary.makespan_ratio),
            throttled: summary.throttled,
            lost: summary.lost,
            early: summary.early,
            max_in_flight: summary.max_in_flight,
            high_p99_ms: summary.high_p99.map(millis),
            worst: Worst {
                makespan_ratio: rounded(summary.worst_makespan_ratio),
                throttled: summary.worst_throttled,
            },
        }
    }
}
