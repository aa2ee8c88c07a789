//! Times as CXone takes them: RFC 3339 in UTC with a literal `Z`.

use alloc::string::String;

use super::decimal;

/// 9999-12-31T23:59:59.999Z: what lies beyond has no four-digit year.
pub(super) const LAST_MILLIS: u64 = 253_402_300_799_999;

/// `2026-08-01T00:00:00.000Z`, of milliseconds since 1970.
pub(super) fn timestamp(millis: u64) -> String {
    let millis = millis.min(LAST_MILLIS);
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let [year, month, day] = date(days);
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

/// Year, month and day of a day that is so many after 1970-01-01. In the calendar used for it a
/// year begins in March, so that the leap day is its last.
fn date(days: u64) -> [u64; 3] {
    let days = days + 719_468; // since the first of March of the year 0
    let (cycle, day) = (days / 146_097, days % 146_097); // of 400 years
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let year = cycle * 400 + year;
    match month {
        0..10 => [year, month + 3, day],
        _ => [year + 1, month - 9, day],
    }
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
    fn each_day_follows_the_one_before() {
        let mut day = 0;
        for year in 1970..=9999_u64 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day_of_month in 1..=length {
                    assert_eq!(date(day), [year, month, day_of_month]);
                    day += 1;
                }
            }
        }
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
