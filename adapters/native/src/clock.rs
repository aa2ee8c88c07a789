//! The host's clocks, translated to and from the engine's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cxone_core::{Now, Wall};

/// For so long the wall clock is taken to go as the other one does: to read it each time would cost
/// as much as all the rest of an input. Nanoseconds.
const IN_STEP: u64 = 1_000_000_000;

/// Counts the engine's time from when it was made.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// When the wall clock was read last, and what it showed: nanoseconds since 1970.
    seen: cxone_core::Instant,
    wall: u64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let seen = cxone_core::Instant::default();
        Clock { origin: Instant::now(), seen, wall: wall() }
    }

    pub(crate) fn now(&mut self) -> Now {
        self.at(Instant::now())
    }

    /// A moment that has just been.
    pub(crate) fn at(&mut self, instant: Instant) -> Now {
        let instant = self.since_origin(instant);
        if instant.as_nanos().saturating_sub(self.seen.as_nanos()) > IN_STEP {
            (self.seen, self.wall) = (self.since_origin(Instant::now()), wall());
        }
        let wall = match instant.as_nanos().checked_sub(self.seen.as_nanos()) {
            Some(since) => self.wall.saturating_add(since),
            None => self.wall.saturating_sub(self.seen.as_nanos() - instant.as_nanos()),
        };
        Now::new(instant, Wall::from_millis(wall / 1_000_000))
    }

    fn since_origin(&self, instant: Instant) -> cxone_core::Instant {
        cxone_core::Instant::from_nanos(nanos(instant.saturating_duration_since(self.origin)))
    }

    /// The same moment on the runtime's clock; `None` if it is beyond its range.
    pub(crate) fn instant(&self, at: cxone_core::Instant) -> Option<Instant> {
        self.origin.checked_add(Duration::from_nanos(at.as_nanos()))
    }

    /// From now until that moment.
    pub(crate) fn until(&self, at: cxone_core::Instant) -> Duration {
        at.saturating_since(self.since_origin(Instant::now()))
    }

    /// The same moment on the wall clock, as that one goes now.
    pub(crate) fn wall(&self, at: cxone_core::Instant) -> SystemTime {
        later(self.until(at))
    }
}

/// The wall clock: nanoseconds since 1970.
fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
}

/// Nanoseconds; more than half a millennium is taken for that.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

/// The wall clock after that wait. "Never" becomes a century.
pub(crate) fn later(wait: Duration) -> SystemTime {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    SystemTime::now() + wait.min(CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_the_way_there_and_back() {
        let mut clock = Clock::start();
        let instant = Instant::now();
        let now = clock.at(instant);
        assert_eq!(clock.instant(now.instant), Some(instant));
    }

    #[test]
    fn a_moment_that_never_comes_has_a_wall_time_all_the_same() {
        let clock = Clock::start();
        assert!(clock.wall(cxone_core::Instant::FAR) > SystemTime::now());
    }
}
