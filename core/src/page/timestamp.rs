//! Times as CXone takes them: RFC 3339 in UTC with a literal `Z`.

use alloc::string::String;

use super::decimal;
use crate::http_date::{date_of, moment_of};

/// 9999-12-31T23:59:59.999Z: what lies beyond has no four-digit year.
pub(super) const LAST_MILLIS: u64 = 253_402_300_799_999;

/// `2026-08-01T00:00:00.000Z`, of milliseconds since 1970.
pub(super) fn timestamp(millis: u64) -> String {
    let millis = millis.min(LAST_MILLIS);
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let [year, month, day] = date_of(days);
    let mut text = String::new();
    for (number, digits, after) in [
        (year, 4, "-"),
        (month, 2, "-"),
        (day, 2, "T"),
        (of_day / 3_600_000, 2, ":"),
        (of_day / 60_000 % 60, 2, ":"),
        (of_day / 1000 % 60, 2, "."),
        (of_day % 1000, 3, "Z"),
    ] {
        let number = decimal(number);
        for _ in number.len()..digits {
            text.push('0');
        }
        text.extend([&*number, after]);
    }
    text
}

/// The millisecond after that of a time in UTC; `None` if it is no such time.
pub(super) fn next_millisecond(time: &str) -> Option<String> {
    let mut fields = [0_u64; 8]; // year, month, day, hour, minute, second, millisecond
    let (mut place, mut weight) = (0, 1000);
    for byte in time.as_bytes() {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        let field = fields.get_mut(place)?;
        if digit > 9 {
            place += 1;
        } else if place == 6 {
            weight /= 10;
            *field += digit * weight;
        } else {
            *field = field.wrapping_mul(10).wrapping_add(digit);
        }
    }
    let [year, month, day, hour, minute, second, millis, _] = fields;
    let moment = moment_of(year, month, day, [hour, minute, second])?;
    time.ends_with('Z').then(|| timestamp(moment.as_millis() + millis + 1))
}

/// A time of the server's in the form in which it takes it back: with a literal `Z`.
pub(super) fn in_utc(time: &str) -> String {
    let bare = time.strip_suffix("+00:00").unwrap_or(time);
    let mut clock = bare.as_bytes().iter().skip_while(|byte| **byte != b'T');
    let bare_clock =
        clock.next().is_some() && clock.all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'.'));
    [bare, if bare_clock { "Z" } else { "" }].concat()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_with_a_literal_z() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_709_210_096_007), "2024-02-29T12:34:56.007Z");
        assert_eq!(timestamp(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_servers_time_is_given_back_with_a_literal_z() {
        for (given, sent) in [
            ("2026-08-01T10:00:00.5Z", "2026-08-01T10:00:00.5Z"),
            ("2026-08-01T10:00:00", "2026-08-01T10:00:00Z"),
            ("2026-08-01T10:00:00+00:00", "2026-08-01T10:00:00Z"),
            ("2026-08-01T10:00:00+02:00", "2026-08-01T10:00:00+02:00"),
            ("2026-08-01T10:00:00-05:00", "2026-08-01T10:00:00-05:00"),
            ("2026-08-01", "2026-08-01"),
        ] {
            assert_eq!(in_utc(given), sent);
        }
    }

    #[test]
    fn what_comes_next_after_a_time_is_a_millisecond_later() {
        for (time, next) in [
            ("2026-08-01T10:00:00Z", Some("2026-08-01T10:00:00.001Z")),
            ("2026-08-01T10:00:00.5Z", Some("2026-08-01T10:00:00.501Z")),
            ("2026-08-01T10:00:00.1234567Z", Some("2026-08-01T10:00:00.124Z")),
            ("2024-02-28T23:59:59.999Z", Some("2024-02-29T00:00:00.000Z")),
            ("2026-02-29T00:00:00Z", None),
            ("2026-08-01T10:00:00+02:00", None),
            ("Z", None),
        ] {
            assert_eq!(next_millisecond(time).as_deref(), next, "{time}");
        }
    }

    proptest! {
        #[test]
        fn dates_are_those_of_another_calendar(seconds in 0..LAST_MILLIS / 1000) {
            let other = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            let parts: Vec<&str> = other.split([' ', ',']).filter(|it| !it.is_empty()).collect();
            let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(parts[2]).unwrap() / 3 + 1;
            let expected = format!("{}-{month:02}-{}T{}.000Z", parts[3], parts[1], parts[4]);
            prop_assert_eq!(timestamp(seconds * 1000), expected);
        }
    }
}
