//! Delay arithmetic: how long to wait, and how much chance is in it.
//!
//! Own backoff is exponential with additive jitter, so that clients which were refused together
//! do not come back together: `ceil(min(cap, base · 2ⁿ) · (1 + U(0, 0.5)))` milliseconds. A wait
//! that the server states is kept as given, since the server knows better (RFC 9110 §10.2.3);
//! only a little jitter is added on top, and nothing is ever taken away.
//!
//! Where a pacer knows more of a limit than that it refused, it says how long to wait after a refusal
//! that does not: [how long](crate::pacing#how-long-is-waited-where-a-refusal-does-not-say).
//!
//! All of it is integer arithmetic: floats would differ in their last bit between targets.

use core::time::Duration;

use rand_core::Rng;

use crate::time::nanos;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The jitter on a stated wait is at most a tenth of it …
const STATED_JITTER_SHARE: u32 = 10;
/// … and at most this.
const STATED_JITTER_MAX: Duration = Duration::from_millis(250);

/// A stated wait below this is only believed if it is not below the own backoff: a `0` or a date
/// in the past would be a hot loop.
const TRUSTED_FROM: Duration = Duration::from_secs(1);

/// The settings of the arithmetic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first own wait, at least 1 ms. Default 1 s.
    pub base: Duration,
    /// The longest own wait before jitter, at least `base`. It never caps a server's wait.
    /// Default 30 s.
    pub cap: Duration,
    /// What is added to a wait that the server states.
    pub stated: StatedJitter,
}

/// What is added to a wait that the server states.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StatedJitter {
    /// Up to a tenth of it and up to 250 ms.
    #[default]
    Slight,
    /// Up to half of it, as the tutorial does: `ceil(w · (1 + U(0, 0.5)))`.
    Half,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            stated: StatedJitter::Slight,
        }
    }
}

impl Backoff {
    /// The tutorial's arithmetic, mended: a stated wait is neither doubled from round to round
    /// nor cut at 30 s, but jittered by up to half of it.
    pub fn tutorial() -> Self {
        Backoff { stated: StatedJitter::Half, ..Backoff::default() }
    }

    /// Own backoff of round `n` (from 0) without jitter: `min(cap, base · 2ⁿ)`.
    pub fn bare(&self, n: u32) -> Duration {
        let doubled = 1u32.checked_shl(n).and_then(|factor| self.base.checked_mul(factor));
        doubled.unwrap_or(Duration::MAX).min(self.cap)
    }

    /// Own backoff of round `n` (from 0), in whole milliseconds.
    pub fn own(&self, n: u32, chance: Chance) -> Duration {
        chance.stretch_by_half(self.bare(n))
    }

    /// The wait that follows from what the server stated: never less.
    pub fn stated(&self, wait: Duration, chance: Chance) -> Duration {
        match self.stated {
            StatedJitter::Slight => {
                let most = (wait / STATED_JITTER_SHARE).min(STATED_JITTER_MAX);
                wait.saturating_add(chance.part_of(most))
            }
            StatedJitter::Half => chance.stretch_by_half(wait),
        }
    }

    /// Is this stated wait to be believed in round `n`? One below a second *and* below the own
    /// backoff is not.
    pub fn believes(&self, stated: Duration, n: u32) -> bool {
        stated >= TRUSTED_FROM || stated >= self.bare(n)
    }

    /// The wait of round `n`: the stated one if it is believed, else own backoff.
    pub fn wait(&self, stated: Option<Duration>, n: u32, chance: Chance) -> Duration {
        match stated {
            Some(wait) if self.believes(wait, n) => self.stated(wait, chance),
            _ => self.own(n, chance),
        }
    }
}

/// A number drawn from [0, 1), kept as 53 bits so that arithmetic with it is exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chance(u64);

const CHANCE_BITS: u32 = 53;

impl Chance {
    /// Draws one.
    pub fn draw(rng: &mut impl Rng) -> Chance {
        Chance(rng.next_u64() >> (64 - CHANCE_BITS))
    }

    /// The nearest to `fraction`, as `Math.random` gives it; below 0 counts as 0, and 1 or more
    /// as the largest.
    pub fn from_fraction(fraction: f64) -> Chance {
        let scaled = (fraction * (1u64 << CHANCE_BITS) as f64) as u64; // saturates, NaN is 0
        Chance(scaled.min((1 << CHANCE_BITS) - 1))
    }

    /// That share of `most`, in whole milliseconds, rounded down.
    fn part_of(self, most: Duration) -> Duration {
        let nanos = saturate((u128::from(nanos(most)) * u128::from(self.0)) >> CHANCE_BITS);
        Duration::from_millis(nanos / NANOS_PER_MILLI)
    }

    /// `wait · (1 + self / 2)`, in whole milliseconds, rounded up.
    fn stretch_by_half(self, wait: Duration) -> Duration {
        // Below 2^94 nanoseconds, so the product needs the headroom that splitting gives.
        let nanos = u128::from(nanos(wait));
        let stretched = nanos * (u128::from(self.0) + (1 << (CHANCE_BITS + 1)));
        let nanos = saturate(stretched.div_ceil(1 << (CHANCE_BITS + 1)));
        Duration::from_millis(nanos.div_ceil(NANOS_PER_MILLI))
    }
}

fn saturate(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIDDLE: Chance = Chance(1 << 52);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn t15_t16_own_backoff_doubles_from_base_up_to_cap() {
        let backoff = Backoff::default();
        let waits: Vec<u64> =
            (0..7).map(|n| backoff.own(n, Chance(0)).as_millis() as u64).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(backoff.bare(u32::MAX), ms(30_000));
    }

    #[test]
    fn t17_jitter_is_up_to_half_and_rounded_up() {
        let backoff = Backoff::default();
        assert_eq!(backoff.own(0, MIDDLE), ms(1250));
        assert_eq!(backoff.own(0, Chance(1)), ms(1001), "the least jitter rounds up");
        assert_eq!(backoff.own(0, Chance::from_fraction(1.0)), ms(1500));
        let odd = Backoff { base: ms(3), ..Backoff::default() };
        assert_eq!(odd.own(0, MIDDLE), ms(4), "3.75 ms");
    }

    #[test]
    fn chance_is_below_one_whatever_fraction_it_is_made_of() {
        for fraction in [1.0, 1.5, f64::INFINITY] {
            assert_eq!(Chance::from_fraction(fraction), Chance((1 << 53) - 1));
        }
        for fraction in [0.0, -0.5, f64::NAN] {
            assert_eq!(Chance::from_fraction(fraction), Chance(0));
        }
    }

    #[test]
    fn x1_x2_a_stated_wait_is_neither_capped_nor_multiplied() {
        let backoff = Backoff::default();
        for n in 0..6 {
            assert_eq!(backoff.wait(Some(ms(60_000)), n, Chance(0)), ms(60_000));
            let most = backoff.wait(Some(ms(10_000)), n, Chance::from_fraction(1.0));
            assert!(most <= ms(10_250), "{most:?}");
        }
    }

    #[test]
    fn x10_a_stated_wait_of_nothing_is_not_believed() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(Some(ms(0)), 2, Chance(0)), ms(4000));
        assert_eq!(backoff.wait(Some(ms(999)), 0, Chance(0)), ms(1000));
        assert_eq!(backoff.wait(Some(ms(1000)), 5, Chance(0)), ms(1000), "a second is believed");
        let brisk = Backoff { base: ms(10), ..Backoff::default() };
        assert_eq!(brisk.wait(Some(ms(20)), 1, Chance(0)), ms(20), "not below the own backoff");
    }

    #[test]
    fn the_tutorial_preset_is_its_formula_for_a_first_refusal() {
        // Math.ceil(Math.min(w, 30000) * (1 + random * 0.5)) for retryCount 0.
        for (stated, random) in [(1000, 0.0), (7000, 0.25), (20_000, 0.123_456), (30_000, 0.999)] {
            let theirs = (stated as f64 * (1.0 + random * 0.5)).ceil() as u64;
            let ours = Backoff::tutorial().wait(Some(ms(stated)), 0, Chance::from_fraction(random));
            assert_eq!(ours, ms(theirs));
        }
        assert_eq!(Backoff::tutorial().wait(Some(ms(60_000)), 3, Chance(0)), ms(60_000));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_stated(
            stated in 1000u64..u64::MAX / 2, n in 0u32..80, fraction in 0.0f64..1.0,
        ) {
            let chance = Chance::from_fraction(fraction);
            let wait = Backoff::default().wait(Some(ms(stated)), n, chance);
            prop_assert!(wait >= ms(stated));
            prop_assert!(wait <= ms(stated) + STATED_JITTER_MAX.min(ms(stated) / 10));
            // What lies beyond an Instant's range (584 years) may saturate.
            let tutorial = Backoff::tutorial().wait(Some(ms(stated)), n, chance);
            prop_assert!(tutorial >= ms(stated.min(u64::MAX / 1_000_000)));
        }

        #[test]
        fn own_backoff_stays_between_its_bounds(n in 0u32..200, fraction in 0.0f64..1.0) {
            let backoff = Backoff::default();
            let wait = backoff.own(n, Chance::from_fraction(fraction));
            prop_assert!(wait >= backoff.bare(n) && wait <= backoff.bare(n) * 3 / 2);
        }
    }
}
