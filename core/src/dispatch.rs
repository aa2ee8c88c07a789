//! What is sent next: the most urgent request of those whose scopes may send.

use crate::attempt::{Attempt, Progress};
use crate::engine::Engine;
use crate::error::RequestError;
use crate::event::{AttemptId, Output, Priority, Wake};
use crate::gate::Permit;
use crate::queue::Parked;
use crate::scope::Blocker;
use crate::token::Need;

impl Engine {
    /// Is there anybody to look at? Mostly not: all slots are taken.
    pub(crate) fn may_send(&self) -> bool {
        !self.is_held() && self.queue.is_ready(self.slots < self.config.concurrency)
    }

    /// Sends all that may be sent now.
    #[inline(never)] // every call comes by here, and few have anything to send
    pub(crate) fn dispatch(&mut self) {
        while self.may_send() {
            let shared = self.slots < self.config.concurrency;
            let fronts = Priority::ALL.map(|class| self.front(class, shared));
            let ready = fronts.map(|front| front.is_some());
            let Some(class) = self.fair.choose(ready, self.config.fair_share) else {
                return;
            };
            // Who lacks nothing but a slot is passed over as well.
            let eligible = Priority::ALL.map(|class| {
                ready[class.index()]
                    || self.queue.holds_back(class)
                    || !shared && self.front(class, true).is_some()
            });
            // Parking the blocked lanes of one class changes nothing for another one's front.
            debug_assert_eq!(fronts[class.index()], self.front(class, shared));
            let Some((lane, slot)) = fronts[class.index()] else {
                return; // not reached: who was chosen is ready
            };
            self.fair.sent(class, eligible);
            self.send(lane, slot);
        }
    }

    /// May a request of this lane be sent now, if nobody else waits? That is looked at by itself,
    /// since most requests of a client that is not at its limits are sent as they come.
    pub(crate) fn may_send_at_once(&self, lane: u32) -> bool {
        let now = self.now.instant;
        !self.is_held()
            && (self.slots < self.config.concurrency || self.queue.is_apart(lane))
            && self.scopes.blocking(lane, now).is_none()
            && (!self.scopes.lane_key(lane).auth || matches!(self.token.need(now), Need::Use(_)))
            && !self.timers.is_due(now)
    }

    /// Sends a request while nobody else waits: what queueing it would come to, for less.
    pub(crate) fn send_alone(&mut self, lane: u32, slot: u32, class: Priority) {
        self.fair.sent(class, [false; Priority::ALL.len()]);
        self.send(lane, slot);
    }

    /// The next request of a class that may be sent. Lanes that turn out to be blocked are parked
    /// until what blocks them changes.
    fn front(&mut self, class: Priority, shared: bool) -> Option<(u32, u32)> {
        loop {
            let (lane, slot) = self.queue.first(class, shared)?;
            let (blocker, parked) = match self.scopes.blocking(lane, self.now.instant) {
                Some((scope, parked)) => (Blocker::Scope(scope), parked),
                None if !self.scopes.lane_key(lane).auth => return Some((lane, slot)),
                None => match self.token.need(self.now.instant) {
                    Need::Use(_) => return Some((lane, slot)),
                    Need::Refused(failure, retry_at) => {
                        let retry_at = Some(retry_at);
                        self.finish(slot, Err(RequestError::Token { failure, retry_at }));
                        continue;
                    }
                    Need::Fetch => {
                        self.start_token_fetch();
                        (Blocker::Token, Parked::Closed)
                    }
                    Need::Wait | Need::At(_) => (Blocker::Token, Parked::Closed),
                },
            };
            self.queue.set_parked(lane, parked);
            self.scopes.park(lane, blocker);
            self.sync(blocker);
        }
    }

    fn send(&mut self, lane: u32, slot: u32) {
        let now = self.now.instant;
        let token = match self.scopes.lane_key(lane).auth {
            true => match self.token.need(now) {
                Need::Use(generation) => Some(generation),
                _ => None, // not reached: `front` lets nobody by without a token
            },
            false => None,
        };
        // Waiting for a turn is free: retrying is timed from when the scopes were open again.
        let turn_since = self.scopes.opened_at(lane);
        let request_id = self.queue.id(slot);
        self.queue.withdraw(slot);
        let Some(request) = self.queue.get_mut(slot) else {
            return;
        };
        let first = request.attempts == 0;
        if first {
            request.retry_until = now + self.config.retry_for;
        } else {
            request.retry_until += now.saturating_since(request.since.max(turn_since));
        }
        request.attempts = request.attempts.saturating_add(1);
        let id = AttemptId { request: request_id, number: request.attempts };
        let timeout = now.plus_nanos(request.attempt_timeout);
        let place = self.attempts.insert(Attempt {
            slot,
            id,
            lane,
            tickets: self.scopes.sent(lane),
            token,
            timer: None,
            progress: Progress::Sent,
            aborted: false,
            timed_out: false,
        });
        request.set_in_flight(Some(place));
        if let Some(attempt) = self.attempts.get_mut(place) {
            self.timers.put(&mut attempt.timer, Some(timeout), Wake::AttemptTimeout, place);
        }
        if !self.queue.is_apart(lane) {
            self.slots += 1;
        }
        self.counters.sends += 1;
        self.counters.retries += u64::from(!first);
        self.outputs.push_back(Output::Send { attempt: id, token });
        if token.is_some() && self.token.wants_renewal(now) {
            self.start_token_fetch();
        }
        if first {
            self.budget.first_send(now);
            if !self.unpaid.is_empty() {
                self.pay();
            }
        }
    }

    /// Lets the lanes that wait for `blocker` compete again.
    pub(crate) fn release(&mut self, blocker: Blocker) {
        for lane in self.scopes.release(blocker) {
            self.queue.set_parked(lane, Parked::No);
        }
        self.sync(blocker);
    }

    /// A scope was closed or held: who lacked nothing but a slot, here or elsewhere, now lacks more.
    pub(crate) fn look_again(&mut self, scope: u32) {
        for lane in self.scopes.scope(scope).lanes().to_vec() {
            if self.queue.is_parked_full(lane) {
                self.unpark(lane);
            }
        }
    }

    /// A lane that has nobody queued waits for nothing.
    pub(crate) fn unpark(&mut self, lane: u32) {
        if let Some(blocker) = self.scopes.unpark(lane) {
            self.queue.set_parked(lane, Parked::No);
            self.sync(blocker);
        }
    }

    fn sync(&mut self, blocker: Blocker) {
        match blocker {
            Blocker::Scope(scope) => self.sync_scope(scope),
            Blocker::Token => self.sync_token(),
        }
    }

    /// Lets those who wait for a scope go if it may send; else sees that its timer runs, if only
    /// time is missing, while somebody waits.
    pub(crate) fn sync_scope(&mut self, index: u32) {
        let now = self.now.instant;
        let Some(scope) = self.scopes.get_mut(index) else {
            return;
        };
        let at = match scope.permit(now) {
            _ if !scope.has_parked() => None,
            Permit::Now => return self.release(Blocker::Scope(index)),
            Permit::At(at) => Some(at),
            Permit::AfterAnswer | Permit::Full => None,
        };
        self.timers.put(&mut scope.timer, at, Wake::Gate, index);
    }

    /// The same for those who wait for a token.
    pub(crate) fn sync_token(&mut self) {
        let awaited = self.scopes.token_awaited();
        let at = match self.token.need(self.now.instant) {
            Need::At(at) if awaited => Some(at),
            Need::Use(_) | Need::Fetch | Need::Refused(..) if awaited => {
                return self.release(Blocker::Token);
            }
            _ => None,
        };
        self.timers.put(&mut self.token_timer, at, Wake::Token, 0);
    }
}
