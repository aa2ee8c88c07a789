//! A model server: a limiter, what it says about itself, and the work behind it.

use std::time::Duration;

use crate::headers::{Announce, Headers, RetryAfter, State};
use crate::limiter::{LimitSpec, Limiter, Model};

/// A server to run clients against.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its limit when the run starts.
    pub limit: LimitSpec,
    /// When fixed windows begin.
    pub windows: Windows,
    /// For a leaky bucket, how many requests ahead of the even rate pass at once; any further one
    /// that the burst admits is held back until its turn (nginx `delay=`; 0 is its default).
    /// `None`: none is held back (`nodelay`).
    pub delay_after: Option<u32>,
    /// How the limit changes.
    pub changes: Vec<Change>,
    /// The status of a refusal.
    pub refusal: u16,
    /// How a refusal states its wait.
    pub retry_after: RetryAfter,
    /// What each answer announces.
    pub announce: Announce,
    /// How much the server's clock is ahead of the clients', in milliseconds.
    pub skew_ms: i64,
    /// How long the server works at a request that its limiter has let pass.
    pub service: Duration,
    /// At how many requests it works at once; the others wait in line. `None`: at all.
    pub workers: Option<u32>,
}

/// When fixed windows begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// At each multiple of their length since 1970: a run starts anywhere in one, as its seed says.
    #[default]
    Epoch,
    /// With the first request after the last window has ended (express-rate-limit, or `INCR` and
    /// `EXPIRE` in Redis).
    FirstRequest,
}

/// A change of the limit in the midst of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it comes.
    pub when: When,
    /// The limit from then on.
    pub limit: LimitSpec,
}

/// When a limit changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the run's start.
    At(Duration),
    /// After so many requests have passed the limiter.
    Accepted(u64),
}

impl Server {
    /// A server with this limit that answers at once, refuses with 429 and says nothing more.
    pub fn new(limit: LimitSpec) -> Server {
        Server {
            limit,
            windows: Windows::Epoch,
            delay_after: None,
            changes: Vec::new(),
            refusal: 429,
            retry_after: RetryAfter::None,
            announce: Announce::None,
            skew_ms: 0,
            service: Duration::ZERO,
            workers: None,
        }
    }
}

/// nginx counts in whole milliseconds.
const NGINX_GRAIN: u64 = 1_000_000;

/// The state of a server's limiter. Times are nanoseconds since the run's start.
pub(crate) struct Door<'a> {
    server: &'a Server,
    /// The run's start, in nanoseconds since 1970, on the true clock.
    start: u64,
    limiter: Limiter,
    /// When the window of [`Windows::FirstRequest`] began.
    window_from: Option<u64>,
    changes: Vec<Change>,
    accepted: u64,
    /// The limit, if it has just risen and nobody has asked.
    rise: Option<LimitSpec>,
}

/// A request's turn at the limiter.
pub(crate) struct Turn {
    pub(crate) accepted: bool,
    pub(crate) remaining: u64,
    /// Until the quota grows; for a refused request, until it would pass.
    pub(crate) reset: Duration,
    /// How long an accepted request is held back.
    pub(crate) held_back: Duration,
}

impl<'a> Door<'a> {
    pub(crate) fn new(server: &'a Server, start: u64) -> Door<'a> {
        Door {
            server,
            start,
            limiter: Limiter::new(server.limit),
            window_from: None,
            changes: server.changes.clone(),
            accepted: 0,
            rise: None,
        }
    }

    /// The same, for somebody whom it never refuses.
    pub(crate) fn lenient(server: &'a Server, start: u64) -> Door<'a> {
        let lenient = |spec: LimitSpec| LimitSpec { count_refused: false, ..spec };
        let mut door = Door::new(server, start);
        door.limiter = Limiter::new(lenient(server.limit));
        door.changes.iter_mut().for_each(|change| change.limit = lenient(change.limit));
        door
    }

    /// A request comes to the limiter.
    pub(crate) fn arrive(&mut self, now: u64) -> Turn {
        self.change(now);
        let at = self.limiter_time(now);
        let decision = self.limiter.try_acquire(at);
        let accepted = decision.is_allowed();
        self.accepted += u64::from(accepted);
        let held_back = match self.server.delay_after {
            Some(after) if accepted => {
                let spec = self.limiter.spec();
                let ahead = self.limiter.ahead();
                let ahead =
                    ahead.saturating_sub(spec.window.saturating_mul(after) / spec.quota.max(1));
                // Counted, like all else, from when the millisecond began.
                ahead.saturating_sub(Duration::from_nanos(now - self.floor(now)))
            }
            _ => Duration::ZERO,
        };
        let reset = decision.reset().saturating_sub(at);
        let turn = Turn { accepted, remaining: decision.remaining(), reset, held_back };
        self.change(now);
        turn
    }

    /// The first moment from `now` on at which a request passes, which it does.
    pub(crate) fn pass(&mut self, mut now: u64) -> (u64, Turn) {
        loop {
            let turn = self.arrive(now);
            if turn.accepted {
                return (now, turn);
            }
            let grain = self.grain();
            let retry_at = self.floor(now).saturating_add(nanos(turn.reset).max(1));
            let wall = (self.start + retry_at).div_ceil(grain) * grain;
            let retry_at = wall - self.start;
            let change = self.changes.iter().find_map(|change| match change.when {
                When::At(at) if nanos(at) > now => Some(nanos(at)),
                _ => None,
            });
            now = change.map_or(retry_at, |at| at.min(retry_at)).max(now + 1);
        }
    }

    pub(crate) fn headers(&self, turn: &Turn, now: u64) -> Headers {
        let skew = Duration::from_millis(self.server.skew_ms.unsigned_abs());
        let unix = Duration::from_nanos(self.start + now);
        let unix = if self.server.skew_ms < 0 { unix - skew.min(unix) } else { unix + skew };
        let state = State {
            spec: self.limiter.spec(),
            refused: !turn.accepted,
            remaining: turn.remaining,
            reset: turn.reset,
            unix,
        };
        state.headers(self.server.retry_after, self.server.announce)
    }

    /// The limit that has just come into force, if it allows more than the last. Said once.
    pub(crate) fn take_rise(&mut self) -> Option<LimitSpec> {
        self.rise.take()
    }

    fn change(&mut self, now: u64) {
        while let Some(change) = self.changes.first() {
            let due = match change.when {
                When::At(at) => nanos(at) <= now,
                When::Accepted(many) => many <= self.accepted,
            };
            if !due {
                return;
            }
            let change = self.changes.remove(0);
            let old = *self.limiter.spec();
            self.limiter.change(change.limit);
            let per_window =
                |a: &LimitSpec, b: &LimitSpec| u128::from(a.quota) * b.window.as_nanos().max(1);
            if per_window(&change.limit, &old) > per_window(&old, &change.limit) {
                self.rise = Some(change.limit);
            }
        }
    }

    fn limiter_time(&mut self, now: u64) -> Duration {
        let spec = *self.limiter.spec();
        if spec.model != Model::Fixed || self.server.windows == Windows::Epoch {
            return Duration::from_nanos(self.start + self.floor(now));
        }
        match self.window_from {
            Some(from) if now < from.saturating_add(nanos(spec.window)) => {
                Duration::from_nanos(now - from)
            }
            _ => {
                self.window_from = Some(now);
                self.limiter = Limiter::new(spec);
                Duration::ZERO
            }
        }
    }

    fn floor(&self, now: u64) -> u64 {
        let wall = self.start + now;
        (wall / self.grain() * self.grain()).saturating_sub(self.start)
    }

    fn grain(&self) -> u64 {
        if self.limiter.spec().model == Model::Leaky { NGINX_GRAIN } else { 1 }
    }
}

/// The work behind a limiter: a line for a number of workers.
pub(crate) struct Workers {
    service: u64,
    /// When each worker is free; `None`: there are always enough.
    free: Option<Vec<u64>>,
}

impl Workers {
    pub(crate) fn new(server: &Server) -> Workers {
        let free = server.workers.map(|many| vec![0; many.max(1) as usize]);
        Workers { service: nanos(server.service), free }
    }

    /// When the work is done of a request that comes at `now`. They come in the order of time.
    pub(crate) fn done_at(&mut self, now: u64) -> u64 {
        match self.free.as_mut().and_then(|free| free.iter_mut().min()) {
            None => now + self.service,
            Some(free) => {
                *free = now.max(*free) + self.service;
                *free
            }
        }
    }
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_window_from_the_first_request_begins_anew_with_the_first_after_it() {
        let mut server = Server::new("fixed:1/1s".parse().unwrap());
        server.windows = Windows::FirstRequest;
        let mut door = Door::new(&server, 12_345 * MS);
        assert!(door.arrive(300 * MS).accepted);
        assert_eq!(door.arrive(400 * MS).reset, Duration::from_millis(900));
        assert!(door.arrive(1700 * MS).accepted, "the first window is over");
        assert!(!door.arrive(2699 * MS).accepted, "the second began at 1.7 s");
        assert!(door.arrive(2700 * MS).accepted);
    }

    #[test]
    fn a_leaky_bucket_without_nodelay_holds_back_what_comes_ahead_of_its_rate() {
        let mut server = Server::new("leaky:10/s+5".parse().unwrap());
        server.delay_after = Some(0);
        let held = |server: &Server| -> Vec<u128> {
            let mut door = Door::new(server, 0);
            (0..6).map(|_| door.arrive(0).held_back.as_millis()).collect()
        };
        assert_eq!(held(&server), [0, 100, 200, 300, 400, 500]);
        server.delay_after = Some(2);
        assert_eq!(held(&server), [0, 0, 0, 100, 200, 300]);
        server.delay_after = None;
        assert_eq!(held(&server), [0; 6]);
    }

    #[test]
    fn a_leaky_bucket_counts_in_whole_milliseconds_as_nginx_does() {
        let server = Server::new("leaky:50/s".parse().unwrap());
        let mut door = Door::new(&server, 0);
        assert!(door.arrive(MS / 2).accepted, "counts as 0 ms");
        assert!(!door.arrive(20 * MS - 1).accepted, "counts as 19 ms");
        assert!(door.arrive(20 * MS).accepted);
    }

    #[test]
    fn a_limit_changes_at_its_time_or_after_its_count() {
        let mut server = Server::new("fixed:1/1h".parse().unwrap());
        let limit = "fixed:2/1h".parse().unwrap();
        server.changes = vec![Change { when: When::At(Duration::from_secs(1)), limit }];
        let mut door = Door::new(&server, 0);
        assert!(door.arrive(0).accepted && !door.arrive(999 * MS).accepted);
        assert!(door.arrive(1000 * MS).accepted && door.take_rise() == Some(limit));
        server.changes = vec![Change { when: When::Accepted(1), limit }];
        let mut door = Door::new(&server, 0);
        assert!(door.arrive(0).accepted && door.arrive(0).accepted && !door.arrive(0).accepted);
    }

    #[test]
    fn requests_wait_for_a_worker_in_line() {
        let mut server = Server::new("fixed:9/1s".parse().unwrap());
        server.service = Duration::from_millis(20);
        server.workers = Some(2);
        let mut workers = Workers::new(&server);
        let done: Vec<u64> = [0, 0, 0, 50].map(|at| workers.done_at(at * MS) / MS).into();
        assert_eq!(done, [20, 20, 40, 70]);
    }
}
