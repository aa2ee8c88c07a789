//! A token endpoint that is ill or refuses, and what that does to requests.

mod host;

use cxone_core::{
    Config, Engine, Failure, Input, Instant, Job, Priority, RequestError, RequestId, TokenFailure,
};
use host::{Host, at_once, job, ms, secs, signed};

const BUSY: TokenFailure = TokenFailure::Transient { status: 503 };
const REFUSED: TokenFailure = TokenFailure::Refused { status: 400 };

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

// An endpoint that is ill.

#[test]
fn x22_two_503s_from_the_token_endpoint_fail_nobody() {
    for failure in [BUSY, TokenFailure::Transient { status: 429 }, TokenFailure::Network] {
        let mut host = Host::new(at_once(8));
        let ids = host.submit_many(&signed(), 20);
        for bare in [1000, 2000] {
            let failed_at = host.clock;
            host.token_fails(failure, &[]);
            assert_eq!(host.fetching, None);
            host.step();
            let waited = host.clock.saturating_since(failed_at);
            assert!(waited >= ms(bare) && waited <= ms(bare * 3 / 2), "{waited:?}");
            assert!(host.fetching.is_some());
        }
        host.token(None);
        host.ok_all();
        assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
        host.assert_at_rest();
    }
}

#[test]
fn t14_the_token_endpoints_stated_wait_is_kept() {
    let mut host = Host::new(at_once(8));
    host.submit(signed());
    host.token_fails(BUSY, &[("retry-after", "45")]);
    host.step();
    let at = host.clock;
    assert!(at >= Instant::from_millis(45_000) && at <= Instant::from_millis(45_250), "{at}");
    assert!(host.fetching.is_some());
}

#[test]
fn a_submit_during_the_wait_for_the_token_endpoint_fetches_nothing() {
    let mut host = Host::new(at_once(8));
    host.submit(signed());
    host.token_fails(BUSY, &[]);
    host.submit_many(&signed(), 50);
    assert_eq!(host.fetches.len(), 1);
}

#[test]
fn a_fetch_that_takes_longer_than_an_attempt_may_is_given_up_and_tried_again() {
    let mut host = Host::new(at_once(8));
    let id = host.submit(signed());
    host.step();
    assert_eq!((host.clock, host.fetching), (Instant::from_millis(15_000), None));
    host.step();
    assert_eq!(host.fetches.len(), 2);
    host.token(None);
    host.ok_all();
    assert_eq!(host.end(id), Some(Ok(())));
}

#[test]
fn while_the_endpoint_is_ill_each_request_ends_by_its_own_limits_with_the_failure_as_cause() {
    let mut host = Host::new(at_once(8));
    let short = host.submit(Job { deadline: Some(secs(20)), ..signed() });
    let sooner = host.submit(Job { deadline: Some(secs(40)), ..signed() });
    let patient = host.submit(signed());
    host.token_fails(BUSY, &[("retry-after", "30")]);
    let told = |host: &Host, id| match host.error(id) {
        RequestError::Token { failure: BUSY, retry_at } => retry_at,
        other => panic!("{other:?}"),
    };
    assert!(told(&host, short) >= Some(Instant::from_millis(30_000)), "it ends at once");
    host.go_to(Instant::from_millis(40_000));
    told(&host, sooner);
    assert_eq!(host.end(patient), None);
    let source = std::error::Error::source(&host.error(short)).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("OAuth Token Fetch Failed: 503 Service Unavailable"), "t04");
}

#[test]
fn retry_for_ends_the_waiting_for_a_token_that_never_comes() {
    let mut host = Host::new(Config { retry_for: secs(120), ..at_once(8) });
    let id = host.submit(signed());
    while host.end(id).is_none() {
        assert!(host.clock < Instant::from_millis(150_000), "it never ends");
        host.token_fails(TokenFailure::Network, &[]);
        if host.end(id).is_none() {
            host.step();
        }
    }
    assert!(host.clock >= Instant::from_millis(70_000), "{}", host.clock);
    assert!(host.clock <= Instant::from_millis(120_000), "{}", host.clock);
    host.assert_at_rest();
}

#[test]
fn a_wait_beyond_max_wait_ends_all_that_need_a_token_and_nobody_else() {
    let mut host = Host::new(at_once(8));
    let waiting = host.submit(signed());
    let plain = host.start(job());
    host.token_fails(BUSY, &[("retry-after", "1000")]);
    let later = host.submit(signed());
    for id in [waiting, later] {
        let error = host.error(id);
        assert!(matches!(error, RequestError::Token { retry_at: Some(at), .. }
            if at >= Instant::from_millis(1_000_000)));
    }
    host.ok(plain);
    assert_eq!(host.end(plain.request), Some(Ok(())));
}

#[test]
fn a_failed_renewal_fails_nobody_while_the_old_token_is_usable() {
    for failure in [BUSY, TokenFailure::Network, REFUSED] {
        let mut host = signed_in(at_once(8), 3600);
        host.go_to(Instant::from_millis(3_541_000));
        let flying = host.start(signed());
        host.token_fails(failure, &[]);
        let fetches = host.fetches.len();
        send(&mut host, 200);
        host.ok(flying);
        assert_eq!((host.ended_badly(), host.fetches.len()), (0, fetches), "{failure:?}");
        host.go_to(Instant::from_millis(3_580_000));
        send(&mut host, 200);
        assert_eq!(host.fetches.len(), fetches + 1, "it is tried again by demand");
    }
}

// An endpoint that refuses.

#[test]
fn t04_a_refusal_is_fatal_for_all_that_wait_and_during_the_cool_down() {
    let refusals =
        [REFUSED, TokenFailure::Refused { status: 302 }, TokenFailure::Unsendable].into_iter();
    for failure in refusals {
        let mut host = Host::new(at_once(8));
        let plain = host.start(job());
        let waiting = host.submit_many(&signed(), 20);
        host.wait(secs(1));
        host.token_fails(failure, &[]);
        let retry_at = Some(Instant::from_millis(31_000));
        let error = RequestError::Token { failure, retry_at };
        assert!(waiting.iter().all(|id| host.error(*id) == error), "{failure:?}");
        host.go_to(Instant::from_millis(30_999));
        let late = host.submit(signed());
        assert_eq!(host.error(late), error, "at once, the same error");
        assert_eq!(host.fetches.len(), 1);
        host.go_to(Instant::from_millis(31_000));
        let next = host.submit(signed());
        assert_eq!(host.fetches.len(), 2);
        host.token(None);
        host.ok(host.attempt_of(next));
        assert!(host.is_flying(plain.request) || host.end(plain.request).is_none());
    }
}

#[test]
fn a_refusal_ends_those_too_who_have_no_slot_yet() {
    let mut host = Host::new(at_once(1));
    let waiting = host.submit(signed());
    let plain = host.start(job());
    host.token_fails(REFUSED, &[]);
    assert!(matches!(host.error(waiting), RequestError::Token { failure: REFUSED, .. }));
    host.ok(plain);
    host.assert_at_rest();
}

#[test]
fn x17_nothing_that_is_printed_could_hold_a_secret() {
    let mut host = signed_in(at_once(8), 3600);
    send(&mut host, 401);
    host.token_fails(REFUSED, &[]);
    // Token strings never cross: what is known of a token is its number.
    let printed = format!("{:?} {:?}", host.engine, host.trace);
    assert!(printed.contains("t2") && !printed.to_lowercase().contains("bearer"));
}

#[test]
fn requests_that_are_sent_while_a_fetch_is_refused_end_by_their_answers() {
    let mut host = signed_in(at_once(2), 3600);
    let flying = host.start(signed());
    let revoked = host.start(signed());
    host.answer(revoked, 401, &[]);
    host.token_fails(REFUSED, &[]);
    assert!(matches!(host.error(revoked.request), RequestError::Token { .. }));
    assert_eq!(host.end(flying.request), None);
    host.ok(flying);
    assert_eq!(host.end(flying.request), Some(Ok(())));
    host.assert_at_rest();
}

#[test]
fn a_fetch_outlives_those_who_asked_for_it_and_serves_the_next() {
    let mut host = Host::new(at_once(8));
    let id = host.submit(signed());
    host.cancel(id);
    assert!(!host.engine.is_idle(), "the fetch is still out");
    let high = host.submit(Job { priority: Priority::High, ..signed() });
    assert_eq!(host.fetches.len(), 1);
    host.token(None);
    host.fail(host.attempt_of(high), Failure::Unsendable);
    host.assert_at_rest();
}

#[test]
fn close_gives_up_the_fetch_that_is_out_and_its_late_news_is_harmless() {
    let mut host = Host::new(at_once(8));
    let id = host.submit(signed());
    let generation = host.fetching.unwrap();
    host.close(false);
    assert_eq!((host.fetching, host.error(id)), (None, RequestError::Closed));
    let engine: &mut Engine = &mut host.engine;
    let token = Input::Token { generation, lifetime: None };
    engine.handle_input(token, host::at(host.clock));
    assert_eq!(engine.poll_output(), None);
    host.assert_at_rest();
}

#[test]
fn retry_for_counts_from_when_the_trouble_began_or_the_request_came_whichever_is_later() {
    let mut host = Host::new(Config { retry_for: secs(120), ..at_once(8) });
    host.pause(None);
    let early = host.submit(signed());
    host.wait(secs(3600));
    host.resume(None);
    host.token_fails(TokenFailure::Network, &[]);
    assert_eq!(host.end(early), None, "it waited for its turn, not for a token");
    let mut late = None;
    while host.end(early).is_none() {
        host.step();
        if late.is_none() && host.clock > Instant::from_millis(3_670_000) {
            late = Some(host.submit(signed()));
        }
        host.token_fails(TokenFailure::Network, &[]);
    }
    assert_eq!(host.end(late.expect("it came")), None);
}
