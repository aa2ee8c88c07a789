//! When a scope may send: the pause, its half-open probe, and the ramp after it.
//!
//! A gate is a deadline and not a flag with a resume call: `not_before` only ever moves later,
//! so that no answer, late or early, shortens a wait that another one has set.
//!
//! ```text
//!          refused, round + 1          at not_before, one leaves
//!   Open ────────────────────▶ Closed ──────────────────────────▶ Probing
//!    ▲                         ▲    ▲                               │ │ │
//!    │     refused, round + 1  │    └──── refused or failed ────────┘ │ │
//!    │ ┌───────────────────────┘    ◀──── given up (no wait) ─────────┘ │
//!   Ramp ◀───────────────────────────────── any other answer ───────────┘
//! ```
//!
//! Each attempt carries the scope's *round* from when it was sent. Eight attempts that are
//! refused together so make one round and not eight: the first refusal starts it, and the
//! others, being of an older round, only merge what deadline they state.
//!
//! A refusal of which the pacer knows how long to rest closes no gate: see [`Pacer::rest`].
//!
//! [`Pacer::rest`]: crate::pacer::Pacer::rest

use core::time::Duration;

use crate::backoff::{Backoff, Chance};
use crate::time::Instant;

/// How many attempts may be in flight when the gate has just opened.
const RAMP_START: u32 = 2;

/// A round that nobody has probed for so long after its deadline says nothing any more.
const STALE_AFTER: Duration = Duration::from_secs(3600);

/// What an attempt remembers of a scope's gate from when it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    round: u32,
    probe: bool,
}

/// May the scope send?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Permit {
    Now,
    /// Not before that moment.
    At(Instant),
    /// Not before an attempt in flight is answered or over.
    AfterAnswer,
    /// It is open, but as many are in flight as may be.
    Full,
}

impl Permit {
    /// What two that must both let it say together.
    pub(crate) fn and(self, other: Permit) -> Permit {
        match (self, other) {
            (Permit::Now, other) | (other, Permit::Now) => other,
            (Permit::At(a), Permit::At(b)) => Permit::At(a.max(b)),
            (Permit::At(at), _) | (_, Permit::At(at)) => Permit::At(at),
            (Permit::Full, Permit::Full) => Permit::Full,
            (Permit::AfterAnswer | Permit::Full, _) => Permit::AfterAnswer,
        }
    }
}

/// A pause that a refusal or an outage began or lengthened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    /// Was it the server's own statement?
    pub(crate) stated: bool,
    /// 1 for the first round since the scope was well.
    pub(crate) attempt: u32,
}

/// What an answer did to the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    Reopened,
    Recovered,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// Until `not_before`; from then on half-open, waiting for somebody to be the probe.
    Closed,
    /// One attempt of this round is out; the others wait for its answer.
    Probing,
    /// So many may be in flight.
    Ramp(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Gate {
    not_before: Instant,
    /// The latest moment that a server has stated, without jitter.
    stated_until: Instant,
    state: State,
    round: u32,
    /// Rounds since the scope was well: the exponent of the own backoff.
    n: u32,
    /// Drawn once a round, so that merged deadlines of one round share it.
    chance: Chance,
    /// Attempts in a row that ended without any answer, and when the last one did.
    silent: u32,
    silent_at: Instant,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate {
            not_before: Instant::ORIGIN,
            stated_until: Instant::ORIGIN,
            state: State::Open,
            round: 0,
            n: 0,
            chance: Chance::default(),
            silent: 0,
            silent_at: Instant::ORIGIN,
        }
    }

    /// An attempt leaves; [`permit`](Self::permit) has just allowed it.
    pub(crate) fn sent(&mut self) -> Ticket {
        let probe = self.state == State::Closed;
        if probe {
            self.state = State::Probing;
        }
        Ticket { round: self.round, probe }
    }

    /// An attempt was refused. `None`: nothing changed, an earlier refusal said as much.
    pub(crate) fn throttled(
        &mut self,
        ticket: Ticket,
        stated: Option<Duration>,
        now: Instant,
        backoff: &Backoff,
        draw: impl FnOnce() -> Chance,
    ) -> Option<Pause> {
        self.silent = 0;
        if ticket.round == self.round {
            return Some(self.close(stated, now, backoff, draw()));
        }
        // Of an older round: the pause that it asks for is on already, unless it asks for more.
        let n = self.n.saturating_sub(1);
        let stated = stated.filter(|wait| backoff.believes(*wait, n))?;
        let until = now + backoff.stated(stated, self.chance);
        if now + stated <= self.stated_until && until <= self.not_before {
            return None;
        }
        self.stated_until = self.stated_until.max(now + stated);
        if until > self.not_before {
            self.not_before = until;
            if let State::Open | State::Ramp(_) = self.state {
                self.state = State::Closed; // whoever sets it, at a deadline one probe goes out
            }
        }
        Some(Pause { until: self.not_before, stated: true, attempt: self.n.max(1) })
    }

    /// An attempt drew an answer that is no throttle. `limit` is the scope's concurrency.
    pub(crate) fn answered(&mut self, ticket: Ticket, limit: u32, now: Instant) -> Option<Opening> {
        self.silent = 0;
        if ticket.round != self.round {
            return None; // from before the pause: says nothing of the time after it
        }
        let reached = match self.state {
            State::Probing if ticket.probe && now < self.not_before => {
                self.state = State::Closed; // a late refusal set a new deadline: it has its own probe
                return None;
            }
            State::Probing if ticket.probe => RAMP_START,
            State::Ramp(reached) => reached + 1,
            State::Open | State::Closed | State::Probing => return None,
        };
        if reached >= limit {
            self.state = State::Open;
            self.n = 0;
            return Some(Opening::Recovered);
        }
        self.state = State::Ramp(reached);
        (reached == RAMP_START).then_some(Opening::Reopened)
    }

    /// An attempt failed without any answer. `limit` is the scope's concurrency: that many
    /// failures in a row are an outage.
    pub(crate) fn failed(
        &mut self,
        ticket: Ticket,
        limit: u32,
        now: Instant,
        backoff: &Backoff,
        draw: impl FnOnce() -> Chance,
    ) -> Option<Pause> {
        if ticket.round != self.round {
            return None;
        }
        self.silent = self.silent.saturating_add(1);
        self.silent_at = now;
        (ticket.probe || self.silent >= limit).then(|| self.close(None, now, backoff, draw()))
    }

    /// An attempt ended and says nothing of the server: cancelled, or never sendable. If it was
    /// the probe, the next request is.
    pub(crate) fn given_up(&mut self, ticket: Ticket) {
        if ticket.probe && ticket.round == self.round && self.state == State::Probing {
            self.state = State::Closed;
        }
    }

    /// An attempt drew a throttle that is charged to a narrower scope: the server is there, and
    /// nothing else is known of this scope.
    pub(crate) fn refused_elsewhere(&mut self, ticket: Ticket) {
        self.silent = 0;
        self.given_up(ticket);
    }

    /// The concurrency limit fell or rose: a ramp that has reached it is over.
    pub(crate) fn limit_changed(&mut self, limit: u32) {
        if matches!(self.state, State::Ramp(reached) if reached >= limit) {
            self.state = State::Open;
            self.n = 0;
        }
    }

    pub(crate) fn permit(&self, now: Instant, in_flight: u32) -> Permit {
        if now < self.not_before {
            return Permit::At(self.not_before);
        }
        match self.state {
            State::Open | State::Closed => Permit::Now,
            State::Probing => Permit::AfterAnswer,
            State::Ramp(reached) if in_flight < reached => Permit::Now,
            State::Ramp(_) => Permit::Full,
        }
    }

    /// The deadline, which may be past.
    pub(crate) fn not_before(&self) -> Instant {
        self.not_before
    }

    /// The latest moment that a server has stated, which may be past.
    pub(crate) fn stated_until(&self) -> Instant {
        self.stated_until
    }

    /// Nothing would be lost if this gate were made anew: it is open, or what it knows is stale.
    pub(crate) fn is_forgettable(&self, now: Instant) -> bool {
        match self.state {
            State::Open if self.silent > 0 => now >= self.silent_at + STALE_AFTER,
            State::Open => now >= self.not_before,
            _ => now >= self.not_before + STALE_AFTER,
        }
    }

    fn close(
        &mut self,
        stated: Option<Duration>,
        now: Instant,
        backoff: &Backoff,
        chance: Chance,
    ) -> Pause {
        let believed = stated.is_some_and(|wait| backoff.believes(wait, self.n));
        let wait = backoff.wait(stated, self.n, chance);
        self.chance = chance;
        self.n = self.n.saturating_add(1);
        self.round = self.round.wrapping_add(1);
        self.state = State::Closed;
        self.not_before = self.not_before.max(now + wait);
        if let Some(stated) = stated.filter(|_| believed) {
            self.stated_until = self.stated_until.max(now + stated);
        }
        Pause { until: self.not_before, stated: believed, attempt: self.n }
    }
}
