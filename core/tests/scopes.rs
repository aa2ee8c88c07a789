//! Scopes: who is stopped by whose refusal, limits of their own, holds, and what is forgotten.

mod host;

use cxone_core::{
    Config, Engine, Instant, Job, Priority, RequestError, RequestId, ScopeConfig, SubmitError,
};
use host::{Host, at, at_once, class, job, ms, scope_of, secs, within};

#[test]
fn x15_a_429_on_one_scope_does_not_stop_another() {
    let mut host = Host::new(at_once(4));
    let refused = host.start(within(&["a"]));
    host.refuse(refused, 60);
    host.submit_many(&within(&["a"]), 100);
    assert!(host.sent_requests().iter().all(|id| *id == refused.request));
    for _ in 0..10 {
        let attempt = host.start(within(&["b"]));
        host.ok(attempt);
    }
    let attempt = host.start(job());
    host.ok(attempt);
    assert_eq!(host.ended_well(), 11);
    assert!(host.closed_until("b").is_none() && host.closed_until("default").is_none());
}

#[test]
fn t20_without_scopes_named_a_429_pauses_everything_and_requests_are_still_accepted() {
    let mut host = Host::new(at_once(4));
    let first = host.start(job());
    host.refuse(first, 5);
    host.sent();
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        host.submit(class(priority));
    }
    assert!(host.sent().is_empty());
    assert_eq!(host.engine.stats().queued, [1, 2, 1]);
    assert!(host.closed_until("default").is_some());
}

#[test]
fn the_narrowest_of_four_scopes_is_charged_and_all_four_must_be_open() {
    let names: &[&str] = &["one", "two", "three", "four"];
    let mut host = Host::new(at_once(8));
    let attempt = host.start(within(names));
    host.refuse(attempt, 30);
    let closed: Vec<bool> = names.iter().map(|name| host.closed_until(name).is_some()).collect();
    assert_eq!(closed, [true, false, false, false]);
    for name in names {
        let mut host = Host::new(at_once(8));
        let attempt = host.start(within(&[name]));
        host.refuse(attempt, 30);
        host.sent();
        host.submit(within(names));
        assert!(host.sent().is_empty(), "{name} is closed");
        host.submit(within(&["other", "two", "four"]));
        assert_eq!(host.sent().len(), usize::from(!["two", "four"].contains(name)), "{name}");
    }
}

#[test]
fn a_request_waits_for_the_latest_of_its_scopes_and_leaves_at_that_moment() {
    let mut host = Host::new(at_once(8));
    for (name, wait) in [("a", 5), ("b", 20), ("c", 10)] {
        let attempt = host.start(within(&[name]));
        host.refuse(attempt, wait);
        host.cancel(attempt.request);
    }
    let id = host.submit(within(&["c", "a", "b"]));
    let last = host.closed_until("b").unwrap();
    host.go_to(last);
    assert_eq!(host.sends.last().map(|send| (send.0, send.1.request)), Some((last, id)));
}

#[test]
fn five_scopes_the_same_twice_or_one_without_a_name_are_not_accepted() {
    let mut host = Host::new(at_once(8));
    for names in [&["a", "b", "c", "d", "e"][..], &["a", "b", "a"], &[""], &["a", ""]] {
        assert_eq!(host.try_submit(within(names)), Err(SubmitError::Scopes), "{names:?}");
    }
    assert_eq!(host.engine.stats().scopes.len(), 1, "nothing is kept of them");
    host.assert_at_rest();
}

#[test]
fn an_announced_budget_binds_the_scope_that_it_names_else_the_narrowest() {
    for (policy, bound) in [("wide", "wide"), ("narrow", "narrow"), ("unknown", "narrow")] {
        let mut host = Host::new(at_once(8));
        let attempt = host.start(within(&["narrow", "wide"]));
        host.submit(within(&["narrow"]));
        host.submit(within(&["wide"]));
        host.answer(attempt, 200, &[("ratelimit", &format!("\"{policy}\";r=0;t=9"))]);
        for name in ["narrow", "wide"] {
            assert_eq!(host.closed_until(name).is_some(), name == bound, "{policy}: {name}");
        }
    }
}

#[test]
fn a_scopes_own_concurrency_is_inside_the_clients() {
    let mut host = Host::new(Config { scopes: vec![scope_of("few", 2, false)], ..at_once(3) });
    host.submit_many(&within(&["few"]), 5);
    assert_eq!(host.sent().len(), 2);
    host.submit_many(&job(), 5);
    assert_eq!(host.sent().len(), 1, "three in all");
    assert_eq!(host.scope("few").unwrap().in_flight, 2);
    host.ok_all();
    assert_eq!(host.ended_well(), 10);
}

#[test]
fn a_scope_apart_takes_no_slot_of_the_clients_and_gives_none() {
    let mut host = Host::new(Config { scopes: vec![scope_of("poll", 2, true)], ..at_once(1) });
    host.submit_many(&within(&["poll"]), 3);
    assert_eq!(host.sent().len(), 2);
    host.submit_many(&job(), 3);
    let shared = host.sent_one();
    host.ok(shared);
    assert_eq!(host.sent().len(), 1, "the polls are in nobody's way");
    host.set_concurrency(4);
    assert_eq!(host.scope("poll").unwrap().in_flight, 2, "its limit is its own");
    host.ok_all();
    host.assert_at_rest();
}

#[test]
fn a_wide_scope_with_a_limit_holds_for_all_that_name_it() {
    let mut host = Host::new(Config { scopes: vec![scope_of("wide", 3, false)], ..at_once(8) });
    for name in ["a", "b", "c", "d", "e"] {
        host.submit(within(&[name, "wide"]));
    }
    assert_eq!(host.flying.len(), 3);
    host.ok_all();
    assert_eq!(host.ended_well(), 5);
    let left: Vec<_> = host.engine.stats().scopes.iter().map(|scope| scope.name.clone()).collect();
    assert_eq!(left.iter().map(|name| &**name).collect::<Vec<_>>(), ["default", "wide"]);
}

#[test]
fn inside_a_class_requests_leave_in_the_order_of_submission_across_lanes() {
    let sets: [&[&str]; 4] = [&["a"], &["b", "wide"], &[], &["a", "wide"]];
    let mut host = Host::new(at_once(1));
    let expected: Vec<RequestId> = (0..40).map(|i| host.submit(within(sets[i * 7 % 4]))).collect();
    host.ok_all();
    let left: Vec<RequestId> = host.sends.iter().map(|send| send.1.request).collect();
    assert_eq!(left, expected);
}

#[test]
fn after_a_pause_a_lane_takes_its_old_place_among_the_others() {
    let mut host = Host::new(at_once(1));
    host.pause(Some("a"));
    let held = host.submit(within(&["a"]));
    let running = host.submit(within(&["b"]));
    let younger = host.submit(within(&["b"]));
    assert_eq!(host.sent_requests(), [running]);
    host.resume(Some("a"));
    host.ok_all();
    assert_eq!(host.sent_requests(), [held, younger]);
}

// Holds.

#[test]
fn x3_a_hold_lets_nothing_start_and_lets_attempts_in_flight_finish() {
    let mut host = Host::new(at_once(5));
    let first = host.submit_many(&job(), 100);
    host.sent();
    host.pause(None);
    host.ok_all();
    host.wait(secs(60));
    assert!(host.sent().is_empty(), "95 wait");
    assert!(first[..5].iter().all(|id| host.end(*id) == Some(Ok(()))));
    host.submit(class(Priority::High));
    host.resume(None);
    assert_eq!(host.sent().len(), 5);
    host.ok_all();
    assert_eq!(host.ended_well(), 101);
}

#[test]
fn t20_holds_are_idempotent_and_each_is_lifted_by_itself() {
    let mut host = Host::new(at_once(5));
    for scope in [None, Some("a")] {
        host.pause(scope);
        host.pause(scope);
    }
    host.submit(within(&["a"]));
    host.submit(job());
    host.resume(None);
    assert_eq!(host.sent().len(), 1, "the scope is still held");
    host.resume(None);
    host.pause(None);
    host.resume(Some("a"));
    host.resume(Some("unknown"));
    assert!(host.sent().is_empty(), "now everything else is");
    host.resume(None);
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn a_resume_never_lifts_a_servers_deadline() {
    for scope in [None, Some("default")] {
        let mut host = Host::new(at_once(5));
        let first = host.start(job());
        host.refuse(first, 10);
        let until = host.closed_until("default").unwrap();
        host.sent();
        host.pause(scope);
        host.resume(scope);
        assert_eq!(host.closed_until("default"), Some(until));
        host.go_to(Instant::from_nanos(until.as_nanos() - 1));
        assert!(host.sent().is_empty());
        host.go_to(until);
        assert_eq!(host.sent().len(), 1, "its timer is still there");
    }
}

#[test]
fn a_hold_outlasts_a_servers_deadline_and_the_resume_sends_the_probe() {
    for scope in [None, Some("default")] {
        let mut host = Host::new(at_once(5));
        let first = host.start(job());
        host.refuse(first, 3);
        host.submit_many(&job(), 5);
        host.pause(scope);
        host.sent();
        host.wait(secs(100));
        assert!(host.sent().is_empty());
        host.resume(scope);
        assert_eq!(host.sent().len(), 1);
    }
}

#[test]
fn deadlines_run_during_a_hold() {
    let mut host = Host::new(at_once(5));
    host.pause(None);
    let id = host.submit(host::deadline(secs(3)));
    host.step();
    assert_eq!((host.clock, host.error(id)), (Instant::from_millis(3000), RequestError::Deadline));
    host.assert_at_rest();
}

// What is remembered.

#[test]
fn an_idle_scope_with_an_open_gate_is_forgotten() {
    let mut host = Host::new(at_once(5));
    for i in 0..1000 {
        let name = format!("tenant-{i}");
        let attempt = host.start(within(&[&name, "all"]));
        host.ok(attempt);
    }
    let known = host.engine.stats().scopes;
    assert_eq!(known.len(), 1, "{known:?}");
}

#[test]
fn a_scope_with_a_deadline_is_never_forgotten_before_it() {
    for headers in [("retry-after", "600"), ("ratelimit", "\"x\";r=0;t=600")] {
        let mut host = Host::new(at_once(5));
        let attempt = host.start(within(&["a"]));
        host.answer(attempt, if headers.0 == "ratelimit" { 200 } else { 429 }, &[headers]);
        host.cancel(attempt.request);
        let until = host.closed_until("a").unwrap();
        for i in 0..500 {
            let name = format!("other-{i}");
            let attempt = host.start(within(&[&name]));
            host.ok(attempt);
        }
        let id = host.submit(within(&["a"]));
        assert!(!host.is_flying(id));
        host.go_to(until);
        assert!(host.is_flying(id), "{headers:?}");
    }
}

#[test]
fn a_scope_that_was_refused_is_still_known_when_nobody_has_probed_it() {
    let mut host = Host::new(at_once(5));
    let attempt = host.start(within(&["a"]));
    host.answer(attempt, 429, &[]);
    host.cancel(attempt.request);
    host.wait(secs(60));
    let given_up = host.start(within(&["a"]));
    host.cancel(given_up.request);
    host.end_aborted();
    let attempt = host.start(within(&["a"]));
    host.answer(attempt, 429, &[]);
    let wait = host.closed_until("a").unwrap().saturating_since(host.clock);
    assert!(wait >= ms(2000), "the second round, and not the first again: {wait:?}");
}

#[test]
fn scopes_that_were_refused_once_do_not_add_up_for_ever() {
    let mut host = Host::new(at_once(5));
    for i in 0..3000 {
        let name = format!("tenant-{i}");
        let attempt = host.start(within(&[&name]));
        host.refuse(attempt, 2);
        host.cancel(attempt.request);
        host.wait(secs(60));
    }
    let known = host.engine.stats().scopes.len();
    assert!(known <= 200, "{known} of 3000");
}

#[test]
fn a_configured_scope_and_a_held_one_are_not_forgotten() {
    let mut host = Host::new(Config { scopes: vec![scope_of("known", 2, false)], ..at_once(9) });
    host.pause(Some("held"));
    let id = host.submit(within(&["held"]));
    host.cancel(id);
    let attempt = host.start(within(&["known"]));
    host.ok(attempt);
    assert!(host.scope("held").is_some_and(|scope| scope.held));
    host.submit_many(&within(&["known"]), 5);
    assert_eq!(host.flying.len(), 2, "its limit is still known");
    host.resume(Some("held"));
    assert!(host.scope("held").is_none());
}

#[test]
fn a_place_of_a_forgotten_scope_is_used_again_without_mixing_them_up() {
    let mut host = Host::new(at_once(4));
    let a = host.start(within(&["a"]));
    let late = host.start(within(&["a"]));
    host.ok(a);
    host.cancel(late.request);
    host.end_aborted();
    assert!(host.scope("a").is_none());
    let b = host.start(within(&["b"]));
    host.refuse(late, 600); // late news of what is over
    assert!(host.closed_until("b").is_none());
    host.ok(b);
    host.assert_at_rest();
}

#[test]
fn settings_of_scopes_are_checked_by_name() {
    let with = |scopes: Vec<ScopeConfig>| {
        let config = Config { scopes, ..Config::default() };
        Engine::new(config, 0, at(Instant::ORIGIN)).map(drop).map_err(|error| error.field)
    };
    let lone =
        |concurrency, apart| ScopeConfig { name: "a".into(), concurrency, apart, pacing: None };
    assert_eq!(with(vec![lone(None, false)]), Ok(()));
    assert_eq!(with(vec![lone(None, true)]), Err("scopes.concurrency"));
    assert_eq!(with(vec![lone(Some(0), false)]), Err("scopes.concurrency"));
    assert_eq!(with(vec![lone(Some(1), false), lone(None, false)]), Err("scopes.name"));
    assert_eq!(with(vec![scope_of("", 1, false)]), Err("scopes.name"));
}

#[test]
fn ramps_are_each_scopes_own() {
    let mut host = Host::new(at_once(8));
    let jobs: [Job<'_>; 2] = [within(&["a"]), within(&["b"])];
    let first: Vec<_> = jobs.iter().map(|job| host.start(job.clone())).collect();
    host.refuse(first[0], 2);
    host.submit_many(&jobs[0], 8);
    host.wait(ms(2500));
    assert_eq!(host.scope("a").unwrap().in_flight, 1, "its probe");
    host.submit_many(&jobs[1], 8);
    assert_eq!(host.scope("b").unwrap().in_flight, 7, "all the slots that are left");
}
