//! The headers that say outright how long to wait: `Retry-After` (RFC 9110 §10.2.3) and its
//! relatives in milliseconds.

use crate::field::{self, Decimal, MAX_WAIT_MS};
use crate::http_date;
use crate::reading::Mode;
use crate::time::Wall;

/// The wait that a `Retry-After` states, in milliseconds: `delay-seconds`, never an epoch
/// however large, or an HTTP-date, as far as it lies after `now`.
///
/// Read leniently, seconds may have a fraction (rounded up to a millisecond), and of duplicates
/// joined by a comma the longest wait counts. Waits saturate at 2⁵³ − 1 ms.
pub fn retry_after(value: &str, mode: Mode, now: Wall) -> Option<u64> {
    let read =
        |member: &str| seconds(member, mode).or_else(|| http_date::millis_until(member, mode, now));
    field::once(field::trim(value), mode, &read, u64::max)
}

/// The wait that a header like `retry-after-ms` states: milliseconds, read as seconds are.
pub fn retry_after_ms(value: &str, mode: Mode) -> Option<u64> {
    let read = |member: &str| Some(Decimal::parse(member, mode)?.ceil(0).min(MAX_WAIT_MS));
    field::once(field::trim(value), mode, &read, u64::max)
}

/// The wait that `X-RateLimit-Retry-After` states: seconds, never an epoch.
pub fn retry_after_seconds(value: &str, mode: Mode) -> Option<u64> {
    field::once(field::trim(value), mode, &|member| seconds(member, mode), u64::max)
}

fn seconds(text: &str, mode: Mode) -> Option<u64> {
    Some(Decimal::parse(text, mode)?.ceil(3).min(MAX_WAIT_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Wall = Wall::from_millis(784_111_747_000); // 1994-11-06T08:49:07Z

    fn lenient(value: &str) -> Option<u64> {
        retry_after(value, Mode::Lenient, NOW)
    }

    #[test]
    fn t14_seconds_and_dates_are_read() {
        for mode in [Mode::Lenient, Mode::Strict] {
            assert_eq!(retry_after("120", mode, NOW), Some(120_000));
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            assert_eq!(retry_after(date, mode, NOW), Some(30_000));
        }
    }

    #[test]
    fn x10_negative_and_hexadecimal_numbers_are_absent_and_zero_is_zero() {
        assert_eq!(lenient("0"), Some(0));
        assert_eq!(lenient("-5"), None);
        assert_eq!(lenient("0x10"), None);
    }

    #[test]
    fn x11_exponents_decimals_lists_and_iso_dates_are_not_misread() {
        assert_eq!(lenient("1e3"), None);
        assert_eq!(lenient("1.5"), Some(1500));
        assert_eq!(lenient("120, 60"), Some(120_000));
        assert_eq!(lenient("60,120"), Some(120_000));
        assert_eq!(lenient("2026-11-23T10:00:00Z"), None);
        assert_eq!(lenient("Nov 23, 2026"), None);
    }

    #[test]
    fn x12_asctime_dates_are_utc() {
        assert_eq!(lenient("Sun Nov  6 08:49:37 1994"), Some(30_000));
    }

    #[test]
    fn joined_dates_and_seconds_give_the_longest_wait() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sunday, 06-Nov-94 08:50:07 GMT";
        let past = "Sun Nov  6 08:00:00 1994";
        for value in [
            format!("{date}, {later}"),
            format!("{later}, {date}"),
            format!("5, {later}, {past}"),
            format!("{past}, {later},, 5 ,"),
        ] {
            assert_eq!(lenient(&value), Some(60_000), "{value}");
            assert_eq!(retry_after(&value, Mode::Strict, NOW), None, "{value}");
        }
    }

    #[test]
    fn a_malformed_member_spoils_the_field() {
        assert_eq!(lenient("5, soon"), None);
        assert_eq!(lenient("soon, 5"), None);
        assert_eq!(lenient(","), None);
    }

    #[test]
    fn waits_saturate_and_never_wrap() {
        let huge = "9".repeat(400);
        assert_eq!(lenient(&huge), Some(MAX_WAIT_MS));
        assert_eq!(lenient("18446744073709551616"), Some(MAX_WAIT_MS));
        assert_eq!(retry_after_ms(&huge, Mode::Strict), Some(MAX_WAIT_MS));
    }

    proptest! {
        #[test]
        fn whole_seconds_are_read_exactly(seconds in 0_u64..9_000_000_000_000) {
            for mode in [Mode::Lenient, Mode::Strict] {
                let value = format!(" {seconds:03}\t");
                prop_assert_eq!(retry_after(&value, mode, NOW), Some(seconds * 1000));
            }
        }

        #[test]
        fn of_joined_duplicates_the_longest_wins(waits in prop::collection::vec(0_u64..100_000, 1..20)) {
            let value = waits.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            prop_assert_eq!(retry_after_ms(&value, Mode::Lenient), waits.iter().copied().max());
        }

        #[test]
        fn nothing_panics_and_strict_reads_nothing_that_lenient_reads_differently(value in ".*") {
            if let Some(wait) = retry_after(&value, Mode::Strict, NOW) {
                prop_assert_eq!(lenient(&value), Some(wait));
            }
        }
    }
}
