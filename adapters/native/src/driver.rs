//! The driver: it performs the engine's outputs, reports its inputs, and decides nothing.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use cxone_core::{
    AttemptId, Engine, Failure, Generation, Input, Job, Now, Output, RequestError, RequestId,
    SubmitError, TokenFailure, is_signal_header,
};
use http::header::DATE;
use http::{HeaderMap, HeaderValue};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::attempt::{self, Attempt, End, Instruction};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::foreign::foreign;
use crate::home::Home;
use crate::hub::Hub;
use crate::ids::Requests;
use crate::line::{Line, Outcome, Work};
use crate::notice::Notice;
use crate::outgoing::Outgoing;
use crate::pending::{Caller, Pending};
use crate::response::Received;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::token::{self, Tokens, Trouble};

/// So many fields of a head need no room of their own.
const FEW_FIELDS: usize = 12;

/// What reaches the driver, one after the other, so that nothing overtakes anything.
pub(crate) enum Command {
    Submit(Arc<Outgoing>),
    Cancel(Arc<Outgoing>),
    Pause(Option<String>),
    Resume(Option<String>),
    SetConcurrency(u32),
    Stats(oneshot::Sender<Stats>),
    Close {
        drain: bool,
        closed: oneshot::Sender<()>,
    },
    /// The head of an answer, and who asks what to do with its body.
    Head(Ticket<AttemptId>, Box<Received>, oneshot::Sender<Instruction>),
    /// An attempt is over, and with it its use of a connection.
    Over(Ticket<AttemptId>, attempt::Over),
    Token(FetchId, token::Report),
    /// The keeper's timer rang.
    Time,
    /// A [moment](crate::home::MOMENT) has passed since that was asked for.
    Moment,
    /// Attempts run in this runtime from now on.
    Move(Arc<Home>),
    /// That runtime runs nothing any more.
    Lost(Arc<Home>),
}

/// An id, and the engine that gave it: a second one, after a panic, gives the same ids again.
#[derive(Clone, Copy)]
pub(crate) struct Ticket<T> {
    id: T,
    engine: u32,
}

/// Set when the engine has accepted a request. The driver alone reads and writes it.
#[derive(Default)]
pub(crate) struct RequestTicket {
    id: AtomicU64,
    /// 0: not set.
    engine: AtomicU32,
}

impl RequestTicket {
    fn set(&self, id: RequestId, engine: u32) {
        self.id.store(id.as_u64(), Ordering::Relaxed);
        self.engine.store(engine, Ordering::Relaxed);
    }

    fn get(&self) -> Ticket<RequestId> {
        let id = RequestId::from_u64(self.id.load(Ordering::Relaxed));
        Ticket { id, engine: self.engine.load(Ordering::Relaxed) }
    }
}

impl Ticket<AttemptId> {
    /// Which attempt of its request it is.
    pub(crate) fn number(&self) -> u32 {
        self.id.number
    }
}

pub(crate) struct Driver {
    engine: Engine,
    /// Which one it is, from 1 on.
    number: u32,
    clock: Clock,
    /// Where attempts run; `None` before the first request, and after a runtime has ended.
    home: Option<Arc<Home>>,
    /// For when the keeper's timer is set, unless it rang.
    armed: Option<cxone_core::Instant>,
    pending: Requests<Pending>,
    /// Who tells something may be given something at once.
    asked: Asked,
    /// Attempts that their callers drive: since this moment, and since the one before.
    young: [Vec<AttemptId>; 2],
    tokens: Tokens,
    fetch: Option<Fetch>,
    /// How many there were.
    fetches: u64,
    /// A fetch that ended with its runtime: it is to be done again.
    fetching: Option<Generation>,
    /// Why the last token fetch failed.
    trouble: Option<Box<Trouble>>,
    closed: Vec<oneshot::Sender<()>>,
    closing: bool,
    concurrency: u32,
    /// Scopes that are held; `None` holds everything.
    holds: BTreeSet<Option<String>>,
}

/// Names one token fetch: one that was given up may report long after, when another one is out for
/// the same generation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchId(u64);

/// A token fetch that is out.
struct Fetch {
    id: FetchId,
    generation: Generation,
    task: AbortHandle,
}

/// What there is for the one that performs a step, and would else be told otherwise.
#[derive(Default)]
struct Asked {
    /// The request that is being submitted, and its first attempt.
    submitted: Option<RequestId>,
    work: Option<Work>,
    /// What the attempt whose head was reported is to do with its body.
    word: Option<Instruction>,
    /// The request whose attempt is reported over, and its outcome.
    reported: Option<RequestId>,
    outcome: Option<Outcome>,
}

impl Driver {
    pub(crate) fn new(settings: &Settings) -> Driver {
        let mut clock = Clock::start();
        Driver {
            engine: engine(settings, clock.now()),
            number: 1,
            clock,
            home: None,
            armed: None,
            pending: Requests::default(),
            asked: Asked::default(),
            young: Default::default(),
            tokens: Tokens::default(),
            fetch: None,
            fetches: 0,
            fetching: None,
            trouble: None,
            closed: Vec::new(),
            closing: false,
            concurrency: settings.engine.concurrency,
            holds: BTreeSet::new(),
        }
    }

    /// One command and all that follows from it.
    pub(crate) fn step(&mut self, hub: &Arc<Hub>, command: Command) {
        match command {
            // What is taken is read off the clock where it was seen.
            Command::Head(attempt, head, reply) => {
                if let Some(instruction) = self.head(hub, attempt, head) {
                    // An attempt that ended meanwhile reports that by itself.
                    foreign(|| drop(reply.send(instruction)));
                }
            }
            Command::Over(attempt, over) => {
                let now = self.clock.at(over.at);
                self.over(hub, attempt, over, now);
                self.settle(hub, now);
            }
            Command::Token(fetch, report) => {
                let now = self.clock.at(report.at);
                self.token(hub, fetch, report, now);
                self.settle(hub, now);
            }
            command => {
                let now = self.clock.at(Instant::now());
                self.command(hub, command, now);
                self.settle(hub, now);
            }
        }
    }

    /// Do attempts run there?
    pub(crate) fn is_at(&self, runtime: runtime::Id) -> bool {
        self.home.as_ref().is_some_and(|home| home.runtime.id() == runtime)
    }

    /// A request whose caller is polled at home, and its first attempt if that goes out at once.
    pub(crate) fn submit_now(&mut self, hub: &Arc<Hub>, outgoing: Arc<Outgoing>) -> Option<Work> {
        let now = self.clock.at(Instant::now());
        self.asked.submitted = self.submit(outgoing, now);
        self.settle(hub, now);
        self.asked.submitted = None;
        self.asked.work.take()
    }

    /// An attempt is over; what its request has come to, if that is known by that.
    pub(crate) fn over_now(
        &mut self,
        hub: &Arc<Hub>,
        attempt: Ticket<AttemptId>,
        over: attempt::Over,
    ) -> Option<Outcome> {
        let now = self.clock.at(over.at);
        self.asked.reported = self.known(attempt).map(|attempt| attempt.request);
        self.over(hub, attempt, over, now);
        self.settle(hub, now);
        self.asked.reported = None;
        self.asked.outcome.take()
    }

    /// The head of an answer, and what its attempt is to do with the body; nothing if it is no
    /// longer wanted.
    pub(crate) fn head(
        &mut self,
        hub: &Arc<Hub>,
        attempt: Ticket<AttemptId>,
        head: Box<Received>,
    ) -> Option<Instruction> {
        let attempt = self.known(attempt)?;
        let now = self.clock.at(head.at);
        let ms_headers = &hub.settings.engine.reading.ms_headers;
        let matters = |name: &str| {
            is_signal_header(name)
                || ms_headers.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let mut act = |headers: &[(&str, &str)]| {
            let (status, redirect) = (head.status.as_u16(), head.follow.is_some());
            let head = cxone_core::Head { status, headers, redirect };
            self.engine.handle_input(Input::Head { attempt, head }, now);
        };
        // Most answers say nothing; a `Date` alone is nothing either.
        match head.headers.keys().any(|name| *name != DATE && matters(name.as_str())) {
            true => with_fields(&head.headers, matters, act),
            false => act(&[]),
        }
        if let Some(pending) = self.current(attempt) {
            pending.answered(head);
        }
        self.settle(hub, now);
        // What is delivered unread has ended by now, and is forgotten here.
        self.asked.word.take().or_else(|| self.current(attempt)?.out.as_mut()?.instruction.take())
    }

    /// After a panic nobody knows what the engine is worth: it starts anew, and whoever waits is
    /// told by the loss of its channel.
    pub(crate) fn restart(&mut self, hub: &Hub) {
        let mut fresh = Driver::new(&hub.settings);
        fresh.number = self.number.wrapping_add(1).max(1);
        fresh.home = self.home.clone();
        fresh.fetches = self.fetches;
        fresh.closing = self.closing;
        fresh.concurrency = self.concurrency;
        fresh.holds = mem::take(&mut self.holds);
        let now = fresh.clock.now();
        let _ = fresh.engine.set_concurrency(fresh.concurrency, now);
        for scope in &fresh.holds {
            fresh.engine.pause(scope.as_deref(), now);
        }
        if fresh.closing {
            fresh.engine.close(false, now);
        }
        drop(mem::replace(self, fresh));
    }

    /// How many requests something is kept of.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.pending.len()
    }

    fn command(&mut self, hub: &Arc<Hub>, command: Command, now: Now) {
        match command {
            Command::Submit(outgoing) => {
                if !outgoing.line.is_left() {
                    self.submit(outgoing, now);
                }
            }
            Command::Cancel(outgoing) => {
                if let Some(id) = self.known(outgoing.ticket.get()) {
                    self.cancel(id, now);
                }
            }
            Command::Pause(scope) => {
                self.engine.pause(scope.as_deref(), now);
                self.holds.insert(scope);
            }
            Command::Resume(scope) => {
                self.engine.resume(scope.as_deref(), now);
                self.holds.remove(&scope);
            }
            Command::SetConcurrency(n) => {
                self.concurrency = n;
                // Checked by the client before it was sent.
                let _ = self.engine.set_concurrency(n, now);
            }
            Command::Stats(reply) => {
                let stats = Stats::new(&self.engine.stats(), &self.clock);
                foreign(|| drop(reply.send(stats)));
            }
            Command::Close { drain, closed } => {
                self.closing = true;
                self.closed.push(closed);
                self.engine.close(drain, now);
                if self.home.is_none() {
                    self.forget_fetch(now);
                }
            }
            Command::Time => self.armed = None,
            Command::Moment => self.hand_over(),
            Command::Move(home) => {
                self.lose(hub, now);
                self.home = Some(home);
                if let Some(generation) = self.fetching.take() {
                    self.fetch_token(hub, generation);
                }
            }
            Command::Lost(home) => {
                if self.home.as_ref().is_some_and(|current| Arc::ptr_eq(current, &home)) {
                    self.lose(hub, now);
                }
            }
            Command::Head(..) | Command::Over(..) | Command::Token(..) => {
                unreachable!("they bring their own time")
            }
        }
    }

    fn over(&mut self, hub: &Hub, attempt: Ticket<AttemptId>, over: attempt::Over, now: Now) {
        let Some(attempt) = self.known(attempt) else { return };
        let mut lost = false;
        let mut input = Input::Done { attempt };
        let pending = self.current(attempt);
        let out = pending.and_then(|pending| Some((pending.out.take()?, pending)));
        match over.end {
            End::Done => {
                if let Some((_, pending)) = out {
                    pending.body_read(over.body);
                }
            }
            End::Failed(failure, cause) => {
                if let Some((_, pending)) = out {
                    pending.failed(over.body, cause);
                }
                input = Input::Failed { attempt, failure };
            }
            End::Delivered | End::Dropped => {
                // Nobody but its runtime drops a task unasked: that one has ended.
                lost = out.is_some_and(|(out, _)| out.is_task && !out.aborted);
                input = Input::Failed { attempt, failure: Failure::Aborted };
            }
        }
        self.engine.handle_input(input, now);
        if self.pending.get_mut(attempt.request).is_some_and(|pending| pending.has_ended()) {
            let pending = self.pending.remove(attempt.request);
            foreign(|| drop(pending));
        }
        if lost {
            self.lose(hub, now);
        }
    }

    /// Performs what the engine wants, and sees that it is woken when it wants to be.
    fn settle(&mut self, hub: &Arc<Hub>, now: Now) {
        self.drain(hub);
        let mut deadline = self.engine.poll_timeout().map(|(at, _)| at);
        if deadline.is_some_and(|at| at <= now.instant) {
            self.engine.handle_timeout(now);
            self.drain(hub);
            deadline = self.engine.poll_timeout().map(|(at, _)| at);
        }
        // A timer that rings before it need is left alone: mostly the deadline moves on before
        // that.
        if let (Some(at), Some(home)) = (deadline, &self.home)
            && self.armed.is_none_or(|armed| at < armed)
        {
            self.armed = Some(at);
            home.set_timer(self.clock.instant(at));
        }
        if self.closing && self.engine.is_idle() {
            for closed in self.closed.drain(..) {
                foreign(|| _ = closed.send(()));
            }
        }
    }

    fn submit(&mut self, outgoing: Arc<Outgoing>, now: Now) -> Option<RequestId> {
        let mut caller = Caller::new(outgoing);
        // Its runtime may have ended meanwhile.
        self.home.as_ref()?;
        let scopes: Vec<&str> = caller.scopes.iter().map(String::as_str).collect();
        let job = Job {
            priority: caller.priority,
            scopes: &scopes,
            auth: caller.auth,
            replay: caller.replay,
            stream: caller.stream,
            attempt_timeout: caller.attempt_timeout,
            deadline: caller.deadline,
        };
        match self.engine.submit(job, now) {
            Ok(id) => {
                caller.ticket.set(id, self.number);
                self.pending.insert(id, Pending::new(caller));
                Some(id)
            }
            Err(error) => {
                let kind = match error {
                    SubmitError::QueueFull { limit } => ErrorKind::QueueFull { limit },
                    SubmitError::Closed => ErrorKind::Closed,
                    SubmitError::Scopes => ErrorKind::Request,
                };
                let error = Error::new(kind, error.to_string()).about(caller.about());
                caller.tell(Outcome::Failed(error));
                None
            }
        }
    }

    fn cancel(&mut self, id: RequestId, now: Now) {
        self.engine.cancel(id, now);
        let Some(pending) = self.pending.get_mut(id) else { return };
        pending.caller.needs_no_word();
        if pending.out.is_none() {
            let pending = self.pending.remove(id);
            foreign(|| drop(pending));
        }
    }

    /// The id, if it is of this engine.
    fn known<T>(&self, ticket: Ticket<T>) -> Option<T> {
        (ticket.engine == self.number).then_some(ticket.id)
    }

    /// The request of that attempt, if that is out.
    fn current(&mut self, attempt: AttemptId) -> Option<&mut Pending> {
        let pending = self.pending.get_mut(attempt.request)?;
        let is_out = pending.out.as_ref().is_some_and(|out| out.number == attempt.number);
        is_out.then_some(pending)
    }

    fn token(&mut self, hub: &Hub, fetch: FetchId, report: token::Report, now: Now) {
        // A fetch that was ended is forgotten.
        let Some(&Fetch { id, generation, .. }) = self.fetch.as_ref() else { return };
        if id != fetch {
            return;
        }
        let Some(result) = report.result else {
            // Nobody but its runtime drops a task unasked: that one has ended.
            return self.lose(hub, now);
        };
        self.fetch = None;
        match result {
            Ok(grant) => {
                self.trouble = None;
                self.tokens.keep(generation, grant.authorization);
                let lifetime = grant.lifetime;
                self.engine.handle_input(Input::Token { generation, lifetime }, now);
            }
            Err(trouble) => {
                let headers = trouble.answer.as_ref().map(|answer| answer.headers.clone());
                let headers = headers.unwrap_or_default();
                let failure = trouble.failure;
                with_fields(
                    &headers,
                    |_| true,
                    |headers| {
                        let input = Input::TokenFailed { generation, failure, headers };
                        self.engine.handle_input(input, now);
                    },
                );
                self.trouble = Some(trouble);
            }
        }
    }

    /// Performs what the engine wants.
    fn drain(&mut self, hub: &Arc<Hub>) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, token } => self.send(hub, attempt, token),
                Output::Body { attempt, verdict } => {
                    if let Some(pending) = self.current(attempt) {
                        pending.judged(verdict);
                    }
                }
                Output::Abort { attempt } => self.abort(attempt),
                Output::FetchToken { generation } => self.fetch_token(hub, generation),
                Output::AbortToken { generation } => {
                    self.fetching.take_if(|it| *it == generation);
                    if let Some(fetch) = self.fetch.take_if(|it| it.generation == generation) {
                        fetch.task.abort();
                        self.trouble = None;
                    }
                }
                Output::Finish { id, result } => self.finish(id, result),
                Output::Notice(notice) => self.notice(hub, notice),
            }
        }
    }

    fn send(&mut self, hub: &Arc<Hub>, attempt: AttemptId, token: Option<Generation>) {
        let ticket = Ticket { id: attempt, engine: self.number };
        let (Some(pending), Some(home)) = (self.pending.get_mut(attempt.request), &self.home)
        else {
            // Not reached: without a runtime there are no requests.
            let over = attempt::Over::aborted();
            return hub.send(Command::Over(ticket, over));
        };
        let token = token.and_then(|generation| self.tokens.find(generation));
        let (outgoing, http) = (pending.caller.clone(), home.transport.api.clone());
        let elsewhere = pending.elsewhere.clone();
        let work = Attempt::new(ticket, outgoing, http, elsewhere, token).work();
        let is_task = if self.asked.submitted == Some(attempt.request) {
            self.asked.work = Some(work);
            false
        } else {
            Line::start(work, &pending.caller, &home.runtime)
        };
        pending.sent(attempt.number, is_task);
        if !is_task {
            let [new, old] = &mut self.young;
            if new.is_empty() && old.is_empty() {
                home.set_moment();
            }
            new.push(attempt);
        }
    }

    /// Attempts that have been out for a while become tasks.
    fn hand_over(&mut self) {
        let Some(home) = self.home.clone() else { return };
        self.young.swap(0, 1);
        let mut old = mem::take(&mut self.young[0]);
        for attempt in old.drain(..) {
            if let Some(pending) = self.current(attempt)
                && let Some(out) = &mut pending.out
                && !out.is_task
            {
                out.is_task = Line::hand_over(&pending.caller, &home.runtime);
                if !out.is_task && !out.aborted {
                    // Its caller is driving it just now.
                    self.young[1].push(attempt);
                }
            }
        }
        self.young[0] = old;
        if !self.young[1].is_empty() {
            home.set_moment();
        }
    }

    /// It reports when all that it held is dropped.
    fn abort(&mut self, attempt: AttemptId) {
        let Some(home) = self.home.clone() else { return };
        if let Some(pending) = self.current(attempt)
            && let Some(out) = &mut pending.out
        {
            out.aborted = true;
            pending.caller.line.abort(&home.runtime);
        }
    }

    fn finish(&mut self, id: RequestId, result: Result<(), RequestError>) {
        let Some(mut pending) = self.pending.remove(id) else { return };
        let outcome = match result {
            Ok(()) if pending.caller.stream => {
                self.asked.word = pending.delivery();
                return;
            }
            Ok(()) => pending.answer(),
            Err(error) => pending.failure(&error, self.trouble.as_deref(), &self.clock),
        };
        if self.asked.reported == Some(id) {
            pending.caller.needs_no_word();
            self.asked.outcome = Some(outcome);
        } else {
            pending.caller.tell(outcome);
        }
        if pending.out.is_some() {
            self.pending.insert(id, pending);
        }
    }

    fn fetch_token(&mut self, hub: &Arc<Hub>, generation: Generation) {
        let Some(home) = &self.home else {
            self.fetching = Some(generation);
            return;
        };
        self.fetches += 1;
        let id = FetchId(self.fetches);
        let (settings, http) = (hub.settings.clone(), home.transport.token.clone());
        let fetch = token::fetch(settings, http, id, Arc::downgrade(hub));
        let task = home.runtime.spawn(fetch).abort_handle();
        self.fetch = Some(Fetch { id, generation, task });
    }

    fn notice(&mut self, hub: &Hub, notice: cxone_core::Notice) {
        use cxone_core::Notice as Seen;
        let mut span = None;
        let notice = match notice {
            Seen::Paused { scope, wait, reason, attempt, .. } => {
                Notice::paused(&scope, wait, reason, attempt)
            }
            Seen::Reopened { scope } => Notice::Reopened { scope: scope.to_string() },
            Seen::Recovered { scope } => Notice::Recovered { scope: scope.to_string() },
            Seen::Believes { scope, belief } => {
                Notice::Believes { scope: scope.to_string(), belief: *belief }
            }
            Seen::Retrying { id, wait, failures } => {
                let outgoing = self.pending.get_mut(id).map(|pending| &**pending.caller);
                span = outgoing.map(|outgoing| &outgoing.span);
                let id = outgoing.and_then(|outgoing| outgoing.name.correlation_id());
                let correlation_id = id.map(str::to_owned);
                Notice::Retrying { correlation_id, wait, failures }
            }
            Seen::TokenValid { until, .. } => {
                Notice::TokenValid { lifetime: self.clock.until(until) }
            }
            Seen::TokenRetrying { wait, failure } => Notice::TokenRetrying { wait, failure },
            Seen::TokenRefused { failure } => Notice::TokenRefused { failure },
        };
        foreign(|| notice.log(span));
        // Nobody needs to listen.
        foreign(|| drop(hub.notices.send(notice)));
    }

    /// Gives up what was under way in a runtime that has ended. What was learned stays: no server
    /// forgets a limit because a runtime has ended.
    fn lose(&mut self, hub: &Hub, now: Now) {
        let Some(home) = self.home.take() else { return };
        hub.leave(&home);
        self.armed = None;
        self.young = Default::default();
        let mut out: Vec<AttemptId> = Vec::new();
        for (request, pending) in self.pending.drain() {
            self.engine.cancel(request, now);
            if let Some(attempt) = &pending.out {
                out.push(AttemptId { request, number: attempt.number });
                pending.caller.line.abort(&home.runtime);
            }
            // Whoever waits for it is told by that.
            foreign(|| drop(pending));
        }
        if let Some(fetch) = self.fetch.take() {
            fetch.task.abort();
            self.fetching = Some(fetch.generation);
        }
        // What it had no turn to perform.
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, .. } => out.push(attempt),
                Output::FetchToken { generation } => self.fetching = Some(generation),
                Output::AbortToken { .. } => self.fetching = None,
                _ => {}
            }
        }
        for attempt in out {
            let failure = Failure::Aborted;
            self.engine.handle_input(Input::Failed { attempt, failure }, now);
        }
        if self.closing {
            self.forget_fetch(now);
        }
    }

    /// A fetch that was to be done again in the next runtime, when there will be none.
    fn forget_fetch(&mut self, now: Now) {
        if let Some(generation) = self.fetching.take() {
            let failure = TokenFailure::Network;
            let input = Input::TokenFailed { generation, failure, headers: &[] };
            self.engine.handle_input(input, now);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for (_, pending) in self.pending.drain() {
            if let Some(home) = self.home.as_ref().filter(|_| pending.out.is_some()) {
                pending.caller.line.abort(&home.runtime);
            }
            foreign(|| drop(pending));
        }
        if let Some(fetch) = &self.fetch {
            fetch.task.abort();
        }
        if let Some(home) = &self.home {
            home.wake();
        }
    }
}

fn engine(settings: &Settings, now: Now) -> Engine {
    Engine::new(settings.engine.clone(), settings.seed, now).expect("its builder has tried it")
}

/// Does something with the header fields that matter, their values as text.
fn with_fields<T>(
    headers: &HeaderMap,
    matters: impl Fn(&str) -> bool,
    act: impl FnOnce(&[(&str, &str)]) -> T,
) -> T {
    let fields = || headers.iter().filter(|(name, _)| matters(name.as_str()));
    let mut few = [("", ""); FEW_FIELDS];
    let mut n = 0;
    for (name, value) in fields() {
        let (Some(field), Ok(value)) = (few.get_mut(n), value.to_str()) else {
            let lossy =
                |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let all = fields().map(|(name, value)| (name.as_str(), lossy(value)));
            let all: Vec<(&str, String)> = all.collect();
            return act(&all.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>());
        };
        *field = (name.as_str(), value);
        n += 1;
    }
    act(&few[..n])
}
