//! The native client beside bare reqwest and the stacks that it stands in for: 32 callers against
//! a local server without limits. One that answers at once keeps the client's thread busy all the
//! time, so that every instruction of the client's counts; one that takes a moment, as any real one
//! does, shows what is left of that. A reqwest that is told to send what the client sends, and to
//! wait as long for it, shows how much of the difference the wire and the timer make.
//!
//! Where the rest goes, counted by callgrind in the client's process, for one request that is answered
//! at once: bare reqwest takes 65 100 instructions (14 000 of them parse its URL twice more), with the
//! correlation id and the timer 70 300, the client 64 300. It saves reqwest a parsing of the URL and
//! hyper the making of `Host`, which pays for its own 6 500. What is left is no work that could be
//! left out but room: its code and state push some of reqwest's out of the first caches, which miss
//! 17 % more often for instructions and 44 % for data. That and the correlation id, which alone costs
//! 3 %, are the 4 to 6 % of processor time by which it is behind.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cxone_bench::Contest;
use governor::{Quota, RateLimiter};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest_middleware::ClientWithMiddleware;
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tower::{Service, ServiceBuilder, ServiceExt};
use uuid::Uuid;

const CALLERS: u32 = 32;
const REQUESTS: u32 = 3200;
const ROUNDS: usize = 20;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const RETRIES: u32 = 4;
const DELAY: Duration = Duration::from_millis(2);
const BODY: &[u8] = &[b'x'; 512];

fn main() {
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let two = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let two = two.expect("a runtime");
    let at_once = format!("http://{}/agents", serve(None));
    contest("one thread, answered at once", &one, &at_once);
    contest("two threads, answered at once", &two, &at_once);
    let later = format!("http://{}/agents", serve(Some(DELAY)));
    contest("one thread, answered after 2 ms", &one, &later);
}

/// Sends one request and reads its answer.
type Call = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync>;

fn contest(threads: &str, runtime: &Runtime, url: &str) {
    let title = format!("{CALLERS} requests at once, {threads}");
    let mut contest = Contest::new(title, REQUESTS);
    for (name, send) in [
        ("reqwest", bare(url)),
        ("reqwest, correlation id and timeout", alike(url)),
        ("cxone-client", ours(url, true)),
        ("cxone-client, no correlation id", ours(url, false)),
        ("reqwest-retry and a semaphore", semaphore(url)),
        ("reqwest-retry and governor", governor(url)),
        ("tower: limit, retry, timeout", tower(url)),
    ] {
        contest.add(name, move || runtime.block_on(round(&send)));
    }
    contest.run(ROUNDS);
}

/// Each caller asks for its share, one request after the other.
async fn round(send: &Call) -> Duration {
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let send = send.clone();
            tokio::spawn(async move {
                for _ in 0..REQUESTS / CALLERS {
                    assert_eq!(send().await.len(), BODY.len());
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
    start.elapsed()
}

fn bare(url: &str) -> Call {
    let (http, url) = (http(), url.to_owned());
    Arc::new(move || {
        let request = http.get(&url);
        Box::pin(async move { whole(request.send().await.expect("an answer")).await })
    })
}

/// What the client sends, with the time that it allows.
fn alike(url: &str) -> Call {
    let (http, url) = (http(), url.to_owned());
    Arc::new(move || {
        let request = http.get(&url).timeout(ATTEMPT_TIMEOUT);
        let request = request.header("x-correlation-id", Uuid::new_v4().to_string());
        Box::pin(async move { whole(request.send().await.expect("an answer")).await })
    })
}

fn ours(url: &str, correlation_id: bool) -> Call {
    let client = cxone_client::Client::builder().base_url(url).no_auth().concurrency(CALLERS);
    let client = client.correlation_id(correlation_id);
    let (client, url) = (client.build().expect("the settings are in range"), url.to_owned());
    Arc::new(move || {
        let request = client.get(&url);
        Box::pin(async move { request.send().await.expect("an answer").into_bytes() })
    })
}

fn semaphore(url: &str) -> Call {
    let (http, url) = (retrying(), url.to_owned());
    let slots = Arc::new(Semaphore::new(CALLERS as usize));
    Arc::new(move || {
        let (request, slots) = (http.get(&url), slots.clone());
        Box::pin(async move {
            let _slot = slots.acquire().await.expect("nobody closes it");
            whole(request.send().await.expect("an answer")).await
        })
    })
}

fn governor(url: &str) -> Call {
    let (http, url) = (retrying(), url.to_owned());
    let unlimited = NonZeroU32::MAX;
    let limiter = Arc::new(RateLimiter::direct(Quota::per_second(unlimited)));
    Arc::new(move || {
        let (request, limiter) = (http.get(&url), limiter.clone());
        Box::pin(async move {
            limiter.until_ready().await;
            whole(request.send().await.expect("an answer")).await
        })
    })
}

fn tower(url: &str) -> Call {
    let (http, url) = (http(), url.to_owned());
    let stack = ServiceBuilder::new()
        .concurrency_limit(CALLERS as usize)
        .retry(Retries(RETRIES))
        .timeout(ATTEMPT_TIMEOUT)
        .service(http.clone());
    Arc::new(move || {
        let request = http.get(&url).build().expect("a URL");
        let mut stack = stack.clone();
        Box::pin(async move {
            let answer = stack.ready().await.expect("it is ready").call(request).await;
            whole(answer.expect("an answer")).await
        })
    })
}

async fn whole(answer: reqwest::Response) -> Bytes {
    answer.bytes().await.expect("a body")
}

/// With the fields that all of them send.
fn http() -> reqwest::Client {
    let json = HeaderValue::from_static("application/json");
    let agent = HeaderValue::from_static("cxone-bench");
    let fields = [(ACCEPT, json.clone()), (CONTENT_TYPE, json), (USER_AGENT, agent)];
    let fields = HeaderMap::from_iter(fields);
    reqwest::Client::builder().default_headers(fields).build().expect("it builds")
}

fn retrying() -> ClientWithMiddleware {
    let policy = ExponentialBackoff::builder().build_with_max_retries(RETRIES);
    let retry = RetryTransientMiddleware::new_with_policy(policy);
    reqwest_middleware::ClientBuilder::new(http()).with(retry).build()
}

/// So many more times, while the server is not well.
#[derive(Clone)]
struct Retries(u32);

impl<E> tower::retry::Policy<reqwest::Request, reqwest::Response, E> for Retries {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut reqwest::Request,
        result: &mut Result<reqwest::Response, E>,
    ) -> Option<Self::Future> {
        let ill = result.as_ref().is_ok_and(|answer| answer.status().is_server_error());
        self.0 = self.0.checked_sub(1).filter(|_| ill)?;
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }
}

/// A server in a thread of its own that answers everything alike.
fn serve(delay: Option<Duration>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("it can be");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("within a runtime");
            loop {
                let (stream, _) = listener.accept().await.expect("it goes on");
                let _ = stream.set_nodelay(true);
                let answer = service_fn(move |_| async move {
                    if let Some(delay) = delay {
                        tokio::time::sleep(delay).await;
                    }
                    let body = Full::new(Bytes::from_static(BODY));
                    Ok::<_, Infallible>(hyper::Response::new(body))
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection);
            }
        });
    });
    address
}
