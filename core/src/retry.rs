//! May this failure be tried again? What an answer's status means, and what may be sent twice.
//!
//! | answer | what happens |
//! |---|---|
//! | 2xx, 3xx | delivered |
//! | 429; 509, 529; 403 or 503 with Retry-After or an exhausted limit | throttled: pause the scope, requeue (any method: it was refused, not processed; a 503 only if [`Replay::Always`]) |
//! | 401 | refresh that token once, replay once, then fail |
//! | other 403, other 4xx; 500, 501, other 5xx | fail at once |
//! | 408, 425, 502, 503, 504, reset, attempt timeout, truncated body | again, if [`Replay::Always`], within the limits |
//! | never sent (DNS, connection refused) | the same for any method |
//!
//! A body that cannot be replayed ([`Replay::Never`]) is never sent again.

use crate::error::RequestError;
use crate::event::{Failure, Replay};
use crate::signals::Signals;
use crate::time::Instant;

/// What the head of an answer means for its request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Judgement {
    /// It is the result.
    Deliver,
    /// The server refused it for now; it was not processed.
    Throttled,
    /// The token was not accepted. The status alone says so: `WWW-Authenticate` is not asked, since
    /// the 401s of the CXone APIs carry none, or one without a scheme, and RFC 6750 §3.1 has a
    /// missing right answered by a 403.
    Unauthorized,
    /// It may go better next time.
    Transient,
    /// It would not go better.
    Failed,
}

/// Judges the head of an answer, by itself: attempts, budget and deadlines are not looked at.
pub fn judge(status: u16, signals: &Signals) -> Judgement {
    match status {
        200..=399 => Judgement::Deliver,
        429 | 509 | 529 => Judgement::Throttled,
        403 | 503 if signals.retry_after || signals.exhausted => Judgement::Throttled,
        401 => Judgement::Unauthorized,
        408 | 425 | 502 | 503 | 504 => Judgement::Transient,
        _ => Judgement::Failed,
    }
}

impl Judgement {
    /// May a request that drew this answer be sent again at all?
    pub fn allows(self, status: u16, replay: Replay) -> bool {
        match self {
            Judgement::Deliver | Judgement::Failed => false,
            // A gateway's 503 does not say that nothing behind it was done.
            Judgement::Throttled if status == 503 => replay == Replay::Always,
            Judgement::Throttled | Judgement::Unauthorized => replay != Replay::Never,
            Judgement::Transient => replay == Replay::Always,
        }
    }
}

impl Failure {
    /// May a request whose attempt ended like this be sent again at all?
    pub fn allows(self, replay: Replay) -> bool {
        match self {
            Failure::Unsent => replay != Replay::Never,
            Failure::Reset | Failure::Truncated | Failure::Aborted => replay == Replay::Always,
            Failure::Unsendable | Failure::TooLarge => false,
        }
    }
}

/// The error of a request whose last answer had this status, and may have said when to try again.
pub(crate) fn error_of(status: u16, retry_at: Option<Instant>) -> RequestError {
    match status {
        401 | 403 => RequestError::Auth { status },
        500..=599 => RequestError::Server { status, retry_at },
        _ => RequestError::Status { status, retry_at },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Signals {
        Signals::default()
    }

    #[test]
    fn t11_t12_t13_other_errors_fail_at_once() {
        for status in [400, 403, 404, 409, 410, 422, 451, 500, 501, 505, 507, 511] {
            assert_eq!(judge(status, &plain()), Judgement::Failed, "{status}");
        }
    }

    #[test]
    fn x23_transient_answers_and_rare_throttles_are_known() {
        for status in [408, 425, 502, 503, 504] {
            assert_eq!(judge(status, &plain()), Judgement::Transient, "{status}");
        }
        for status in [429, 509, 529] {
            assert_eq!(judge(status, &plain()), Judgement::Throttled, "{status}");
        }
    }

    #[test]
    fn x24_a_403_or_503_that_states_a_limit_is_a_throttle() {
        let waits = Signals { retry_after: true, ..plain() };
        let spent = Signals { exhausted: true, ..plain() };
        for status in [403, 503] {
            assert_eq!(judge(status, &waits), Judgement::Throttled);
            assert_eq!(judge(status, &spent), Judgement::Throttled);
        }
        assert_eq!(judge(502, &waits), Judgement::Transient);
    }

    #[test]
    fn what_may_be_sent_twice_depends_on_what_the_server_did() {
        use Replay::{Always, IfUnprocessed, Never};
        assert!(Judgement::Throttled.allows(429, IfUnprocessed), "refused, not processed");
        assert!(!Judgement::Throttled.allows(503, IfUnprocessed));
        assert!(Judgement::Throttled.allows(503, Always));
        assert!(!Judgement::Throttled.allows(429, Never));
        assert!(!Judgement::Transient.allows(502, IfUnprocessed));
        assert!(Failure::Unsent.allows(IfUnprocessed) && !Failure::Reset.allows(IfUnprocessed));
        assert!(!Failure::Unsendable.allows(Always) && !Failure::Unsent.allows(Never));
    }
}
