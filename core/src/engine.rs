//! Wiring only: commands and inputs in, outputs out. What is decided is decided in the other
//! files; here it is put together.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::attempt::Attempts;
use crate::backoff::Chance;
use crate::budget::RetryBudget;
use crate::config::{Config, DEFAULT_SCOPE, MAX_SCOPES};
use crate::error::{ConfigError, RequestError, SubmitError};
use crate::event::{Input, Job, Notice, Output, Priority, Replay, RequestId, Wake};
use crate::key_set::KeySet;
use crate::pacer::Belief;
use crate::queue::{FairShare, Queue};
use crate::scope::Scopes;
use crate::time::{Instant, Now, nanos};
use crate::timer::Timers;
use crate::token::{Need, Token};
use crate::token_fetch::TOKEN_FETCH;

/// Hops of redirects that one request follows at most, as browsers do (Fetch standard §4.4).
pub(crate) const MAX_HOPS: u8 = 20;

/// The engine. See the [crate's front page](crate) for the loop that drives it.
///
/// *Commands* are [`submit`](Self::submit), [`cancel`](Self::cancel), [`pause`](Self::pause),
/// [`resume`](Self::resume), [`set_concurrency`](Self::set_concurrency) and
/// [`close`](Self::close). What the host saw goes in by [`handle_input`](Self::handle_input) and
/// [`handle_timeout`](Self::handle_timeout). After each of these calls, first
/// [`poll_output`](Self::poll_output) until it is `None`, then ask
/// [`poll_timeout`](Self::poll_timeout) when to call `handle_timeout`.
///
/// No call fails on late or unexpected input, and none blocks, panics or looks at a clock.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) rng: Xoshiro256PlusPlus,
    pub(crate) queue: Queue<Request>,
    pub(crate) fair: FairShare,
    pub(crate) scopes: Scopes,
    pub(crate) attempts: Attempts,
    /// Attempts that hold one of the client's slots.
    pub(crate) slots: u32,
    pub(crate) token: Token,
    pub(crate) token_timer: Option<Instant>,
    pub(crate) token_timeout: Option<Instant>,
    pub(crate) budget: RetryBudget,
    /// Failed requests whose wait is over, but not paid for: by class, then age.
    pub(crate) unpaid: KeySet,
    pub(crate) budget_timer: Option<Instant>,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    held: bool,
    phase: Phase,
    pub(crate) counters: Counters,
}

/// What the engine keeps of a request. URLs, bodies and answers are the host's.
#[derive(Debug)]
pub(crate) struct Request {
    /// `Instant::FAR`: none.
    pub(crate) deadline: Instant,
    /// Where it waits alone: when it rejoins. Else when it was queued last.
    pub(crate) since: Instant,
    /// Retrying ends then; known from the first send on.
    pub(crate) retry_until: Instant,
    /// Nanoseconds; `u64::MAX` is none.
    pub(crate) attempt_timeout: u64,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    /// The place of the attempt that is in flight, or `NOT_IN_FLIGHT`.
    in_flight: u32,
    /// The status of its last throttled answer.
    pub(crate) throttled: Option<NonZeroU16>,
    pub(crate) hops: u8,
    pub(crate) replay: Replay,
    pub(crate) stream: bool,
    /// It was replayed after a 401.
    pub(crate) reauthorized: bool,
    pub(crate) alone: Alone,
    /// Its end was told, or it was cancelled: it is kept only until its attempt is over.
    pub(crate) ended: bool,
}

const NOT_IN_FLIGHT: u32 = u32::MAX;

impl Request {
    pub(crate) fn set_in_flight(&mut self, attempt: Option<u32>) {
        self.in_flight = attempt.unwrap_or(NOT_IN_FLIGHT);
    }

    pub(crate) fn in_flight(&self) -> Option<u32> {
        (self.in_flight != NOT_IN_FLIGHT).then_some(self.in_flight)
    }

    pub(crate) fn throttled(&self) -> Option<u16> {
        self.throttled.map(NonZeroU16::get)
    }
}

/// Is a request waiting outside the queue after a failure?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alone {
    No,
    /// Until [`Request::since`].
    Backoff,
    /// Until the retry budget pays for it.
    Unpaid,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Open,
    Draining,
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) alone: u64,
    pub(crate) sends: u64,
    pub(crate) throttled: u64,
    pub(crate) retries: u64,
    pub(crate) token_fetches: u64,
    pub(crate) finished: u64,
    pub(crate) cancelled: u64,
}

/// The engine's state at one moment.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests that wait for their turn, by class, HIGH first.
    pub queued: [u64; 3],
    /// Failed requests that wait alone for their next attempt.
    pub waiting: u64,
    /// Attempts that hold a slot.
    pub in_flight: u64,
    /// Attempts started so far.
    pub sends: u64,
    /// Answers so far that were throttles.
    pub throttled: u64,
    /// Attempts so far that were not a request's first.
    pub retries: u64,
    /// Token fetches started so far.
    pub token_fetches: u64,
    /// Requests that ended so far, cancelled ones not counted.
    pub finished: u64,
    /// Requests that were cancelled so far.
    pub cancelled: u64,
    /// Every scope that is known now, by name.
    pub scopes: Vec<ScopeStats>,
}

/// A scope's state at one moment.
#[derive(Clone, Debug)]
pub struct ScopeStats {
    /// Its name.
    pub name: Arc<str>,
    /// The moment at which it opens, if it is closed: by a refusal, an outage or a spent budget.
    pub closed_until: Option<Instant>,
    /// Held by [`Engine::pause`].
    pub held: bool,
    /// Attempts in flight.
    pub in_flight: u32,
    /// What its server is believed to allow.
    pub belief: Belief,
}

impl Engine {
    /// An engine with these settings. All its randomness comes from `seed`.
    ///
    /// # Errors
    ///
    /// A setting out of its range, by name.
    pub fn new(config: Config, seed: u64, now: Now) -> Result<Engine, ConfigError> {
        config.check()?;
        Ok(Engine {
            scopes: Scopes::new(DEFAULT_SCOPE, &config.scopes, config.pacing),
            config,
            now,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            queue: Queue::new(),
            fair: FairShare::default(),
            attempts: Attempts::default(),
            slots: 0,
            token: Token::new(),
            token_timer: None,
            token_timeout: None,
            budget: RetryBudget::new(now.instant),
            unpaid: KeySet::default(),
            budget_timer: None,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            held: false,
            phase: Phase::Open,
            counters: Counters::default(),
        })
    }

    /// Accepts a request. It will get exactly one [`Output::Finish`], unless it is cancelled.
    ///
    /// # Errors
    ///
    /// The queue is full, the engine is closing, or the job's scopes make no sense. Nothing is
    /// kept of a request that was not accepted.
    pub fn submit(&mut self, job: Job<'_>, now: Now) -> Result<RequestId, SubmitError> {
        self.advance(now);
        if self.phase != Phase::Open {
            return Err(SubmitError::Closed);
        }
        check_scopes(job.scopes)?;
        let waiting = self.queue.waiting();
        if waiting + self.counters.alone >= u64::from(self.config.queue_limit) {
            return Err(SubmitError::QueueFull { limit: self.config.queue_limit });
        }
        let instant = self.now.instant;
        let lane = self.lane(job.scopes, job.auth);
        let deadline = job.deadline.map_or(Instant::FAR, |limit| instant + limit);
        let attempt_timeout = job.attempt_timeout.unwrap_or(self.config.attempt_timeout);
        let request = Request {
            deadline,
            since: instant,
            retry_until: Instant::FAR,
            attempt_timeout: nanos(attempt_timeout),
            attempts: 0,
            in_flight: NOT_IN_FLIGHT,
            failures: 0,
            throttled: None,
            hops: 0,
            replay: job.replay,
            stream: job.stream,
            reauthorized: false,
            alone: Alone::No,
            ended: false,
        };
        let id = self.queue.insert(lane, job.priority, request);
        self.timers.set(deadline, Wake::Deadline, id.slot());
        match self.cannot_wait(id.slot()) {
            Some(error) => self.finish(id.slot(), Err(error)),
            None if waiting == 0 && self.may_send_at_once(lane, job.priority) => {
                self.send_alone(lane, id.slot(), job.priority);
            }
            None => self.queue.push(id.slot()),
        }
        self.settle();
        Ok(id)
    }

    /// Gives up a request: it gets no [`Output::Finish`]. An attempt in flight is aborted, and
    /// holds its slot until the host reports it over. Does nothing if the request is over.
    pub fn cancel(&mut self, id: RequestId, now: Now) {
        self.advance(now);
        if let Some(slot) = self.live(id) {
            self.counters.cancelled += 1;
            self.end(slot);
        }
        self.settle();
    }

    /// Holds one scope, or everything: nothing more is sent there until [`resume`](Self::resume).
    /// Attempts in flight finish, requests are accepted, deadlines run. Once the engine is closing
    /// there is nothing to hold, and this does nothing.
    pub fn pause(&mut self, scope: Option<&str>, now: Now) {
        self.advance(now);
        match scope {
            _ if self.phase != Phase::Open => {}
            None => self.held = true,
            Some(name) => {
                let scope = self.scopes.find_or_add(name, self.now.instant);
                self.scopes.scope_mut(scope).held = true;
                self.look_again(scope);
            }
        }
        self.settle();
    }

    /// Lifts the hold of [`pause`](Self::pause) on that scope, or the one on everything: never
    /// a server's deadline, and never another hold.
    pub fn resume(&mut self, scope: Option<&str>, now: Now) {
        self.advance(now);
        match scope {
            None => self.held = false,
            Some(name) => {
                if let Some(scope) = self.scopes.find(name) {
                    self.scopes.scope_mut(scope).held = false;
                    self.sync_scope(scope);
                    self.scopes.forget_idle(scope, self.now.instant);
                }
            }
        }
        self.settle();
    }

    /// Changes the number of attempts that may be in flight at once. What is in flight stays.
    ///
    /// # Errors
    ///
    /// Zero, or more than 65 535.
    pub fn set_concurrency(&mut self, concurrency: u32, now: Now) -> Result<(), ConfigError> {
        Config { concurrency, ..Config::default() }.check()?;
        self.advance(now);
        self.config.concurrency = concurrency;
        let scopes: Vec<u32> = self.scopes.iter().map(|(scope, _)| scope).collect();
        for scope in scopes {
            let limit = self.scopes.scope(scope).limit(concurrency);
            self.scopes.scope_mut(scope).gate.limit_changed(limit);
            self.sync_scope(scope);
        }
        self.settle();
        Ok(())
    }

    /// Accepts no more requests. With `drain`, those that were accepted run to their ends, and
    /// all holds are lifted; without, each ends now as [`RequestError::Closed`]. A drain can be
    /// cut short by another call without it.
    pub fn close(&mut self, drain: bool, now: Now) {
        self.advance(now);
        self.held = false;
        if drain {
            self.phase = self.phase.max(Phase::Draining);
            let held: Vec<u32> = self
                .scopes
                .iter()
                .filter(|(_, scope)| scope.held)
                .map(|(scope, _)| scope)
                .collect();
            for scope in held {
                self.scopes.scope_mut(scope).held = false;
                self.sync_scope(scope);
                self.scopes.forget_idle(scope, self.now.instant);
            }
        } else {
            self.phase = Phase::Closed;
            for slot in self.queue.slots().collect::<Vec<_>>() {
                self.finish(slot, Err(RequestError::Closed));
            }
            self.abort_token_fetch();
        }
        self.settle();
    }

    /// Takes in what the host saw. About something that is over it does nothing.
    pub fn handle_input(&mut self, input: Input<'_>, now: Now) {
        self.advance(now);
        match input {
            Input::Head { attempt, head } => self.head(attempt, head),
            Input::Done { attempt } => self.attempt_over(attempt, Ok(())),
            Input::Failed { attempt, failure } => self.attempt_over(attempt, Err(failure)),
            Input::Token { generation, lifetime } => self.token_fetched(generation, lifetime),
            Input::TokenFailed { generation, failure, headers } => {
                self.token_failed(generation, failure, headers);
            }
        }
        self.settle();
    }

    /// To be called when the moment that [`poll_timeout`](Self::poll_timeout) names has come. A
    /// call too early changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.settle();
    }

    /// The next thing that the host must do. Ask until it is `None` before any other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. Always later
    /// than the last `now`.
    pub fn poll_timeout(&self) -> Option<(Instant, Wake)> {
        self.timers.next()
    }

    /// Has everything ended? No accepted request is left, and no attempt or token fetch is out.
    pub fn is_idle(&self) -> bool {
        self.queue.len() == 0 && self.attempts.is_empty() && self.token.fetching().is_none()
    }

    /// Counters, and what is known of each scope.
    pub fn stats(&self) -> Stats {
        let now = self.now.instant;
        let scopes = self.scopes.iter().map(|(_, scope)| ScopeStats {
            name: scope.name.clone(),
            closed_until: scope.closed_until(now),
            held: scope.held,
            in_flight: scope.in_flight,
            belief: scope.pacer.belief(),
        });
        Stats {
            queued: self.queue.queued().map(u64::from),
            waiting: self.counters.alone,
            in_flight: self.attempts.len() as u64,
            sends: self.counters.sends,
            throttled: self.counters.throttled,
            retries: self.counters.retries,
            token_fetches: self.counters.token_fetches,
            finished: self.counters.finished,
            cancelled: self.counters.cancelled,
            scopes: scopes.collect(),
        }
    }

    /// Is everything held?
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) fn draw(&mut self) -> Chance {
        Chance::draw(&mut self.rng)
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }

    /// The place of a request that has not ended.
    pub(crate) fn live(&self, id: RequestId) -> Option<u32> {
        self.queue.find(id).filter(|request| !request.ended).map(|_| id.slot())
    }

    /// Tells a request's end. Does nothing if that was told already.
    pub(crate) fn finish(&mut self, slot: u32, result: Result<(), RequestError>) {
        if self.queue.get(slot).is_none_or(|request| request.ended) {
            return;
        }
        let id = self.queue.id(slot);
        self.counters.finished += 1;
        self.outputs.push_back(Output::Finish { id, result });
        self.end(slot);
    }

    /// Lets go of a request wherever it is. If an attempt is out, it is aborted, and what must be
    /// known until that is over is kept.
    fn end(&mut self, slot: u32) {
        self.leave_alone(slot);
        self.queue.withdraw(slot);
        let Some(request) = self.queue.get_mut(slot) else {
            return;
        };
        request.ended = true;
        let (deadline, in_flight) = (request.deadline, request.in_flight());
        self.timers.clear(deadline, Wake::Deadline, slot);
        match in_flight {
            Some(attempt) => self.abort(attempt),
            None => self.forget(slot),
        }
    }

    /// Frees a request's place, and its lane if that was the last one in it.
    pub(crate) fn forget(&mut self, slot: u32) {
        let Some(lane) = self.queue.remove(slot) else {
            return;
        };
        if self.queue.lane_is_empty(lane) {
            let scopes = self.scopes.lane_key(lane);
            self.scopes.remove_lane(lane, self.now.instant);
            self.queue.remove_lane(lane);
            for scope in scopes.scopes() {
                self.sync_scope(scope);
            }
            self.sync_token();
        } else if !self.queue.has_queued(lane) {
            self.unpark(lane);
        }
    }

    /// Why a request cannot wait for its scopes or for a token: a deadline of the server's lies
    /// beyond what it may wait, or beyond its own.
    pub(crate) fn cannot_wait(&self, slot: u32) -> Option<RequestError> {
        let now = self.now.instant;
        let request = self.queue.get(slot)?;
        let lane = self.queue.lane_of(slot);
        // What the server states is measured by itself, and own jitter is not held against it.
        let too_late = |at: Instant, stated: Instant| {
            stated.saturating_since(now) > self.config.max_wait
                || at >= request.deadline
                || at > request.retry_until
        };
        if let Some(retry_at) = self.scopes.closed_until(lane, now)
            && too_late(retry_at, self.scopes.stated_until(lane))
        {
            return Some(RequestError::RateLimited { retry_at, status: request.throttled() });
        }
        if !self.scopes.lane_key(lane).auth {
            return None;
        }
        match self.token.need(now) {
            Need::Refused(failure, at) => Some(RequestError::Token { failure, retry_at: Some(at) }),
            Need::At(at) if too_late(at, self.token.stated_until()) => {
                let (failure, _) = self.token.trouble(now)?;
                Some(RequestError::Token { failure, retry_at: Some(at) })
            }
            _ => None,
        }
    }

    /// Brings everything to rest: what is due happens, and what can be sent is sent.
    fn settle(&mut self) {
        loop {
            while let Some((wake, of)) = self.timers.pop_due(self.now.instant) {
                self.wake(wake, of);
            }
            if self.may_send() {
                self.dispatch();
            }
            // Sending may have set a timer that is due at once; being out of date, it is no loop.
            if !self.timers.is_due(self.now.instant) {
                return;
            }
        }
    }

    fn wake(&mut self, wake: Wake, of: u32) {
        match wake {
            Wake::Gate => {
                if let Some(scope) = self.scopes.get_mut(of) {
                    scope.timer = None;
                }
                self.sync_scope(of);
            }
            Wake::Token => {
                self.token_timer = None;
                self.sync_token();
            }
            Wake::AttemptTimeout if of == TOKEN_FETCH => self.token_fetch_timed_out(),
            Wake::AttemptTimeout => self.attempt_timed_out(of),
            Wake::Retry => self.rejoin(of),
            Wake::Budget => {
                self.budget_timer = None;
                self.pay();
            }
            Wake::Deadline => self.deadline_passed(of),
        }
    }

    fn deadline_passed(&mut self, slot: u32) {
        let Some(request) = self.queue.get(slot) else {
            return;
        };
        let settled = request.in_flight().and_then(|attempt| self.attempts.settled_error(attempt));
        let in_line = request.in_flight().is_none() && request.alone == Alone::No;
        // Does it lack nothing but a token? (Its lane may just have been let go to ask for one.)
        let lane = self.queue.lane_of(slot);
        let high = self.queue.class_of(slot) == Priority::High;
        let asker = self.asker(lane, high);
        let open = !self.held && self.scopes.blocking(lane, self.now.instant, asker).is_none();
        let waits_for_token = in_line && open && self.scopes.lane_key(lane).auth;
        let no_token = match waits_for_token {
            true => self.token.trouble(self.now.instant),
            false => None,
        };
        let error = match (settled, no_token) {
            (Some(error), _) => error,
            (None, Some((failure, at))) => {
                let retry_at = Some(at).filter(|at| *at > self.now.instant); // else it is out
                RequestError::Token { failure, retry_at }
            }
            (None, None) => RequestError::Deadline,
        };
        self.finish(slot, Err(error));
    }

    fn lane(&mut self, scopes: &[&str], auth: bool) -> u32 {
        let key = self.scopes.key(scopes, auth, self.now.instant);
        self.scopes.find_lane(key).unwrap_or_else(|| {
            let lane = self.queue.add_lane(self.scopes.is_apart(key));
            self.scopes.add_lane(lane, key);
            lane
        })
    }

    /// Time never goes back.
    fn advance(&mut self, now: Now) {
        self.now = Now::new(now.instant.max(self.now.instant), now.wall);
    }
}

fn check_scopes(scopes: &[&str]) -> Result<(), SubmitError> {
    let distinct = scopes.iter().enumerate().all(|(i, scope)| !scopes[..i].contains(scope));
    let named = scopes.iter().all(|scope| !scope.is_empty());
    match scopes.len() <= MAX_SCOPES && distinct && named {
        true => Ok(()),
        false => Err(SubmitError::Scopes),
    }
}
