//! What a model server says about its limit: the wait of a refusal, and what it announces.

use std::time::{Duration, UNIX_EPOCH};

use crate::limiter::{LimitSpec, Model};

/// How a refusal states its wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryAfter {
    /// Not at all.
    #[default]
    None,
    /// In whole seconds, rounded up.
    Seconds,
    /// As an HTTP-date on the server's clock, rounded up to a whole second.
    Date,
}

/// What every answer announces of the limit, refusals and all others alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// Nothing.
    #[default]
    None,
    /// `RateLimit` and `RateLimit-Policy`, draft-ietf-httpapi-ratelimit-headers-10; -08 reads the
    /// same.
    Draft10,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, the reset in seconds from now.
    XDelta,
    /// The same, the reset in seconds since 1970 on the server's clock.
    XEpoch,
}

/// Names and values, in lower case.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// What there is to tell of one request's turn at the limiter.
pub(crate) struct State<'a> {
    pub(crate) spec: &'a LimitSpec,
    pub(crate) refused: bool,
    pub(crate) remaining: u64,
    /// Until the quota grows again; for a refused request, until it would pass.
    pub(crate) reset: Duration,
    /// Since 1970, on the server's clock.
    pub(crate) unix: Duration,
}

impl State<'_> {
    pub(crate) fn headers(&self, retry_after: RetryAfter, announce: Announce) -> Headers {
        let mut headers = vec![("date", http_date(self.unix.as_secs()))];
        match retry_after {
            RetryAfter::Seconds if self.refused => {
                headers.push(("retry-after", ceil_secs(self.reset).to_string()));
            }
            RetryAfter::Date if self.refused => {
                let at = ceil_secs(self.unix.saturating_add(self.reset));
                headers.push(("retry-after", http_date(at)));
            }
            _ => {}
        }
        let (quota, window) = policy(self.spec);
        let (remaining, delta) = (self.remaining, ceil_secs(self.reset));
        match announce {
            Announce::None => {}
            Announce::Draft10 => {
                headers.push(("ratelimit-policy", format!("\"default\";q={quota};w={window}")));
                headers.push(("ratelimit", format!("\"default\";r={remaining};t={delta}")));
            }
            Announce::XDelta | Announce::XEpoch => {
                let epoch = ceil_secs(self.unix.saturating_add(self.reset));
                let reset = if announce == Announce::XEpoch { epoch } else { delta };
                headers.push(("x-ratelimit-limit", quota.to_string()));
                headers.push(("x-ratelimit-remaining", remaining.to_string()));
                headers.push(("x-ratelimit-reset", reset.to_string()));
            }
        }
        headers
    }
}

/// A limit as a quota and the seconds that it takes to have all of it anew. That is what a bucket
/// holds and the time in which it fills: a quota over a window must not promise more than its rate.
fn policy(spec: &LimitSpec) -> (u64, u64) {
    let quota = match spec.model {
        Model::Fixed | Model::Sliding => return (spec.quota.into(), ceil_secs(spec.window)),
        Model::Bucket => u64::from(spec.burst.max(1)),
        Model::Leaky => u64::from(spec.burst) + 1,
    };
    let fills_in = spec.window.as_nanos() * u128::from(quota) / u128::from(spec.quota.max(1));
    let fills_in = Duration::from_nanos(u64::try_from(fills_in).unwrap_or(u64::MAX));
    (quota, ceil_secs(fills_in))
}

fn ceil_secs(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

fn http_date(unix_secs: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(spec: &str, refused: bool, retry: RetryAfter, announce: Announce) -> Vec<String> {
        let state = State {
            spec: &spec.parse().unwrap(),
            refused,
            remaining: 3,
            reset: Duration::from_millis(1500),
            unix: Duration::from_millis(784_111_777_800),
        };
        let told = state.headers(retry, announce).into_iter();
        told.map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn a_refusal_states_its_wait_rounded_up() {
        let told = |retry| headers("fixed:5/2s", true, retry, Announce::None);
        let date = "date: Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(told(RetryAfter::None), [date]);
        assert_eq!(told(RetryAfter::Seconds), [date, "retry-after: 2"]);
        // 37.8 s and 1.5 s are 39.3 s: the next whole second.
        let until = "retry-after: Sun, 06 Nov 1994 08:49:40 GMT";
        assert_eq!(told(RetryAfter::Date), [date, until]);
        assert_eq!(headers("fixed:5/2s", false, RetryAfter::Date, Announce::None), [date]);
    }

    #[test]
    fn every_answer_announces_the_limit() {
        let told = |spec, announce| headers(spec, false, RetryAfter::None, announce).split_off(1);
        assert_eq!(
            told("fixed:5/2s", Announce::Draft10),
            ["ratelimit-policy: \"default\";q=5;w=2", "ratelimit: \"default\";r=3;t=2"]
        );
        assert_eq!(told("bucket:10/s+20", Announce::Draft10)[0][18..], *"\"default\";q=20;w=2");
        assert_eq!(told("leaky:10/s+4", Announce::Draft10)[0][18..], *"\"default\";q=5;w=1");
        let limit = ["x-ratelimit-limit: 5", "x-ratelimit-remaining: 3"];
        let delta = told("fixed:5/2s", Announce::XDelta);
        assert_eq!(delta, [limit[0], limit[1], "x-ratelimit-reset: 2"]);
        assert_eq!(told("fixed:5/2s", Announce::XEpoch)[2], "x-ratelimit-reset: 784111780");
    }
}
