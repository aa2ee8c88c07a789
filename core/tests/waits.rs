//! How long is waited: what a server states, what it announces, and what would outlast a request.

mod host;

use std::time::Duration;

use cxone_core::{
    AttemptId, Backoff, Config, Failure, Instant, Notice, PauseReason, Priority, RequestError,
    RequestId,
};
use host::{Host, at_once, class, deadline, job, ms, one_at_a_time, secs};

const RESET_IN_5_S: &[(&str, &str)] = &[("ratelimit", "\"default\";r=0;t=5")];

/// A host with `many` attempts in flight, and as many requests waiting behind them.
fn busy(concurrency: u32) -> (Host, Vec<AttemptId>) {
    let mut host = Host::new(at_once(concurrency));
    host.submit_many(&job(), 2 * concurrency as usize);
    let first = host.sent();
    assert_eq!(first.len(), concurrency as usize);
    (host, first)
}

fn until(host: &Host) -> Instant {
    host.closed_until("default").expect("the scope is closed")
}

/// Brings a scope that is closed to its probe.
fn probe(host: &mut Host) -> AttemptId {
    host.sent();
    host.go_to(until(host));
    host.sent_one()
}

// The server's wait.

#[test]
fn t10_x1_x2_a_stated_wait_is_neither_cut_nor_multiplied_and_jitter_only_adds() {
    for seconds in [1, 2, 10, 60, 600] {
        for seed in 0..20 {
            let mut host = Host::seeded(one_at_a_time(), seed);
            let attempt = host.start(job());
            host.refuse(attempt, seconds);
            let stated = Instant::ORIGIN + secs(seconds);
            let most = stated + (secs(seconds) / 10).min(ms(250));
            assert!((stated..=most).contains(&until(&host)), "{seconds}: {}", until(&host));
        }
    }
}

#[test]
fn x2_the_tenth_refusal_is_waited_for_as_stated_too() {
    let mut host = Host::new(one_at_a_time());
    host.submit(job());
    for round in 1..=10 {
        let attempt = host.sent_one();
        let refused_at = host.clock;
        host.refuse(attempt, 10);
        assert!(until(&host) <= refused_at + ms(10_250));
        assert_eq!(host.pauses().last(), Some(&(until(&host), round)));
        host.go_to(until(&host));
    }
}

#[test]
fn x4_a_wait_counts_from_receipt_and_the_latest_deadline_wins() {
    let (mut host, first) = busy(4);
    host.refuse(first[0], 10);
    let short = until(&host);
    host.wait(secs(3));
    host.refuse(first[1], 20);
    let long = until(&host);
    assert!(long >= Instant::from_millis(23_000) && long > short);
    host.refuse(first[2], 1);
    host.answer(first[3], 429, &[]);
    assert_eq!(until(&host), long, "a shorter answer shortens nothing");
    host.sent();
    host.go_to(Instant::from_nanos(long.as_nanos() - 1));
    assert!(host.sent().is_empty(), "never early");
    host.go_to(long);
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn x10_a_stated_wait_below_a_second_and_below_own_backoff_is_not_believed() {
    for header in [("retry-after", "0"), ("retry-after-ms", "999"), ("retry-after", "0.5")] {
        let mut host = Host::new(one_at_a_time());
        let attempt = host.start(job());
        host.answer(attempt, 429, &[header]);
        assert!(until(&host) >= Instant::from_millis(1000), "{header:?}");
        let told = host.notices.first().cloned();
        let own = PauseReason::Backoff { status: 429 };
        assert!(matches!(told, Some(Notice::Paused { reason, .. }) if reason == own), "{told:?}");
    }
    let brisk = Backoff { base: ms(100), ..Backoff::default() };
    let mut host = Host::new(Config { backoff: brisk, ..one_at_a_time() });
    let attempt = host.start(job());
    host.answer(attempt, 429, &[("retry-after-ms", "100")]);
    assert!((100..=110).contains(&(until(&host).as_nanos() / 1_000_000)), "not below: believed");
}

#[test]
fn x10_a_hundred_refusals_that_state_zero_take_no_hundred_attempts_in_ten_seconds() {
    let mut host = Host::new(one_at_a_time());
    host.submit(job());
    while host.clock < Instant::from_millis(10_000) {
        let attempt = host.sent_one();
        host.refuse(attempt, 0);
        host.step();
    }
    assert!(host.sends.len() <= 5, "{}", host.sends.len());
}

// A budget that a delivered answer announces.

#[test]
fn x14_a_spent_budget_closes_the_scope_without_jitter_round_or_probe_and_then_opens_it_fully() {
    for seed in 0..10 {
        let mut host = Host::seeded(at_once(4), seed);
        host.submit_many(&job(), 20);
        let first = host.sent();
        host.answer(first[0], 200, RESET_IN_5_S);
        assert!(host.end(first[0].request).unwrap().is_ok(), "it is delivered");
        assert_eq!(until(&host), Instant::from_millis(5000), "no jitter");
        assert_eq!(host.pauses(), [(until(&host), 0)], "no round");
        for attempt in &first[1..] {
            host.ok(*attempt);
        }
        assert!(host.sent().is_empty());
        host.step();
        assert_eq!(host.clock, Instant::from_millis(5000));
        assert_eq!(host.sent().len(), 4, "no probe: it is fully open");
    }
}

#[test]
fn a_later_budget_never_shortens_an_earlier_one_nor_a_refusal() {
    let (mut host, first) = busy(4);
    host.refuse(first[0], 20);
    let refused = until(&host);
    host.answer(first[1], 200, RESET_IN_5_S);
    assert_eq!(until(&host), refused);
    host.answer(first[2], 200, &[("ratelimit", "\"default\";r=0;t=60")]);
    assert_eq!(until(&host), Instant::from_millis(60_000), "the latest wins");
    host.answer(first[3], 200, &[("ratelimit", "\"default\";r=0;t=30")]);
    assert_eq!(until(&host), Instant::from_millis(60_000), "also over a later budget");
    host.go_to(Instant::from_millis(60_000));
    assert_eq!(host.flying.len(), 1, "the refusal's probe is still owed");
}

#[test]
fn a_budget_with_something_left_or_without_a_time_closes_nothing() {
    let (mut host, first) = busy(3);
    host.answer(first[0], 200, &[("ratelimit", "\"default\";r=1;t=60")]);
    host.answer(first[1], 200, &[("ratelimit", "\"default\";r=0")]);
    host.answer(first[2], 200, &[("x-ratelimit-reset", "60")]);
    assert_eq!(host.closed_until("default"), None);
    assert_eq!(host.flying.len(), 3);
}

// Waits that would outlast a request.

#[test]
fn x9_a_deadline_beyond_max_wait_ends_all_that_wait_and_all_submitted_meanwhile() {
    let (mut host, first) = busy(4);
    let waiting = host.submit(class(Priority::Low));
    host.refuse(first[0], 901);
    let retry_at = until(&host);
    let limited = |status| RequestError::RateLimited { retry_at, status };
    assert_eq!(host.error(waiting), limited(None));
    assert_eq!(host.error(first[0].request), limited(Some(429)));
    assert!(host.end(first[1].request).is_none(), "what is in flight goes on");
    let late = host.submit(job());
    assert_eq!(host.error(late), limited(None));
    host.ok(first[1]);
    host.refuse(first[2], 1);
    assert_eq!(host.error(first[2].request), limited(Some(429)), "the longest wait counts");
    host.ok(first[3]);
    host.assert_at_rest();
    host.go_to(retry_at);
    let again = host.start(job());
    host.ok(again);
    assert_eq!(host.end(again.request), Some(Ok(())));
}

#[test]
fn x9_a_stated_wait_beyond_max_wait_ends_all_even_where_an_own_backoff_is_longer() {
    for seed in 0..20 {
        let mut host = Host::seeded(Config { max_wait: ms(500), ..at_once(2) }, seed);
        let ids = host.submit_many(&job(), 3);
        let first = host.sent();
        host.answer(first[0], 429, &[]);
        assert!(host.end(ids[2]).is_none(), "nobody has stated a wait");
        // It states 1 s; most backoffs are longer.
        host.refuse(first[1], 1);
        for id in ids {
            assert!(matches!(host.error(id), RequestError::RateLimited { .. }));
        }
        host.assert_at_rest();
    }
}

#[test]
fn a_deadline_beyond_one_requests_own_ends_only_that_one() {
    let (mut host, first) = busy(1);
    let short = host.submit(deadline(secs(10)));
    let long = host.submit(deadline(secs(60)));
    host.refuse(first[0], 30);
    assert_eq!(
        host.error(short),
        RequestError::RateLimited { retry_at: until(&host), status: None }
    );
    assert_eq!(host.end(long), None);
    let hopeless = host.submit(deadline(secs(20)));
    assert!(matches!(host.error(hopeless), RequestError::RateLimited { .. }));
    let hopeful = host.submit(deadline(secs(40)));
    assert_eq!(host.end(hopeful), None);
}

#[test]
fn a_spent_budget_beyond_max_wait_ends_what_waits_as_a_refusal_does() {
    let (mut host, first) = busy(1);
    let waiting = host.submit(job());
    host.answer(first[0], 200, &[("ratelimit", "\"day\";r=0;t=86400")]);
    let retry_at = Instant::from_millis(86_400_000);
    assert_eq!(host.error(waiting), RequestError::RateLimited { retry_at, status: None });
}

/// One request that was refused and waits for its turn, behind one that takes 100 s.
fn behind_a_slow_one() -> (Host, RequestId, AttemptId) {
    let settings = Config { retry_for: secs(60), attempt_timeout: Duration::MAX, ..at_once(1) };
    let mut host = Host::new(settings);
    let waiting = host.start(class(Priority::Low));
    host.refuse(waiting, 2);
    host.submit(class(Priority::High));
    let slow = probe(&mut host);
    host.wait(secs(100));
    assert_eq!(host.end(waiting.request), None, "a turn is no wait that retry_for limits");
    (host, waiting.request, slow)
}

#[test]
fn waiting_for_a_turn_does_not_count_against_retry_for() {
    let (mut host, waiting, slow) = behind_a_slow_one();
    host.ok(slow);
    for _ in 0..2 {
        let attempt = host.sent_one();
        host.refuse(attempt, 20);
        host.go_to(until(&host));
    }
    let attempt = host.sent_one();
    host.refuse(attempt, 20);
    assert!(matches!(host.error(waiting), RequestError::RateLimited { .. }), "2 + 3 x 20 s");
}

#[test]
fn a_turn_that_ends_with_a_spent_budget_or_an_outage_does_not_count_against_retry_for() {
    let spent = [("ratelimit", "limit=9, remaining=0, reset=20")];
    let (mut host, waiting, slow) = behind_a_slow_one();
    host.answer(slow, 200, &spent);
    assert_eq!(host.end(waiting), None, "2 s and 20 s of 60 s");

    let (mut host, waiting, slow) = behind_a_slow_one();
    host.fail(slow, Failure::Reset);
    assert_eq!(host.end(waiting), None, "2 s and own backoff of 60 s");
}

#[test]
fn a_deadline_beyond_what_retry_for_leaves_ends_who_waits_for_its_turn_at_once() {
    let (mut host, waiting, slow) = behind_a_slow_one();
    host.refuse(slow, 59);
    let retry_at = until(&host);
    let error = RequestError::RateLimited { retry_at, status: Some(429) };
    assert_eq!(host.end(waiting), Some(Err(error)), "2 s and 59 s of 60 s");
}

#[test]
fn waiting_for_a_turn_or_a_hold_does_not_count_against_max_wait() {
    let mut host = Host::new(Config { max_wait: secs(5), ..at_once(1) });
    let first = host.start(job());
    host.refuse(first, 2);
    host.pause(None);
    host.wait(secs(3600));
    host.resume(None);
    host.ok_all();
    assert_eq!(host.end(first.request), Some(Ok(())));
}

#[test]
fn time_spent_on_refusals_counts_against_retry_for() {
    let mut host = Host::new(Config { retry_for: secs(25), ..one_at_a_time() });
    let id = host.submit(job());
    for _ in 0..2 {
        let attempt = host.sent_one();
        host.refuse(attempt, 10);
        host.go_to(until(&host));
    }
    let attempt = host.sent_one();
    host.refuse(attempt, 10);
    let retry_at = until(&host);
    assert_eq!(host.error(id), RequestError::RateLimited { retry_at, status: Some(429) });
    host.assert_at_rest();
}
