//! How things end: close, cancel in every state, and news that come too late.

mod host;

use cxone_core::{
    AttemptId, Config, Failure, Generation, Head, Input, Instant, Job, RequestError, RequestId,
    SubmitError, TokenFailure,
};
use host::{Host, at_once, deadline, job, secs, signed, within};

// Close.

#[test]
fn x27_close_with_a_drain_runs_what_was_accepted_to_its_end() {
    let mut host = Host::new(at_once(2));
    let ids = host.submit_many(&job(), 10);
    host.refuse(host.attempt_of(ids[0]), 5);
    host.answer(host.attempt_of(ids[1]), 502, &[]);
    host.close(true);
    assert_eq!(host.try_submit(job()), Err(SubmitError::Closed));
    while !host.engine.is_idle() {
        host.step();
        host.ok_all();
    }
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
    assert!(host.clock >= Instant::from_millis(5000), "a drain lifts no server's deadline");
    host.assert_at_rest();
}

#[test]
fn close_with_a_drain_lifts_all_holds() {
    let mut host = Host::new(at_once(4));
    host.pause(None);
    host.pause(Some("a"));
    let ids = [host.submit(job()), host.submit(within(&["a"]))];
    host.close(true);
    host.ok_all();
    assert!(ids.iter().all(|id| host.end(*id) == Some(Ok(()))));
    host.assert_at_rest();
}

#[test]
fn x27_close_without_a_drain_ends_everything_at_once() {
    let mut host = Host::new(at_once(3));
    host.pause(Some("held"));
    let mut ids = vec![host.submit(within(&["held"]))];
    let alone = host.start(job());
    host.answer(alone, 502, &[]);
    let draining = host.start(within(&["a"]));
    host.head(draining, 429, &[]);
    ids.extend([alone.request, draining.request]);
    ids.push(host.submit(signed()));
    ids.extend(host.submit_many(&job(), 5));
    let flying = host.flying.len();
    host.close(false);
    assert!(ids.iter().all(|id| host.error(*id) == RequestError::Closed));
    assert_eq!((host.aborted.len(), host.flying.len()), (flying, flying));
    assert_eq!(host.try_submit(job()), Err(SubmitError::Closed));
    host.close(true);
    host.end_aborted();
    host.assert_at_rest();
}

#[test]
fn a_drain_can_be_cut_short_and_close_is_idempotent() {
    let mut host = Host::new(at_once(1));
    let ids = host.submit_many(&job(), 3);
    host.close(true);
    host.close(true);
    host.ok(host.attempt_of(ids[0]));
    host.close(false);
    host.close(false);
    assert_eq!((host.ended_well(), host.ended_badly()), (1, 2));
    host.end_aborted();
    host.assert_at_rest();
}

// Cancel.

/// How a request is brought into a state.
type Bring = fn(&mut Host, RequestId);

/// Brings a request into a state, cancels it, and sees that nothing is left of it.
fn cancelled(config: Config, what: Job<'_>, bring: impl Fn(&mut Host, RequestId)) {
    let mut host = Host::new(config);
    let id = host.submit(what);
    bring(&mut host, id);
    assert_eq!(host.end(id), None, "it has not ended by itself");
    let state = host.trace.clone();
    host.cancel(id);
    host.cancel(id);
    host.end_aborted();
    if host.fetching.is_some() {
        host.token(None);
    }
    assert_eq!(host.end(id), None, "no end is told: {state:#?}");
    assert_eq!(host.engine.stats().cancelled, 1);
    host.assert_at_rest();
    for _ in 0..3 {
        host.wait(secs(100));
        let next = host.start(job());
        host.ok(next);
    }
    assert_eq!(host.ended_well(), 3, "nobody is in the way: {state:#?}");
}

#[test]
fn x27_a_request_can_be_cancelled_in_every_state() {
    let states: [(Job<'_>, Bring); 10] = [
        (job(), |_, _| ()),
        (job(), |host, id| host.head(host.attempt_of(id), 200, &[])),
        (job(), |host, id| host.head(host.attempt_of(id), 429, &[])),
        (job(), |host, id| host.refuse(host.attempt_of(id), 10)),
        (job(), |host, id| host.fail(host.attempt_of(id), Failure::Reset)),
        (job(), |host, id| {
            host.refuse(host.attempt_of(id), 3);
            host.step();
        }),
        (job(), |host, _| host.wait(secs(15))),
        (signed(), |_, _| ()),
        (signed(), |host, _| host.token_fails(TokenFailure::Network, &[])),
        (deadline(secs(50)), |host, _| {
            host.pause(None);
            host.wait(secs(1));
        }),
    ];
    for (what, bring) in states {
        // A hold of the whole is lifted, so that the engine can be seen to go on.
        cancelled(at_once(3), what, |host, id| {
            bring(host, id);
            host.resume(None);
        });
    }
}

#[test]
fn a_request_that_waits_for_the_budget_can_be_cancelled() {
    let mut host = Host::new(at_once(30));
    let ids = host.submit_many(&job(), 30);
    for attempt in host.sent() {
        host.answer(attempt, 503, &[]);
    }
    host.wait(secs(2));
    let waiting = host.engine.stats().waiting;
    assert!(waiting > 0);
    ids.iter().for_each(|id| host.cancel(*id));
    host.end_aborted();
    host.assert_at_rest();
}

#[test]
fn t27_cancels_and_failures_leak_no_slot() {
    let mut host = Host::new(at_once(2));
    for round in 0..200 {
        let id = host.submit(job());
        match round % 4 {
            0 => host.cancel(id),
            1 => host.fail(host.attempt_of(id), Failure::Unsendable),
            2 => host.answer(host.attempt_of(id), 500, &[]),
            _ => host.answer(host.attempt_of(id), 401, &[]),
        }
        host.end_aborted();
    }
    host.submit_many(&job(), 5);
    assert_eq!(host.flying.len(), 2);
}

#[test]
fn late_news_of_any_kind_changes_nothing() {
    let mut host = Host::new(at_once(2));
    let first = host.start(job());
    host.answer(first, 502, &[]);
    host.step();
    let second = host.attempt_of(first.request);
    let stranger = RequestId::from_u64(u64::MAX);
    let state = |host: &Host| format!("{:?}", (host.engine.stats(), host.engine.poll_timeout()));
    let before = state(&host);
    for attempt in [
        first,
        AttemptId { number: 0, ..second },
        AttemptId { number: u32::MAX, ..second },
        AttemptId { request: stranger, number: 1 },
        AttemptId { request: RequestId::from_u64(77), number: 2 },
    ] {
        let head = Head { status: 429, headers: &[("retry-after", "900")], redirect: true };
        host.input(Input::Head { attempt, head });
        host.input(Input::Done { attempt });
        host.input(Input::Failed { attempt, failure: Failure::Unsent });
    }
    for generation in [Generation(0), Generation(1), Generation(u32::MAX)] {
        host.input(Input::Token { generation, lifetime: None });
        let failure = TokenFailure::Unsendable;
        host.input(Input::TokenFailed { generation, failure, headers: &[] });
    }
    host.cancel(stranger);
    assert_eq!(state(&host), before);
    host.ok(second);
    assert_eq!(host.end(first.request), Some(Ok(())));
    host.ok(second);
    host.head(second, 429, &[]);
    host.assert_at_rest();
}

#[test]
fn the_id_of_a_place_that_is_used_again_is_another() {
    let mut host = Host::new(at_once(1));
    let first = host.start(job());
    host.ok(first);
    let second = host.start(job());
    assert_ne!(first.request, second.request);
    assert_eq!(RequestId::from_u64(second.request.as_u64()), second.request);
    assert!(second.request.as_u64() < 1 << 53, "exact as a JavaScript number");
    host.cancel(first.request);
    host.head(first, 500, &[]);
    host.ok(second);
    assert_eq!(host.end(second.request), Some(Ok(())));
}
