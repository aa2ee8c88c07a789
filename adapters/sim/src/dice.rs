//! All the chance there is in a world: one seed, one named generator.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number from 0 to `end`, `end` not included; 0 if that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The share that 64 random bits are of 2⁶⁴: even to within `end` parts in 2⁶⁴.
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}
