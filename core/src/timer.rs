//! All deadlines of an engine in one order, each with its reason.

use std::collections::BTreeSet;

use crate::event::Wake;
use crate::time::Instant;

/// Deadlines, earliest first; at one moment the order of [`Wake`], then of places.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Wake, u32)>);

impl Timers {
    /// Sets a timer for what has the place `of`. One that never fires is not kept.
    pub(crate) fn set(&mut self, at: Instant, wake: Wake, of: u32) {
        if at != Instant::FAR {
            self.0.insert((at, wake, of));
        }
    }

    /// Takes back a timer; nothing happens if it is not set.
    pub(crate) fn clear(&mut self, at: Instant, wake: Wake, of: u32) {
        self.0.remove(&(at, wake, of));
    }

    /// Moves a timer that its owner remembers in `slot` to `at`, or takes it back.
    pub(crate) fn put(
        &mut self,
        slot: &mut Option<Instant>,
        at: Option<Instant>,
        wake: Wake,
        of: u32,
    ) {
        if *slot == at {
            return;
        }
        if let Some(old) = *slot {
            self.clear(old, wake, of);
        }
        if let Some(new) = at {
            self.set(new, wake, of);
        }
        *slot = at;
    }

    /// Takes out the earliest that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Wake, u32)> {
        let &(at, wake, of) = self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some((wake, of))
    }

    /// The owners of timers of one kind up to a moment.
    pub(crate) fn until(&self, moment: Instant, wake: Wake) -> impl Iterator<Item = u32> {
        self.0
            .range(..=(moment, Wake::Deadline, u32::MAX))
            .filter(move |timer| timer.1 == wake)
            .map(|timer| timer.2)
    }

    pub(crate) fn next(&self) -> Option<(Instant, Wake)> {
        self.0.first().map(|&(at, wake, _)| (at, wake))
    }
}
