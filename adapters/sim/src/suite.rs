//! The scenarios by which the engine's pacing is judged.
//!
//! Each is a name and a [`World`] as a function of the clients' settings. Where nothing else is
//! said a request takes 100 ms ± 10 % and a client has 8 in flight at most; of the requests one in a
//! hundred is HIGH and comes in the midst of the run, and the others are LOW and wait from its start.
//!
//! | scenario | limit |
//! |---|---|
//! | A | 150 per 300 s, fixed windows, Retry-After |
//! | B | the same without a header |
//! | C | token bucket 10/s + 20, Retry-After |
//! | D | sliding log 100 per 60 s, no header |
//! | E | nginx `limit_req` 10/s burst 5 nodelay, no header |
//! | F | C, refused requests count too |
//! | G-A-…, G-C-… | A and C, announced as draft-10 or `X-RateLimit-*` |
//! | H | bucket 20/s + 20 that falls to 5/s after 24 s, Retry-After |
//! | I | bucket 5/s + 20 that rises to 20/s after 96 s, Retry-After |
//! | J | A, shared by three clients that know nothing of each other |
//! | U-… | 500 LOW, then 20 HIGH, one each 400 ms; 20 ms of service, 2 ms away |
//! | nginx-…, express-… | as servers on the same machine: 20 ms of service, 2 ms away |

mod strangers;

use std::time::Duration;

use cxone_core::{Backoff, Config, KnownLimit, Pacing, Priority};

use crate::headers::{Announce, RetryAfter};
use crate::ideal::ideal_makespan;
use crate::latency::Latency;
use crate::limiter::{LimitSpec, Model};
use crate::server::{Change, Server, When, Windows};
use crate::stalls::Stalls;
use crate::world::{Client, HORIZON, SimJob, World};

pub use strangers::strangers;

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The default: it learns what the server allows.
    Learned,
    /// The tutorial's arithmetic, and no pacing.
    Tutorial,
    /// It is told the limit that the server has at first, and keeps to it.
    Fixed,
    /// The default backoff, and no pacing.
    Off,
}

/// A scenario of the suite.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Requests in all.
    pub requests: u32,
    /// Clients that share them evenly.
    pub clients: u32,
    /// Attempts in flight at once, each client.
    pub concurrency: u32,
    /// The server.
    pub server: Server,
    /// How long an attempt is on the way.
    pub latency: Latency,
    /// How late timers are.
    pub timer_lateness: Duration,
    /// How the clients, and the ways there and back, stand still.
    pub stalls: Option<Stalls>,
    /// The urgent ones among the requests.
    pub urgent: Urgent,
}

/// The HIGH requests of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// None.
    None,
    /// So many, evenly spread over the time that the run takes at best.
    Spread(u32),
    /// So many, one each so often.
    Each(u32, Duration),
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 4] = [Policy::Learned, Policy::Tutorial, Policy::Fixed, Policy::Off];

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Learned => "learned",
            Policy::Tutorial => "tutorial",
            Policy::Fixed => "fixed",
            Policy::Off => "off",
        }
    }

    /// The settings of a client of a server with that limit.
    pub fn config(self, limit: &LimitSpec) -> Config {
        let paced = |pacing| Config { pacing, ..Config::default() };
        match self {
            Policy::Learned => Config::default(),
            Policy::Tutorial => Config { backoff: Backoff::tutorial(), ..paced(Pacing::Off) },
            Policy::Fixed => paced(Pacing::Fixed(known(limit))),
            Policy::Off => paced(Pacing::Off),
        }
    }
}

/// A limit as an operator would tell it to a client.
fn known(limit: &LimitSpec) -> KnownLimit {
    let burst = match limit.model {
        Model::Fixed | Model::Sliding => None,
        Model::Bucket => Some(limit.burst.max(1)),
        // One more than nginx's burst: a request that is on time, and those ahead of it.
        Model::Leaky => Some(limit.burst.saturating_add(1)),
    };
    KnownLimit { requests: limit.quota, per: limit.window, burst }
}

impl Scenario {
    /// The settings of its clients under that policy.
    pub fn config(&self, policy: Policy) -> Config {
        policy.config(&self.server.limit)
    }

    /// The scenario's world, with clients of these settings.
    pub fn world(&self, config: &Config) -> World {
        let config = Config { concurrency: self.concurrency, ..config.clone() };
        let clients = self.clients.max(1);
        let (urgent, each) = match self.urgent {
            Urgent::None | Urgent::Spread(0) => (0, Duration::ZERO),
            Urgent::Spread(many) => (many, self.ideal_of_batch() / (many + 1)),
            Urgent::Each(many, each) => (many, each),
        };
        // Both kinds are dealt out one by one, so that each client gets its share of both.
        let jobs = |client: u32| {
            let low = (client..self.requests.saturating_sub(urgent)).step_by(clients as usize);
            let low = low.map(|_| SimJob { at: Duration::ZERO, priority: Priority::Low });
            let high = (client..urgent).step_by(clients as usize);
            let high = high.map(|i| SimJob { at: each * (i + 1), priority: Priority::High });
            low.chain(high).collect()
        };
        let clients = (0..clients).map(|i| Client { config: config.clone(), jobs: jobs(i) });
        World {
            server: self.server.clone(),
            clients: clients.collect(),
            latency: self.latency,
            timer_lateness: self.timer_lateness,
            stalls: self.stalls,
            horizon: HORIZON,
        }
    }

    /// The least makespan if all were submitted at the start of a window.
    fn ideal_of_batch(&self) -> Duration {
        let jobs = vec![Duration::ZERO; self.requests as usize];
        let slots = self.concurrency.saturating_mul(self.clients.max(1));
        ideal_makespan(&self.server, self.latency.least(), slots, &jobs, Duration::ZERO)
    }
}

/// All scenarios, in the order of the table above.
pub fn suite() -> Vec<Scenario> {
    let mut all = batches();
    all.extend(announced());
    all.extend(urgent());
    all.extend(sockets());
    all
}

fn batches() -> Vec<Scenario> {
    let media = limit("fixed:150/300s");
    let bucket = limit("bucket:10/s+20");
    // When half of the requests can have passed: by time and not by their number, or a sender
    // that saves up its tokens for the slower half would be faster than one that sends.
    let midway = |from: &str, secs: u64, to: &str| {
        let when = When::At(Duration::from_secs(secs));
        Server { changes: vec![Change { when, limit: limit(to) }], ..stating(limit(from)) }
    };
    vec![
        batch("A", 600, stating(media)),
        batch("B", 600, Server::new(media)),
        batch("C", 1000, stating(bucket)),
        batch("D", 500, Server::new(limit("sliding:100/60s"))),
        batch("E", 500, Server::new(limit("leaky:10/s+5"))),
        batch("H", 1000, midway("bucket:20/s+20", 24, "bucket:5/s+20")),
        batch("F", 1000, stating(bucket.counting_refused())),
        batch("I", 1000, midway("bucket:5/s+20", 96, "bucket:20/s+20")),
        Scenario { clients: 3, ..batch("J", 600, stating(media)) },
    ]
}

fn announced() -> Vec<Scenario> {
    let with = |name, announce| {
        let (requests, spec) = match name {
            "G-A-draft10" | "G-A-x" => (600, "fixed:150/300s"),
            _ => (1000, "bucket:10/s+20"),
        };
        batch(name, requests, Server { announce, ..stating(limit(spec)) })
    };
    vec![
        with("G-A-draft10", Announce::Draft10),
        with("G-A-x", Announce::XDelta),
        with("G-C-draft10", Announce::Draft10),
        with("G-C-x", Announce::XDelta),
    ]
}

fn urgent() -> Vec<Scenario> {
    let window = Server { windows: Windows::FirstRequest, ..stating(limit("fixed:100/2s")) };
    let with = |name, server| Scenario {
        urgent: Urgent::Each(20, Duration::from_millis(400)),
        ..near(name, 520, server)
    };
    vec![
        with("U-window-draft10", Server { announce: Announce::Draft10, ..window.clone() }),
        with("U-window-x", Server { announce: Announce::XEpoch, ..window }),
        with("U-nginx", Server::new(limit("leaky:50/s+20"))),
    ]
}

/// What real servers on the same machine do, as near as a model comes.
fn sockets() -> Vec<Scenario> {
    let window = Server { windows: Windows::FirstRequest, ..stating(limit("fixed:100/2s")) };
    vec![
        near("nginx-50", 600, Server::new(limit("leaky:50/s"))),
        near("nginx-50-burst20", 600, Server::new(limit("leaky:50/s+20"))),
        near("express-draft8", 600, Server { announce: Announce::Draft10, ..window.clone() }),
        near("express-x", 600, Server { announce: Announce::XEpoch, ..window }),
    ]
}

fn batch(name: &'static str, requests: u32, server: Server) -> Scenario {
    Scenario {
        name,
        requests,
        clients: 1,
        concurrency: 8,
        server,
        latency: Latency::about(Duration::from_millis(100), 10),
        timer_lateness: Duration::ZERO,
        stalls: None,
        urgent: Urgent::Spread(requests / 100),
    }
}

fn near(name: &'static str, requests: u32, mut server: Server) -> Scenario {
    server.service = Duration::from_millis(20);
    Scenario {
        latency: Latency::about(Duration::from_millis(2), 50),
        timer_lateness: Duration::from_millis(1),
        urgent: Urgent::None,
        ..batch(name, requests, server)
    }
}

fn stating(limit: LimitSpec) -> Server {
    Server { retry_after: RetryAfter::Seconds, ..Server::new(limit) }
}

fn limit(text: &str) -> LimitSpec {
    text.parse().expect("the suite's limits are written out here")
}
