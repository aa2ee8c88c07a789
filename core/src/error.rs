//! What can go wrong, told so that the caller can do something about it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use crate::event::Failure;
use crate::status::with_phrase;
use crate::text::text;
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

impl SubmitError {
    /// What its `Display` shows.
    pub fn text(&self) -> String {
        match self {
            SubmitError::QueueFull { limit } => text![
                "Queue Full: ",
                limit,
                " requests are waiting; submit more slowly or raise queue_limit"
            ],
            SubmitError::Closed => "Client Closed: it accepts no more requests".to_owned(),
            SubmitError::Scopes => text![
                "invalid `scopes`: name at most ",
                crate::MAX_SCOPES as u64,
                ", each once and none of them empty"
            ],
        }
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
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
        /// The moment at which trying again makes sense, where a 502, 503 or 504 stated one.
        retry_at: Option<Instant>,
    },
    /// Any other error status.
    Status {
        /// The status.
        status: u16,
        /// The moment at which trying again makes sense, where a 408 or 425 stated one.
        retry_at: Option<Instant>,
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

impl RequestError {
    /// What its `Display` shows.
    pub fn text(&self) -> String {
        let what = match self {
            RequestError::RateLimited { status: Some(status), .. } => {
                return with_phrase("Rate Limited: ", *status);
            }
            RequestError::Auth { status } => {
                return with_phrase("Auth/Permission Error: ", *status);
            }
            RequestError::Server { status, .. } => return with_phrase("Server Error: ", *status),
            RequestError::Status { status, .. } => return with_phrase("Request Failed: ", *status),
            RequestError::Token { failure, .. } => return failure.text(),
            RequestError::RateLimited { status: None, .. } => {
                "Rate Limited: the server refuses for longer than this request may wait"
            }
            RequestError::AttemptTimeout => "Timeout: no complete answer within attempt_timeout",
            RequestError::Deadline => "Timeout: the request's deadline passed",
            RequestError::Network { failure } => match failure {
                Failure::Unsent => "Network Error: the server could not be reached",
                Failure::Unsendable => "Network Error: the request cannot be sent",
                Failure::Reset => "Network Error: the connection was lost before an answer",
                Failure::Truncated => "Network Error: the answer's body ended early",
                Failure::TooLarge => "Network Error: the answer's body is larger than max_body",
                Failure::Aborted => "Network Error: the attempt was aborted",
            },
            RequestError::Closed => "Client Closed: the request was given up",
        };
        what.to_owned()
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
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

impl TokenFailure {
    /// What its `Display` shows.
    pub fn text(&self) -> String {
        let what = match self.status() {
            Some(status) => return with_phrase("OAuth Token Fetch Failed: ", status),
            None if self.is_fatal() => "OAuth Token Fetch Failed: the token URL cannot be used",
            None => "OAuth Token Fetch Failed: no answer from the token endpoint",
        };
        what.to_owned()
    }
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl core::error::Error for TokenFailure {}
