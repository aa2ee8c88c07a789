//! What a client tells while it works: pauses, retries, tokens.

use std::fmt;
use std::time::{Duration, SystemTime};

use cxone_core::{Belief, PauseReason, TokenFailure};
use tokio::sync::broadcast;

use crate::clock::later;

/// How many notices a slow reader may be behind before it misses the oldest ones.
pub(crate) const BACKLOG: usize = 256;

/// Something that the user may like to know. Its text is the line for a log.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A scope is closed, or closed for longer than it was.
    Paused {
        /// The scope.
        scope: String,
        /// From now until it opens.
        wait: Duration,
        /// The moment at which it opens, on the wall clock.
        until: SystemTime,
        /// Why.
        reason: PauseReason,
        /// 1 for the first pause, one more for each that follows without recovery; 0 for a
        /// budget, which is no refusal.
        attempt: u32,
    },
    /// The scope may be used again; it ramps up.
    Reopened {
        /// The scope.
        scope: String,
    },
    /// The scope is back at its full concurrency.
    Recovered {
        /// The scope.
        scope: String,
    },
    /// What the scope's server is believed to allow has changed.
    Believes {
        /// The scope.
        scope: String,
        /// What it is now.
        belief: Belief,
    },
    /// One request will be sent again by itself.
    Retrying {
        /// Its `X-Correlation-ID`.
        correlation_id: Option<String>,
        /// From now until it rejoins the queue.
        wait: Duration,
        /// How many of its attempts have failed.
        failures: u32,
    },
    /// A token was fetched.
    TokenValid {
        /// From now until it is no longer used.
        lifetime: Duration,
    },
    /// A token fetch failed and will be tried again.
    TokenRetrying {
        /// From now until the next fetch may start.
        wait: Duration,
        /// Why the last one failed.
        failure: TokenFailure,
    },
    /// The token endpoint refused for good.
    TokenRefused {
        /// Why.
        failure: TokenFailure,
    },
}

impl Notice {
    pub(crate) fn paused(scope: &str, wait: Duration, reason: PauseReason, attempt: u32) -> Notice {
        Notice::Paused { scope: scope.to_owned(), wait, until: later(wait), reason, attempt }
    }

    /// Tells it to `tracing`, within the span of the request that it is about.
    pub(crate) fn log(&self, span: Option<&tracing::Span>) {
        let parent = span.and_then(tracing::Span::id);
        macro_rules! log {
            ($level:ident $(, $field:ident = $value:expr)*) => {
                tracing::event!(
                    target: "cxone_client", parent: parent, tracing::Level::$level,
                    $($field = $value,)* "{self}"
                )
            };
        }
        match self {
            Notice::Paused { scope, wait, reason, .. } => {
                let (wait_ms, reason) = (millis(*wait), tracing::field::display(reason));
                match self.is_trouble() {
                    true => log!(WARN, scope = scope, wait_ms = wait_ms, reason = reason),
                    false => log!(INFO, scope = scope, wait_ms = wait_ms, reason = reason),
                }
            }
            Notice::Reopened { scope } => log!(INFO, scope = scope),
            Notice::Recovered { scope } => log!(DEBUG, scope = scope),
            Notice::Believes { scope, .. } => log!(INFO, scope = scope),
            Notice::Retrying { wait, .. } => log!(INFO, wait_ms = millis(*wait)),
            Notice::TokenValid { .. } => log!(INFO),
            Notice::TokenRetrying { wait, .. } => log!(WARN, wait_ms = millis(*wait)),
            Notice::TokenRefused { .. } => log!(ERROR),
        }
    }

    /// Is it a pause that nobody planned for? That a budget is spent, and that a believed rate meets
    /// a refusal now and then, is the normal course of things.
    fn is_trouble(&self) -> bool {
        !matches!(
            self,
            Notice::Paused { reason: PauseReason::Budget | PauseReason::Pace { .. }, .. }
        )
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Paused { wait, reason, attempt, .. } => {
                let ms = millis(*wait);
                match reason {
                    PauseReason::Stated { .. }
                    | PauseReason::Backoff { .. }
                    | PauseReason::Pace { .. } => {
                        write!(f, "Rate limit hit. Retrying in {ms}ms (attempt {attempt})")
                    }
                    PauseReason::Outage => {
                        write!(
                            f,
                            "No answer from the server. Retrying in {ms}ms (attempt {attempt})"
                        )
                    }
                    PauseReason::Budget => {
                        write!(f, "The announced budget is spent. Next request in {ms}ms")
                    }
                }
            }
            Notice::Reopened { .. } => f.write_str("The server answers again. Speeding up"),
            Notice::Recovered { .. } => f.write_str("Back at full speed"),
            Notice::Believes { belief, .. } => write!(f, "Rate limit believed: {belief}"),
            Notice::Retrying { wait, failures, .. } => {
                write!(f, "Request failed. Retrying in {}ms (attempt {failures})", millis(*wait))
            }
            Notice::TokenValid { lifetime } => {
                write!(f, "Access token fetched, used for {}s", lifetime.as_secs())
            }
            Notice::TokenRetrying { wait, failure } => {
                write!(f, "{failure}. Retrying in {}ms", millis(*wait))
            }
            Notice::TokenRefused { failure } => fmt::Display::fmt(failure, f),
        }
    }
}

/// Receives the [`Notice`]s of a client; see [`Client::notices`](crate::Client::notices).
#[derive(Debug)]
pub struct Notices(pub(crate) broadcast::Receiver<Notice>);

impl Notices {
    /// The next notice; `None` when the client is gone. A reader that is too slow misses the
    /// oldest ones: it holds up nobody.
    pub async fn recv(&mut self) -> Option<Notice> {
        loop {
            match self.0.recv().await {
                Ok(notice) => return Some(notice),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Whole milliseconds, rounded up.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t22_a_pause_reads_as_the_tutorial_writes_it() {
        let wait = Duration::from_micros(1_233_400);
        let notice = Notice::paused("default", wait, PauseReason::Stated { status: 429 }, 2);
        assert_eq!(notice.to_string(), "Rate limit hit. Retrying in 1234ms (attempt 2)");
    }

    #[test]
    fn a_pause_that_pacing_brings_with_it_is_no_trouble() {
        let is_trouble =
            |reason| Notice::paused("s", Duration::from_secs(1), reason, 1).is_trouble();
        for reason in [PauseReason::Budget, PauseReason::Pace { status: 429 }] {
            assert!(!is_trouble(reason), "{reason:?}");
        }
        let (stated, outage) = (PauseReason::Stated { status: 429 }, PauseReason::Outage);
        for reason in [stated, outage, PauseReason::Backoff { status: 529 }] {
            assert!(is_trouble(reason), "{reason:?}");
        }
    }

    #[test]
    fn the_lines_are_those_of_the_engine() {
        use cxone_core::{Generation, Instant, Notice as Seen};
        let (now, wait) = (Instant::from_millis(500), Duration::from_micros(2_000_100));
        let until = now + wait;
        let failure = TokenFailure::Transient { status: 503 };
        let scope = || "s".to_owned();
        let quota = cxone_core::BelievedQuota {
            requests: 150,
            window: Some(Duration::from_secs(300)),
            remaining: 3,
            resets: None,
            basis: cxone_core::Basis::Announced,
        };
        let belief = Belief { quota: Some(quota), rate: None };
        let mut pairs = vec![
            (Seen::Reopened { scope: "s".into() }, Notice::Reopened { scope: scope() }),
            (Seen::Recovered { scope: "s".into() }, Notice::Recovered { scope: scope() }),
            (
                Seen::Believes { scope: "s".into(), belief: Box::new(belief) },
                Notice::Believes { scope: scope(), belief },
            ),
            (
                Seen::Retrying { id: cxone_core::RequestId::from_u64(1), wait, failures: 2 },
                Notice::Retrying { correlation_id: None, wait, failures: 2 },
            ),
            (
                Seen::TokenValid { generation: Generation(1), until },
                Notice::TokenValid { lifetime: wait },
            ),
            (Seen::TokenRetrying { wait, failure }, Notice::TokenRetrying { wait, failure }),
            (Seen::TokenRefused { failure }, Notice::TokenRefused { failure }),
        ];
        for reason in [
            PauseReason::Stated { status: 429 },
            PauseReason::Backoff { status: 529 },
            PauseReason::Pace { status: 429 },
            PauseReason::Outage,
            PauseReason::Budget,
        ] {
            let seen = Seen::Paused { scope: "s".into(), wait, until, reason, attempt: 3 };
            pairs.push((seen, Notice::paused("s", wait, reason, 3)));
        }
        for (seen, told) in pairs {
            assert_eq!(seen.line(now), told.to_string());
        }
    }
}
