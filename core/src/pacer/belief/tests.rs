use super::*;

#[test]
fn a_belief_is_told_in_one_line() {
    let quota = |window, basis| {
        let window = Some(window).filter(|window| *window > 0).map(Duration::from_secs);
        Some(BelievedQuota { requests: 150, window, remaining: 3, resets: None, basis })
    };
    let rate = |basis| Some(BelievedRate { interval: Duration::from_millis(20), burst: 5, basis });
    let line = |quota, rate| Belief { quota, rate }.to_string();
    assert_eq!(line(quota(300, Basis::Announced), None), "150 requests per 300000ms (announced)");
    assert_eq!(line(quota(0, Basis::Sought), None), "150 requests per window (sought)");
    assert_eq!(line(None, rate(Basis::Measured)), "one request each 20ms (measured)");
    assert_eq!(
        line(quota(60, Basis::Configured), rate(Basis::Sought)),
        "150 requests per 60000ms (configured), one request each 20ms (sought)"
    );
    assert_eq!(line(None, None), "unknown");
}

#[test]
fn a_short_interval_is_told_in_microseconds() {
    let told = |interval| {
        let rate = BelievedRate { interval, burst: 1, basis: Basis::Measured };
        Belief { quota: None, rate: Some(rate) }.to_string()
    };
    let micros = |micros| told(Duration::from_micros(micros));
    assert_eq!(micros(10), "one request each 10µs (measured)", "the shortest there is");
    assert_eq!(micros(9_999), "one request each 9999µs (measured)");
    assert_eq!(micros(10_001), "one request each 10ms (measured)");
    assert_eq!(micros(2_000), "one request each 2ms (measured)");
    assert_eq!(told(Duration::MAX), "one request each 18446744073709551615ms (measured)");
}
