//! All deadlines of an engine in one order, each with its reason.

use crate::event::Wake;
use crate::key_set::{Key, KeySet};
use crate::time::Instant;

/// Deadlines, earliest first; at one moment the order of [`Wake`], then of places.
#[derive(Debug)]
pub(crate) struct Timers {
    /// The first moment of all, or `Instant::FAR`: what every call asks for.
    earliest: Instant,
    /// Those of attempts and scopes.
    few: KeySet,
    /// Those that each request may have.
    many: KeySet,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { earliest: Instant::FAR, few: KeySet::default(), many: KeySet::default() }
    }
}

impl Timers {
    /// Sets a timer for what has the place `of`. One that never fires is not kept.
    pub(crate) fn set(&mut self, at: Instant, wake: Wake, of: u32) {
        if at == Instant::FAR {
            return;
        }
        match is_of_request(wake) {
            true => self.many.insert(key(at, wake, of)),
            false => self.few.insert(key(at, wake, of)),
        }
        self.earliest = self.earliest.min(at);
    }

    /// Takes back a timer; nothing happens if it is not set.
    pub(crate) fn clear(&mut self, at: Instant, wake: Wake, of: u32) {
        if at == Instant::FAR {
            return;
        }
        match is_of_request(wake) {
            true => self.many.remove(&key(at, wake, of)),
            false => self.few.remove(&key(at, wake, of)),
        }
        if at == self.earliest {
            self.earliest = self.first().map_or(Instant::FAR, |(at, ..)| at);
        }
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
        let (at, wake, of) = if self.is_due(now) { self.first()? } else { return None };
        self.clear(at, wake, of);
        Some((wake, of))
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.earliest <= now && self.earliest != Instant::FAR
    }

    /// The owners of the deadlines of requests up to a moment.
    pub(crate) fn deadlines_until(&self, moment: Instant) -> impl Iterator<Item = u32> {
        let last = key(moment, Wake::Deadline, u32::MAX);
        self.many
            .iter()
            .take_while(move |key| **key <= last)
            .map(timer)
            .filter(|timer| timer.1 == Wake::Deadline)
            .map(|timer| timer.2)
    }

    pub(crate) fn next(&self) -> Option<(Instant, Wake)> {
        self.first().map(|(at, wake, _)| (at, wake))
    }

    fn first(&self) -> Option<(Instant, Wake, u32)> {
        let few = self.few.first();
        if self.many.is_empty() {
            return few.map(timer);
        }
        few.into_iter().chain(self.many.first()).min().map(timer)
    }
}

fn key(at: Instant, wake: Wake, of: u32) -> Key {
    (at.as_nanos(), (wake as u64) << 32 | u64::from(of))
}

/// The moment, its reason, and the place of what it is for.
fn timer(&(at, of): &Key) -> (Instant, Wake, u32) {
    (Instant::from_nanos(at), Wake::ALL[(of >> 32) as usize], of as u32)
}

/// Is there one for each request, if need be?
fn is_of_request(wake: Wake) -> bool {
    matches!(wake, Wake::Retry | Wake::Deadline)
}
