//! A host for tests: one engine under a virtual clock, with servers that answer when told to.
//!
//! It does what the engine says and keeps what it said; after every event it checks what must
//! hold whatever happens: a slot is held from `Send` until the attempt is reported over, a
//! request ends once, one token fetch is out at most, and the next deadline lies ahead.

// Each test crate uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cxone_core::{
    AttemptId, Config, Engine, Failure, Generation, Head, Input, Instant, Job, Notice, Now, Output,
    Pacing, PauseReason, Priority, Replay, RequestError, RequestId, ScopeConfig, ScopeStats,
    SubmitError, TokenFailure, Verdict, Wall,
};

pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) clock: Instant,
    /// Every output with its moment, as text.
    pub(crate) trace: Vec<String>,
    /// Every attempt that was started, with its moment and its token.
    pub(crate) sends: Vec<(Instant, AttemptId, Option<Generation>)>,
    pub(crate) notices: Vec<Notice>,
    /// Every token fetch that was started.
    pub(crate) fetches: Vec<Generation>,
    /// Attempts that the engine told the host to end and that are not reported over yet.
    pub(crate) aborted: Vec<AttemptId>,
    pub(crate) flying: BTreeSet<AttemptId>,
    pub(crate) fetching: Option<Generation>,
    /// When each request that waits alone will have waited, by what the engine told.
    pub(crate) rejoining: BTreeMap<RequestId, Instant>,
    verdicts: BTreeMap<AttemptId, Verdict>,
    ends: BTreeMap<RequestId, Result<(), RequestError>>,
    /// How many of `sends` were taken by [`Host::sent`].
    taken: usize,
}

pub(crate) fn at(clock: Instant) -> Now {
    Now::new(clock, Wall::from_millis(1_795_392_000_000 + clock.as_nanos() / 1_000_000))
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A job without a token.
pub(crate) fn job() -> Job<'static> {
    Job { auth: false, ..Job::default() }
}

pub(crate) fn class(priority: Priority) -> Job<'static> {
    Job { priority, ..job() }
}

pub(crate) fn within<'a>(scopes: &'a [&'a str]) -> Job<'a> {
    Job { scopes, auth: false, ..Job::default() }
}

pub(crate) fn replay(replay: Replay) -> Job<'static> {
    Job { replay, ..job() }
}

pub(crate) fn deadline(deadline: Duration) -> Job<'static> {
    Job { deadline: Some(deadline), ..job() }
}

/// A job that needs a token.
pub(crate) fn signed() -> Job<'static> {
    Job::default()
}

pub(crate) fn one_at_a_time() -> Config {
    at_once(1)
}

pub(crate) fn at_once(concurrency: u32) -> Config {
    Config { concurrency, ..Config::default() }
}

pub(crate) fn scope_of(name: &str, concurrency: u32, apart: bool) -> ScopeConfig {
    ScopeConfig { name: name.into(), concurrency: Some(concurrency), apart, pacing: None }
}

impl Host {
    pub(crate) fn new(config: Config) -> Host {
        Host::seeded(config, 7)
    }

    /// Whose limits are not learned, so that what else holds requests back is seen by itself.
    pub(crate) fn seeded(config: Config, seed: u64) -> Host {
        Host::paced(Config { pacing: Pacing::Off, ..config }, seed)
    }

    /// Paced as the settings say.
    pub(crate) fn paced(config: Config, seed: u64) -> Host {
        let clock = Instant::ORIGIN;
        Host {
            engine: Engine::new(config, seed, at(clock)).expect("the settings are in range"),
            clock,
            trace: Vec::new(),
            sends: Vec::new(),
            notices: Vec::new(),
            fetches: Vec::new(),
            aborted: Vec::new(),
            flying: BTreeSet::new(),
            fetching: None,
            rejoining: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            ends: BTreeMap::new(),
            taken: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        at(self.clock)
    }

    // Commands.

    pub(crate) fn try_submit(&mut self, job: Job<'_>) -> Result<RequestId, SubmitError> {
        let accepted = self.engine.submit(job, self.now());
        self.drain();
        accepted
    }

    pub(crate) fn submit(&mut self, job: Job<'_>) -> RequestId {
        self.try_submit(job).expect("it is accepted")
    }

    pub(crate) fn submit_many(&mut self, job: &Job<'_>, many: usize) -> Vec<RequestId> {
        (0..many).map(|_| self.submit(job.clone())).collect()
    }

    /// Submits a job that is sent at once, and returns its attempt.
    pub(crate) fn start(&mut self, job: Job<'_>) -> AttemptId {
        let id = self.submit(job);
        self.attempt_of(id)
    }

    pub(crate) fn cancel(&mut self, id: RequestId) {
        self.engine.cancel(id, self.now());
        self.drain();
    }

    pub(crate) fn pause(&mut self, scope: Option<&str>) {
        self.engine.pause(scope, self.now());
        self.drain();
    }

    pub(crate) fn resume(&mut self, scope: Option<&str>) {
        self.engine.resume(scope, self.now());
        self.drain();
    }

    pub(crate) fn set_concurrency(&mut self, concurrency: u32) {
        self.engine.set_concurrency(concurrency, self.now()).expect("it is in range");
        self.drain();
    }

    pub(crate) fn close(&mut self, drain: bool) {
        self.engine.close(drain, self.now());
        self.drain();
    }

    // What the host sees.

    /// The head of an answer, whose body is still to come.
    pub(crate) fn head(&mut self, attempt: AttemptId, status: u16, headers: &[(&str, &str)]) {
        self.input(Input::Head { attempt, head: Head { status, headers, redirect: false } });
    }

    pub(crate) fn redirect(&mut self, attempt: AttemptId) {
        self.input(Input::Head {
            attempt,
            head: Head { status: 302, headers: &[], redirect: true },
        });
        self.done(attempt);
    }

    pub(crate) fn done(&mut self, attempt: AttemptId) {
        self.over(attempt);
        self.input(Input::Done { attempt });
    }

    pub(crate) fn fail(&mut self, attempt: AttemptId, failure: Failure) {
        self.over(attempt);
        self.input(Input::Failed { attempt, failure });
    }

    /// An answer with a body that arrives at once.
    pub(crate) fn answer(&mut self, attempt: AttemptId, status: u16, headers: &[(&str, &str)]) {
        self.head(attempt, status, headers);
        if self.flying.contains(&attempt) {
            self.done(attempt);
        }
    }

    pub(crate) fn ok(&mut self, attempt: AttemptId) {
        self.answer(attempt, 200, &[]);
    }

    /// A 429 that states a wait in seconds.
    pub(crate) fn refuse(&mut self, attempt: AttemptId, seconds: u64) {
        self.answer(attempt, 429, &[("retry-after", &seconds.to_string())]);
    }

    /// Answers everything that is in flight, and what follows from that, until nothing is.
    pub(crate) fn ok_all(&mut self) {
        while let Some(attempt) = self.flying.first().copied() {
            self.ok(attempt);
        }
    }

    /// Reports everything over that the engine told the host to end.
    pub(crate) fn end_aborted(&mut self) {
        while let Some(attempt) = self.aborted.first().copied() {
            self.fail(attempt, Failure::Aborted);
        }
    }

    pub(crate) fn token(&mut self, lifetime: Option<u64>) -> Generation {
        let generation = self.fetching.take().expect("a token is being fetched");
        self.input(Input::Token { generation, lifetime: lifetime.map(Duration::from_secs) });
        generation
    }

    pub(crate) fn token_fails(&mut self, failure: TokenFailure, headers: &[(&str, &str)]) {
        let generation = self.fetching.take().expect("a token is being fetched");
        self.input(Input::TokenFailed { generation, failure, headers });
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.engine.handle_input(input, self.now());
        self.drain();
    }

    // Time.

    /// Jumps to the engine's next deadline.
    pub(crate) fn step(&mut self) {
        let (next, _why) = self.engine.poll_timeout().expect("something is pending");
        self.clock = next;
        self.timeout();
    }

    /// Goes on to `moment`, by way of every deadline before it.
    pub(crate) fn go_to(&mut self, moment: Instant) {
        while self.engine.poll_timeout().is_some_and(|(next, _)| next <= moment) {
            self.step();
        }
        self.clock = self.clock.max(moment);
        self.timeout();
    }

    pub(crate) fn wait(&mut self, wait: Duration) {
        self.go_to(self.clock + wait);
    }

    pub(crate) fn timeout(&mut self) {
        self.engine.handle_timeout(self.now());
        self.drain();
    }

    // What happened.

    /// The attempts that were started since this was asked last.
    pub(crate) fn sent(&mut self) -> Vec<AttemptId> {
        let new = self.sends[self.taken..].iter().map(|send| send.1).collect();
        self.taken = self.sends.len();
        new
    }

    /// The requests of the attempts that were started since this was asked last.
    pub(crate) fn sent_requests(&mut self) -> Vec<RequestId> {
        self.sent().into_iter().map(|attempt| attempt.request).collect()
    }

    /// The one attempt that was started since this was asked last.
    #[track_caller]
    pub(crate) fn sent_one(&mut self) -> AttemptId {
        let new = self.sent();
        assert_eq!(new.len(), 1, "one attempt is started: {new:?}");
        new[0]
    }

    /// The attempt of this request that is in flight.
    #[track_caller]
    pub(crate) fn attempt_of(&self, id: RequestId) -> AttemptId {
        *self.flying.iter().find(|attempt| attempt.request == id).expect("it is in flight")
    }

    pub(crate) fn is_flying(&self, id: RequestId) -> bool {
        self.flying.iter().any(|attempt| attempt.request == id)
    }

    pub(crate) fn verdict(&self, attempt: AttemptId) -> Option<Verdict> {
        self.verdicts.get(&attempt).copied()
    }

    /// How the request ended; `None`: not yet.
    pub(crate) fn end(&self, id: RequestId) -> Option<Result<(), RequestError>> {
        self.ends.get(&id).cloned()
    }

    #[track_caller]
    pub(crate) fn error(&self, id: RequestId) -> RequestError {
        self.end(id).expect("it has ended").expect_err("it has failed")
    }

    pub(crate) fn ended_well(&self) -> usize {
        self.ends.values().filter(|end| end.is_ok()).count()
    }

    pub(crate) fn ended_badly(&self) -> usize {
        self.ends.len() - self.ended_well()
    }

    pub(crate) fn scope(&self, name: &str) -> Option<ScopeStats> {
        self.engine.stats().scopes.into_iter().find(|scope| &*scope.name == name)
    }

    pub(crate) fn closed_until(&self, name: &str) -> Option<Instant> {
        self.scope(name)?.closed_until
    }

    /// The pauses that were told, each with the moment at which it ends and its number.
    pub(crate) fn pauses(&self) -> Vec<(Instant, u32)> {
        let pause = |notice: &Notice| match notice {
            Notice::Paused { until, attempt, .. } => Some((*until, *attempt)),
            _ => None,
        };
        self.notices.iter().filter_map(pause).collect()
    }

    /// The pauses that were told, each with how long it lasts and why.
    pub(crate) fn rests(&self) -> Vec<(Duration, PauseReason)> {
        let rest = |notice: &Notice| match notice {
            Notice::Paused { wait, reason, .. } => Some((*wait, *reason)),
            _ => None,
        };
        self.notices.iter().filter_map(rest).collect()
    }

    /// Nothing is left of anything.
    #[track_caller]
    pub(crate) fn assert_at_rest(&self) {
        let stats = self.engine.stats();
        assert!(self.engine.is_idle(), "{stats:?}");
        assert_eq!((stats.queued, stats.waiting, stats.in_flight), ([0; 3], 0, 0));
        assert_eq!(self.engine.poll_timeout(), None);
        assert!(stats.scopes.iter().all(|scope| scope.in_flight == 0), "{stats:?}");
    }

    fn over(&mut self, attempt: AttemptId) {
        self.flying.remove(&attempt);
        self.aborted.retain(|other| *other != attempt);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.trace.push(format!("{} {output:?}", self.clock));
            match output {
                Output::Send { attempt, token } => {
                    assert!(!self.is_flying(attempt.request), "one attempt at a time");
                    self.sends.push((self.clock, attempt, token));
                    self.flying.insert(attempt);
                }
                Output::Body { attempt, verdict } => {
                    assert!(self.verdicts.insert(attempt, verdict).is_none(), "one verdict");
                    if verdict == Verdict::Stream {
                        self.flying.remove(&attempt);
                    }
                }
                Output::Abort { attempt } => self.aborted.push(attempt),
                Output::FetchToken { generation } => {
                    assert_eq!(self.fetching.replace(generation), None, "one fetch");
                    self.fetches.push(generation);
                }
                Output::AbortToken { generation } => {
                    assert_eq!(self.fetching.take(), Some(generation));
                }
                Output::Finish { id, result } => {
                    assert!(self.ends.insert(id, result).is_none(), "one end: {id}");
                }
                Output::Notice(notice) => {
                    if let Notice::Retrying { id, wait, .. } = notice {
                        self.rejoining.insert(id, self.clock + wait);
                    }
                    self.notices.push(notice);
                }
            }
        }
        assert_eq!(self.engine.stats().in_flight, self.flying.len() as u64, "no slot is leaked");
        let next = self.engine.poll_timeout();
        assert!(next.is_none_or(|(next, _)| next > self.clock), "{next:?} lies ahead");
    }
}
