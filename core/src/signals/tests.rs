//! The shared header vectors, and what they leave out.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::field::MAX_WAIT_MS;
use crate::reading::{Mode, ResetUnit};

const VECTORS: &str = include_str!("../../../tests/vectors/headers.json");

/// 2026-11-23T00:00:00Z
const NOW: Wall = Wall::from_millis(1_795_392_000_000);

fn read(status: u16, headers: &[(&str, &str)]) -> Signals {
    Signals::read(headers, status, NOW, &Reading::default())
}

fn wait_ms(status: u16, headers: &[(&str, &str)]) -> Option<u128> {
    read(status, headers).wait.map(|wait| wait.duration.as_millis())
}

/// Of `2026-11-23T00:00:00Z`, by way of an HTTP-date.
fn moment(iso: &str) -> Wall {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS[iso[5..7].parse::<usize>().unwrap() - 1];
    let date = format!("Sun, {} {month} {} {} GMT", &iso[8..10], &iso[..4], &iso[11..19]);
    http_date::parse(&date, Mode::Lenient, NOW).unwrap()
}

fn headers_of(vector: &Value) -> Vec<(&str, &str)> {
    let lines = |(name, value)| -> Vec<(&str, &str)> {
        let (name, value): (&String, &Value) = (name, value);
        match value {
            Value::Array(values) => {
                values.iter().map(|value| (name.as_str(), value.as_str().unwrap())).collect()
            }
            value => vec![(name.as_str(), value.as_str().unwrap())],
        }
    };
    vector["headers"].as_object().unwrap().iter().flat_map(lines).collect()
}

fn reading_of(vector: &Value, mode: Mode) -> Reading {
    let profile = &vector["profile"];
    let reset_unit = match profile["reset_unit"].as_str() {
        None => ResetUnit::Auto,
        Some("delta_s") => ResetUnit::DeltaS,
        Some("delta_ms") => ResetUnit::DeltaMs,
        Some("epoch_s") => ResetUnit::EpochS,
        Some("epoch_ms") => ResetUnit::EpochMs,
        Some(other) => panic!("unknown unit {other}"),
    };
    let ms_headers = profile["ms_headers"].as_array().into_iter().flatten();
    let ms_headers = ms_headers.map(|name| name.as_str().unwrap().to_owned()).collect();
    Reading { mode, reset_unit, ms_headers }
}

/// Whether `got` has all that `expected` lists, in order, and nothing that it does not.
fn assert_same(id: &str, expected: &Value, got: Vec<Value>) {
    let without_nulls = got.into_iter().map(|mut item| {
        item.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        item
    });
    assert_eq!(expected, &without_nulls.collect::<Value>(), "{id}");
}

fn check(vector: &Value, expect: &Value, mode: Mode) {
    let id = format!("{} {mode:?}", vector["id"].as_str().unwrap());
    let now = moment(vector["now"].as_str().unwrap());
    let status = u16::try_from(vector["status"].as_u64().unwrap()).unwrap();
    let signals = Signals::read(&headers_of(vector), status, now, &reading_of(vector, mode));
    let wait = signals.wait.as_ref().map(|wait| u64::try_from(wait.duration.as_millis()).unwrap());
    match vector["kind"].as_str().unwrap() {
        "delay" if expect["delay_ms"] == "saturated" => {
            assert_eq!(wait, Some(MAX_WAIT_MS), "{id}");
        }
        "delay" if expect.get("instant").is_some() => {
            let instant = moment(expect["instant"].as_str().unwrap());
            assert_eq!(wait, Some(instant.as_millis() - now.as_millis()), "{id}");
        }
        "delay" => assert_eq!(wait, expect["delay_ms"].as_u64(), "{id}"),
        "limit" => {
            let limits = signals.limits.iter().map(|limit| {
                let seconds = limit.reset.map(|reset| reset.as_secs());
                serde_json::json!({ "name": limit.name, "r": limit.remaining, "t": seconds })
            });
            assert_same(&id, &expect["limits"], limits.collect());
        }
        "policy" => {
            let policies = signals.policies.iter().map(|policy| {
                serde_json::json!({
                    "name": policy.name, "q": policy.quota, "w": policy.window, "qu": policy.unit,
                })
            });
            assert_same(&id, &expect["policies"], policies.collect());
        }
        "pace" => {
            let rate = signals.max_rate_per_s();
            assert_eq!(rate, expect["max_rate_per_s"].as_f64(), "{id}");
        }
        "auth" if expect["action"] == "treat_as_throttle" => {
            assert!(signals.retry_after || signals.exhausted, "{id}");
        }
        "auth" => assert!(!signals.retry_after && !signals.exhausted, "{id}"),
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn x11_every_vector_is_read_as_expected_in_both_modes() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert!(vectors.len() > 80);
    for vector in vectors {
        let lenient = &vector["expect"];
        check(vector, lenient, Mode::Lenient);
        check(vector, vector.get("expect_strict").unwrap_or(lenient), Mode::Strict);
    }
}

#[test]
fn x12_a_skewed_clock_gives_way_to_the_date_of_the_response() {
    let date = ("Date", "Sun, 22 Nov 2026 23:50:00 GMT");
    let until = ("Retry-After", "Sun, 22 Nov 2026 23:51:00 GMT");
    assert_eq!(wait_ms(429, &[date, until]), Some(60_000));
    let epoch = ("x-ratelimit-reset", "1795391460"); // 23:51:00
    assert_eq!(wait_ms(429, &[date, epoch]), Some(60_000));
    assert_eq!(wait_ms(429, &[until]), Some(0), "a date in the past is no wait");
}

#[test]
fn x12_a_local_clock_within_the_second_of_the_date_is_finer() {
    let headers = [
        ("date", "Mon, 23 Nov 2026 00:00:00 GMT"),
        ("retry-after", "Mon, 23 Nov 2026 00:00:02 GMT"),
    ];
    let wait = |millis: u64| {
        let received = Wall::from_millis(NOW.as_millis() + millis);
        let signals = Signals::read(&headers, 429, received, &Reading::default());
        signals.wait.unwrap().duration.as_millis()
    };
    assert_eq!(wait(999), 1001);
    assert_eq!(wait(1000), 2000);
}

#[test]
fn x14_a_reset_states_a_wait_only_where_nothing_remains() {
    for (remaining, reset) in [
        ("ratelimit-remaining", "ratelimit-reset"),
        ("X-RateLimit-Remaining", "X-RateLimit-Reset"),
        ("X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"),
    ] {
        assert_eq!(wait_ms(200, &[(reset, "9")]), None);
        assert_eq!(wait_ms(200, &[(remaining, "0"), (reset, "9")]), Some(9000));
        assert_eq!(wait_ms(429, &[(remaining, "3"), (reset, "9")]), None);
        for status in [429, 503, 509, 529, 403] {
            assert_eq!(wait_ms(status, &[(reset, "9")]), Some(9000));
        }
    }
}

#[test]
fn x14_an_exhausted_limit_without_a_time_has_no_wait() {
    for header in [("ratelimit", "\"a\";r=0"), ("x-ratelimit-remaining", "0")] {
        let signals = read(200, &[header]);
        assert!(signals.exhausted && !signals.retry_after);
        assert_eq!(signals.wait, None);
    }
    let both =
        [("ratelimit", "\"a\";r=0"), ("x-ratelimit-remaining", "0, 4"), ("x-ratelimit-reset", "7")];
    assert_eq!(wait_ms(200, &both), Some(7000));
}

#[test]
fn x14_what_does_not_count_requests_closes_nothing_and_gives_no_pace() {
    let headers = [
        ("ratelimit-policy", "\"bytes\";q=10;w=10;qu=\"content-bytes\", \"calls\";q=600;w=60"),
        ("ratelimit", "\"bytes\";r=0;t=99, \"calls\";r=50;t=10"),
    ];
    let signals = read(429, &headers);
    assert_eq!((signals.limits.len(), signals.policies.len()), (2, 2));
    assert!(!signals.exhausted);
    assert_eq!(signals.wait, None);
    assert_eq!(signals.max_rate_per_s(), Some(5.0));
}

#[test]
fn the_longest_exhausted_limit_decides_even_far_down_the_list() {
    let mut items: Vec<_> = (0..100).map(|n| format!("\"n{n}\";r=0;t={n}")).collect();
    items.reverse();
    items.rotate_left(50);
    let signals = read(200, &[("ratelimit", &items.join(", "))]);
    assert_eq!(signals.limits.len(), 100);
    let wait = signals.wait.unwrap();
    assert_eq!((wait.duration.as_secs(), wait.limit.as_deref()), (99, Some("n99")));
}

#[test]
fn a_list_is_read_to_its_end_however_long_a_field_is() {
    let item = "\"b\";r=9;t=9, ";
    let value = item.repeat(100_000) + "\"last\";r=0;t=99";
    let signals = read(200, &[("ratelimit", &value), ("ratelimit-policy", "\"b\";q=1;w=1")]);
    assert_eq!((signals.limits.len(), signals.wait.unwrap().duration.as_secs()), (100_001, 99));
    let lines = vec![("retry-after", "5"); 100_000];
    assert_eq!(wait_ms(429, &lines), Some(5000));
    let nines = "9".repeat(1 << 20);
    assert_eq!(wait_ms(429, &[("retry-after", &nines)]), Some(u128::from(MAX_WAIT_MS)));
}

#[test]
fn limits_are_matched_with_the_policies_of_their_name() {
    let names = ["a", "b", "c", "d", "e"];
    let policies = "\"d\";q=1;qu=\"bytes\", \"b\";q=1;qu=\"bytes\", \"a\";q=1, \"c\";q=1;qu=\"x\", \
                    \"d\";q=2, \"z\";q=1;qu=\"x\"";
    let limits = names.map(|name| format!("\"{name}\";r=0")).join(",");
    let signals = read(200, &[("ratelimit", &limits), ("ratelimit-policy", policies)]);
    let counts: Vec<_> = signals.limits.iter().map(|limit| limit.counts_requests).collect();
    assert_eq!(counts, [true, false, false, true, true]);
}

#[test]
fn parameters_of_an_integer_mean_nothing() {
    for mode in [Mode::Lenient, Mode::Strict] {
        for (limit, remaining, reset) in
            [("100;x", "0;x=1", "50;comment=\"s, t; u\""), ("100", "-0", "50"), ("100", "0", "50 ")]
        {
            let headers = [
                ("ratelimit-limit", limit),
                ("ratelimit-remaining", remaining),
                ("ratelimit-reset", reset),
            ];
            let reading = Reading { mode, ..Reading::default() };
            let signals = Signals::read(&headers, 200, NOW, &reading);
            assert_eq!(signals.wait.unwrap().duration.as_secs(), 50, "{headers:?} {mode:?}");
        }
    }
    for malformed in ["0;", "0; ;", "0;=1", "0 ;x", "-1", "0;x=1,", "0;x=\"", "1.5.5"] {
        let signals = read(200, &[("ratelimit-remaining", malformed), ("ratelimit-reset", "50")]);
        assert_eq!(signals.wait, None, "{malformed}");
    }
    let joined = [("ratelimit-remaining", "5;x, 0;x"), ("ratelimit-reset", "5;y, 50")];
    assert_eq!(wait_ms(200, &joined), Some(50_000));
}

#[test]
fn strict_reads_what_the_drafts_allow() {
    let strict = Reading { mode: Mode::Strict, ..Reading::default() };
    for (name, value) in [
        ("ratelimit", "\"a\";r=0;t=5;pk=\"me\""),
        ("ratelimit", "remaining=0, reset=5"),
        ("ratelimit", "limit=5, remaining=0"),
        ("ratelimit-policy", "\"a\";q=1;w=0"),
        ("ratelimit-policy", "\"a\";q=1;pk=me"),
        ("ratelimit-policy", "10"),
        ("ratelimit-policy", "10;w=1, 10;w=60"),
    ] {
        let read = |reading| Signals::read(&[(name, value)], 200, NOW, reading);
        assert_eq!(read(&strict), Signals::default(), "{value}");
        let lenient = read(&Reading::default());
        assert!(lenient.limits.len() + lenient.policies.len() > 0, "{value}");
    }
    for (name, value) in [
        ("ratelimit", "\"a\";r=0;t=5;pk=:bWU=:"),
        ("ratelimit", "limit=5, reset=5"),
        ("ratelimit-policy", "\"a\";q=1;pk=::, \"b\";q=1"),
        ("ratelimit-policy", "10;w=1, 20;w=60"),
    ] {
        let signals = Signals::read(&[(name, value)], 200, NOW, &strict);
        assert!(signals.limits.len() + signals.policies.len() > 0, "{value}");
    }
}

#[test]
fn what_a_cache_delivers_announces_nothing() {
    let spent = [("ratelimit", "\"a\";r=0;t=5"), ("ratelimit-policy", "\"a\";q=1;w=5")];
    let with = |status, age| read(status, &[&spent[..], &[("Age", age)]].concat());
    assert_eq!(with(200, "1"), Signals::default());
    for (status, age) in [(200, "0"), (200, "-1"), (429, "1"), (503, "1")] {
        assert!(with(status, age).exhausted, "{status}, {age}");
    }
}

#[test]
fn x12_of_several_dates_the_one_that_makes_the_longest_wait_counts() {
    let (early, late) = ("Sun, 22 Nov 2026 23:50:00 GMT", "Sun, 22 Nov 2026 23:50:30 GMT");
    let until = ("Retry-After", "Sun, 22 Nov 2026 23:51:00 GMT");
    let joined = format!("{late}, {early}");
    assert_eq!(wait_ms(429, &[("Date", early), ("Date", late), until]), Some(60_000));
    assert_eq!(wait_ms(429, &[("Date", &joined), until]), Some(60_000));
}

#[test]
fn a_spent_limit_without_a_reset_is_closed_for_as_long_as_its_hint_says() {
    let hint = ("x-ratelimit-retry-after", "40");
    let spent = |headers: &[(&str, &str)]| {
        let signals = read(200, headers);
        signals.spent().map(|(_, reset)| reset.as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(spent(&[("x-ratelimit-remaining", "0"), hint]), [40]);
    assert_eq!(spent(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "50"), hint]), [50]);
    assert_eq!(spent(&[("x-rate-limit-remaining", "0"), hint]), [0; 0]);
    assert_eq!(read(200, &[("x-ratelimit-remaining", "1"), hint]).limits[0].reset, None);
}

#[test]
fn the_same_policies_in_two_headers_are_listed_once() {
    let policies = |other| {
        let headers = [("ratelimit-limit", "10, 10;w=1, 50;w=60"), ("ratelimit-policy", other)];
        read(200, &headers).policies.len()
    };
    assert_eq!(policies("10;w=1, 50;w=60"), 2);
    assert_eq!(policies("10;w=1, 50;w=61"), 4);
}

#[test]
fn a_reset_is_told_as_stated_and_only_the_wait_saturates() {
    let signals = read(200, &[("ratelimit", "\"a\";r=0;t=999999999999999")]);
    assert_eq!(signals.limits[0].reset, Some(Duration::from_secs(999_999_999_999_999)));
    assert_eq!(signals.wait.unwrap().duration, MAX_WAIT);
    let signals = read(200, &[("ratelimit-policy", "\"a\";q=999999999999999;w=999999999999999")]);
    assert_eq!(signals.max_rate_per_s(), Some(1.0));
}

#[test]
fn each_header_yields_to_those_of_higher_rank() {
    let reading = Reading { ms_headers: vec!["X-Own-Ms".into()], ..Reading::default() };
    let ranked = [
        ("Retry-After-Ms", "1"),
        ("x-ms-retry-after-ms", "2"),
        ("x-own-ms", "3"),
        ("Retry-After", "4"),
        ("RateLimit", "\"a\";r=0;t=5"),
        ("X-RateLimit-Retry-After", "6"),
        ("RateLimit-Reset", "7"),
        ("X-RateLimit-Reset", "8"),
        ("X-Rate-Limit-Reset", "9"),
    ];
    for from in 0..ranked.len() {
        let signals = Signals::read(&ranked[from..], 429, NOW, &reading);
        let wait = signals.wait.unwrap();
        assert_eq!(wait.header, ranked[from].0.to_ascii_lowercase());
        assert_eq!(signals.retry_after, from < 4);
    }
}

#[test]
fn a_permission_error_with_an_idle_retry_hint_is_no_throttle() {
    let idle = [("X-RateLimit-Remaining", "5"), ("X-RateLimit-Retry-After", "0")];
    let signals = read(403, &idle);
    assert!(!signals.retry_after && !signals.exhausted);
    assert_eq!(wait_ms(200, &idle), None);
    let reset = ("X-RateLimit-Reset", "9");
    let hint = ("X-RateLimit-Retry-After", "6");
    let left = |n| [("X-RateLimit-Remaining", n), reset, hint, ("RateLimit", "\"a\";r=0")];
    assert_eq!(wait_ms(200, &left("0")), Some(6000), "of its own kind nothing is left");
    assert_eq!(wait_ms(200, &left("5")), None);
}

#[test]
fn the_forms_of_all_drafts_are_read() {
    let read = |name, value| read(200, &[(name, value)]);
    let dictionary = read("ratelimit", "limit=10, remaining=0, reset=7");
    assert_eq!(dictionary.wait.unwrap().duration.as_secs(), 7);
    assert_eq!(dictionary.limits[0].quota, Some(10));
    let unnamed = read("ratelimit-policy", "10;w=1;comment=\"x\", 50;w=60").policies;
    assert_eq!(
        unnamed.iter().map(|p| (p.quota, p.window)).collect::<Vec<_>>(),
        [(10, Some(1)), (50, Some(60))]
    );
    let quota = read("ratelimit-limit", "100");
    assert_eq!((quota.limits[0].quota, quota.policies.len()), (Some(100), 0));
    for malformed in
        ["limit=10", "limit=10, remaining=-1, reset=7", "remaining=\"0\", reset=7", "()", "\"a\""]
    {
        assert_eq!(read("ratelimit", malformed), Signals::default(), "{malformed}");
    }
    for malformed in
        ["\"a\"", "\"a\";q=-1", "\"a\";q=1;w=1.5", "\"a\";q=1;qu=1", "-1;w=1", "\"a\";q=1,"]
    {
        assert_eq!(read("ratelimit-policy", malformed), Signals::default(), "{malformed}");
    }
}

#[test]
fn reset_headers_may_be_dates_epochs_or_spans() {
    for value in ["60", "1795392060", "1795392060000", "Mon, 23 Nov 2026 00:01:00 GMT", "1, 60"] {
        assert_eq!(wait_ms(429, &[("x-ratelimit-reset", value)]), Some(60_000), "{value}");
    }
    let saturated = wait_ms(429, &[("x-ratelimit-reset", &"9".repeat(99))]);
    assert_eq!(saturated, Some(u128::from(MAX_WAIT_MS)));
}

#[test]
fn a_rate_of_zero_seconds_or_of_no_window_is_none() {
    let headers =
        [("ratelimit", "\"a\";r=5;t=0"), ("ratelimit-policy", "\"a\";q=5;w=0, \"b\";q=1")];
    assert_eq!(read(200, &headers).max_rate(), None);
}

#[test]
fn only_the_listed_headers_are_looked_at() {
    for name in SIGNAL_HEADERS {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!(is_signal_header(name));
    }
    assert!(!is_signal_header("x-retry-after") && !is_signal_header(""));
    assert_eq!(read(429, &[("x-retry-after", "5"), ("retry-after ", "5")]), Signals::default());
}

proptest! {
    #[test]
    fn nothing_panics_and_every_wait_is_bounded(
        lines in prop::collection::vec((0..SIGNAL_HEADERS.len(), ".*|[\"ab;=, rtqw0-9.]*"), 0..8),
        status: u16,
        received: u64,
        strict: bool,
    ) {
        let mode = if strict { Mode::Strict } else { Mode::Lenient };
        let reading = Reading { mode, ..Reading::default() };
        let headers: Vec<_> =
            lines.iter().map(|(name, value)| (SIGNAL_HEADERS[*name], value.as_str())).collect();
        let signals = Signals::read(&headers, status, Wall::from_millis(received), &reading);
        signals.max_rate_per_s();
        if let Some(wait) = signals.wait {
            prop_assert!(wait.duration <= MAX_WAIT);
        }
    }

    #[test]
    fn split_lines_read_like_one_joined_line(values in prop::collection::vec("[0-9]{1,4}", 1..5)) {
        let items: Vec<_> = values.iter().map(|n| format!("\"a\";r=0;t={}", n.trim_start_matches('0').len())).collect();
        let split: Vec<_> = items.iter().map(|item| ("ratelimit", item.as_str())).collect();
        prop_assert_eq!(read(200, &split), read(200, &[("ratelimit", &items.join(","))]));
        let split: Vec<_> = values.iter().map(|n| ("retry-after", n.as_str())).collect();
        prop_assert_eq!(read(429, &split), read(429, &[("retry-after", &values.join(", "))]));
    }
}
