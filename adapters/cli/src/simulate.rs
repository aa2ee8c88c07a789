//! What would become of so many requests under a limit: the engine in virtual time.

mod limit;
mod plan;
mod plot;
mod suite;
mod text;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, ValueEnum, error::ErrorKind};
use cxone_core::ConfigError;
use cxone_sim::{
    Announce, Latency, LimitSpec, Report, RetryAfter, Scenario, Server, Urgent, Windows,
};
use serde::Serialize;

use crate::failure::Failure;
use limit::{Kind, Quota};
use plot::Plot;
use text::Text;

/// The options of a simulation.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server's limit: how many requests in what time, such as 150/5m, 10/s or 100/1h
    #[arg(long, value_name = "N/TIME", default_value = "150/5m")]
    limit: Quota,

    /// How the server counts
    #[arg(long, value_enum, default_value_t = Kind::Fixed)]
    limiter: Kind,

    /// How many requests a bucket lets pass at once, or a leaky one ahead of its even rate
    /// [default: N of the limit for bucket, 0 for leaky]
    #[arg(long, value_name = "N")]
    burst: Option<u32>,

    /// Refused requests count against the limit too
    #[arg(long)]
    count_refused: bool,

    /// How refusals (429) state their wait
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Wait::None)]
    retry_after: Wait,

    /// Headers that tell the state of the limit on every answer
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Headers::None)]
    headers: Headers,

    /// How many requests there are, all submitted at the start
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,

    /// How many of them are HIGH, and submitted one by one in the midst of the run
    #[arg(long, value_name = "N", default_value_t = 0)]
    high: u32,

    /// How many clients share the limit and the requests, knowing nothing of each other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,

    /// Requests in flight at once, each client
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    concurrency: u32,

    /// Time on the way to the server and back, such as 100ms
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = limit::span)]
    latency: Duration,

    /// Time that the server works at a request, such as 20ms
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = limit::span)]
    service: Duration,

    /// How the client waits
    #[arg(long, value_enum, default_value_t = Policy::Learned)]
    policy: Policy,

    /// What chance there is; the same number gives the same run
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Print JSON instead of text: one object, or an array with --suite
    #[arg(long)]
    json: bool,

    /// Run the scenarios by which the client's pacing is judged, over many seeds
    #[arg(long, conflicts_with_all = [
        "limit", "limiter", "burst", "count_refused", "retry_after", "headers", "requests", "high",
        "clients", "concurrency", "latency", "service", "seed",
    ])]
    suite: bool,

    /// Of the suite, only these scenarios, such as A,C
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "suite")]
    only: Vec<String>,

    /// Say how long an export takes under the limits that NICE publishes
    #[arg(long, value_name = "RESOURCE", requires = "records",
        value_parser = clap::builder::PossibleValuesParser::new(plan::names()),
        conflicts_with_all = [
            "suite", "limit", "limiter", "burst", "count_refused", "retry_after", "headers",
            "requests", "high", "clients", "policy",
        ])]
    plan: Option<String>,

    /// How many records, recordings or extractions there are to export
    #[arg(long, value_name = "N", requires = "plan", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    records: Option<u32>,

    /// Records to ask for at once [default: what suits the resource]
    #[arg(long, value_name = "N", requires = "plan", value_parser = clap::value_parser!(u32).range(1..))]
    page_size: Option<u32>,

    /// Over how many seeds the suite takes medians [default: 20]
    #[arg(long, value_name = "N", requires = "suite", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: Option<u32>,
}

/// How it is used.
pub(crate) const HELP_EXAMPLES: &str = "\
Examples:
  cxone simulate --limit 150/5m --requests 600
  cxone simulate --limit 10/s --limiter leaky --burst 5 --requests 500 --policy tutorial
  cxone simulate --plan recordings --records 600
  cxone simulate --suite --json

Fixed windows begin with the first request, as if all of the limit were left. Time is virtual: an
hour takes milliseconds.

Exit status: 0 whatever comes of it, 2 wrong usage.";

/// How a refusal states its wait.
#[derive(Clone, Copy, ValueEnum)]
enum Wait {
    /// Not at all: the normal case on the platform
    None,
    /// Retry-After in whole seconds, rounded up
    Seconds,
    /// Retry-After as an HTTP-date
    Date,
}

/// What each answer announces.
#[derive(Clone, Copy, ValueEnum)]
enum Headers {
    /// Nothing
    None,
    /// RateLimit and RateLimit-Policy
    Draft10,
    /// X-RateLimit-Limit, -Remaining and -Reset, in seconds from now
    X,
}

/// How the client waits.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// As it does by default: it learns what the server allows
    Learned,
    /// As the tutorial's arithmetic has it, without pacing
    Tutorial,
    /// It is told the limit, and keeps to it
    Fixed,
}

impl Policy {
    fn of_sim(self) -> cxone_sim::Policy {
        match self {
            Policy::Learned => cxone_sim::Policy::Learned,
            Policy::Tutorial => cxone_sim::Policy::Tutorial,
            Policy::Fixed => cxone_sim::Policy::Fixed,
        }
    }
}

/// Runs what the arguments describe.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.suite {
        suite::run(args)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(name), Some(records)) = (&args.plan, args.records) {
        return plan::run(args, name, records);
    }
    let limit = args.limit.spec(args.limiter, args.burst).unwrap_or_else(|fix| misused(&fix));
    let limit = LimitSpec { count_refused: args.count_refused, ..limit };
    if args.high > args.requests {
        misused(&format!(
            "--high {} is more than --requests {}: it says how many of them are HIGH",
            args.high, args.requests
        ));
    }
    let scenario = args.scenario(limit);
    let world = scenario.world(&scenario.config(args.policy.of_sim()));
    let report = world.run(args.seed)?;
    print(&if args.json {
        serde_json::to_string(&Outcome::new(args, &report)).map_err(io::Error::from)?
    } else {
        format!("{}\n{}", Text { limit: &limit, report: &report }, plot(&report))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Whoever stops reading has read enough.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

impl Args {
    fn scenario(&self, limit: LimitSpec) -> Scenario {
        let server = Server {
            windows: Windows::FirstRequest,
            retry_after: match self.retry_after {
                Wait::None => RetryAfter::None,
                Wait::Seconds => RetryAfter::Seconds,
                Wait::Date => RetryAfter::Date,
            },
            announce: match self.headers {
                Headers::None => Announce::None,
                Headers::Draft10 => Announce::Draft10,
                Headers::X => Announce::XDelta,
            },
            service: self.service,
            ..Server::new(limit)
        };
        Scenario {
            name: "simulate",
            requests: self.requests,
            clients: self.clients,
            concurrency: self.concurrency,
            server,
            latency: Latency::Constant(self.latency),
            timer_lateness: Duration::ZERO,
            stalls: None,
            urgent: Urgent::Spread(self.high),
        }
    }
}

fn plot(report: &Report) -> Plot<'_> {
    /// Of a file or a pipe, and what a plot needs at least and at most.
    const WIDTH: (usize, usize, usize) = (80, 48, 120);
    let (of_a_file, least, most) = WIDTH;
    let terminal = console::Term::stdout().size_checked();
    let width = terminal.map_or(of_a_file, |(_, columns)| usize::from(columns));
    let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    Plot {
        accepted: &report.accepted_at,
        refused: &report.refused_at,
        until: report.makespan,
        width: width.clamp(least, most),
        colours,
    }
}

/// Says what is wrong with the options, and how the command is used.
fn misused(what: &str) -> ! {
    let mut command = crate::Cli::command();
    let simulate = command.find_subcommand_mut("simulate").expect("it is one of them");
    clap::Error::raw(ErrorKind::ValueValidation, what).with_cmd(simulate).exit()
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(error.to_string())
    }
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Outcome {
    policy: &'static str,
    requests: u64,
    makespan_ms: u64,
    /// The least that the limit allows.
    ideal_ms: u64,
    /// `None` where requests were lost: such a run is not comparable.
    makespan_ratio: Option<f64>,
    attempts: u64,
    throttled: u64,
    lost: u64,
    early: u64,
    max_in_flight: u64,
    /// From submit to end. `None`: there is no such request.
    high: Option<Latencies>,
    low: Option<Latencies>,
}

#[derive(Serialize)]
struct Latencies {
    requests: u64,
    p50_ms: u64,
    p99_ms: u64,
    max_ms: u64,
}

impl Outcome {
    fn new(args: &Args, report: &Report) -> Outcome {
        let class = |class: &cxone_sim::Class| {
            (class.requests > 0).then(|| Latencies {
                requests: class.requests,
                p50_ms: millis(class.p50),
                p99_ms: millis(class.p99),
                max_ms: millis(class.max),
            })
        };
        let [high, _, low] = &report.classes;
        Outcome {
            policy: args.policy.of_sim().name(),
            requests: report.requests,
            makespan_ms: millis(report.makespan),
            ideal_ms: millis(report.ideal),
            makespan_ratio: (report.lost == 0).then(|| rounded(report.ratio())),
            attempts: report.attempts,
            throttled: report.throttled,
            lost: report.lost,
            early: report.early,
            max_in_flight: report.max_in_flight,
            high: class(high),
            low: class(low),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// To four places: what is beyond is chance.
fn rounded(ratio: f64) -> f64 {
    (ratio * 1e4).round() / 1e4
}
