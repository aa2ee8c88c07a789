//! Requests that wait alone after a failure of their own, and their way back into the queue.
//! They hold no slot, and rejoin at their old place once the retry budget pays for it.

use core::time::Duration;

use crate::engine::{Alone, Engine};
use crate::event::{Notice, Wake};
use crate::time::Instant;

impl Engine {
    /// When a request that failed may be tried again; `None`: not within its limits. The failure
    /// is counted.
    pub(crate) fn next_try(&mut self, slot: u32, stated: Option<Duration>) -> Option<Instant> {
        let now = self.now.instant;
        let chance = self.draw();
        let request = self.queue.get_mut(slot)?;
        let own = self.config.backoff.own(request.failures, chance);
        request.failures = request.failures.saturating_add(1);
        let due = now + stated.map_or(own, |stated| own.max(stated));
        let allowed = request.failures < self.config.max_attempts
            && stated.is_none_or(|stated| stated <= self.config.max_wait)
            && due <= request.retry_until
            && due < request.deadline;
        allowed.then_some(due)
    }

    /// A failed request waits by itself, unless its scopes are closed for longer than it may wait;
    /// the moment may have passed while its answer was drained.
    pub(crate) fn wait_alone(&mut self, slot: u32, due: Instant) {
        if let Some(error) = self.cannot_wait(slot) {
            return self.finish(slot, Err(error));
        }
        let now = self.now.instant;
        let id = self.queue.id(slot);
        let Some(request) = self.queue.get_mut(slot) else {
            return;
        };
        request.alone = Alone::Backoff;
        request.since = due;
        let failures = request.failures;
        self.counters.alone += 1;
        self.timers.set(due, Wake::Retry, slot);
        self.notice(Notice::Retrying { id, wait: due.saturating_since(now), failures });
    }

    /// A request's wait is over; now it takes the budget.
    pub(crate) fn rejoin(&mut self, slot: u32) {
        let turn = self.queue.turn(slot);
        let Some(request) = self.queue.get_mut(slot) else {
            return;
        };
        request.alone = Alone::Unpaid;
        self.unpaid.insert(turn);
        self.pay();
    }

    /// Lets requests back whose retry the budget pays for: the most urgent, then the oldest.
    pub(crate) fn pay(&mut self) {
        let now = self.now.instant;
        let mut wake = None;
        while let Some(&(_, slot)) = self.unpaid.first() {
            let slot = slot as u32;
            if let Err(at) = self.budget.take(now) {
                wake = Some(at);
                break;
            }
            if let Some(request) = self.queue.get_mut(slot) {
                // An empty budget delays and fails nobody.
                request.retry_until += now.saturating_since(request.since);
            }
            self.leave_alone(slot);
            self.requeue(slot);
        }
        self.timers.put(&mut self.budget_timer, wake, Wake::Budget, 0);
    }

    /// A request that was sent before waits for its turn again, at its old place.
    pub(crate) fn requeue(&mut self, slot: u32) {
        if let Some(request) = self.queue.get_mut(slot) {
            request.since = self.now.instant;
        }
        match self.cannot_wait(slot) {
            Some(error) => self.finish(slot, Err(error)),
            None => self.queue.requeue(slot),
        }
    }

    /// A request waits alone no longer, whatever becomes of it.
    pub(crate) fn leave_alone(&mut self, slot: u32) {
        let Some(request) = self.queue.get_mut(slot) else {
            return;
        };
        match core::mem::replace(&mut request.alone, Alone::No) {
            Alone::No => return,
            Alone::Backoff => self.timers.clear(request.since, Wake::Retry, slot),
            Alone::Unpaid => {
                self.unpaid.remove(&self.queue.turn(slot));
                if self.unpaid.is_empty() {
                    self.timers.put(&mut self.budget_timer, None, Wake::Budget, 0);
                }
            }
        }
        self.counters.alone -= 1;
    }
}
