//! What each answer and each failure does to its request.

mod host;

use cxone_core::{
    Failure, Head, Input, Instant, Job, Notice, PauseReason, Replay, RequestError, Verdict,
};
use host::{Host, at_once, job, ms, one_at_a_time, replay, secs};

use Replay::{Always, IfUnprocessed, Never};

/// Fails the one attempt of a fresh request; is it sent again?
fn is_retried(may: Replay, failure: Failure) -> bool {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(replay(may));
    host.fail(attempt, failure);
    let again = host.end(attempt.request).is_none();
    assert_eq!(host.engine.stats().waiting, u64::from(again), "it waits alone, without a slot");
    again
}

/// What an answer does: the verdict on its body, and the end if there is one then.
fn answered(may: Replay, status: u16, headers: &[(&str, &str)]) -> (Verdict, Option<RequestError>) {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(replay(may));
    host.answer(attempt, status, headers);
    let end = host.end(attempt.request);
    (host.verdict(attempt).unwrap(), end.map(|end| end.expect_err("it has failed")))
}

const WAIT: &[(&str, &str)] = &[("retry-after", "2")];

#[test]
fn answers_of_2xx_and_3xx_are_delivered() {
    for status in [200, 201, 202, 204, 206, 301, 303, 304, 307, 399] {
        let mut host = Host::new(at_once(4));
        let attempt = host.start(replay(Never));
        host.head(attempt, status, WAIT);
        assert_eq!(host.verdict(attempt), Some(Verdict::Read));
        assert_eq!(host.end(attempt.request), None, "not before its body is complete");
        host.done(attempt);
        assert_eq!(host.end(attempt.request), Some(Ok(())));
        assert_eq!(host.closed_until("default"), None, "{status}");
        host.assert_at_rest();
    }
}

#[test]
fn x23_x24_throttles_pause_the_scope_and_requeue_whatever_the_method() {
    for (status, headers) in [(429, WAIT), (429, &[]), (509, &[]), (529, &[]), (403, WAIT)] {
        for may in [Always, IfUnprocessed] {
            assert_eq!(answered(may, status, headers), (Verdict::Drain, None), "{status}");
        }
        let (verdict, error) = answered(Never, status, headers);
        let Some(RequestError::RateLimited { retry_at, status: told }) = error else {
            panic!("{status}: {error:?}");
        };
        assert_eq!((verdict, told), (Verdict::Drain, Some(status)));
        assert!(retry_at >= Instant::from_millis(1000), "when the scope opens again");
    }
}

#[test]
fn x24_a_403_or_503_with_an_exhausted_limit_is_a_throttle() {
    let spent: &[(&str, &str)] = &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3")];
    for status in [403, 503] {
        let mut host = Host::new(at_once(4));
        let attempt = host.start(job());
        host.answer(attempt, status, spent);
        assert!(host.closed_until("default") >= Some(Instant::from_millis(3000)));
        assert_eq!(host.engine.stats().throttled, 1);
    }
}

#[test]
fn a_503_throttle_is_replayed_only_if_the_job_may_be_sent_twice() {
    assert_eq!(answered(Always, 503, WAIT), (Verdict::Drain, None));
    for may in [IfUnprocessed, Never] {
        let (verdict, failed) = answered(may, 503, WAIT);
        assert_eq!(verdict, Verdict::Drain);
        let Some(RequestError::Server { status: 503, retry_at: Some(at) }) = failed else {
            panic!("{failed:?} does not say when the server may be asked again");
        };
        assert!(at >= Instant::from_millis(2000) && at <= Instant::from_millis(2250), "{at:?}");
    }
}

#[test]
fn t11_t12_t13_other_errors_fail_at_once_with_the_whole_body_read() {
    let auth = |status| RequestError::Auth { status };
    let server = |status| RequestError::Server { status, retry_at: None };
    let other = |status| RequestError::Status { status, retry_at: None };
    for (status, error, text) in [
        (401, auth(401), "Auth/Permission Error: 401 Unauthorized"),
        (403, auth(403), "Auth/Permission Error: 403 Forbidden"),
        (500, server(500), "Server Error: 500 Internal Server Error"),
        (501, server(501), "Server Error: 501 Not Implemented"),
        (505, server(505), "Server Error: 505 HTTP Version Not Supported"),
        (400, other(400), "Request Failed: 400 Bad Request"),
        (404, other(404), "Request Failed: 404 Not Found"),
        (422, other(422), "Request Failed: 422 Unprocessable Content"),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(answered(Always, status, &[]), (Verdict::Read, Some(error)));
    }
}

#[test]
fn x23_transient_answers_are_retried_if_the_job_may_be_sent_twice() {
    for status in [408, 425, 502, 503, 504] {
        assert_eq!(answered(Always, status, &[]), (Verdict::Drain, None), "{status}");
        for may in [IfUnprocessed, Never] {
            assert!(answered(may, status, &[]).1.is_some(), "{status} {may:?}");
        }
    }
}

#[test]
fn x23_failures_are_retried_by_what_the_server_may_have_done() {
    for (failure, retried) in [
        (Failure::Unsent, [true, true, false]),
        (Failure::Reset, [true, false, false]),
        (Failure::Truncated, [true, false, false]),
        (Failure::Aborted, [true, false, false]),
        (Failure::Unsendable, [false; 3]),
        (Failure::TooLarge, [false; 3]),
    ] {
        let seen = [Always, IfUnprocessed, Never].map(|may| is_retried(may, failure));
        assert_eq!(seen, retried, "{failure:?}");
    }
}

#[test]
fn a_truncated_body_is_a_transport_failure_and_no_sign_of_an_outage() {
    let mut host = Host::new(one_at_a_time());
    let attempt = host.start(job());
    host.head(attempt, 200, &[]);
    host.fail(attempt, Failure::Truncated);
    assert_eq!(host.engine.stats().waiting, 1);
    assert_eq!(host.closed_until("default"), None, "it was answered");
    let attempt = host.start(replay(IfUnprocessed));
    host.head(attempt, 200, &[]);
    host.fail(attempt, Failure::Truncated);
    let failure = Failure::Truncated;
    assert_eq!(host.error(attempt.request), RequestError::Network { failure });
}

#[test]
fn the_body_of_an_error_may_be_truncated_the_error_stays() {
    let mut host = Host::new(at_once(4));
    for (status, error) in [
        (404, RequestError::Status { status: 404, retry_at: None }),
        (500, RequestError::Server { status: 500, retry_at: None }),
    ] {
        let attempt = host.start(job());
        host.head(attempt, status, &[]);
        host.fail(attempt, Failure::Truncated);
        assert_eq!(host.error(attempt.request), error);
    }
}

#[test]
fn a_transient_answer_that_states_a_wait_is_not_retried_before() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(job());
    host.answer(attempt, 502, &[("retry-after", "20")]);
    host.sent();
    host.step();
    assert_eq!(host.sent().len(), 1);
    assert!(host.clock >= Instant::from_millis(20_000));
}

#[test]
fn a_transient_answer_that_states_too_long_a_wait_fails_at_once_and_says_until_when() {
    let mut host = Host::new(at_once(4));
    for status in [408, 425, 502, 503, 504] {
        // A 503 with Retry-After would be a throttle.
        let header = if status == 503 { "x-ratelimit-retry-after" } else { "retry-after" };
        for (job, wait) in [(job(), 901), (replay(IfUnprocessed), 20)] {
            let attempt = host.start(job);
            host.answer(attempt, status, &[(header, &format!("{wait}"))]);
            let retry_at = Some(host.clock + secs(wait));
            let error = match status {
                408 | 425 => RequestError::Status { status, retry_at },
                _ => RequestError::Server { status, retry_at },
            };
            assert_eq!(host.error(attempt.request), error);
        }
    }
    let attempt = host.start(replay(IfUnprocessed));
    host.answer(attempt, 502, &[("retry-after", "0")]);
    assert_eq!(host.error(attempt.request), RequestError::Server { status: 502, retry_at: None });
}

#[test]
fn an_answer_after_the_timeout_tells_of_the_server_and_nothing_else() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(job());
    host.wait(secs(15));
    host.head(attempt, 429, &[("retry-after", "60")]);
    assert!(host.closed_until("default") >= Some(Instant::from_millis(75_000)));
    assert_eq!(host.verdict(attempt), None);
    host.end_aborted();
    assert_eq!(host.engine.stats().waiting, 1, "it timed out");
}

#[test]
fn t28_a_body_that_nobody_wants_is_drained_for_a_second_at_most() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(job());
    host.head(attempt, 429, &[("retry-after", "5")]);
    assert_eq!(host.verdict(attempt), Some(Verdict::Drain));
    host.step();
    assert_eq!((host.clock, &host.aborted[..]), (Instant::from_millis(1000), &[attempt][..]));
    host.end_aborted();
    assert_eq!(host.engine.stats().queued, [0, 1, 0], "it is requeued as if it had been drained");
    host.step();
    assert!(host.clock < Instant::from_millis(5300), "x7: the drain does not add to the wait");
}

#[test]
fn as_many_failures_in_a_row_as_the_concurrency_close_the_gate() {
    let mut host = Host::new(at_once(3));
    host.submit_many(&job(), 9);
    let first = host.sent();
    host.fail(first[0], Failure::Reset);
    host.fail(first[1], Failure::Unsent);
    assert_eq!(host.closed_until("default"), None);
    let flying = host.sent();
    host.answer(flying[0], 500, &[]); // an answer: not in a row
    host.fail(first[2], Failure::Reset);
    host.fail(flying[1], Failure::Reset);
    assert_eq!(host.closed_until("default"), None);
    let last = *host.flying.first().unwrap();
    host.fail(last, Failure::Unsent);
    let wait = host.closed_until("default").unwrap().saturating_since(host.clock);
    assert!(wait >= secs(1) && wait <= ms(1500), "as after a throttle without a header");
    let told = |notice: &Notice| {
        matches!(notice, Notice::Paused { reason: PauseReason::Outage, attempt: 1, .. })
    };
    assert!(host.notices.iter().any(told));
}

#[test]
fn an_outage_does_not_spend_every_requests_attempts() {
    let mut host = Host::new(at_once(8));
    let ids = host.submit_many(&job(), 1000);
    while host.clock < Instant::from_millis(60_000) {
        while let Some(attempt) = host.flying.first().copied() {
            host.fail(attempt, Failure::Unsent);
        }
        host.step();
    }
    assert!(host.sends.len() < 25, "{}", host.sends.len());
    let ended = ids.iter().filter(|id| host.end(**id).is_some()).count();
    assert!(ended <= 2, "{ended} of 1000: whoever is the probe again and again");
}

#[test]
fn what_can_never_be_sent_is_no_sign_of_an_outage() {
    let mut host = Host::new(one_at_a_time());
    for _ in 0..5 {
        let attempt = host.start(job());
        host.fail(attempt, Failure::Unsendable);
    }
    assert_eq!(host.closed_until("default"), None);
}

#[test]
fn a_redirect_is_followed_by_attempts_of_its_own_at_most_twenty() {
    let mut host = Host::new(one_at_a_time());
    let id = host.submit(job());
    let behind = host.submit(job());
    for hop in 1..=20 {
        let attempt = host.sent_one();
        assert_eq!((attempt.request, attempt.number), (id, hop), "at its old place");
        host.redirect(attempt);
        assert_eq!(host.verdict(attempt), Some(Verdict::Follow));
    }
    let last = host.sent_one();
    host.redirect(last);
    assert_eq!(host.verdict(last), Some(Verdict::Read));
    assert_eq!(host.end(id), Some(Ok(())));
    assert!(host.is_flying(behind));
}

#[test]
fn a_streamed_answer_frees_its_slot_at_the_head() {
    let mut host = Host::new(one_at_a_time());
    let stream = host.start(Job { stream: true, ..job() });
    let behind = host.submit(job());
    let head = Head { status: 200, headers: &[], redirect: false };
    host.input(Input::Head { attempt: stream, head });
    assert_eq!(host.verdict(stream), Some(Verdict::Stream));
    assert_eq!(host.end(stream.request), Some(Ok(())));
    assert!(host.is_flying(behind));
    host.wait(secs(10));
    assert!(host.aborted.is_empty(), "its body is not timed");
    host.done(stream); // late news
    host.ok_all();
    host.assert_at_rest();
}

#[test]
fn a_streamed_job_is_retried_and_fails_like_any_other() {
    let mut host = Host::new(at_once(4));
    let stream = || Job { stream: true, ..job() };
    for (status, verdict) in [(404, Verdict::Read), (429, Verdict::Drain), (502, Verdict::Drain)] {
        let mut host = Host::new(at_once(4));
        let attempt = host.start(stream());
        host.answer(attempt, status, &[]);
        assert_eq!(host.verdict(attempt), Some(verdict));
    }
    let attempt = host.start(stream());
    host.wait(secs(15));
    assert_eq!(host.aborted, [attempt], "its head is timed");
}
