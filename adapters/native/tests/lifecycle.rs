//! Callers that go, clients that close.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{ECHO, builder, burst, client, mock, until};
use cxone_client::{Client, Close, ErrorKind};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

const SLOW: &str = "/api/v2.0/slow?ms=5000";

#[tokio::test]
async fn x27_dropping_a_future_frees_its_slot() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(2).build().unwrap();
    let slow: Vec<_> = (0..6).map(|_| tokio::spawn(client.get(SLOW).send())).collect();
    until("two are out", async || mock.stats().in_flight == 2).await;
    for request in slow {
        request.abort();
    }
    let start = Instant::now();
    client.get(ECHO).send().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    let stats = client.stats().await;
    assert_eq!((stats.cancelled, stats.in_flight), (6, 0));
    // Whose turn came in between, and passed, has sent nothing.
    assert_eq!(mock.stats().api_requests, 3);
    until("the server has seen it", async || mock.stats().in_flight == 0).await;
}

#[tokio::test]
async fn x27_a_future_can_be_dropped_before_the_driver_has_seen_it() {
    let mock = mock().await;
    let client = client(&mock);
    for _ in 0..20 {
        let mut send = pin!(client.get(ECHO).send());
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(send.as_mut().poll(&mut nobody).is_pending());
    }
    client.get(ECHO).send().await.unwrap();
    assert_eq!(mock.stats().api_requests, 1);
    assert_eq!(client.stats().await.queued, [0; 3]);
}

#[tokio::test]
async fn x27_a_signal_cancels() {
    let mock = mock().await;
    let client = client(&mock);
    let signal = async move {
        while mock.stats().in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let error = client.get(SLOW).cancel_on(signal).send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Cancelled, 1));
    until("its slot is free", async || client.stats().await.in_flight == 0).await;
}

#[tokio::test]
async fn t27_a_panicking_caller_wedges_nothing() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(1).build().unwrap();
    let callers = (0..5).map(|_| {
        let request = client.get(SLOW).send();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_millis(30), request).await;
            panic!("on purpose");
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert!(caller.await.unwrap_err().is_panic());
    }
    let body =
        futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Bytes>>> {
            panic!("on purpose, in the body")
        });
    let error = client.put(ECHO).body_stream(body).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Network, "{error:?}");
    assert_eq!(burst(&client, 5).await, 0);
    assert_eq!(client.stats().await.in_flight, 0);
}

#[tokio::test]
async fn x25_x27_a_hundred_thousand_requests_wait_and_are_closed_at_once() {
    let mock = mock().await;
    let client = client(&mock);
    client.pause();
    let requests: FuturesUnordered<_> = (0..100_000).map(|_| client.get(ECHO).send()).collect();
    let results = tokio::spawn(requests.collect::<Vec<_>>());
    let start = Instant::now();
    while client.stats().await.queued[1] < 100_000 {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let start = Instant::now();
    client.close(Close::Abort).await;
    let results = results.await.unwrap();
    // One task holds them all: it must not look at all of them again for every few that end.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let closed = |result: &Result<_, cxone_client::Error>| {
        result.as_ref().is_err_and(|error| *error.kind() == ErrorKind::Closed)
    };
    assert_eq!(results.iter().filter(|result| closed(result)).count(), 100_000);
    assert_eq!(mock.stats().requests, 0);
    assert_eq!(client.stats().await.finished, 100_000);
}

#[tokio::test]
async fn x27_the_queue_is_bounded_and_says_so() {
    let mock = mock().await;
    let client = builder(&mock).queue_limit(3).build().unwrap();
    client.pause();
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(client.get(ECHO).send())).collect();
    until("three wait", async || client.stats().await.queued[1] == 3).await;
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::QueueFull { limit: 3 });
    client.resume();
    for request in waiting {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn x27_close_drains() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(2).build().unwrap();
    client.pause();
    let requests = (0..8).map(|_| tokio::spawn(client.get("/api/v2.0/slow?ms=30").send()));
    let requests: Vec<_> = requests.collect();
    until("all wait", async || client.stats().await.queued[1] == 8).await;
    client.close(Close::Drain).await;
    assert!(requests.iter().all(|request| request.is_finished()) || mock.stats().api_requests == 8);
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Closed);
    assert_eq!(client.stats().await.finished, 8);
    client.close(Close::Abort).await;
}

#[tokio::test]
async fn x27_close_aborts_and_cuts_a_drain_short() {
    let mock = mock().await;
    let client = client(&mock);
    let slow: Vec<_> = (0..12).map(|_| tokio::spawn(client.get(SLOW).send())).collect();
    until("eight are out", async || mock.stats().in_flight == 8).await;
    let start = Instant::now();
    let drain = tokio::spawn({
        let client = client.clone();
        async move { client.close(Close::Drain).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!drain.is_finished());
    client.close(Close::Abort).await;
    drain.await.unwrap();
    for request in slow {
        assert_eq!(*request.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    until("the server has seen it", async || mock.stats().in_flight == 0).await;
}

#[tokio::test]
async fn the_driver_ends_with_the_last_client() {
    let mock = mock().await;
    let client = client(&mock);
    let mut notices = client.notices();
    client.get(ECHO).send().await.unwrap();
    // A request in flight keeps it.
    let last = tokio::spawn(client.get("/api/v2.0/slow?ms=100").send());
    drop(client);
    last.await.unwrap().unwrap();
    let end = async { while notices.recv().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(2), end).await.expect("it ends");
}

#[tokio::test]
async fn x32_clients_share_nothing() {
    let (one, two) = (mock().await, mock().await);
    let (first, second) = (client(&one), client(&two));
    first.pause();
    second.get(ECHO).send().await.unwrap();
    first.close(Close::Abort).await;
    second.get(ECHO).send().await.unwrap();
    assert_eq!((one.stats().requests, two.stats().token_fetches), (0, 1));
}

#[test]
fn x32_building_needs_no_runtime_and_starts_nothing() {
    let client = Client::builder().base_url("http://127.0.0.1:1").no_auth().build().unwrap();
    client.pause();
    client.set_concurrency(3).unwrap();
    let mut send = pin!(client.get("/x").send());
    let mut nobody = Context::from_waker(Waker::noop());
    match send.as_mut().poll(&mut nobody) {
        std::task::Poll::Ready(Err(error)) => assert_eq!(*error.kind(), ErrorKind::Request),
        other => panic!("{other:?}"),
    }
}
