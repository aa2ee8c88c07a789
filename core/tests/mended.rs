//! Each of these was broken once.

mod host;

use std::time::Duration;

use cxone_core::{
    Config, Failure, Generation, Input, Job, Notice, Priority, Replay, RequestError, TokenFailure,
};
use host::{Host, at_once, class, job, ms, scope_of, secs, signed, within};

/// How many sends a LOW job waits while `busy` jobs keep coming.
fn sends_before_low(config: Config, low: &Job<'_>, busy: &[Job<'_>]) -> Option<usize> {
    let mut host = Host::new(config);
    for job in busy {
        host.submit(job.clone());
    }
    let low = host.submit(low.clone());
    for _ in 0..60 {
        for job in busy {
            host.submit(job.clone());
        }
        for attempt in host.flying.clone() {
            host.ok(attempt);
        }
        if let Some(sends) = host.sends.iter().position(|send| send.1.request == low) {
            return Some(sends);
        }
    }
    None
}

#[test]
fn x26_low_is_not_starved_by_sends_apart_from_the_clients_slots() {
    let config = Config { scopes: vec![scope_of("poll", 1, true)], ..at_once(1) };
    let high = class(Priority::High);
    let poll = Job { scopes: &["poll"], ..high.clone() };
    let sends = sends_before_low(config, &class(Priority::Low), &[high, poll]);
    assert!(sends.is_some_and(|sends| sends <= 18), "{sends:?}");
}

#[test]
fn x26_low_is_not_starved_in_a_scope_whose_own_slots_are_taken() {
    let config = Config { scopes: vec![scope_of("own", 1, false)], ..at_once(8) };
    let high = class(Priority::High);
    let own = Job { scopes: &["own"], ..high.clone() };
    let low = Job { priority: Priority::Low, ..own.clone() };
    let sends = sends_before_low(config, &low, &[own, high]);
    assert!(sends.is_some_and(|sends| sends <= 18), "{sends:?}");
}

#[test]
fn a_class_in_a_scope_that_closed_while_full_is_not_passed_over() {
    let mut host = Host::new(Config { scopes: vec![scope_of("own", 1, false)], ..at_once(8) });
    let first = host.start(within(&["own"]));
    let low = host.submit(Job { priority: Priority::Low, ..within(&["own"]) });
    host.refuse(first, 5);
    host.cancel(first.request);
    for _ in 0..40 {
        let attempt = host.start(class(Priority::High));
        host.ok(attempt);
    }
    let high = host.submit(Job { priority: Priority::High, ..within(&["own"]) });
    host.sent();
    host.step();
    assert_eq!(host.sent_requests(), [high], "a closed scope's LOW is not owed anything");
    assert_eq!(host.end(low), None);
}

#[test]
fn x21_a_401_drops_the_token_even_if_its_request_cannot_be_sent_again() {
    let mut host = Host::new(at_once(1));
    let upload = Job { replay: Replay::Never, ..signed() };
    host.submit(upload.clone());
    host.token(None);
    let attempt = host.sent_one();
    host.answer(attempt, 401, &[]);
    host.submit(upload);
    assert_eq!(host.fetches.len(), 2, "the next one does not carry the dead token");
}

#[test]
fn a_stated_wait_of_exactly_max_wait_is_waited_for_jitter_or_not() {
    let mut host = Host::new(at_once(1));
    let attempt = host.start(job());
    host.refuse(attempt, 900);
    assert_eq!(host.end(attempt.request), None);
    let late = host.submit(job());
    assert_eq!(host.end(late), None);
}

#[test]
fn a_token_endpoints_stated_wait_of_exactly_max_wait_is_waited_for() {
    let mut host = Host::new(at_once(1));
    let id = host.submit(signed());
    host.token_fails(TokenFailure::Transient { status: 503 }, &[("retry-after", "900")]);
    assert_eq!(host.end(id), None);
}

#[test]
fn own_backoff_is_nothing_that_the_server_states() {
    let mut host = Host::new(Config { max_wait: ms(500), ..at_once(1) });
    let attempt = host.start(job());
    host.answer(attempt, 429, &[]);
    assert_eq!(host.end(attempt.request), None);
}

#[test]
fn waiting_for_a_turn_that_ends_with_a_pause_does_not_count_against_retry_for() {
    let settings = Config { retry_for: secs(60), attempt_timeout: Duration::MAX, ..at_once(1) };
    let mut host = Host::new(settings);
    let waiting = host.start(class(Priority::Low));
    host.refuse(waiting, 2);
    let slow = host.submit(class(Priority::High));
    host.step();
    host.wait(secs(100));
    host.refuse(host.attempt_of(slow), 4);
    assert_eq!(host.end(waiting.request), None, "2 s and 4 s of 60 s");
    host.step();
    host.refuse(host.attempt_of(waiting.request), 50);
    assert_eq!(host.end(waiting.request), None, "56 s of 60 s");
    host.step();
    host.refuse(host.attempt_of(waiting.request), 10);
    assert!(host.end(waiting.request).is_some(), "66 s of 60 s");
}

#[test]
fn a_throttle_charged_to_a_narrow_scope_is_an_answer_for_the_wide_one_too() {
    let mut host = Host::new(at_once(2));
    let first = host.start(within(&["a", "wide"]));
    let second = host.start(within(&["b", "wide"]));
    host.fail(first, Failure::Reset);
    host.refuse(second, 1);
    let third = host.start(within(&["c", "wide"]));
    host.fail(third, Failure::Reset);
    assert_eq!(host.closed_until("wide"), None, "two failures, but not in a row");
}

#[test]
fn a_busy_gateway_proves_no_token_so_an_api_without_the_right_costs_one_fetch() {
    for status in [429, 503, 504, 408] {
        let mut host = Host::new(Config { max_attempts: 1, ..at_once(1) });
        host.submit(signed());
        host.token(None);
        let attempt = host.sent_one();
        host.answer(attempt, 401, &[]);
        host.token(None);
        let attempt = host.sent_one();
        host.answer(attempt, 401, &[]);
        let busy = host.start(signed());
        host.answer(busy, status, &[]);
        host.cancel(busy.request);
        host.wait(secs(2));
        let forbidden = host.start(signed());
        host.answer(forbidden, 401, &[]);
        assert_eq!(host.fetches.len(), 2, "{status}");
    }
}

#[test]
fn an_outage_is_seen_across_requests_that_leave_nobody_waiting() {
    let mut host = Host::new(at_once(3));
    for _ in 0..3 {
        assert_eq!(host.closed_until("a"), None);
        let attempt = host.start(Job { replay: Replay::Never, ..within(&["a"]) });
        host.fail(attempt, Failure::Reset);
    }
    assert!(host.closed_until("a").is_some());
}

#[test]
fn x6_after_a_late_refusal_that_closes_an_open_gate_one_probe_goes_out() {
    let mut host = Host::new(at_once(4));
    host.submit_many(&job(), 30);
    let first = host.sent();
    host.refuse(first[0], 1);
    host.ok(first[2]);
    host.ok(first[3]);
    host.step();
    let recovered = |told: &Notice| matches!(told, Notice::Recovered { .. });
    while !host.notices.iter().any(recovered) {
        let attempt = *host.flying.iter().find(|attempt| **attempt != first[1]).unwrap();
        host.ok(attempt);
    }
    host.refuse(first[1], 60);
    host.ok_all();
    host.step();
    assert_eq!(host.flying.len(), 1);
    host.ok_all();
    host.assert_at_rest();
}

#[test]
fn a_wait_for_ever_ends_what_waits_even_if_any_wait_is_allowed() {
    let mut host = Host::new(Config { max_wait: Duration::MAX, ..at_once(1) });
    let ids = host.submit_many(&job(), 3);
    host.refuse(host.attempt_of(ids[0]), u64::MAX);
    assert!(ids.iter().all(|id| host.end(*id).is_some()), "no timer would ever wake them");
    host.assert_at_rest();
}

#[test]
fn x9_a_deadline_beyond_max_wait_ends_those_too_that_wait_alone() {
    let mut host = Host::new(at_once(4));
    let refused = host.start(job());
    let alone = host.start(job());
    host.fail(alone, Failure::Reset);
    host.refuse(refused, 901);
    let error =
        RequestError::RateLimited { retry_at: host.closed_until("default").unwrap(), status: None };
    assert_eq!(host.end(alone.request), Some(Err(error)), "at once");
    host.assert_at_rest();
}

#[test]
fn a_moment_at_which_a_token_is_fetched_again_lies_ahead_or_is_not_told() {
    let mut host = Host::new(at_once(4));
    let id = host.submit(Job { deadline: Some(secs(5)), ..signed() });
    host.token_fails(TokenFailure::Network, &[]);
    host.wait(secs(5));
    assert!(host.fetching.is_some(), "it is being tried again");
    let failure = TokenFailure::Network;
    assert_eq!(host.error(id), RequestError::Token { failure, retry_at: None });
}

#[test]
fn a_hold_that_comes_after_close_stalls_no_drain() {
    let mut host = Host::new(at_once(1));
    let ids = host.submit_many(&job(), 2);
    host.close(true);
    host.pause(None);
    host.ok_all();
    host.ok_all();
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
    host.assert_at_rest();
}

#[test]
fn a_deadline_that_passes_during_a_hold_is_not_blamed_on_the_token() {
    let mut host = Host::new(at_once(4));
    host.pause(None);
    host.submit(signed());
    host.resume(None);
    host.token_fails(TokenFailure::Network, &[]);
    host.pause(Some("default"));
    let id = host.submit(Job { deadline: Some(secs(60)), ..signed() });
    host.wait(secs(2));
    host.wait(secs(60));
    assert_eq!(host.error(id), RequestError::Deadline);
}

#[test]
fn x6_a_late_refusal_during_the_probe_has_a_probe_of_its_own() {
    let mut host = Host::new(at_once(4));
    host.submit_many(&job(), 30);
    let first = host.sent();
    host.refuse(first[0], 1);
    host.ok(first[2]);
    host.ok(first[3]);
    host.step();
    let probe = host.sent_one();
    host.refuse(first[1], 60);
    host.ok(probe);
    host.step();
    assert_eq!(host.sent().len(), 1, "at the later deadline");
    host.ok_all();
    host.assert_at_rest();
}

#[test]
fn a_late_failure_of_a_token_fetch_draws_no_chance() {
    let closed_until = |late: bool| {
        let mut host = Host::new(at_once(1));
        if late {
            let (generation, failure) = (Generation(9), TokenFailure::Network);
            host.input(Input::TokenFailed { generation, failure, headers: &[] });
        }
        let attempt = host.start(job());
        host.answer(attempt, 429, &[]);
        host.closed_until("default")
    };
    assert_eq!(closed_until(true), closed_until(false));
}

#[test]
fn a_class_in_a_full_scope_that_is_held_is_owed_nothing() {
    let mut host = Host::new(Config { scopes: vec![scope_of("own", 1, false)], ..at_once(8) });
    let first = host.start(within(&["own"]));
    host.submit(Job { priority: Priority::Low, ..within(&["own"]) });
    host.pause(Some("own"));
    for _ in 0..40 {
        let attempt = host.start(class(Priority::High));
        host.ok(attempt);
    }
    host.ok(first);
    let high = host.submit(Job { priority: Priority::High, ..within(&["own"]) });
    host.sent();
    host.resume(Some("own"));
    assert_eq!(host.sent_requests(), [high], "nobody was passed over during the hold");
}

#[test]
fn a_class_in_a_full_scope_is_owed_nothing_while_another_of_its_scopes_is_closed() {
    let mut host = Host::new(Config { scopes: vec![scope_of("own", 1, false)], ..at_once(8) });
    let both = |priority| Job { priority, ..within(&["own", "wide"]) };
    let first = host.start(within(&["own"]));
    host.submit(both(Priority::Low));
    let refused = host.start(within(&["wide"]));
    host.refuse(refused, 5);
    host.cancel(refused.request);
    for _ in 0..40 {
        let attempt = host.start(class(Priority::High));
        host.ok(attempt);
    }
    host.ok(first);
    let high = host.submit(both(Priority::High));
    host.sent();
    host.step();
    assert_eq!(host.sent_requests(), [high]);
}

#[test]
fn a_scope_that_only_a_hold_kept_is_forgotten_at_close() {
    let mut host = Host::new(at_once(1));
    host.pause(Some("idle"));
    host.close(true);
    assert!(host.scope("idle").is_none());
}

#[test]
fn x9_who_comes_to_wait_alone_behind_a_deadline_beyond_max_wait_ends_at_once_too() {
    let mut host = Host::new(at_once(4));
    let refused = host.start(job());
    let lost = host.start(job());
    host.refuse(refused, 901);
    host.fail(lost, Failure::Reset);
    let error =
        RequestError::RateLimited { retry_at: host.closed_until("default").unwrap(), status: None };
    assert_eq!(host.end(lost.request), Some(Err(error)));
    host.assert_at_rest();
}

#[test]
fn an_api_without_the_right_costs_one_fetch_even_while_another_accepts_each_new_token() {
    let mut host = Host::new(at_once(1));
    let send = |host: &mut Host, scope: &str, status: u16| {
        let id = host.submit(Job { scopes: &[scope], ..signed() });
        while host.end(id).is_none() {
            match host.fetching {
                Some(_) => drop(host.token(None)),
                None => host.answer(host.attempt_of(id), status, &[]),
            }
        }
        id
    };
    for _ in 0..20 {
        send(&mut host, "allowed", 200);
        let id = send(&mut host, "forbidden", 401);
        assert_eq!(host.error(id), RequestError::Auth { status: 401 });
    }
    assert_eq!(host.fetches.len(), 2);
    host.wait(secs(30));
    send(&mut host, "forbidden", 401);
    assert_eq!(host.fetches.len(), 3, "after the cool-down it is tried again");
    send(&mut host, "allowed", 200);
    send(&mut host, "allowed", 401);
    assert_eq!(host.fetches.len(), 4, "of the other API it says nothing");
}

#[test]
fn the_401_of_a_request_that_was_replayed_long_ago_says_nothing_of_an_older_token() {
    let mut host = Host::new(at_once(1));
    host.submit(signed());
    host.token(None);
    let attempt = host.sent_one();
    host.answer(attempt, 401, &[]);
    host.token(Some(60));
    let replay = host.sent_one();
    host.answer(replay, 429, &[("retry-after", "100")]);
    host.step();
    host.token(None);
    host.answer(host.attempt_of(attempt.request), 401, &[]);
    assert_eq!(host.error(attempt.request), RequestError::Auth { status: 401 });
    let next = host.start(signed());
    host.answer(next, 401, &[]);
    assert_eq!(host.end(next.request), None, "it is refreshed");
    host.token(None);
    host.ok_all();
    assert_eq!(host.end(next.request), Some(Ok(())));
}

#[test]
fn t4_a_deadline_that_falls_due_with_the_next_token_fetch_is_blamed_on_the_token() {
    let mut host = Host::new(at_once(4));
    let id = host.submit(Job { deadline: Some(secs(3)), ..signed() });
    host.token_fails(TokenFailure::Network, &[]);
    host.clock += secs(3); // both are past before the engine is told
    host.timeout();
    let error = host.error(id);
    assert!(matches!(error, RequestError::Token { .. }), "{error:?}");
}
