//! How a limit shows on the wire: Retry-After, the RateLimit families, the body of a refusal.

use std::time::Duration;

use clap::ValueEnum;
use cxone_sim::{Decision, LimitSpec};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::{answer::Answer, clock};

/// How a refusal by a limiter states its wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RetryAfter {
    /// Not at all: the normal case on the platform.
    None,
    /// `Retry-After` in whole seconds, rounded up.
    #[default]
    Seconds,
    /// `Retry-After` as an HTTP-date on the server's clock, rounded up to a whole second.
    Date,
    /// `retry-after-ms` in milliseconds, rounded up.
    Ms,
}

/// Which headers tell the state of the limit, on refusals and on every other answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LimitHeaders {
    /// None.
    #[default]
    None,
    /// `RateLimit` and `RateLimit-Policy`, draft-ietf-httpapi-ratelimit-headers-10.
    Draft10,
    /// `RateLimit-Limit`, `-Remaining` and `-Reset`, as in draft 03 of the same.
    Draft03,
    /// `X-RateLimit-…`, the reset in seconds from now.
    XDelta,
    /// `X-RateLimit-…`, the reset in seconds since 1970 on the server's clock.
    XEpoch,
}

/// The body of a refusal by a limiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RefusalBody {
    /// `{"message": …, "statusCode": …}`.
    #[default]
    Json,
    /// A gateway's page.
    Html,
    /// No byte.
    Empty,
}

/// How refusals look.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: RetryAfter,
    pub(crate) headers: LimitHeaders,
    pub(crate) body: RefusalBody,
}

impl Style {
    /// The answer to a request that must wait.
    pub(crate) fn refuse(&self, wait: Duration, unix_now: Duration) -> Answer {
        let mut answer = match self.body {
            RefusalBody::Json => {
                let status = self.status.as_u16();
                Answer::json(
                    self.status,
                    &json!({"message": "Too Many Requests", "statusCode": status}),
                )
            }
            RefusalBody::Html => {
                Answer::html(self.status, "<html><h1>Too Many Requests</h1></html>")
            }
            RefusalBody::Empty => Answer::empty(self.status),
        };
        let (name, value) = match self.retry_after {
            RetryAfter::None => return answer,
            RetryAfter::Seconds => ("retry-after", clock::ceil_secs(wait).to_string()),
            RetryAfter::Date => {
                let at = Duration::from_secs(clock::ceil_secs(unix_now.saturating_add(wait)));
                ("retry-after", clock::http_date(at))
            }
            RetryAfter::Ms => ("retry-after-ms", wait.as_nanos().div_ceil(1_000_000).to_string()),
        };
        answer.headers.insert(name, text(value));
        answer
    }

    /// Tells the state of the limit.
    pub(crate) fn announce(
        &self,
        headers: &mut HeaderMap,
        spec: &LimitSpec,
        decision: &Decision,
        now: Duration,
        unix_now: Duration,
    ) {
        let mut set = |name: &'static str, value: String| {
            headers.insert(HeaderName::from_static(name), text(value));
        };
        let remaining = decision.remaining();
        let left = decision.reset().saturating_sub(now);
        let delta = clock::ceil_secs(left);
        let quota = match spec.model {
            cxone_sim::Model::Bucket => spec.burst,
            _ => spec.quota,
        };
        match self.headers {
            LimitHeaders::None => {}
            LimitHeaders::Draft10 => {
                let window = clock::ceil_secs(spec.window);
                set("ratelimit-policy", format!("\"default\";q={quota};w={window}"));
                set("ratelimit", format!("\"default\";r={remaining};t={delta}"));
            }
            LimitHeaders::Draft03 => {
                set("ratelimit-limit", quota.to_string());
                set("ratelimit-remaining", remaining.to_string());
                set("ratelimit-reset", delta.to_string());
            }
            LimitHeaders::XDelta | LimitHeaders::XEpoch => {
                let epoch = clock::ceil_secs(unix_now.saturating_add(left));
                let reset = if self.headers == LimitHeaders::XEpoch { epoch } else { delta };
                set("x-ratelimit-limit", quota.to_string());
                set("x-ratelimit-remaining", remaining.to_string());
                set("x-ratelimit-reset", reset.to_string());
            }
        }
    }
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("digits, dates and quoted names are header text")
}
