//! Foreign code that panics inside of the client: wakers, subscribers, bodies. Nobody else is harmed,
//! and what was learned stays.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{ECHO, builder, burst, client, mock, until};
use cxone_client::{Close, ErrorKind};
use cxone_mock::{Fault, Rule};
use tokio::time::timeout;
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

const SLOW: &str = "/api/v2.0/slow?ms=400";
/// Far longer than any of it takes.
const HANG: Duration = Duration::from_secs(60);

/// A waker that panics, and how often it did.
#[derive(Default)]
struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("on purpose, in a waker");
    }
}

/// Polls once, with a waker that panics.
fn poll_once<F: Future>(future: &mut Pin<Box<F>>, panics: &Arc<Panics>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&Waker::from(panics.clone())))
}

#[tokio::test]
async fn a_waker_that_panics_harms_nobody_else() {
    let mock = mock().await;
    let client = client(&mock);
    client.pause_scope("held");
    let held = tokio::spawn(client.get(ECHO).rate_scope("held").send());
    let slow = tokio::spawn(client.get(SLOW).send());
    until("it is out", async || mock.stats().in_flight == 1).await;
    client.pause();
    let panics = Arc::new(Panics::default());
    let deadline = Duration::from_millis(50);
    let mut bad: Vec<_> =
        (0..20).map(|_| Box::pin(client.get(ECHO).deadline(deadline).send())).collect();
    let good: Vec<_> =
        (0..20).map(|_| tokio::spawn(client.get(ECHO).deadline(deadline).send())).collect();
    bad.iter_mut().for_each(|send| assert!(poll_once(send, &panics).is_pending()));
    for request in good {
        let error = timeout(HANG, request).await.expect("it is told").unwrap().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout);
    }
    until("they were woken", async || panics.0.load(Ordering::Relaxed) >= 20).await;
    // Their answers are there all the same.
    for request in bad {
        assert_eq!(*request.await.unwrap_err().kind(), ErrorKind::Timeout);
    }
    client.resume();
    slow.await.unwrap().expect("nobody has harmed it");
    assert_eq!(burst(&client, 20).await, 0);
    client.resume_scope("held");
    held.await.unwrap().expect("nor this one");
    let stats = client.stats().await;
    assert_eq!((stats.in_flight, stats.finished, mock.stats().token_fetches), (0, 62, 1));
}

#[tokio::test]
async fn wakers_that_panic_at_a_close_keep_nobody_from_being_told() {
    let mock = mock().await;
    let client = client(&mock);
    client.pause();
    let panics = Arc::new(Panics::default());
    let mut all: Vec<_> = (0..100).map(|_| Box::pin(client.get(ECHO).send())).collect();
    all.iter_mut().for_each(|send| assert!(poll_once(send, &panics).is_pending()));
    let other = tokio::spawn(client.get(ECHO).send());
    until("all wait", async || client.stats().await.queued[1] == 101).await;
    timeout(HANG, client.close(Close::Abort)).await.expect("it ends");
    for request in all {
        let result = timeout(HANG, request).await.expect("each is told");
        assert_eq!(*result.unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_eq!(*other.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(panics.0.load(Ordering::Relaxed), 100);
}

/// Panics at each event of the client's.
struct Subscribed;

impl Subscriber for Subscribed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "cxone_client"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, _: &Event<'_>) {
        panic!("on purpose, in a subscriber");
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_subscriber_that_panics_makes_nobody_early() {
    let _subscribed = tracing::subscriber::set_default(Subscribed);
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(429).retry_after(2)));
    let client = client(&mock);
    let start = Instant::now();
    let refused = tokio::spawn(client.get(ECHO).send());
    until("it was refused", async || mock.stats().api_requests == 1).await;
    assert_eq!(burst(&client, 20).await, 0);
    refused.await.unwrap().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2));
    let stats = mock.stats();
    assert_eq!((stats.early, stats.token_fetches, stats.api_requests), (0, 1, 22));
}

/// A body that panics when it is dropped.
struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        panic!("on purpose, in the drop of a body");
    }
}

impl futures_core::Stream for Dropped {
    type Item = std::io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn bodies_that_panic_when_they_are_dropped_free_their_slots() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(2).build().unwrap();
    let slow = tokio::spawn(client.get(SLOW).send());
    let all = (0..6).map(|_| tokio::spawn(client.put(ECHO).body_stream(Dropped).send()));
    let all: Vec<_> = all.collect();
    until("they wait", async || client.stats().await.queued[1] == 5).await;
    for request in &all {
        request.abort();
    }
    for request in all {
        // Whether the panic meets its caller is not said.
        assert!(timeout(HANG, request).await.expect("it ends").is_err());
    }
    slow.await.unwrap().unwrap();
    assert_eq!(burst(&client, 10).await, 0);
    let stats = client.stats().await;
    assert_eq!((stats.in_flight, stats.queued), (0, [0; 3]));
}
