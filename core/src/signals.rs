//! What the headers of a response say about waiting and about limits, all of them together.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::field;
use crate::http_date;
use crate::page::fingerprint;
use crate::rate_limit::{self, FAMILIES, Family, Limit, Policy, Rate};
use crate::reading::Reading;
use crate::retry_after;
use crate::sort::sort;
use crate::time::Wall;

/// The headers, in lower case, that a host must hand over, beside [`Reading::ms_headers`].
/// No other header is looked at.
pub const SIGNAL_HEADERS: &[&str] = &[
    "date",
    "age",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-rate-limit-limit",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
];

/// Is it the name, in lower case, of one of [`SIGNAL_HEADERS`]? For most it is not.
pub fn is_signal_header(name: &str) -> bool {
    matches!(name.as_bytes().first(), Some(b'a' | b'd' | b'r' | b'x'))
        && SIGNAL_HEADERS.contains(&name)
}

/// The longest wait that is told; anything longer saturates to it: 2⁵³ − 1 ms, about 285 000
/// years, the largest whole number of milliseconds that JavaScript holds exactly.
pub const MAX_WAIT: Duration = Duration::from_millis(field::MAX_WAIT_MS);

/// What the headers of one response say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signals {
    /// The wait that they state, if any does: by the first of these that states one,
    ///
    /// 1. `retry-after-ms`, `x-ms-retry-after-ms`, then [`Reading::ms_headers`],
    /// 2. `Retry-After`,
    /// 3. `RateLimit`: of the items with `r=0` and a time, the longest,
    /// 4. `X-RateLimit-Retry-After`,
    /// 5. `RateLimit-Reset`, `X-RateLimit-Reset`, `X-Rate-Limit-Reset`.
    ///
    /// The headers of 5 state one only where the Remaining beside them is 0 or, on a status that
    /// throttles (429, 503, 509, 529, 403), absent. That of 4, which some servers send always,
    /// states none on any other status if the Remaining beside it is more than 0.
    pub wait: Option<Wait>,
    /// Whether an announced limit on requests has nothing remaining, with or without a time.
    pub exhausted: bool,
    /// Whether one of the headers 1 and 2 above states the wait.
    pub retry_after: bool,
    /// What is announced as left, in the order of the list above. Nothing is, nor any policy, by
    /// a delivered answer with an `Age`: that was left when the cache got it, of somebody's quota.
    pub limits: Vec<Limit>,
    /// The announced policies.
    pub policies: Vec<Policy>,
}

/// A wait that a response states, counted from its receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// How long: whole milliseconds, rounded up, at most [`MAX_WAIT`].
    pub duration: Duration,
    /// The header that states it, in lower case.
    pub header: Cow<'static, str>,
    /// The name of the limit that is exhausted, where a `RateLimit` gives one.
    pub limit: Option<Box<str>>,
}

impl Signals {
    /// Reads the headers of a response with the given status.
    ///
    /// `headers` are pairs of name and value as they arrived: names in any case, a repeated name
    /// for each line. A field that breaks its grammar counts as absent.
    ///
    /// `received` is the local wall clock at receipt. For a date or an epoch it gives way to the
    /// response's own `Date`, so that a skewed clock shortens no wait; but if it lies within the
    /// second that `Date` names, it is right, and finer.
    pub fn read(
        headers: &[(&str, &str)],
        status: u16,
        received: Wall,
        reading: &Reading,
    ) -> Signals {
        if headers.iter().all(|(name, _)| name.eq_ignore_ascii_case("date")) {
            return Signals::default(); // as most answers are: nothing is said
        }
        let fields = Fields { headers, reading, now: received }.on_server_clock();
        let throttles = matches!(status, 429 | 503 | 509 | 529 | 403);
        let cached = (200..=399).contains(&status) && fields.seconds("age") > Some(0);
        let announced = Fields { headers: if cached { &[] } else { headers }, ..fields };
        let hint = announced.seconds("x-ratelimit-retry-after");
        let mut policies = announced.policies();
        let limits = announced.limits(&mut policies, hint);
        let closed = |header| longest_closed(&limits, header, throttles);

        let stated = fields.stated_wait();
        let retry_after = stated.is_some();
        let wait = stated
            .or_else(|| closed("ratelimit"))
            .or_else(|| x_ratelimit_wait(hint?, &limits, throttles))
            .or_else(|| FAMILIES.iter().find_map(|family| closed(family.reset)));
        let exhausted = limits.iter().any(Limit::is_exhausted);
        Signals { wait, exhausted, retry_after, limits, policies }
    }

    /// The limits on requests of which nothing remains until a known reset: their names, and the
    /// time to it.
    pub fn spent(&self) -> impl Iterator<Item = (Option<&str>, Duration)> {
        let spent = self.limits.iter().filter(|limit| limit.is_exhausted());
        spent.filter_map(|limit| Some((limit.name.as_deref(), limit.reset?)))
    }

    /// The fastest sustained rate that all limits and policies on requests allow: the smallest of
    /// what remains over the time to its reset, and of each quota over its window (draft-10,
    /// resource exhaustion). It is zero while a limit is exhausted.
    pub fn max_rate(&self) -> Option<Rate> {
        let left = self.limits.iter().filter(|limit| limit.counts_requests);
        let left = left.filter_map(|limit| Rate::new(limit.remaining?, limit.reset?));
        let whole = self.policies.iter().filter(|policy| policy.counts_requests());
        let whole =
            whole.filter_map(|policy| Rate::new(policy.quota, Duration::from_secs(policy.window?)));
        left.chain(whole).min_by(|a, b| a.compare(*b))
    }

    /// [`max_rate`](Signals::max_rate) as requests a second.
    pub fn max_rate_per_s(&self) -> Option<f64> {
        self.max_rate().map(Rate::per_second)
    }
}

impl Wait {
    fn new(millis: u64, header: Cow<'static, str>) -> Wait {
        Wait { duration: Duration::from_millis(millis), header, limit: None }
    }
}

/// The headers of a response, and what it takes to read them.
struct Fields<'a> {
    headers: &'a [(&'a str, &'a str)],
    reading: &'a Reading,
    /// The moment of receipt, by the best clock there is.
    now: Wall,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        field::combined(self.headers, name)
    }

    /// With the response's own `Date` in place of the local clock, unless that lies within the
    /// second that `Date` names. Of several, the earliest makes the longest wait.
    fn on_server_clock(mut self) -> Self {
        let Reading { mode, .. } = self.reading;
        let read = |date: &str| Some(http_date::parse(date, *mode, self.now)?.as_millis());
        let date = self.get("date").and_then(|date| field::once(&date, *mode, &read, u64::min));
        match date {
            Some(date) if date / 1000 != self.now.as_millis() / 1000 => {
                self.now = Wall::from_millis(date);
            }
            _ => {}
        }
        self
    }

    /// A whole number of seconds, in milliseconds.
    fn seconds(&self, name: &str) -> Option<u64> {
        retry_after::retry_after_seconds(&self.get(name)?, self.reading.mode)
    }

    /// What `RateLimit-Policy` says.
    fn policies(&self) -> Vec<Policy> {
        let value = self.get("ratelimit-policy");
        let policies = value.and_then(|value| rate_limit::policies(&value, self.reading.mode));
        policies.unwrap_or_default()
    }

    /// What `RateLimit` and the families of three headers say. Policies that stand in a Limit
    /// header join `policies`. Where `X-RateLimit-Reset` does not say when its spent limit starts
    /// anew, `hint` does: the milliseconds of `X-RateLimit-Retry-After`.
    fn limits(&self, policies: &mut Vec<Policy>, hint: Option<u64>) -> Vec<Limit> {
        let Fields { reading, now, .. } = *self;
        let value = self.get("ratelimit");
        let limits = value.and_then(|value| rate_limit::limits(&value, reading, now));
        let mut limits = limits.unwrap_or_default();
        tell_what_counts_requests(&mut limits, policies);
        for Family { limit, remaining, reset: header } in &FAMILIES {
            let quota = self.get(limit).and_then(|value| rate_limit::quota(&value, reading.mode));
            let (quota, more) = quota.unzip();
            // A draft's successor has them in a header of their own: who sends both means one.
            let more = more.filter(|more| !policies.ends_with(more));
            policies.extend(more.into_iter().flatten());
            let left = self.get(remaining);
            let remaining = left.and_then(|value| rate_limit::remaining(&value, reading.mode));
            let reset = self.get(header);
            let reset = reset.and_then(|value| rate_limit::reset(&value, reading, now));
            let hint = hint.filter(|_| *header == HINTED && remaining == Some(0));
            let reset = reset.or(hint.map(Duration::from_millis));
            if quota.is_some() || remaining.is_some() || reset.is_some() {
                let (name, counts_requests) = (None, true);
                limits.push(Limit { header, name, quota, remaining, reset, counts_requests });
            }
        }
        limits
    }

    /// What the headers in milliseconds say, else `Retry-After`.
    fn stated_wait(&self) -> Option<Wait> {
        let Reading { mode, ms_headers, .. } = self.reading;
        let known = ["retry-after-ms", "x-ms-retry-after-ms"].map(Cow::Borrowed);
        let own = ms_headers.iter().map(|name| Cow::Owned(name.to_ascii_lowercase()));
        let in_millis = known.into_iter().chain(own).find_map(|name| {
            let millis = retry_after::retry_after_ms(&self.get(&name)?, *mode)?;
            Some(Wait::new(millis, name))
        });
        in_millis.or_else(|| {
            let name = "retry-after";
            let millis = retry_after::retry_after(&self.get(name)?, *mode, self.now)?;
            Some(Wait::new(millis, name.into()))
        })
    }
}

/// The limit that `X-RateLimit-Retry-After` is about, by the last header of its family.
const HINTED: &str = "x-ratelimit-reset";

/// What `X-RateLimit-Retry-After` says, if it means anything: some servers send it always.
fn x_ratelimit_wait(hint: u64, limits: &[Limit], throttles: bool) -> Option<Wait> {
    let own = limits.iter().filter(|limit| limit.header == HINTED);
    let idle = own.filter_map(|limit| limit.remaining).any(|left| left > 0);
    (throttles || !idle).then(|| Wait::new(hint, "x-ratelimit-retry-after".into()))
}

/// A limit counts requests unless there are policies of its name, of which none does.
fn tell_what_counts_requests(limits: &mut [Limit], policies: &[Policy]) {
    if policies.iter().all(Policy::counts_requests) {
        return; // as almost everywhere
    }
    let key = |name: &Option<Box<str>>| {
        let name = name.as_deref().unwrap_or_default();
        fingerprint(name.as_bytes()) & !1
    };
    let named = policies.iter().map(|it| key(&it.name) | u64::from(!it.counts_requests()));
    let mut named: Vec<u64> = named.collect();
    sort(&mut named);
    for limit in limits {
        let key = key(&limit.name);
        let first = named.get(named.partition_point(|other| *other < key));
        limit.counts_requests = first != Some(&(key | 1));
    }
}

/// Of the limits that `header` announces and that are closed until a reset, the longest closed.
fn longest_closed(limits: &[Limit], header: &'static str, throttles: bool) -> Option<Wait> {
    let closed = limits.iter().filter(|limit| {
        let closed = match limit.remaining {
            Some(_) => limit.is_exhausted(),
            None => throttles && limit.counts_requests,
        };
        closed && limit.header == header && limit.reset.is_some()
    });
    let longest = closed.max_by_key(|limit| limit.reset)?;
    let (duration, limit) = (longest.reset?.min(MAX_WAIT), longest.name.clone());
    Some(Wait { duration, header: header.into(), limit })
}

#[cfg(test)]
mod tests;
