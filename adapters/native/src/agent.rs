//! The events of an agent's session, by long polls.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cxone_core::poll_pause;
use cxone_core::profile::AGENT_EVENTS;
use futures_core::Stream;
use http::StatusCode;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::response::Response;

/// The longest that the server holds a poll.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// What an answer needs on top of that.
const GRACE: Duration = Duration::from_secs(15);

/// The events of an agent's session: a `Stream` of `Result<Value, Error>`, which has no end.
///
/// The server holds each poll until something happens; 304 says that nothing has, and it is asked
/// again at once, but not more than four times a second where it does not hold them. The polls have
/// a scope of their own, `agent-events`, which on NICE's own platform counts apart from the client's
/// concurrency; elsewhere use [`scope_limit_apart`](crate::ClientBuilder::scope_limit_apart).
///
/// # Errors
///
/// An error is the last thing that it yields. The server forgets events that it has sent: what came
/// with a broken answer is lost, so whoever needs all of them reads the session's state again.
#[must_use = "a stream does nothing until it is polled"]
pub struct AgentEvents {
    client: Client,
    path: String,
    timeout: Duration,
    events: VecDeque<Value>,
    /// Before the next poll.
    pause: Duration,
    poll: Option<Asked>,
    failed: bool,
}

/// An answer, and how long it took.
type Asked = Pin<Box<dyn Future<Output = (Result<Response, Error>, Duration)> + Send>>;

impl AgentEvents {
    pub(crate) fn new(client: Client, session: &str) -> AgentEvents {
        AgentEvents {
            client,
            path: format!("{}/get-next-event", session.trim_end_matches('/')),
            timeout: LONGEST_POLL,
            events: VecDeque::new(),
            pause: Duration::ZERO,
            poll: None,
            failed: false,
        }
    }

    /// How long the server may hold a poll, up to 60 s, in whole seconds. Default 60 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time.min(LONGEST_POLL);
        self
    }

    fn ask(&self) -> Asked {
        let seconds = self.timeout.as_secs();
        let request = self.client.get(&self.path).query(&[("timeout", seconds)]);
        let request = request.rate_scope(AGENT_EVENTS).timeout(self.timeout + GRACE);
        let pause = self.pause;
        Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let asked = Instant::now();
            (request.send().await, asked.elapsed())
        })
    }
}

impl Stream for AgentEvents {
    type Item = Result<Value, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.failed {
                return Poll::Ready(None);
            }
            let mut poll = self.poll.take().unwrap_or_else(|| self.ask());
            let Poll::Ready((answer, took)) = poll.as_mut().poll(cx) else {
                self.poll = Some(poll);
                return Poll::Pending;
            };
            let events = answer.and_then(|response| match response.status() {
                StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT => Ok(Vec::new()),
                _ => response.json::<Value>().map(events),
            });
            match events {
                Ok(events) => {
                    self.pause = if events.is_empty() { poll_pause(took) } else { Duration::ZERO };
                    self.events.extend(events);
                }
                Err(error) => {
                    self.failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// The events of an answer; where it names none, the answer is one.
fn events(mut answer: Value) -> Vec<Value> {
    match answer.get_mut("events").map(Value::take) {
        Some(Value::Array(events)) => events,
        _ => vec![answer],
    }
}

impl fmt::Debug for AgentEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentEvents").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
