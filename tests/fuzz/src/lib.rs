//! What holds for everything that the engine reads from a server, whatever the server sends.
//! `tests/corpus` tries it on the corpus and mutations of it, `guided` on what coverage suggests.

#![forbid(unsafe_code)]

use cxone_core::retry::judge;
use cxone_core::signals::MAX_WAIT;
use cxone_core::{
    Mode, Reading, Replay, ResetUnit, SIGNAL_HEADERS, Signals, Wall, read_token_answer,
};

/// 2026-11-23T00:00:00Z
const NOW: Wall = Wall::from_millis(1_795_392_000_000);

/// A header that only the reading names.
const OWN: &str = "x-own-ms";

/// The head of an answer: its status on the first line, then `name: value` lines.
pub fn answer(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (status, fields) = text.split_once('\n').unwrap_or((&text, ""));
    let status = status.trim().parse().unwrap_or(429);
    let headers: Vec<(&str, &str)> =
        fields.lines().filter_map(|line| line.split_once(':')).collect();
    for mode in [Mode::Lenient, Mode::Strict] {
        for reset_unit in [ResetUnit::Auto, ResetUnit::DeltaMs, ResetUnit::EpochS] {
            let reading = Reading { mode, reset_unit, ms_headers: vec![OWN.into()] };
            let read = |headers: &[(&str, &str)]| Signals::read(headers, status, NOW, &reading);
            let signals = read(&headers);
            is_bounded(&signals);
            let joined = joined(&headers);
            let joined: Vec<_> =
                joined.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(read(&joined), signals, "one line or several, a name in any case");
            for moment in [0, u64::MAX] {
                is_bounded(&Signals::read(&headers, status, Wall::from_millis(moment), &reading));
            }
            let judgement = judge(status, &signals);
            assert!(!judgement.allows(status, Replay::Never));
        }
    }
    for header in &headers {
        strict_reads_nothing_that_lenient_reads_differently(*header);
    }
}

/// A token answer with status 200, and as a refusal.
pub fn token(input: &[u8]) {
    if let Ok(grant) = read_token_answer(200, input) {
        assert!(!grant.access_token.is_empty());
        assert!(grant.access_token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(grant.lifetime.is_none_or(|lifetime| lifetime <= MAX_WAIT && !lifetime.is_zero()));
    }
    let refusal = read_token_answer(400, input).expect_err("a 400 is no success");
    // Whatever comes is told in a line that a log can hold.
    assert!(refusal.to_string().len() < 1000, "{refusal}");
}

fn is_bounded(signals: &Signals) {
    if let Some(wait) = &signals.wait {
        assert!(wait.duration <= MAX_WAIT);
        assert!(wait.header == OWN || SIGNAL_HEADERS.contains(&&*wait.header));
    }
    assert!(signals.spent().count() <= signals.limits.len());
    if let Some(rate) = signals.max_rate_per_s() {
        assert!(rate.is_finite() && rate >= 0.0);
    }
}

fn strict_reads_nothing_that_lenient_reads_differently(header: (&str, &str)) {
    let read = |mode| Signals::read(&[header], 429, NOW, &Reading { mode, ..Reading::default() });
    let (strict, lenient) = (read(Mode::Strict), read(Mode::Lenient));
    if strict != Signals::default() {
        assert_eq!(strict, lenient, "{header:?}");
    }
}

/// The same fields, each on one line (RFC 9110 §5.3) and by its name in upper case.
fn joined(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let (name, value) = (name.to_ascii_uppercase(), value.trim_matches([' ', '\t']));
        if value.is_empty() {
            continue;
        }
        match joined.iter_mut().find(|(other, _)| *other == name) {
            Some((_, line)) => *line = format!("{line}, {value}"),
            None => joined.push((name, value.to_owned())),
        }
    }
    joined
}
