//! Clients that are used from several runtimes, or from none; runtimes that end, or that nobody runs.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{ECHO, burst, client, mock, until};
use cxone_client::{Close, ErrorKind};
use cxone_mock::{Fault, Mock, Rule};
use tokio::runtime::Runtime;

const SLOW: &str = "/api/v2.0/slow?ms=5000";
/// Far longer than any of it takes.
const HANG: Duration = Duration::from_secs(60);

/// A mock in a runtime of its own.
fn apart() -> (Runtime, Mock) {
    let runtime = Runtime::new().unwrap();
    let mock = runtime.block_on(mock());
    (runtime, mock)
}

#[test]
fn a_client_outlives_its_runtime() {
    let (_server, mock) = apart();
    let client = client(&mock);
    for _ in 0..3 {
        let runtime = Runtime::new().unwrap();
        assert_eq!(runtime.block_on(burst(&client, 10)), 0);
    }
}

#[test]
fn what_was_learned_outlives_a_runtime() {
    let (_server, mock) = apart();
    let client = client(&mock);
    for sends in 1..=3 {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(client.get(ECHO).send()).unwrap();
        assert_eq!(runtime.block_on(client.stats()).sends, sends);
    }
    assert_eq!(mock.stats().token_fetches, 1);

    // Who was refused goes, and with it the runtime; the pause stays.
    mock.script(Rule::api(Fault::status(429).retry_after(1)));
    let start = Instant::now();
    Runtime::new().unwrap().block_on(async {
        let refused = tokio::spawn(client.get(ECHO).send());
        until("it was refused", async || client.stats().await.throttled == 1).await;
        refused.abort();
    });
    Runtime::new().unwrap().block_on(client.get(ECHO).send()).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    let stats = mock.stats();
    assert_eq!((stats.token_fetches, stats.early), (1, 0));
}

#[test]
fn a_token_fetch_that_ended_with_its_runtime_is_done_again() {
    let (_server, mock) = apart();
    mock.script(Rule::token(Fault::slow(Duration::from_secs(10))));
    let client = client(&mock);
    Runtime::new().unwrap().block_on(async {
        let waiting = tokio::spawn(client.get(ECHO).send());
        until("it is being fetched", async || mock.stats().token_requests == 1).await;
        waiting.abort();
    });
    let start = Instant::now();
    Runtime::new().unwrap().block_on(client.get(ECHO).send()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((mock.stats().token_requests, mock.stats().token_fetches), (2, 1));
}

#[test]
fn a_token_fetch_that_ended_with_its_runtime_holds_up_no_close() {
    let (_server, mock) = apart();
    for how in [Close::Drain, Close::Abort] {
        mock.reset();
        mock.script(Rule::token(Fault::slow(Duration::from_secs(10))));
        let client = client(&mock);
        let first = current();
        first.block_on(async {
            drop(tokio::spawn(client.get(ECHO).send()));
            until("it is being fetched", async || mock.stats().token_requests == 1).await;
        });
        drop(first);
        let start = Instant::now();
        outside(async move { client.close(how).await });
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn what_is_steered_between_two_runtimes_counts() {
    let (_server, mock) = apart();
    let client = client(&mock);
    client.pause();
    client.pause_scope("a");
    Runtime::new().unwrap().block_on(async {
        drop(tokio::spawn(client.get(ECHO).send()));
        until("it waits", async || client.stats().await.queued[1] == 1).await;
    });
    client.resume();
    client.resume_scope("a");
    client.pause_scope("b");
    client.set_concurrency(1).unwrap();
    Runtime::new().unwrap().block_on(async {
        let held = tokio::spawn(client.get(ECHO).rate_scope("b").send());
        until("it waits", async || client.stats().await.queued[1] == 1).await;
        client.get(ECHO).rate_scope("a").send().await.unwrap();
        assert_eq!(burst(&client, 10).await, 0);
        assert!(!held.is_finished());
    });
    assert_eq!(mock.stats().max_in_flight, 1);
}

#[test]
fn what_a_runtime_takes_with_it_is_closed() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let first = Runtime::new().unwrap();
    first.block_on(client.get(ECHO).send()).unwrap();
    let second = Runtime::new().unwrap();
    second.block_on(async {
        client.pause();
        let waiting = tokio::spawn(client.get(ECHO).send());
        until("it waits", async || client.stats().await.queued[1] == 1).await;
        first.shutdown_background();
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Closed);
        // The pause outlives the driver.
        let waiting = tokio::spawn(client.get(ECHO).send());
        until("it waits", async || client.stats().await.queued[1] == 1).await;
        client.resume();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn a_runtime_that_nobody_runs_hangs_nobody() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let (first, second) = (current(), current());
    first.block_on(client.get(ECHO).send()).unwrap();
    // The driver lives in the first one, which has stopped.
    second.block_on(client.get(ECHO).send()).unwrap();
    // Should it go on, the old driver ends, and the new one serves it.
    mock.script(Rule::api(Fault::status(502)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            second.block_on(async { tokio::time::sleep(Duration::from_millis(500)).await });
        });
        first.block_on(client.get(ECHO).send()).unwrap();
    });
}

#[test]
fn a_runtime_that_stops_in_the_middle_hangs_nobody_elsewhere() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let (first, second) = (current(), current());
    first.block_on(client.get(ECHO).send()).unwrap();
    let elsewhere = std::thread::spawn({
        let client = client.clone();
        move || second.block_on(client.get(SLOW).send())
    });
    // The driver serves it for as long as somebody runs it.
    first.block_on(until("it is out", async || mock.stats().in_flight == 1));
    let error = elsewhere.join().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Closed, 1));
    first.block_on(client.get(ECHO).send()).unwrap();
}

/// A runtime that runs only while somebody blocks on it.
fn current() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Drives a future on a thread that no runtime knows of.
fn outside<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (result, done) = mpsc::channel();
    thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return result.send(value).unwrap(),
                Poll::Pending => thread::park(),
            }
        }
    });
    done.recv_timeout(HANG).expect("it does not hang")
}

#[test]
fn a_client_answers_outside_of_any_runtime() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let first = current();
    first.block_on(async {
        drop(tokio::spawn(client.get(SLOW).send()));
        until("it is out", async || mock.stats().in_flight == 1).await;
    });
    let stats = client.clone();
    assert_eq!(outside(async move { stats.stats().await }).in_flight, 1);
    // What is out cannot end there, since nobody runs it: it is given up.
    let drain = client.clone();
    outside(async move { drain.close(Close::Drain).await });
    let stats = outside(async move { client.stats().await });
    assert_eq!((stats.in_flight, stats.queued), (0, [0; 3]));
}

#[test]
fn a_close_waits_outside_of_any_runtime_for_one_that_runs() {
    let (server, mock) = apart();
    let client = client(&mock);
    let slow = server.spawn(client.get("/api/v2.0/slow?ms=6000").send());
    server.block_on(until("it is out", async || mock.stats().in_flight == 1));
    let drain = client.clone();
    outside(async move { drain.close(Close::Drain).await });
    server.block_on(slow).unwrap().expect("it was given its time");
    assert_eq!(outside(async move { client.stats().await }).finished, 1);
}

#[test]
fn a_token_fetch_that_was_given_up_says_nothing_about_the_next_one() {
    let (server, mock) = apart();
    let slow = Fault::slow(Duration::from_secs(2));
    mock.script(Rule::token([Fault::slow(Duration::from_secs(30)), slow]));
    let client = client(&mock);
    let first = current();
    first.block_on(async {
        drop(tokio::spawn(client.get(ECHO).send()));
        until("it is being fetched", async || mock.stats().token_requests == 1).await;
    });
    let second = server.spawn(client.get(ECHO).send());
    server.block_on(until_in(HANG, "another one is", async || mock.stats().token_requests == 2));
    drop(first);
    server.block_on(second).unwrap().unwrap();
    assert_eq!(mock.stats().token_fetches, 1);
}

#[test]
fn a_future_may_move_to_another_runtime_while_its_own_rests() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let (first, second) = (current(), current());
    for path in [SLOW, ECHO] {
        let mut send = pin!(client.get(path).send());
        first.block_on(async {
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(send.as_mut().poll(&mut nobody).is_pending());
        });
        let start = Instant::now();
        let result = second.block_on(async { tokio::time::timeout(HANG, send).await });
        let error = result.expect("it does not hang").unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Closed);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(first.block_on(burst(&client, 5)), 0);
}

#[test]
fn a_runtime_that_is_dropped_in_a_panic_takes_what_was_under_way_and_no_more() {
    let (server, mock) = apart();
    let client = client(&mock);
    let first = current();
    first.block_on(client.get(ECHO).send()).unwrap();
    let (waiting, all) = mpsc::channel();
    let panicking = {
        let (client, mock, server) = (client.clone(), &mock, &server);
        AssertUnwindSafe(move || {
            first.block_on(async {
                let requests = || (0..100).map(|_| client.get(SLOW).send());
                requests().for_each(|request| drop(tokio::spawn(request)));
                waiting
                    .send(requests().map(|send| server.spawn(send)).collect::<Vec<_>>())
                    .unwrap();
                until("all wait", async || client.stats().await.queued[1] == 192).await;
                until("eight are out", async || mock.stats().in_flight == 8).await;
                panic!("on purpose, with a runtime");
            });
        })
    };
    assert!(catch_unwind(panicking).is_err());
    let second = current();
    for request in all.recv().unwrap() {
        let result = second.block_on(async { tokio::time::timeout(HANG, request).await });
        let error = result.expect("each is told").unwrap().unwrap_err();
        // It has met no trouble of its own.
        assert_eq!(*error.kind(), ErrorKind::Closed, "{error:?}");
    }
    assert_eq!(second.block_on(client.stats()).in_flight, 0);
    assert_eq!(second.block_on(burst(&client, 20)), 0);
    assert_eq!(mock.stats().api_requests, 1 + 8 + 20);
}

#[test]
fn a_runtime_without_a_timer_fails_a_request_and_hangs_nobody() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = bare.block_on(client.get(ECHO).send()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Closed, "{error:?}");
    assert_eq!(current().block_on(burst(&client, 5)), 0);
}

#[test]
fn waiting_for_numbers_or_for_the_end_can_be_given_up() {
    let (_server, mock) = apart();
    let client = client(&mock);
    current().block_on(async {
        let slow = tokio::spawn(client.get("/api/v2.0/slow?ms=300").send());
        until("it is out", async || mock.stats().in_flight == 1).await;
        let mut nobody = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            let _ = pin!(client.stats()).poll(&mut nobody);
            assert!(pin!(client.close(Close::Drain)).poll(&mut nobody).is_pending());
        }
        slow.await.unwrap().unwrap();
        client.close(Close::Drain).await;
    });
}

#[test]
fn runtimes_that_come_and_go_around_one_client_wedge_nothing() {
    let (_server, mock) = apart();
    let client = client(&mock);
    let threads: Vec<_> = (0..6_u64)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                for round in 0..12 {
                    // Each in its own way, so that they meet in every state.
                    let dice = thread * 31 + round * 17;
                    let workers = 1 + dice as usize % 2;
                    let mut runtime = tokio::runtime::Builder::new_multi_thread();
                    let runtime = match dice % 3 {
                        0 => current(),
                        _ => runtime.worker_threads(workers).enable_all().build().unwrap(),
                    };
                    runtime.block_on(async {
                        let path = format!("/api/v2.0/slow?ms={}", dice % 40);
                        let left: Vec<_> =
                            (0..10).map(|_| tokio::spawn(client.get(&path).send())).collect();
                        for _ in 0..dice % 7 {
                            match tokio::time::timeout(HANG, client.get(ECHO).send()).await {
                                Ok(Ok(_)) => {}
                                Ok(Err(error)) => {
                                    assert_eq!(*error.kind(), ErrorKind::Closed, "{error:?}");
                                }
                                Err(_) => panic!("a request hangs"),
                            }
                        }
                        if dice % 2 == 0 {
                            let stats = tokio::time::timeout(HANG, client.stats()).await;
                            assert!(stats.expect("they come").in_flight <= 8);
                        }
                        drop(left); // its runtime ends with them
                    });
                    match dice % 4 {
                        0 => runtime.shutdown_background(),
                        _ => drop(runtime),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("nothing hangs"));
    let last = current();
    last.block_on(async {
        assert_eq!(burst(&client, 20).await, 0);
        until("all slots are free", async || client.stats().await.in_flight == 0).await;
        assert_eq!(client.stats().await.queued, [0; 3]);
    });
}

/// As [`until`], for what takes its time.
async fn until_in(most: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < most, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
