//! The laws of the engine over random sequences of events, checked by a naive model.

mod world;

use proptest::prelude::*;
use world::{Event, World, busy_event, event, server, settings};

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

    /// The same where much is answered, and so much is believed; in the end all is well but that
    /// the server keeps its limit.
    #[test]
    fn the_laws_hold_whatever_a_pacer_comes_to_believe(
        settings in settings(), seed: u64, server in server(),
        events in prop::collection::vec(busy_event(), 1..300),
    ) {
        let mut world = World::new(settings, seed).with(server);
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
