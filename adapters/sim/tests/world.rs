//! The world keeps its own rules: the same seed gives the same run, no limiter lets more pass than
//! it may, nobody is faster than the ideal, and nothing gets lost.

use std::time::Duration;

use cxone_core::{Config, Priority};
use cxone_sim::{
    Announce, Change, Client, Latency, LimitSpec, Model, Policy, RetryAfter, Server, SimJob, When,
    Windows, World, strangers, suite,
};
use proptest::prelude::*;

fn limit() -> impl Strategy<Value = LimitSpec> {
    (0..4, 1..20u32, 100..4000u64, 1..20u32, any::<bool>()).prop_map(
        |(model, quota, window, burst, count_refused)| {
            let window = Duration::from_millis(window);
            let spec = match model {
                0 => LimitSpec::fixed(quota, window),
                1 => LimitSpec::sliding(quota, window),
                2 => LimitSpec::bucket(quota, window, burst),
                _ => LimitSpec::leaky(quota, window, burst),
            };
            LimitSpec { count_refused, ..spec }
        },
    )
}

fn server() -> impl Strategy<Value = Server> {
    let windows = prop_oneof![Just(Windows::Epoch), Just(Windows::FirstRequest)];
    let retry_after =
        prop_oneof![Just(RetryAfter::None), Just(RetryAfter::Seconds), Just(RetryAfter::Date)];
    let announce = prop_oneof![
        Just(Announce::None),
        Just(Announce::Draft10),
        Just(Announce::XDelta),
        Just(Announce::XEpoch),
    ];
    let work = (0..40u64, prop::option::of(1..4u32), prop::option::of(0..3u32), -3000..3000i64);
    (limit(), windows, retry_after, announce, work).prop_map(
        |(limit, windows, retry_after, announce, (service, workers, delay_after, skew_ms))| {
            Server {
                windows,
                retry_after,
                announce,
                service: Duration::from_millis(service),
                workers,
                delay_after,
                skew_ms,
                ..Server::new(limit)
            }
        },
    )
}

fn latency() -> impl Strategy<Value = Latency> {
    let ms = Duration::from_millis;
    prop_oneof![
        (0..300u64).prop_map(move |l| Latency::Constant(ms(l))),
        (0..300u64).prop_map(move |l| Latency::about(ms(l), 30)),
        (1..200u64).prop_map(move |l| Latency::LongTail { median: ms(l) }),
    ]
}

fn jobs() -> impl Strategy<Value = Vec<SimJob>> {
    let job = (0..4000u64, 0..3usize).prop_map(|(at, class)| SimJob {
        at: Duration::from_millis(at),
        priority: Priority::ALL[class],
    });
    prop::collection::vec(job, 1..40)
}

fn worlds() -> impl Strategy<Value = World> {
    let policy = prop::sample::select(&Policy::ALL[..]);
    // One that is told a limit is mostly told a wrong one.
    let client = (policy, limit(), jobs(), 1..10u32);
    let client = client.prop_map(|(policy, told, jobs, concurrency)| {
        let config = Config { concurrency, ..policy.config(&told) };
        Client { config, jobs }
    });
    let clients = prop::collection::vec(client, 1..4);
    (server(), latency(), clients, 0..3u64).prop_map(|(server, latency, clients, late)| {
        let timer_lateness = Duration::from_millis(late);
        let mut world = World::new(server, latency, clients[0].clone());
        world.clients = clients;
        world.timer_lateness = timer_lateness;
        world
    })
}

/// The most that may pass in any span of time, whatever came before it.
fn most_within(limit: &LimitSpec, span: Duration) -> u128 {
    let quota = u128::from(limit.quota);
    let by_rate = |span: Duration| (span.as_nanos() * quota) / limit.window.as_nanos();
    match limit.model {
        Model::Fixed => (span.as_nanos() / limit.window.as_nanos() + 2) * quota,
        Model::Sliding => (span.as_nanos() / limit.window.as_nanos() + 1) * quota,
        Model::Bucket => u128::from(limit.burst) + by_rate(span),
        // nginx counts in whole milliseconds: the span may be one longer than it is.
        Model::Leaky => u128::from(limit.burst) + 1 + by_rate(span + Duration::from_millis(1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_more_passes_than_the_limit_allows(world in worlds(), seed: u64) {
        let report = world.run(seed).unwrap();
        let limit = &world.server.limit;
        let passes = &report.accepted_at;
        for (i, from) in passes.iter().enumerate() {
            for (many, to) in (1..).zip(&passes[i..]) {
                let span = *to - *from;
                prop_assert!(many <= most_within(limit, span), "{limit}: {many} in {span:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_nobody_beats_the_ideal(world in worlds(), seed: u64) {
        let report = world.run(seed).unwrap();
        prop_assert_eq!(&world.run(seed).unwrap(), &report);
        prop_assert_eq!(world.ideal_makespan(seed), report.ideal);
        prop_assert_eq!(report.early, 0);
        prop_assert_eq!(report.attempts, (report.accepted_at.len() + report.refused_at.len()) as u64);
        let ended: u64 = report.classes.iter().map(|class| class.requests).sum();
        prop_assert_eq!(ended + report.lost, report.requests);
        // The engine gives up what a server with a lying clock holds back too long, and no more.
        if report.lost == 0 {
            prop_assert!(report.makespan >= report.ideal, "{:?} {:?}", report.makespan, report.ideal);
        }
        let most = world.clients.iter().map(|client| client.config.concurrency).max().unwrap();
        prop_assert!(report.max_in_flight <= u64::from(most));
    }
}

#[test]
fn another_seed_gives_another_run() {
    for scenario in suite() {
        let world = scenario.world(&scenario.config(Policy::Learned));
        assert_ne!(world.run(1).unwrap(), world.run(2).unwrap(), "{}", scenario.name);
    }
}

#[test]
fn no_scenario_loses_a_request_or_sends_one_early() {
    for scenario in suite().into_iter().chain(strangers()) {
        for policy in Policy::ALL {
            let world = scenario.world(&scenario.config(policy));
            for seed in 0..3 {
                let report = world.run(seed).unwrap();
                let name =
                    format!("{} {} {seed}: {:?}", scenario.name, policy.name(), report.given_up);
                assert_eq!(report.requests, u64::from(scenario.requests), "{name}");
                assert_eq!((report.lost, report.early), (0, 0), "{name}");
                assert!(report.max_in_flight <= u64::from(scenario.concurrency), "{name}");
                // Which alone may be faster than the ideal, as that one's description says.
                assert!(report.ratio() >= 1.0 || scenario.name == "fallen", "{name}");
            }
        }
    }
}

/// What is held up somewhere on its way arrives together and is refused, and none of that says
/// anything of the rate: where it was believed, the rate fell to a twelfth.
#[test]
fn moments_of_standstill_do_not_slow_a_client_down_for_good() {
    let stalling = strangers().into_iter().find(|scenario| scenario.name == "stalling").unwrap();
    let summary = stalling.measure(&stalling.config(Policy::Learned), 40).unwrap();
    assert!(summary.makespan_ratio < 1.8, "{summary:?}");
    assert!(summary.worst_makespan_ratio < 3.5, "{summary:?}");
}

#[test]
fn a_run_is_given_up_at_its_horizon() {
    let job = SimJob { at: Duration::ZERO, priority: Priority::Normal };
    let client = Client { config: Config::default(), jobs: vec![job; 30] };
    let server = Server::new("fixed:10/10s".parse().unwrap());
    let mut world = World::new(server, Latency::Constant(Duration::from_millis(10)), client);
    world.server.windows = Windows::FirstRequest;
    world.horizon = Duration::from_secs(5);
    let report = world.run(0).unwrap();
    assert_eq!((report.lost, report.classes[1].requests), (20, 10));
    assert_eq!(report.given_up, None, "the engine gave nothing up");
}

#[test]
fn a_rise_is_counted_until_it_is_used() {
    let mut scenario = suite().into_iter().find(|scenario| scenario.name == "I").unwrap();
    let used = |scenario: &cxone_sim::Scenario| {
        let report = scenario.world(&scenario.config(Policy::Off)).run(0).unwrap();
        report.passed_until_rise_used
    };
    // Who does not pace uses what there is, at once: the twenty by which it is measured.
    assert!(used(&scenario).is_some_and(|used| (21..60).contains(&used)), "{:?}", used(&scenario));
    scenario.server.changes =
        vec![Change { when: When::Accepted(500), limit: "bucket:4/s+20".parse().unwrap() }];
    assert_eq!(used(&scenario), None, "that is no rise");
}

#[test]
fn a_rate_outlasts_an_outage_that_refuses_everything() {
    let seconds = Duration::from_secs;
    let limit = LimitSpec::bucket(20, seconds(1), 20);
    let nothing = LimitSpec::leaky(1, seconds(3600), 1);
    for length in [3, 30] {
        let mut server = Server::new(limit);
        server.changes = vec![
            Change { when: When::At(seconds(10)), limit: nothing },
            Change { when: When::At(seconds(10 + length)), limit },
        ];
        let job = SimJob { at: Duration::ZERO, priority: Priority::Normal };
        let client = Client { config: Config::default(), jobs: vec![job; 2000] };
        let world = World::new(server, Latency::about(Duration::from_millis(100), 10), client);
        let report = world.run(1).expect("it is in range");
        assert_eq!((report.lost, report.early), (0, 0));
        // It was a quota of a few a window once, for ever: twenty times the ideal.
        assert!(report.ratio() < 1.2, "{} after {length} s", report.ratio());
    }
}
