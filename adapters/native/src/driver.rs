//! The task that owns the engine: it performs outputs, reports inputs, and decides nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cxone_core::{
    AttemptId, Config, Engine, Failure, Generation, Input, Job, Output, RequestId, SubmitError,
    Verdict,
};
use http::HeaderMap;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::Instrument;

use crate::attempt::{self, Attempt, End, Guard, Instruction};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::ids::IdMap;
use crate::notice::Notice;
use crate::pending::{Caller, Pending};
use crate::request::Outgoing;
use crate::settings::{Settings, Transport};
use crate::stats::Stats;
use crate::token::{self, Tokens, Trouble};

/// After so many steps in a row the driver lets other tasks have a turn.
const STEPS_A_TURN: u32 = 64;

/// What a client shares with its driver.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) notices: broadcast::Sender<Notice>,
    /// What the last driver left, once it has ended.
    pub(crate) last: Mutex<Option<Box<Mind>>>,
}

/// What a driver knows beyond its requests: pauses, budgets, the token, the counters. The next
/// driver goes on with it, since no server forgets a limit because a runtime has ended.
pub(crate) struct Mind {
    engine: Engine,
    clock: Clock,
    tokens: Tokens,
    /// Why the last token fetch failed.
    trouble: Option<Box<Trouble>>,
    /// A token fetch that the engine waits for.
    fetching: Option<Generation>,
}

impl Mind {
    pub(crate) fn new(settings: &Settings) -> Result<Mind, Error> {
        let clock = Clock::start();
        let engine = Engine::new(settings.engine.clone(), settings.seed, clock.now());
        let engine = engine.map_err(Error::request)?;
        Ok(Mind { engine, clock, tokens: Tokens::default(), trouble: None, fetching: None })
    }

    /// What was steered while there was no driver.
    pub(crate) fn steer(&mut self, concurrency: u32, holds: &BTreeSet<Option<String>>) {
        let now = self.clock.now();
        // Checked by the client.
        let _ = self.engine.set_concurrency(concurrency, now);
        self.engine.resume(None, now);
        for scope in self.engine.stats().scopes {
            self.engine.resume(Some(&*scope.name), now);
        }
        for scope in holds {
            self.engine.pause(scope.as_deref(), now);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats::new(&self.engine.stats(), &self.clock)
    }
}

/// What reaches the driver, all through one channel, so that nothing overtakes anything.
pub(crate) enum Command {
    Submit(Box<Submission>),
    Cancel(Ticket),
    Pause(Option<String>),
    Resume(Option<String>),
    SetConcurrency(u32),
    Stats(oneshot::Sender<Stats>),
    /// Is anybody there?
    Ping(oneshot::Sender<()>),
    Close {
        drain: bool,
        closed: Option<oneshot::Sender<()>>,
    },
    Attempt(AttemptId, attempt::Report),
    Token(Generation, token::Report),
}

pub(crate) struct Submission {
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) ticket: Ticket,
    pub(crate) caller: Caller,
}

/// Names a request before the engine has.
pub(crate) type Ticket = Arc<OnceLock<RequestId>>;

pub(crate) struct Driver {
    engine: Engine,
    clock: Clock,
    shared: Arc<Shared>,
    /// Another driver took its place: what it knows is out of date.
    replaced: Arc<AtomicBool>,
    transport: Transport,
    commands: mpsc::UnboundedReceiver<Command>,
    /// For attempts and token fetches; weak, since they keep no client alive.
    reports: mpsc::WeakUnboundedSender<Command>,
    pending: IdMap<RequestId, Pending>,
    flights: IdMap<AttemptId, Flight>,
    tokens: Tokens,
    fetch: Option<(Generation, AbortHandle)>,
    /// A fetch that ended with the driver before: it is to be done again.
    fetching: Option<Generation>,
    /// Why the last token fetch failed.
    trouble: Option<Box<Trouble>>,
    closed: Vec<oneshot::Sender<()>>,
    closing: bool,
}

/// An attempt that is out.
struct Flight {
    instruction: Option<oneshot::Sender<Instruction>>,
    abort: AbortHandle,
}

impl Driver {
    pub(crate) fn new(
        mind: Mind,
        shared: Arc<Shared>,
        replaced: Arc<AtomicBool>,
        transport: Transport,
        commands: mpsc::UnboundedReceiver<Command>,
        reports: mpsc::WeakUnboundedSender<Command>,
    ) -> Driver {
        let Mind { engine, clock, tokens, trouble, fetching } = mind;
        Driver {
            engine,
            clock,
            shared,
            replaced,
            transport,
            commands,
            reports,
            pending: IdMap::default(),
            flights: IdMap::default(),
            tokens,
            fetch: None,
            fetching,
            trouble,
            closed: Vec::new(),
            closing: false,
        }
    }

    /// Drain the outputs, compare the deadline with the clock, wait for whatever comes first,
    /// feed exactly one input. It ends when it was closed or replaced, or when no client and no
    /// request is left.
    pub(crate) async fn run(mut self) {
        let mut sleep = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        let mut armed = None;
        if let Some(generation) = self.fetching.take() {
            self.fetch_token(generation);
        }
        for step in 1_u32.. {
            if self.replaced.load(Ordering::Relaxed) {
                break;
            }
            self.drain();
            if self.closing && self.engine.is_idle() {
                break;
            }
            let deadline = self.engine.poll_timeout().map(|(at, _)| at);
            if deadline.is_some_and(|at| self.clock.is_past(at)) {
                self.engine.handle_timeout(self.clock.now());
            } else {
                // tokio rounds up to its grain of a millisecond, so it wakes nobody early. What
                // is beyond its range is armed again when that ends. A timer that rings before it
                // need is left alone: mostly the deadline moves on before that.
                let at = deadline.and_then(|at| self.clock.instant(at)).map(Into::into);
                if let Some(at) = at.filter(|at| armed.is_none_or(|armed| *at < armed)) {
                    sleep.as_mut().reset(at);
                    armed = Some(at);
                }
                tokio::select! {
                    biased;
                    command = self.commands.recv() => match command {
                        Some(command) => self.handle(command),
                        None => break,
                    },
                    // Whether anything is due is for the clock to say.
                    () = &mut sleep, if armed.is_some() => armed = None,
                }
            }
            if step % STEPS_A_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Submit(submission) => self.submit(*submission),
            Command::Cancel(ticket) => {
                if let Some(id) = ticket.get() {
                    self.pending.remove(id);
                    self.engine.cancel(*id, self.clock.now());
                }
            }
            Command::Pause(scope) => self.engine.pause(scope.as_deref(), self.clock.now()),
            Command::Resume(scope) => self.engine.resume(scope.as_deref(), self.clock.now()),
            Command::SetConcurrency(n) => {
                // Checked by the client before it was sent.
                let _ = self.engine.set_concurrency(n, self.clock.now());
            }
            Command::Stats(reply) => {
                let _ = reply.send(self.stats());
            }
            Command::Ping(reply) => {
                let _ = reply.send(());
            }
            Command::Close { drain, closed } => {
                self.closing = true;
                self.closed.extend(closed);
                self.engine.close(drain, self.clock.now());
            }
            Command::Attempt(attempt, attempt::Report::Head(head)) => self.head(attempt, head),
            Command::Attempt(attempt, attempt::Report::Over { end, body, at }) => {
                let now = self.clock.at(at);
                self.flights.remove(&attempt);
                let input = match end {
                    End::Done => {
                        if let Some(pending) = self.current(attempt) {
                            pending.body_read(body);
                        }
                        Input::Done { attempt }
                    }
                    End::Failed(failure, cause) => {
                        if let Some(pending) = self.current(attempt) {
                            pending.failed(body, cause);
                        }
                        Input::Failed { attempt, failure }
                    }
                };
                self.engine.handle_input(input, now);
            }
            Command::Token(generation, report) => self.token(generation, report),
        }
    }

    fn submit(&mut self, submission: Submission) {
        let Submission { outgoing, ticket, caller } = submission;
        if caller.is_gone() {
            return;
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
        match self.engine.submit(job, self.clock.now()) {
            Ok(id) => {
                // Nobody else sets it.
                let _ = ticket.set(id);
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

    fn head(&mut self, attempt: AttemptId, head: Box<attempt::Head>) {
        let ms_headers = &self.shared.settings.engine.reading.ms_headers;
        let matters = |name: &str| {
            cxone_core::SIGNAL_HEADERS.contains(&name)
                || ms_headers.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let fields = fields(&head.headers, matters);
        let seen = cxone_core::Head {
            status: head.status.as_u16(),
            headers: &borrowed(&fields),
            redirect: head.follow.is_some(),
        };
        let input = Input::Head { attempt, head: seen };
        let now = self.clock.at(head.at);
        self.engine.handle_input(input, now);
        if let Some(pending) = self.current(attempt) {
            pending.answered(head);
        }
    }

    /// The request of that attempt, unless it has been sent again since.
    fn current(&mut self, attempt: AttemptId) -> Option<&mut Pending> {
        let pending = self.pending.get_mut(&attempt.request)?;
        (pending.attempt() == attempt.number).then_some(pending)
    }

    fn token(&mut self, generation: Generation, report: token::Report) {
        // A fetch that was ended is forgotten.
        if self.fetch.take_if(|(current, _)| *current == generation).is_none() {
            return;
        }
        let now = self.clock.at(report.at);
        match report.result {
            Ok(grant) => {
                self.trouble = None;
                self.tokens.keep(generation, grant.authorization);
                let lifetime = grant.lifetime;
                self.engine.handle_input(Input::Token { generation, lifetime }, now);
            }
            Err(trouble) => {
                let headers = trouble.answer.as_ref().map(|answer| answer.headers.clone());
                let headers = headers.unwrap_or_default();
                let fields = fields(&headers, |_| true);
                let input = Input::TokenFailed {
                    generation,
                    failure: trouble.failure,
                    headers: &borrowed(&fields),
                };
                self.engine.handle_input(input, now);
                self.trouble = Some(trouble);
            }
        }
    }

    /// Performs what the engine wants.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, token } => self.send(attempt, token),
                Output::Body { attempt, verdict } => self.body(attempt, verdict),
                Output::Abort { attempt } => {
                    // Its guard reports it over when all that it held is dropped.
                    if let Some(flight) = self.flights.get(&attempt) {
                        flight.abort.abort();
                    }
                }
                Output::FetchToken { generation } => self.fetch_token(generation),
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
                                .and_then(|attempt| self.flights.remove(&attempt));
                            pending.succeed(flight.and_then(|flight| flight.instruction));
                        }
                        Err(error) => pending.fail(&error, self.trouble.as_deref(), &self.clock),
                    }
                }
                Output::Notice(notice) => self.notice(notice),
            }
        }
    }

    fn send(&mut self, attempt: AttemptId, token: Option<Generation>) {
        let guard = Guard::new(attempt, self.reports.clone());
        let Some(pending) = self.pending.get_mut(&attempt.request) else {
            // The guard reports it over.
            return;
        };
        pending.sent(attempt.number);
        let token = token.and_then(|generation| self.tokens.find(generation));
        let (instruct, instruction) = oneshot::channel();
        let work = Attempt {
            shared: self.shared.clone(),
            http: self.transport.api.clone(),
            outgoing: pending.outgoing.clone(),
            elsewhere: pending.elsewhere.clone(),
            token,
            instruction,
        };
        let span = pending.outgoing.span.clone();
        let task = tokio::spawn(work.run(guard).instrument(span));
        let flight = Flight { instruction: Some(instruct), abort: task.abort_handle() };
        self.flights.insert(attempt, flight);
    }

    fn fetch_token(&mut self, generation: Generation) {
        let (shared, http) = (self.shared.clone(), self.transport.token.clone());
        let fetch = token::fetch(shared, http, generation, self.reports.clone());
        self.fetch = Some((generation, tokio::spawn(fetch).abort_handle()));
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
        let flight = self.flights.get_mut(&attempt);
        if let Some(instruction) = Instruction::for_body(verdict)
            && let Some(flight) = flight.and_then(|flight| flight.instruction.take())
        {
            // An attempt that ended meanwhile reports that by itself.
            let _ = flight.send(instruction);
        }
    }

    fn notice(&self, notice: cxone_core::Notice) {
        use cxone_core::Notice as Seen;
        let mut span = None;
        let notice = match notice {
            Seen::Paused { scope, wait, reason, attempt, .. } => {
                Notice::paused(&scope, wait, reason, attempt)
            }
            Seen::Reopened { scope } => Notice::Reopened { scope: scope.to_string() },
            Seen::Recovered { scope } => Notice::Recovered { scope: scope.to_string() },
            Seen::Retrying { id, wait, failures } => {
                let outgoing = self.pending.get(&id).map(|pending| &pending.outgoing);
                span = outgoing.map(|outgoing| &outgoing.span);
                let id = outgoing.and_then(|outgoing| outgoing.correlation_id.as_ref());
                let correlation_id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
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
        let _ = self.shared.notices.send(notice);
    }

    fn stats(&self) -> Stats {
        Stats::new(&self.engine.stats(), &self.clock)
    }
}

impl Driver {
    /// What it knows, all requests given up and all sendings over.
    fn leave(&mut self) -> Option<Box<Mind>> {
        let now = self.clock.now();
        for id in self.pending.keys() {
            self.engine.cancel(*id, now);
        }
        let mut fetching = self.fetching.or(self.fetch.as_ref().map(|(generation, _)| *generation));
        let mut out: Vec<AttemptId> = self.flights.keys().copied().collect();
        // What it had no turn to perform.
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, .. } => out.push(attempt),
                Output::FetchToken { generation } => fetching = Some(generation),
                Output::AbortToken { .. } => fetching = None,
                _ => {}
            }
        }
        for attempt in out {
            let failure = Failure::Aborted;
            self.engine.handle_input(Input::Failed { attempt, failure }, now);
        }
        while self.engine.poll_output().is_some() {}
        let spare = Engine::new(Config::default(), 0, now).ok()?;
        Some(Box::new(Mind {
            engine: mem::replace(&mut self.engine, spare),
            clock: self.clock,
            tokens: mem::take(&mut self.tokens),
            trouble: self.trouble.take(),
            fetching,
        }))
    }
}

impl Drop for Driver {
    /// Whoever still waits is told by the loss of its channel.
    fn drop(&mut self) {
        let flights = self.flights.values().map(|flight| &flight.abort);
        for abort in flights.chain(self.fetch.iter().map(|(_, abort)| abort)) {
            abort.abort();
        }
        // After a panic nobody knows what the engine is worth.
        if !self.replaced.load(Ordering::Relaxed) && !std::thread::panicking() {
            let mind = self.leave();
            *self.shared.last.lock().unwrap_or_else(PoisonError::into_inner) = mind;
        }
        for closed in self.closed.drain(..) {
            let _ = closed.send(());
        }
    }
}

/// The header fields that matter, their values as text.
fn fields(headers: &HeaderMap, matters: impl Fn(&str) -> bool) -> Vec<(&str, Cow<'_, str>)> {
    let fields = headers.iter().filter(|(name, _)| matters(name.as_str()));
    fields.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect()
}

fn borrowed<'a>(fields: &'a [(&'a str, Cow<'a, str>)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().map(|(name, value)| (*name, &**value)).collect()
}
