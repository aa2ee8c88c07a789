//! What is sent, and what comes back.

mod common;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{ECHO, builder, client, mock};
use cxone_client::{Client, Error, ErrorKind, Priority};
use cxone_mock::{Fault, Rule};
use serde_json::{Value, json};

async fn echo(request: cxone_client::RequestBuilder) -> Value {
    request.send().await.unwrap().json().unwrap()
}

#[tokio::test]
async fn t6_every_request_carries_the_tutorials_fields() {
    let mock = mock().await;
    let client = client(&mock);
    for method in ["GET", "POST", "DELETE"] {
        let echo = echo(client.request(method.parse().unwrap(), ECHO)).await;
        let headers = &echo["headers"];
        assert_eq!(headers["accept"], "application/json");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["user-agent"], concat!("cxone-client/", env!("CARGO_PKG_VERSION")));
        assert_eq!(echo["method"], method);
        assert!(headers["referer"].is_null());
    }
}

#[tokio::test]
async fn t6_what_the_caller_sets_wins() {
    let mock = mock().await;
    let client = builder(&mock).user_agent("sync/1").default_header("x-team", "a").build().unwrap();
    let echo = echo(client.post(ECHO).header("accept", "text/csv").form(&[("a", "b c")])).await;
    assert_eq!(echo["headers"]["accept"], "text/csv");
    assert_eq!(echo["headers"]["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(echo["headers"]["user-agent"], "sync/1");
    assert_eq!(echo["headers"]["x-team"], "a");
    assert_eq!(echo["body"], "a=b+c");
}

#[tokio::test]
async fn a_request_names_the_host_of_its_url_unless_another_was_set() {
    let mock = mock().await;
    let client = client(&mock);
    assert_eq!(echo(client.get(ECHO)).await["headers"]["host"], mock.addr().to_string());
    let set = client.get(ECHO).header("host", "set.example");
    assert_eq!(echo(set).await["headers"]["host"], "set.example");
    let client = builder(&mock).default_header("host", "default.example").build().unwrap();
    assert_eq!(echo(client.get(ECHO)).await["headers"]["host"], "default.example");
}

#[tokio::test]
async fn t6_a_post_without_a_body_says_so() {
    let mock = mock().await;
    let client = client(&mock);
    for method in ["POST", "PUT", "PATCH"] {
        let request = || client.request(method.parse().unwrap(), ECHO);
        assert_eq!(echo(request()).await["headers"]["content-length"], "0", "{method}");
        assert_eq!(echo(request().body("")).await["headers"]["content-length"], "0");
        assert_eq!(echo(request().body("ab")).await["headers"]["content-length"], "2");
    }
    assert!(echo(client.get(ECHO)).await["headers"]["content-length"].is_null());
}

#[tokio::test]
async fn t7_an_attempt_has_a_timeout() {
    let mock = mock().await;
    let client = builder(&mock).max_attempts(1).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    for query in ["ms", "body_ms"] {
        let start = Instant::now();
        let slow = client.get("/api/v2.0/slow").query(&[(query, 3000)]);
        let error = slow.timeout(Duration::from_millis(150)).send().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout, "{error:?}");
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test]
async fn t21_a_request_has_method_path_priority_and_options() {
    let mock = mock().await;
    let client = client(&mock);
    let query = BTreeMap::from([("top", "5"), ("q", "a&b")]);
    let request = client.put(format!("{ECHO}/x?first=1")).priority(Priority::High).query(&query);
    let echo = echo(request.json(&json!({"n": 1}))).await;
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["query"], "first=1&q=a%26b&top=5");
    assert_eq!(echo["body"], r#"{"n":1}"#);
}

#[tokio::test]
async fn t9_t25_x29_the_correlation_id_is_the_same_in_all_retries() {
    let mock = mock().await;
    mock.script(Rule::api([Fault::status(502), Fault::status(429), Fault::reset()]));
    let response = client(&mock).get(ECHO).send().await.unwrap();
    assert_eq!(response.attempts(), 4);
    let id = response.correlation_id().unwrap();
    assert_eq!(id.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    let log = mock.log();
    let sent: Vec<_> = log.iter().filter(|entry| entry.path == ECHO).collect();
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|entry| entry.correlation_id.as_deref() == Some(id)));
}

#[tokio::test]
async fn t25_the_correlation_id_can_be_given_or_switched_off() {
    let mock = mock().await;
    let client = builder(&mock).correlation_id(false).build().unwrap();
    let without = client.get(ECHO).send().await.unwrap();
    assert_eq!(without.correlation_id(), None);
    assert!(without.json::<Value>().unwrap()["headers"]["x-correlation-id"].is_null());
    let with = client.get(ECHO).correlation_id("mine").send().await.unwrap();
    assert_eq!(with.correlation_id(), Some("mine"));
    assert_eq!(with.json::<Value>().unwrap()["headers"]["x-correlation-id"], "mine");
}

#[tokio::test]
async fn t25_a_correlation_id_set_as_a_header_is_the_one_that_is_told() {
    const NAME: &str = "X-Correlation-ID";
    let mock = mock().await;
    let client = builder(&mock).default_header(NAME, "job-1").build().unwrap();
    let sent = async |request: cxone_client::RequestBuilder| {
        let response = request.send().await.unwrap();
        let echo: Value = response.json().unwrap();
        assert_eq!(echo["headers"]["x-correlation-id"].as_str(), response.correlation_id());
        response.correlation_id().unwrap().to_owned()
    };
    assert_eq!(sent(client.get(ECHO)).await, "job-1");
    assert_eq!(sent(client.get(ECHO).correlation_id("mine")).await, "mine");
    assert_eq!(sent(client.get(ECHO).header(NAME, "mine")).await, "mine");
    assert_eq!(sent(client.get(ECHO).correlation_id("no").header(NAME, "mine")).await, "mine");
}

#[tokio::test]
async fn t11_t12_t13_errors_say_what_the_tutorial_says() {
    let mock = mock().await;
    let client = builder(&mock).max_attempts(1).build().unwrap();
    for (status, kind, text) in [
        (403, ErrorKind::Auth, "Auth/Permission Error: 403 Forbidden"),
        (500, ErrorKind::Server, "Server Error: 500 Internal Server Error"),
        (503, ErrorKind::Server, "Server Error: 503 Service Unavailable"),
        (404, ErrorKind::Status, "Request Failed: 404 Not Found"),
        (400, ErrorKind::Status, "Request Failed: 400 Bad Request"),
    ] {
        let error = client.get(format!("/api/v2.0/status/{status}")).send().await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, &kind));
        assert_eq!(error.status().unwrap().as_u16(), status);
    }
    assert_eq!(mock.stats().api_requests, 5, "none of these is sent again");
}

#[tokio::test]
async fn x28_an_error_keeps_status_headers_body_and_ids() {
    let mock = mock().await;
    let fault = Fault::status(409).header("x-trace-id", "t-17").body(r#"{"errorCode":"E1"}"#);
    mock.script(Rule::api(fault));
    let error = client(&mock).get(format!("{ECHO}?key=1")).send().await.unwrap_err();
    assert_eq!(error.status().unwrap(), 409);
    assert_eq!(error.headers().unwrap()["x-trace-id"], "t-17");
    assert_eq!(error.trace_id(), Some("t-17"));
    assert_eq!(error.body().unwrap().as_ref(), br#"{"errorCode":"E1"}"#);
    assert_eq!(error.correlation_id(), mock.log()[1].correlation_id.as_deref());
    assert_eq!(error.url().unwrap().as_str(), format!("{}{ECHO}", mock.url()));
    assert_eq!(error.method(), "GET");
}

#[tokio::test]
async fn t13_x28_a_network_error_keeps_its_cause() {
    let client = Client::builder().base_url("http://127.0.0.1:1").no_auth();
    let client = client.backoff(common::fast()).max_attempts(2).build().unwrap();
    let error = client.get("/x").send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Network, 2));
    let cause = error.source().unwrap().downcast_ref::<reqwest::Error>().unwrap();
    assert!(cause.is_connect() && cause.url().is_none());
    // The outer cause alone says no more than that it failed.
    assert!(format!("{error:?}").to_lowercase().contains("refused"), "{error:?}");
}

#[tokio::test]
async fn x28_the_last_refusal_is_kept_by_the_error_that_ends_the_wait() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(429).retry_after(3600).body("<h1>slow down</h1>")));
    let error = client(&mock).get(ECHO).send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RateLimited { attempts: 1, .. }), "{error:?}");
    assert_eq!(error.to_string(), "Rate Limited: 429 Too Many Requests");
    assert_eq!(error.headers().unwrap()["retry-after"], "3600");
    assert_eq!(error.body().unwrap().as_ref(), b"<h1>slow down</h1>");
    let wait = error.retry_at().unwrap().duration_since(std::time::SystemTime::now()).unwrap();
    assert!((3590..=3601).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn a_transient_answer_that_states_too_long_a_wait_ends_with_the_moment_to_try_again() {
    for (status, kind) in [(502, ErrorKind::Server), (408, ErrorKind::Status)] {
        let mock = mock().await;
        mock.script(Rule::api(Fault::status(status).retry_after(3600)));
        let error = client(&mock).get(ECHO).send().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (&kind, 1), "{error:?}");
        let wait = error.retry_at().unwrap().duration_since(std::time::SystemTime::now()).unwrap();
        assert!((3590..=3601).contains(&wait.as_secs()), "{wait:?}");
    }
}

#[tokio::test]
async fn x31_another_origin_never_gets_the_token() {
    let (mock, other) = (mock().await, mock().await);
    let client = builder(&mock).default_header("x-team", "a").build().unwrap();
    let url = format!("{}{ECHO}", other.url());
    let error = client.get(&url).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Request, "{error}");
    assert_eq!(other.stats().requests, 0);
    let error = client.get(&url).auth(false).send().await.unwrap_err();
    assert_eq!(error.to_string(), "Auth/Permission Error: 401 Unauthorized");
    assert_eq!(mock.stats().token_requests + other.stats().token_requests, 0);
}

#[tokio::test]
async fn redirects_are_followed_within_the_origin_and_only_for_safe_methods() {
    let (mock, other) = (mock().await, mock().await);
    let client = client(&mock);
    let redirect = |to: &str| client.get("/api/v2.0/redirect").query(&[("to", to)]);
    let response = redirect(&format!("{ECHO}/there")).send().await.unwrap();
    assert_eq!(response.url().path(), format!("{ECHO}/there"));
    assert_eq!(response.attempts(), 2);

    let away = redirect(&format!("{}{ECHO}", other.url())).send().await.unwrap();
    assert_eq!(away.status(), 302);
    assert_eq!(other.stats().requests, 0);

    let post = client.post("/api/v2.0/redirect").query(&[("to", ECHO)]).send().await.unwrap();
    assert_eq!(post.status(), 302);

    let off = builder(&mock).follow_redirects(false).build().unwrap();
    let off = off.get("/api/v2.0/redirect").query(&[("to", ECHO)]).send().await.unwrap();
    assert_eq!(off.status(), 302);

    let circle = format!("/api/v2.0/redirect?to={}", "/api/v2.0/redirect");
    mock.script(
        Rule::on("/api/v2.0/redirect", Fault::status(302).header("location", circle.clone()))
            .forever(),
    );
    let circle = client.get(circle).send().await.unwrap();
    assert_eq!(circle.status(), 302, "it ends");
}

#[tokio::test]
async fn a_stream_is_delivered_at_its_head_and_frees_its_slot() {
    let mock = mock().await;
    let client = builder(&mock).concurrency(1).build().unwrap();
    let stream = client.get("/api/v2.0/bytes?n=300000").send_stream().await.unwrap();
    assert_eq!((stream.status().as_u16(), stream.attempts()), (200, 1));
    // Nobody reads it, and nobody is held up.
    client.get(ECHO).send().await.unwrap();
    let mut stream = stream;
    let mut length = 0;
    while let Some(chunk) = stream.chunk().await.unwrap() {
        length += chunk.len();
    }
    assert_eq!(length, 300_000);
    let error = client.get("/api/v2.0/status/404").send_stream().await.unwrap_err();
    assert_eq!(error.to_string(), "Request Failed: 404 Not Found");
    assert_eq!(error.body().unwrap().as_ref(), br#"{"status":404}"#);
}

#[tokio::test]
async fn a_streamed_body_is_sent_once() {
    let mock = mock().await;
    let client = client(&mock);
    let body = || {
        let chunks = [Ok::<_, std::io::Error>(Bytes::from_static(b"ab")), Ok("cd".into())];
        client.put(ECHO).body_stream(futures_util::stream::iter(chunks))
    };
    assert_eq!(echo(body()).await["body"], "abcd");
    mock.script(Rule::api(Fault::status(502)));
    let error = body().send().await.unwrap_err();
    assert_eq!((error.attempts(), error.status().unwrap().as_u16()), (1, 502));
}

#[tokio::test]
async fn a_body_larger_than_allowed_fails_once() {
    let mock = mock().await;
    let client = builder(&mock).max_body(1000).build().unwrap();
    assert_eq!(client.get("/api/v2.0/bytes?n=1000").send().await.unwrap().bytes().len(), 1000);
    let error = client.get("/api/v2.0/bytes?n=1001").send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Network, 1));
    assert_eq!(error.to_string(), "Network Error: the answer's body is larger than max_body");
}

#[tokio::test]
async fn what_cannot_be_built_is_told_by_send() {
    let mock = mock().await;
    let client = client(&mock);
    let kind = |result: Result<_, Error>| result.map(|_: cxone_client::Response| ()).unwrap_err();
    for request in [
        client.post(ECHO).header("bad name", "x"),
        client.post(ECHO).header("x", "bad\nvalue"),
        client.post(ECHO).json(&BTreeMap::from([((1, 2), 3)])),
        client.post(ECHO).rate_scopes(["a", "b", "c", "d", "e"]),
        client.post("mailto:x@y.example"),
        client.post(ECHO).timeout(Duration::ZERO),
    ] {
        let error = kind(request.send().await);
        assert_eq!(*error.kind(), ErrorKind::Request, "{error:?}");
        assert_eq!(error.method(), "POST");
    }
    assert_eq!(mock.stats().requests, 0);
}

#[tokio::test]
async fn a_body_that_is_not_what_was_asked_for_is_a_decode_error() {
    let mock = mock().await;
    let response = client(&mock).get(ECHO).send().await.unwrap();
    let error = response.json::<Vec<u8>>().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Decode);
    assert!(error.to_string().starts_with("Decode Error: "), "{error}");
    assert!(error.source().unwrap().is::<serde_json::Error>());
    assert_eq!(error.body().unwrap(), response.bytes());
}
