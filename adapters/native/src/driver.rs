//! The driver: it performs the engine's outputs, reports its inputs, and decides nothing.

mod command;
mod fetch;
mod fields;
mod requests;
mod restart;
mod slots;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use cxone_core::{AttemptId, Engine, Generation, Now, Output, RequestId};
use tokio::runtime;
use tokio::sync::oneshot;

pub(crate) use command::{Command, FetchId, RequestTicket, Ticket};
use fetch::Fetch;
use slots::Requests;

use crate::attempt::{self, Instruction};
use crate::clock::Clock;
use crate::foreign::foreign;
use crate::home::Home;
use crate::hub::Hub;
use crate::line::{Outcome, Work};
use crate::notice::Notice;
use crate::outgoing::Outgoing;
use crate::pending::Pending;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::token::{Tokens, Trouble};

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
                Output::AbortToken { generation } => self.abort_fetch(generation),
                Output::Finish { id, result } => self.finish(id, result),
                Output::Notice(notice) => self.notice(hub, notice),
            }
        }
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
}

fn engine(settings: &Settings, now: Now) -> Engine {
    Engine::new(settings.engine.clone(), settings.seed, now).expect("its builder has tried it")
}
