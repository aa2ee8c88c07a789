//! The host's clocks, translated to and from the engine's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cxone_core::{Now, Wall};

/// A moment on both clocks, taken where something happened.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    instant: Instant,
    wall: SystemTime,
}

impl Stamp {
    pub(crate) fn now() -> Stamp {
        Stamp { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// Counts the engine's time from when it was made.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    wall: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let Stamp { instant, wall } = Stamp::now();
        Clock { origin: instant, wall }
    }

    pub(crate) fn now(&self) -> Now {
        self.at_instant(Instant::now())
    }

    /// For what has no date to be read: its wall time is as good as the one at the start was.
    pub(crate) fn at_instant(&self, instant: Instant) -> Now {
        let since = instant.saturating_duration_since(self.origin);
        self.at(Stamp { instant, wall: self.wall + since })
    }

    pub(crate) fn at(&self, stamp: Stamp) -> Now {
        let wall = stamp.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Now::new(self.since_origin(stamp.instant), Wall::from_millis(millis))
    }

    fn since_origin(&self, instant: Instant) -> cxone_core::Instant {
        let since = instant.saturating_duration_since(self.origin);
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        cxone_core::Instant::from_nanos(nanos)
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
        let clock = Clock::start();
        let stamp = Stamp::now();
        let now = clock.at(stamp);
        assert_eq!(clock.instant(now.instant), Some(stamp.instant));
    }

    #[test]
    fn a_moment_that_never_comes_has_a_wall_time_all_the_same() {
        let clock = Clock::start();
        assert!(clock.wall(cxone_core::Instant::FAR) > SystemTime::now());
    }
}
