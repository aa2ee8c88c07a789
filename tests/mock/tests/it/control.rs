use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use cxone_mock::{Cors, LogEntry, Mock, Stats};
use serde_json::{Value, json};

use crate::{Session, header};

const PATH: &str = "/api/v2.0/echo";

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Session {
    async fn post(&self, path: &str, body: Value) -> (u16, String) {
        let url = format!("{}{path}", self.mock.url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test]
async fn a_script_over_http_does_what_one_in_rust_does() {
    let session = Session::start(Mock::builder()).await;
    let script = json!({
        "rules": [{"on": PATH, "nth": 2, "do": [{"status": 529}, {"connection": "reset"}]}],
        "pages": {"1": "no-content"},
        "limits": {"/dfo": "fixed:1/1h"},
    });
    assert_eq!(session.post("/_mock/script", script).await.0, 204);
    assert_eq!([session.status(PATH).await, session.status(PATH).await], [200, 529]);
    assert!(session.request(PATH).send().await.is_err());
    assert_eq!(session.status("/api/v2.0/interactions").await, 204);
    assert_eq!([session.status("/dfo/3.0").await, session.status("/dfo/3.0").await], [200, 429]);
    let script = json!({"clear": true, "revoke_tokens": true, "limits": {"/dfo": null}});
    assert_eq!(session.post("/_mock/script", script).await.0, 204);
    assert_eq!(session.status("/dfo/3.0").await, 401);
}

#[tokio::test]
async fn a_script_with_a_mistake_is_refused_with_the_reason() {
    let session = Session::start(Mock::builder()).await;
    for (script, reason) in [
        (json!({"rule": []}), "rule"),
        (json!({"rules": [{"do": {"stauts": 503}}]}), "stauts"),
        (json!({"rules": [{"do": {"status": 42}}]}), "42"),
        (json!({"rules": [{"do": {"status": 503, "headers": {"a b": "c"}}}]}), "a b"),
        (json!({"limits": {"": "sometimes"}}), "sometimes"),
    ] {
        let (status, body) = session.post("/_mock/script", script).await;
        assert_eq!(status, 400);
        assert!(body.contains(reason), "{body}");
    }
}

#[tokio::test]
async fn stats_and_log_are_the_same_over_http_and_can_be_reset() {
    let session = Session::start(Mock::builder()).await;
    let answer = session
        .request(PATH)
        .header("x-correlation-id", "c-1")
        .query(&[("a", "b")])
        .send()
        .await
        .unwrap();
    assert_eq!(header(&answer, "x-trace-id"), "1", "its number in the log");
    let stats: Stats = serde_json::from_value(session.json("/_mock/stats").await).unwrap();
    assert_eq!((stats.requests, stats.api_requests, stats.token_requests), (2, 1, 1));
    assert_eq!((stats.max_in_flight, stats.in_flight), (1, 0));
    assert!(stats.connections > 0);
    let log: Vec<LogEntry> = serde_json::from_value(session.json("/_mock/log").await).unwrap();
    assert_eq!(log, session.mock.log());
    let [token, api] = &log[..] else { panic!("{log:?}") };
    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", "/oauth2/token"));
    assert_eq!((api.status, api.correlation_id.as_deref()), (Some(200), Some("c-1")));
    assert_eq!((api.query.as_deref(), api.client.as_deref()), (Some("a=b"), Some("mock-client")));
    assert!(api.at_ms >= token.at_ms);
    assert_eq!(session.post("/_mock/reset", json!({})).await.0, 204);
    assert_eq!((session.mock.stats(), session.mock.log()), (Stats::default(), vec![]));
    assert_eq!(session.status("/_mock/nothing").await, 404);
}

#[tokio::test]
async fn the_most_requests_under_way_are_counted_exactly() {
    let session = Session::start(Mock::builder()).await;
    let slow = || session.get("/api/v2.0/slow?ms=500&body_ms=500");
    let (a, b, c) = tokio::join!(slow(), slow(), slow());
    assert_eq!(session.mock.stats().in_flight, 3, "bodies are still to come");
    for answer in [a, b, c] {
        answer.bytes().await.unwrap();
    }
    // One after another is never two at once.
    session.mock.reset();
    for _ in 0..200 {
        session.get(PATH).await.bytes().await.unwrap();
    }
    assert_eq!((session.mock.stats().max_in_flight, session.mock.stats().in_flight), (1, 0));
}

#[tokio::test]
async fn a_browser_sees_what_the_mode_allows() {
    for (mode, status, origin, exposed) in [
        (Cors::None, 401, "", false),
        (Cors::Open, 204, "*", false),
        (Cors::Exposed, 204, "*", true),
    ] {
        let session = Session::start(Mock::builder().cors(mode)).await;
        let url = format!("{}{PATH}", session.mock.url());
        let preflight = session
            .http
            .request(reqwest::Method::OPTIONS, url)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization,x-correlation-id")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), status);
        let allowed = header(&preflight, "access-control-allow-headers");
        assert_eq!(allowed.contains("authorization"), mode != Cors::None);
        let answer = session.get(PATH).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), origin);
        let names = header(&answer, "access-control-expose-headers");
        assert_eq!(names.contains("Retry-After"), exposed);
        assert_eq!(session.mock.stats().api_requests, if mode == Cors::None { 2 } else { 1 });
    }
}

#[tokio::test]
async fn dropping_the_mock_closes_port_and_connections() {
    let session = Session::start(Mock::builder()).await;
    let url = format!("{}{PATH}", session.mock.url());
    let addr = session.mock.addr();
    session.mock.shutdown().await;
    assert!(session.http.get(url).send().await.is_err());
    assert!(tokio::net::TcpListener::bind(addr).await.is_ok(), "the port is free");
}

#[test]
fn no_secret_shows_in_debug() {
    let builder = Mock::builder().client("id", "hush");
    assert!(!format!("{builder:?}").contains("hush"));
}

#[tokio::test]
async fn the_binary_tells_where_it_listens_and_plays_its_script() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, r#"{"rules": [{"do": {"status": 509}}]}"#).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cxone-mock"))
        .args(["--client-id", "me", "--client-secret", "mine", "--limit", "/dfo=fixed:1/1h"])
        .args(["--clock-skew", "-60", "--expires-in", "expiresIn", "--script"])
        .arg(file.path())
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.next().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    let rest: Vec<_> = lines.take(3).collect();
    assert_eq!(rest[1..], ["client id me", "client secret mine"]);

    let http =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let form =
        [("grant_type", "client_credentials"), ("client_id", "me"), ("client_secret", "mine")];
    let token = http.post(format!("{url}/oauth2/token")).form(&form).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    assert_eq!(token["expiresIn"], 3600);
    let get = async |path| {
        let token = token["access_token"].as_str().unwrap();
        http.get(format!("{url}{path}")).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!([get("/dfo/x").await, get("/dfo/x").await, get("/dfo/x").await], [509, 200, 429]);
}
