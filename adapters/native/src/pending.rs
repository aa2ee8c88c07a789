//! What the driver keeps of one request until it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cxone_core::{AttemptId, RequestError};
use tokio::sync::oneshot;
use url::Url;

use crate::attempt::{Head, Instruction};
use crate::clock::Clock;
use crate::error::{Cause, Error, ErrorKind};
use crate::foreign::foreign;
use crate::request::Outgoing;
use crate::response::{Answer, Response, ResponseHead, StreamResponse};
use crate::token::Trouble;

/// Who waits for the end of a request, and for what.
pub(crate) enum Caller {
    Whole(oneshot::Sender<Result<Response, Error>>),
    Stream(oneshot::Sender<Result<StreamResponse, Error>>),
}

impl Caller {
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Caller::Whole(caller) => caller.is_closed(),
            Caller::Stream(caller) => caller.is_closed(),
        }
    }

    /// A caller that is gone hears of nothing, here and below.
    pub(crate) fn fail(self, error: Error) {
        foreign(|| match self {
            Caller::Whole(caller) => drop(caller.send(Err(error))),
            Caller::Stream(caller) => drop(caller.send(Err(error))),
        });
    }
}

pub(crate) struct Pending {
    pub(crate) outgoing: Arc<Outgoing>,
    /// Where the next attempt goes after a redirect.
    pub(crate) elsewhere: Option<Box<Url>>,
    caller: Caller,
    /// The last head that was seen, and what was read of its body.
    head: Option<Box<Head>>,
    body: Bytes,
    /// Why the last attempt brought no answer.
    cause: Option<Cause>,
    /// The attempt whose answer is delivered unread.
    streaming: Option<AttemptId>,
}

impl Pending {
    pub(crate) fn new(outgoing: Arc<Outgoing>, caller: Caller) -> Pending {
        Pending {
            outgoing,
            elsewhere: None,
            caller,
            head: None,
            body: Bytes::new(),
            cause: None,
            streaming: None,
        }
    }

    pub(crate) fn sent(&mut self, attempt: u32) {
        self.outgoing.attempts.store(attempt, Ordering::Relaxed);
        self.cause = None;
    }

    pub(crate) fn answered(&mut self, head: Box<Head>) {
        self.head = Some(head);
        self.body = Bytes::new();
    }

    pub(crate) fn body_read(&mut self, body: Bytes) {
        self.body = body;
    }

    pub(crate) fn failed(&mut self, body: Bytes, cause: Option<Cause>) {
        if !body.is_empty() {
            self.body = body;
        }
        self.cause = cause;
    }

    pub(crate) fn follow(&mut self) {
        if let Some(url) = self.head.as_mut().and_then(|head| head.follow.take()) {
            self.elsewhere = Some(url);
        }
    }

    pub(crate) fn stream(&mut self, attempt: AttemptId) {
        self.streaming = Some(attempt);
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.outgoing.attempts()
    }

    pub(crate) fn streaming(&self) -> Option<AttemptId> {
        self.streaming
    }

    /// Gives the caller its answer: an unread one by way of the attempt that holds it.
    pub(crate) fn succeed(self, instruct: Option<&mut Option<Instruction>>) {
        match (self.caller, self.head, instruct) {
            (Caller::Whole(caller), Some(head), _) => {
                let head = ResponseHead {
                    status: head.status,
                    version: head.version,
                    headers: head.headers,
                    url: head.url,
                    of: self.outgoing.name.clone(),
                    attempts: self.outgoing.attempts(),
                };
                let body = self.body;
                foreign(|| drop(caller.send(Ok(Response { head, body }))));
            }
            (Caller::Stream(caller), _, Some(instruct)) => {
                *instruct = Some(Instruction::Deliver(caller));
            }
            // The engine ends nothing well that had no answer.
            (caller, _, _) => caller.fail(Error::closed().about(self.outgoing.about())),
        }
    }

    pub(crate) fn fail(self, error: &RequestError, trouble: Option<&Trouble>, clock: &Clock) {
        let attempts = self.attempt();
        let (kind, retry_at) = match *error {
            RequestError::RateLimited { retry_at, .. } => {
                let retry_at = clock.wall(retry_at);
                (ErrorKind::RateLimited { retry_at, attempts }, Some(retry_at))
            }
            RequestError::Auth { .. } => (ErrorKind::Auth, None),
            RequestError::Server { .. } => (ErrorKind::Server, None),
            RequestError::Status { .. } => (ErrorKind::Status, None),
            RequestError::AttemptTimeout => (ErrorKind::Timeout, None),
            RequestError::Deadline => (ErrorKind::Timeout, None),
            RequestError::Network { .. } => (ErrorKind::Network, None),
            RequestError::Token { retry_at, .. } => {
                (ErrorKind::TokenFetch, retry_at.map(|at| clock.wall(at)))
            }
            RequestError::Closed => (ErrorKind::Closed, None),
        };
        let body = self.body;
        let own = self.head.map(|head| Answer { status: head.status, headers: head.headers, body });
        let (answer, cause) = match (&kind, trouble) {
            (ErrorKind::TokenFetch, Some(trouble)) => {
                (trouble.answer.clone(), trouble.cause.clone())
            }
            (ErrorKind::TokenFetch, None) => (None, None),
            _ => (own, self.cause),
        };
        let error = Error::from_engine(error, kind)
            .about(self.outgoing.about())
            .answer(answer)
            .until(retry_at)
            .caused_by(cause);
        self.caller.fail(error);
    }
}
