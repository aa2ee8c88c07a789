//! The scenarios, for targets that have no files. The native test writes this list anew, and fails
//! where it is stale.

/// Name and text of each.
#[rustfmt::skip]
pub const SCENARIOS: &[(&str, &str)] = &[
    ("backoff_rounds", include_str!("scenarios/backoff_rounds.txt")),
    ("budget_announced", include_str!("scenarios/budget_announced.txt")),
    ("hold_and_close", include_str!("scenarios/hold_and_close.txt")),
    ("limits", include_str!("scenarios/limits.txt")),
    ("outage", include_str!("scenarios/outage.txt")),
    ("pacer_announced", include_str!("scenarios/pacer_announced.txt")),
    ("pacer_bucket", include_str!("scenarios/pacer_bucket.txt")),
    ("pacer_fixed", include_str!("scenarios/pacer_fixed.txt")),
    ("pacer_nginx", include_str!("scenarios/pacer_nginx.txt")),
    ("pacer_reserve", include_str!("scenarios/pacer_reserve.txt")),
    ("pacer_seeded", include_str!("scenarios/pacer_seeded.txt")),
    ("pacer_silent_window", include_str!("scenarios/pacer_silent_window.txt")),
    ("pacer_stated_window", include_str!("scenarios/pacer_stated_window.txt")),
    ("pacer_x_ratelimit", include_str!("scenarios/pacer_x_ratelimit.txt")),
    ("priorities_and_fair_share", include_str!("scenarios/priorities_and_fair_share.txt")),
    ("probe_hand_over", include_str!("scenarios/probe_hand_over.txt")),
    ("retries", include_str!("scenarios/retries.txt")),
    ("scopes", include_str!("scenarios/scopes.txt")),
    ("throttle_probe_ramp", include_str!("scenarios/throttle_probe_ramp.txt")),
    ("timeouts", include_str!("scenarios/timeouts.txt")),
    ("token_endpoint_ill", include_str!("scenarios/token_endpoint_ill.txt")),
    ("token_single_flight", include_str!("scenarios/token_single_flight.txt")),
    ("tutorial_preset", include_str!("scenarios/tutorial_preset.txt")),
    ("unauthorized", include_str!("scenarios/unauthorized.txt")),
];
