//! Extremes: hostile answers and settings, clocks that go backwards, and many requests at once.

mod host;

use std::time::Duration;

use cxone_core::{
    Backoff, Config, Engine, Head, Input, Instant, Job, Now, Output, Priority, RequestId,
    TokenFailure, Wall,
};
use host::{Host, at, at_once, class, deadline, job, ms, scope_of, secs, signed, within};
use proptest::prelude::*;

// Extremes.

#[test]
fn a_server_that_asks_for_ever_is_answered_at_once_and_overflows_nothing() {
    for wait in ["100000000000000000000", "9007199254740993", "18446744073709551615"] {
        for status in [429, 200, 502, 503] {
            let mut host = Host::new(at_once(2));
            let ids = host.submit_many(&job(), 5);
            let spent = format!("\"x\";r=0;t={wait}");
            let attempt = host.attempt_of(ids[0]);
            host.answer(attempt, status, &[("retry-after", wait), ("ratelimit", &spent)]);
            host.ok_all();
            host.wait(secs(60));
            host.ok_all();
            assert!(ids.iter().all(|id| host.end(*id).is_some()), "{status} {wait}");
            host.assert_at_rest();
        }
    }
}

#[test]
fn the_largest_and_smallest_settings_do_no_harm() {
    for (long, many) in [(Duration::MAX, u32::MAX), (Duration::from_nanos(1), 2)] {
        let config = Config {
            concurrency: 65_535,
            max_attempts: many,
            retry_for: long,
            max_wait: long,
            attempt_timeout: long,
            queue_limit: many,
            fair_share: many,
            token_cooldown: long,
            backoff: Backoff { base: long.max(ms(1)), cap: long.max(ms(1)), ..Backoff::default() },
            ..Config::default()
        };
        let mut host = Host::new(config);
        for status in [200, 429, 401, 502, 503, 500] {
            let job = Job { deadline: Some(long), attempt_timeout: Some(long), ..signed() };
            let _ = host.try_submit(job);
            if host.fetching.is_some() {
                host.token(Some(u64::MAX));
            }
            if let Some(attempt) = host.flying.first().copied() {
                host.answer(attempt, status, &[]);
            }
            if host.fetching.is_some() {
                host.token_fails(TokenFailure::Network, &[]);
            }
            host.wait(secs(1));
        }
        host.close(false);
        host.end_aborted();
        host.assert_at_rest();
    }
}

#[test]
fn settings_out_of_range_are_told_by_name() {
    type Change = fn(&mut Config);
    let set: [(&str, Change); 8] = [
        ("concurrency", |config| config.concurrency = 0),
        ("concurrency", |config| config.concurrency = 65_536),
        ("max_attempts", |config| config.max_attempts = 0),
        ("queue_limit", |config| config.queue_limit = 0),
        ("fair_share", |config| config.fair_share = 1),
        ("attempt_timeout", |config| config.attempt_timeout = Duration::ZERO),
        ("backoff.base", |config| config.backoff.base = Duration::from_micros(999)),
        ("backoff.cap", |config| config.backoff.cap = ms(1)),
    ];
    for (field, change) in set {
        let mut config = Config::default();
        change(&mut config);
        let error = Engine::new(config, 0, at(Instant::ORIGIN)).unwrap_err();
        assert_eq!(error.field, field);
        assert!(error.to_string().contains(field));
    }
}

#[test]
fn a_time_earlier_than_the_last_counts_as_the_last() {
    let mut host = Host::new(at_once(1));
    host.go_to(Instant::from_millis(60_000));
    let first = host.start(job());
    host.clock = Instant::from_millis(1000);
    host.refuse(first, 10);
    assert!(host.closed_until("default") >= Some(Instant::from_millis(70_000)));
    let limited = host.submit(deadline(secs(5)));
    assert!(host.end(limited).is_some(), "its deadline is at 65 s");
    host.sent();
    host.go_to(Instant::from_millis(60_001));
    assert!(host.sent().is_empty());
}

#[test]
fn at_the_end_of_time_nothing_panics() {
    let mut host = Host::new(Config { scopes: vec![scope_of("a", 1, true)], ..at_once(2) });
    let ids = host.submit_many(&job(), 3);
    host.clock = Instant::FAR;
    host.timeout();
    for status in [429, 502, 200] {
        if let Some(attempt) = host.flying.first().copied() {
            host.answer(attempt, status, &[("retry-after", "5")]);
        }
        host.end_aborted();
    }
    host.submit(within(&["a"]));
    host.close(false);
    host.end_aborted();
    assert!(ids.iter().all(|id| host.end(*id).is_some()));
    assert!(host.engine.is_idle());
}

/// 100 000 requests in a queue, one of each class in turn.
fn many(engine: &mut Engine) -> Vec<RequestId> {
    let now = Now::new(Instant::ORIGIN, Wall::from_millis(0));
    let job = |i: usize| class(Priority::ALL[i % 3]);
    (0..100_000).map(|i| engine.submit(job(i), now).expect("it has room")).collect()
}

#[test]
fn x25_x27_a_hundred_thousand_queued_requests_are_served_in_a_moment() {
    let now = at(Instant::ORIGIN);
    let started = std::time::Instant::now();
    let mut engine = Engine::new(Config::default(), 1, now).unwrap();
    many(&mut engine);
    let mut ended = 0;
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Send { attempt, .. } => {
                let head = Head { status: 200, headers: &[], redirect: false };
                engine.handle_input(Input::Head { attempt, head }, now);
                engine.handle_input(Input::Done { attempt }, now);
            }
            Output::Finish { .. } => ended += 1,
            _ => {}
        }
    }
    assert_eq!(ended, 100_000);
    // Quadratic work would take minutes.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn x25_a_hundred_thousand_are_cancelled_or_refused_in_a_moment() {
    let now = at(Instant::ORIGIN);
    let started = std::time::Instant::now();
    let mut engine = Engine::new(Config::default(), 1, now).unwrap();
    let ids = many(&mut engine);
    for id in ids.iter().rev().take(50_000) {
        engine.cancel(*id, now);
    }
    let Some(Output::Send { attempt, .. }) = engine.poll_output() else { panic!("it is sent") };
    for _ in 0..1000 {
        let head = Head { status: 429, headers: &[("retry-after", "90000")], redirect: false };
        engine.handle_input(Input::Head { attempt, head }, now);
    }
    let outputs = std::iter::from_fn(|| engine.poll_output());
    let ended = outputs.filter(|output| matches!(output, Output::Finish { .. })).count();
    assert_eq!(ended, 50_000 - 8, "all but what is in flight");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_answer_whatever_panics_or_leaks(
        answers in prop::collection::vec(
            (any::<u16>(), any::<bool>(), "[a-z-]{0,12}|retry-after|ratelimit|x-ratelimit-reset|date", ".{0,40}|[0-9]{1,25}"),
            1..30,
        ),
        waits in prop::collection::vec(any::<u64>(), 30),
    ) {
        let mut host = Host::new(at_once(3));
        for ((status, redirect, name, value), wait) in answers.iter().zip(waits) {
            host.submit(within(&["a", "b"]));
            if let Some(attempt) = host.flying.first().copied() {
                let headers: &[(&str, &str)] = &[(name, value)];
                let head = Head { status: *status, headers, redirect: *redirect };
                host.input(Input::Head { attempt, head });
                host.done(attempt);
            }
            host.clock += Duration::from_nanos(wait >> (wait % 64));
            host.timeout();
            host.end_aborted();
        }
        host.close(false);
        host.end_aborted();
        prop_assert!(host.engine.is_idle());
        prop_assert_eq!(host.engine.poll_timeout(), None);
    }
}
