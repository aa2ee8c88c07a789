//! The suite, as a table or as JSON.

use std::io::{self, Write};

use cxone_sim::{Scenario, Summary, suite};
use serde::Serialize;

use super::{Args, millis, misused, rounded};
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
    let mut stdout = io::stdout().lock();
    if args.json {
        let json = serde_json::to_string(&rows).map_err(io::Error::from)?;
        writeln!(stdout, "{json}")?;
    } else {
        table(&mut stdout, &rows, seeds)?;
    }
    stdout.flush()?;
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

fn table(out: &mut impl Write, rows: &[Row], seeds: u32) -> io::Result<()> {
    let seeds = if seeds == 1 { "1 seed".into() } else { format!("{seeds} seeds") };
    writeln!(out, "Medians of {seeds}; time is relative to the least that the limit allows.\n")?;
    let line = [
        "scenario", "requests", "time", "429s", "worst", "429s", "lost", "early", "flying",
        "HIGH p99",
    ];
    print(out, line.map(str::to_owned))?;
    for row in rows {
        print(
            out,
            [
                row.scenario.to_owned(),
                row.requests.to_string(),
                format!("{:.3}", row.makespan_ratio),
                row.throttled.to_string(),
                format!("{:.3}", row.worst.makespan_ratio),
                row.worst.throttled.to_string(),
                row.lost.to_string(),
                row.early.to_string(),
                row.max_in_flight.to_string(),
                row.high_p99_ms.map_or("-".into(), |ms| format!("{ms} ms")),
            ],
        )?;
    }
    Ok(())
}

fn print(out: &mut impl Write, [name, rest @ ..]: [String; 10]) -> io::Result<()> {
    write!(out, "{name:<16}")?;
    let widths = [8, 8, 5, 8, 5, 4, 5, 6, 10];
    for (cell, width) in rest.iter().zip(widths) {
        write!(out, " {cell:>width$}")?;
    }
    writeln!(out)
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
