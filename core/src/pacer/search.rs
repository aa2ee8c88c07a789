//! When does a window begin anew, if the server does not say?
//!
//! A server that refused without a word, and did so again after a rest, counts by windows, and only
//! probes find out when the next one begins. Each costs a refusal, and each moment of delay costs
//! time. People choose windows from a short list, and servers let them begin at the first request
//! (and logs slide from it) or by the clock; so the probes are sent at those moments: when a
//! window of the list that began with the first request would end, but waiting at least half as
//! long again as already, and when the clock begins a minute, five minutes or an hour. Where own
//! backoff asks for more, that is waited.

use core::time::Duration;

use super::Mark;
use super::belief::{Basis, BelievedQuota};
use super::quota::Window;
use super::rate::Rate;
use crate::gate::Permit;
use crate::time::{Instant, Wall, millis};

/// Windows as people choose them, in seconds.
const WINDOWS: [u64; 9] = [1, 2, 5, 10, 30, 60, 300, 900, 3600];

/// Those that servers let begin by the clock.
const BY_CLOCK: [u64; 3] = [60, 300, 3600];

/// A window shorter than this is better used evenly.
const SHORT: Duration = Duration::from_secs(8);

/// While it is as short as that, own backoff is as good as any guess; and where only so few were
/// accepted that there may be no quota at all, while own backoff is as short as that.
const SOON: Duration = Duration::from_secs(3);
const FEW: u64 = 8;
const UNHURRIED: Duration = Duration::from_secs(8);

/// How exactly clocks agree.
const CLOCKS: Duration = Duration::from_millis(1500);

#[derive(Debug)]
pub(super) struct Search {
    quota: u64,
    /// The first request of the window that is full.
    first: Mark,
    last_refused: Instant,
    /// The wall clock then.
    wall: Wall,
    /// The next probe, and the window of the clock of which it is to be the first request.
    next: Instant,
    by_clock: Option<Duration>,
    /// Windows of the clock up to this one are none.
    no_clock: Duration,
    /// How long after `first` the last probe went that was not by the clock.
    aimed: Duration,
}

pub(super) enum Found {
    Window(Window),
    Rate(Rate),
}

impl Search {
    pub(super) fn new(quota: u64, first: Mark) -> Search {
        Search {
            quota,
            first,
            last_refused: Instant::ORIGIN,
            wall: Wall::default(),
            next: Instant::ORIGIN,
            by_clock: None,
            no_clock: Duration::ZERO,
            aimed: Duration::ZERO,
        }
    }

    pub(super) fn permit(&self, now: Instant) -> Permit {
        if now >= self.next { Permit::Now } else { Permit::At(self.next) }
    }

    /// The next probe goes when own backoff is over and a window may have ended.
    pub(super) fn refused(&mut self, opens: Instant, wall: Wall, now: Instant) {
        let elapsed = now.saturating_since(self.first.at);
        match self.by_clock {
            Some(window) => self.no_clock = window,
            None => self.aimed = elapsed,
        }
        (self.last_refused, self.wall, self.by_clock) = (now, wall, None);
        let rest = opens.saturating_since(now);
        let beyond = elapsed.max(self.aimed + self.aimed / 2);
        let ends = WINDOWS.iter().map(|seconds| {
            let window = Duration::from_secs(*seconds);
            window + slack(window)
        });
        let mut wait = ends.into_iter().find(|end| *end > beyond).map(|end| end - elapsed);
        for seconds in BY_CLOCK {
            let window = Duration::from_secs(seconds);
            let period = seconds * 1000;
            let left = Duration::from_millis(period - wall.as_millis() % period) + slack(window);
            // Of two reasons for nearly the same moment the later one serves both.
            let nearly = elapsed / 20 + Duration::from_secs(1);
            let is_possible = window > elapsed && window > self.no_clock;
            if is_possible && wait.is_none_or(|wait| left + nearly < wait) {
                (wait, self.by_clock) = (Some(left), Some(window));
            }
        }
        let guess = elapsed >= SOON && (self.quota >= FEW || rest >= UNHURRIED);
        if !guess {
            (wait, self.by_clock) = (None, None);
        }
        self.next = now + wait.unwrap_or(rest).max(rest);
    }

    pub(super) fn passed(&self, mark: Mark, now: Instant) -> Option<Found> {
        if mark.at < self.next {
            return None; // from before
        }
        let elapsed = mark.at.saturating_since(self.first.at);
        if elapsed < SHORT {
            return Some(Found::Rate(Rate::of_window(self.quota, elapsed, mark)));
        }
        // It is longer than the time after which it was still closed.
        let closed = self.last_refused.saturating_since(self.first.at);
        let by_clock = || {
            let since = millis(mark.at.saturating_since(self.last_refused));
            let wall = self.wall.as_millis().saturating_add(since);
            let began = |window: &Duration| wall % millis(*window) <= millis(CLOCKS);
            let windows = BY_CLOCK.iter().map(|seconds| Duration::from_secs(*seconds));
            windows.into_iter().filter(|window| *window > closed).find(began)
        };
        let is_long = |length: &Duration| *length > closed;
        let late = || standard_below(elapsed, Duration::MAX).filter(is_long);
        let length = standard(elapsed).filter(is_long).or_else(by_clock).or_else(late);
        Some(Found::Window(Window::found(self.quota, mark, length, closed, now)))
    }

    pub(super) fn quota(&self) -> u64 {
        self.quota
    }

    pub(super) fn first(&self) -> Mark {
        self.first
    }

    pub(super) fn belief(&self) -> BelievedQuota {
        BelievedQuota {
            requests: self.quota,
            window: None,
            remaining: 0,
            resets: None,
            basis: Basis::Sought,
        }
    }
}

/// How much later than computed: a request is at the server a little later than it was sent, and
/// not always equally so.
pub(super) fn slack(window: Duration) -> Duration {
    (window / 100).clamp(Duration::from_millis(30), Duration::from_millis(250))
}

/// The window that this length is, if people choose it, but for the rounding of seconds.
pub(super) fn standard(length: Duration) -> Option<Duration> {
    let near = |window: &Duration| {
        let rounding = (*window / 50).max(CLOCKS).min(*window / 5);
        length.abs_diff(*window) <= rounding
    };
    WINDOWS.iter().rev().map(|seconds| Duration::from_secs(*seconds)).find(near)
}

/// A window that may be the true one if a shorter one is known to be too short, and a longer one to
/// be long enough: one that people choose, else the middle.
pub(super) fn between(shorter: Duration, longer: Duration) -> Option<Duration> {
    let windows = WINDOWS.iter().map(|seconds| Duration::from_secs(*seconds));
    let chosen = windows.into_iter().find(|window| *window > shorter && *window < longer);
    let is_longer = longer > (shorter / 8).saturating_mul(9);
    chosen.or_else(|| is_longer.then(|| shorter / 2 + longer / 2))
}

/// The longest such window of at most this length, if it is that but for `rounding`.
pub(super) fn standard_below(length: Duration, rounding: Duration) -> Option<Duration> {
    let windows = WINDOWS.iter().rev().map(|seconds| Duration::from_secs(*seconds));
    windows.into_iter().find(|window| *window <= length && length - *window < rounding)
}

/// The window that ends at a stated reset, of which the first use is known.
pub(super) fn window_of(
    first: Instant,
    reset: Instant,
    wall: Wall,
    now: Instant,
) -> Option<Duration> {
    let seen = reset.saturating_since(first);
    standard(seen).or_else(|| {
        // Does the clock begin one at its reset, of which a part was over at the first use?
        let at = wall.as_millis().saturating_add(millis(reset.saturating_since(now)));
        let ends = |window: &Duration| *window >= seen && at % millis(*window) <= millis(CLOCKS);
        WINDOWS.iter().filter(|seconds| **seconds >= 10).map(|s| Duration::from_secs(*s)).find(ends)
    })
}

#[cfg(test)]
mod tests;
