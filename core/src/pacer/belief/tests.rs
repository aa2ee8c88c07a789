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
