//! Runs a golden trace: a scenario in plain text, in which each command is followed by what the
//! engine did. No files, no clock, no randomness: the same function runs on every target, and
//! has to give the same bytes.
//!
//! A scenario's lines are
//!
//! ```text
//! # a remark
//! config concurrency=2 max_attempts=3 …     (before the first command; milliseconds for times)
//! pacing learned|off|fixed LIMIT|seeded LIMIT       (LIMIT: N/MS, a window; N/MS+BURST, a rate)
//! scope NAME [concurrency=N] [apart]
//! seed N
//! submit high|normal|low [scopes=a,b] [auth] [once|unprocessed] [stream] [deadline=MS] [timeout=MS]
//! head ATTEMPT STATUS [redirect] [name: value; name: value]
//! done ATTEMPT
//! fail ATTEMPT Unsent|Unsendable|Reset|Truncated|TooLarge|Aborted
//! token GENERATION [LIFETIME_S] | token-failed GENERATION STATUS|network|unsendable [name: value]
//! cancel REQUEST | pause [SCOPE] | resume [SCOPE] | concurrency N | close drain|abort
//! wait MS           (time passes, then the engine is told)
//! step              (time passes to the engine's next deadline)
//! ```
//!
//! Under a command stand, indented, its outputs, and last `next:` with what the engine waits for.
//! Attempts are named as they print: `r0#1`; requests `r0`; generations `t1`.

use std::fmt::Write as _;
use std::time::Duration;

use cxone_core::{
    AttemptId, Config, Engine, Failure, Generation, Head, Input, Instant, Job, KnownLimit, Now,
    Pacing, Priority, Replay, RequestId, ScopeConfig, TokenFailure, Wall,
};

/// 2026-11-23T00:00:00Z, the wall time at which every scenario starts.
const START: u64 = 1_795_392_000_000;

/// Runs a scenario and writes it anew with what the engine did now. A golden trace is one that
/// comes out as it went in.
pub fn run(scenario: &str) -> String {
    let mut player = Player::default();
    let mut written = String::new();
    let commands = scenario.lines().filter(|line| !line.starts_with(' '));
    for line in commands {
        let _ = writeln!(written, "{line}");
        if !line.is_empty() && !line.starts_with('#') {
            player.play(line, &mut written);
        }
    }
    written
}

#[derive(Default)]
struct Player {
    config: Config,
    seed: u64,
    clock: Instant,
    engine: Option<Engine>,
}

impl Player {
    fn play(&mut self, line: &str, written: &mut String) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "config" => rest.split(' ').for_each(|setting| self.configure(setting)),
            "pacing" => self.config.pacing = pacing(rest),
            "scope" => self.add_scope(rest),
            "seed" => self.seed = number(rest),
            _ => self.command(verb, rest, written),
        }
    }

    fn command(&mut self, verb: &str, rest: &str, written: &mut String) {
        if self.engine.is_none() {
            let engine = Engine::new(self.config.clone(), self.seed, now(self.clock));
            self.engine = Some(engine.expect("the scenario's settings are in range"));
        }
        let engine = self.engine.as_mut().expect("it was made just now");
        match verb {
            "wait" => self.clock += millis(rest),
            "step" => match engine.poll_timeout() {
                Some((next, _)) => self.clock = next,
                None => panic!("step: the engine waits for nothing"),
            },
            _ => {}
        }
        let at = now(self.clock);
        let _ = writeln!(written, "  at {}", self.clock);
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        let mut word = || words.next().unwrap_or_else(|| panic!("{verb}: a word is missing"));
        match verb {
            "wait" | "step" => engine.handle_timeout(at),
            "submit" => match submit(engine, rest, at) {
                Ok(id) => drop(writeln!(written, "  accepted {id}")),
                Err(error) => drop(writeln!(written, "  not accepted: {error}")),
            },
            "head" => {
                let attempt = attempt(word());
                let status = number(word()) as u16;
                let rest = rest.splitn(3, ' ').nth(2).unwrap_or_default();
                let (redirect, rest) = match rest.strip_prefix("redirect") {
                    Some(rest) => (true, rest),
                    None => (false, rest),
                };
                let headers = headers(rest);
                let head = Head { status, headers: &headers, redirect };
                engine.handle_input(Input::Head { attempt, head }, at);
            }
            "done" => engine.handle_input(Input::Done { attempt: attempt(rest) }, at),
            "fail" => {
                let (attempt, failure) = (attempt(word()), failure(word()));
                engine.handle_input(Input::Failed { attempt, failure }, at);
            }
            "token" => {
                let generation = generation(word());
                let lifetime = rest.split_once(' ').map(|(_, s)| Duration::from_secs(number(s)));
                engine.handle_input(Input::Token { generation, lifetime }, at);
            }
            "token-failed" => {
                let (generation, failure) = (generation(word()), token_failure(word()));
                let headers = headers(rest.splitn(3, ' ').nth(2).unwrap_or_default());
                let input = Input::TokenFailed { generation, failure, headers: &headers };
                engine.handle_input(input, at);
            }
            "cancel" => engine.cancel(request(rest), at),
            "pause" => engine.pause((!rest.is_empty()).then_some(rest), at),
            "resume" => engine.resume((!rest.is_empty()).then_some(rest), at),
            "concurrency" => engine.set_concurrency(number(rest) as u32, at).expect("in range"),
            "close" => engine.close(rest == "drain", at),
            _ => panic!("no such command: {verb}"),
        }
        while let Some(output) = engine.poll_output() {
            let _ = writeln!(written, "  {output:?}");
        }
        let _ = match engine.poll_timeout() {
            Some((next, wake)) => writeln!(written, "  next: {wake:?} at {next}"),
            None => writeln!(written, "  next: nothing"),
        };
    }

    fn configure(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').expect("name=value");
        let config = &mut self.config;
        match name {
            "concurrency" => config.concurrency = number(value) as u32,
            "max_attempts" => config.max_attempts = number(value) as u32,
            "queue_limit" => config.queue_limit = number(value) as u32,
            "fair_share" => config.fair_share = number(value) as u32,
            "retry_for" => config.retry_for = millis(value),
            "max_wait" => config.max_wait = millis(value),
            "attempt_timeout" => config.attempt_timeout = millis(value),
            "token_cooldown" => config.token_cooldown = millis(value),
            "base" => config.backoff.base = millis(value),
            "cap" => config.backoff.cap = millis(value),
            "backoff" if value == "tutorial" => config.backoff = cxone_core::Backoff::tutorial(),
            _ => panic!("no such setting: {name}"),
        }
    }

    fn add_scope(&mut self, rest: &str) {
        let mut words = rest.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let mut scope = ScopeConfig { name, concurrency: None, apart: false, pacing: None };
        for word in words {
            match word.split_once('=') {
                Some(("concurrency", n)) => scope.concurrency = Some(number(n) as u32),
                _ if word == "apart" => scope.apart = true,
                _ => panic!("scope: no such word: {word}"),
            }
        }
        self.config.scopes.push(scope);
    }
}

fn pacing(text: &str) -> Pacing {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("learned", "") => Pacing::Learned,
        ("off", "") => Pacing::Off,
        ("fixed", limit) => Pacing::Fixed(known(limit)),
        ("seeded", limit) => Pacing::Seeded(known(limit)),
        _ => panic!("no such pacing: {text}"),
    }
}

fn known(limit: &str) -> KnownLimit {
    let (requests, rest) = limit.split_once('/').expect("N/MS");
    let (per, burst) = match rest.split_once('+') {
        Some((per, burst)) => (per, Some(number(burst) as u32)),
        None => (rest, None),
    };
    KnownLimit { requests: number(requests) as u32, per: millis(per), burst }
}

fn submit(engine: &mut Engine, rest: &str, at: Now) -> Result<RequestId, cxone_core::SubmitError> {
    let mut job = Job { auth: false, ..Job::default() };
    let mut scopes = Vec::new();
    for word in rest.split(' ') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("high", _) => job.priority = Priority::High,
            ("normal", _) => job.priority = Priority::Normal,
            ("low", _) => job.priority = Priority::Low,
            ("scopes", names) => scopes = names.split(',').collect(),
            ("auth", _) => job.auth = true,
            ("once", _) => job.replay = Replay::Never,
            ("unprocessed", _) => job.replay = Replay::IfUnprocessed,
            ("stream", _) => job.stream = true,
            ("deadline", value) => job.deadline = Some(millis(value)),
            ("timeout", value) => job.attempt_timeout = Some(millis(value)),
            _ => panic!("submit: no such word: {word}"),
        }
    }
    engine.submit(Job { scopes: &scopes, ..job }, at)
}

fn headers(text: &str) -> Vec<(&str, &str)> {
    // A semicolon without a space belongs to a value.
    let fields = text.split("; ").filter_map(|field| field.split_once(':'));
    fields.map(|(name, value)| (name.trim(), value.trim())).collect()
}

fn failure(name: &str) -> Failure {
    match name {
        "Unsent" => Failure::Unsent,
        "Unsendable" => Failure::Unsendable,
        "Reset" => Failure::Reset,
        "Truncated" => Failure::Truncated,
        "TooLarge" => Failure::TooLarge,
        "Aborted" => Failure::Aborted,
        _ => panic!("no such failure: {name}"),
    }
}

fn token_failure(name: &str) -> TokenFailure {
    match name {
        "network" => TokenFailure::Network,
        "unsendable" => TokenFailure::Unsendable,
        status => match number(status) as u16 {
            status if status == 429 || status >= 500 => TokenFailure::Transient { status },
            status => TokenFailure::Refused { status },
        },
    }
}

fn request(name: &str) -> RequestId {
    let (slot, generation) =
        name.trim_start_matches('r').split_once('.').unwrap_or((name.trim_start_matches('r'), "0"));
    RequestId::from_u64((number(generation) << 32) | number(slot))
}

fn attempt(name: &str) -> AttemptId {
    let (id, attempt) = name.split_once('#').unwrap_or_else(|| panic!("no attempt: {name}"));
    AttemptId { request: request(id), number: number(attempt) as u32 }
}

fn generation(name: &str) -> Generation {
    Generation(number(name.trim_start_matches('t')) as u32)
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(number(text))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

fn now(clock: Instant) -> Now {
    Now::new(clock, Wall::from_millis(START + clock.as_nanos() / 1_000_000))
}
