//! The naive model: plain lists, all looked through each time. It knows of gates and pacing only
//! what the laws say, and asserts it after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cxone_core::{
    AttemptId, Config, Generation, Instant, KnownLimit, Notice, Pacing, PauseReason, Priority,
    RequestError, RequestId, Verdict,
};

use super::answers::Answer;
use super::events::{LIMITED, LIMITED_TO, POLLS};

/// By so much a budget's announced reset may be dated earlier by what else is known of its window:
/// it is announced in whole seconds, rounded up here and cut off there.
const DATING: Duration = Duration::from_millis(2200);

/// Where nothing was let in yet, the others in flight are waited for so long at least.
const AWAITED: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    Waiting,
    /// Out with this attempt.
    Flying,
    Over,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) order: usize,
    pub(crate) class: Priority,
    pub(crate) scopes: Vec<String>,
    pub(crate) auth: bool,
    pub(crate) phase: Phase,
    pub(crate) cancelled: bool,
    pub(crate) finishes: u32,
    pub(crate) sends: u32,
    pub(crate) failures: u32,
    pub(crate) replays: u32,
    /// May it be waiting alone, or be blocked by what the model does not know?
    pub(crate) vague: bool,
    pub(crate) deadline: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// How many attempts were sent before it.
    number: usize,
    pub(crate) answered: Option<u16>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) aborted: bool,
}

/// What the laws say of a gate, where they are sure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Gate {
    /// Or nothing is known of it, but that no probe is out.
    #[default]
    Open,
    /// One of those in flight may be the probe.
    Unsure,
    /// The next attempt is the probe.
    Closed,
    Probing(AttemptId),
    /// At most so many in flight.
    Ramp(usize),
}

/// What is known of a scope.
#[derive(Debug, Default)]
struct Scope {
    /// The latest deadline that a refusal has stated.
    refused_until: Instant,
    /// What any pause said, and what the last one did that closed the gate.
    paused_until: Instant,
    gate_until: Instant,
    gate: Gate,
    /// How many attempts were sent when a refusal or an outage last paused it.
    paused_at: usize,
    /// The first refusal that paused nothing: what comes of the others in flight is awaited.
    awaiting: Option<Instant>,
    /// When each of its attempts was sent.
    sends: Vec<Instant>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    pub(crate) accepted: usize,
    /// Attempts from `Send` until reported over.
    pub(crate) flying: BTreeMap<AttemptId, Attempt>,
    pub(crate) held: BTreeSet<Option<&'static str>>,
    /// `Some(true)`: it drains.
    pub(crate) closed: Option<bool>,
    scopes: BTreeMap<String, Scope>,
    sent: usize,
    /// When each class was served last.
    served: [usize; 3],
}

impl Model {
    pub(crate) fn new(config: Config) -> Model {
        Model {
            config,
            requests: BTreeMap::new(),
            accepted: 0,
            flying: BTreeMap::new(),
            held: BTreeSet::new(),
            closed: None,
            scopes: BTreeMap::new(),
            sent: 0,
            served: [0; 3],
        }
    }

    pub(crate) fn in_flight(&self, which: impl Fn(&Attempt) -> bool) -> Vec<AttemptId> {
        self.flying.iter().filter(|(_, attempt)| which(attempt)).map(|(id, _)| *id).collect()
    }

    /// The concurrency was changed.
    pub(crate) fn limit_changed(&mut self) {
        let limits: Vec<usize> = self.scopes.keys().map(|scope| self.limit(scope)).collect();
        for (scope, limit) in self.scopes.values_mut().zip(limits) {
            if matches!(scope.gate, Gate::Ramp(most) if most >= limit) {
                scope.gate = Gate::Open;
            }
        }
    }

    /// The engine is about to be told of this answer.
    pub(crate) fn answered(&mut self, id: AttemptId, answer: &Answer, now: Instant) {
        self.flying.get_mut(&id).expect("it is in flight").answered = Some(answer.status);
        let scopes = self.requests[&id.request].scopes.clone();
        let throttle = answer.is_throttle();
        if let Some(wait) = answer.wait() {
            let charged = answer.scope(&scopes);
            let dated = !throttle && self.learns(charged);
            let wait = if dated { wait.saturating_sub(DATING) } else { wait };
            // Below a second it may not be believed.
            let scope = self.scopes.entry(charged.clone()).or_default();
            scope.refused_until = scope.refused_until.max(now + wait);
        }
        for name in &scopes {
            let limit = self.limit(name);
            let scope = self.scopes.entry(name.clone()).or_default();
            let closed = now < scope.gate_until;
            if !throttle && scope.awaiting.take().is_some() {
                scope.paused_at = self.sent; // those that are refused still are of the same event
            }
            scope.gate = match scope.gate {
                Gate::Probing(probe) if probe == id && (throttle || closed) => Gate::Closed,
                Gate::Probing(probe) if probe == id => Gate::Ramp(2),
                Gate::Ramp(most) if !throttle => Gate::Ramp(most + 1),
                other => other,
            };
            if matches!(scope.gate, Gate::Ramp(most) if most >= limit) {
                scope.gate = Gate::Open;
            }
        }
    }

    /// The engine has dealt with that answer.
    pub(crate) fn check_answered(
        &mut self,
        id: AttemptId,
        answer: &Answer,
        sent: usize,
        now: Instant,
    ) {
        let name = &self.requests[&id.request].scopes[0];
        let in_scope = |other: &&AttemptId| {
            **other != id && self.requests[&other.request].scopes.contains(name)
        };
        let others = self.flying.keys().any(|other| in_scope(&other));
        let learns = self.learns(name);
        let scope = self.scopes.get_mut(name).expect("something was sent there");
        if answer.is_throttle() && sent >= scope.paused_at {
            assert!(
                learns && others,
                "law 1: {id} was refused at {now}, and nothing is paused: {scope:?}"
            );
            scope.awaiting.get_or_insert(now);
        }
    }

    /// The number of an attempt in flight.
    pub(crate) fn number(&self, id: AttemptId) -> usize {
        self.flying[&id].number
    }

    pub(crate) fn paused(&mut self, notice: &Notice, now: Instant) {
        let Notice::Paused { scope, until, reason, .. } = notice else { return };
        assert!(*until > now, "a pause is not over when it begins: {notice:?}");
        let learns = self.learns(scope);
        let sent = self.sent;
        let scope = self.scopes.entry(scope.to_string()).or_default();
        scope.paused_until = scope.paused_until.max(*until);
        match reason {
            PauseReason::Budget => return,
            // The rate waits, and not the gate.
            PauseReason::Pace { .. } => assert!(learns, "{notice:?}"),
            PauseReason::Stated { .. } | PauseReason::Backoff { .. } | PauseReason::Outage => {
                // Of a probe that is out, the model does not know whether it still is one.
                scope.gate = match scope.gate {
                    Gate::Probing(_) | Gate::Unsure => Gate::Unsure,
                    _ => Gate::Closed,
                };
                scope.gate_until = *until;
            }
        }
        (scope.paused_at, scope.awaiting) = (sent, None);
    }

    pub(crate) fn sent(&mut self, id: AttemptId, token: Option<Generation>, now: Instant) {
        let request = self.requests.get_mut(&id.request).expect("it was accepted");
        assert_eq!(request.phase, Phase::Waiting, "law 3: nobody is sent twice at once");
        request.phase = Phase::Flying;
        request.sends += 1;
        assert_eq!(id.number, request.sends);
        assert_eq!(request.auth, token.is_some());
        assert!(request.failures < self.config.max_attempts, "law 6: attempts are finite");
        assert!(request.replays <= 1, "law 5: one replay after a 401");
        assert!(request.deadline.is_none_or(|deadline| now < deadline), "law 6: deadlines");
        let request = request.clone();
        for name in &request.scopes {
            assert!(!self.held.contains(&Some(&**name)) && !self.held.contains(&None), "held");
            let pacing = self.pacing(name);
            let scope = self.scopes.entry(name.clone()).or_default();
            let until = scope.refused_until.max(scope.paused_until);
            assert!(now >= until, "law 1: never early: {name} until {until}");
            if let Some(since) = scope.awaiting.take() {
                assert!(now >= since + AWAITED, "law 1: nothing is let in in {name} since {since}");
                scope.paused_at = self.sent;
            }
            scope.sends.push(now);
            if let Pacing::Fixed(limit) = pacing {
                check_fixed(limit, &scope.sends);
            }
        }
        self.check_order(id.request, &request);
        self.check_classes(id.request, &request);
        let number = self.sent;
        let attempt = Attempt { number, answered: None, verdict: None, aborted: false };
        self.flying.insert(id, attempt);
        self.sent += 1;
        self.served[request.class as usize - 1] = self.sent;
        self.check_concurrency(&request);
        self.check_gates(id, &request, now);
    }

    pub(crate) fn finished(
        &mut self,
        id: RequestId,
        result: Result<(), RequestError>,
        now: Instant,
    ) {
        let request = self.requests.get_mut(&id).expect("it was accepted");
        assert!(!request.cancelled, "law 3: no end once cancelled");
        assert_eq!(request.finishes, 0, "law 3: one end");
        request.finishes = 1;
        request.phase = Phase::Over;
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
    pub(crate) fn over(&mut self, id: AttemptId) {
        self.flying.remove(&id).expect("it is in flight");
        for scope in self.scopes.values_mut().filter(|scope| scope.gate == Gate::Probing(id)) {
            scope.gate = Gate::Closed; // it ended without an answer
        }
        let flying = self.flying.keys().flat_map(|id| &self.requests[&id.request].scopes);
        let busy: BTreeSet<&String> = flying.collect();
        for (name, scope) in &mut self.scopes {
            if scope.gate == Gate::Unsure && !busy.contains(name) {
                scope.gate = Gate::Open;
            }
        }
        let request = self.requests.get_mut(&id.request).expect("it was accepted");
        if request.phase == Phase::Flying {
            request.phase = Phase::Waiting;
        }
    }

    pub(crate) fn check_rest(&self, now: Instant) {
        for (id, request) in &self.requests {
            if request.phase != Phase::Waiting || request.cancelled {
                continue;
            }
            for scope in &request.scopes {
                let until = self.scopes.get(scope).map_or(now, |scope| scope.refused_until);
                let wait = until.saturating_since(now);
                assert!(wait <= self.config.max_wait, "law 6: {id} waits {wait:?}");
                let reached = request.deadline.is_none_or(|deadline| until < deadline);
                assert!(reached, "law 6: {id} waits until {until}, beyond its deadline");
            }
        }
    }

    /// Is nothing pending in this scope, and was not for an hour?
    pub(crate) fn is_stale(&self, scope: &str, now: Instant) -> bool {
        let idle = Duration::from_secs(3600);
        self.scopes.get(scope).is_none_or(|scope| {
            let last = scope.sends.last().copied().unwrap_or_default();
            now >= scope.paused_until + idle && now >= last + idle
        })
    }

    /// Whoever needs no more than the one that was sent, and is older in its class, must not be
    /// waiting still. Where a pacer may keep a few for a lane whose backlog they end, that is so
    /// inside a lane.
    fn check_order(&self, id: RequestId, sent: &Request) {
        let paced = sent.scopes.iter().any(|scope| self.pacing(scope) != Pacing::Off);
        for (other_id, other) in &self.requests {
            let comparable = match paced {
                true => other.scopes == sent.scopes && other.auth == sent.auth,
                false => {
                    (sent.auth || !other.auth)
                        && other.scopes.iter().all(|scope| sent.scopes.contains(scope))
                }
            };
            let passed_over = *other_id != id
                && comparable
                && other.phase == Phase::Waiting
                && !other.vague
                && other.class == sent.class
                && other.order < sent.order;
            assert!(!passed_over, "law 4: {id} left before {other_id}");
        }
    }

    /// A class goes before a more urgent one that waits for the same only if it is owed.
    fn check_classes(&self, id: RequestId, sent: &Request) {
        let passes = self.requests.values().any(|other| {
            other.phase == Phase::Waiting
                && !other.vague
                && (other.class as usize) < sent.class as usize
                && other.scopes == sent.scopes
                && other.auth == sent.auth
        });
        let others = self.sent - self.served[sent.class as usize - 1];
        let owed = others + 1 >= self.config.fair_share as usize;
        assert!(!passes || owed, "law 4: {id} left before a more urgent one, after {others}");
    }

    /// One probe, then a ramp.
    fn check_gates(&mut self, id: AttemptId, sent: &Request, now: Instant) {
        for name in &sent.scopes {
            let flying = self.flying.keys();
            let in_scope = |id: &&AttemptId| self.requests[&id.request].scopes.contains(name);
            let flying = flying.filter(in_scope).count();
            let scope = self.scopes.entry(name.clone()).or_default();
            let stale = now >= scope.gate_until + Duration::from_secs(3600);
            match scope.gate {
                _ if stale => scope.gate = Gate::Unsure, // it may have been forgotten
                Gate::Open | Gate::Unsure => {}
                Gate::Closed => scope.gate = Gate::Probing(id),
                Gate::Probing(probe) => panic!("{name}: {probe} is the probe, {id} is not"),
                Gate::Ramp(most) => assert!(flying <= most, "{name}: {flying} of {most}"),
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

    fn limit(&self, scope: &str) -> usize {
        (match scope {
            LIMITED => self.config.concurrency.min(LIMITED_TO),
            "poll" => POLLS,
            _ => self.config.concurrency,
        }) as usize
    }

    fn pacing(&self, scope: &str) -> Pacing {
        let known = self.config.scopes.iter().find(|known| known.name == scope);
        known.and_then(|known| known.pacing).unwrap_or(self.config.pacing)
    }

    fn learns(&self, scope: &str) -> bool {
        matches!(self.pacing(scope), Pacing::Learned | Pacing::Seeded(_))
    }
}

/// A limit that is fixed is kept to by every attempt. Of windows, two may touch in any such time.
fn check_fixed(limit: KnownLimit, sends: &[Instant]) {
    let now = *sends.last().expect("one was sent just now");
    let since = sends.partition_point(|sent| now.saturating_since(*sent) >= limit.per);
    let sent = (sends.len() - since) as u64;
    let most = match limit.burst {
        None => 2 * u64::from(limit.requests),
        Some(burst) => u64::from(limit.requests) + u64::from(burst),
    };
    assert!(sent <= most, "{sent} in {:?}: {limit:?}", limit.per);
}
