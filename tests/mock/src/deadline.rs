//! Who may not come before when, and who came early.
//!
//! A deadline is what the refusal *stated*, read back from its headers the way an honest client
//! reads them, so limiters and scripts are judged alike. Where a date leaves room (an HTTP-date
//! names a whole second) the earliest moment that an honest reader can arrive at is taken.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};

use crate::clock;

/// From this number on a reset is a time since 1970, below it seconds from now (2024-01-01).
const EPOCH_FROM: u64 = 1_704_067_200;

/// Deadlines remembered for one client and scope; the oldest give way.
const KEPT: usize = 100_000;

/// Whether an answer tells a client to slow down.
pub(crate) fn is_throttle(status: StatusCode, headers: &HeaderMap) -> bool {
    match status.as_u16() {
        429 | 509 | 529 => true,
        403 | 503 => stated_wait(headers, false, Duration::ZERO).is_some(),
        _ => false,
    }
}

/// The wait that a refusal states, if it states one. `unix_now` is the server's clock.
///
/// `throttled` is whether the status alone refuses: then a reset counts without a remaining.
fn stated_wait(headers: &HeaderMap, throttled: bool, unix_now: Duration) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    // A Date in the answer is the clock to read it by; it names a whole second.
    let date = text("date").and_then(clock::read_http_date);
    let now =
        date.map_or(unix_now, |date| date + Duration::from_nanos(unix_now.subsec_nanos().into()));

    let exact = number("retry-after-ms").or_else(|| number("x-ms-retry-after-ms"));
    if let Some(ms) = exact {
        return Some(Duration::from_millis(ms));
    }
    if let Some(value) = text("retry-after") {
        let seconds = value.parse().ok().map(Duration::from_secs);
        let until = || Some(clock::read_http_date(value)?.saturating_sub(now));
        if let Some(wait) = seconds.or_else(until) {
            return Some(wait);
        }
    }
    if let Some(wait) = text("ratelimit").and_then(exhausted) {
        return Some(wait);
    }
    for family in ["ratelimit", "x-ratelimit"] {
        let remaining = number(&format!("{family}-remaining"));
        let reset = number(&format!("{family}-reset"));
        if let (Some(reset), true) = (reset, remaining.map_or(throttled, |left| left == 0)) {
            let reset = Duration::from_secs(reset);
            let epoch = reset.as_secs() >= EPOCH_FROM;
            return Some(if epoch { reset.saturating_sub(now) } else { reset });
        }
    }
    None
}

/// The longest `t` among the exhausted limits of a `RateLimit` field.
fn exhausted(field: &str) -> Option<Duration> {
    let wait = |item: &str| {
        let parameter = |name: &str| {
            let with_name = |p: &str| p.trim().strip_prefix(name)?.strip_prefix('=')?.parse().ok();
            item.split(';').find_map(with_name)
        };
        let (left, wait): (u64, u64) = (parameter("r")?, parameter("t")?);
        (left == 0).then(|| Duration::from_secs(wait))
    };
    field.split(',').filter_map(wait).max()
}

/// The deadlines of all clients, each in its scopes.
#[derive(Default)]
pub(crate) struct Deadlines {
    by_scope: HashMap<(String, String), VecDeque<Deadline>>,
}

/// In each list later ones were both set later and end later; any other adds nothing.
struct Deadline {
    set: Instant,
    until: Instant,
}

impl Deadlines {
    /// Notes what an answer that is written now, at `set`, demands of a client in a scope.
    ///
    /// `set` must be read before `unix_now`: what passes between them then makes a deadline that
    /// is stated as a date come sooner here, never later than it was stated.
    pub(crate) fn note(
        &mut self,
        client: &str,
        scope: &str,
        answer: (StatusCode, &HeaderMap),
        set: Instant,
        unix_now: Duration,
    ) {
        let (status, headers) = answer;
        if !is_throttle(status, headers) {
            return;
        }
        let wait = stated_wait(headers, true, unix_now);
        let Some(until) = wait.and_then(|wait| set.checked_add(wait)) else {
            return;
        };
        let list = self.by_scope.entry((client.to_owned(), scope.to_owned())).or_default();
        if list.back().is_none_or(|last| last.until < until) {
            list.push_back(Deadline { set, until });
        }
        if list.len() > KEPT {
            list.pop_front();
        }
    }

    /// Whether a request that arrived then came before a deadline that it could know of:
    /// one that was set more than `grace` before.
    pub(crate) fn is_early(
        &mut self,
        client: &str,
        scope: &str,
        arrived: Instant,
        grace: Duration,
    ) -> bool {
        let key = (client.to_owned(), scope.to_owned());
        let Some(list) = self.by_scope.get_mut(&key) else {
            return false;
        };
        while list.front().is_some_and(|first| first.until <= arrived) {
            list.pop_front();
        }
        // The first is the one set earliest, and it has not passed.
        list.front().is_some_and(|first| arrived.saturating_duration_since(first.set) > grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_800_000_000_700);

    fn wait(status: u16, fields: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.insert(name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        is_throttle(status, &headers).then(|| stated_wait(&headers, true, NOW))?
    }

    #[test]
    fn waits_are_read_as_an_honest_client_reads_them() {
        let secs = |n| Some(Duration::from_secs(n));
        assert_eq!(wait(429, &[("retry-after", "7")]), secs(7));
        assert_eq!(wait(503, &[("retry-after", "7")]), secs(7));
        assert_eq!(wait(502, &[("retry-after", "7")]), None);
        assert_eq!(wait(503, &[]), None);
        assert_eq!(wait(429, &[("retry-after", "soon")]), None);
        let both = [("retry-after-ms", "1500"), ("retry-after", "2")];
        assert_eq!(wait(429, &both), Some(Duration::from_millis(1500)));
        assert_eq!(wait(429, &[("ratelimit", "\"a\";r=3;t=9, \"b\";r=0;t=4")]), secs(4));
        assert_eq!(wait(429, &[("x-ratelimit-reset", "30")]), secs(30));
        assert_eq!(wait(429, &[("x-ratelimit-remaining", "2"), ("x-ratelimit-reset", "30")]), None);
        let epoch = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000003")];
        assert_eq!(wait(429, &epoch), Some(Duration::from_millis(2300)));
    }

    #[test]
    fn a_date_is_read_by_the_date_of_its_answer() {
        let fields = [
            ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("retry-after", "Thu, 01 Jan 2026 00:00:05 GMT"),
        ];
        assert_eq!(wait(429, &fields), Some(Duration::from_millis(4300)));
    }

    #[test]
    fn only_what_could_know_of_a_deadline_is_early() {
        let mut deadlines = Deadlines::default();
        let mut headers = HeaderMap::new();
        let grace = Duration::from_millis(250);
        let mut note = |seconds: &'static str| {
            headers.insert("retry-after", seconds.parse().unwrap());
            let answer = (StatusCode::TOO_MANY_REQUESTS, &headers);
            deadlines.note("a", "", answer, Instant::now(), NOW);
        };
        note("5");
        note("3");
        note("9");
        let after = |ms| Instant::now() + Duration::from_millis(ms);
        assert!(!deadlines.is_early("a", "", after(100), grace), "was under way");
        assert!(deadlines.is_early("a", "", after(300), grace));
        assert!(!deadlines.is_early("b", "", after(300), grace), "another client");
        assert!(!deadlines.is_early("a", "/media", after(300), grace), "another scope");
        assert!(deadlines.is_early("a", "", after(6_000), grace), "the later deadline holds");
        assert!(!deadlines.is_early("a", "", after(9_001), grace));
    }
}
