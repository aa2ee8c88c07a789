//! One sending of a request, from its `Send` until the host reports it over: what its answer
//! means for the scopes, for the token and for the request.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::time::Duration;

use crate::config::{DRAIN_TIMEOUT, MAX_SCOPES};
use crate::engine::{Engine, MAX_HOPS};
use crate::error::RequestError;
use crate::event::{
    AttemptId, Failure, Generation, Head, Notice, Output, PauseReason, Verdict, Wake,
};
use crate::gate::{Opening, Pause};
use crate::pacer::{Announcement, Refusal};
use crate::retry::{Judgement, error_of, judge};
use crate::scope::{LaneKey, Scope, Stub};
use crate::signals::Signals;
use crate::time::Instant;

/// An attempt that holds a slot.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) slot: u32,
    pub(crate) id: AttemptId,
    pub(crate) lane: u32,
    pub(crate) stubs: [Stub; MAX_SCOPES],
    pub(crate) token: Option<Generation>,
    pub(crate) timer: Option<Instant>,
    pub(crate) progress: Progress,
    /// The host was told to end it.
    pub(crate) aborted: bool,
    /// It was ended for taking too long.
    pub(crate) timed_out: bool,
}

/// How far an attempt is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Progress {
    /// No answer yet.
    Sent,
    /// Answered after it was aborted: nobody wants the answer, but the server is there.
    AnsweredLate,
    /// Its answer is the request's result, and is being read.
    Reading(Result<(), RequestError>),
    /// Nobody wants its answer, which is being drained; then this happens.
    Draining(Then),
}

/// What happens to a request after an answer that is not its result.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Then {
    Requeue,
    /// It waits alone until then.
    Alone(Instant),
    Fail(RequestError),
}

/// The attempts that hold a slot, each in a place of its own.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    places: Vec<Option<Attempt>>,
    free: Vec<u32>,
}

impl Attempts {
    pub(crate) fn insert(&mut self, attempt: Attempt) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(attempt);
                place
            }
            None => {
                self.places.push(Some(attempt));
                (self.places.len() - 1) as u32
            }
        }
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut Attempt> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The error that an attempt's answer was, if that is known and only its body is missing.
    pub(crate) fn settled_error(&self, place: u32) -> Option<RequestError> {
        match &self.places.get(place as usize)?.as_ref()?.progress {
            Progress::Reading(Err(error)) | Progress::Draining(Then::Fail(error)) => {
                Some(error.clone())
            }
            _ => None,
        }
    }

    fn get(&self, place: u32) -> Option<&Attempt> {
        self.places.get(place as usize)?.as_ref()
    }

    fn remove(&mut self, place: u32) {
        if let Some(attempt @ Some(_)) = self.places.get_mut(place as usize) {
            *attempt = None;
            self.free.push(place);
        }
    }
}

impl Engine {
    /// The head of an answer arrived.
    pub(crate) fn head(&mut self, id: AttemptId, head: Head<'_>) {
        let Some(place) = self.find_attempt(id) else {
            return;
        };
        let Some(attempt) = self.attempts.get(place) else {
            return;
        };
        let (aborted, slot) = (attempt.aborted, attempt.slot);
        if attempt.progress != Progress::Sent {
            return;
        }
        let signals = Signals::read(head.headers, head.status, self.now.wall, &self.config.reading);
        let judgement = judge(head.status, &signals);
        self.learn(place, head.status, judgement, &signals);
        if aborted {
            self.set_progress(place, Progress::AnsweredLate);
            return;
        }
        let streams = self.queue.get(slot).is_some_and(|request| request.stream);
        let (verdict, progress) = match self.consequence(place, head, judgement, &signals) {
            Consequence::Deliver if streams => {
                self.outputs.push_back(Output::Body { attempt: id, verdict: Verdict::Stream });
                self.free_slot(place);
                self.finish(slot, Ok(()));
                return;
            }
            Consequence::Deliver => (Verdict::Read, Progress::Reading(Ok(()))),
            Consequence::Fail(error) => (Verdict::Read, Progress::Reading(Err(error))),
            Consequence::Drain(then) => (Verdict::Drain, Progress::Draining(then)),
            Consequence::Follow => (Verdict::Follow, Progress::Draining(Then::Requeue)),
        };
        if let Progress::Draining(_) = progress {
            self.set_attempt_timer(place, Some(self.now.instant + DRAIN_TIMEOUT));
        }
        self.set_progress(place, progress);
        self.outputs.push_back(Output::Body { attempt: id, verdict });
    }

    /// The host reports an attempt over: completely answered, or not.
    pub(crate) fn attempt_over(&mut self, id: AttemptId, outcome: Result<(), Failure>) {
        let Some(place) = self.find_attempt(id) else {
            return;
        };
        if self.attempts.get(place).is_some_and(|attempt| attempt.progress == Progress::Sent) {
            self.unanswered(place, outcome);
        }
        let Some(attempt) = self.attempts.get_mut(place) else {
            return;
        };
        let (slot, timed_out) = (attempt.slot, attempt.timed_out);
        let progress = core::mem::replace(&mut attempt.progress, Progress::Sent);
        self.free_slot(place);
        if self.queue.get(slot).is_some_and(|request| request.ended) {
            self.forget(slot);
            return;
        }
        match (progress, outcome) {
            (Progress::Draining(Then::Requeue), _) => self.requeue(slot),
            (Progress::Draining(Then::Alone(due)), _) => self.wait_alone(slot, due),
            (Progress::Draining(Then::Fail(error)), _) => self.finish(slot, Err(error)),
            (Progress::Reading(Err(error)), _) => self.finish(slot, Err(error)),
            (Progress::Reading(Ok(())), Ok(())) => self.finish(slot, Ok(())),
            (_, _) if timed_out => {
                // It may have been processed, as with a lost connection.
                self.no_answer(slot, Failure::Reset, RequestError::AttemptTimeout);
            }
            (_, outcome) => {
                // Complete without a head, or aborted unasked (a panic in the host): it is lost.
                let failure = match outcome {
                    Ok(()) | Err(Failure::Aborted) => Failure::Reset,
                    Err(failure) => failure,
                };
                self.no_answer(slot, failure, RequestError::Network { failure });
            }
        }
    }

    /// An attempt takes longer than it may.
    pub(crate) fn attempt_timed_out(&mut self, place: u32) {
        let Some(attempt) = self.attempts.get_mut(place) else {
            return;
        };
        attempt.timer = None;
        attempt.timed_out = !matches!(attempt.progress, Progress::Draining(_));
        self.abort(place);
    }

    /// Tells the host to end an attempt. It holds its slot until the host reports it over.
    pub(crate) fn abort(&mut self, place: u32) {
        self.set_attempt_timer(place, None);
        let Some(attempt) = self.attempts.get_mut(place) else {
            return;
        };
        if !attempt.aborted {
            attempt.aborted = true;
            let attempt = attempt.id;
            self.outputs.push_back(Output::Abort { attempt });
        }
    }

    /// What an answer means for its request.
    fn consequence(
        &mut self,
        place: u32,
        head: Head<'_>,
        judgement: Judgement,
        signals: &Signals,
    ) -> Consequence {
        let (now, status) = (self.now.instant, head.status);
        let Some(attempt) = self.attempts.get(place) else {
            return Consequence::Deliver;
        };
        let (slot, lane, token) = (attempt.slot, attempt.lane, attempt.token);
        let Some(request) = self.queue.get_mut(slot) else {
            return Consequence::Deliver;
        };
        let allowed = judgement.allows(status, request.replay);
        match judgement {
            Judgement::Deliver
                if head.redirect && (300..400).contains(&status) && request.hops < MAX_HOPS =>
            {
                request.hops += 1;
                Consequence::Follow
            }
            Judgement::Deliver => Consequence::Deliver,
            Judgement::Failed => Consequence::Fail(error_of(status, None)),
            Judgement::Throttled => {
                request.throttled = NonZeroU16::new(status);
                let refused = || match (status, self.rate_limited(slot)) {
                    (503, RequestError::RateLimited { retry_at, .. }) => {
                        RequestError::Server { status, retry_at: Some(retry_at) }
                    }
                    (_, error) => error,
                };
                let error = if allowed { self.cannot_wait(slot) } else { Some(refused()) };
                Consequence::Drain(error.map_or(Then::Requeue, Then::Fail))
            }
            Judgement::Unauthorized => {
                let scope = self.scopes.lane_key(lane).scopes().next();
                let helps = match (token, scope.map(|scope| &self.scopes.scope(scope).name)) {
                    (Some(token), Some(scope)) if request.reauthorized => {
                        // About this API, not about the token that others use.
                        self.token.denied(token, scope);
                        false
                    }
                    (Some(token), Some(scope)) => self.token.unauthorized(token, scope, now),
                    _ => false,
                };
                if helps && allowed {
                    request.reauthorized = true;
                    Consequence::Drain(Then::Requeue)
                } else {
                    Consequence::Fail(error_of(status, None))
                }
            }
            Judgement::Transient => {
                let stated = signals.wait.as_ref().map(|wait| wait.duration);
                match self.next_try(slot, stated).filter(|_| allowed) {
                    Some(due) => Consequence::Drain(Then::Alone(due)),
                    None => {
                        let believed = stated.filter(|wait| self.config.backoff.believes(*wait, 0));
                        Consequence::Fail(error_of(status, believed.map(|wait| now + wait)))
                    }
                }
            }
        }
    }

    /// What an answer says of its scopes and its token, whoever still wants it.
    fn learn(&mut self, place: u32, status: u16, judgement: Judgement, signals: &Signals) {
        let now = self.now.instant;
        let Some(attempt) = self.attempts.get(place) else {
            return;
        };
        let (lane, stubs, token) = (attempt.lane, attempt.stubs, attempt.token);
        // A gateway that is busy or down has not looked at the token.
        let looked_at = matches!(judgement, Judgement::Deliver | Judgement::Failed);
        let lane = self.scopes.lane_key(lane);
        if let (Some(token), true, Some(scope)) = (token, looked_at, lane.scopes().next()) {
            self.token.accepted(token, &self.scopes.scope(scope).name);
        }
        for (i, (scope, Stub { ticket, mark })) in lane.scopes().zip(stubs).enumerate() {
            if judgement != Judgement::Throttled {
                let it = self.scopes.scope_mut(scope);
                let limit = it.limit(self.config.concurrency);
                let changed = it.pacer.passed(mark, now);
                let opening = it.gate.answered(ticket, limit, now);
                if changed {
                    self.believes(scope);
                }
                self.opened(scope, opening);
            } else if i == 0 {
                self.counters.throttled += 1;
                self.refused(scope, Stub { ticket, mark }, status, signals);
            } else {
                self.scopes.scope_mut(scope).gate.refused_elsewhere(ticket);
            }
        }
        if judgement != Judgement::Throttled {
            self.announced(lane, stubs, signals);
            // Each scope once, however many limits a server lists.
            let mut longest = [Duration::ZERO; MAX_SCOPES];
            for (name, reset) in signals.spent() {
                let named = |scope: u32| Some(&*self.scopes.scope(scope).name) == name;
                let at = lane.scopes().position(named).unwrap_or(0);
                longest[at] = longest[at].max(reset);
            }
            for (scope, reset) in lane.scopes().zip(longest) {
                if reset.is_zero() {
                    continue;
                }
                self.credit_turns(scope);
                let pacer = &mut self.scopes.scope_mut(scope).pacer;
                if let Some(until) = pacer.announce_spent(now + reset, now) {
                    self.closed(scope, until, PauseReason::Budget, 0);
                }
            }
        }
        for scope in lane.scopes() {
            self.sync_scope(scope);
        }
    }

    /// An answer announced what is left.
    fn announced(&mut self, lane: LaneKey, stubs: [Stub; MAX_SCOPES], signals: &Signals) {
        let now = self.now.instant;
        let least = signals.limits.iter().filter(|limit| limit.counts_requests);
        let least = least.filter(|limit| limit.remaining.is_some() && limit.reset.is_some());
        let Some(limit) = least.min_by_key(|limit| limit.remaining) else {
            return;
        };
        let (Some(remaining), Some(reset)) = (limit.remaining, limit.reset) else {
            return; // not reached
        };
        let mut policies = signals.policies.iter();
        let policy = policies.find(|policy| policy.counts_requests() && policy.name == limit.name);
        let quota = limit.quota.or(policy.map(|policy| policy.quota));
        let window = policy.and_then(|policy| policy.window).map(Duration::from_secs);
        let name = limit.name.as_deref();
        let named = |(scope, _): &(u32, Stub)| Some(&*self.scopes.scope(*scope).name) == name;
        let mut scopes = lane.scopes().zip(stubs);
        let Some((scope, stub)) = scopes.find(named).or_else(|| lane.scopes().zip(stubs).next())
        else {
            return; // not reached: a lane has a scope
        };
        let said = Announcement { remaining, reset, quota, window };
        let index = scope;
        let scope = self.scopes.scope_mut(scope);
        let others = scope.in_flight.saturating_sub(1);
        if scope.pacer.announce(stub.mark, said, others, now) {
            self.believes(index);
        }
    }

    fn refused(&mut self, scope: u32, stub: Stub, status: u16, signals: &Signals) {
        self.credit_turns(scope);
        let stated = signals.wait.as_ref().map(|wait| wait.duration);
        let Engine { rng, config, scopes, now, .. } = self;
        let believed = stated.filter(|wait| config.backoff.believes(*wait, 0));
        let Scope { gate, pacer, in_flight, .. } = scopes.scope_mut(scope);
        let backoff = config.backoff.bare(0);
        if believed.is_none()
            && let Some(rest) = pacer.rest(stub.mark, stated, *in_flight, now.instant, backoff)
        {
            gate.refused_elsewhere(stub.ticket);
            let opens = now.instant + rest;
            let refusal = Refusal { stated: None, in_flight: *in_flight, opens, explained: true };
            if pacer.refused(stub.mark, refusal, now.instant, now.wall) {
                if !pacer.awaits() {
                    self.closed(scope, opens, PauseReason::Pace { status }, 1);
                }
                self.believes(scope);
            }
            return;
        }
        let draw = || crate::backoff::Chance::draw(rng);
        if let Some(pause) = gate.throttled(stub.ticket, stated, now.instant, &config.backoff, draw)
        {
            let reason = match pause.stated {
                true => PauseReason::Stated { status },
                false => PauseReason::Backoff { status },
            };
            self.closed(scope, pause.until, reason, pause.attempt);
        }
        let Engine { config, scopes, now, .. } = self;
        let index = scope;
        let scope = scopes.scope_mut(scope);
        let stated = stated.filter(|wait| config.backoff.believes(*wait, 0));
        let (in_flight, opens) = (scope.in_flight, scope.gate.not_before());
        let refusal = Refusal { stated, in_flight, opens, explained: false };
        if scope.pacer.refused(stub.mark, refusal, now.instant, now.wall) {
            self.believes(index);
        }
    }

    pub(crate) fn believes(&mut self, scope: u32) {
        let Scope { name, pacer, .. } = self.scopes.scope(scope);
        let notice = Notice::Believes { scope: name.clone(), belief: Box::new(pacer.belief()) };
        self.notice(notice);
    }

    /// An attempt ended without any answer.
    fn unanswered(&mut self, place: u32, outcome: Result<(), Failure>) {
        let Some(attempt) = self.attempts.get(place) else {
            return;
        };
        let (lane, stubs) = (attempt.lane, attempt.stubs);
        let silent = match outcome {
            Err(Failure::Unsendable | Failure::TooLarge) => false,
            Err(Failure::Aborted) => attempt.timed_out || !attempt.aborted,
            Ok(()) | Err(_) => true,
        };
        for (scope, Stub { ticket, .. }) in self.scopes.lane_key(lane).scopes().zip(stubs) {
            self.credit_turns(scope);
            let limit = self.scopes.scope(scope).limit(self.config.concurrency);
            let Engine { rng, config, scopes, now, .. } = self;
            let gate = &mut scopes.scope_mut(scope).gate;
            if !silent {
                gate.given_up(ticket);
                continue;
            }
            let draw = || crate::backoff::Chance::draw(rng);
            let pause = gate.failed(ticket, limit, now.instant, &config.backoff, draw);
            if let Some(Pause { until, attempt, .. }) = pause {
                self.closed(scope, until, PauseReason::Outage, attempt);
            }
        }
    }

    /// A request's attempt drew no complete answer.
    fn no_answer(&mut self, slot: u32, failure: Failure, error: RequestError) {
        let Some(request) = self.queue.get(slot) else {
            return;
        };
        let allowed = failure.allows(request.replay);
        match self.next_try(slot, None).filter(|_| allowed) {
            Some(due) => self.wait_alone(slot, due),
            None => self.finish(slot, Err(error)),
        }
    }

    fn opened(&mut self, scope: u32, opening: Option<Opening>) {
        let name = || self.scopes.scope(scope).name.clone();
        match opening {
            None => {}
            Some(Opening::Reopened) => self.notice(Notice::Reopened { scope: name() }),
            Some(Opening::Recovered) => self.notice(Notice::Recovered { scope: name() }),
        }
    }

    /// A scope is closed until a later moment than before: who cannot wait so long ends.
    fn closed(&mut self, scope: u32, until: Instant, reason: PauseReason, attempt: u32) {
        let now = self.now.instant;
        let closed = self.scopes.scope_mut(scope);
        if closed.is_news(until, attempt, now) {
            let (scope, wait) = (closed.name.clone(), until.saturating_since(now));
            self.notice(Notice::Paused { scope, wait, until, reason, attempt });
        }
        self.look_again(scope);
        let stated = self.scopes.scope(scope).stated_until().saturating_since(self.now.instant);
        let here = |slot: &u32| {
            let mut scopes = self.scopes.lane_key(self.queue.lane_of(*slot)).scopes();
            let waits = self.queue.get(*slot).is_some_and(|request| request.in_flight().is_none());
            waits && scopes.any(|other| other == scope)
        };
        let waiting: Vec<u32> = if stated > self.config.max_wait || until == Instant::FAR {
            self.queue.slots().filter(here).collect()
        } else {
            let returned = self.scopes.scope(scope).lanes().iter();
            let returned = returned.flat_map(|lane| self.queue.returned(*lane));
            self.timers.deadlines_until(until).filter(here).chain(returned).collect()
        };
        for slot in waiting {
            if let Some(error) = self.cannot_wait(slot) {
                self.finish(slot, Err(error));
            }
        }
    }

    /// Waiting for a turn is free; the turn of those who wait here ends when the scope closes.
    fn credit_turns(&mut self, scope: u32) {
        let now = self.now.instant;
        let lanes = self.scopes.scope(scope).lanes().iter();
        let waiting: Vec<u32> = lanes.flat_map(|lane| self.queue.returned(*lane)).collect();
        for slot in waiting {
            let turn_since = self.scopes.opened_at(self.queue.lane_of(slot));
            if let Some(request) = self.queue.get_mut(slot) {
                request.retry_until += now.saturating_since(request.since.max(turn_since));
                request.since = now;
            }
        }
    }

    fn rate_limited(&self, slot: u32) -> RequestError {
        let now = self.now.instant;
        let retry_at = self.scopes.closed_until(self.queue.lane_of(slot), now).unwrap_or(now);
        let status = self.queue.get(slot).and_then(|request| request.throttled());
        RequestError::RateLimited { retry_at, status }
    }

    /// The attempt holds no slot any more.
    fn free_slot(&mut self, place: u32) {
        let Some(attempt) = self.attempts.get_mut(place) else {
            return;
        };
        let (slot, lane) = (attempt.slot, attempt.lane);
        self.timers.put(&mut attempt.timer, None, Wake::AttemptTimeout, place);
        self.attempts.remove(place);
        if let Some(request) = self.queue.get_mut(slot) {
            request.set_in_flight(None);
        }
        if !self.queue.is_apart(lane) {
            self.slots -= 1;
        }
        for scope in self.scopes.lane_key(lane).scopes() {
            self.scopes.scope_mut(scope).in_flight -= 1;
            self.sync_scope(scope);
        }
    }

    fn find_attempt(&self, id: AttemptId) -> Option<u32> {
        let place = self.queue.find(id.request)?.in_flight()?;
        self.attempts.get(place).filter(|attempt| attempt.id == id).map(|_| place)
    }

    fn set_progress(&mut self, place: u32, progress: Progress) {
        if let Some(attempt) = self.attempts.get_mut(place) {
            attempt.progress = progress;
        }
    }

    fn set_attempt_timer(&mut self, place: u32, at: Option<Instant>) {
        if let Some(attempt) = self.attempts.get_mut(place) {
            self.timers.put(&mut attempt.timer, at, Wake::AttemptTimeout, place);
        }
    }
}

/// What an answer means for its request.
enum Consequence {
    Deliver,
    Fail(RequestError),
    Drain(Then),
    Follow,
}
