//! How long an export takes under the limits that NICE publishes.

use std::{process::ExitCode, time::Duration};

use cxone_core::{
    Pacing,
    profile::{LIMITS, scopes},
};
use cxone_sim::{Latency, LimitSpec, Policy, Scenario, Server, Urgent, Windows};
use serde::Serialize;

use super::{Args, millis, print, text::spoken};
use crate::{failure::Failure, resource::Resource};

/// What is exported, beside what can be synced: one request for each.
const ONE_BY_ONE: [(&str, &str, &str); 2] = [
    ("recordings", "GET", "/media-playback/v1/contacts"),
    ("extractions", "POST", "/data-extraction/v1/jobs"),
];

/// An extraction is submitted, and asked after at least once.
const CALLS_AN_EXTRACTION: u32 = 2;

/// What a page holds at most, in the styles where that is not said by the request.
const POLL: u32 = 10_000;
const SCROLL: u32 = 25;

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    // A summary has no pages: its requests are its windows.
    Resource::names().filter(|name| *name != "skills-summary").chain(ONE_BY_ONE.map(|it| it.0))
}

/// An export, as requests.
struct Export {
    path: String,
    method: &'static str,
    /// Records that one request brings.
    each: u32,
    /// Requests for each of those.
    calls: u32,
    /// Is the next request known only from the last answer?
    in_turn: bool,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Plan<'a> {
    plan: &'a str,
    records: u32,
    requests: u32,
    /// The scope that has a published limit, and that limit.
    limit: Option<Published>,
    makespan_ms: u64,
    ideal_ms: u64,
}

#[derive(Serialize)]
struct Published {
    scope: String,
    requests: u32,
    per_ms: u64,
}

pub(super) fn run(args: &Args, name: &str, records: u32) -> Result<ExitCode, Failure> {
    let Some(export) = Export::named(name, args.page_size) else {
        return Err(Failure::new(format!("There is no resource {name}")));
    };
    let requests = records.div_ceil(export.each).saturating_mul(export.calls).max(1);
    let limit = export.limit();
    // Without a limit the way there and back is all that it takes.
    let spec = limit.as_ref().map_or(LimitSpec::fixed(u32::MAX, Duration::from_secs(1)), |it| it.1);
    let server =
        Server { windows: Windows::FirstRequest, service: args.service, ..Server::new(spec) };
    let alone = export.in_turn || spec.window / spec.quota.max(1) >= Duration::from_secs(1);
    let scenario = Scenario {
        name: "plan",
        requests,
        clients: 1,
        concurrency: if alone { 1 } else { args.concurrency },
        server,
        latency: Latency::Constant(args.latency),
        timer_lateness: Duration::ZERO,
        stalls: None,
        urgent: Urgent::Spread(0),
    };
    let policy = if limit.is_some() { Policy::Fixed } else { Policy::Learned };
    let report = scenario.world(&scenario.config(policy)).run(args.seed)?;
    if args.json {
        let plan = Plan {
            plan: name,
            records,
            requests,
            limit: limit.map(|(scope, spec)| Published {
                scope,
                requests: spec.quota,
                per_ms: millis(spec.window),
            }),
            makespan_ms: millis(report.makespan),
            ideal_ms: millis(report.ideal),
        };
        print(&serde_json::to_string(&plan).map_err(std::io::Error::from)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let time = spoken(report.makespan);
    let published = match limit {
        Some((scope, spec)) => format!(
            "NICE publishes {} per {} for {scope}; by that it takes {} at best.",
            spec.quota,
            spoken(spec.window),
            spoken(report.ideal),
        ),
        None => format!(
            "NICE publishes no limit for it: with {} on the way to the server and back, this is \
             what the way takes.",
            spoken(args.latency)
        ),
    };
    let what = if ONE_BY_ONE.iter().any(|it| it.0 == name) { name } else { "records" };
    print(&format!("{records} {what} are {requests} requests and take {time}.\n{published}"))?;
    Ok(ExitCode::SUCCESS)
}

impl Export {
    fn named(name: &str, page_size: Option<u32>) -> Option<Export> {
        if let Some((_, method, path)) = ONE_BY_ONE.into_iter().find(|it| it.0 == name) {
            let extraction = method == "POST";
            let calls = if extraction { CALLS_AN_EXTRACTION } else { 1 };
            return Some(Export { path: path.into(), method, each: 1, calls, in_turn: extraction });
        }
        let resource = Resource::named(name)?;
        let each = match resource.style.name() {
            "updated-since" => POLL,
            "scroll" => SCROLL,
            _ => page_size.unwrap_or(resource.style.items_a_page()),
        };
        let method = if resource.style.in_body() { "POST" } else { "GET" };
        Some(Export { path: resource.path, method, each: each.max(1), calls: 1, in_turn: true })
    }

    /// The published limit of the narrowest of its scopes that has one.
    fn limit(&self) -> Option<(String, LimitSpec)> {
        scopes(self.method, &self.path).into_iter().find_map(|scope| {
            let published = LIMITS.iter().find(|limit| limit.scope == scope)?;
            let (Pacing::Fixed(known) | Pacing::Seeded(known)) = published.pacing? else {
                return None;
            };
            let spec = match known.burst {
                None => LimitSpec::fixed(known.requests, known.per),
                Some(burst) => LimitSpec::bucket(known.requests, known.per, burst),
            };
            Some((scope, spec))
        })
    }
}
