//! How near a client comes to a limit that it does not know, on real servers, one at a time.
//!
//! ```text
//! scripts/bench limits               the native client, three times each, and the medians
//! scripts/bench limits -- npm        the npm package, as `npm run build` has made it
//! scripts/bench limits -- 1          once, and each change of belief as it happens
//! ```

#[allow(dead_code)] // the check reads more of an outcome
mod job;
mod servers;
mod upstream;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use cxone_client::Client;
use job::{HIGH, Kind, LOW, Limiter, Outcome, REQUESTS};
use serde_json::Value;

const KINDS: [Kind; 4] = [Kind::Nginx, Kind::NginxBurst, Kind::ExpressDraft8, Kind::ExpressX];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let times = arguments.iter().find_map(|it| it.parse().ok()).unwrap_or(3);
    let npm = arguments.iter().any(|it| it == "npm");
    println!("| server | efficiency | 429s |\n|---|---|---|");
    for kind in KINDS {
        let runs = runs(kind, REQUESTS, 0, times, npm).await;
        let share = |run: &Outcome| kind.ideal(REQUESTS).as_secs_f64() / run.took.as_secs_f64();
        let efficiency = spread(runs.iter().map(share), 3);
        let refused = spread(runs.iter().map(|run| run.refused as f64), 0);
        println!("| {} | {efficiency} | {refused} |", kind.name());
    }
    println!("\n| server, urgent | HIGH p50 ms | HIGH p99 ms | makespan / ideal | 429s |");
    println!("|---|---|---|---|---|");
    for kind in KINDS {
        let runs = runs(kind, LOW, HIGH, times, npm).await;
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let ideal = kind.ideal(LOW + HIGH).as_secs_f64();
        let p50 = spread(runs.iter().map(|run| millis(run.percentile(50))), 0);
        let p99 = spread(runs.iter().map(|run| millis(run.percentile(99))), 0);
        let ratio = spread(runs.iter().map(|run| run.took.as_secs_f64() / ideal), 3);
        let refused = spread(runs.iter().map(|run| run.refused as f64), 0);
        println!("| {} | {p50} | {p99} | {ratio} | {refused} |", kind.name());
    }
}

async fn runs(kind: Kind, low: u32, high: u32, times: usize, npm: bool) -> Vec<Outcome> {
    let mut runs = Vec::new();
    for _ in 0..times {
        let limiter = kind.start().await;
        runs.push(match npm {
            true => by_npm(&limiter, low, high).await,
            false => by_native(&limiter, high, times == 1).await,
        });
        if let Limiter::Nginx(nginx, _) = &limiter {
            assert_eq!(nginx.served(), u64::from(low + high), "each is served once");
        }
    }
    runs
}

async fn by_native(limiter: &Limiter, high: u32, tells: bool) -> Outcome {
    let client = job::client(&limiter.url()).build().expect("sound settings");
    if tells {
        tell(&client);
    }
    match high {
        0 => job::batch(&client, limiter.path()).await,
        _ => job::urgent(&client, limiter.path()).await,
    }
}

async fn by_npm(limiter: &Limiter, low: u32, high: u32) -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg-js/bench/limits-run.mjs");
    let mut node = tokio::process::Command::new("node");
    let node = node.arg(script).args([limiter.url(), limiter.path().to_owned()]);
    let output = node.args([low.to_string(), high.to_string()]).output().await;
    let output = output.expect("node starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let millis = |value: &Value| Duration::from_secs_f64(value.as_f64().expect("ms") / 1000.0);
    Outcome {
        took: millis(&said["took"]),
        high: said["high"].as_array().expect("an array").iter().map(millis).collect(),
        called: Vec::new(),
        refused: said["throttled"].as_u64().expect("a count"),
    }
}

/// Prints what the client tells of pauses and beliefs.
fn tell(client: &Client) {
    let (start, mut notices) = (Instant::now(), client.notices());
    tokio::spawn(async move {
        while let Some(notice) = notices.recv().await {
            eprintln!("{:8.3} s  {notice}", start.elapsed().as_secs_f64());
        }
    });
}

/// The median, and from where to where they go.
fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    match (values.first(), values.last()) {
        (Some(least), Some(most)) if values.len() > 1 => {
            format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
        }
        _ => format!("{median:.digits$}"),
    }
}
