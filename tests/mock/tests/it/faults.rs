use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use cxone_mock::{Fault, Mock, Rule};
use serde_json::Value;

use crate::{Session, header};

const PATH: &str = "/api/v2.0/echo";

async fn with(rule: Rule) -> Session {
    Session::start(Mock::builder().script(rule)).await
}

/// The kind of the I/O error at the bottom of an error.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

#[tokio::test]
async fn the_nth_request_is_answered_by_script() {
    let fault =
        Fault::status(503).retry_after(2).header("x-gateway", "g").body("<html>busy</html>");
    let session = with(Rule::api(fault).nth(2).times(2)).await;
    assert_eq!(session.status(PATH).await, 200);
    for _ in 0..2 {
        let answer = session.get(PATH).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (503, "2"));
        assert_eq!(
            (header(&answer, "x-gateway"), header(&answer, "content-type")),
            ("g", "text/html; charset=utf-8")
        );
        assert_eq!(answer.text().await.unwrap(), "<html>busy</html>");
    }
    assert_eq!(session.status(PATH).await, 200);
    assert_eq!((session.mock.stats().faults, session.mock.stats().throttled), (2, 2));
}

#[tokio::test]
async fn one_401_by_script_leaves_the_token_good() {
    let session = with(Rule::api(Fault::unauthorized())).await;
    let answer = session.get(PATH).await;
    assert_eq!(header(&answer, "www-authenticate"), "error=\"invalid token\"");
    assert_eq!(session.status(PATH).await, 200);
}

#[tokio::test]
async fn staggered_refusals_come_in_turn() {
    let session = with(Rule::api(Fault::staggered(429, [3, 1, 2]))).await;
    for expected in ["3", "1", "2", ""] {
        assert_eq!(header(&session.get(PATH).await, "retry-after"), expected);
    }
}

#[tokio::test]
async fn a_reset_is_seen_as_a_reset_and_a_close_as_a_close() {
    let session = with(Rule::api(vec![Fault::reset(), Fault::close()])).await;
    let error = session.request(PATH).send().await.unwrap_err();
    assert_eq!(io_kind(&error), Some(io::ErrorKind::ConnectionReset), "{error:?}");
    let error = session.request(PATH).send().await.unwrap_err();
    assert_ne!(io_kind(&error), Some(io::ErrorKind::ConnectionReset), "{error:?}");
    assert_eq!(session.status(PATH).await, 200);
    let log = session.mock.log();
    assert_eq!(
        log[1..].iter().map(|entry| entry.status).collect::<Vec<_>>(),
        [None, None, Some(200)]
    );
    assert_eq!(session.mock.stats().in_flight, 0);
}

#[tokio::test]
async fn a_truncated_body_announces_more_than_it_sends() {
    let session = with(Rule::api(Fault::truncate(10))).await;
    let mut answer = session.get("/api/v2.0/bytes?n=1000").await;
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(1000)));
    assert_eq!(answer.chunk().await.unwrap().unwrap().len(), 10);
    assert!(answer.chunk().await.is_err());
    assert_eq!(session.status(PATH).await, 200);
}

#[tokio::test]
async fn head_and_body_come_late() {
    let delay = Duration::from_secs(1);
    let session = with(Rule::api(vec![Fault::slow(delay), Fault::slow_body(delay)])).await;
    let start = Instant::now();
    session.get(PATH).await;
    assert!(start.elapsed() >= delay);
    let start = Instant::now();
    let answer = session.get(PATH).await;
    assert!(start.elapsed() < delay, "the head waited for the body");
    answer.bytes().await.unwrap();
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn http_2_without_upgrade_is_served_and_broken_alike() {
    let session = with(Rule::api(Fault::reset()).nth(2)).await;
    let http = reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let get =
        || http.get(format!("{}{PATH}", session.mock.url())).bearer_auth(&session.token).send();
    let answer = get().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    answer.bytes().await.unwrap();
    assert!(get().await.is_err());
    assert_eq!(get().await.unwrap().status(), 200);
    assert_eq!(session.mock.stats().in_flight, 0);
}

#[tokio::test]
async fn an_echo_tells_what_arrived_but_for_the_token() {
    let session = Session::start(Mock::builder()).await;
    let url = format!("{}/dfo/3.0/contacts?a=b", session.mock.url());
    let request = session.http.put(url).bearer_auth(&session.token).header("x-a", "1").body("text");
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(!text.contains(&session.token));
    let echo: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&echo["method"], &echo["path"]), (&"PUT".into(), &"/dfo/3.0/contacts".into()));
    assert_eq!((&echo["query"], &echo["body"]), (&"a=b".into(), &"text".into()));
    assert_eq!(
        (&echo["headers"]["x-a"], &echo["headers"]["authorization"]),
        (&"1".into(), &"[redacted]".into())
    );
}

#[tokio::test]
async fn the_plain_routes_do_as_their_names_say() {
    let session = Session::start(Mock::builder()).await;
    for status in [200, 204, 304, 404, 425, 502] {
        assert_eq!(session.status(&format!("/api/v2.0/status/{status}")).await, status);
    }
    assert_eq!(session.status("/api/v2.0/status/100").await, 400);
    assert_eq!(session.status("/nowhere").await, 404);
    let redirect = session.get("/api/v2.0/redirect?to=/api/v2.0/echo&code=307").await;
    assert_eq!(
        (redirect.status().as_u16(), header(&redirect, "location")),
        (307, "/api/v2.0/echo")
    );
    assert_eq!(session.get("/api/v2.0/bytes?n=70000").await.bytes().await.unwrap().len(), 70_000);
    let start = Instant::now();
    session.get("/api/v2.0/slow?ms=100").await;
    assert!(start.elapsed() >= Duration::from_millis(100));
}
