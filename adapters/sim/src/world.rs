//! A virtual-time world: real engines against a model server, with nobody to wait for.

mod run;

use std::time::Duration;

use cxone_core::{AttemptId, Config, ConfigError, Notice, Priority, RequestId};

use crate::dice::Dice;
use crate::ideal::ideal_makespan;
use crate::latency::Latency;
use crate::limiter::{LimitSpec, Model};
use crate::report::Report;
use crate::server::{Server, nanos};
use crate::stalls::Stalls;
use run::Run;

/// A server, the clients that share its quota, and the way between them.
///
/// [`run`](Self::run) drives one [`Engine`](cxone_core::Engine) a client as a host does, on a clock
/// that jumps from event to event. The same seed gives the same run, to the nanosecond. By the seed
/// vary the start of the run within a window or a second of the server's, the latencies, the
/// lateness of timers and what the engines draw.
#[derive(Clone, Debug)]
pub struct World {
    /// The server.
    pub server: Server,
    /// The clients. They know nothing of each other.
    pub clients: Vec<Client>,
    /// How long an attempt is on the way.
    pub latency: Latency,
    /// A timer fires up to so long after its moment, as those of hosts do.
    pub timer_lateness: Duration,
    /// How the clients, and the ways there and back, stand still.
    pub stalls: Option<Stalls>,
    /// The run is given up so long after its start; what has not ended by then is lost.
    pub horizon: Duration,
}

/// A client: its settings, and what it submits.
#[derive(Clone, Debug)]
pub struct Client {
    /// The settings of its engine.
    pub config: Config,
    /// What it submits, in any order; what is submitted at the same moment, in this order.
    pub jobs: Vec<SimJob>,
}

/// A request to submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimJob {
    /// When, after the run's start.
    pub at: Duration,
    /// Its class.
    pub priority: Priority,
}

/// Something that happened in a run, for who wants to watch.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A client started an attempt.
    Sent(AttemptId),
    /// The limiter let an attempt pass, or refused it.
    Limiter {
        /// The attempt.
        attempt: AttemptId,
        /// Did it pass?
        accepted: bool,
        /// How many more would have passed.
        remaining: u64,
    },
    /// The limit changed to one that allows more.
    Rose(LimitSpec),
    /// An answer came to its client.
    Answered {
        /// The attempt.
        attempt: AttemptId,
        /// Its status.
        status: u16,
        /// Its headers.
        headers: &'a [(&'a str, &'a str)],
    },
    /// The engine told its user something.
    Told(&'a Notice),
    /// A request ended; was it well?
    Ended(RequestId, bool),
}

/// Longer than anything that is worth waiting for.
pub(crate) const HORIZON: Duration = Duration::from_secs(30 * 86_400);

/// Midnight of a day, in seconds since 1970: a multiple of every usual window.
const MIDNIGHT: u64 = 1_795_392_000;

impl World {
    /// A world with one client; timers fire on time, and a run may take thirty days.
    pub fn new(server: Server, latency: Latency, client: Client) -> World {
        World {
            server,
            clients: vec![client],
            latency,
            timer_lateness: Duration::ZERO,
            stalls: None,
            horizon: HORIZON,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// A client's setting is out of its range.
    pub fn run(&self, seed: u64) -> Result<Report, ConfigError> {
        self.watch(seed, |_, _, _| {})
    }

    /// Runs it, and tells each event with its moment and the number of its client.
    ///
    /// # Errors
    ///
    /// A client's setting is out of its range.
    pub fn watch(
        &self,
        seed: u64,
        watcher: impl FnMut(Duration, usize, Event<'_>),
    ) -> Result<Report, ConfigError> {
        let mut dice = Dice::new(seed);
        let start = self.start(&mut dice);
        let mut run = Run::new(self, start, dice, watcher)?;
        run.go();
        Ok(run.report(self.ideal(Duration::from_nanos(start))))
    }

    /// The least makespan of the run with this seed.
    pub fn ideal_makespan(&self, seed: u64) -> Duration {
        self.ideal(Duration::from_nanos(self.start(&mut Dice::new(seed))))
    }

    fn ideal(&self, start: Duration) -> Duration {
        let slots = self.clients.iter().map(|client| client.config.concurrency);
        let slots = slots.fold(0, u32::saturating_add);
        let jobs = self.clients.iter().flat_map(|client| &client.jobs);
        let submits: Vec<Duration> = jobs.map(|job| job.at).collect();
        ideal_makespan(&self.server, self.latency.least(), slots, &submits, start)
    }

    /// The run's start, in nanoseconds since 1970: anywhere in a window and in a second.
    fn start(&self, dice: &mut Dice) -> u64 {
        let span = match self.server.limit.model {
            Model::Fixed => self.server.limit.window.max(Duration::from_secs(1)),
            _ => Duration::from_secs(1),
        };
        MIDNIGHT * 1_000_000_000 + dice.below(nanos(span))
    }
}
