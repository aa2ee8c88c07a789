//! What the client would do with an answer, and why: the engine's own readers and rules, shown.

mod head;
mod sentence;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::ValueEnum;
use cxone_core::retry::{Judgement, judge};
use cxone_core::{Config, Mode, Reading, Replay, ResetUnit, Signals, Wall};
use reqwest::{Method, header::HeaderName};
use serde::Serialize;

use crate::failure::Failure;
use head::Head;
use sentence::Sentence;

/// The exit status where there is no head to explain, as of a wrong usage.
const UNREADABLE: u8 = 2;

/// The options of an explanation.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File with the head, as `curl -i` prints it [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Print one JSON object instead of sentences
    #[arg(long)]
    json: bool,

    /// Method of the request that drew the answer
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
    method: Method,

    /// When the answer came, in RFC 3339, such as 2026-11-23T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    now: Option<Wall>,

    /// Read what the standards allow and nothing else
    #[arg(long)]
    strict: bool,

    /// A further header that states a wait in milliseconds; can be given several times
    #[arg(long = "ms-header", value_name = "NAME", value_parser = header_name)]
    ms_headers: Vec<String>,

    /// What the number of a Reset header counts
    #[arg(long, value_name = "UNIT", value_enum, default_value_t = Unit::Auto)]
    reset_unit: Unit,
}

/// How an example looks.
pub(crate) const HELP_EXAMPLES: &str = "\
Examples:
  curl -si https://api.example.com/agents | cxone explain
  cxone explain --json --method POST --file head.txt

Exit status: 0 whatever is explained, 2 wrong usage or no head that can be read.";

/// [`ResetUnit`], as it is given on the command line.
#[derive(Clone, Copy, ValueEnum)]
enum Unit {
    /// Seconds from now, or the time since 1970 where the number is that large
    Auto,
    /// Seconds from now
    DeltaS,
    /// Milliseconds from now
    DeltaMs,
    /// Seconds since 1970
    EpochS,
    /// Milliseconds since 1970
    EpochMs,
}

/// Explains the head that the arguments name.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let received = args.now.unwrap_or_else(now);
    let Some(file) = &args.file else {
        let mut input = io::stdin().lock();
        let typed = input.is_terminal();
        if typed {
            eprintln!("Paste a response head as `curl -i` prints it; Ctrl-D ends it.");
        }
        let status = explain(&mut input, args, received)?;
        if !typed {
            // Whoever writes the body shall not fail for having nobody who reads it.
            let _ = io::copy(&mut input, &mut io::sink());
        }
        return Ok(status);
    };
    match File::open(file) {
        Ok(file) => explain(BufReader::new(file), args, received),
        Err(error) => {
            Failure::io(format_args!("Cannot read {}", file.display()), &error).print();
            Ok(ExitCode::from(UNREADABLE))
        }
    }
}

fn explain(input: impl BufRead, args: &Args, received: Wall) -> Result<ExitCode, Failure> {
    let head = match Head::read(input) {
        Ok(head) => head,
        Err(error) => {
            Failure::new(format!("Cannot read a response head: {error}"))
                .hint("It should look as `curl -i` prints it.")
                .print();
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let verdict = Verdict::new(&head, &args.method, &args.reading(), received);
    let text = match args.json {
        true => serde_json::to_string(&Explanation::from(&verdict)).map_err(io::Error::from)?,
        false => Sentence { verdict: &verdict, head: &head }.to_string(),
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush())?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn reading(&self) -> Reading {
        let reset_unit = match self.reset_unit {
            Unit::Auto => ResetUnit::Auto,
            Unit::DeltaS => ResetUnit::DeltaS,
            Unit::DeltaMs => ResetUnit::DeltaMs,
            Unit::EpochS => ResetUnit::EpochS,
            Unit::EpochMs => ResetUnit::EpochMs,
        };
        let mode = if self.strict { Mode::Strict } else { Mode::Lenient };
        Reading { mode, reset_unit, ms_headers: self.ms_headers.clone() }
    }
}

/// What the engine makes of an answer by itself.
struct Verdict {
    status: u16,
    method: Method,
    judgement: Judgement,
    /// May the request be sent again after it?
    again: bool,
    signals: Signals,
    received: Wall,
    /// The settings of a client that nobody configured.
    config: Config,
}

impl Verdict {
    fn new(head: &Head, method: &Method, reading: &Reading, received: Wall) -> Verdict {
        let fields: Vec<(&str, &str)> =
            head.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let status = head.status;
        let signals = Signals::read(&fields, status, received, reading);
        let judgement = judge(status, &signals);
        // As the native client has it for a request of which nothing more is known.
        let replay = match method.is_idempotent() {
            true => Replay::Always,
            false => Replay::IfUnprocessed,
        };
        let again = judgement.allows(status, replay);
        let config = Config::default();
        Verdict { status, method: method.clone(), judgement, again, signals, received, config }
    }

    fn action(&self) -> Action {
        match self.judgement {
            Judgement::Deliver => Action::Deliver,
            Judgement::Throttled if self.again => Action::Throttle,
            Judgement::Unauthorized if self.again => Action::RefreshOnce,
            Judgement::Transient if self.again => Action::Retry,
            _ => Action::Fail,
        }
    }

    /// The wait that the headers state.
    fn stated(&self) -> Option<Duration> {
        self.signals.wait.as_ref().map(|wait| wait.duration)
    }

    /// Own backoff of the first round, without jitter.
    fn backoff(&self) -> Duration {
        self.config.backoff.bare(0)
    }

    /// The header that decided: it states the wait or, where none does, makes the answer a
    /// throttle.
    fn signal(&self) -> Option<String> {
        if let Some(wait) = &self.signals.wait {
            return Some(wait.header.to_string());
        }
        let by_header = self.judgement == Judgement::Throttled && matches!(self.status, 403 | 503);
        let spent = self.signals.limits.iter().find(|limit| limit.is_exhausted());
        // Of three headers that announce a limit together it is the Remaining that says so.
        spent.filter(|_| by_header).map(|limit| limit.header.replace("-reset", "-remaining"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Deliver,
    Throttle,
    RefreshOnce,
    Retry,
    Fail,
}

/// The JSON form.
#[derive(Serialize)]
struct Explanation<'a> {
    action: Action,
    delay_ms: Option<u64>,
    backoff_ms: u64,
    signal: Option<String>,
    limits: Vec<LimitJson<'a>>,
    policies: Vec<PolicyJson<'a>>,
    max_rate_per_s: Option<f64>,
}

/// What is left of a limit, and in how many seconds it starts anew; what is not announced is
/// left out.
#[derive(Serialize)]
struct LimitJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<u64>,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    q: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qu: Option<&'a str>,
}

impl<'a> From<&'a Verdict> for Explanation<'a> {
    fn from(verdict: &'a Verdict) -> Explanation<'a> {
        let signals = &verdict.signals;
        // A quota alone is a policy, and says nothing about what is left.
        let told = signals.limits.iter().filter(|l| l.remaining.is_some() || l.reset.is_some());
        let limits = told.map(|limit| LimitJson {
            name: limit.name.as_deref(),
            r: limit.remaining,
            t: limit.reset.map(|reset| millis(reset).div_ceil(1000)),
        });
        let policies = signals.policies.iter().map(|policy| PolicyJson {
            name: policy.name.as_deref(),
            q: policy.quota,
            w: policy.window,
            qu: policy.unit.as_deref(),
        });
        Explanation {
            action: verdict.action(),
            delay_ms: verdict.stated().map(millis),
            backoff_ms: millis(verdict.backoff()),
            signal: verdict.signal(),
            limits: limits.collect(),
            policies: policies.collect(),
            max_rate_per_s: signals.max_rate_per_s(),
        }
    }
}

/// Waits that a header states are at most 2⁵³ − 1 ms.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> Wall {
    // A clock before 1970 is wrong anyhow.
    let millis = jiff::Timestamp::now().as_millisecond();
    Wall::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn moment(text: &str) -> Result<Wall, String> {
    let moment: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let millis = u64::try_from(moment.as_millisecond()).map_err(|_| "it is before 1970")?;
    Ok(Wall::from_millis(millis))
}

/// In upper case: a method is case-sensitive, and nobody means another one by `post`.
fn method(text: &str) -> Result<Method, &'static str> {
    text.to_ascii_uppercase().parse().map_err(|_| "it is no HTTP method")
}

fn header_name(text: &str) -> Result<String, &'static str> {
    HeaderName::try_from(text).map(|name| name.to_string()).map_err(|_| "it is no header name")
}
