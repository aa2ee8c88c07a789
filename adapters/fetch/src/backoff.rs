//! The tutorial's `calculateBackoffDelay`, without its faults.

use alloc::string::String;

use cxone_core::backoff::{Backoff, Chance};
use cxone_core::{Reading, Signals, Wall};
use wasm_bindgen::prelude::*;

use crate::record::to_ms;

/// The delay in milliseconds before retry number `retry_count` (from 0) of a request that was
/// answered 429 with this `Retry-After`, if any: the preset [`Backoff::tutorial`], with `random`
/// from [0, 1) for the jitter. `wall` is the time of receipt, in milliseconds since 1970.
#[wasm_bindgen(js_name = calculateBackoff)]
pub fn calculate_backoff(
    retry_after: Option<String>,
    retry_count: u32,
    random: f64,
    wall: f64,
) -> f64 {
    let retry_after = retry_after.unwrap_or_default();
    let headers = [("retry-after", &*retry_after)];
    let wall = Wall::from_millis(wall as u64);
    let stated = Signals::read(&headers, 429, wall, &Reading::default()).wait;
    let stated = stated.map(|wait| wait.duration);
    let wait = Backoff::tutorial().wait(stated, retry_count, Chance::from_fraction(random));
    to_ms(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(retry_after: &str, retry_count: u32, random: f64) -> f64 {
        calculate_backoff(Some(retry_after.to_owned()), retry_count, random, 1.8e12)
    }

    #[test]
    fn t16_t17_x1_x2_x10_the_tutorials_formula_mended() {
        assert_eq!(calculate_backoff(None, 0, 0.0, 0.0), 1000.0);
        assert_eq!(calculate_backoff(None, 3, 0.5, 0.0), 10_000.0);
        assert_eq!(delay("10", 2, 0.0), 10_000.0);
        assert_eq!(delay("60", 0, 0.5), 75_000.0);
        for nonsense in ["0", "-5", "0x10", "1e3", "soon"] {
            assert_eq!(delay(nonsense, 1, 0.0), 2000.0, "{nonsense}");
        }
    }
}
