//! Many threads at one client: nothing is lost, nothing hangs, whatever runs inside of it.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{ECHO, builder, burst, client, mock, until};
use cxone_client::{Client, Close, ErrorKind};
use tokio::runtime::Runtime;
use tokio::time::timeout;

const SLOW: &str = "/api/v2.0/slow?ms=5000";
const CALLERS: usize = 48;
const REQUESTS: usize = 60;
/// Far longer than any of it takes.
const HANG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_send_cancel_and_steer_lose_nothing() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(16).build().unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|caller| {
        let (client, dropped) = (client.clone(), dropped.clone());
        tokio::spawn(async move {
            for n in 0..REQUESTS {
                let send = client.get(format!("{ECHO}/{caller}/{n}")).send();
                // Each in its own way, so that they meet in every state.
                match (caller * 7 + n * 3) % 11 {
                    0 => {
                        let patience = Duration::from_micros(((caller * n) % 1500) as u64);
                        match timeout(patience, send).await {
                            Ok(answer) => drop(answer.unwrap()),
                            Err(_) => drop(dropped.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                    1 => {
                        client.pause();
                        tokio::task::yield_now().await;
                        client.resume();
                        send.await.unwrap();
                    }
                    2 => {
                        client.set_concurrency(8 + (n % 16) as u32).unwrap();
                        send.await.unwrap();
                    }
                    3 => {
                        let (answer, stats) = tokio::join!(send, client.stats());
                        answer.unwrap();
                        assert!(stats.in_flight <= 32);
                    }
                    _ => drop(send.await.unwrap()),
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    timeout(HANG, async {
        for caller in callers {
            caller.await.expect("each gets its answers");
        }
    })
    .await
    .expect("nothing hangs");
    until("all slots are free", async || client.stats().await.in_flight == 0).await;
    let (stats, dropped) = (client.stats().await, dropped.load(Ordering::Relaxed) as u64);
    assert_eq!((stats.queued, stats.waiting), ([0; 3], 0));
    // One that was dropped may have ended just before, or not have been seen at all.
    assert!(stats.finished >= (CALLERS * REQUESTS) as u64 - dropped, "{stats:?}");
    assert!(stats.finished + stats.cancelled <= (CALLERS * REQUESTS) as u64, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_close_meets_requests_from_all_threads_and_each_ends() {
    let mock = mock().await;
    for how in [Close::Abort, Close::Drain] {
        let client = builder(&mock).concurrency(8).build().unwrap();
        let callers = (0..CALLERS).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut answers = 0;
                loop {
                    match client.get(ECHO).send().await {
                        Ok(_) => answers += 1,
                        Err(error) => break (answers, error),
                    }
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(Duration::from_millis(60)).await;
        timeout(HANG, client.close(how)).await.expect("the close ends");
        for caller in callers {
            let (_, error) = timeout(HANG, caller).await.expect("each ends").unwrap();
            assert_eq!(*error.kind(), ErrorKind::Closed, "{error:?}");
        }
        assert_eq!(client.stats().await.in_flight, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_are_cancelled_at_once_from_two_threads() {
    let mock = mock().await;
    let client = client(&mock);
    client.pause();
    let waiting = tokio::spawn(client.get(ECHO).send());
    until("it waits", async || client.stats().await.queued[1] == 1).await;
    let many = (0..50_000).map(|_| client.get(ECHO).send());
    let mut nobody = Context::from_waker(Waker::noop());
    let mut many: Vec<_> = many.map(Box::pin).collect();
    for send in &mut many {
        assert!(send.as_mut().poll(&mut nobody).is_pending());
    }
    let rest = many.split_off(many.len() / 2);
    let (one, other) = (std::thread::spawn(|| drop(many)), std::thread::spawn(|| drop(rest)));
    one.join().unwrap();
    other.join().unwrap();
    until("all are gone", async || client.stats().await.cancelled == 50_000).await;
    client.resume();
    waiting.await.unwrap().unwrap();
    assert_eq!(mock.stats().api_requests, 1);
}

/// Wakes nobody: it does something inside of the client, where the answer is given.
struct Foreign<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Foreign<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[tokio::test]
async fn a_waker_may_steer_the_client_that_wakes_it() {
    let mock = mock().await;
    let client = client(&mock);
    let woken = Arc::new(AtomicBool::new(false));
    let steer = {
        let (client, woken) = (client.clone(), woken.clone());
        move || {
            client.pause();
            drop(client.get(ECHO).send());
            client.resume();
            woken.store(true, Ordering::Relaxed);
        }
    };
    let waker = Waker::from(Arc::new(Foreign(steer)));
    let mut send = pin!(client.get(ECHO).send());
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    until("it was woken", async || woken.load(Ordering::Relaxed)).await;
    send.await.unwrap();
    assert_eq!(burst(&client, 5).await, 0);
}

#[test]
fn a_runtime_that_ends_takes_all_that_was_under_way_and_no_more() {
    let server = Runtime::new().unwrap();
    let mock = server.block_on(mock());
    for threads in [1, 3] {
        let client = client(&mock);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let first = runtime.worker_threads(threads).enable_all().build().unwrap();
        first.block_on(client.get(ECHO).send()).unwrap();
        let second = Runtime::new().unwrap();
        second.block_on(async {
            let slow = |client: &Client| tokio::spawn(client.get(SLOW).send());
            let waiting: Vec<_> = (0..300).map(|_| slow(&client)).collect();
            until("eight are out", async || mock.stats().in_flight == 8).await;
            until("others wait", async || client.stats().await.queued[1] == 292).await;
            first.shutdown_background();
            for request in waiting {
                let result = timeout(HANG, request).await.expect("each is told").unwrap();
                assert_eq!(*result.unwrap_err().kind(), ErrorKind::Closed);
            }
            assert_eq!(burst(&client, 20).await, 0);
            assert_eq!(client.stats().await.in_flight, 0);
        });
        until_idle(&server, &mock);
    }
}

fn until_idle(server: &Runtime, mock: &cxone_mock::Mock) {
    server.block_on(until("the server has seen it", async || mock.stats().in_flight == 0));
}
