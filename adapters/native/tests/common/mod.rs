//! What the tests share.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use cxone_client::{Backoff, Client, ClientBuilder};
use cxone_mock::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Mock};

/// Answers with what it was sent.
pub(crate) const ECHO: &str = "/api/v2.0/echo";

pub(crate) async fn mock() -> Mock {
    Mock::builder().start().await.expect("a port on loopback")
}

/// Credentials, and waits that no test has to sit out.
pub(crate) fn builder(mock: &Mock) -> ClientBuilder {
    Client::builder()
        .base_url(mock.url())
        .client_credentials(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
        .backoff(fast())
        .seed(7)
}

pub(crate) fn client(mock: &Mock) -> Client {
    builder(mock).build().expect("sound settings")
}

pub(crate) fn fast() -> Backoff {
    Backoff {
        base: Duration::from_millis(20),
        cap: Duration::from_millis(100),
        ..Backoff::default()
    }
}

/// Waits until something holds, which it must within five seconds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(5), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends so many requests at once; how many failed.
pub(crate) async fn burst(client: &Client, n: usize) -> usize {
    let requests = (0..n).map(|i| tokio::spawn(client.get(format!("{ECHO}/{i}")).send()));
    let mut failed = 0;
    for request in requests.collect::<Vec<_>>() {
        if let Err(error) = request.await.expect("no panic") {
            eprintln!("{error:?}");
            failed += 1;
        }
    }
    failed
}

/// The paths of the API requests, as they arrived.
pub(crate) fn arrivals(mock: &Mock) -> Vec<String> {
    let log = mock.log().into_iter();
    log.map(|entry| entry.path).filter(|path| path != "/oauth2/token").collect()
}
