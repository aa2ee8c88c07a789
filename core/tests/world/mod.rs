//! A virtual-time world around one engine: a host that does what it is told, servers that do
//! what a script says, and a naive [model] beside it that checks the laws after every event.

mod answers;
mod events;
mod model;
mod servers;

use std::time::Duration;

use cxone_core::{
    AttemptId, Config, Engine, Failure, Generation, Head, Input, Instant, Job, Notice, Now, Output,
    Priority, Replay, RequestId, Stats, SubmitError, TokenFailure, Verdict, Wall,
};

use answers::Answer;
use events::HOLDS;
pub(crate) use events::{Event, SCOPE_SETS, busy_event, event, settings};
use model::{Model, Phase, Request};
pub(crate) use servers::{Server, server};

/// More wakes than a request's last waits can need: some fifty requests, each with its retries.
const MANY_WAKES: usize = 5000;

/// Longer than what any server here states, or any pacer rests.
const LONG: Duration = Duration::from_secs(1_500_000_000);

/// Where nanoseconds end: a server that states thirty years each time brings a world there.
const END_OF_TIME: Duration = Duration::from_secs(16_000_000_000);

pub(crate) struct World {
    pub(crate) trace: Vec<String>,
    engine: Engine,
    clock: Instant,
    model: Model,
    fetch: Option<Generation>,
    server: Option<Server>,
}

fn at(clock: Instant) -> Now {
    Now::new(clock, Wall::from_millis(1_795_392_000_000 + clock.as_nanos() / 1_000_000))
}

impl World {
    pub(crate) fn new(config: Config, seed: u64) -> World {
        World {
            trace: Vec::new(),
            engine: Engine::new(config.clone(), seed, at(Instant::ORIGIN)).unwrap(),
            clock: Instant::ORIGIN,
            model: Model::new(config),
            fetch: None,
            server: None,
        }
    }

    /// In the end all is answered by this one.
    pub(crate) fn with(mut self, server: Server) -> World {
        self.server = Some(server);
        self
    }

    pub(crate) fn run(&mut self, events: &[Event]) {
        for event in events {
            self.happen(event);
        }
    }

    pub(crate) fn happen(&mut self, event: &Event) {
        self.trace.push(format!("{} <- {event:?}", self.clock));
        let now = at(self.clock);
        match *event {
            Event::Submit { class, scopes, auth, replay, stream, timeout, deadline } => {
                let job = Job {
                    priority: Priority::ALL[class],
                    scopes: SCOPE_SETS[scopes],
                    auth,
                    replay: [Replay::Always, Replay::IfUnprocessed, Replay::Never][replay],
                    stream,
                    attempt_timeout: timeout.map(Duration::from_millis),
                    deadline: deadline.map(Duration::from_millis),
                };
                self.submit(job);
            }
            Event::Cancel(which) => {
                let live: Vec<RequestId> = self.model.requests.keys().copied().collect();
                if let Some(id) = pick(&live, which) {
                    let request = self.model.requests.get_mut(&id).unwrap();
                    if request.finishes == 0 {
                        request.cancelled = true;
                        request.phase = Phase::Over;
                    }
                    self.engine.cancel(id, now);
                }
            }
            Event::Answer(which, ref answer) => self.answer(which, answer),
            Event::Serve(which) => self.serve(which),
            Event::Complete(which) => {
                let answered = self.model.in_flight(|attempt| attempt.verdict.is_some());
                if let Some(attempt) = pick(&answered, which) {
                    self.model.over(attempt);
                    self.engine.handle_input(Input::Done { attempt }, now);
                }
            }
            Event::Fail { which, failure } => self.fail(which, failure),
            Event::Advance(millis) => {
                self.clock += Duration::from_millis(millis);
                self.engine.handle_timeout(at(self.clock));
            }
            Event::Step => {
                if let Some((next, _)) = self.engine.poll_timeout() {
                    self.check_early_timeout(next);
                    self.clock = next;
                    self.engine.handle_timeout(at(self.clock));
                }
            }
            Event::Back(millis) => {
                let back = self.clock.as_nanos().saturating_sub(millis * 1_000_000);
                let before = (self.engine.poll_timeout(), state(&self.engine.stats()));
                self.engine.handle_timeout(at(Instant::from_nanos(back)));
                assert!(self.engine.poll_output().is_none(), "time never goes back");
                assert_eq!(before, (self.engine.poll_timeout(), state(&self.engine.stats())));
            }
            Event::Close(what) => {
                if what < 3 {
                    let drain = what > 0;
                    self.engine.close(drain, now);
                    self.model.held.clear();
                    self.model.closed = Some(self.model.closed.unwrap_or(true) && drain);
                }
            }
            Event::Pause(which) => {
                if self.model.closed.is_none() {
                    self.model.held.insert(HOLDS[which]);
                }
                self.engine.pause(HOLDS[which], now);
            }
            Event::Resume(which) => {
                self.model.held.remove(&HOLDS[which]);
                self.engine.resume(HOLDS[which], now);
            }
            Event::Concurrency(concurrency) => {
                self.model.config.concurrency = concurrency;
                self.model.limit_changed();
                self.engine.set_concurrency(concurrency, now).unwrap();
            }
            Event::TokenOk { lifetime } => {
                if let Some(generation) = self.fetch.take() {
                    let lifetime = lifetime.map(Duration::from_secs);
                    self.engine.handle_input(Input::Token { generation, lifetime }, now);
                }
            }
            Event::TokenFail { status } => {
                if let Some(generation) = self.fetch.take() {
                    let failure = match status {
                        503 => TokenFailure::Transient { status },
                        _ => TokenFailure::Refused { status },
                    };
                    let input = Input::TokenFailed { generation, failure, headers: &[] };
                    self.engine.handle_input(input, now);
                }
            }
            Event::Stale(which) => self.stale(which),
        }
        self.drain();
        self.check_rest();
    }

    /// From here on all goes well: every request must come to its end.
    pub(crate) fn wind_down(&mut self) {
        for hold in HOLDS {
            self.engine.resume(hold, at(self.clock));
            self.model.held.remove(&hold);
            self.drain();
        }
        let mut wakes = 0;
        loop {
            let unanswered = self.model.in_flight(|attempt| attempt.verdict.is_none());
            if self.clock > Instant::ORIGIN + END_OF_TIME {
                return;
            } else if self.fetch.is_some() {
                self.happen(&Event::TokenOk { lifetime: None });
            } else if !self.model.in_flight(|attempt| attempt.aborted).is_empty() {
                self.happen(&Event::Fail { which: 0, failure: 5 });
            } else if !self.model.in_flight(|attempt| attempt.verdict.is_some()).is_empty() {
                self.happen(&Event::Complete(0));
            } else if !unanswered.is_empty() {
                self.happen(&Event::Serve(0));
            } else if self.engine.poll_timeout().is_some() {
                self.happen(&Event::Step);
                wakes += 1;
                assert!(wakes < MANY_WAKES, "law 8: it wakes and wakes, and nothing comes of it");
            } else {
                break;
            }
        }
        self.check_end();
        self.check_forgotten();
    }

    fn submit(&mut self, job: Job<'_>) {
        let (names, class, auth, deadline) = (job.scopes, job.priority, job.auth, job.deadline);
        let before = self.engine.stats();
        let waiting = before.queued.iter().sum::<u64>() + before.waiting;
        let limit = u64::from(self.model.config.queue_limit);
        match self.engine.submit(job, at(self.clock)) {
            Ok(id) => {
                assert_eq!(self.model.closed, None, "a closed engine accepts nothing");
                assert!(waiting < limit, "law 6: the queue is bounded");
                let scopes = if names.is_empty() { &["default"][..] } else { names };
                let request = Request {
                    order: self.model.accepted,
                    class,
                    scopes: scopes.iter().map(|name| (*name).to_owned()).collect(),
                    auth,
                    phase: Phase::Waiting,
                    cancelled: false,
                    finishes: 0,
                    sends: 0,
                    failures: 0,
                    replays: 0,
                    vague: false,
                    deadline: deadline.map(|limit| self.clock + limit),
                };
                self.model.accepted += 1;
                let clash = self.model.requests.insert(id, request);
                assert!(clash.is_none(), "ids are not reused soon");
            }
            Err(SubmitError::Closed) => assert!(self.model.closed.is_some()),
            Err(error) => assert!(waiting >= limit, "{error}"), // more: some came back
        }
    }

    fn serve(&mut self, which: usize) {
        if self.model.in_flight(|attempt| attempt.answered.is_none()).is_empty() {
            return;
        }
        let answer = match &mut self.server {
            Some(server) => server.answer(self.clock),
            None => Answer::plain(200),
        };
        self.trace.push(format!("{} <- {answer:?}", self.clock));
        self.answer(which, &answer);
    }

    fn answer(&mut self, which: usize, answer: &Answer) {
        let open = self.model.in_flight(|attempt| attempt.answered.is_none());
        let Some(attempt) = pick(&open, which) else { return };
        let number = self.model.number(attempt);
        self.model.answered(attempt, answer, self.clock);
        let headers = answer.headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let redirect = answer.redirect && answer.status == 302;
        let head = Head { status: answer.status, headers: &headers, redirect };
        self.engine.handle_input(Input::Head { attempt, head }, at(self.clock));
        self.drain();
        self.model.check_answered(attempt, answer, number, self.clock);
    }

    fn fail(&mut self, which: usize, failure: usize) {
        let kinds = [
            Failure::Unsent,
            Failure::Unsendable,
            Failure::Reset,
            Failure::Truncated,
            Failure::TooLarge,
            Failure::Aborted,
        ];
        let mut candidates = self.model.in_flight(|attempt| attempt.aborted);
        let failure = match candidates.is_empty() {
            true => kinds[failure],
            false => Failure::Aborted,
        };
        if candidates.is_empty() {
            candidates = self.model.in_flight(|_| true);
        }
        let Some(id) = pick(&candidates, which) else {
            return;
        };
        self.model.over(id);
        self.engine.handle_input(Input::Failed { attempt: id, failure }, at(self.clock));
    }

    fn stale(&mut self, which: usize) {
        let now = at(self.clock);
        let request = RequestId::from_u64(which as u64 % (1 << 53));
        let known: Vec<RequestId> = self.model.requests.keys().copied().collect();
        let known = pick(&known, which).unwrap_or(request);
        for attempt in [
            AttemptId { request, number: 1 },
            AttemptId { request: known, number: 1_000 },
            AttemptId { request: known, number: 0 },
        ] {
            let head = Head { status: 429, headers: &[("retry-after", "900")], redirect: false };
            let before = format!("{:?}", (self.engine.stats(), self.engine.poll_timeout()));
            self.engine.handle_input(Input::Head { attempt, head }, now);
            self.engine.handle_input(Input::Done { attempt }, now);
            self.engine.handle_input(Input::Failed { attempt, failure: Failure::Reset }, now);
            let after = format!("{:?}", (self.engine.stats(), self.engine.poll_timeout()));
            assert_eq!(before, after, "late news is harmless");
        }
        let generation = Generation(u32::MAX);
        self.engine.handle_input(Input::Token { generation, lifetime: None }, now);
        let failure = TokenFailure::Network;
        self.engine.handle_input(Input::TokenFailed { generation, failure, headers: &[] }, now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.trace.push(format!("{} {output:?}", self.clock));
            match output {
                Output::Send { attempt, token } => self.model.sent(attempt, token, self.clock),
                Output::Body { attempt, verdict } => {
                    let known = self.model.flying.get_mut(&attempt).expect("it is in flight");
                    assert!(known.verdict.is_none() && known.answered.is_some());
                    assert!(!known.aborted, "an aborted attempt's answer is nobody's");
                    known.verdict = Some(verdict);
                    let request = self.model.requests.get_mut(&attempt.request).unwrap();
                    if known.answered == Some(401) && verdict == Verdict::Drain {
                        request.replays += 1;
                    }
                    if verdict == Verdict::Stream {
                        self.model.over(attempt);
                    } else if verdict != Verdict::Read {
                        // Throttled and replayed ones requeue when drained.
                        assert_eq!(request.phase, Phase::Flying);
                    }
                }
                Output::Abort { attempt } => {
                    let known = self.model.flying.get_mut(&attempt).expect("it is in flight");
                    assert!(!known.aborted, "an attempt is aborted once");
                    known.aborted = true;
                }
                Output::FetchToken { generation } => {
                    assert_eq!(self.fetch, None, "law 5: one fetch");
                    self.fetch = Some(generation);
                }
                Output::AbortToken { generation } => {
                    assert_eq!(self.fetch.take(), Some(generation));
                }
                Output::Finish { id, result } => self.model.finished(id, result, self.clock),
                Output::Notice(Notice::Retrying { id, failures, .. }) => {
                    let request = self.model.requests.get_mut(&id).expect("it was accepted");
                    request.vague = true;
                    request.failures += 1;
                    assert_eq!(request.failures, failures);
                }
                Output::Notice(notice) => self.model.paused(&notice, self.clock),
            }
        }
    }

    fn check_rest(&mut self) {
        if let Some((next, wake)) = self.engine.poll_timeout() {
            assert!(next > self.clock, "law 8: {wake:?} at {next} is no later than now");
        }
        assert_eq!(self.engine.stats().in_flight, self.model.flying.len() as u64);
        self.model.check_rest(self.clock);
    }

    fn check_early_timeout(&mut self, next: Instant) {
        let before = (self.engine.poll_timeout(), state(&self.engine.stats()));
        let early = Instant::from_nanos(next.as_nanos() - 1).max(self.clock);
        self.engine.handle_timeout(at(early));
        self.clock = early;
        assert!(self.engine.poll_output().is_none(), "law 8: an early timeout does nothing");
        assert_eq!(before, (self.engine.poll_timeout(), state(&self.engine.stats())));
    }

    fn check_end(&mut self) {
        for (id, request) in &self.model.requests {
            let ended = request.cancelled || request.finishes == 1;
            assert!(ended, "law 3: {id} never ended: {request:?}");
        }
        assert!(self.engine.is_idle(), "law 9: {:?}", self.engine.stats());
        assert_eq!(self.engine.poll_timeout(), None, "law 9: no timer is left");
        let stats = self.engine.stats();
        assert_eq!((stats.queued, stats.waiting, stats.in_flight), ([0; 3], 0, 0));
        let cancelled = self.model.requests.values().filter(|request| request.cancelled).count();
        assert_eq!(stats.finished + cancelled as u64, self.model.accepted as u64);
    }

    /// An hour later nothing is kept of scopes that are not in the configuration. They are looked
    /// through when others come.
    fn check_forgotten(&mut self) {
        if self.model.closed.is_some() {
            return;
        }
        self.clock += LONG;
        for new in 0..100 {
            let scopes: &[&str] = &[&format!("new {new}")];
            let job = Job { scopes, auth: false, ..Job::default() };
            self.engine.pause(Some(scopes[0]), at(self.clock)); // so that they are kept, and add up
            let id = self.engine.submit(job, at(self.clock)).expect("nothing waits");
            self.engine.cancel(id, at(self.clock));
            assert_eq!(self.engine.poll_output(), None, "it is paused");
        }
        let permanent = |name: &str| {
            name == "default"
                || name.starts_with("new ")
                || self.model.config.scopes.iter().any(|scope| scope.name == name)
        };
        for scope in self.engine.stats().scopes.iter().filter(|scope| !permanent(&scope.name)) {
            let stale = self.model.is_stale(&scope.name, self.clock);
            assert!(!stale, "law 9: after an hour this is known still: {scope:?}");
        }
    }
}

/// All but the scopes, of which the time that passes alone changes what is to be said.
fn state(stats: &Stats) -> String {
    format!("{:?}", Stats { scopes: Vec::new(), ..stats.clone() })
}

fn pick<T: Copy>(from: &[T], which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[which % from.len()])
}
