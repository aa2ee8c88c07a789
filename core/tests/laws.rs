//! The laws of the engine over random sequences of events, checked by a naive model.

mod world;

use std::time::Duration;

use cxone_core::{Backoff, Config};
use proptest::prelude::*;
use world::{Event, World, event};

/// Settings of which each changes what ends a request, or when.
fn settings() -> impl Strategy<Value = Config> {
    let time = |default: u64| {
        prop_oneof![
            4 => Just(Duration::from_secs(default)),
            1 => (1u64..60_000).prop_map(Duration::from_millis),
            1 => Just(Duration::MAX),
        ]
    };
    let base = prop_oneof![Just(1u64), Just(1000)].prop_map(Duration::from_millis);
    (1u32..9, 1u32..6, 2u32..17, time(3600), time(900), time(15), time(30), base).prop_map(
        |(concurrency, max_attempts, fair_share, retry_for, max_wait, timeout, cooldown, base)| {
            Config {
                concurrency,
                max_attempts,
                fair_share,
                retry_for,
                max_wait,
                attempt_timeout: timeout,
                token_cooldown: cooldown,
                backoff: Backoff { base, ..Backoff::default() },
                ..Config::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Laws 1 to 6, 8 and 9: the model in `world` asserts each after every event, and at the end
    /// that everything came to one.
    #[test]
    fn the_laws_hold_over_any_sequence_of_events(
        settings in settings(), seed: u64, events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(settings, seed);
        world.run(&events);
        world.wind_down();
    }

    /// Law 7: the same settings, seed and inputs give the same outputs, whatever news comes of
    /// what is over and however often it is asked too early.
    #[test]
    fn the_same_inputs_give_the_same_outputs(
        settings in settings(), seed: u64, events in prop::collection::vec(event(), 1..60),
    ) {
        let traces = [false, true].map(|noise| {
            let mut world = World::new(settings.clone(), seed);
            for event in &events {
                world.happen(event);
                if noise {
                    world.happen(&Event::Stale(usize::MAX - events.len()));
                    world.happen(&Event::Back(1000));
                }
            }
            world.wind_down();
            world.trace.retain(|line| !line.contains(" <- "));
            world.trace
        });
        prop_assert_eq!(&traces[0], &traces[1]);
    }
}
