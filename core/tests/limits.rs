//! Within which limits a request is tried again: attempts, time, budget, deadlines, timeouts.

mod host;

use std::time::Duration;

use cxone_core::{Config, Failure, Instant, Job, Replay, RequestError};
use host::{Host, at_once, deadline, job, ms, one_at_a_time, replay, secs};

use Replay::{IfUnprocessed, Never};

#[test]
fn t9_t16_a_retry_waits_alone_with_its_own_failure_count() {
    let mut host = Host::new(at_once(8));
    let mut attempt = host.start(job());
    for bare in [1000, 2000, 4000, 8000] {
        let failed_at = host.clock;
        host.answer(attempt, 502, &[]);
        assert_eq!(host.engine.stats().in_flight, 0, "it holds no slot");
        let other = host.start(job());
        host.ok(other);
        host.sent();
        host.step();
        attempt = host.sent_one();
        let waited = host.clock.saturating_since(failed_at);
        assert!(waited >= ms(bare) && waited <= ms(bare * 3 / 2), "{waited:?} for {bare}");
    }
    host.answer(attempt, 502, &[]);
    assert_eq!(host.error(attempt.request), RequestError::Server { status: 502, retry_at: None });
    assert_eq!(attempt.number, 5, "x9: five failures end it");
    host.assert_at_rest();
}

#[test]
fn throttles_and_the_replay_after_a_401_are_no_failures_that_max_attempts_counts() {
    let mut host = Host::new(Config { max_attempts: 2, ..one_at_a_time() });
    let id = host.submit(Job { auth: true, ..job() });
    host.token(None);
    host.answer(host.attempt_of(id), 401, &[]);
    host.token(None);
    for _ in 0..10 {
        host.refuse(host.attempt_of(id), 1);
        host.step();
    }
    host.answer(host.attempt_of(id), 502, &[]);
    host.step();
    host.refuse(host.attempt_of(id), 1);
    host.step();
    host.ok(host.attempt_of(id));
    assert_eq!(host.end(id), Some(Ok(())));
}

#[test]
fn max_attempts_of_one_is_no_retry() {
    let mut host = Host::new(Config { max_attempts: 1, ..at_once(4) });
    let attempt = host.start(job());
    host.fail(attempt, Failure::Unsent);
    let error = host.error(attempt.request);
    assert_eq!(error, RequestError::Network { failure: Failure::Unsent });
}

#[test]
fn x9_retry_for_ends_retrying_and_time_queued_before_the_first_send_is_free() {
    let config = Config { retry_for: secs(5), max_attempts: 100, ..at_once(4) };
    let mut host = Host::new(config);
    host.pause(None);
    let id = host.submit(job());
    host.wait(secs(3600));
    host.resume(None);
    let started = host.clock;
    while host.end(id).is_none() {
        host.answer(host.attempt_of(id), 504, &[]);
        if host.end(id).is_none() {
            host.step();
        }
    }
    let took = host.clock.saturating_since(started);
    assert!(took >= secs(3) && took <= secs(5), "{took:?}");
}

#[test]
fn an_empty_budget_delays_a_retry_and_fails_nobody() {
    let mut host = Host::new(Config { attempt_timeout: Duration::MAX, ..at_once(50) });
    let ids = host.submit_many(&job(), 50);
    for attempt in host.sent() {
        host.answer(attempt, 503, &[]);
    }
    // It starts at 10 and gained 5 by the first sends, then 1 a second.
    host.wait(ms(1500));
    let soon = host.sent().len();
    assert!((15..=16).contains(&soon), "{soon}");
    host.wait(secs(20));
    assert_eq!(host.sent().len(), 20);
    host.wait(secs(30));
    host.ok_all();
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
    host.assert_at_rest();
}

#[test]
fn a_deadline_counts_from_submit_and_covers_everything() {
    let mut host = Host::new(one_at_a_time());
    let flying = host.start(deadline(secs(10)));
    let queued = host.submit(deadline(secs(10)));
    host.go_to(Instant::from_millis(10_000));
    for id in [flying.request, queued] {
        assert_eq!(host.error(id), RequestError::Deadline);
    }
    assert_eq!(host.aborted, [flying]);
    assert_eq!(host.engine.stats().in_flight, 1, "its slot is held until it is over");
    host.end_aborted();
    host.assert_at_rest();
    let never = host.submit(deadline(Duration::ZERO));
    assert_eq!(host.error(never), RequestError::Deadline, "and is never sent");
    assert_eq!(host.sends.len(), 1);
}

#[test]
fn a_retry_that_would_come_after_the_deadline_is_not_waited_for() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(deadline(ms(900)));
    host.fail(attempt, Failure::Reset);
    let error = host.error(attempt.request);
    assert_eq!(error, RequestError::Network { failure: Failure::Reset });
}

#[test]
fn t7_an_attempt_may_take_15_s_then_it_is_aborted_and_retried() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(job());
    host.step();
    assert_eq!((host.clock, &host.aborted[..]), (Instant::from_millis(15_000), &[attempt][..]));
    assert_eq!(host.engine.stats().waiting, 0, "not before the host reports it over");
    host.end_aborted();
    host.step();
    assert_eq!(host.attempt_of(attempt.request).number, 2);
    let upload = host.start(replay(IfUnprocessed));
    host.wait(secs(15));
    host.fail(upload, Failure::Aborted);
    assert_eq!(host.error(upload.request), RequestError::AttemptTimeout);
}

#[test]
fn t7_a_body_that_does_not_end_is_a_timeout_too_and_a_job_may_set_its_own() {
    let mut host = Host::new(at_once(4));
    let own = |limit| Job { attempt_timeout: Some(limit), replay: Never, ..job() };
    let slow = host.start(own(secs(2)));
    let free = host.start(own(Duration::MAX));
    host.head(slow, 200, &[]);
    host.wait(secs(2));
    host.end_aborted();
    assert_eq!(host.error(slow.request), RequestError::AttemptTimeout);
    host.wait(secs(100_000));
    assert!(host.is_flying(free.request) && host.aborted.is_empty());
}

#[test]
fn a_body_that_completes_just_as_its_attempt_times_out_is_delivered() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(job());
    host.head(attempt, 200, &[]);
    host.wait(secs(15));
    host.done(attempt);
    assert_eq!(host.end(attempt.request), Some(Ok(())));
}

#[test]
fn waiting_for_the_budget_does_not_count_against_retry_for() {
    let mut host = Host::new(Config { retry_for: secs(6), ..at_once(100) });
    host.submit_many(&job(), 40);
    for attempt in host.flying.clone() {
        host.fail(attempt, Failure::Unsent);
    }
    while host.clock < Instant::from_millis(10_000) {
        host.sent();
        host.step();
    }
    let attempt = host.sent_one();
    host.fail(attempt, Failure::Unsent);
    assert_eq!(host.end(attempt.request), None, "own backoff of at most 1.5 s and 3 s of 6 s");
}
