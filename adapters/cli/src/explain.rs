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

    /// Print one JSON object instead of sentences: `delay_ms` is the wait that the headers state and
    /// `signal` the header that states it or, where none does, the one that makes the answer a
    /// throttle
    #[arg(long)]
    json: bool,

    /// Method of the request that drew the answer
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
    method: Method,

    /// When the answer came, in RFC 3339, such as 2026-11-23T00:00:00Z [default: when the head has
    /// been read]
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
    let Some(file) = &args.file else {
        let mut input = io::stdin().lock();
        let typed = input.is_terminal();
        if typed {
            eprintln!("Paste a response head as `curl -i` prints it; Ctrl-D ends it.");
        }
        let status = explain(&mut input, args)?;
        if !typed {
            // Whoever writes the body shall not fail for having nobody who reads it.
            let _ = io::copy(&mut input, &mut io::sink());
        }
        return Ok(status);
    };
    match File::open(file) {
        Ok(file) => explain(BufReader::new(file), args),
        Err(error) => {
            Failure::io(format_args!("Cannot read {}", file.display()), &error).print();
            Ok(ExitCode::from(UNREADABLE))
        }
    }
}

fn explain(input: impl BufRead, args: &Args) -> Result<ExitCode, Failure> {
    let head = match Head::read(input) {
        Ok(head) => head,
        Err(error) => {
            Failure::new(format!("Cannot read a response head: {error}"))
                .hint("It should look as `curl -i` prints it.")
                .print();
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let received = args.now.unwrap_or(head.received);
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
            r: limit.remaining.map(exact),
            t: limit.reset.map(|reset| exact(millis(reset).div_ceil(1000))),
        });
        let policies = signals.policies.iter().map(|policy| PolicyJson {
            name: policy.name.as_deref(),
            q: exact(policy.quota),
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

/// At most the largest integer that JSON carries exactly everywhere.
fn exact(number: u64) -> u64 {
    number.min((1 << 53) - 1)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> Wall {
    // A clock before 1970 is wrong anyhow.
    let millis = jiff::Timestamp::now().as_millisecond();
    Wall::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// A moment in RFC 3339 (§5.6, with a space for the `T` as it allows), in whole milliseconds. A
/// leap second is the first second of the next day, as in an HTTP-date.
fn moment(text: &str) -> Result<Wall, &'static str> {
    let moment = rfc3339(text).ok_or("it is no time like 2026-11-23T00:00:00Z")?;
    Ok(Wall::from_millis(u64::try_from(moment).map_err(|_| "it is before 1970")?))
}

/// Milliseconds since 1970.
fn rfc3339(text: &str) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked("2026-11-23T00:00:00".len())?;
    let shape = date_time.bytes().zip(*b"dddd-dd-ddTdd:dd:dd").all(|(byte, like)| match like {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        _ => byte == like,
    });
    let number = |from, to| text.get(from..to)?.parse::<i8>().ok();
    let year = text.get(..4).filter(|_| shape)?.parse().ok()?;
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = i64::from(second == 60);
    let second = second - i8::from(second == 60);
    let date = jiff::civil::Date::new(year, number(5, 7)?, number(8, 10)?).ok()?;
    let time = jiff::civil::Time::new(hour, minute, second, 0).ok()?;
    let since = date.to_datetime(time).duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));

    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let fraction = rest[..rest.len() - zone.len()].strip_prefix('.');
    let fraction = match fraction {
        None if zone.len() == rest.len() => 0,
        None => return None,
        Some(digits) if digits.is_empty() || digits.contains('.') => return None,
        Some(digits) => format!("{digits:0<3.3}").parse().ok()?,
    };
    let offset = match *zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let digits = zone.bytes().enumerate().all(|(i, b)| i % 3 == 0 || b.is_ascii_digit());
            let (hours, minutes): (i64, i64) = (zone[1..3].parse().ok()?, zone[4..6].parse().ok()?);
            (digits && hours < 24 && minutes < 60).then_some(())?;
            let minutes = hours * 60 + minutes;
            if sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = since.as_secs() - offset * 60;
    let last_of_day = seconds.rem_euclid(86_400) == 86_399;
    (leap == 0 || last_of_day).then_some((seconds + leap) * 1000 + fraction)
}

/// In upper case: a method is case-sensitive, and nobody means another one by `post`.
fn method(text: &str) -> Result<Method, &'static str> {
    text.to_ascii_uppercase().parse().map_err(|_| "it is no HTTP method")
}

fn header_name(text: &str) -> Result<String, &'static str> {
    HeaderName::try_from(text).map(|name| name.to_string()).map_err(|_| "it is no header name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_rfc_3339() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59-01:00", 3_599_000),
            ("2026-11-23T00:00:00Z", 1_795_392_000_000),
            ("2026-11-23t02:00:00.0+02:00", 1_795_392_000_000),
            ("2026-11-22 20:00:00.25-04:00", 1_795_392_000_250),
            ("2026-11-23T00:00:00.123456789012345678901234567890Z", 1_795_392_000_123),
            ("2026-11-23T00:00:00z", 1_795_392_000_000),
            ("2026-11-23T00:00:00-00:00", 1_795_392_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
            // As the HTTP-date `Sat, 31 Dec 2016 23:59:60 GMT`: the next second.
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("2016-12-31T15:59:60.5-08:00", 1_483_228_800_500),
        ] {
            assert_eq!(moment(text), Ok(Wall::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_rfc_3339_is_no_moment() {
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T00:00Z",
            "20261123T000000Z",
            "2026-11-23T00:00:00",
            "2026-11-23T00:00:00,5Z",
            "2026-11-23T00:00:00.Z",
            "2026-11-23T00:00:00.5.5Z",
            "2026-11-23T00:00:005Z",
            "2026-11-23T00:00:00Z[UTC]",
            "2026-11-23T00:00:00+00:00[UTC]",
            "2026-11-23T00:00:00+00",
            "2026-11-23T00:00:00+0000",
            "2026-11-23T00:00:00+24:00",
            "2026-11-23T00:00:00+00:60",
            "2026-11-23T00:00:00+é0:0",
            "2026-11-23T24:00:00Z",
            "2026-11-23T00:60:00Z",
            "2026-11-23T00:00:61Z",
            "2026-11-23T00:00:60Z",
            "2016-12-31T23:59:60+01:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "+2026-11-23T00:00:00Z",
            " 2026-11-23T00:00:00Z",
            "2026-11-23T00:00:00Z ",
            "-026-11-23T00:00:00Z",
            "2026-11-23T+1:00:00Z",
        ] {
            assert_eq!(moment(text), Err("it is no time like 2026-11-23T00:00:00Z"), "{text}");
        }
        assert_eq!(moment("1969-12-31T23:59:59Z"), Err("it is before 1970"));
    }
}
