//! The token: one fetch at a time, by generation, renewed by demand, and what its failures do.

mod host;

use std::time::Duration;

use cxone_core::{Config, Instant, Job, Notice, Replay, RequestError, RequestId};
use host::{Host, at_once, job, ms, one_at_a_time, secs, signed};

/// A host that has a token with this lifetime in seconds, fetched at its origin.
fn signed_in(config: Config, lifetime: u64) -> Host {
    let mut host = Host::new(config);
    let id = host.submit(signed());
    host.token(Some(lifetime));
    host.ok(host.attempt_of(id));
    host.sent();
    host
}

/// Sends one request with whatever token there is, and answers it.
fn send(host: &mut Host, status: u16) -> RequestId {
    let attempt = host.start(signed());
    host.answer(attempt, status, &[]);
    attempt.request
}

/// From when on a send starts a renewal, in whole seconds.
fn renewed_at(config: Config, lifetime: u64) -> u64 {
    let mut host = signed_in(config, lifetime);
    (1..lifetime)
        .find(|second| {
            host.go_to(Instant::from_millis(second * 1000));
            send(&mut host, 200);
            host.fetching.is_some()
        })
        .expect("it is renewed")
}

/// The last moment at which a token serves, by what the engine tells.
fn usable_until(lifetime: Option<u64>) -> Instant {
    let mut host = Host::new(at_once(4));
    host.submit(signed());
    host.token(lifetime);
    match host.notices.last() {
        Some(Notice::TokenValid { until, .. }) => *until,
        other => panic!("{other:?}"),
    }
}

// One fetch.

#[test]
fn x18_two_hundred_cold_requests_fetch_one_token() {
    let mut host = Host::new(at_once(8));
    let ids = host.submit_many(&signed(), 200);
    assert_eq!((host.fetches.len(), host.sends.len()), (1, 0));
    let generation = host.token(None);
    assert_eq!(host.flying.len(), 8, "a fetch holds no slot, and all are free");
    host.ok_all();
    assert!(host.sends.iter().all(|send| send.2 == Some(generation)));
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
    assert_eq!(host.engine.stats().token_fetches, 1);
    host.assert_at_rest();
}

#[test]
fn a_job_without_auth_carries_no_token_and_waits_for_none() {
    let mut host = Host::new(at_once(8));
    host.submit(signed());
    let plain = host.start(job());
    assert_eq!(host.sends.last().map(|send| send.2), Some(None));
    host.answer(plain, 401, &[]);
    assert_eq!(host.error(plain.request), RequestError::Auth { status: 401 });
    assert_eq!(host.fetches.len(), 1);
}

#[test]
fn no_token_is_fetched_while_nobody_may_send() {
    let mut host = Host::new(at_once(8));
    host.pause(None);
    host.submit(signed());
    assert!(host.fetches.is_empty());
    host.resume(None);
    assert_eq!(host.fetches.len(), 1);
}

#[test]
fn t08_each_attempt_is_told_the_token_to_carry() {
    let mut host = signed_in(at_once(8), 3600);
    host.start(signed());
    assert_eq!(host.sends.last().map(|send| send.2), Some(Some(host.fetches[0])));
}

// Lifetime and renewal.

#[test]
fn x19_a_lifetime_that_is_absent_or_zero_counts_as_an_hour_and_a_day_is_the_longest() {
    for absent in [None, Some(0), Some(3600)] {
        assert_eq!(usable_until(absent), Instant::from_millis(3_595_000), "{absent:?}");
    }
    for long in [86_400, 100_000, u64::MAX] {
        assert_eq!(usable_until(Some(long)), Instant::from_millis(86_395_000));
    }
}

#[test]
fn x20_a_token_is_unusable_5_s_or_a_tenth_of_its_lifetime_before_it_expires() {
    for (lifetime, millis) in [(50, 45_000), (49, 44_100), (20, 18_000), (4, 3600)] {
        assert_eq!(usable_until(Some(lifetime)), Instant::from_millis(millis), "{lifetime} s");
    }
}

#[test]
fn a_lifetime_counts_from_when_the_fetch_was_sent() {
    let mut host = Host::new(at_once(8));
    host.submit(signed());
    host.wait(secs(10));
    host.token(Some(100));
    let until = Instant::from_millis(95_000);
    let told = |told: &Notice| matches!(told, Notice::TokenValid { until: u, .. } if *u == until);
    assert!(host.notices.iter().any(told), "{:?}", host.notices);
}

#[test]
fn t02_x20_the_renewal_window_opens_a_minute_before_expiry_but_not_before_half_the_lifetime() {
    assert_eq!(renewed_at(one_at_a_time(), 3600), 3540);
    assert_eq!(renewed_at(one_at_a_time(), 100), 50);
    assert_eq!(renewed_at(one_at_a_time(), 130), 70);
    let patient = Config { attempt_timeout: secs(100), ..one_at_a_time() };
    assert_eq!(renewed_at(patient, 3600), 3495, "the attempt timeout and 5 s");
    let endless = Config { attempt_timeout: Duration::MAX, ..one_at_a_time() };
    assert_eq!(renewed_at(endless, 3600), 1800);
}

#[test]
fn a_renewal_goes_on_in_the_background_while_the_old_token_serves() {
    let mut host = signed_in(at_once(8), 3600);
    host.go_to(Instant::from_millis(3_550_000));
    for _ in 0..20 {
        send(&mut host, 200);
    }
    assert_eq!((host.fetches.len(), host.ended_well()), (2, 21), "one renewal, nobody waits");
    assert!(host.sends.iter().all(|send| send.2 == Some(host.fetches[0])));
    let newer = host.token(None);
    send(&mut host, 200);
    assert_eq!(host.sends.last().unwrap().2, Some(newer));
}

#[test]
fn an_idle_engine_has_no_token_timer() {
    let mut host = signed_in(at_once(8), 60);
    host.assert_at_rest();
    host.wait(secs(100_000));
    assert_eq!(host.fetches.len(), 1);
    host.submit(signed());
    assert_eq!(host.fetches.len(), 2, "by demand");
}

#[test]
fn a_token_that_lives_4_s_makes_no_fetch_storm() {
    let mut host = signed_in(at_once(8), 4);
    while host.clock < Instant::from_millis(60_000) {
        host.submit(signed());
        if host.fetching.is_some() {
            host.token(Some(4));
        }
        host.ok_all();
        host.wait(ms(10));
    }
    assert!(host.ended_well() >= 5990 && host.ended_badly() == 0);
    assert!(host.fetches.len() <= 31, "{} in a minute", host.fetches.len());
}

#[test]
fn a_token_that_is_dead_on_arrival_still_serves_for_a_moment() {
    let mut host = Host::new(at_once(8));
    let ids = host.submit_many(&signed(), 20);
    host.wait(secs(10));
    host.token(Some(1));
    host.ok_all();
    assert_eq!(host.fetches.len(), 2, "and the next is on its way");
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
}

// 401.

#[test]
fn t26_x21_a_revoked_token_is_fetched_anew_once_and_each_request_replayed_once() {
    let mut host = signed_in(at_once(8), 3600);
    let ids = host.submit_many(&signed(), 50);
    for attempt in host.sent() {
        host.answer(attempt, 401, &[]);
    }
    assert_eq!(host.fetches.len(), 2, "one for all eight");
    assert!(host.flying.is_empty(), "nobody is sent with the old one");
    let newer = host.token(None);
    host.ok_all();
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
    assert_eq!(host.fetches.len(), 2);
    assert!(host.sends[9..].iter().all(|send| send.2 == Some(newer)));
    assert_eq!(host.sends[9].1.request, ids[0], "at its old place");
}

#[test]
fn a_late_401_of_an_older_generation_refreshes_nothing() {
    let mut host = signed_in(at_once(8), 3600);
    let early = host.start(signed());
    let late = host.start(signed());
    host.answer(early, 401, &[]);
    host.token(None);
    host.ok(host.attempt_of(early.request));
    host.answer(late, 401, &[]);
    assert_eq!(host.fetches.len(), 2);
    host.ok(host.attempt_of(late.request));
    assert_eq!(host.ended_well(), 3);
}

#[test]
fn a_401_during_a_renewal_waits_for_that_renewal() {
    let mut host = signed_in(at_once(8), 3600);
    host.go_to(Instant::from_millis(3_550_000));
    let attempt = host.start(signed());
    host.answer(attempt, 401, &[]);
    assert_eq!(host.fetches.len(), 2);
    host.token(None);
    host.ok(host.attempt_of(attempt.request));
    assert_eq!(host.end(attempt.request), Some(Ok(())));
}

#[test]
fn t11_a_second_401_fails_as_auth_and_leaves_the_token_to_others() {
    let mut host = signed_in(at_once(8), 3600);
    let attempt = host.start(signed());
    let other = host.start(signed());
    host.answer(attempt, 401, &[]);
    host.token(None);
    host.answer(other, 401, &[]);
    host.ok(host.attempt_of(other.request));
    host.answer(host.attempt_of(attempt.request), 401, &[]);
    let error = host.error(attempt.request);
    assert_eq!(error, RequestError::Auth { status: 401 });
    assert_eq!(error.to_string(), "Auth/Permission Error: 401 Unauthorized");
    assert_eq!((host.sends.len(), host.fetches.len()), (5, 2));
}

#[test]
fn an_api_without_the_right_costs_one_fetch_in_a_cool_down_and_not_one_a_request() {
    let mut host = signed_in(at_once(8), 3600);
    let mut failed = Vec::new();
    for _ in 0..50 {
        failed.push(host.submit(signed()));
        if host.fetching.is_some() {
            host.token(None);
        }
        while let Some(attempt) = host.flying.first().copied() {
            host.answer(attempt, 401, &[]);
            if host.fetching.is_some() {
                host.token(None);
            }
        }
        host.wait(ms(100));
    }
    assert!(failed.iter().all(|id| host.error(*id) == RequestError::Auth { status: 401 }));
    assert_eq!(host.fetches.len(), 2);
    host.wait(secs(30));
    host.submit(signed());
    host.answer(*host.flying.first().unwrap(), 401, &[]);
    assert_eq!(host.fetches.len(), 3, "after the cool-down it is tried again");
}

#[test]
fn t02_a_token_is_used_until_5_s_before_its_end_to_the_moment() {
    for (after, used) in [(3_594_999, true), (3_595_000, false)] {
        let mut host = signed_in(at_once(8), 3600);
        host.go_to(Instant::from_millis(after));
        let id = host.submit(signed());
        assert_eq!(host.is_flying(id), used, "after {after} ms");
    }
}

#[test]
fn the_cool_down_of_a_token_ends_to_the_moment() {
    for (after, fetches) in [(29_999, 2), (30_000, 3)] {
        let mut host = signed_in(at_once(8), 3600);
        send(&mut host, 401);
        host.token(None);
        let replay = *host.flying.first().unwrap();
        host.answer(replay, 401, &[]);
        host.wait(ms(after));
        send(&mut host, 401);
        assert_eq!(host.fetches.len(), fetches, "after {after} ms");
    }
}

#[test]
fn a_token_that_an_answer_has_accepted_is_refreshed_again_at_a_401() {
    let mut host = signed_in(at_once(8), 3600);
    for fetches in 2..6 {
        send(&mut host, 401);
        assert_eq!(host.fetches.len(), fetches);
        host.token(None);
        host.ok_all();
    }
    assert_eq!(host.ended_badly(), 0);
}

#[test]
fn a_job_that_cannot_be_sent_again_is_not_replayed_after_a_401() {
    let mut host = signed_in(at_once(8), 3600);
    let attempt = host.start(Job { replay: Replay::Never, ..signed() });
    host.answer(attempt, 401, &[]);
    assert_eq!(host.error(attempt.request), RequestError::Auth { status: 401 });
}
