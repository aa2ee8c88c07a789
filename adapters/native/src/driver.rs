//! The driver: it performs the engine's outputs, reports its inputs, and decides nothing.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cxone_core::{
    AttemptId, Engine, Failure, Generation, Input, Job, Now, Output, RequestId, SubmitError,
    Verdict,
};
use http::{HeaderMap, HeaderValue};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument;

use crate::attempt::{self, Attempt, End, Guard, Instruction};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::home::Home;
use crate::hub::Hub;
use crate::ids::IdMap;
use crate::notice::Notice;
use crate::pending::{Caller, Pending};
use crate::request::Outgoing;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::token::{self, Tokens, Trouble};

/// So many fields of a head need no room of their own.
const FEW_FIELDS: usize = 12;

/// What reaches the driver, one after the other, so that nothing overtakes anything.
pub(crate) enum Command {
    Submit(Arc<Outgoing>, Caller),
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
    Head(Ticket<AttemptId>, Box<attempt::Head>, oneshot::Sender<Instruction>),
    /// An attempt is over, and with it its use of a connection.
    Over(Ticket<AttemptId>, attempt::Over),
    Token(Generation, token::Report),
    /// The keeper's timer rang.
    Time,
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

/// Set when the engine has accepted a request.
pub(crate) type RequestTicket = OnceLock<Ticket<RequestId>>;

pub(crate) struct Driver {
    engine: Engine,
    /// Which one it is.
    number: u32,
    clock: Clock,
    /// Where attempts run; `None` before the first request, and after a runtime has ended.
    home: Option<Arc<Home>>,
    /// For when the keeper's timer is set, unless it rang.
    armed: Option<cxone_core::Instant>,
    pending: IdMap<RequestId, Pending>,
    flights: IdMap<AttemptId, Flight>,
    tokens: Tokens,
    fetch: Option<(Generation, AbortHandle)>,
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

/// An attempt that is out.
struct Flight {
    task: JoinHandle<()>,
    /// It was told to end.
    aborted: bool,
    /// What to do with its body, until it takes that.
    instruction: Option<Instruction>,
}

impl Driver {
    pub(crate) fn new(settings: &Settings) -> Driver {
        let mut clock = Clock::start();
        Driver {
            engine: engine(settings, clock.now()),
            number: 0,
            clock,
            home: None,
            armed: None,
            pending: IdMap::default(),
            flights: IdMap::default(),
            tokens: Tokens::default(),
            fetch: None,
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
                    let _ = reply.send(instruction);
                }
            }
            Command::Over(attempt, over) => {
                let now = self.clock.at(over.at);
                self.over(hub, attempt, over, now);
                self.settle(hub, now);
            }
            Command::Token(generation, report) => {
                let now = self.clock.at(report.at);
                self.token(hub, generation, report, now);
                self.settle(hub, now);
            }
            command => {
                let now = self.clock.at(Instant::now());
                self.command(hub, command, now);
                self.settle(hub, now);
            }
        }
    }

    /// The head of an answer, and what its attempt is to do with the body; nothing if it is no
    /// longer wanted.
    pub(crate) fn head(
        &mut self,
        hub: &Arc<Hub>,
        attempt: Ticket<AttemptId>,
        head: Box<attempt::Head>,
    ) -> Option<Instruction> {
        let attempt = self.known(attempt)?;
        let now = self.clock.at(head.at);
        let ms_headers = &hub.settings.engine.reading.ms_headers;
        let matters = |name: &str| {
            cxone_core::SIGNAL_HEADERS.contains(&name)
                || ms_headers.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        with_fields(&head.headers, matters, |headers| {
            let (status, redirect) = (head.status.as_u16(), head.follow.is_some());
            let head = cxone_core::Head { status, headers, redirect };
            self.engine.handle_input(Input::Head { attempt, head }, now);
        });
        if let Some(pending) = self.current(attempt) {
            pending.answered(head);
        }
        self.settle(hub, now);
        let instruction = self.flights.get_mut(&attempt)?.instruction.take()?;
        if let Instruction::Deliver(..) = instruction {
            // What happens to it now is its caller's business.
            self.flights.remove(&attempt);
        }
        Some(instruction)
    }

    /// After a panic nobody knows what the engine is worth: it starts anew, and whoever waits is
    /// told by the loss of its channel.
    pub(crate) fn restart(&mut self, hub: &Hub) {
        let mut fresh = Driver::new(&hub.settings);
        fresh.number = self.number.wrapping_add(1);
        fresh.home = self.home.take();
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

    fn command(&mut self, hub: &Arc<Hub>, command: Command, now: Now) {
        match command {
            Command::Submit(outgoing, caller) => self.submit(outgoing, caller, now),
            Command::Cancel(outgoing) => {
                if let Some(id) = outgoing.ticket.get().and_then(|ticket| self.known(*ticket)) {
                    self.pending.remove(&id);
                    self.engine.cancel(id, now);
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
                let _ = reply.send(Stats::new(&self.engine.stats(), &self.clock));
            }
            Command::Close { drain, closed } => {
                self.closing = true;
                self.closed.push(closed);
                self.engine.close(drain, now);
            }
            Command::Time => self.armed = None,
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
        let flight = self.flights.remove(&attempt);
        let dropped = matches!(over.end, End::Dropped);
        let input = match over.end {
            End::Done => {
                if let Some(pending) = self.current(attempt) {
                    pending.body_read(over.body);
                }
                Input::Done { attempt }
            }
            End::Failed(failure, cause) => {
                if let Some(pending) = self.current(attempt) {
                    pending.failed(over.body, cause);
                }
                Input::Failed { attempt, failure }
            }
            End::Dropped => Input::Failed { attempt, failure: Failure::Aborted },
        };
        self.engine.handle_input(input, now);
        if dropped && flight.is_some_and(|flight| !flight.aborted) {
            // Nobody but its runtime drops a task unasked: that one has ended.
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
                let _ = closed.send(());
            }
        }
    }

    fn submit(&mut self, outgoing: Arc<Outgoing>, caller: Caller, now: Now) {
        if caller.is_gone() {
            return;
        }
        if self.home.is_none() {
            // Its runtime ended meanwhile.
            return caller.fail(Error::closed().about(outgoing.about()));
        }
        let scopes: Vec<&str> = outgoing.scopes.iter().map(String::as_str).collect();
        let job = Job {
            priority: outgoing.priority,
            scopes: &scopes,
            auth: outgoing.auth,
            replay: outgoing.replay,
            stream: outgoing.stream,
            attempt_timeout: outgoing.attempt_timeout,
            deadline: outgoing.deadline,
        };
        match self.engine.submit(job, now) {
            Ok(id) => {
                // Nobody else sets it.
                let _ = outgoing.ticket.set(Ticket { id, engine: self.number });
                self.pending.insert(id, Pending::new(outgoing, caller));
            }
            Err(error) => {
                let kind = match error {
                    SubmitError::QueueFull { limit } => ErrorKind::QueueFull { limit },
                    SubmitError::Closed => ErrorKind::Closed,
                    SubmitError::Scopes => ErrorKind::Request,
                };
                caller.fail(Error::new(kind, error.to_string()).about(outgoing.about()));
            }
        }
    }

    /// The id, if it is of this engine.
    fn known<T>(&self, ticket: Ticket<T>) -> Option<T> {
        (ticket.engine == self.number).then_some(ticket.id)
    }

    /// The request of that attempt, unless it has been sent again since.
    fn current(&mut self, attempt: AttemptId) -> Option<&mut Pending> {
        let pending = self.pending.get_mut(&attempt.request)?;
        (pending.attempt() == attempt.number).then_some(pending)
    }

    fn token(&mut self, hub: &Hub, generation: Generation, report: token::Report, now: Now) {
        // A fetch that was ended is forgotten.
        if self.fetch.as_ref().is_none_or(|(current, _)| *current != generation) {
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
                Output::Body { attempt, verdict } => self.body(attempt, verdict),
                Output::Abort { attempt } => {
                    // Its guard reports it over when all that it held is dropped.
                    if let Some(flight) = self.flights.get_mut(&attempt) {
                        flight.aborted = true;
                        flight.task.abort();
                    }
                }
                Output::FetchToken { generation } => self.fetch_token(hub, generation),
                Output::AbortToken { generation } => {
                    if let Some((_, fetch)) =
                        self.fetch.take_if(|(current, _)| *current == generation)
                    {
                        fetch.abort();
                        self.trouble = None;
                    }
                }
                Output::Finish { id, result } => {
                    let Some(pending) = self.pending.remove(&id) else { continue };
                    match result {
                        Ok(()) => {
                            let flight = pending
                                .streaming()
                                .and_then(|attempt| self.flights.get_mut(&attempt));
                            pending.succeed(flight.map(|flight| &mut flight.instruction));
                        }
                        Err(error) => pending.fail(&error, self.trouble.as_deref(), &self.clock),
                    }
                }
                Output::Notice(notice) => self.notice(hub, notice),
            }
        }
    }

    fn send(&mut self, hub: &Arc<Hub>, attempt: AttemptId, token: Option<Generation>) {
        let guard = Guard::new(Ticket { id: attempt, engine: self.number }, hub.clone());
        let (Some(pending), Some(home)) = (self.pending.get_mut(&attempt.request), &self.home)
        else {
            // The guard reports it over.
            return;
        };
        pending.sent(attempt.number);
        let work = Attempt {
            http: home.transport.api.clone(),
            outgoing: pending.outgoing.clone(),
            elsewhere: pending.elsewhere.clone(),
            token: token.and_then(|generation| self.tokens.find(generation)),
        };
        let span = &pending.outgoing.span;
        // A runtime that has ended drops it on the spot, and its guard reports that.
        let task = match span.is_disabled() {
            true => home.runtime.spawn(work.run(guard)),
            false => home.runtime.spawn(work.run(guard).instrument(span.clone())),
        };
        self.flights.insert(attempt, Flight { task, aborted: false, instruction: None });
    }

    fn fetch_token(&mut self, hub: &Arc<Hub>, generation: Generation) {
        let Some(home) = &self.home else {
            self.fetching = Some(generation);
            return;
        };
        let (settings, http) = (hub.settings.clone(), home.transport.token.clone());
        let fetch = token::fetch(settings, http, generation, Arc::downgrade(hub));
        self.fetch = Some((generation, home.runtime.spawn(fetch).abort_handle()));
    }

    fn body(&mut self, attempt: AttemptId, verdict: Verdict) {
        let Some(pending) = self.pending.get_mut(&attempt.request) else {
            // Cancelled, and so about to be aborted.
            return;
        };
        match verdict {
            Verdict::Stream => pending.stream(attempt),
            Verdict::Follow => pending.follow(),
            Verdict::Read | Verdict::Drain => {}
        }
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.instruction = Instruction::for_body(verdict);
        }
    }

    fn notice(&self, hub: &Hub, notice: cxone_core::Notice) {
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
                let outgoing = self.pending.get(&id).map(|pending| &pending.outgoing);
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
        notice.log(span);
        // Nobody needs to listen.
        let _ = hub.notices.send(notice);
    }

    /// Gives up what was under way in a runtime that has ended. What was learned stays: no server
    /// forgets a limit because a runtime has ended.
    fn lose(&mut self, hub: &Hub, now: Now) {
        let Some(home) = self.home.take() else { return };
        hub.leave(&home);
        self.armed = None;
        // Whoever still waits is told by the loss of its channel.
        for (id, _) in mem::take(&mut self.pending) {
            self.engine.cancel(id, now);
        }
        let mut out: Vec<AttemptId> = Vec::new();
        for (attempt, flight) in mem::take(&mut self.flights) {
            flight.task.abort();
            out.push(attempt);
        }
        if let Some((generation, fetch)) = self.fetch.take() {
            fetch.abort();
            self.fetching = Some(generation);
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
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for flight in self.flights.values() {
            flight.task.abort();
        }
        if let Some((_, fetch)) = &self.fetch {
            fetch.abort();
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
