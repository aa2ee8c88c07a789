//! Callers that look elsewhere: they poll what they have begun late, or never. Nobody waits for them,
//! and what the server says is heard in time.

mod common;

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{ECHO, builder, burst, mock, until};
use cxone_client::{Close, ErrorKind};
use cxone_mock::{Fault, Rule};
use tokio::time::timeout;

const SLOW: &str = "/api/v2.0/slow?ms=60";
/// Far longer than any of it takes, and shorter than an attempt's time.
const HANG: Duration = Duration::from_secs(10);

/// Begins something and looks elsewhere.
fn begun<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut nobody).is_pending());
    future
}

#[tokio::test]
async fn a_request_is_sent_and_answered_though_nobody_polls_it() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(1).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    let mut all: Vec<_> = (0..3).map(|_| begun(client.get(SLOW).send())).collect();
    let stream = begun(client.get(ECHO).send_stream());
    // They are out one after the other, and then this one is.
    timeout(HANG, client.get(ECHO).send()).await.expect("it is not held up").unwrap();
    let stats = client.stats().await;
    assert_eq!((stats.in_flight, stats.finished, stats.retries), (0, 6, 0));
    // Their answers are kept.
    for request in all.drain(..) {
        assert_eq!(request.await.unwrap().attempts(), 1);
    }
    assert!(stream.await.unwrap().chunk().await.unwrap().is_some());
    assert_eq!(mock.stats().api_requests, 6);
}

#[tokio::test]
async fn a_refusal_is_heard_though_nobody_polls_its_request() {
    let mock = mock().await;
    let client = builder(&mock).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    mock.script(Rule::api(Fault::status(429).retry_after(1)));
    let refused = begun(client.get(ECHO).send());
    until("it is refused", async || client.stats().await.throttled == 1).await;
    assert_eq!(timeout(HANG, burst(&client, 20)).await.expect("they are not held up"), 0);
    assert_eq!(refused.await.unwrap().attempts(), 2);
    assert_eq!(mock.stats().early, 0);
}

#[tokio::test]
async fn a_request_that_is_forgotten_holds_up_nobody() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(2).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    for _ in 0..10 {
        mem::forget(begun(client.get(SLOW).send()));
    }
    assert_eq!(timeout(HANG, burst(&client, 10)).await.expect("they are not held up"), 0);
    timeout(HANG, client.close(Close::Drain)).await.expect("it ends");
    let stats = client.stats().await;
    assert_eq!((stats.in_flight, stats.finished), (0, 21));
}

#[tokio::test]
async fn what_nobody_polls_is_retried_times_out_and_is_cancelled_all_the_same() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(3).max_attempts(1).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    let time = Duration::from_millis(100);
    let late = begun(client.get("/api/v2.0/slow?ms=5000").timeout(time).send());
    let dead = begun(client.get("/api/v2.0/slow?ms=5000").deadline(time).send());
    let gone = begun(client.get("/api/v2.0/slow?ms=5000").send());
    until("all are out", async || mock.stats().in_flight == 3).await;
    drop(gone);
    until("none is", async || client.stats().await.in_flight == 0).await;
    for request in [late, dead] {
        assert_eq!(*request.await.unwrap_err().kind(), ErrorKind::Timeout);
    }
    until("the server has seen it", async || mock.stats().in_flight == 0).await;
    assert_eq!(client.stats().await.cancelled, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_blocks_holds_up_nobody() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(1).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    let (began, has_begun) = tokio::sync::oneshot::channel();
    let (done, is_done) = std::sync::mpsc::channel();
    let send = client.get(SLOW).send();
    let blocking = tokio::spawn(async move {
        let send = begun(send);
        began.send(()).unwrap();
        let wait = || is_done.recv_timeout(HANG).expect("the other one is done");
        tokio::task::block_in_place(wait);
        send.await
    });
    has_begun.await.unwrap();
    timeout(HANG, client.get(ECHO).send()).await.expect("it is not held up").unwrap();
    done.send(()).unwrap();
    assert_eq!(blocking.await.unwrap().unwrap().attempts(), 1);
}
