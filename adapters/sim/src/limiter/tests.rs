use proptest::prelude::*;

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn limiter(text: &str) -> Limiter {
    Limiter::new(text.parse().unwrap())
}

fn allowed(remaining: u64, reset: u64) -> Decision {
    Decision::Allowed { remaining, reset: ms(reset) }
}

fn refused(retry_at: u64) -> Decision {
    Decision::Refused { retry_at: ms(retry_at) }
}

#[test]
fn a_fixed_window_starts_again_at_each_multiple_of_its_length() {
    let mut limiter = limiter("fixed:2/1s");
    assert_eq!(limiter.try_acquire(ms(900)), allowed(1, 1000));
    assert_eq!(limiter.try_acquire(ms(950)), allowed(0, 1000));
    assert_eq!(limiter.try_acquire(ms(999)), refused(1000));
    assert_eq!(limiter.try_acquire(ms(1000)), allowed(1, 2000));
}

#[test]
fn a_sliding_log_lets_one_in_as_one_leaves() {
    let mut limiter = limiter("sliding:2/1s");
    assert_eq!(limiter.try_acquire(ms(100)), allowed(1, 1100));
    assert_eq!(limiter.try_acquire(ms(600)), allowed(0, 1100));
    assert_eq!(limiter.try_acquire(ms(1099)), refused(1100));
    assert_eq!(limiter.try_acquire(ms(1100)), allowed(0, 1600));
}

#[test]
fn a_token_bucket_gives_its_burst_then_its_rate() {
    let mut limiter = limiter("bucket:10/s+2");
    assert_eq!(limiter.try_acquire(ms(0)), allowed(1, 100));
    assert_eq!(limiter.try_acquire(ms(0)), allowed(0, 100));
    assert_eq!(limiter.try_acquire(ms(40)), refused(100));
    assert_eq!(limiter.try_acquire(ms(100)), allowed(0, 200));
}

#[test]
fn a_leaky_bucket_allows_one_and_its_burst_then_its_rate() {
    let mut limiter = limiter("leaky:10/s+1");
    assert_eq!(limiter.try_acquire(ms(0)), allowed(1, 100));
    assert_eq!(limiter.try_acquire(ms(0)), allowed(0, 100));
    assert_eq!(limiter.try_acquire(ms(99)), refused(100));
    assert_eq!(limiter.try_acquire(ms(100)), allowed(0, 200));
}

#[test]
fn knocking_keeps_the_door_shut_when_refused_requests_count() {
    for text in ["sliding:1/1s", "bucket:1/s", "leaky:1/s"] {
        let mut lenient = limiter(text);
        let mut strict = limiter(&format!("{text},count-refused"));
        for now in [0, 600] {
            lenient.try_acquire(ms(now));
            strict.try_acquire(ms(now));
        }
        assert!(lenient.try_acquire(ms(1000)).is_allowed(), "{text}");
        assert!(!strict.try_acquire(ms(1000)).is_allowed(), "{text}");
    }
}

#[test]
fn what_was_used_stays_used_when_the_limit_changes() {
    for model in ["fixed", "sliding", "bucket", "leaky"] {
        let burst = if model == "leaky" { "+3" } else { "" };
        let mut limiter = limiter(&format!("{model}:4/10s{burst}"));
        for _ in 0..4 {
            assert!(limiter.try_acquire(ms(0)).is_allowed(), "{model}");
        }
        limiter.change(format!("{model}:2/20s").parse().unwrap());
        assert!(!limiter.try_acquire(ms(1)).is_allowed(), "{model} forgot");
        assert_eq!(limiter.spec().quota, 2);
    }
}

#[test]
fn another_model_starts_afresh() {
    let mut limiter = limiter("fixed:1/1h");
    limiter.try_acquire(ms(0));
    limiter.change("sliding:1/1h".parse().unwrap());
    assert!(limiter.try_acquire(ms(1)).is_allowed());
}

#[test]
fn time_that_runs_backwards_counts_as_the_latest() {
    let mut limiter = limiter("sliding:1/1s");
    assert!(limiter.try_acquire(ms(5000)).is_allowed());
    assert_eq!(limiter.try_acquire(ms(0)), refused(6000));
}

#[test]
fn the_largest_numbers_saturate() {
    let window = Duration::MAX;
    for spec in [
        LimitSpec::fixed(u32::MAX, window),
        LimitSpec::sliding(1, window),
        LimitSpec::bucket(u32::MAX, window, u32::MAX).counting_refused(),
        LimitSpec::leaky(u32::MAX, window, u32::MAX).counting_refused(),
        LimitSpec::bucket(1, window, 1),
        LimitSpec::leaky(1, window, 0),
    ] {
        let mut limiter = Limiter::new(spec);
        for now in [Duration::ZERO, Duration::MAX, Duration::MAX] {
            limiter.try_acquire(now);
        }
        limiter.change(LimitSpec { window: ms(1), ..spec });
        limiter.try_acquire(Duration::MAX);
    }
}

/// Arrival times in ms, in order.
fn arrivals() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0..400u64, 1..80).prop_map(|gaps| {
        let add = |now: &mut u64, gap| {
            *now += gap;
            Some(*now)
        };
        gaps.into_iter().scan(0, add).collect()
    })
}

/// Runs the limiter over the arrivals and asks the naive model, which is told the times of
/// those allowed so far, what it would have said. A refusal must name the first moment that
/// would have passed.
fn agrees(spec: LimitSpec, arrivals: &[u64], naive: impl Fn(&[u64], u64) -> bool) {
    let mut limiter = Limiter::new(spec);
    let mut passed = Vec::new();
    for &now in arrivals {
        let expected = naive(&passed, now);
        let decision = limiter.try_acquire(ms(now));
        assert_eq!(decision.is_allowed(), expected, "{spec} at {now} ms after {passed:?}");
        match decision {
            Decision::Allowed { remaining, reset } => {
                passed.push(now);
                assert!(reset >= ms(now));
                let again =
                    (0..=remaining).filter(|_| limiter.clone().try_acquire(ms(now)).is_allowed());
                assert_eq!(again.count() == 0, remaining == 0, "{spec}: remaining");
            }
            Decision::Refused { retry_at } => {
                let just_before = retry_at - Duration::from_nanos(1);
                assert!(!limiter.clone().try_acquire(just_before).is_allowed(), "{spec}: late");
                assert!(limiter.clone().try_acquire(retry_at).is_allowed(), "{spec}: early");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_fixed_window_never_counts_more_than_its_quota_in_a_window(
        quota in 1..6u32, window in 1..1500u64, arrivals in arrivals(),
    ) {
        agrees(LimitSpec::fixed(quota, ms(window)), &arrivals, |passed, now| {
            passed.iter().filter(|&&t| t / window == now / window).count() < quota as usize
        });
    }

    #[test]
    fn a_sliding_log_never_counts_more_than_its_quota_in_any_window(
        quota in 1..6u32, window in 1..1500u64, arrivals in arrivals(),
    ) {
        agrees(LimitSpec::sliding(quota, ms(window)), &arrivals, |passed, now| {
            passed.iter().filter(|&&t| t + window > now).count() < quota as usize
        });
    }

    /// By definition: over any span that ends now, at most `burst` and what the rate gives.
    #[test]
    fn a_token_bucket_allows_its_burst_and_its_rate_over_any_span(
        quota in 1..6u32, window in 1..1500u64, burst in 1..5u32, arrivals in arrivals(),
    ) {
        agrees(LimitSpec::bucket(quota, ms(window), burst), &arrivals, |passed, now| {
            passed.iter().enumerate().all(|(i, &since)| {
                let with_this = (passed.len() - i + 1) as u64;
                with_this * window <= u64::from(burst) * window + (now - since) * u64::from(quota)
            })
        });
    }

    /// nginx, `ngx_http_limit_req_lookup`: excess = max(0, excess − rate · elapsed + 1), and a
    /// request whose excess is beyond the burst is refused and leaves no trace.
    #[test]
    fn a_leaky_bucket_counts_as_nginx_does(
        quota in 1..6u32, window in 1..1500u64, burst in 0..5u32, arrivals in arrivals(),
    ) {
        let (quota_, window_) = (i64::from(quota), window as i64);
        agrees(LimitSpec::leaky(quota, ms(window), burst), &arrivals, |passed, now| {
            let mut last = None;
            let mut excess = 0;
            for &t in passed.iter().chain([&now]) {
                if let Some(last) = last.replace(t) {
                    excess = (excess - (t - last) as i64 * quota_ + window_).max(0);
                }
            }
            excess <= i64::from(burst) * window_
        });
    }

    #[test]
    fn counted_refusals_only_ever_make_a_limit_stricter(
        quota in 1..6u32, window in 1..1500u64, burst in 1..5u32, model in 0..4, arrivals in arrivals(),
    ) {
        let spec = match model {
            0 => LimitSpec::fixed(quota, ms(window)),
            1 => LimitSpec::sliding(quota, ms(window)),
            2 => LimitSpec::bucket(quota, ms(window), burst),
            _ => LimitSpec::leaky(quota, ms(window), burst),
        };
        let (mut lenient, mut strict) = (Limiter::new(spec), Limiter::new(spec.counting_refused()));
        let count = |limiter: &mut Limiter| {
            arrivals.iter().filter(|&&now| limiter.try_acquire(ms(now)).is_allowed()).count()
        };
        prop_assert!(count(&mut strict) <= count(&mut lenient));
    }
}
