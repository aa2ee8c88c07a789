//! The settings of an engine, as they cross: one array of numbers and two texts.
//!
//! The package has checked the types; what it leaves out (NaN) keeps the engine's default, and
//! what is out of range is the engine's to refuse.

use alloc::borrow::ToOwned;
use core::time::Duration;

use cxone_core::profile::LIMITS;
use cxone_core::{Backoff, Config, KnownLimit, Mode, Pacing, Reading, ResetUnit, ScopeConfig};

use crate::record::nanos;

/// Reads the settings. `numbers` are, in this order: concurrency, max_attempts, queue_limit,
/// fair_share, retry_for, max_wait, attempt_timeout, token_cooldown, backoff.base, backoff.cap,
/// 1 for the tutorial's jitter on stated waits, 1 for strict reading, the reset unit (0 auto,
/// 1 delta-s, 2 delta-ms, 3 epoch-s, 4 epoch-ms), the pacing; then for each of `scopes` its
/// concurrency, 1 if it is apart, and its pacing; then 1 if NICE's published limits are what the
/// others start from. A pacing is four numbers: 0 learned, 1 off, 2 fixed, 3 seeded; requests; in how
/// long; burst. Times are in milliseconds. `ms_headers` and `scopes` are names, one a line.
pub(crate) fn config(numbers: &[f64], ms_headers: &str, scopes: &str) -> Config {
    let mut numbers = numbers.iter().copied();
    let mut next = || numbers.next().unwrap_or(f64::NAN);
    let mut config = Config::default();
    integer(next(), &mut config.concurrency);
    integer(next(), &mut config.max_attempts);
    integer(next(), &mut config.queue_limit);
    integer(next(), &mut config.fair_share);
    duration(next(), &mut config.retry_for);
    duration(next(), &mut config.max_wait);
    duration(next(), &mut config.attempt_timeout);
    duration(next(), &mut config.token_cooldown);
    let (base, cap, half) = (next(), next(), next());
    if half == 1.0 {
        config.backoff = Backoff::tutorial();
    }
    duration(base, &mut config.backoff.base);
    duration(cap, &mut config.backoff.cap);
    config.reading = Reading {
        mode: if next() == 1.0 { Mode::Strict } else { Mode::Lenient },
        reset_unit: match next() {
            1.0 => ResetUnit::DeltaS,
            2.0 => ResetUnit::DeltaMs,
            3.0 => ResetUnit::EpochS,
            4.0 => ResetUnit::EpochMs,
            _ => ResetUnit::Auto,
        },
        ms_headers: ms_headers.lines().map(str::to_owned).collect(),
    };
    config.pacing = pacing(&mut next).unwrap_or_default();
    for name in scopes.lines() {
        let mut concurrency = 0;
        let limit = next();
        integer(limit, &mut concurrency);
        config.scopes.push(ScopeConfig {
            name: name.to_owned(),
            concurrency: (!limit.is_nan()).then_some(concurrency),
            apart: next() == 1.0,
            pacing: pacing(&mut next),
        });
    }
    if next() == 1.0 {
        for limit in &LIMITS {
            if config.scopes.iter().all(|scope| scope.name != limit.scope) {
                config.scopes.push(limit.config());
            }
        }
    }
    config
}

/// `None` where nothing is said.
fn pacing(next: &mut impl FnMut() -> f64) -> Option<Pacing> {
    let [kind, requests, per, burst] = [next(), next(), next(), next()];
    let (mut limit, mut at_once) =
        (KnownLimit { requests: 0, per: Duration::ZERO, burst: None }, 0);
    integer(requests, &mut limit.requests);
    duration(per, &mut limit.per);
    integer(burst, &mut at_once);
    limit.burst = (!burst.is_nan()).then_some(at_once);
    match kind {
        0.0 => Some(Pacing::Learned),
        1.0 => Some(Pacing::Off),
        2.0 => Some(Pacing::Fixed(limit)),
        3.0 => Some(Pacing::Seeded(limit)),
        _ => None,
    }
}

/// A whole number; what is above the range of the setting stands at its end.
fn integer(number: f64, to: &mut u32) {
    if !number.is_nan() {
        *to = number as u32; // saturates
    }
}

fn duration(ms: f64, to: &mut Duration) {
    if !ms.is_nan() {
        *to = millis(ms);
    }
}

/// Milliseconds as JavaScript counts them, to the nearest nanosecond; infinity is
/// [`Duration::MAX`].
pub(crate) fn millis(ms: f64) -> Duration {
    match nanos(ms) {
        u64::MAX => Duration::MAX, // it saturated
        nanos => Duration::from_nanos(nanos),
    }
}

#[cfg(test)]
mod tests {
    use cxone_core::StatedJitter;

    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn what_is_absent_keeps_its_default() {
        assert_eq!(format!("{:?}", config(&[], "", "")), format!("{:?}", Config::default()));
    }

    #[test]
    fn what_is_there_is_taken() {
        let numbers = [
            3.0,
            2.0,
            1e12,
            4.0,
            1500.5,
            f64::INFINITY,
            20.0,
            30.0,
            10.0,
            20.0,
            1.0,
            1.0,
            4.0,
            // The pacing, then the two scopes.
            1.0,
            NAN,
            NAN,
            NAN,
            NAN,
            0.0,
            NAN,
            NAN,
            NAN,
            NAN,
            2.0,
            1.0,
            2.0,
            150.0,
            300_000.0,
            3.0,
        ];
        let config = config(&numbers, "x-ms\nx-other", "a\nb");
        assert_eq!((config.concurrency, config.max_attempts, config.fair_share), (3, 2, 4));
        assert_eq!(config.queue_limit, u32::MAX);
        assert_eq!(config.retry_for, Duration::from_micros(1_500_500));
        assert_eq!(config.max_wait, Duration::MAX);
        assert_eq!(config.backoff.cap, Duration::from_millis(20));
        assert_eq!(config.backoff.stated, StatedJitter::Half);
        let Reading { mode, reset_unit, ms_headers } = &config.reading;
        assert_eq!((*mode, *reset_unit), (Mode::Strict, ResetUnit::EpochMs));
        assert_eq!(ms_headers[..], ["x-ms", "x-other"]);
        assert_eq!((&*config.scopes[0].name, config.scopes[0].concurrency), ("a", None));
        assert!(config.scopes[1].apart && config.scopes[1].concurrency == Some(2));
        assert_eq!((config.pacing, config.scopes[0].pacing), (Pacing::Off, None));
        let per = Duration::from_secs(300);
        let limit = KnownLimit { requests: 150, per, burst: Some(3) };
        assert_eq!(config.scopes[1].pacing, Some(Pacing::Fixed(limit)));
    }

    #[test]
    fn published_limits_give_way_to_what_is_named() {
        let numbers = [&[NAN; 17][..], &[3.0, 0.0, NAN, NAN, NAN, NAN, 1.0]].concat();
        let config = config(&numbers, "", "media-playback");
        assert_eq!(config.scopes.len(), LIMITS.len());
        assert_eq!(config.scopes[0].pacing, None);
        assert!(config.scopes[1].pacing.is_some());
    }

    #[test]
    fn times_out_of_range_stand_at_its_ends() {
        assert_eq!(millis(f64::INFINITY), Duration::MAX);
        assert_eq!(millis(-1.0), Duration::ZERO);
        assert_eq!(millis(NAN), Duration::ZERO);
        assert_eq!(millis(0.25), Duration::from_micros(250));
    }
}
