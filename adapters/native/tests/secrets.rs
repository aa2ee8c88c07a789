//! What is told, and what never is.

mod common;

use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use common::{ECHO, builder, mock, until};
use cxone_client::{Client, ClientAuth, ClientBuilder};
use cxone_mock::{Fault, Rule};
use tracing_subscriber::fmt::MakeWriter;

/// All that was logged by this process, at every level.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone());
    subscriber.init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn t22_a_pause_is_logged_in_the_tutorials_words() {
    let log = &*LOG;
    let mock = mock().await;
    mock.script(Rule::api([Fault::status(429), Fault::status(502)]));
    let client = builder(&mock).build().unwrap();
    client.get(format!("{ECHO}/logged?q=hunter2")).send().await.unwrap();
    let text = log.text();
    let line = text.lines().find(|line| line.contains("Rate limit hit.")).expect("a line");
    let (_, after) = line.split_once("Rate limit hit. Retrying in ").unwrap();
    let (ms, after) = after.split_once("ms (attempt ").unwrap();
    assert!((20..=31).contains(&ms.parse::<u64>().unwrap()), "{line}");
    assert!(after.starts_with("1) scope=\"default\" wait_ms="), "{line}");
    assert!(line.contains("WARN") && line.contains("reason=429, own backoff"), "{line}");
    // What is about one request stands in its span.
    let line = text.lines().find(|line| line.contains("Request failed. Retrying in")).unwrap();
    assert!(line.contains("request{method=GET path=\"/api/v2.0/echo/logged\""), "{line}");
    assert!(line.contains("correlation_id="), "{line}");
    assert!(text.contains("Access token fetched, used for 3"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn x16_x17_no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2====";
    const TOKEN: &str = "tok-hunter2";
    let log = &*LOG;
    for (how, http2) in [(ClientAuth::Body, false), (ClientAuth::Basic, true)] {
        let mock = mock().await;
        let grant = format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer"}}"#);
        let quoting = format!(r#"{{"error":"x","error_description":"bad {SECRET}"}}"#);
        mock.script(Rule::token([
            Fault::status(503).body(quoting.clone()),
            Fault::status(200).body(grant.clone()),
            Fault::status(400).body(quoting),
        ]));
        let build = |builder: ClientBuilder| builder.client_credentials("id", SECRET);
        let builder = build(builder(&mock)).client_auth(how).max_attempts(2);
        let builder = if http2 { builder.http2_prior_knowledge() } else { builder };
        let mut shown = format!("{builder:?}");
        let client = builder.build().unwrap();
        let request = client.get(ECHO).query(&[("key", SECRET)]).header("x-key", SECRET);
        shown += &format!("{client:?} {request:?}");
        // The API does not know that token: 401, then the refused refresh.
        let error = request.body(SECRET).send().await.unwrap_err();
        shown += &format!("{error} {error:?} {error:#?}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            shown += &format!("{cause} {cause:?}");
            source = cause.source();
        }
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyM"), "{shown}");
        assert_eq!(mock.stats().token_requests, 3, "{shown}");
        for entry in mock.log() {
            assert!(!entry.path.contains("hunter2"));
        }
    }
    until("the log is written", async || log.text().contains("400 Bad Request")).await;
    let text = log.text();
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyM"));
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let good = || {
        let builder = Client::builder().base_url("https://h.example");
        builder.client_credentials("id", "hunter2")
    };
    let none = || Client::builder().base_url("https://h.example");
    for (builder, field) in [
        (Client::builder(), "base_url"),
        (good().base_url("h.example"), "base_url"),
        (good().base_url("ftp://h.example"), "base_url"),
        (good().base_url("https://id:hunter2@h.example"), "base_url"),
        (good().base_url("https://h.example/?a=hunter2"), "base_url"),
        (good().token_url("https://t.example?client_secret=hunter2"), "token_url"),
        (good().token_url("https://t.example?x=hunter2"), "token_url"),
        (good().token_url("/oauth2/token"), "token_url"),
        (none(), "client_credentials"),
        (none().client_credentials("", "hunter2"), "client_id"),
        (none().client_credentials("id", ""), "client_secret"),
        (good().user_agent("a\nb"), "user_agent"),
        (good().default_header("a b", "hunter2"), "default_header"),
        (good().concurrency(0), "concurrency"),
        (good().max_attempts(0), "max_attempts"),
        (good().attempt_timeout(Duration::ZERO), "attempt_timeout"),
        (good().fair_share(1), "fair_share"),
        (good().scope_limit("", 1), "scopes.name"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.field(), field, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.starts_with(&format!("invalid setting `{field}`: ")));
    }
    good().build().unwrap();
    none().no_auth().build().unwrap();
}
