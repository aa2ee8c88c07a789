//! What rate or quota the server seems to allow in one scope, and what that lets go now.
//!
//! The [`gate`](crate::gate) knows what the server refused; a pacer believes what it will refuse.
//! Neither shortens a wait of the other. A pacer holds up to three beliefs, and a request goes when
//! all of them let it:
//!
//! * a **budget** that answers [announce](announced), which is taken at its word;
//! * a **quota** a window ([`quota`]), learned from refusals that state a long wait, or
//!   [searched for](search) where a server that refuses without a word goes on refusing;
//! * an even **rate** ([`rate`]), learned from refusals that are soon over.
//!
//! Refusals are the only measurement that a server without headers offers, so each is made to tell
//! as much as it can, and none is asked for whose price is more than its worth. Those of attempts
//! that were sent before the last one arrived belong to the same event (as losses of one round trip
//! do in TCP, RFC 5681 §3.1) and only correct its count.
//!
//! A limit that is met within moments after a scope began to send is one of moments. So a first refusal
//! without a word is followed by a question after as long as the scope had been busy by then, and
//! each further one by the next after as long again: 20, 40, 80 ms … until that is as long as own
//! backoff, which then goes on as ever. It is for limits that let in some: where the first answers
//! are refusals nothing is asked before one that is not has come, and if none has, own backoff is
//! waited at once, as it is after the refusal of an attempt that was out alone.
//!
//! Every attempt is counted here, retries and probes included: what goes around a pacer is what
//! makes it miss its mark. What ended without an answer counts as used.
//!
//! The seam for a quota that several processes share is here as well: a store that grants permits
//! would be a fourth belief, which answers [`Permit::AfterAnswer`] until it has granted one.

mod announced;
mod belief;
mod quota;
mod rate;
mod reserve;
mod search;
#[cfg(test)]
mod testing;

use core::time::Duration;

use crate::gate::Permit;
use crate::time::{Instant, Wall};

use announced::Announced;
pub(crate) use announced::Announcement;
pub use belief::{Basis, Belief, BelievedQuota, BelievedRate, KnownLimit, Pacing};
use quota::Window;
use rate::{Lesson, Rate};
use search::Search;

/// A stated wait of this length or more is that of a quota's window; a shorter one is a rate's.
const WINDOW_FROM: Duration = Duration::from_secs(5);

/// As good as at once.
const MOMENT: Duration = Duration::from_millis(1);

/// After so long without a send, what was sent before says nothing of a limit that is met now.
const IDLE: Duration = Duration::from_secs(300);

/// What was believed so long ago says nothing any more.
const STALE_AFTER: Duration = Duration::from_secs(3600);

/// What an attempt remembers of the pacer from when it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// How many the scope had sent before it.
    seq: u64,
    at: Instant,
}

/// For whom a permit is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// It is urgent: a part of a quota is kept for such.
    pub(crate) high: bool,
    /// Requests that wait in its lane, itself counted.
    pub(crate) backlog: u64,
}

/// What a refusal said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// The wait that it stated, if that is believed.
    pub(crate) stated: Option<Duration>,
    /// Attempts in flight, itself counted.
    pub(crate) in_flight: u32,
    /// The moment at which the scope opens again for a probe.
    pub(crate) opens: Instant,
    /// That is by the pacer's own [rest](Pacer::rest).
    pub(crate) explained: bool,
}

#[derive(Debug)]
pub(crate) struct Pacer {
    concurrency: Option<u32>,
    pacing: Pacing,
    announced: Announced,
    quota: Option<Quota>,
    rate: Option<Rate>,
    /// How many were sent so far.
    seq: u64,
    last_sent: Instant,
    /// The first send since nothing was known, and how many were refused since.
    first: Mark,
    refused: u64,
    /// Was any let in since?
    let_in: bool,
    /// How many had been sent when the last refusal that was an event arrived.
    event: u64,
    /// The rate explains that one.
    explained: bool,
}

/// A quota that is learned: its window is known, or it is searched for.
#[derive(Debug)]
enum Quota {
    Window(Window),
    Search(Search),
}

impl Pacer {
    pub(crate) fn new(concurrency: Option<u32>, pacing: Pacing) -> Self {
        let (quota, rate) = match pacing {
            Pacing::Learned | Pacing::Off => (None, None),
            Pacing::Fixed(limit) | Pacing::Seeded(limit) => match limit.burst {
                None => (Some(Quota::Window(Window::known(limit))), None),
                Some(burst) => (None, Some(Rate::known(limit, burst))),
            },
        };
        Pacer {
            concurrency,
            pacing,
            announced: Announced::default(),
            quota,
            rate,
            seq: 0,
            last_sent: Instant::ORIGIN,
            first: Mark::default(),
            refused: 0,
            let_in: false,
            event: 0,
            explained: false,
        }
    }

    pub(crate) fn permit(&self, now: Instant, in_flight: u32, asker: Asker) -> Permit {
        if self.concurrency.is_some_and(|most| in_flight >= most) {
            return Permit::Full;
        }
        let mut permit = self.announced.permit(now, self.seq, in_flight, asker);
        if let Some(quota) = &self.quota {
            let quota = match quota {
                Quota::Window(window) => {
                    window.permit(now, self.seq, in_flight, asker, self.learns())
                }
                Quota::Search(search) => search.permit(now),
            };
            permit = permit.and(quota);
        }
        if let Some(rate) = &self.rate {
            permit = permit.and(rate.permit(now));
        }
        permit
    }

    pub(crate) fn sent(&mut self, now: Instant, asker: Asker) -> Mark {
        let mark = Mark { seq: self.seq, at: now };
        let idle = now.saturating_since(self.last_sent) >= IDLE;
        if self.seq == 0 || idle && self.quota.is_none() && self.rate.is_none() {
            (self.first, self.refused, self.let_in) = (mark, 0, false);
        }
        self.announced.sent(mark, asker.high);
        if let Some(Quota::Window(window)) = &mut self.quota {
            window.sent(mark, asker.high);
        }
        let learns = self.learns();
        if let Some(rate) = &mut self.rate {
            rate.sent(mark, asker.backlog, learns);
        }
        self.seq += 1;
        self.last_sent = now;
        mark
    }

    /// An attempt drew an answer that is no throttle. Says whether the belief has changed.
    pub(crate) fn passed(&mut self, mark: Mark, now: Instant) -> bool {
        let learns = self.learns();
        self.let_in |= mark.seq >= self.first.seq;
        if let Some(rate) = &mut self.rate {
            rate.passed(mark, now);
        }
        match &mut self.quota {
            None => false,
            Some(Quota::Window(window)) => window.passed(mark, now, learns),
            Some(Quota::Search(search)) => match search.passed(mark, now) {
                None => false,
                Some(search::Found::Window(window)) => {
                    self.quota = Some(Quota::Window(window));
                    true
                }
                Some(search::Found::Rate(rate)) => {
                    (self.quota, self.rate) = (None, Some(rate));
                    true
                }
            },
        }
    }

    /// For how long nothing is sent after this refusal, which states no wait that is believed, if that
    /// can be told: own backoff, which begins with `backoff`, is for who knows nothing.
    pub(crate) fn rest(
        &self,
        mark: Mark,
        stated: Option<Duration>,
        in_flight: u32,
        now: Instant,
        backoff: Duration,
    ) -> Option<Duration> {
        let none_let_in = self.accepted() <= 1 || !self.let_in && in_flight <= 1;
        if !self.learns() || none_let_in {
            return None; // it was the last that might have been
        }
        if mark.seq < self.event {
            return self.explained.then_some(Duration::ZERO); // as it rests already
        }
        if self.announced.blames(self.seq) || self.is_of_quota(mark, None) {
            return None;
        }
        let busy = now.saturating_since(self.first.at).max(MOMENT);
        match &self.rate {
            Some(rate) if rate.explains(mark) => Some(rate.rest().max(stated.unwrap_or_default())),
            _ if stated.is_some() => None,
            Some(_) if self.let_in && busy < backoff => Some(busy),
            None if in_flight > 1 && busy < backoff => Some(busy),
            _ => None,
        }
    }

    /// Is an answer awaited that says how long to rest?
    pub(crate) fn awaits(&self) -> bool {
        self.rate.as_ref().is_some_and(Rate::awaits)
    }

    /// An attempt was refused. Says whether the belief has changed.
    pub(crate) fn refused(
        &mut self,
        mark: Mark,
        refusal: Refusal,
        now: Instant,
        wall: Wall,
    ) -> bool {
        if !self.learns() {
            return false;
        }
        self.refused += 1;
        if mark.seq < self.event {
            if let Some(rate) = &mut self.rate {
                rate.refused_again(mark);
            }
            if let Some(Quota::Window(window)) = &mut self.quota {
                window.refused_again(mark);
            }
            return !refusal.explained && self.unlearn();
        }
        self.explained = refusal.explained;
        self.event = self.seq;
        if self.announced.is_to_blame(self.seq) {
            return true;
        }
        let long = refusal.stated.filter(|wait| *wait >= WINDOW_FROM);
        // Of those that were sent some may be refused as well, and will be taken off then.
        let accepted = self.accepted();
        if accepted == 0 {
            return false; // nothing was let in yet: own backoff knows as much
        }
        match (&mut self.quota, long) {
            (Some(Quota::Search(search)), Some(wait)) => {
                let window = Window::met(search.quota(), search.first(), now + wait, wall, now);
                self.quota = Some(Quota::Window(window));
            }
            (None, Some(wait)) => {
                let window = Window::met(accepted, self.first, now + wait, wall, now);
                self.quota = Some(Quota::Window(window));
            }
            (Some(Quota::Search(search)), None) => {
                search.refused(refusal.opens, wall, now);
                return false; // as much is believed as before
            }
            (Some(Quota::Window(window)), _) if window.is_of(mark, refusal.stated) => {
                if let Some(search) = window.refused(mark, refusal, wall, now) {
                    self.quota = Some(Quota::Search(search));
                }
            }
            (None | Some(Quota::Window(_)), _) => match &mut self.rate {
                None => {
                    let took = now.saturating_since(mark.at);
                    let in_flight = u64::from(refusal.in_flight);
                    let rate =
                        Rate::met(accepted, in_flight, took, mark, self.first, refusal.opens);
                    let awaits = refusal.explained && !self.let_in;
                    self.rate = Some(if awaits { rate.awaiting_answer() } else { rate });
                }
                Some(rate) => {
                    if let Lesson::NotARate { quota, first } = rate.refused(mark, refusal) {
                        self.rate = None;
                        let mut search = Search::new(quota, first);
                        search.refused(refusal.opens, wall, now);
                        self.quota = Some(Quota::Search(search));
                    }
                }
            },
        }
        true
    }

    /// A delivered answer announced that nothing remains until `reset`. Says until when the scope
    /// is closed, if that is later than what was known.
    pub(crate) fn announce_spent(&mut self, reset: Instant, now: Instant) -> Option<Instant> {
        self.announced.spent(reset, now)
    }

    /// A delivered answer announced what is left; `others` more are in flight. Says whether the
    /// belief has changed.
    pub(crate) fn announce(
        &mut self,
        mark: Mark,
        said: Announcement,
        others: u32,
        now: Instant,
    ) -> bool {
        if !self.learns() {
            return false;
        }
        self.quota = None; // it is told, and need not be guessed
        self.announced.see(mark, said, self.seq, others, now)
    }

    /// The last announced reset of a spent budget, which may be past.
    pub(crate) fn spent_until(&self) -> Instant {
        self.announced.spent_until()
    }

    pub(crate) fn concurrency(&self) -> Option<u32> {
        self.concurrency
    }

    pub(crate) fn belief(&self) -> Belief {
        let learned = || match self.quota.as_ref()? {
            Quota::Window(window) => Some(window.belief(self.seq)),
            Quota::Search(search) => Some(search.belief()),
        };
        let quota = self.announced.belief(self.seq).or_else(learned);
        Belief { quota, rate: self.rate.as_ref().map(Rate::belief) }
    }

    /// Nothing would be lost if this pacer were made anew.
    pub(crate) fn is_forgettable(&self, now: Instant) -> bool {
        !self.knows() || self.is_stale(now)
    }

    /// Forgets what it has learned, and is as at first, if that is stale. Says whether it was.
    pub(crate) fn forget_stale(&mut self, now: Instant) -> bool {
        let stale = self.learns() && self.knows() && self.is_stale(now);
        if stale {
            let first = Mark { seq: self.seq, at: now };
            let Pacer { seq, event, last_sent, .. } = *self;
            let new = Pacer::new(self.concurrency, self.pacing);
            *self = Pacer { seq, event, last_sent, first, ..new };
        }
        stale
    }

    fn knows(&self) -> bool {
        self.quota.is_some() || self.rate.is_some() || self.announced.is_live()
    }

    /// It was not used for so long, and holds nothing back.
    fn is_stale(&self, now: Instant) -> bool {
        let anybody = Asker { high: true, backlog: 1 };
        now.saturating_since(self.last_sent) >= STALE_AFTER
            && self.permit(now, 0, anybody) == Permit::Now
    }

    /// If none was let in after all, nothing is known. Says whether something was believed.
    fn unlearn(&mut self) -> bool {
        let wrong = self.accepted() == 0 && self.pacing == Pacing::Learned;
        let knew = wrong && (self.quota.is_some() || self.rate.is_some());
        if knew {
            (self.quota, self.rate) = (None, None);
        }
        knew
    }

    /// How many were accepted since nothing was known, as far as answers say otherwise.
    fn accepted(&self) -> u64 {
        self.seq.saturating_sub(self.first.seq).saturating_sub(self.refused)
    }

    fn is_of_quota(&self, mark: Mark, stated: Option<Duration>) -> bool {
        match &self.quota {
            None => false,
            Some(Quota::Search(_)) => true,
            Some(Quota::Window(window)) => window.is_of(mark, stated),
        }
    }

    fn learns(&self) -> bool {
        matches!(self.pacing, Pacing::Learned | Pacing::Seeded(_))
    }
}
