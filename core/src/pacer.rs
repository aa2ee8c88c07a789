//! What rate or quota the server seems to allow in one scope.

mod announced;
mod belief;
mod bucket;
mod search;
mod window;

use core::time::Duration;

use crate::gate::Permit;
use crate::time::{Instant, Wall};

use announced::Announced;
pub(crate) use announced::Announcement;
pub use belief::{Belief, Limit, Pacing};
use bucket::Bucket;
use search::Search;
use window::Window;

/// A stated wait from which on the limit is taken for a quota a window, and not for a rate.
const WINDOW_FROM: Duration = Duration::from_secs(5);

/// What an attempt remembers of the pacer from when it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// How many the scope had sent before it.
    pub(crate) seq: u64,
    pub(crate) at: Instant,
}

/// For whom a permit is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// For an urgent request, for which a part of a quota is kept.
    pub(crate) high: bool,
    /// Requests that wait here, itself counted.
    pub(crate) backlog: u64,
}

/// What a refusal said.
pub(crate) struct Refusal {
    /// The wait that it stated, if it is believed.
    pub(crate) stated: Option<Duration>,
    /// When the gate opens again.
    pub(crate) opens: Instant,
}

#[derive(Debug)]
pub(crate) struct Pacer {
    concurrency: Option<u32>,
    pacing: Pacing,
    state: State,
    announced: Announced,
    /// How many were sent so far.
    seq: u64,
    last_sent: Instant,
    /// The first send since nothing was known.
    first: Mark,
    /// How many had been sent when the last refusal that told something new arrived: those sent
    /// before are of the same event.
    event: u64,
    /// The rate explained that one.
    explained: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing is known: the gate and the concurrency alone decide.
    Free,
    Search(Search),
    Window(Window),
    Bucket(Bucket),
}

impl Pacer {
    pub(crate) fn new(concurrency: Option<u32>, pacing: Pacing) -> Self {
        let state = match pacing {
            Pacing::Learned | Pacing::Off => State::Free,
            Pacing::Fixed(limit) | Pacing::Seeded(limit) => match limit.burst {
                None => State::Window(Window::known(limit.requests, limit.per)),
                Some(burst) => State::Bucket(Bucket::known(limit, burst, pacing)),
            },
        };
        Pacer {
            concurrency,
            pacing,
            state,
            announced: Announced::default(),
            seq: 0,
            last_sent: Instant::ORIGIN,
            first: Mark::default(),
            event: 0,
            explained: false,
        }
    }

    pub(crate) fn permit(&self, now: Instant, in_flight: u32, asker: Asker) -> Permit {
        if self.concurrency.is_some_and(|most| in_flight >= most) {
            return Permit::Full;
        }
        let learned = match &self.state {
            State::Free => Permit::Now,
            State::Search(search) => search.permit(now),
            State::Window(window) => window.permit(now, self.seq, in_flight, asker),
            State::Bucket(bucket) => bucket.permit(now),
        };
        let announced = self.announced.permit(now, self.seq, in_flight, asker);
        later(learned, announced)
    }

    pub(crate) fn sent(&mut self, now: Instant, asker: Asker) -> Mark {
        let Asker { high, backlog } = asker;
        let mark = Mark { seq: self.seq, at: now };
        match &mut self.state {
            State::Free => {
                if self.seq == 0 || now.saturating_since(self.last_sent) >= IDLE {
                    self.first = mark;
                }
            }
            State::Search(_) => {}
            State::Window(window) => window.sent(mark, high),
            State::Bucket(bucket) => bucket.sent(mark, backlog),
        }
        self.announced.sent(mark, high);
        self.seq += 1;
        self.last_sent = now;
        mark
    }

    /// An attempt drew an answer that is no throttle.
    pub(crate) fn passed(&mut self, mark: Mark, now: Instant) -> bool {
        match &mut self.state {
            State::Free => false,
            State::Search(search) => match search.passed(mark, now) {
                None => false,
                Some(found) => {
                    self.state = match found {
                        search::Found::Window(window) => State::Window(window),
                        search::Found::Bucket(bucket) => State::Bucket(bucket),
                    };
                    true
                }
            },
            State::Window(window) => window.passed(mark, now),
            State::Bucket(bucket) => bucket.passed(mark, now),
        }
    }

    /// Is this refusal, which states no wait, what the pacer's own rate had to meet? Then the rate
    /// says how long to rest, and that is returned.
    pub(crate) fn explains(&self, mark: Mark) -> Option<Duration> {
        match &self.state {
            State::Bucket(bucket) if !matches!(self.pacing, Pacing::Off | Pacing::Fixed(_)) => {
                let explained = match mark.seq < self.event {
                    true => self.explained,
                    false => bucket.explains(mark),
                };
                explained.then(|| bucket.rest())
            }
            _ => None,
        }
    }

    /// An attempt was refused. Says whether the belief has changed.
    pub(crate) fn refused(&mut self, mark: Mark, refusal: Refusal, now: Instant, wall: Wall) -> bool {
        let known = self.announced.is_live();
        self.announced.forget();
        if known || matches!(self.pacing, Pacing::Off | Pacing::Fixed(_)) {
            return false;
        }
        if mark.seq < self.event {
            match &mut self.state {
                State::Bucket(bucket) => bucket.refused_again(mark),
                State::Window(window) => window.refused_again(mark),
                _ => {}
            }
            return false;
        }
        self.explained = refusal.stated.is_none() && self.explains(mark).is_some();
        self.event = self.seq;
        // All that were sent but this one; those of them that are refused as well come off later.
        let quota = (self.seq - self.first.seq - 1).max(1);
        let next = match &mut self.state {
            State::Free => match refusal.stated {
                Some(wait) if wait >= WINDOW_FROM => {
                    Some(State::Window(Window::met(quota, self.first, now + wait, wall, now)))
                }
                _ => {
                    let rtt = now.saturating_since(mark.at);
                    Some(State::Bucket(Bucket::met(quota, rtt, mark, self.first, refusal.opens)))
                }
            },
            State::Search(search) => match refusal.stated {
                Some(wait) if wait >= WINDOW_FROM => {
                    Some(State::Window(search.stated(self.seq - self.seq.min(search.quota()), now + wait, wall, now)))
                }
                _ => {
                    search.refused(refusal.opens, wall, now);
                    None
                }
            },
            State::Window(window) => window.refused(mark, &refusal, now, wall).map(State::Search),
            State::Bucket(bucket) => {
                let first = bucket.first();
                match refusal.stated {
                    Some(wait) if wait >= WINDOW_FROM => {
                        let quota = bucket.passed_since_mark(mark).max(1);
                        Some(State::Window(Window::met(quota, bucket.mark(), now + wait, wall, now)))
                    }
                    _ => match bucket.refused(mark, &refusal) {
                        bucket::Lesson::Learned => None,
                        bucket::Lesson::NotARate => {
                            let mut search = Search::new(bucket.burst(), first.at, wall, now);
                            search.refused(refusal.opens, wall, now);
                            Some(State::Search(search))
                        }
                    },
                }
            }
        };
        if let Some(next) = next {
            self.state = next;
        }
        true
    }

    /// A delivered answer announced that nothing remains until `reset`. Says until when, if that is
    /// later than what was known.
    pub(crate) fn announce_spent(&mut self, reset: Instant, now: Instant) -> Option<Instant> {
        self.announced.spent(reset, now)
    }

    /// An answer announced what is left of a budget.
    pub(crate) fn announce(&mut self, mark: Mark, said: Announcement, others: u32, now: Instant) {
        if matches!(self.pacing, Pacing::Learned | Pacing::Seeded(_)) {
            self.announced.see(mark, said, self.seq, others, now);
            self.state = State::Free;
        }
    }

    /// The last announced reset of a spent budget, which may be past.
    pub(crate) fn spent_until(&self) -> Instant {
        self.announced.spent_until()
    }

    pub(crate) fn concurrency(&self) -> Option<u32> {
        self.concurrency
    }

    pub(crate) fn belief(&self) -> Belief {
        match &self.state {
            State::Free => self.announced.belief(),
            State::Search(search) => search.belief(),
            State::Window(window) => window.belief(self.seq),
            State::Bucket(bucket) => bucket.belief(),
        }
    }
}

/// After so long without a send, what was sent before says nothing of a limit met now.
const IDLE: Duration = Duration::from_secs(300);

fn later(a: Permit, b: Permit) -> Permit {
    match (a, b) {
        (Permit::Now, other) | (other, Permit::Now) => other,
        (Permit::At(a), Permit::At(b)) => Permit::At(a.max(b)),
        (Permit::At(at), _) | (_, Permit::At(at)) => Permit::At(at),
        (Permit::Full, Permit::Full) => Permit::Full,
        (Permit::AfterAnswer, _) | (_, Permit::AfterAnswer) => Permit::AfterAnswer,
    }
}
