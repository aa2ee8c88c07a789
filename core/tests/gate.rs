//! The gate of a scope: when it closes, what a late answer changes, who probes, how it opens.

mod host;

use cxone_core::{AttemptId, Failure, Instant, Job, Notice, Priority, RequestError, Wake};
use host::{Host, at_once, class, deadline, job, ms, one_at_a_time, secs, within};

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

// Rounds.

#[test]
fn eight_refusals_of_one_round_make_one_round() {
    let (mut host, first) = busy(8);
    for attempt in first {
        host.answer(attempt, 429, &[]);
    }
    assert_eq!(host.pauses().len(), 1, "the others state nothing: they change nothing");
    assert!(until(&host) <= Instant::from_millis(1500), "n counts rounds, not requests");
}

#[test]
fn t16_t17_own_backoff_doubles_with_each_round_up_to_the_cap() {
    let mut host = Host::new(one_at_a_time());
    host.submit(job());
    for bare in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
        let attempt = host.sent_one();
        let refused_at = host.clock;
        host.answer(attempt, 429, &[]);
        let wait = until(&host).saturating_since(refused_at);
        assert!(wait >= ms(bare) && wait <= ms(bare * 3 / 2), "{wait:?} for {bare}");
        assert_eq!(wait.subsec_nanos() % 1_000_000, 0, "whole milliseconds");
        host.go_to(until(&host));
    }
}

#[test]
fn a_late_refusal_of_an_older_round_merges_only_the_deadline_that_it_states() {
    let (mut host, first) = busy(3);
    host.refuse(first[0], 2);
    let probe = probe(&mut host);
    host.answer(first[1], 429, &[]);
    assert!(host.closed_until("default").is_none(), "it states nothing");
    host.answer(first[1], 429, &[]);
    host.refuse(first[2], 30);
    let merged = until(&host);
    assert!(merged >= host.clock + secs(30));
    assert_eq!(host.pauses().last(), Some(&(merged, 1)), "no round of its own");
    // The probe's refusal without a wait is round 2, n = 1: its own backoff ends before.
    host.answer(probe, 429, &[]);
    assert_eq!(until(&host), merged);
    assert_eq!(host.pauses().last(), Some(&(merged, 2)));
}

#[test]
fn t22_who_is_refused_together_makes_one_pause_that_is_told() {
    let (mut host, first) = busy(8);
    for attempt in first {
        host.refuse(attempt, 2);
        host.go_to(host.clock + ms(10));
    }
    assert_eq!(host.pauses().len(), 1, "they differ by 70 ms");
    assert!(until(&host) >= host.clock + ms(1990), "all the same the last one is kept");
}

#[test]
fn jitter_is_drawn_once_a_round() {
    for seed in 0..50 {
        let mut host = Host::seeded(at_once(3), seed);
        host.submit_many(&job(), 3);
        let first = host.sent();
        let part = |host: &Host, seconds: u64| {
            until(host).saturating_since(Instant::from_millis(seconds * 1000))
        };
        host.refuse(first[0], 10);
        let drawn = part(&host, 10);
        host.refuse(first[1], 20);
        assert_eq!(part(&host, 20), drawn, "both are capped at 250 ms, of which one share");
        host.refuse(first[2], 30);
        assert_eq!(part(&host, 30), drawn);
    }
}

#[test]
fn a_success_of_an_older_round_neither_opens_nor_closes() {
    let (mut host, first) = busy(4);
    host.refuse(first[0], 2);
    let closed = until(&host);
    host.ok(first[1]);
    assert_eq!(until(&host), closed, "it does not open the gate");
    let probe = probe(&mut host);
    host.ok(first[2]);
    assert!(host.sent().is_empty(), "nor while the probe is out");
    host.ok(probe);
    assert_eq!(host.flying.len(), 2, "the ramp begins at 2, the older one among them");
    host.ok(first[3]);
    assert_eq!(host.flying.len(), 2, "nor does it lift the ramp");
}

/// An attempt that left in a ramp and the probe after it, both of one round: a refusal of an older
/// round closed the ramp between them, and began no round.
fn ramp_closed_by_an_older_round() -> (Host, AttemptId, AttemptId) {
    let (mut host, first) = busy(5);
    host.refuse(first[0], 1);
    let early_probe = probe(&mut host);
    for attempt in &first[2..] {
        host.ok(*attempt);
    }
    host.ok(early_probe);
    let in_the_ramp = host.sent_one();
    host.refuse(first[1], 10);
    let late_probe = probe(&mut host);
    (host, in_the_ramp, late_probe)
}

#[test]
fn only_the_probe_opens_even_among_attempts_of_its_round() {
    let (mut host, in_the_ramp, probe) = ramp_closed_by_an_older_round();
    host.ok(in_the_ramp);
    assert!(host.sent().is_empty(), "it was sent before the pause");
    host.ok(probe);
    assert_eq!(host.sent().len(), 2);
}

#[test]
fn only_the_probe_hands_its_role_on_even_among_attempts_of_its_round() {
    let (mut host, in_the_ramp, probe) = ramp_closed_by_an_older_round();
    host.cancel(in_the_ramp.request);
    host.end_aborted();
    assert!(host.sent().is_empty(), "the probe is still out");
    host.cancel(probe.request);
    host.end_aborted();
    assert_eq!(host.sent().len(), 1);
}

// The probe.

#[test]
fn the_probe_is_one_even_if_an_older_attempt_is_cancelled_meanwhile() {
    let (mut host, first) = busy(3);
    host.refuse(first[0], 1);
    let probe = probe(&mut host);
    host.cancel(first[1].request);
    host.end_aborted();
    assert!(host.sent().is_empty(), "only the probe hands its role on");
    host.cancel(probe.request);
    host.end_aborted();
    assert_eq!(host.sent().len(), 1, "the next request is the probe");
}

#[test]
fn x6_t30_at_the_deadline_one_probe_goes_out_in_the_usual_order() {
    let (mut host, first) = busy(4);
    for attempt in first {
        host.refuse(attempt, 5);
    }
    let high = host.submit(class(Priority::High));
    assert_eq!(probe(&mut host).request, high, "the urgent one, though it came last");
    host.wait(secs(1));
    assert!(host.sent().is_empty(), "the others wait for its answer");
}

#[test]
fn if_nobody_waits_at_the_deadline_the_next_submit_is_the_probe() {
    let mut host = Host::new(at_once(4));
    let attempt = host.start(job());
    host.head(attempt, 429, &[("retry-after", "2")]);
    host.cancel(attempt.request);
    host.end_aborted();
    host.wait(secs(10));
    host.sent();
    host.submit_many(&job(), 4);
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn any_answer_but_a_throttle_opens_the_gate() {
    for status in [200, 204, 304, 400, 401, 404, 500, 502] {
        let (mut host, first) = busy(4);
        host.refuse(first[0], 2);
        let probe = probe(&mut host);
        host.head(probe, status, &[]);
        let reopened = host.notices.iter().any(|told| matches!(told, Notice::Reopened { .. }));
        assert!(reopened, "{status}");
    }
}

#[test]
fn a_cancelled_probe_hands_its_role_to_the_next_at_once() {
    let (mut host, first) = busy(4);
    for attempt in first {
        host.refuse(attempt, 2);
    }
    let probe = probe(&mut host);
    host.cancel(probe.request);
    assert!(host.sent().is_empty(), "a slot is held until the host reports the attempt over");
    host.end_aborted();
    let next = host.sent_one();
    assert_ne!(next.request, probe.request);
    host.wait(ms(100));
    assert!(host.sent().is_empty(), "one probe");
}

#[test]
fn a_probe_whose_request_reaches_its_deadline_hands_its_role_on() {
    let mut host = Host::new(at_once(2));
    let attempt = host.start(job());
    host.refuse(attempt, 2);
    let short = host.submit(Job { priority: Priority::High, ..deadline(secs(4)) });
    assert_eq!(probe(&mut host).request, short);
    host.go_to(Instant::from_millis(4000));
    assert_eq!(host.error(short), RequestError::Deadline);
    host.end_aborted();
    assert_eq!(host.sent_one().request, attempt.request);
}

#[test]
fn a_probe_that_is_reset_or_times_out_hands_its_role_on_after_own_backoff() {
    for times_out in [false, true] {
        let (mut host, first) = busy(4);
        for attempt in first {
            host.refuse(attempt, 2);
        }
        let probe = probe(&mut host);
        if times_out {
            host.go_to(host.clock + secs(15));
            assert_eq!(host.aborted, [probe]);
            host.end_aborted();
        } else {
            host.fail(probe, Failure::Reset);
        }
        // The second round without recovery: n = 1.
        let wait = until(&host).saturating_since(host.clock);
        assert!(wait >= secs(2) && wait <= secs(3), "{wait:?}");
        assert!(host.sent().is_empty());
        host.go_to(until(&host));
        assert_eq!(host.sent().len(), 1, "one probe again");
    }
}

#[test]
fn x5_no_timer_of_an_older_pause_ends_a_newer_one() {
    let (mut host, first) = busy(2);
    host.refuse(first[0], 3);
    let probe = probe(&mut host);
    host.refuse(probe, 60);
    let (closed, why) = host.engine.poll_timeout().unwrap();
    assert!(why != Wake::Gate || closed == until(&host), "the one gate timer is the new one's");
    host.refuse(first[1], 5);
    host.go_to(Instant::from_nanos(until(&host).as_nanos() - 1));
    assert!(host.sent().is_empty());
}

// The ramp.

#[test]
fn x6_the_ramp_starts_at_two_and_gains_one_for_each_unthrottled_answer() {
    let mut host = Host::new(at_once(5));
    host.submit_many(&job(), 40);
    for attempt in host.sent() {
        host.refuse(attempt, 2);
    }
    let mut probe = probe(&mut host);
    for most in [2, 3, 4, 5, 5] {
        host.ok(probe);
        assert_eq!(host.flying.len(), most);
        probe = *host.flying.first().unwrap();
    }
    let recovered = |told: &&Notice| matches!(told, Notice::Recovered { .. });
    assert_eq!(host.notices.iter().filter(recovered).count(), 1);
}

#[test]
fn after_the_ramp_n_returns_to_zero_and_not_before() {
    let mut host = Host::new(at_once(3));
    host.submit_many(&job(), 30);
    for attempt in host.sent() {
        host.answer(attempt, 429, &[]);
    }
    let first_probe = probe(&mut host);
    host.ok(first_probe);
    // Still ramping: a refusal now is the second round.
    let ramping = host.sent();
    host.answer(ramping[0], 429, &[]);
    assert_eq!(host.pauses().last().unwrap().1, 2);
    host.ok(ramping[1]);
    let second_probe = probe(&mut host);
    host.ok(second_probe);
    let two = host.sent();
    host.ok(two[0]);
    assert_eq!(host.flying.len(), 3, "the limit is reached");
    host.answer(two[1], 429, &[]);
    assert_eq!(host.pauses().last().unwrap().1, 1, "a first round again");
}

#[test]
fn a_refusal_during_the_ramp_closes_the_gate_and_the_next_ramp_starts_at_two() {
    let mut host = Host::new(at_once(8));
    host.submit_many(&job(), 40);
    for attempt in host.sent() {
        host.refuse(attempt, 2);
    }
    let one = probe(&mut host);
    host.ok(one);
    let two = host.sent();
    host.ok(two[0]);
    host.refuse(two[1], 2);
    for attempt in host.flying.clone() {
        host.ok(attempt);
    }
    assert!(host.flying.is_empty(), "closed; and answers of the older round lift nothing");
    let one = probe(&mut host);
    host.ok(one);
    assert_eq!(host.flying.len(), 2);
}

#[test]
fn a_limit_lowered_to_where_the_ramp_is_ends_the_ramp() {
    let mut host = Host::new(at_once(8));
    host.submit_many(&job(), 20);
    for attempt in host.sent() {
        host.refuse(attempt, 2);
    }
    let one = probe(&mut host);
    host.ok(one);
    host.set_concurrency(2);
    host.set_concurrency(6);
    assert_eq!(host.flying.len(), 6);
    host.ok_all();
    host.assert_at_rest();
}

#[test]
fn a_probe_that_a_narrower_scope_refuses_hands_its_role_to_the_next_at_once() {
    let mut host = Host::new(at_once(1));
    let lost = host.start(within(&["wide"]));
    host.fail(lost, Failure::Reset);
    host.cancel(lost.request);
    host.submit(within(&["a", "wide"]));
    let next = host.submit(within(&["wide"]));
    host.sent();
    host.step();
    let probe = host.sent_one();
    host.refuse(probe, 60);
    assert_eq!(host.sent_one().request, next);
}
