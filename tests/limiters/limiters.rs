//! The native client against rate limiters that nobody here wrote. A witness between the two notes
//! what arrives when: all requests finish, and none arrives before a refusal allows it.
//!
//! | limiter | what it says of a refusal |
//! |---|---|
//! | nginx `limit_req`, without and with `burst` | 429, no header: the own backoff is kept |
//! | express-rate-limit, `RateLimit` of draft-8 | 429, `Retry-After`; what is left on each answer |
//! | express-rate-limit, `X-RateLimit-*` | the same in the older headers |
//!
//! First with pacing switched off, so that there are refusals and what follows from them shows; then
//! as by default, where a client that knows nothing of the limit learns it from few or none. Times
//! are printed and never asserted; `scripts/bench limits` measures them, without a witness.

mod job;
mod servers;
mod upstream;
mod witness;

use std::time::{Duration, Instant};

use cxone_client::{Backoff, Client, Pacing};
use job::{CONCURRENCY, HIGH, Kind, LOW, Limiter, Outcome, REQUESTS};
use servers::{Express, Nginx};
use witness::{Visit, Witness};

/// The whole check is to end within a minute; all run side by side.
const MOST: Duration = Duration::from_secs(45);

/// Requests that were on their way when a refusal was told could not know of it. Half of the
/// shortest wait that is asked for here.
const ON_THE_WAY: Duration = Duration::from_millis(300);

/// A window of express-rate-limit.
const WINDOW: Duration = Duration::from_millis(1500);

/// The shortest own backoff, for a server that states no wait.
const BASE: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread")]
async fn t15_t30_nginx_without_burst() {
    let nginx = Nginx::start().await;
    refused_without_a_word(&nginx.url(), "/even", 8, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_t30_nginx_with_burst() {
    let nginx = Nginx::start().await;
    refused_without_a_word(&nginx.url(), "/burst", 8, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_x14_express_rate_limit_with_draft_8_headers() {
    let express = Express::start("draft-8", 10, WINDOW).await;
    refused_with_retry_after(&express.url(), "ratelimit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_x14_express_rate_limit_with_x_ratelimit_headers() {
    let express = Express::start("x-ratelimit", 10, WINDOW).await;
    refused_with_retry_after(&express.url(), "x-ratelimit-reset").await;
}

/// As many may arrive between the call of a HIGH request and its arrival: what was sent already, and
/// a fair share.
const MOST_BEFORE: usize = 2 * CONCURRENCY as usize;

/// A client who reads what each answer says is left, and sends one request at a time, is never
/// refused at all. But for one thing: where a reset is announced in whole seconds, a window that
/// lasts none is taken for one that does, and that is tried once.
#[tokio::test(flavor = "multi_thread")]
async fn x14_an_announced_budget_is_kept_without_a_refusal() {
    let whole = Duration::from_secs(2);
    for (headers, window, refusals) in [
        ("draft-8", whole, 0),
        ("x-ratelimit", whole, 0),
        ("draft-8", WINDOW, 0),
        ("x-ratelimit", WINDOW, 1),
    ] {
        let express = Express::start(headers, 10, window).await;
        let visits = run(&express.url(), "/one", 1, 25, Pacing::Learned).await;
        let refused: Vec<&Visit> = visits.iter().filter(|visit| visit.status != 200).collect();
        assert!(refused.len() <= refusals, "{headers}, {window:?}: {refused:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_nginx_without_burst_is_learned() {
    learned(Kind::Nginx, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_nginx_with_burst_is_learned() {
    learned(Kind::NginxBurst, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_draft_8_headers_announce_is_never_met() {
    learned(Kind::ExpressDraft8, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_x_ratelimit_headers_announce_is_never_met() {
    learned(Kind::ExpressX, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_requests_overtake_where_a_burst_is_learned() {
    overtaken(Kind::NginxBurst).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_requests_overtake_where_a_quota_is_announced() {
    tokio::join!(overtaken(Kind::ExpressDraft8), overtaken(Kind::ExpressX));
}

/// 600 requests that nobody has told of a limit are all served, with at most so many refusals.
async fn learned(kind: Kind, refusals: usize) {
    let limiter = kind.start().await;
    let witness = Witness::before(&limiter.url()).await;
    let client = job::client(&witness.url()).build().expect("sound settings");
    let job = job::batch(&client, limiter.path());
    let outcome = tokio::time::timeout(MOST, job).await.expect("all requests finish in time");
    let visits = sound(&limiter, &witness, REQUESTS, &outcome);
    let refused = visits.iter().filter(|visit| visit.status == 429).count();
    let efficiency = kind.ideal(REQUESTS).as_secs_f64() / outcome.took.as_secs_f64();
    println!("{:<34} efficiency {efficiency:.3}, {refused} refused", kind.name());
    assert!(refused <= refusals, "{refused} refused by {}", kind.name());
}

/// Of 500 LOW requests that wait, hardly any goes before a HIGH one that comes later.
async fn overtaken(kind: Kind) {
    let limiter = kind.start().await;
    let witness = Witness::before(&limiter.url()).await;
    let client = job::client(&witness.url()).build().expect("sound settings");
    let job = job::urgent(&client, limiter.path());
    let outcome = tokio::time::timeout(MOST, job).await.expect("all requests finish in time");
    let mut visits = sound(&limiter, &witness, LOW + HIGH, &outcome);
    let ratio = outcome.took.as_secs_f64() / kind.ideal(LOW + HIGH).as_secs_f64();
    let (p50, p99) = (outcome.percentile(50).as_millis(), outcome.percentile(99).as_millis());
    println!("{:<34} makespan {ratio:.3}, HIGH p50 {p50} ms, p99 {p99} ms", kind.name());
    visits.sort_by_key(|visit| visit.arrived);
    for (called, path) in &outcome.called {
        let before = visits.iter().skip_while(|visit| visit.arrived < *called);
        let before = before.take_while(|visit| visit.path != *path).count();
        assert!(before <= MOST_BEFORE, "{before} arrived before {path} of {}", kind.name());
    }
}

/// What holds of each job: what was called for was served, once each; nobody came before a stated
/// wait was over; and there were never more in flight than may be.
fn sound(limiter: &Limiter, witness: &Witness, requests: u32, outcome: &Outcome) -> Vec<Visit> {
    let visits = witness.visits();
    let mut served: Vec<&str> =
        visits.iter().filter(|visit| visit.status == 200).map(|v| &*v.path).collect();
    served.sort_unstable();
    served.dedup();
    assert_eq!(served.len(), requests as usize, "each is served");
    let refused = visits.iter().filter(|visit| visit.status == 429).count();
    assert_eq!(refused as u64, outcome.refused, "each refusal is counted");
    let others = visits.iter().filter(|visit| visit.status != 429).count();
    assert_eq!(others, requests as usize, "none is served twice");
    if let Limiter::Nginx(nginx, _) = limiter {
        assert_eq!(nginx.served(), u64::from(requests));
    }
    for refusal in visits.iter().filter(|visit| visit.headers.contains_key("retry-after")) {
        let stated = refusal.headers["retry-after"].to_str().unwrap().parse().unwrap();
        nobody_comes_before(&visits, refusal, Duration::from_secs(stated));
    }
    for visit in &visits {
        let here =
            |other: &&Visit| other.arrived <= visit.arrived && other.answered > visit.arrived;
        let in_flight = visits.iter().filter(here).count();
        assert!(in_flight <= CONCURRENCY as usize, "{in_flight} in flight");
    }
    visits
}

async fn refused_with_retry_after(url: &str, header: &str) {
    let visits = run(url, "/limited", 8, 40, Pacing::Off).await;
    assert!(visits.iter().all(|visit| visit.headers.contains_key(header)), "{header} is not sent");
    let refusals: Vec<&Visit> = visits.iter().filter(|visit| visit.status == 429).collect();
    assert!(!refusals.is_empty(), "nothing was refused: nothing was shown");
    for refusal in refusals {
        let stated = refusal.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(stated >= 1, "no wait is stated");
        nobody_comes_before(&visits, refusal, Duration::from_secs(stated));
    }
}

async fn refused_without_a_word(url: &str, path: &str, concurrency: u32, n: usize) {
    let visits = run(url, path, concurrency, n, Pacing::Off).await;
    let refusals: Vec<&Visit> = visits.iter().filter(|visit| visit.status == 429).collect();
    assert!(!refusals.is_empty(), "nothing was refused: nothing was shown");
    for &refusal in &refusals {
        assert!(!refusal.headers.contains_key("retry-after"), "nginx has learned to state a wait");
        // Those of one round are waited for together, from the first on.
        let told = refusal.answered;
        if refusals.iter().all(|first| first.answered >= told || first.answered + ON_THE_WAY < told)
        {
            nobody_comes_before(&visits, refusal, BASE);
        }
    }
}

/// Panics if a request that could know of the refusal came before its wait was over.
fn nobody_comes_before(visits: &[Visit], refusal: &Visit, wait: Duration) {
    let (told, over) = (refusal.answered, refusal.answered + wait);
    for visit in visits {
        let early = visit.arrived > told + ON_THE_WAY && visit.arrived < over;
        let before = over.saturating_duration_since(visit.arrived);
        assert!(!early, "{before:?} too early after {refusal:?}: {visit:?}");
    }
}

/// Sends so many requests at once through a witness and waits until all are answered well.
async fn run(url: &str, path: &str, concurrency: u32, n: usize, pacing: Pacing) -> Vec<Visit> {
    let witness = Witness::before(url).await;
    let backoff = Backoff { base: BASE, cap: 2 * BASE, ..Backoff::default() };
    let client = Client::builder()
        .base_url(witness.url())
        .no_auth()
        .concurrency(concurrency)
        .backoff(backoff)
        .pacing(pacing)
        .reqwest(|| reqwest::Client::builder().no_proxy())
        .build()
        .expect("sound settings");
    let start = Instant::now();
    let requests = (0..n).map(|i| tokio::spawn(client.get(format!("{path}/{i}")).send()));
    let all = async {
        for request in requests.collect::<Vec<_>>() {
            let response = request.await.expect("no panic").expect("an answer");
            assert_eq!(response.status(), 200);
        }
    };
    tokio::time::timeout(MOST, all).await.expect("all requests finish in time");
    let visits = witness.visits();
    let served = visits.iter().filter(|visit| visit.status == 200).count();
    assert_eq!(served, n, "each was served once");
    println!(
        "{path}: {n} served, {} refused, in {:.1} s",
        visits.len() - served,
        start.elapsed().as_secs_f64()
    );
    visits
}
