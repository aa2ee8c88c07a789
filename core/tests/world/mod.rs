//! A virtual-time world around one engine: a host that does what it is told, servers that do
//! what a script says, and a naive model beside it that checks the laws after every event.
//!
//! The model keeps plain lists and looks through all of them each time. It knows of gates and
//! pacing only what the laws say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cxone_core::{
    AttemptId, Config, Engine, Failure, Generation, Head, Input, Instant, Job, Notice, Now, Output,
    PauseReason, Priority, Replay, RequestError, RequestId, ScopeConfig, Stats, SubmitError,
    TokenFailure, Verdict, Wall,
};
use proptest::prelude::*;

pub(crate) const SCOPE_SETS: [&[&str]; 7] =
    [&[], &["a"], &["b"], &["a", "wide"], &["b", "wide"], &["wide"], &["poll"]];
pub(crate) const LIMITED: &str = "b";
pub(crate) const LIMITED_TO: u32 = 2;
pub(crate) const POLLS: u32 = 1;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Submit {
        class: usize,
        scopes: usize,
        auth: bool,
        replay: usize,
        stream: bool,
        timeout: Option<u64>,
        deadline: Option<u64>,
    },
    Cancel(usize),
    /// An answer to one of the attempts in flight.
    Answer {
        which: usize,
        status: u16,
        retry_after: Option<u64>,
        /// Nothing remains for so many seconds, of the limit of that name.
        spent: Option<(Option<&'static str>, u64)>,
        redirect: bool,
    },
    /// The body of an answered attempt is complete.
    Complete(usize),
    Fail {
        which: usize,
        failure: usize,
    },
    Advance(u64),
    /// Jump to the engine's next deadline.
    Step,
    /// The host's clock goes back.
    Back(u64),
    /// Seldom, and then mostly with a drain.
    Close(u32),
    Pause(usize),
    Resume(usize),
    Concurrency(u32),
    TokenOk {
        lifetime: Option<u64>,
    },
    TokenFail {
        status: u16,
    },
    /// Inputs about what is over, or never was.
    Stale(usize),
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    let status = prop_oneof![
        8 => Just(200u16), 6 => Just(429), 1 => Just(503), 1 => Just(502), 1 => Just(401),
        1 => Just(403), 1 => Just(404), 1 => Just(500), 1 => Just(302),
    ];
    let retry_after = prop_oneof![2 => Just(None), 3 => (0u64..20).prop_map(Some), 1 => (0u64..3000).prop_map(Some)];
    let named = prop::option::of(prop::sample::select(vec!["a", "wide", "elsewhere"]));
    let spent = prop::option::weighted(0.15, (named, prop_oneof![4 => 0u64..30, 1 => 0u64..3000]));
    prop_oneof![
        8 => (0..3usize, 0..SCOPE_SETS.len(), prop::bool::weighted(0.6), 0..3usize,
              prop::bool::weighted(0.2), prop::option::weighted(0.2, 0u64..60_000), prop::option::weighted(0.1, 0u64..9_000))
            .prop_map(|(class, scopes, auth, replay, stream, deadline, timeout)| Submit { class, scopes, auth, replay, stream, timeout, deadline }),
        1 => any::<usize>().prop_map(Cancel),
        8 => (any::<usize>(), status, retry_after, spent, prop::bool::weighted(0.5))
            .prop_map(|(which, status, retry_after, spent, redirect)| Answer { which, status, retry_after, spent, redirect }),
        8 => any::<usize>().prop_map(Complete),
        2 => (any::<usize>(), 0..6usize).prop_map(|(which, failure)| Fail { which, failure }),
        3 => (0u64..20_000).prop_map(Advance),
        4 => Just(Step),
        1 => (0u64..20_000).prop_map(Back),
        1 => (0..60u32).prop_map(Close),
        1 => (0..4usize).prop_map(Pause),
        2 => (0..4usize).prop_map(Resume),
        1 => (1u32..10).prop_map(Concurrency),
        3 => prop::option::of(0u64..200).prop_map(|lifetime| TokenOk { lifetime }),
        1 => prop_oneof![4 => Just(503u16), 1 => Just(400)].prop_map(|status| TokenFail { status }),
        1 => any::<usize>().prop_map(Stale),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Waiting,
    /// Out with this attempt.
    Flying,
    Over,
}

#[derive(Clone, Debug)]
struct Request {
    order: usize,
    class: Priority,
    scopes: Vec<String>,
    auth: bool,
    phase: Phase,
    cancelled: bool,
    finishes: u32,
    sends: u32,
    failures: u32,
    replays: u32,
    /// May it be waiting alone, or be blocked by what the model does not know?
    vague: bool,
    deadline: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Attempt {
    answered: Option<u16>,
    verdict: Option<Verdict>,
    aborted: bool,
}

/// What the laws say of a gate, where they are sure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Gate {
    /// Or nothing is known of it.
    #[default]
    Open,
    /// The next attempt is the probe.
    Closed,
    Probing(AttemptId),
    /// At most so many in flight.
    Ramp(usize),
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Instant,
    pub(crate) trace: Vec<String>,
    pub(crate) config: Config,
    requests: BTreeMap<RequestId, Request>,
    accepted: usize,
    /// Attempts from `Send` until reported over.
    flying: BTreeMap<AttemptId, Attempt>,
    /// By scope, the latest deadline that a refusal has stated.
    refused_until: BTreeMap<String, Instant>,
    fetch: Option<Generation>,
    held: BTreeSet<Option<&'static str>>,
    /// `Some(true)`: it drains.
    closed: Option<bool>,
    gates: BTreeMap<String, Gate>,
    /// By scope, what the last pause said, budgets not counted.
    paused_until: BTreeMap<String, Instant>,
    pub(crate) token_fetches: u32,
    largest_concurrency: u32,
}

const HOLDS: [Option<&str>; 4] = [None, Some("a"), Some("wide"), Some("default")];

fn at(clock: Instant) -> Now {
    Now::new(clock, Wall::from_millis(1_795_392_000_000 + clock.as_nanos() / 1_000_000))
}

impl World {
    pub(crate) fn new(config: Config, seed: u64) -> World {
        let concurrency = config.concurrency;
        let scope = |name: &str, concurrency, apart| ScopeConfig {
            name: name.into(),
            concurrency: Some(concurrency),
            apart,
            pacing: None,
        };
        let config = Config {
            queue_limit: 40,
            scopes: vec![scope(LIMITED, LIMITED_TO, false), scope("poll", POLLS, true)],
            ..config
        };
        let engine = Engine::new(config.clone(), seed, at(Instant::ORIGIN)).unwrap();
        World {
            engine,
            clock: Instant::ORIGIN,
            trace: Vec::new(),
            requests: BTreeMap::new(),
            accepted: 0,
            flying: BTreeMap::new(),
            refused_until: BTreeMap::new(),
            fetch: None,
            held: BTreeSet::new(),
            closed: None,
            gates: BTreeMap::new(),
            paused_until: BTreeMap::new(),
            token_fetches: 0,
            largest_concurrency: concurrency,
            config,
        }
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
                let live: Vec<RequestId> = self.requests.keys().copied().collect();
                if let Some(id) = pick(&live, which) {
                    let request = self.requests.get_mut(&id).unwrap();
                    if request.finishes == 0 {
                        request.cancelled = true;
                        request.phase = Phase::Over;
                    }
                    self.engine.cancel(id, now);
                }
            }
            Event::Answer { which, status, retry_after, spent, redirect } => {
                self.answer(which, status, retry_after, spent, redirect);
            }
            Event::Complete(which) => {
                let answered: Vec<AttemptId> = self.in_flight(|attempt| attempt.verdict.is_some());
                if let Some(attempt) = pick(&answered, which) {
                    self.over(attempt);
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
                    self.held.clear();
                    self.closed = Some(self.closed.unwrap_or(true) && drain);
                }
            }
            Event::Pause(which) => {
                if self.closed.is_none() {
                    self.held.insert(HOLDS[which]);
                }
                self.engine.pause(HOLDS[which], now);
            }
            Event::Resume(which) => {
                self.held.remove(&HOLDS[which]);
                self.engine.resume(HOLDS[which], now);
            }
            Event::Concurrency(concurrency) => {
                self.config.concurrency = concurrency;
                self.largest_concurrency = self.largest_concurrency.max(concurrency);
                for scope in self.gates.keys().cloned().collect::<Vec<_>>() {
                    let limit = self.limit(&scope);
                    let ramped =
                        |gate: &&mut Gate| matches!(**gate, Gate::Ramp(most) if most >= limit);
                    if let Some(gate) = self.gates.get_mut(&scope).filter(ramped) {
                        *gate = Gate::Open;
                    }
                }
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
            self.held.remove(&hold);
            self.drain();
        }
        for _ in 0..20_000 {
            let unanswered = self.in_flight(|attempt| attempt.verdict.is_none());
            if self.fetch.is_some() {
                self.happen(&Event::TokenOk { lifetime: None });
            } else if !self.in_flight(|attempt| attempt.aborted).is_empty() {
                self.happen(&Event::Fail { which: 0, failure: 5 });
            } else if !self.in_flight(|attempt| attempt.verdict.is_some()).is_empty() {
                self.happen(&Event::Complete(0));
            } else if !unanswered.is_empty() {
                self.happen(&Event::Answer {
                    which: 0,
                    status: 200,
                    retry_after: None,
                    spent: None,
                    redirect: false,
                });
            } else if self.engine.poll_timeout().is_some() {
                self.happen(&Event::Step);
            } else {
                break;
            }
        }
        self.check_end();
    }

    fn submit(&mut self, job: Job<'_>) {
        let (names, class, auth, deadline) = (job.scopes, job.priority, job.auth, job.deadline);
        let before = self.engine.stats();
        let waiting = before.queued.iter().sum::<u64>() + before.waiting;
        match self.engine.submit(job, at(self.clock)) {
            Ok(id) => {
                assert_eq!(self.closed, None, "a closed engine accepts nothing");
                assert!(
                    waiting < u64::from(self.config.queue_limit),
                    "law 6: the queue is bounded"
                );
                let scopes = if names.is_empty() { &["default"][..] } else { names };
                let request = Request {
                    order: self.accepted,
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
                self.accepted += 1;
                let clash = self.requests.insert(id, request);
                assert!(clash.is_none(), "ids are not reused soon");
            }
            Err(SubmitError::Closed) => assert!(self.closed.is_some()),
            Err(error) => {
                assert_eq!(waiting, u64::from(self.config.queue_limit), "{error}");
            }
        }
    }

    fn answer(
        &mut self,
        which: usize,
        status: u16,
        retry_after: Option<u64>,
        spent: Option<(Option<&str>, u64)>,
        redirect: bool,
    ) {
        let open = self.in_flight(|attempt| attempt.answered.is_none());
        let Some(id) = pick(&open, which) else { return };
        let attempt = self.flying.get_mut(&id).unwrap();
        attempt.answered = Some(status);
        let scopes = self.requests[&id.request].scopes.clone();
        let states = retry_after.is_some() || spent.is_some();
        let throttle = status == 429 || (matches!(status, 403 | 503) && states);
        let mut headers = Vec::new();
        let seconds = retry_after.unwrap_or_default().to_string();
        if retry_after.is_some() {
            headers.push(("retry-after", &*seconds));
        }
        let limit = spent.map(|(name, reset)| match name {
            Some(name) => format!("\"{name}\";r=0;t={reset}"),
            None => format!("limit=9, remaining=0, reset={reset}"),
        });
        if let Some(limit) = &limit {
            headers.push(("ratelimit", limit));
        }
        let charged = match spent {
            Some((Some(name), _)) if !throttle => scopes.iter().find(|scope| *scope == name),
            _ => None,
        };
        let charged = charged.unwrap_or(&scopes[0]);
        let wait = spent.map(|(_, reset)| reset);
        let wait = if throttle { retry_after.or(wait) } else { wait };
        if let Some(seconds) = wait {
            // Below a second it may not be believed; the own backoff is at least that.
            let until = self.clock + Duration::from_secs(seconds);
            let known = self.refused_until.entry(charged.clone()).or_default();
            *known = until.max(*known);
        }
        for scope in &scopes {
            let closed = self.closed_until(scope);
            let limit = self.limit(scope);
            let gate = self.gates.entry(scope.clone()).or_default();
            *gate = match *gate {
                Gate::Probing(probe) if probe == id && (throttle || closed) => Gate::Closed,
                Gate::Probing(probe) if probe == id => Gate::Ramp(2),
                Gate::Ramp(most) if !throttle => Gate::Ramp(most + 1),
                other => other,
            };
            if matches!(*gate, Gate::Ramp(most) if most >= limit) {
                *gate = Gate::Open;
            }
        }
        let head = Head { status, headers: &headers, redirect: redirect && status == 302 };
        self.engine.handle_input(Input::Head { attempt: id, head }, at(self.clock));
    }

    fn closed_until(&self, scope: &str) -> bool {
        let paused = self.paused_until.get(scope);
        paused.is_some_and(|until| self.clock < *until)
    }

    fn limit(&self, scope: &str) -> usize {
        (match scope {
            LIMITED => self.config.concurrency.min(LIMITED_TO),
            "poll" => POLLS,
            _ => self.config.concurrency,
        }) as usize
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
        let mut candidates = self.in_flight(|attempt| attempt.aborted);
        let failure = match candidates.is_empty() {
            true => kinds[failure],
            false => Failure::Aborted,
        };
        if candidates.is_empty() {
            candidates = self.in_flight(|_| true);
        }
        let Some(id) = pick(&candidates, which) else {
            return;
        };
        self.over(id);
        self.engine.handle_input(Input::Failed { attempt: id, failure }, at(self.clock));
    }

    fn stale(&mut self, which: usize) {
        let now = at(self.clock);
        let request = RequestId::from_u64(which as u64 % (1 << 53));
        let known =
            pick(&self.requests.keys().copied().collect::<Vec<_>>(), which).unwrap_or(request);
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
                Output::Send { attempt, token } => self.sent(attempt, token),
                Output::Body { attempt, verdict } => {
                    let known = self.flying.get_mut(&attempt).expect("it is in flight");
                    assert!(known.verdict.is_none() && known.answered.is_some());
                    assert!(!known.aborted, "an aborted attempt's answer is nobody's");
                    known.verdict = Some(verdict);
                    if known.answered == Some(401) && verdict == Verdict::Drain {
                        let request = self.requests.get_mut(&attempt.request).unwrap();
                        request.replays += 1;
                    }
                    if verdict == Verdict::Stream {
                        self.over(attempt);
                    } else if verdict != Verdict::Read {
                        let request = self.requests.get_mut(&attempt.request).unwrap();
                        // Throttled and replayed ones requeue when drained.
                        assert_eq!(request.phase, Phase::Flying);
                    }
                }
                Output::Abort { attempt } => {
                    let known = self.flying.get_mut(&attempt).expect("it is in flight");
                    assert!(!known.aborted, "an attempt is aborted once");
                    known.aborted = true;
                }
                Output::FetchToken { generation } => {
                    assert_eq!(self.fetch, None, "law 5: one fetch");
                    self.token_fetches += 1;
                    self.fetch = Some(generation);
                }
                Output::AbortToken { generation } => {
                    assert_eq!(self.fetch.take(), Some(generation));
                }
                Output::Finish { id, result } => self.finished(id, result),
                Output::Notice(Notice::Retrying { id, failures, .. }) => {
                    let request = self.requests.get_mut(&id).expect("it was accepted");
                    request.vague = true;
                    request.failures += 1;
                    assert_eq!(request.failures, failures);
                }
                Output::Notice(Notice::Paused { scope, until, reason, .. })
                    if reason != PauseReason::Budget =>
                {
                    let gate = self.gates.entry(scope.to_string()).or_default();
                    // Of a probe that is out, the model does not know whether it still is one.
                    *gate = match gate {
                        Gate::Probing(_) => Gate::Open,
                        _ => Gate::Closed,
                    };
                    self.paused_until.insert(scope.to_string(), until);
                }
                Output::Notice(_) => {}
            }
        }
    }

    fn sent(&mut self, id: AttemptId, token: Option<Generation>) {
        let request = self.requests.get_mut(&id.request).expect("it was accepted");
        assert_eq!(request.phase, Phase::Waiting, "law 3: nobody is sent twice at once");
        request.phase = Phase::Flying;
        request.sends += 1;
        assert_eq!(id.number, request.sends);
        assert_eq!(request.auth, token.is_some());
        assert!(request.failures < self.config.max_attempts, "law 6: attempts are finite");
        assert!(request.replays <= 1, "law 5: one replay after a 401");
        assert!(request.deadline.is_none_or(|deadline| self.clock < deadline), "law 6: deadlines");
        let request = request.clone();
        for scope in &request.scopes {
            let until = self.refused_until.get(scope).copied().unwrap_or_default();
            assert!(self.clock >= until, "law 1: never early: {scope} until {until}");
            assert!(!self.held.contains(&Some(&**scope)) && !self.held.contains(&None), "held");
        }
        self.check_order(id.request, &request);
        let attempt = Attempt { answered: None, verdict: None, aborted: false };
        self.flying.insert(id, attempt);
        self.check_concurrency(&request);
        self.check_gates(id, &request);
    }

    /// Whoever needs no more than the one that was sent, and is older in its class, must not be
    /// waiting still.
    fn check_order(&self, id: RequestId, sent: &Request) {
        for (other_id, other) in &self.requests {
            let passed_over = *other_id != id
                && other.phase == Phase::Waiting
                && !other.vague
                && other.class == sent.class
                && other.order < sent.order
                && (sent.auth || !other.auth)
                && other.scopes.iter().all(|scope| sent.scopes.contains(scope));
            assert!(!passed_over, "law 4: {id} left before {other_id}");
        }
    }

    /// One probe, then a ramp.
    fn check_gates(&mut self, id: AttemptId, sent: &Request) {
        for scope in &sent.scopes {
            let paused = self.paused_until.get(scope).copied().unwrap_or_default();
            let stale = self.clock >= paused + Duration::from_secs(3600);
            let flying = self.flying.keys();
            let in_scope = |id: &&AttemptId| self.requests[&id.request].scopes.contains(scope);
            let flying = flying.filter(in_scope).count();
            let gate = self.gates.entry(scope.clone()).or_default();
            match *gate {
                _ if stale => *gate = Gate::Open, // it may have been forgotten
                Gate::Open => {}
                Gate::Closed => *gate = Gate::Probing(id),
                Gate::Probing(probe) => panic!("{scope}: {probe} is the probe, {id} is not"),
                Gate::Ramp(most) => assert!(flying <= most, "{scope}: {flying} of {most}"),
            }
        }
    }

    fn check_concurrency(&self, sent: &Request) {
        let count = |scope: &str| {
            let in_scope =
                |id: &&AttemptId| self.requests[&id.request].scopes.iter().any(|s| s == scope);
            self.flying.keys().filter(in_scope).count()
        };
        let polls = count("poll");
        if !sent.scopes.iter().any(|scope| scope == "poll") {
            let most = self.config.concurrency as usize;
            assert!(self.flying.len() - polls <= most, "law 2: never over");
        }
        assert!(polls <= POLLS as usize, "law 2: never over a scope's own limit");
        assert!(count(LIMITED) <= LIMITED_TO as usize, "law 2: never over a scope's own limit");
    }

    fn finished(&mut self, id: RequestId, result: Result<(), RequestError>) {
        let request = self.requests.get_mut(&id).expect("it was accepted");
        assert!(!request.cancelled, "law 3: no end once cancelled");
        assert_eq!(request.finishes, 0, "law 3: one end");
        request.finishes = 1;
        request.phase = Phase::Over;
        let now = self.clock;
        match result {
            Ok(()) => assert!(request.sends > 0, "law 3: no success without an answer"),
            Err(RequestError::Deadline) => {
                assert!(request.deadline.is_some_and(|deadline| now >= deadline));
            }
            Err(RequestError::RateLimited { .. }) => {}
            Err(RequestError::Token { .. }) => assert!(request.auth),
            Err(RequestError::Closed) => assert_eq!(self.closed, Some(false)),
            Err(_) => assert!(request.sends > 0),
        }
    }

    /// The host reports an attempt over.
    fn over(&mut self, id: AttemptId) {
        self.flying.remove(&id).expect("it is in flight");
        for gate in self.gates.values_mut().filter(|gate| **gate == Gate::Probing(id)) {
            *gate = Gate::Closed; // it ended without an answer
        }
        let request = self.requests.get_mut(&id.request).expect("it was accepted");
        if request.phase == Phase::Flying {
            request.phase = Phase::Waiting;
        }
    }

    fn check_rest(&mut self) {
        if let Some((next, wake)) = self.engine.poll_timeout() {
            assert!(next > self.clock, "law 8: {wake:?} at {next} is no later than now");
        }
        assert_eq!(self.engine.stats().in_flight, self.flying.len() as u64);
        for (id, request) in &self.requests {
            if request.phase != Phase::Waiting || request.cancelled {
                continue;
            }
            for scope in &request.scopes {
                let until = self.refused_until.get(scope).copied().unwrap_or_default();
                let wait = until.saturating_since(self.clock);
                assert!(wait <= self.config.max_wait, "law 6: {id} waits {wait:?}");
                let reached = request.deadline.is_none_or(|deadline| until < deadline);
                assert!(reached, "law 6: {id} waits until {until}, beyond its deadline");
            }
        }
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
        for (id, request) in &self.requests {
            assert!(
                request.cancelled || request.finishes == 1,
                "law 3: {id} never ended: {request:?}"
            );
        }
        assert!(self.engine.is_idle(), "law 9: {:?}", self.engine.stats());
        assert_eq!(self.engine.poll_timeout(), None, "law 9: no timer is left");
        let stats = self.engine.stats();
        assert_eq!((stats.queued, stats.waiting, stats.in_flight), ([0; 3], 0, 0));
        let cancelled = self.requests.values().filter(|request| request.cancelled).count();
        assert_eq!(stats.finished + cancelled as u64, self.accepted as u64);
    }

    fn in_flight(&self, which: impl Fn(&Attempt) -> bool) -> Vec<AttemptId> {
        self.flying.iter().filter(|(_, attempt)| which(attempt)).map(|(id, _)| *id).collect()
    }
}

/// All but the scopes, of which the time that passes alone changes what is to be said.
fn state(stats: &Stats) -> String {
    format!("{:?}", Stats { scopes: Vec::new(), ..stats.clone() })
}

fn pick<T: Copy>(from: &[T], which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[which % from.len()])
}
