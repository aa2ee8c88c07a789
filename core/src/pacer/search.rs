//! When does the window begin anew, if the server does not say? Probes at the likely moments.

use core::time::Duration;

use super::belief::Belief;
use super::bucket::Bucket;
use super::window::{Window, snap};
use super::Mark;
use crate::gate::Permit;
use crate::time::{Instant, Wall};

/// Windows as people choose them, in seconds.
pub(super) const STANDARD: [u64; 9] = [1, 2, 5, 10, 30, 60, 300, 900, 3600];

/// Those that begin with the clock's hour or minute, where servers count by the clock.
const WALL: [u64; 3] = [60, 300, 3600];

#[derive(Debug)]
pub(super) struct Search {
    quota: u64,
    /// The first request of the window that is full.
    first: Instant,
    last_refused: Instant,
    next: Instant,
    /// The wall clock at the last refusal.
    wall: Wall,
}

pub(super) enum Found {
    Window(Window),
    Bucket(Bucket),
}

const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_secs(8);

impl Search {
    pub(super) fn new(quota: u64, first: Instant, wall: Wall, now: Instant) -> Search {
        Search { quota, first, last_refused: now, next: now, wall }
    }

    pub(super) fn permit(&self, now: Instant) -> Permit {
        if now >= self.next { Permit::Now } else { Permit::At(self.next) }
    }

    pub(super) fn quota(&self) -> u64 {
        self.quota
    }

    pub(super) fn refused(&mut self, opens: Instant, wall: Wall, now: Instant) {
        (self.last_refused, self.wall) = (now, wall);
        let elapsed = now.saturating_since(self.first);
        let opens_in = opens.saturating_since(now);
        let mut best: Option<Duration> = None; // from now
        // Windows that begin with their first request.
        for seconds in STANDARD {
            let window = Duration::from_secs(seconds);
            let at = window + slack(window);
            if at >= elapsed + opens_in && at >= elapsed + elapsed / 2 {
                best = Some(at - elapsed);
                break;
            }
        }
        // Windows that the wall clock divides.
        for seconds in WALL {
            let period = seconds * 1000;
            let left = period - wall.as_millis() % period;
            let at = Duration::from_millis(left) + slack(Duration::from_secs(seconds));
            let at = at.max(opens_in);
            if Duration::from_secs(seconds) > elapsed {
                best = Some(match best {
                    // Two reasons for nearly the same moment: the later one serves both.
                    Some(best) if best < at + elapsed / 20 + SECOND => best,
                    _ => at,
                });
            }
        }
        if elapsed < Duration::from_secs(3) {
            best = Some(opens_in);
        }
        self.next = now + best.unwrap_or(opens_in).max(opens_in);
    }

    pub(super) fn stated(&self, seq: u64, reset: Instant, wall: Wall, now: Instant) -> Window {
        Window::met(self.quota, Mark { seq, at: self.first }, reset, wall, now)
    }

    pub(super) fn passed(&mut self, mark: Mark, now: Instant) -> Option<Found> {
        if mark.at < self.next {
            return None; // from before
        }
        let elapsed = mark.at.saturating_since(self.first);
        if elapsed < SHORT {
            let window = elapsed.as_nanos() as u64;
            return Some(Found::Bucket(Bucket::of_window(self.quota, window, mark)));
        }
        let refused = self.last_refused.saturating_since(self.first);
        let length = snap(elapsed).filter(|length| *length > refused).or_else(|| {
            // Does the wall clock divide it?
            let since = mark.at.saturating_since(self.last_refused).as_millis() as u64;
            let at = self.wall.as_millis() + since;
            let aligned = |seconds: &u64| at % (seconds * 1000) <= 1500;
            let mut walls = WALL.iter().filter(|seconds| Duration::from_secs(**seconds) > refused);
            walls.find(|seconds| aligned(seconds)).map(|seconds| Duration::from_secs(*seconds))
        });
        Some(Found::Window(Window::found(self.quota, mark, length, now)))
    }

    pub(super) fn belief(&self) -> Belief {
        Belief::Quota { requests: self.quota, window: None, remaining: 0, resets: None }
    }
}

/// So much later than computed: a request on its way is at the server a little later than it
/// was sent, and not always equally so.
pub(super) fn slack(window: Duration) -> Duration {
    (window / 100).clamp(Duration::from_millis(30), Duration::from_millis(250))
}
