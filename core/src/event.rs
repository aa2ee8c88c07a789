//! The whole vocabulary between the engine and its host: what the host saw ([`Input`]), what it
//! must do ([`Output`]), and what it may tell its user ([`Notice`]).
//!
//! Ids cross, never payloads: the host keeps URLs, bodies, answers and reply channels by
//! [`RequestId`], and token strings by [`Generation`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::error::{RequestError, TokenFailure};
use crate::pacer::Belief;
use crate::text::text;
use crate::time::Instant;

/// How urgent a request is. HIGH leaves before NORMAL before LOW, first come first served within
/// one class, but a class that waits gets at least one of every
/// [`fair_share`](crate::Config::fair_share) sends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Priority {
    /// Somebody is waiting for it: a wallboard, an agent.
    High = 1,
    /// The default.
    #[default]
    Normal = 2,
    /// Background work: nightly exports.
    Low = 3,
}

impl Priority {
    /// All classes, most urgent first.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }
}

/// May this request be sent again?
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Replay {
    /// Never: its body can be read only once.
    Never,
    /// Only when the server refused it or never saw it: a `POST` without an `Idempotency-Key`.
    IfUnprocessed,
    /// After any transient failure: an idempotent method (RFC 9110 §9.2.2), or a request that
    /// carries an `Idempotency-Key`.
    #[default]
    Always,
}

/// A request as the engine sees it.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// Its class.
    pub priority: Priority,
    /// The scopes whose limits it consumes, narrowest first; at most
    /// [`MAX_SCOPES`](crate::MAX_SCOPES). None means the one scope for the whole client.
    pub scopes: &'a [&'a str],
    /// Does it carry the engine's token?
    pub auth: bool,
    /// May it be sent again?
    pub replay: Replay,
    /// Is the slot free as soon as the answer's head is delivered? The body is then the caller's
    /// own business, neither timed nor retried.
    pub stream: bool,
    /// Time allowed to one attempt; `None` takes
    /// [`Config::attempt_timeout`](crate::Config::attempt_timeout), [`Duration::MAX`] is none.
    pub attempt_timeout: Option<Duration>,
    /// Time allowed to the whole request, counted from submit: it covers everything.
    pub deadline: Option<Duration>,
}

impl Default for Job<'_> {
    fn default() -> Self {
        Job {
            priority: Priority::Normal,
            scopes: &[],
            auth: true,
            replay: Replay::Always,
            stream: false,
            attempt_timeout: None,
            deadline: None,
        }
    }
}

/// Names one accepted request. Never above 2⁵³, so that it is exact as a JavaScript number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// A slot is taken so often before an id comes again.
    const GENERATIONS: u32 = 1 << 21;

    pub(crate) fn new(slot: u32, generation: u32) -> RequestId {
        RequestId((u64::from(generation % Self::GENERATIONS) << 32) | u64::from(slot))
    }

    /// Its place among the requests that an engine has: a small number, used again when it is over.
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    /// The id as a number below 2⁵³.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The id that [`as_u64`](Self::as_u64) gave. Any other number names no request, which is
    /// harmless.
    pub fn from_u64(id: u64) -> RequestId {
        RequestId(id)
    }
}

impl fmt::Display for RequestId {
    /// `r7` for the first request in the seventh place, `r7.2` for the third one there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 >> 32 {
            0 => write!(f, "r{}", self.slot()),
            generation => write!(f, "r{}.{generation}", self.slot()),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One sending of one request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The request that is sent.
    pub request: RequestId,
    /// 1 for its first sending.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.request, self.number)
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Counts token fetches: a token is named by the fetch that brought it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The head of an answer: its status and those of its header fields that matter.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// Name and value of each field named in [`SIGNAL_HEADERS`](crate::SIGNAL_HEADERS) or
    /// [`Reading::ms_headers`](crate::Reading::ms_headers), in their order; others are ignored.
    pub headers: &'a [(&'a str, &'a str)],
    /// Is it a redirect which the host could follow: a `GET` or `HEAD`, to the same origin?
    pub redirect: bool,
}

/// Why an attempt ended without a complete answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// It never left: DNS, connection refused. Safe to send again whatever the method.
    Unsent,
    /// It can never be sent: a bad URL, a certificate that is not trusted.
    Unsendable,
    /// The connection was lost before the answer's head arrived.
    Reset,
    /// The answer's body ended early, or never ended.
    Truncated,
    /// The answer's body is larger than the host accepts.
    TooLarge,
    /// The host ended it, as [`Output::Abort`] told it to.
    Aborted,
}

/// What the host saw. An input about something that is over is a no-op.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The head of an answer arrived; an [`Output::Body`] says what to do with its body.
    Head {
        /// The attempt that it answers.
        attempt: AttemptId,
        /// What matters of it.
        head: Head<'a>,
    },
    /// The attempt is over: its body was read or drained to the end, or given up when draining.
    Done {
        /// The attempt that ended.
        attempt: AttemptId,
    },
    /// The attempt is over without a complete answer.
    Failed {
        /// The attempt that ended.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// The token fetch brought a token, which the host keeps under this generation.
    Token {
        /// The fetch that it answers.
        generation: Generation,
        /// How long it lives from when the fetch was sent; `None` if the answer does not say.
        lifetime: Option<Duration>,
    },
    /// The token fetch brought none.
    TokenFailed {
        /// The fetch that failed.
        generation: Generation,
        /// Why.
        failure: TokenFailure,
        /// The head's fields, as in [`Head::headers`]; empty if there was no answer.
        headers: &'a [(&'a str, &'a str)],
    },
}

/// What to do with the body of an answer whose head was reported.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Read all of it, then report [`Input::Done`]. The answer is the request's result.
    Read,
    /// Hand the answer to the caller with its body unread. The attempt is over.
    Stream,
    /// Nobody wants it: read at most [`DRAIN_LIMIT`](crate::DRAIN_LIMIT) bytes so that the
    /// connection can be used again, keep them for a later error, never parse them, then report
    /// [`Input::Done`].
    Drain,
    /// As `Drain`, and the next attempt of this request goes where `Location` says.
    Follow,
}

/// What the host must do, in this order, before it feeds anything else.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Start this attempt now, with the token of that generation.
    Send {
        /// The attempt to start.
        attempt: AttemptId,
        /// The token to carry; `None` for a job without `auth`.
        token: Option<Generation>,
    },
    /// Treat the body of that attempt's answer so.
    Body {
        /// The attempt that was answered.
        attempt: AttemptId,
        /// What to do.
        verdict: Verdict,
    },
    /// End this attempt, and report it over when its transport has ended.
    Abort {
        /// The attempt to end.
        attempt: AttemptId,
    },
    /// Fetch a token; report [`Input::Token`] or [`Input::TokenFailed`] with this generation.
    FetchToken {
        /// The generation that the new token will have.
        generation: Generation,
    },
    /// End that token fetch, and forget it.
    AbortToken {
        /// The fetch to end.
        generation: Generation,
    },
    /// The request is over. Said once for each accepted request that was not cancelled.
    Finish {
        /// The request that ended.
        id: RequestId,
        /// `Ok` when its last answer is its result.
        result: Result<(), RequestError>,
    },
    /// Something that the user may like to know.
    Notice(Notice),
}

/// Why a scope is paused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PauseReason {
    /// A throttling answer stated the wait.
    Stated {
        /// The status of that answer.
        status: u16,
    },
    /// A throttling answer stated no wait, or one that cannot be believed: own backoff.
    Backoff {
        /// The status of that answer.
        status: u16,
    },
    /// A throttling answer stated no wait, but of the limit as much is known: the rate that is believed
    /// had to meet one now and then, or it was met within moments. The wait is but
    /// [as long as that](crate::pacing#how-long-is-waited-where-a-refusal-does-not-say).
    Pace {
        /// The status of that answer.
        status: u16,
    },
    /// Attempts fail without any answer: own backoff.
    Outage,
    /// A delivered answer announced that the budget is spent.
    Budget,
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PauseReason::Stated { status } => write!(f, "{status}, the server states the wait"),
            PauseReason::Backoff { status } => write!(f, "{status}, own backoff"),
            PauseReason::Pace { status } => write!(f, "{status}, the believed rate's wait"),
            PauseReason::Outage => f.write_str("no answer from the server, own backoff"),
            PauseReason::Budget => f.write_str("the server announces that the budget is spent"),
        }
    }
}

/// Something that the user may like to know. Nothing depends on it.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// A scope is closed, or closed for longer than was told: by 100 ms or more, or by a further
    /// round of refusals.
    Paused {
        /// The scope.
        scope: Arc<str>,
        /// From now until it opens.
        wait: Duration,
        /// The moment at which it opens.
        until: Instant,
        /// Why.
        reason: PauseReason,
        /// 1 for the first pause, one more for each that follows without recovery; 0 for a
        /// budget, which is no refusal.
        attempt: u32,
    },
    /// An answer showed that the scope may be used again; it ramps up, if its concurrency is more
    /// than the 2 of the ramp's start (else it has recovered at once).
    Reopened {
        /// The scope.
        scope: Arc<str>,
    },
    /// The scope is back at its full concurrency.
    Recovered {
        /// The scope.
        scope: Arc<str>,
    },
    /// What the scope's server is believed to allow has changed.
    Believes {
        /// The scope.
        scope: Arc<str>,
        /// What it is now. In a box: everything that a host is told would be as large as this.
        belief: Box<Belief>,
    },
    /// One request will be sent again by itself.
    Retrying {
        /// The request.
        id: RequestId,
        /// From now until it rejoins the queue; a spent retry budget may add to it.
        wait: Duration,
        /// How many of its attempts have failed.
        failures: u32,
    },
    /// A token is in use.
    TokenValid {
        /// Its generation.
        generation: Generation,
        /// The moment from which it is no longer used.
        until: Instant,
    },
    /// A token fetch failed and will be tried again when a request needs it.
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
    /// The line for a log, the same whatever the host; `now` is the moment of the notice.
    pub fn line(&self, now: Instant) -> String {
        match self {
            Notice::Paused { wait, reason, attempt, .. } => {
                let ms = millis(*wait);
                match reason {
                    PauseReason::Stated { .. }
                    | PauseReason::Backoff { .. }
                    | PauseReason::Pace { .. } => {
                        text!["Rate limit hit. Retrying in ", ms, "ms (attempt ", attempt, ")"]
                    }
                    PauseReason::Outage => text![
                        "No answer from the server. Retrying in ",
                        ms,
                        "ms (attempt ",
                        attempt,
                        ")"
                    ],
                    PauseReason::Budget => {
                        text!["The announced budget is spent. Next request in ", ms, "ms"]
                    }
                }
            }
            Notice::Reopened { .. } => "The server answers again. Speeding up".into(),
            Notice::Recovered { .. } => "Back at full speed".into(),
            Notice::Believes { belief, .. } => text!["Rate limit believed: ", belief.text()],
            Notice::Retrying { wait, failures, .. } => {
                let ms = millis(*wait);
                text!["Request failed. Retrying in ", ms, "ms (attempt ", failures, ")"]
            }
            Notice::TokenValid { until, .. } => {
                let lifetime = until.saturating_since(now).as_secs();
                text!["Access token fetched, used for ", lifetime, "s"]
            }
            Notice::TokenRetrying { wait, failure } => {
                text![failure.text(), ". Retrying in ", millis(*wait), "ms"]
            }
            Notice::TokenRefused { failure } => failure.text(),
        }
    }
}

/// Whole milliseconds, rounded up.
fn millis(wait: Duration) -> u64 {
    let part = wait.subsec_nanos().div_ceil(1_000_000);
    wait.as_secs().saturating_mul(1000).saturating_add(u64::from(part))
}

/// Why [`Engine::poll_timeout`](crate::Engine::poll_timeout) names that moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wake {
    /// A scope's gate may open.
    Gate,
    /// The token endpoint may be asked again.
    Token,
    /// An attempt, a token fetch, or the drain of a body takes too long.
    AttemptTimeout,
    /// A failed request rejoins the queue.
    Retry,
    /// The retry budget is worth a retry again.
    Budget,
    /// A request's deadline passes.
    Deadline,
}

impl Wake {
    /// By their numbers.
    pub(crate) const ALL: [Wake; 6] =
        [Wake::Gate, Wake::Token, Wake::AttemptTimeout, Wake::Retry, Wake::Budget, Wake::Deadline];
}
