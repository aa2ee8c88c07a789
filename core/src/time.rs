//! Time as the host hands it in: a monotonic [`Instant`] for every deadline, and [`Wall`] time
//! for nothing but reading an HTTP-date or an epoch reset.

use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A moment on the host's monotonic clock, in nanoseconds from an origin that the host chose.
///
/// It is the engine's own type and not `std::time::Instant`, since that one cannot be made
/// from a number: a test, a trace and a WebAssembly host all need to.
///
/// Arithmetic saturates: a server that asks for a wait of 10²⁰ seconds yields [`Instant::FAR`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the host's clock.
    pub const ORIGIN: Instant = Instant(0);
    /// The last moment that can be told (about 584 years after the origin).
    pub const FAR: Instant = Instant(u64::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// The moment `millis` milliseconds after the origin (saturating).
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Instant {
    pub(crate) const fn plus_nanos(self, nanos: u64) -> Instant {
        Instant(self.0.saturating_add(nanos))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, wait: Duration) -> Instant {
        self.plus_nanos(nanos(wait))
    }
}

/// A wait in nanoseconds; `u64::MAX` for what is as long or longer (584 years).
pub(crate) const fn nanos(wait: Duration) -> u64 {
    const A_SECOND: u64 = 1_000_000_000;
    // A multiplication that saturates is one of 128 bits, which WebAssembly does not have.
    match wait.as_secs() {
        seconds if seconds < u64::MAX / A_SECOND => seconds * A_SECOND + wait.subsec_nanos() as u64,
        _ => u64::MAX,
    }
}

/// A wait in whole milliseconds; `u64::MAX` for what is as long or longer.
#[inline(never)]
pub(crate) fn millis(wait: Duration) -> u64 {
    match wait.as_secs() {
        seconds if seconds < u64::MAX / 1000 => seconds * 1000 + u64::from(wait.subsec_millis()),
        _ => u64::MAX,
    }
}

/// `number · times / by`, rounded down and exact; by zero is by one.
#[inline(never)]
pub(crate) fn scaled(number: u64, times: u64, by: u64) -> u64 {
    let scaled = u128::from(number) * u128::from(times) / u128::from(by.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, wait: Duration) {
        *self = *self + wait;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Seconds since the origin with the fraction that is there: `1.5s`, `0.000000001s`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Instant::FAR {
            return f.write_str("never");
        }
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if nanos == 0 {
            return write!(f, "{seconds}s");
        }
        let fraction = format!("{nanos:09}");
        write!(f, "{seconds}.{}s", fraction.trim_end_matches('0'))
    }
}

/// A moment on the wall clock: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Wall(u64);

impl Wall {
    /// The moment `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: u64) -> Wall {
        Wall(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

/// What the host's clocks say: handed to every call that may look at the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// The monotonic clock. A value earlier than the last one counts as the last one.
    pub instant: Instant,
    /// The wall clock; it may jump.
    pub wall: Wall,
}

impl Now {
    /// Both clocks at once.
    pub const fn new(instant: Instant, wall: Wall) -> Now {
        Now { instant, wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_seconds_without_trailing_zeros() {
        assert_eq!(Instant::from_millis(1500).to_string(), "1.5s");
        assert_eq!(Instant::from_nanos(1).to_string(), "0.000000001s");
        assert_eq!(Instant::from_millis(2000).to_string(), "2s");
        assert_eq!(Instant::FAR.to_string(), "never");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant::from_millis(1) + Duration::MAX, Instant::FAR);
        assert_eq!(Instant::ORIGIN.saturating_since(Instant::FAR), Duration::ZERO);
        assert_eq!(Instant::from_millis(u64::MAX), Instant::FAR);
    }
}
