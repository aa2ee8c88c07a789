//! What a browser is allowed to see.

use clap::ValueEnum;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};

use crate::answer::Answer;

/// How the mock answers pages from other origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cors {
    /// As if there were no browsers: preflights fail.
    #[default]
    None,
    /// Requests are allowed; of the answers' headers a page sees only the safelisted ones, so
    /// it cannot read `Retry-After`.
    Open,
    /// Requests are allowed, and a page may read `Retry-After` and its like.
    Exposed,
}

/// A safelisted few are readable anyway; these are the ones that a careful client wants.
const EXPOSED: &str = "Date, Retry-After, retry-after-ms, RateLimit, RateLimit-Policy, \
     RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-RateLimit-Limit, \
     X-RateLimit-Remaining, X-RateLimit-Reset, WWW-Authenticate, X-Trace-Id";

impl Cors {
    /// The answer to a preflight, if this is one that is allowed.
    pub(crate) fn preflight(self, head: &Parts) -> Option<Answer> {
        let asks = |name: HeaderName| head.headers.get(name);
        asks(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if self == Cors::None || head.method != Method::OPTIONS {
            return None;
        }
        let mut answer = Answer::empty(StatusCode::NO_CONTENT);
        let mut allow = |name, value| answer.headers.insert(name, value);
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
        allow(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        // A star would not cover Authorization.
        if let Some(names) = asks(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            allow(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        allow(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(answer)
    }

    /// Marks an answer as readable from other origins.
    pub(crate) fn allow(self, headers: &mut HeaderMap) {
        if self != Cors::None {
            let any = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
        }
        if self == Cors::Exposed {
            let exposed = HeaderValue::from_static(EXPOSED);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}
