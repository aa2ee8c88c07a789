//! Runs the suite and prints a table: medians over the seeds, and the worst seed beside.
//!
//! ```text
//! cargo run --release -p cxone-sim --example suite -- [--seeds 20] [--only A,B] [--policy learned,tutorial,fixed,off] [--trace SEED] [--strangers yes]
//! ```
//!
//! `--strangers yes` adds limits that are in no list.
//!
//! With `--trace` nothing but the events of the chosen scenarios with that seed are printed.

use std::time::Duration;

use cxone_sim::{Event, Policy, Scenario, strangers, suite};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut seeds = 20;
    let mut only: Vec<String> = Vec::new();
    let mut policies = vec![Policy::Learned];
    let mut trace = None;
    let mut scenarios = suite();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} wants a value"))?;
        match arg.as_str() {
            "--seeds" => seeds = value.parse()?,
            "--only" => only = value.split(',').map(str::to_owned).collect(),
            "--policy" => policies = value.split(',').map(policy).collect::<Result<_, _>>()?,
            "--trace" => trace = Some(value.parse()?),
            "--strangers" => scenarios.extend(strangers()),
            _ => return Err(format!("{arg} is none of the options").into()),
        }
    }
    let chosen = |scenario: &Scenario| only.is_empty() || only.iter().any(|n| n == scenario.name);
    if trace.is_none() {
        println!(
            "{:<17} {:<8} {:>5} {:>7} {:>7} {:>5} {:>5} {:>6} {:>9} {:>9} {:>7} {:>7}",
            "scenario",
            "policy",
            "N",
            "ratio",
            "429s",
            "lost",
            "early",
            "flying",
            "high p99",
            "rise used",
            "worst",
            "429s"
        );
    }
    for scenario in scenarios.into_iter().filter(chosen) {
        for &policy in &policies {
            match trace {
                Some(seed) => show(&scenario, policy, seed)?,
                None => row(&scenario, policy, seeds)?,
            }
        }
    }
    Ok(())
}

fn policy(name: &str) -> Result<Policy, String> {
    let found = Policy::ALL.into_iter().find(|policy| policy.name() == name);
    found.ok_or(format!("{name} is no policy"))
}

fn row(scenario: &Scenario, policy: Policy, seeds: u32) -> Result<(), cxone_core::ConfigError> {
    let sum = scenario.measure(&scenario.config(policy), seeds)?;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    println!(
        "{:<17} {:<8} {:>5} {:>7.3} {:>7} {:>5} {:>5} {:>6} {:>9} {:>9} {:>7.3} {:>7}",
        scenario.name,
        policy.name(),
        scenario.requests,
        sum.makespan_ratio,
        sum.throttled,
        sum.lost,
        sum.early,
        sum.max_in_flight,
        or_dash(sum.high_p99.map(|p99| p99.as_millis().to_string())),
        or_dash(sum.passed_until_rise_used.map(|many| many.to_string())),
        sum.worst_makespan_ratio,
        sum.worst_throttled,
    );
    Ok(())
}

fn show(scenario: &Scenario, policy: Policy, seed: u64) -> Result<(), cxone_core::ConfigError> {
    let world = scenario.world(&scenario.config(policy));
    let line = |at: Duration, client: usize, event: Event<'_>| {
        println!("{:>12.6} {client} {event:?}", at.as_secs_f64());
    };
    let report = world.watch(seed, line)?;
    println!(
        "{} {}: ratio {:.4}, {} 429s",
        scenario.name,
        policy.name(),
        report.ratio(),
        report.throttled
    );
    Ok(())
}
