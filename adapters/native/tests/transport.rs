//! Connections, and the versions of HTTP.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{ECHO, builder, burst, client, mock};
use cxone_mock::{Fault, Rule};
use http::Version;

#[tokio::test]
async fn http1_is_spoken_and_connections_are_kept() {
    let mock = mock().await;
    let client = builder(&mock).http1_only().build().unwrap();
    assert_eq!(burst(&client, 100).await, 0);
    let response = client.get(ECHO).send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    let stats = mock.stats();
    assert!(stats.connections <= 12, "{stats:?}");
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge_and_http1_to_the_token_endpoint() {
    let mock = mock().await;
    let client = builder(&mock).http2_prior_knowledge().build().unwrap();
    mock.script(Rule::api([Fault::status(429), Fault::status(502), Fault::reset()]));
    assert_eq!(burst(&client, 60).await, 0);
    let response = client.get(ECHO).send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(mock.stats().token_fetches, 1);
}

#[tokio::test]
async fn t28_a_refusal_costs_no_connection() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(429).body("<h1>no</h1>")).times(3));
    client(&mock).get(ECHO).send().await.unwrap();
    assert_eq!(mock.stats().connections, 2, "one for tokens, one for the API");
}

#[tokio::test]
async fn another_reqwest_builder_serves_both_endpoints() {
    let mock = mock().await;
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let client = builder(&mock).reqwest(move || {
        count.fetch_add(1, Ordering::Relaxed);
        // Its redirects and retries are taken from it.
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::limited(5))
    });
    let client = client.build().unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 2);
    let away = client.get("/api/v2.0/redirect?to=http://127.0.0.1:1/x").send().await.unwrap();
    assert_eq!(away.status(), 302);
}

#[tokio::test]
async fn a_finished_reqwest_client_is_taken() {
    let mock = mock().await;
    let client = builder(&mock).reqwest_client(reqwest::Client::new()).build().unwrap();
    let echo: serde_json::Value = client.get(ECHO).send().await.unwrap().json().unwrap();
    assert!(echo["headers"]["user-agent"].as_str().unwrap().starts_with("cxone-client/"));
}
