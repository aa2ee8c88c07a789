//! The pacer through the engine: what it learns of servers that keep a limit, and that nothing it
//! believes wedges anything.

mod host;
mod servers;

use std::time::Duration;

use cxone_core::{
    AttemptId, Basis, Belief, Config, Instant, Job, KnownLimit, Notice, Pacing, PauseReason,
    Priority,
};
use host::{Host, at_once, class, job, ms, scope_of, secs, within};
use servers::{Bucket, LATENCY, Reply, Window, play, play_until};

fn learned(concurrency: u32) -> Host {
    Host::paced(at_once(concurrency), 7)
}

fn paced(pacing: Pacing) -> Host {
    Host::paced(Config { pacing, ..at_once(8) }, 7)
}

fn belief(host: &Host) -> Belief {
    host.scope("default").expect("it is always there").belief
}

fn between(times: &[Instant], from: Duration, to: Duration) -> usize {
    let (from, to) = (Instant::ORIGIN + from, Instant::ORIGIN + to);
    times.iter().filter(|at| **at >= from && **at < to).count()
}

fn low() -> Job<'static> {
    class(Priority::Low)
}

#[test]
fn a_quota_learned_from_a_stated_refusal_is_used_exactly_in_later_windows() {
    let mut host = learned(8);
    host.submit_many(&job(), 48);
    let mut server = Window::new(10, secs(60));
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 48);
    for window in 0..4 {
        let accepted = between(&server.accepted, secs(60) * window, secs(60) * (window + 1));
        assert_eq!(accepted, 10, "window {window}");
    }
    let first = between(&server.refused, secs(0), secs(60));
    assert!(first <= 8, "{first}: as many as were in flight");
    let later = between(&server.refused, secs(60), secs(3600));
    assert!(later <= 1, "{later}: one, where a larger quota was tried");
    assert!(between(&server.accepted, secs(60), secs(62)) == 10, "all at once");
    let quota = belief(&host).quota.expect("it is learned");
    assert_eq!((quota.requests, quota.window), (10, Some(secs(60))));
    assert_eq!(quota.basis, Basis::Measured);
}

#[test]
fn after_silent_refusals_the_windows_that_people_choose_are_tried() {
    let mut host = learned(8);
    host.submit_many(&job(), 100);
    let mut server = Window::silent(30, secs(60));
    let (mut sought, mut tried) = (false, Vec::new());
    play_until(&mut host, Instant::from_millis(60_000), |_| LATENCY, |now| server.reply(now));
    for notice in &host.notices {
        if let Notice::Believes { belief, .. } = notice {
            sought |= belief.quota.is_some_and(|quota| quota.basis == Basis::Sought);
        }
    }
    assert!(sought, "{:?}", host.notices);
    tried.extend(server.refused.iter().filter(|at| **at > Instant::from_millis(8000)));
    // Ten seconds and half a minute, counted from the first request, and a little later.
    let near = |at: &Instant, window| at.saturating_since(Instant::ORIGIN + window) < ms(300);
    assert!(tried.iter().all(|at| near(at, secs(10)) || near(at, secs(30))), "{tried:?}");
    assert!(server.refused.len() <= 14, "{}", server.refused.len());
    let mut host = learned(8);
    host.submit_many(&job(), 100);
    let mut server = Window::silent(30, secs(60));
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 100);
    let quota = belief(&host).quota.expect("it is found");
    assert_eq!((quota.requests, quota.window), (30, Some(secs(60))));
    assert!(host.clock < Instant::from_millis(185_000), "{}", host.clock);
}

#[test]
fn short_refusals_teach_an_even_rate() {
    let mut host = learned(8);
    host.submit_many(&job(), 600);
    let mut server = Bucket::new(ms(100), 5);
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 600);
    let rate = belief(&host).rate.expect("it is learned");
    assert_eq!(rate.basis, Basis::Measured);
    assert!(rate.interval >= ms(98) && rate.interval <= ms(115), "{rate:?}");
    assert!(server.refused <= 20, "{}", server.refused);
    assert!(host.clock < Instant::from_millis(69_000), "{}", host.clock);
}

#[test]
fn an_announced_budget_is_never_overrun_whatever_the_order_of_the_answers() {
    for form in ["draft-10", "x"] {
        let mut host = learned(8);
        host.submit_many(&job(), 120);
        let mut server = Window::new(20, secs(30));
        let latency = |number| if number % 3 == 0 { ms(330) } else { ms(70) };
        play_until(&mut host, Instant::FAR, latency, |now| {
            let (accepted, left, reset) = server.ask(now);
            let seconds = reset.as_millis().div_ceil(1000);
            let headers = match form {
                "draft-10" => vec![
                    ("ratelimit", format!("\"default\";r={left};t={seconds}")),
                    ("ratelimit-policy", "\"default\";q=20;w=30".into()),
                ],
                _ => vec![
                    ("x-ratelimit-limit", "20".into()),
                    ("x-ratelimit-remaining", left.to_string()),
                    ("x-ratelimit-reset", seconds.to_string()),
                ],
            };
            Reply { status: if accepted { 200 } else { 429 }, headers }
        });
        assert_eq!(host.ended_well(), 120, "{form}");
        // Before the first answer nothing is known, and a guessed length is tried with one.
        let later = between(&server.refused, ms(1), secs(3600));
        assert!(later <= usize::from(form == "x"), "{form}: {:?}", server.refused);
        assert!(host.clock < Instant::from_millis(155_000), "{form}: {}", host.clock);
        let quota = belief(&host).quota.expect("it is announced");
        assert_eq!((quota.requests, quota.basis), (20, Basis::Announced));
    }
}

#[test]
fn an_urgent_request_finds_something_left_of_a_budget() {
    let mut host = learned(4);
    host.submit_many(&low(), 300);
    let mut server = Window::new(160, secs(100));
    let mut budget = |now| {
        let (accepted, left, reset) = server.ask(now);
        let seconds = reset.as_millis().div_ceil(1000);
        let headers = vec![
            ("ratelimit", format!("\"default\";r={left};t={seconds}")),
            ("ratelimit-policy", "\"default\";q=160;w=100".into()),
        ];
        Reply { status: if accepted { 200 } else { 429 }, headers }
    };
    play_until(&mut host, Instant::from_millis(30_000), |_| LATENCY, &mut budget);
    host.clock = Instant::from_millis(30_000);
    assert!(host.flying.is_empty(), "those that are left are kept");
    let urgent = host.submit(class(Priority::High));
    assert!(host.is_flying(urgent), "and it goes at once");
    play_until(&mut host, Instant::from_millis(99_900), |_| LATENCY, &mut budget);
    assert_eq!(server.accepted.len(), 160, "late in the window nothing is kept");
    assert!(server.refused.is_empty());
}

#[test]
fn two_limits_at_once_are_both_learned() {
    let mut host = learned(8);
    host.submit_many(&job(), 500);
    let (mut bucket, mut window) = (Bucket::new(ms(100), 10), Window::new(150, secs(300)));
    play(&mut host, |now| {
        let reply = bucket.reply(now);
        if reply.status == 200 { window.reply(now) } else { reply }
    });
    assert_eq!(host.ended_well(), 500);
    let belief = belief(&host);
    let (quota, rate) = (belief.quota.expect("a quota"), belief.rate.expect("a rate"));
    assert_eq!((quota.requests, quota.window), (150, Some(secs(300))));
    assert!(rate.interval.abs_diff(ms(100)) < ms(15), "{rate:?}");
    let refused = bucket.refused + window.refused.len() as u64;
    assert!(refused <= 40, "{refused}");
    assert!(host.clock < Instant::from_millis(910_000), "{}", host.clock);
}

#[test]
fn a_fixed_limit_is_kept_to_whatever_the_server_announces() {
    let limit = KnownLimit { requests: 5, per: secs(10), burst: None };
    let mut host = paced(Pacing::Fixed(limit));
    host.submit_many(&job(), 20);
    let generous = || vec![("ratelimit", "\"default\";r=1000;t=60".to_owned())];
    let mut sends = Vec::new();
    play(&mut host, |now| {
        sends.push(now);
        Reply { status: 200, headers: generous() }
    });
    // One, then two for each answer; 10 s after the first answer, and a hundredth.
    let window =
        |from: u64| [0, 100, 100, 200, 200].map(|after| Instant::from_millis(from + after));
    assert_eq!(sends, [0, 10_200, 20_400, 30_600].map(window).concat());
    assert_eq!(belief(&host).quota.map(|quota| quota.basis), Some(Basis::Configured));
    assert!(!host.notices.iter().any(|notice| matches!(notice, Notice::Believes { .. })));
}

#[test]
fn a_fixed_rate_lets_a_part_of_its_burst_go_at_once() {
    let limit = KnownLimit { requests: 10, per: secs(1), burst: Some(4) };
    let mut host = paced(Pacing::Fixed(limit));
    host.wait(secs(10));
    host.submit_many(&job(), 10);
    let mut sends = Vec::new();
    play(&mut host, |now| {
        sends.push(now.saturating_since(Instant::ORIGIN + secs(10)).as_millis());
        Reply::ok()
    });
    assert_eq!(sends, [0, 0, 0, 100, 200, 300, 400, 500, 600, 700]);
}

#[test]
fn a_seeded_limit_is_believed_until_answers_say_otherwise() {
    let limit = KnownLimit { requests: 10, per: secs(60), burst: None };
    let mut host = paced(Pacing::Seeded(limit));
    host.submit_many(&job(), 60);
    let mut server = Window::new(15, secs(60));
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 60);
    assert_eq!(between(&server.accepted, secs(0), secs(60)), 10, "as it was told");
    let quota = belief(&host).quota.expect("it is known");
    assert_eq!((quota.requests, quota.basis), (15, Basis::Measured), "it was tried");
}

#[test]
fn a_change_of_belief_is_told_and_the_stats_show_the_same() {
    let mut host = learned(1);
    assert_eq!(belief(&host), Belief::default());
    host.submit_many(&job(), 12);
    let mut server = Window::new(10, secs(60));
    play_until(&mut host, Instant::from_millis(30_000), |_| LATENCY, |now| server.reply(now));
    let told: Vec<&Belief> = host
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Believes { scope, belief } if &**scope == "default" => Some(&**belief),
            _ => None,
        })
        .collect();
    assert_eq!(told, [&belief(&host)]);
    let line = "10 requests per 60000ms (measured)";
    assert_eq!(told[0].to_string(), line);
}

#[test]
fn off_nothing_is_believed() {
    let mut host = paced(Pacing::Off);
    host.submit_many(&job(), 30);
    let mut server = Window::silent(10, secs(10));
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 30);
    assert_eq!(belief(&host), Belief::default());
    let told = |notice: &Notice| {
        let paced = matches!(notice, Notice::Paused { reason: PauseReason::Pace { .. }, .. });
        paced || matches!(notice, Notice::Believes { .. })
    };
    assert!(!host.notices.iter().any(told));
}

/// Hosts of which each is held back by another belief, with requests of each class waiting.
fn held_back() -> Vec<(&'static str, Host)> {
    let stop = Instant::from_millis(45_000);
    let host = || {
        let mut host = learned(4);
        for priority in Priority::ALL {
            host.submit_many(&class(priority), 60);
        }
        host
    };
    let mut hosts = Vec::new();
    let mut quota = host();
    let mut server = Window::new(30, secs(300));
    play_until(&mut quota, stop, |_| LATENCY, |now| server.reply(now));
    hosts.push(("quota", quota));
    let mut search = host();
    let mut server = Window::silent(30, secs(300));
    play_until(&mut search, stop, |_| LATENCY, |now| server.reply(now));
    hosts.push(("search", search));
    let mut rate = host();
    let mut server = Bucket { states: false, ..Bucket::new(secs(1), 5) };
    play_until(&mut rate, stop, |_| LATENCY, |now| server.reply(now));
    hosts.push(("rate", rate));
    for (name, status, left) in [("budget", 200, 1000u64), ("few", 200, 20), ("lost", 500, 3)] {
        let mut budget = host();
        let mut left = left;
        play_until(
            &mut budget,
            Instant::from_millis(2000),
            |_| LATENCY,
            |_| {
                left = left.saturating_sub(1).max(1);
                let headers =
                    vec![("ratelimit", format!("\"default\";r={left};t=999999999999999"))];
                Reply { status, headers }
            },
        );
        hosts.push((name, budget));
    }
    hosts
}

#[test]
fn whatever_is_believed_nothing_that_a_user_does_wedges_it() {
    type Deed = (&'static str, fn(&mut Host));
    let deeds: [Deed; 6] = [
        ("nothing", |_| {}),
        ("concurrency", |host| {
            host.set_concurrency(1);
            host.set_concurrency(8);
        }),
        ("pause", |host| {
            host.pause(None);
            host.pause(Some("default"));
            host.resume(None);
            host.wait(secs(1));
            host.resume(Some("default"));
        }),
        ("cancel", |host| {
            let flying: Vec<AttemptId> = host.flying.iter().copied().collect();
            flying.iter().for_each(|attempt| host.cancel(attempt.request));
        }),
        ("drain", |host| host.close(true)),
        ("close", |host| host.close(false)),
    ];
    for (deed, act) in deeds {
        for (state, mut host) in held_back() {
            // What was in flight is lost.
            act(&mut host);
            for attempt in host.flying.clone() {
                host.fail(attempt, cxone_core::Failure::Reset);
            }
            play(&mut host, |_| Reply::ok());
            assert!(host.engine.is_idle(), "{state}, {deed}: {:?}", host.engine.stats());
            host.assert_at_rest();
        }
    }
}

#[test]
fn an_urgent_request_of_a_lane_that_is_kept_from_a_reserve_may_wait_for_another_scope() {
    let scopes = vec![scope_of("b", 1, false)];
    let mut host = Host::paced(Config { scopes, ..at_once(8) }, 7);
    let lane = |priority| Job { priority, ..within(&["a", "b"]) };
    let first = host.start(lane(Priority::Low));
    let ids = host.submit_many(&lane(Priority::Low), 40);
    // Of 160 in `a` ten are left, which are kept but for the first one.
    let headers = [("ratelimit", "\"a\";r=10;t=100"), ("ratelimit-policy", "\"a\";q=160;w=100")];
    host.answer(first, 200, &headers);
    host.ok_all();
    assert_eq!(host.sends.len(), 2, "the others are kept waiting");
    // `b` is full when an urgent one comes.
    let other = host.start(within(&["b"]));
    let urgent = host.submit(lane(Priority::High));
    assert!(!host.is_flying(urgent));
    host.cancel(urgent);
    ids.iter().for_each(|id| host.cancel(*id));
    host.ok(other);
    host.assert_at_rest();
}

#[test]
fn a_scope_that_nobody_uses_is_not_forgotten_while_its_rate_rests() {
    let two_hours = KnownLimit { requests: 1, per: secs(7200), burst: Some(1) };
    let config = Config { pacing: Pacing::Seeded(two_hours), ..at_once(4) };
    let mut host = Host::paced(config, 7);
    let rare = || Job { scopes: &["rare"], ..job() };
    host.submit(rare());
    let first = host.sent_one();
    host.ok(first);
    host.go_to(host.clock + secs(3700));
    // The scope's last request for now: it could be forgotten.
    let idle = host.submit(rare());
    host.cancel(idle);
    host.submit(rare());
    assert!(host.sent().is_empty(), "an hour is not two");
    host.go_to(host.clock + secs(3500));
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn what_was_learned_is_forgotten_after_an_hour_without_a_request_and_a_seed_believed_again() {
    let seed = KnownLimit { requests: 100, per: secs(1), burst: Some(50) };
    for (pacing, at_first) in
        [(Pacing::Learned, "unknown"), (Pacing::Seeded(seed), "one request each 10ms (configured)")]
    {
        let mut host = Host::paced(Config { pacing, ..at_once(8) }, 7);
        host.submit_many(&job(), 100);
        let mut server = Bucket { states: false, ..Bucket::new(ms(50), 5) };
        play(&mut host, |now| server.reply(now));
        let learned = belief(&host);
        assert_ne!(learned.to_string(), at_first);
        host.wait(secs(3599));
        host.submit(job());
        assert_eq!(belief(&host), learned, "not an hour yet");
        play(&mut host, |now| server.reply(now));
        host.wait(secs(3600));
        host.notices.clear();
        host.submit(job());
        assert_eq!(belief(&host).to_string(), at_first);
        let told = host.notices.iter().any(
            |notice| matches!(notice, Notice::Believes { belief, .. } if belief.to_string() == at_first),
        );
        assert!(told, "{:?}", host.notices);
        play(&mut host, |now| server.reply(now));
    }
}
