//! The native client against rate limiters that nobody here wrote. A witness between the two notes
//! what arrives when: all requests finish, and none arrives before a refusal allows it.
//!
//! | limiter | what it says of a refusal |
//! |---|---|
//! | nginx `limit_req`, without and with `burst` | 429, no header: the own backoff is kept |
//! | express-rate-limit, `RateLimit` of draft-8 | 429, `Retry-After`; what is left on each answer |
//! | express-rate-limit, `X-RateLimit-*` | the same in the older headers |

mod servers;
mod witness;

use std::time::{Duration, Instant};

use cxone_client::{Backoff, Client};
use servers::{Express, Nginx};
use witness::{Visit, Witness};

/// The whole check is to end within a minute; the four run side by side.
const MOST: Duration = Duration::from_secs(45);

/// Requests that were on their way when a refusal was told could not know of it. Half of the
/// shortest wait that is asked for here.
const ON_THE_WAY: Duration = Duration::from_millis(150);

/// The shortest own backoff, for a server that states no wait.
const BASE: Duration = Duration::from_millis(300);

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
    let express = Express::start("draft-8").await;
    refused_with_retry_after(&express.url(), "ratelimit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_x14_express_rate_limit_with_x_ratelimit_headers() {
    let express = Express::start("x-ratelimit").await;
    refused_with_retry_after(&express.url(), "x-ratelimit-reset").await;
}

/// A client who reads what each answer says is left, and sends one request at a time, is never
/// refused at all.
#[tokio::test(flavor = "multi_thread")]
async fn x14_an_announced_budget_is_kept_without_a_refusal() {
    for headers in ["draft-8", "x-ratelimit"] {
        let express = Express::start(headers).await;
        let visits = run(&express.url(), "/one", 1, 25).await;
        assert!(visits.iter().all(|visit| visit.status == 200), "{headers}: {visits:#?}");
        assert_eq!(visits.len(), 25, "{headers}");
    }
}

async fn refused_with_retry_after(url: &str, header: &str) {
    let visits = run(url, "/limited", 8, 40).await;
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
    let visits = run(url, path, concurrency, n).await;
    let refusals: Vec<&Visit> = visits.iter().filter(|visit| visit.status == 429).collect();
    assert!(!refusals.is_empty(), "nothing was refused: nothing was shown");
    for refusal in refusals {
        assert!(!refusal.headers.contains_key("retry-after"), "nginx has learned to state a wait");
        nobody_comes_before(&visits, refusal, BASE);
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
async fn run(url: &str, path: &str, concurrency: u32, n: usize) -> Vec<Visit> {
    let witness = Witness::before(url).await;
    let backoff = Backoff { base: BASE, cap: 2 * BASE, ..Backoff::default() };
    let client = Client::builder()
        .base_url(witness.url())
        .no_auth()
        .concurrency(concurrency)
        .backoff(backoff)
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
