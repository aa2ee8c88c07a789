//! What is sent next: the most urgent request of those whose scopes may send.

use alloc::vec::Vec;

use crate::attempt::{Attempt, Progress};
use crate::engine::Engine;
use crate::error::RequestError;
use crate::event::{AttemptId, Output, Priority, Wake};
use crate::gate::Permit;
use crate::pacer::Asker;
use crate::queue::{CLASSES, Parked};
use crate::scope::Blocker;
use crate::time::Instant;
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
            let (mut fronts, mut ready) = ([None; CLASSES], [false; CLASSES]);
            let mut free = None;
            for class in &Priority::ALL {
                let front = self.front(*class, shared, &mut free);
                (fronts[class.index()], ready[class.index()]) = (front, front.is_some());
            }
            let Some(class) = self.fair.choose(ready, self.config.fair_share) else {
                return;
            };
            // Who lacks nothing but a slot is passed over as well.
            let mut eligible = ready;
            for class in &Priority::ALL {
                eligible[class.index()] |= self.queue.holds_back(*class)
                    || !shared && self.front(*class, true, &mut free).is_some();
            }
            // Parking the blocked lanes of one class changes nothing for another one's front.
            debug_assert_eq!(fronts[class.index()], self.front(class, shared, &mut None));
            let Some((lane, slot)) = fronts[class.index()] else {
                debug_assert!(false, "who was chosen is ready");
                return;
            };
            self.fair.sent(class, eligible);
            self.send(lane, slot);
        }
    }

    /// May a request of this lane be sent now, if nobody else waits? That is looked at by itself,
    /// since most requests of a client that is not at its limits are sent as they come.
    pub(crate) fn may_send_at_once(&self, lane: u32, class: Priority) -> bool {
        let now = self.now.instant;
        let asker = Asker { high: class == Priority::High, backlog: 1 };
        !self.is_held()
            && (self.slots < self.config.concurrency || self.queue.is_apart(lane))
            && self.scopes.blocking(lane, now, asker).is_none()
            && (!self.scopes.lane_key(lane).auth || matches!(self.token.need(now), Need::Use(_)))
            && !self.timers.is_due(now)
    }

    /// Sends a request while nobody else waits: what queueing it would come to, for less.
    pub(crate) fn send_alone(&mut self, lane: u32, slot: u32, class: Priority) {
        self.fair.sent(class, [false; Priority::ALL.len()]);
        self.send(lane, slot);
    }

    /// The next request of a class that may be sent. Lanes that turn out to be blocked are parked
    /// until what blocks them changes. `free` is a lane that was just found to be none of these,
    /// and whether for HIGH: mostly all classes are in the same one.
    fn front(
        &mut self,
        class: Priority,
        shared: bool,
        free: &mut Option<(u32, bool)>,
    ) -> Option<(u32, u32)> {
        loop {
            let (lane, slot) = self.queue.first(class, shared)?;
            let high = class == Priority::High;
            if *free == Some((lane, high)) {
                return Some((lane, slot));
            }
            let asker = self.asker(lane, high);
            let (blocker, parked) = match self.scopes.blocking(lane, self.now.instant, asker) {
                Some((scope, parked)) => (Blocker::Scope(scope), parked),
                None if !self.scopes.lane_key(lane).auth => {
                    *free = Some((lane, high));
                    return Some((lane, slot));
                }
                None => match self.token.need(self.now.instant) {
                    Need::Use(_) => {
                        *free = Some((lane, high));
                        return Some((lane, slot));
                    }
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
                _ => {
                    debug_assert!(false, "`front` lets nobody by without a token");
                    None
                }
            },
            false => None,
        };
        // Waiting for a turn is free: retrying is timed from when the scopes were open again.
        let turn_since = self.scopes.opened_at(lane);
        let request_id = self.queue.id(slot);
        let mut asker = self.asker(lane, self.queue.class_of(slot) == Priority::High);
        asker.backlog = asker.backlog.max(1); // it may never have been queued
        let key = self.scopes.lane_key(lane);
        for scope in key.scopes() {
            if self.scopes.scope_mut(scope).pacer.forget_stale(now) {
                self.believes(scope);
            }
        }
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
            stubs: self.scopes.sent(lane, now, asker),
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
            if matches!(self.queue.parked(lane), Parked::Full | Parked::Reserved) {
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
        if !scope.has_parked() {
            return self.timers.put(&mut scope.timer, None, Wake::Gate, index);
        }
        let (mut open, mut at) = (Vec::new(), None::<Instant>);
        for lane in self.scopes.parked_on(index) {
            // Who is kept from a reserve is let go by it, the others by what an urgent request is.
            let high = self.queue.parked(*lane) != Parked::Reserved;
            let backlog = u64::from(self.queue.queued_in(*lane));
            match self.scopes.scope(index).permit(now, Asker { high, backlog }) {
                Permit::Now => open.push(*lane),
                Permit::At(moment) => at = Some(at.map_or(moment, |at| at.min(moment))),
                Permit::AfterAnswer | Permit::Full => {}
            }
        }
        for lane in open {
            self.scopes.unpark(lane);
            self.queue.set_parked(lane, Parked::No);
        }
        if let Some(scope) = self.scopes.get_mut(index) {
            self.timers.put(&mut scope.timer, at, Wake::Gate, index);
        }
    }

    pub(crate) fn asker(&self, lane: u32, high: bool) -> Asker {
        Asker { high, backlog: u64::from(self.queue.queued_in(lane)) }
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
