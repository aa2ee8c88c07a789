//! The laws of the engine over random sequences of events, checked by a naive model.

mod world;

use proptest::prelude::*;
use world::{World, event};

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Laws 1 to 6, 8 and 9: the model in `world` asserts each after every event, and at the end
    /// that everything came to one.
    #[test]
    fn the_laws_hold_over_any_sequence_of_events(
        concurrency in 1u32..9, seed: u64, events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(concurrency, seed);
        world.run(&events);
        world.wind_down();
    }

    /// Law 7: the same settings, seed and inputs give the same outputs.
    #[test]
    fn the_same_inputs_give_the_same_outputs(
        concurrency in 1u32..9, seed: u64, events in prop::collection::vec(event(), 1..60),
    ) {
        let traces = [(); 2].map(|()| {
            let mut world = World::new(concurrency, seed);
            world.run(&events);
            world.wind_down();
            world.trace
        });
        prop_assert_eq!(&traces[0], &traces[1]);
    }
}
