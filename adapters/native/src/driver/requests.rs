//! Requests, from when they are handed over to their ends.

use std::mem;
use std::sync::Arc;

use cxone_core::{
    AttemptId, Failure, Generation, Input, Job, Now, RequestError, RequestId, SubmitError,
    is_signal_header,
};
use http::header::DATE;

use super::fields::with_fields;
use super::{Command, Driver, Ticket};
use crate::attempt::{self, Attempt, End, Instruction};
use crate::error::{Error, ErrorKind};
use crate::foreign::foreign;
use crate::hub::Hub;
use crate::line::{Line, Outcome};
use crate::outgoing::Outgoing;
use crate::pending::{Caller, Pending};
use crate::response::Received;

/// What the engine is told.
impl Driver {
    pub(super) fn submit(&mut self, outgoing: Arc<Outgoing>, now: Now) -> Option<RequestId> {
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

    pub(super) fn cancel(&mut self, id: RequestId, now: Now) {
        self.engine.cancel(id, now);
        let Some(pending) = self.pending.get_mut(id) else { return };
        pending.caller.needs_no_word();
        if pending.out.is_none() {
            let pending = self.pending.remove(id);
            foreign(|| drop(pending));
        }
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

    pub(super) fn over(
        &mut self,
        hub: &Hub,
        attempt: Ticket<AttemptId>,
        over: attempt::Over,
        now: Now,
    ) {
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
}

/// What the engine wants.
impl Driver {
    pub(super) fn send(&mut self, hub: &Arc<Hub>, attempt: AttemptId, token: Option<Generation>) {
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
    pub(super) fn hand_over(&mut self) {
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
    pub(super) fn abort(&mut self, attempt: AttemptId) {
        let Some(home) = self.home.clone() else { return };
        if let Some(pending) = self.current(attempt)
            && let Some(out) = &mut pending.out
        {
            out.aborted = true;
            pending.caller.line.abort(&home.runtime);
        }
    }

    pub(super) fn finish(&mut self, id: RequestId, result: Result<(), RequestError>) {
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
}

impl Driver {
    /// The id, if it is of this engine.
    pub(super) fn known<T>(&self, ticket: Ticket<T>) -> Option<T> {
        (ticket.engine == self.number).then_some(ticket.id)
    }

    /// The request of that attempt, if that is out.
    pub(super) fn current(&mut self, attempt: AttemptId) -> Option<&mut Pending> {
        let pending = self.pending.get_mut(attempt.request)?;
        let is_out = pending.out.as_ref().is_some_and(|out| out.number == attempt.number);
        is_out.then_some(pending)
    }
}
