//! What the driver keeps of one request until it ends.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cxone_core::{RequestError, Verdict};
use url::Url;

use crate::attempt::Instruction;
use crate::clock::Clock;
use crate::error::{Cause, Error, ErrorKind};
use crate::line::Outcome;
use crate::outgoing::Outgoing;
use crate::response::Received;
use crate::token::Trouble;

/// A request whose caller waits to be told its end. It is told that nobody knows, should this be
/// dropped before.
pub(crate) struct Caller {
    outgoing: Arc<Outgoing>,
    told: bool,
}

impl Caller {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Caller {
        Caller { outgoing, told: false }
    }

    pub(crate) fn tell(&mut self, outcome: Outcome) {
        self.told = true;
        self.outgoing.line.tell(outcome);
    }

    /// It has been told otherwise, or wants to hear nothing.
    pub(crate) fn needs_no_word(&mut self) {
        self.told = true;
    }
}

impl Deref for Caller {
    type Target = Arc<Outgoing>;

    fn deref(&self) -> &Arc<Outgoing> {
        &self.outgoing
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Outcome::Lost);
        }
    }
}

pub(crate) struct Pending {
    pub(crate) caller: Caller,
    /// Where the next attempt goes after a redirect.
    pub(crate) elsewhere: Option<Box<Url>>,
    /// The attempt that is out.
    pub(crate) out: Option<Out>,
    /// The last answer that was seen.
    received: Option<Box<Received>>,
    /// Why the last attempt brought no answer.
    cause: Option<Cause>,
}

/// An attempt that is out.
pub(crate) struct Out {
    pub(crate) number: u32,
    /// It is a task, and no longer its caller's to drive.
    pub(crate) is_task: bool,
    /// It was told to end.
    pub(crate) aborted: bool,
    /// What to do with its body, until it takes that.
    pub(crate) instruction: Option<Instruction>,
}

impl Pending {
    pub(crate) fn new(caller: Caller) -> Pending {
        Pending { caller, elsewhere: None, out: None, received: None, cause: None }
    }

    /// Its end has been told, and only its attempt is not over.
    pub(crate) fn has_ended(&self) -> bool {
        self.caller.told
    }

    pub(crate) fn sent(&mut self, number: u32, is_task: bool) {
        self.caller.attempts.store(number, Ordering::Relaxed);
        self.cause = None;
        self.out = Some(Out { number, is_task, aborted: false, instruction: None });
    }

    pub(crate) fn answered(&mut self, received: Box<Received>) {
        self.received = Some(received);
    }

    /// What the verdict on its answer comes to.
    pub(crate) fn judged(&mut self, verdict: Verdict) {
        let instruction = match verdict {
            Verdict::Read => Some(Instruction::Read),
            Verdict::Drain => Some(Instruction::Drain),
            Verdict::Follow => {
                if let Some(url) = self.received.as_mut().and_then(|it| it.follow.take()) {
                    self.elsewhere = Some(url);
                }
                Some(Instruction::Drain)
            }
            // Its success comes with the answer.
            Verdict::Stream => None,
        };
        if let Some(out) = &mut self.out {
            out.instruction = instruction;
        }
    }

    pub(crate) fn body_read(&mut self, body: Bytes) {
        if let Some(received) = &mut self.received {
            received.body = body;
        }
    }

    pub(crate) fn failed(&mut self, body: Bytes, cause: Option<Cause>) {
        if !body.is_empty() {
            self.body_read(body);
        }
        self.cause = cause;
    }

    /// Its answer, if it has been read.
    pub(crate) fn answer(&mut self) -> Outcome {
        match self.received.take() {
            Some(received) => Outcome::Whole(received),
            // The engine ends nothing well that had no answer.
            None => Outcome::Lost,
        }
    }

    /// Its answer, if it is delivered unread: by way of the attempt, which holds the body.
    pub(crate) fn delivery(mut self) -> Option<Instruction> {
        let received = self.received.take()?;
        Some(Instruction::Deliver(self.caller, received))
    }

    /// Why it has none.
    pub(crate) fn failure(
        &mut self,
        error: &RequestError,
        trouble: Option<&Trouble>,
        clock: &Clock,
    ) -> Outcome {
        let attempts = self.caller.attempts();
        let (kind, retry_at) = match *error {
            RequestError::RateLimited { retry_at, .. } => {
                let retry_at = clock.wall(retry_at);
                (ErrorKind::RateLimited { retry_at, attempts }, Some(retry_at))
            }
            RequestError::Auth { .. } => (ErrorKind::Auth, None),
            RequestError::Server { retry_at, .. } => {
                (ErrorKind::Server, retry_at.map(|at| clock.wall(at)))
            }
            RequestError::Status { retry_at, .. } => {
                (ErrorKind::Status, retry_at.map(|at| clock.wall(at)))
            }
            RequestError::AttemptTimeout => (ErrorKind::Timeout, None),
            RequestError::Deadline => (ErrorKind::Timeout, None),
            RequestError::Network { .. } => (ErrorKind::Network, None),
            RequestError::Token { retry_at, .. } => {
                (ErrorKind::TokenFetch, retry_at.map(|at| clock.wall(at)))
            }
            RequestError::Closed => (ErrorKind::Closed, None),
        };
        let own = self.received.take().map(|received| received.into_answer());
        let (answer, cause) = match (&kind, trouble) {
            (ErrorKind::TokenFetch, Some(trouble)) => {
                (trouble.answer.clone(), trouble.cause.clone())
            }
            (ErrorKind::TokenFetch, None) => (None, None),
            _ => (own, self.cause.take()),
        };
        let error = Error::from_engine(error, kind)
            .about(self.caller.about())
            .answer(answer)
            .until(retry_at)
            .caused_by(cause);
        Outcome::Failed(error)
    }
}
