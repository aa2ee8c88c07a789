//! The server's wall clock, which may be wrong, and how it is written down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second that an HTTP-date can name, 31 December 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// Now, since 1970, on a clock that is `skew` seconds ahead.
pub(crate) fn unix_now(skew: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let offset = Duration::from_secs(skew.unsigned_abs());
    if skew < 0 { now.saturating_sub(offset) } else { now.saturating_add(offset) }
}

/// The second that holds this time, as an HTTP-date.
pub(crate) fn http_date(unix: Duration) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix.as_secs().min(LAST_DATE)))
}

/// The time that an HTTP-date names, since 1970.
pub(crate) fn read_http_date(text: &str) -> Option<Duration> {
    httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()
}

/// Whole seconds, rounded up.
pub(crate) fn ceil_secs(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}
