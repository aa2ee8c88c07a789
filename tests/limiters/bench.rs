//! How near the client comes to a limit that it does not know, on real servers, one at a time.
//!
//! ```text
//! scripts/bench limits            three times, and the medians
//! scripts/bench limits -- 1       once, and each change of belief as it happens
//! ```

mod job;
mod servers;
mod upstream;

use std::time::{Duration, Instant};

use cxone_client::Client;
use job::{HIGH, Kind, LOW, Outcome, REQUESTS};

const KINDS: [Kind; 4] = [Kind::Nginx, Kind::NginxBurst, Kind::ExpressDraft8, Kind::ExpressX];

#[tokio::main]
async fn main() {
    let times = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(3);
    println!("| server | efficiency | 429s |\n|---|---|---|");
    for kind in KINDS {
        let mut runs = Vec::new();
        for _ in 0..times {
            let limiter = kind.start().await;
            let client = job::client(&limiter.url()).build().expect("sound settings");
            tell(&client, times == 1);
            runs.push(job::batch(&client, limiter.path()).await);
        }
        let share = |run: &Outcome| kind.ideal(REQUESTS).as_secs_f64() / run.took.as_secs_f64();
        let efficiency = spread(runs.iter().map(share), 3);
        let refused = spread(runs.iter().map(|run| run.refused as f64), 0);
        println!("| {} | {efficiency} | {refused} |", kind.name());
    }
    println!("\n| server, urgent | HIGH p50 ms | HIGH p99 ms | makespan / ideal | 429s |");
    println!("|---|---|---|---|---|");
    for kind in KINDS {
        let mut runs = Vec::new();
        for _ in 0..times {
            let limiter = kind.start().await;
            let client = job::client(&limiter.url()).build().expect("sound settings");
            tell(&client, times == 1);
            runs.push(job::urgent(&client, limiter.path()).await);
        }
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let ideal = kind.ideal(LOW + HIGH).as_secs_f64();
        let p50 = spread(runs.iter().map(|run| millis(run.percentile(50))), 0);
        let p99 = spread(runs.iter().map(|run| millis(run.percentile(99))), 0);
        let ratio = spread(runs.iter().map(|run| run.took.as_secs_f64() / ideal), 3);
        let refused = spread(runs.iter().map(|run| run.refused as f64), 0);
        println!("| {} | {p50} | {p99} | {ratio} | {refused} |", kind.name());
    }
}

/// Prints what the client tells of pauses and beliefs, if that is wanted.
fn tell(client: &Client, wanted: bool) {
    let (start, mut notices) = (Instant::now(), client.notices());
    tokio::spawn(async move {
        while let Some(notice) = notices.recv().await {
            if wanted {
                eprintln!("{:8.3} s  {notice}", start.elapsed().as_secs_f64());
            }
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
