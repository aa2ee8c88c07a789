//! What servers say: statuses, stated waits, and announced budgets that make sense or do not; and
//! what of it the laws bind the engine to.

use std::time::Duration;

use proptest::prelude::*;

/// The head of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In seconds.
    pub(crate) retry_after: Option<u64>,
    pub(crate) budget: Option<Budget>,
    pub(crate) redirect: bool,
}

/// What it announces of a limit.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    form: Form,
    remaining: u64,
    /// In seconds.
    reset: Option<u64>,
    quota: Option<u64>,
    /// In seconds.
    window: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// `RateLimit` and `RateLimit-Policy` of draft-10, with a name.
    Named(&'static str),
    /// `RateLimit` of draft-07.
    Dictionary,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    Triple,
}

/// The largest integer that a structured field holds (RFC 9651 §3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    let status = prop_oneof![
        8 => Just(200u16), 6 => Just(429), 1 => Just(503), 1 => Just(502), 1 => Just(401),
        1 => Just(403), 1 => Just(404), 1 => Just(500), 1 => Just(302),
    ];
    let retry_after = prop_oneof![
        20 => Just(None), 30 => (0u64..20).prop_map(Some), 10 => (0u64..3000).prop_map(Some),
        1 => Just(Some(u64::MAX)),
    ];
    let budget = prop::option::weighted(0.3, budget());
    (status, retry_after, budget, prop::bool::weighted(0.5)).prop_map(
        |(status, retry_after, budget, redirect)| Answer { status, retry_after, budget, redirect },
    )
}

fn budget() -> impl Strategy<Value = Budget> {
    let form = prop_oneof![
        3 => prop::sample::select(vec!["a", "wide", "elsewhere"]).prop_map(Form::Named),
        2 => Just(Form::Dictionary),
        2 => Just(Form::Triple),
    ];
    let remaining = prop_oneof![6 => Just(0u64), 8 => 0u64..30, 1 => Just(LARGEST)];
    let reset = prop_oneof![8 => 0u64..30, 2 => 0u64..3000, 1 => Just(1_000_000_000)];
    let quota = prop_oneof![6 => 0u64..40, 1 => Just(LARGEST)];
    let window = prop_oneof![4 => 0u64..70, 1 => Just(LARGEST)];
    (
        form,
        remaining,
        prop::option::weighted(0.9, reset),
        prop::option::of(quota),
        prop::option::of(window),
    )
        .prop_map(|(form, remaining, reset, quota, window)| Budget {
            form,
            remaining,
            reset,
            quota,
            window,
        })
}

impl Answer {
    pub(crate) fn plain(status: u16) -> Answer {
        Answer { status, retry_after: None, budget: None, redirect: false }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Answer {
        Answer { retry_after: Some(seconds), ..self }
    }

    /// So many are left, of the limit of that name.
    pub(crate) fn budget(self, name: &'static str, remaining: u64, reset: u64) -> Answer {
        let (form, reset) = (Form::Named(name), Some(reset));
        let budget = Budget { form, remaining, reset, quota: None, window: None };
        Answer { budget: Some(budget), ..self }
    }

    /// The header fields.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(seconds) = self.retry_after {
            headers.push(("retry-after", seconds.to_string()));
        }
        let Some(Budget { form, remaining, reset, quota, window }) = &self.budget else {
            return headers;
        };
        let part = |name: &str, value: &Option<u64>| {
            value.map_or(String::new(), |value| format!("{name}={value}"))
        };
        match form {
            Form::Named(name) => {
                headers
                    .push(("ratelimit", format!("\"{name}\";r={remaining}{}", part(";t", reset))));
                if let Some(quota) = quota {
                    let policy = format!("\"{name}\";q={quota}{}", part(";w", window));
                    headers.push(("ratelimit-policy", policy));
                }
            }
            Form::Dictionary => {
                let (limit, reset) = (part("limit", quota), part("reset", reset));
                let parts = [limit, format!("remaining={remaining}"), reset];
                let parts: Vec<String> =
                    parts.into_iter().filter(|part| !part.is_empty()).collect();
                headers.push(("ratelimit", parts.join(", ")));
            }
            Form::Triple => {
                headers.push(("x-ratelimit-remaining", remaining.to_string()));
                let more = [("x-ratelimit-limit", quota), ("x-ratelimit-reset", reset)];
                let more = more.into_iter().filter_map(|(name, value)| Some((name, (*value)?)));
                headers.extend(more.map(|(name, value)| (name, value.to_string())));
            }
        }
        headers
    }

    pub(crate) fn is_throttle(&self) -> bool {
        let states = self.retry_after.is_some() || self.is_exhausted();
        self.status == 429 || matches!(self.status, 403 | 503) && states
    }

    /// For how long nothing may be sent, as it states itself.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let reset = self.budget.as_ref().filter(|_| self.is_exhausted()).and_then(|b| b.reset);
        let seconds = if self.is_throttle() { self.retry_after.or(reset) } else { reset };
        seconds.map(Duration::from_secs)
    }

    /// Which of a request's scopes it is about.
    pub(crate) fn scope<'a>(&self, scopes: &'a [String]) -> &'a String {
        let named = match self.budget {
            Some(Budget { form: Form::Named(name), .. }) if !self.is_throttle() => {
                scopes.iter().find(|scope| *scope == name)
            }
            _ => None,
        };
        named.unwrap_or(&scopes[0])
    }

    fn is_exhausted(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.remaining == 0)
    }
}
