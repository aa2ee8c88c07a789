//! The jobs of the table: 600 requests, or 500 LOW ones and then a HIGH one now and then, by a client
//! that knows nothing of the limit.

use std::time::{Duration, Instant};

use cxone_client::{Client, ClientBuilder, Priority};
use futures_util::future::join_all;

use crate::{
    servers::{Express, Nginx},
    upstream::SERVICE,
};

pub(crate) const CONCURRENCY: u32 = 8;
pub(crate) const REQUESTS: u32 = 600;
pub(crate) const LOW: u32 = 500;
pub(crate) const HIGH: u32 = 20;
const HIGH_EACH: Duration = Duration::from_millis(400);

/// express-rate-limit's.
const QUOTA: u32 = 100;
const WINDOW: Duration = Duration::from_secs(2);

/// nginx's.
const INTERVAL: Duration = Duration::from_millis(20);
const BURST: u32 = 20;

/// A limiter of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Nginx,
    NginxBurst,
    ExpressDraft8,
    ExpressX,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx 50/s",
            Kind::NginxBurst => "nginx 50/s, burst 20",
            Kind::ExpressDraft8 => "express 100 per 2 s, draft-8",
            Kind::ExpressX => "express 100 per 2 s, X-RateLimit",
        }
    }

    /// No client can be faster, even one that knows the limit: the time until the last request is
    /// let through, and answered.
    pub(crate) fn ideal(self, requests: u32) -> Duration {
        let last = match self {
            Kind::Nginx => INTERVAL * (requests - 1),
            Kind::NginxBurst => INTERVAL * (requests - 1 - BURST),
            Kind::ExpressDraft8 | Kind::ExpressX => WINDOW * ((requests - 1) / QUOTA),
        };
        last + SERVICE
    }

    pub(crate) async fn start(self) -> Limiter {
        match self {
            Kind::Nginx | Kind::NginxBurst => Limiter::Nginx(Nginx::start().await, self),
            Kind::ExpressDraft8 => Limiter::Express(Express::start("draft-8", QUOTA, WINDOW).await),
            Kind::ExpressX => Limiter::Express(Express::start("x-ratelimit", QUOTA, WINDOW).await),
        }
    }
}

/// A limiter that runs.
pub(crate) enum Limiter {
    Nginx(Nginx, Kind),
    Express(Express),
}

impl Limiter {
    pub(crate) fn url(&self) -> String {
        match self {
            Limiter::Nginx(nginx, _) => nginx.url(),
            Limiter::Express(express) => express.url(),
        }
    }

    /// What is limited.
    pub(crate) fn path(&self) -> &'static str {
        match self {
            Limiter::Nginx(_, Kind::NginxBurst) => "/50-burst-20",
            Limiter::Nginx(..) => "/50",
            Limiter::Express(_) => "/limited",
        }
    }
}

/// The client, but for its settings of time.
pub(crate) fn client(url: &str) -> ClientBuilder {
    Client::builder()
        .base_url(url)
        .no_auth()
        .concurrency(CONCURRENCY)
        .reqwest(|| reqwest::Client::builder().no_proxy())
}

/// How a job went.
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    /// Between the call and the answer of each HIGH request, sorted.
    pub(crate) high: Vec<Duration>,
    /// When each HIGH request was called for, and its path.
    pub(crate) called: Vec<(Instant, String)>,
    pub(crate) refused: u64,
}

impl Outcome {
    /// The time of the HIGH requests that so many hundredths of them did not exceed.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        let rank = (self.high.len() * hundredths).div_ceil(100).max(1);
        self.high[rank - 1]
    }
}

/// All at once.
pub(crate) async fn batch(client: &Client, path: &str) -> Outcome {
    let start = Instant::now();
    let low = low(client, path, REQUESTS, Priority::Normal);
    join_all(low).await.into_iter().for_each(|task| task.expect("no panic"));
    let (took, refused) = (start.elapsed(), client.stats().await.throttled);
    Outcome { took, high: Vec::new(), called: Vec::new(), refused }
}

/// LOW ones all at once, and HIGH ones in between.
pub(crate) async fn urgent(client: &Client, path: &str) -> Outcome {
    let start = Instant::now();
    let low = low(client, path, LOW, Priority::Low);
    let high = (0..HIGH).map(|i| {
        let path = format!("{path}/high/{i}");
        let request = client.get(&path).priority(Priority::High);
        tokio::spawn(async move {
            tokio::time::sleep(HIGH_EACH * (i + 1)).await;
            let called = Instant::now();
            assert_eq!(request.send().await.expect("an answer").status(), 200);
            (called.elapsed(), (called, path))
        })
    });
    let high = join_all(high.collect::<Vec<_>>()).await.into_iter();
    let (mut high, called): (Vec<_>, Vec<_>) = high.map(|it| it.expect("no panic")).unzip();
    high.sort();
    join_all(low).await.into_iter().for_each(|task| task.expect("no panic"));
    Outcome { took: start.elapsed(), high, called, refused: client.stats().await.throttled }
}

fn low(
    client: &Client,
    path: &str,
    n: u32,
    priority: Priority,
) -> Vec<tokio::task::JoinHandle<()>> {
    let requests = (0..n).map(|i| {
        let request = client.get(format!("{path}/low/{i}")).priority(priority);
        tokio::spawn(async move {
            assert_eq!(request.send().await.expect("an answer").status(), 200);
        })
    });
    requests.collect()
}
