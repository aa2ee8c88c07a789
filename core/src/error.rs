//! What can go wrong, told so that the caller can do something about it.

use core::fmt;

use crate::event::Failure;
use crate::status::status_text;
use crate::time::Instant;

/// A setting that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The setting, as it is called in [`Config`](crate::Config).
    pub field: &'static str,
    /// What it must be.
    pub fix: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid setting `{}`: {}", self.field, self.fix)
    }
}

impl core::error::Error for ConfigError {}

/// Why a request was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmitError {
    /// As many requests wait as [`Config::queue_limit`](crate::Config::queue_limit) allows.
    QueueFull {
        /// That bound.
        limit: u32,
    },
    /// The engine is closing or closed.
    Closed,
    /// The job names more scopes than [`MAX_SCOPES`](crate::MAX_SCOPES), the same one twice, or
    /// one without a name.
    Scopes,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::QueueFull { limit } => {
                write!(
                    f,
                    "Queue Full: {limit} requests are waiting; submit more slowly or raise queue_limit"
                )
            }
            SubmitError::Closed => f.write_str("Client Closed: it accepts no more requests"),
            SubmitError::Scopes => {
                write!(
                    f,
                    "invalid `scopes`: name at most {}, each once and none of them empty",
                    crate::MAX_SCOPES
                )
            }
        }
    }
}

impl core::error::Error for SubmitError {}

/// How an accepted request failed.
///
/// Where a status is named, the answer that carried it is the last one that the host saw for
/// this request, and its head and (bounded) body belong to the error.
#[derive(Clone, PartialEq, Debug)]
pub enum RequestError {
    /// The server refuses for longer than this request may wait. Sending it before `retry_at`
    /// makes no sense.
    RateLimited {
        /// The moment at which trying again makes sense.
        retry_at: Instant,
        /// The status of this request's own refusal; `None` if it never was refused itself.
        status: Option<u16>,
    },
    /// 401 after the one refresh, or 403.
    Auth {
        /// The status.
        status: u16,
    },
    /// 5xx.
    Server {
        /// The status.
        status: u16,
    },
    /// Any other error status.
    Status {
        /// The status.
        status: u16,
    },
    /// An attempt took longer than its timeout, and no more attempts are allowed.
    AttemptTimeout,
    /// The caller's deadline passed.
    Deadline,
    /// No complete answer, and no more attempts are allowed.
    Network {
        /// How the last attempt failed.
        failure: Failure,
    },
    /// No token can be had.
    Token {
        /// Why the last fetch failed.
        failure: TokenFailure,
        /// The moment at which a fetch is tried again.
        retry_at: Option<Instant>,
    },
    /// The engine was closed.
    Closed,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_status =
            |f: &mut fmt::Formatter<'_>, what: &str, status: u16| match status_text(status) {
                "" => write!(f, "{what}: {status}"),
                text => write!(f, "{what}: {status} {text}"),
            };
        match self {
            RequestError::RateLimited { status: Some(status), .. } => {
                with_status(f, "Rate Limited", *status)
            }
            RequestError::RateLimited { status: None, .. } => f.write_str(
                "Rate Limited: the server refuses for longer than this request may wait",
            ),
            RequestError::Auth { status } => with_status(f, "Auth/Permission Error", *status),
            RequestError::Server { status } => with_status(f, "Server Error", *status),
            RequestError::Status { status } => with_status(f, "Request Failed", *status),
            RequestError::AttemptTimeout => {
                f.write_str("Timeout: no complete answer within attempt_timeout")
            }
            RequestError::Deadline => f.write_str("Timeout: the request's deadline passed"),
            RequestError::Network { failure } => {
                let what = match failure {
                    Failure::Unsent => "the server could not be reached",
                    Failure::Unsendable => "the request cannot be sent",
                    Failure::Reset => "the connection was lost before an answer",
                    Failure::Truncated => "the answer's body ended early",
                    Failure::TooLarge => "the answer's body is larger than max_body",
                    Failure::Aborted => "the attempt was aborted",
                };
                write!(f, "Network Error: {what}")
            }
            RequestError::Token { failure, .. } => fmt::Display::fmt(failure, f),
            RequestError::Closed => f.write_str("Client Closed: the request was given up"),
        }
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            RequestError::Token { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

/// Why a token fetch brought no token. What else the endpoint said stays with the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenFailure {
    /// The endpoint cannot answer now (429, 5xx): it will be asked again.
    Transient {
        /// The status of its answer.
        status: u16,
    },
    /// It was not reached, or gave no complete answer in time: it will be asked again.
    Network,
    /// It answered, and asking again would not help (`invalid_client`, 404, HTML, a redirect).
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// The fetch can never be sent: a bad URL, a certificate that is not trusted.
    Unsendable,
}

impl TokenFailure {
    /// Would asking again not help?
    pub const fn is_fatal(self) -> bool {
        matches!(self, TokenFailure::Refused { .. } | TokenFailure::Unsendable)
    }

    /// The status of the endpoint's answer, if there was one.
    pub const fn status(self) -> Option<u16> {
        match self {
            TokenFailure::Transient { status } | TokenFailure::Refused { status } => Some(status),
            TokenFailure::Network | TokenFailure::Unsendable => None,
        }
    }
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuth Token Fetch Failed: ")?;
        match self.status() {
            Some(status) => match status_text(status) {
                "" => write!(f, "{status}"),
                text => write!(f, "{status} {text}"),
            },
            None if self.is_fatal() => f.write_str("the token URL cannot be used"),
            None => f.write_str("no answer from the token endpoint"),
        }
    }
}

impl core::error::Error for TokenFailure {}
