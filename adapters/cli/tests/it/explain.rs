//! `cxone explain`: every header vector through the real binary, and what it says in words.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{Dir, Run};

const VECTORS: &str = include_str!("../../../../tests/vectors/headers.json");

/// The largest integer that JSON carries exactly everywhere: what saturated waits print as.
const SATURATED: u64 = (1 << 53) - 1;

/// Explains what comes on standard input.
async fn explain(dir: &Dir, args: &[&str], head: &[u8]) -> Run {
    let mut command = dir.cxone(&["explain"]);
    let mut child = command.args(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(head).await.unwrap();
    drop(stdin);
    Run::from(child.wait_with_output().await.unwrap())
}

/// What is said in words of a head that came at the start of 2026.
async fn words(dir: &Dir, args: &[&str], head: &str) -> String {
    let args = [&["--now", "2026-01-01T00:00:00Z"], args].concat();
    let run = explain(dir, &args, head.as_bytes()).await.expect_success();
    assert_eq!(run.stderr, "");
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    run.stdout.trim_end().to_owned()
}

/// A vector as `curl -i` would have printed it.
fn head_of(vector: &Value) -> String {
    let mut head = format!("HTTP/1.1 {} \r\n", vector["status"]);
    for (name, value) in vector["headers"].as_object().unwrap() {
        let one = std::slice::from_ref(value);
        for value in value.as_array().map_or(one, Vec::as_slice) {
            head += &format!("{name}: {}\r\n", value.as_str().unwrap());
        }
    }
    head + "\r\nHTTP is not looked for in here"
}

/// The options that a vector's profile asks for.
fn options_of(vector: &Value) -> Vec<String> {
    let mut args = vec!["--now".to_owned(), vector["now"].as_str().unwrap().to_owned()];
    let profile = vector.get("profile").and_then(Value::as_object).into_iter().flatten();
    for (setting, value) in profile {
        match setting.as_str() {
            "reset_unit" => {
                args.extend(["--reset-unit".to_owned(), value.as_str().unwrap().replace('_', "-")]);
            }
            "ms_headers" => {
                for name in value.as_array().unwrap() {
                    args.extend(["--ms-header".to_owned(), name.as_str().unwrap().to_owned()]);
                }
            }
            other => panic!("unknown setting {other}"),
        }
    }
    args
}

/// Panics unless each thing that is expected was said.
fn check(id: &str, vector: &Value, expect: &Value, said: &Value) {
    for (what, expected) in expect.as_object().unwrap() {
        let (said, expected) = match (what.as_str(), expected.as_str()) {
            ("delay_ms", Some("saturated")) => (&said["delay_ms"], json!(SATURATED)),
            ("instant", Some(instant)) => {
                let moment = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
                let wait = moment(instant) - moment(vector["now"].as_str().unwrap());
                (&said["delay_ms"], json!(wait))
            }
            ("action", Some("treat_as_throttle")) => (&said["action"], json!("throttle")),
            ("delay_ms" | "limits" | "policies" | "max_rate_per_s" | "action", _) => {
                (&said[what], expected.clone())
            }
            _ => panic!("{id}: unknown expectation {what}"),
        };
        assert_eq!(said, &expected, "{id}: {what}");
    }
}

#[tokio::test]
async fn x11_x12_every_vector_reads_the_same_through_the_command() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let dir = Dir::new("explain_vectors");
    let mut checked = 0;
    for vector in vectors {
        let lenient = &vector["expect"];
        for (mode, expect) in
            [(&[][..], lenient), (&["--strict"], vector.get("expect_strict").unwrap_or(lenient))]
        {
            let options = options_of(vector);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let args = [&["--json"], mode, &options].concat();
            let run = explain(&dir, &args, head_of(vector).as_bytes()).await.expect_success();
            let id = format!("{} {mode:?}", vector["id"].as_str().unwrap());
            check(&id, vector, expect, &run.json());
            checked += 1;
        }
    }
    assert_eq!(checked, 2 * vectors.len());
    assert!(vectors.len() >= 86, "vectors are never taken away");
}

#[tokio::test]
async fn the_action_is_that_of_the_engines_table() {
    let dir = Dir::new("explain_action");
    for (args, head, action, signal) in [
        (&[][..], "200", "deliver", json!(null)),
        (&[], "304", "deliver", json!(null)),
        (&[], "200\nRetry-After: 5", "deliver", json!("retry-after")),
        (&[], "429", "throttle", json!(null)),
        (&["--method", "post"], "429", "throttle", json!(null)),
        (&[], "529", "throttle", json!(null)),
        (&[], "403", "fail", json!(null)),
        (&[], "403\nRateLimit: \"a\";r=0", "throttle", json!("ratelimit")),
        (&[], "403\nX-RateLimit-Remaining: 0", "throttle", json!("x-ratelimit-remaining")),
        (&[], "503", "retry", json!(null)),
        (&["--method", "POST"], "503", "fail", json!(null)),
        (&[], "503\nRetry-After: 5", "throttle", json!("retry-after")),
        (&["--method", "PUT"], "503\nRetry-After: 5", "throttle", json!("retry-after")),
        (&["--method", "POST"], "503\nRetry-After: 5", "fail", json!("retry-after")),
        (&["--method", "PATCH"], "502", "fail", json!(null)),
        (&[], "408", "retry", json!(null)),
        (&["--method", "POST"], "401", "refresh_once", json!(null)),
        (&[], "401\nRetry-After: 5", "refresh_once", json!("retry-after")),
        (&[], "404\nRetry-After: 5", "fail", json!("retry-after")),
        (&[], "500", "fail", json!(null)),
    ] {
        let args = [args, &["--json"]].concat();
        let text = format!("HTTP/2 {head}\n");
        let said = explain(&dir, &args, text.as_bytes()).await.expect_success().json();
        assert_eq!(
            (&said["action"], &said["signal"]),
            (&json!(action), &signal),
            "{args:?} {head}"
        );
    }
}

#[tokio::test]
async fn the_json_has_all_fields_and_says_null_for_what_is_not_stated() {
    let run = explain(&Dir::new("explain_fields"), &["--json"], b"HTTP/1.1 204 No Content\n").await;
    assert_eq!(
        run.expect_success().stdout,
        "{\"action\":\"deliver\",\"delay_ms\":null,\"backoff_ms\":1000,\"signal\":null,\
         \"limits\":[],\"policies\":[],\"max_rate_per_s\":null}\n"
    );
}

#[tokio::test]
async fn a_sentence_says_what_happens_and_why() {
    let dir = Dir::new("explain_words");
    for (args, head, expected) in [
        (&[][..], "200 OK", "200 OK is delivered to the caller."),
        (
            &[],
            "200 OK\nRateLimit: \"a\";r=0;t=50",
            "200 OK is delivered to the caller. The limit \"a\" has nothing left: its scope sends \
             nothing for 50 s, until 2026-01-01T00:00:50Z.",
        ),
        (
            &[],
            "302 Found\nLocation: /x",
            "302 Found is delivered to the caller, or followed if its Location is on the same origin.",
        ),
        (&["--method", "POST"], "302 Found\nLocation: /x", "302 Found is delivered to the caller."),
        (
            &[],
            "429 Slow down\nRetry-After: 120",
            "429 Too Many Requests is a throttle: Retry-After states 120 s, so its scope pauses for \
             120 s, until 2026-01-01T00:02:00Z (and up to a tenth more at random, at most 250 ms), \
             then the request is sent again, which counts as no attempt.",
        ),
        (
            &[],
            "529\nRetry-After: 0",
            "529 is a throttle: Retry-After states 0 s, which is too short to be believed, so its \
             scope pauses for the client's own backoff of 1 s (up to half of it more at random, and \
             doubled each time up to 30 s), then the request is sent again, which counts as no \
             attempt.",
        ),
        (
            &[],
            "401\nWWW-Authenticate: Bearer error=\"invalid_token\"",
            "401 Unauthorized drops the token that the request carried (the server says \
             \"Bearer error=\\\"invalid_token\\\"\"): a new one is fetched and the request is sent \
             once more; a second 401 is an auth error.",
        ),
        (
            &["--method", "PUT"],
            "502",
            "502 Bad Gateway may go better next time, and PUT can safely be repeated: the request is \
             sent again after the client's own backoff of 1 s (up to half of it more at random, and \
             doubled each time up to 30 s), in up to 5 attempts within 3600 s (60 minutes) and as \
             far as the retry budget goes; others need not wait.",
        ),
        (
            &["--method", "POST"],
            "502",
            "502 Bad Gateway fails: it does not say that nothing was done, and POST is not safe to \
             repeat without an Idempotency-Key.",
        ),
        (&[], "404", "404 Not Found fails at once: sending it again would not go better."),
        (
            &[],
            "403",
            "403 Forbidden fails as an auth error: neither a Retry-After nor an exhausted limit says \
             that it is a throttle.",
        ),
    ] {
        assert_eq!(words(&dir, args, &format!("HTTP/1.1 {head}\r\n\r\n")).await, expected);
    }
}

#[tokio::test]
async fn a_wait_beyond_max_wait_is_told_and_not_applied() {
    let dir = Dir::new("explain_max_wait");
    let head = "HTTP/2 429\nRetry-After: 7200\n\n";
    let said = words(&dir, &[], head).await;
    assert!(said.contains("pauses for 7200 s (2 hours), until 2026-01-01T02:00:00Z"), "{said}");
    assert!(
        said.ends_with(
            " With the default max_wait of 900 s (15 minutes), which is less, what waits in the \
             scope fails at once instead, and the error tells when to try again."
        ),
        "{said}"
    );
    let run = explain(&dir, &["--json"], head.as_bytes()).await.expect_success().json();
    assert_eq!((&run["action"], &run["delay_ms"]), (&json!("throttle"), &json!(7_200_000)));
}

#[tokio::test]
async fn whatever_waits_too_long_is_told() {
    let dir = Dir::new("explain_too_long");
    let told = "With the default max_wait of 900 s (15 minutes), which is less, ";
    for (args, head) in [
        (&[][..], "200\nRateLimit: \"a\";r=0;t=7200"),
        (&["--method", "POST"], "503\nRetry-After: 7200"),
        (&[], "502\nRetry-After: 7200"),
    ] {
        let said = words(&dir, args, &format!("HTTP/2 {head}\n\n")).await;
        assert_eq!(said.matches(told).count(), 1, "{said}");
        assert!(
            said.ends_with("at once instead, and the error tells when to try again."),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_spent_budget_with_a_hint_closes_its_scope_and_an_idle_hint_is_told() {
    let dir = Dir::new("explain_hint");
    let spent = "HTTP/2 200\nX-RateLimit-Remaining: 0\nX-RateLimit-Retry-After: 40\n";
    assert_eq!(
        words(&dir, &[], spent).await,
        "200 OK is delivered to the caller. The limit has nothing left: its scope sends nothing for \
         40 s, until 2026-01-01T00:00:40Z."
    );
    let said = explain(&dir, &["--json"], spent.as_bytes()).await.expect_success().json();
    assert_eq!(said["limits"], json!([{ "r": 0, "t": 40 }]));
    for status in [200, 401, 403, 404, 502] {
        let head = format!("HTTP/2 {status}\nX-RateLimit-Retry-After: 40\n");
        let said = explain(&dir, &["--json"], head.as_bytes()).await.expect_success().json();
        assert_eq!(
            (&said["delay_ms"], &said["signal"]),
            (&json!(40_000), &json!("x-ratelimit-retry-after")),
            "{status}"
        );
    }
    assert!(words(&dir, &[], "HTTP/2 200\nX-RateLimit-Retry-After: 40\n").await.ends_with(
        "; X-RateLimit-Retry-After states 40 s, but nothing was refused, so nothing waits for it."
    ));
    assert!(words(&dir, &[], "HTTP/2 403\nX-RateLimit-Retry-After: 40\n").await.ends_with(
        "X-RateLimit-Retry-After states 40 s, but only a Retry-After or an exhausted limit says \
             that it is a throttle."
    ));
}

#[tokio::test]
async fn what_is_stated_is_printed_exactly_and_only_waits_saturate() {
    let dir = Dir::new("explain_exact");
    let head = "HTTP/2 200\nRateLimit: \"a\";r=0;t=999999999999999\n\
                RateLimit-Policy: \"a\";q=999999999999999;w=999999999999999\n\
                X-RateLimit-Remaining: 99999999999999999999\nX-RateLimit-Reset: 60\n";
    let said = explain(&dir, &["--json"], head.as_bytes()).await.expect_success().json();
    assert_eq!(said["delay_ms"], json!(SATURATED));
    let most: u64 = 999_999_999_999_999;
    assert_eq!(
        said["limits"],
        json!([{ "name": "a", "r": 0, "t": most }, { "r": SATURATED, "t": 60 }])
    );
    assert_eq!(said["policies"], json!([{ "name": "a", "q": most, "w": most }]));
}

#[tokio::test]
async fn of_several_challenges_that_about_the_token_is_quoted() {
    let head = "HTTP/2 401\nWWW-Authenticate: Basic realm=\"x\"\n\
                www-authenticate: Negotiate, bearer error=\"invalid_token\"\n";
    let said = words(&Dir::new("explain_challenges"), &[], head).await;
    assert!(said.contains("(the server says \"Negotiate, bearer error=\\\"invalid"), "{said}");
}

#[tokio::test]
async fn an_answer_is_received_when_its_head_has_come() {
    let dir = Dir::new("explain_late");
    let mut command = dir.cxone(&["explain", "--json"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // As long as it takes `cxone` to begin, and more.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let now = jiff::Timestamp::now().as_millisecond();
    let head = format!("HTTP/2 429\nX-RateLimit-Reset: {}\n\n", now + 60_000);
    stdin.write_all(head.as_bytes()).await.unwrap();
    drop(stdin);
    let said = Run::from(child.wait_with_output().await.unwrap()).expect_success().json();
    assert!(said["delay_ms"].as_i64().unwrap() <= 60_000, "{said}");
}

#[tokio::test]
async fn a_post_that_a_503_refuses_fails_while_its_scope_pauses() {
    let dir = Dir::new("explain_503");
    let said = words(&dir, &["--method", "POST"], "HTTP/2 503\nRetry-After: 5\n\n").await;
    assert!(
        said.contains("is a throttle since it states a wait: Retry-After states 5 s"),
        "{said}"
    );
    assert!(said.ends_with("without an Idempotency-Key, so the request fails."), "{said}");
}

#[tokio::test]
async fn the_last_of_several_heads_is_explained_from_a_file_too() {
    let dir = Dir::new("explain_file");
    dir.write(
        "heads.txt",
        "HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 301 \r\nlocation: /x\r\n\r\nHTTP/2 429 \r\n\
         retry-after: 3\r\n\r\n{\"message\": \"slow down\"}\r\n\r\nretry-after: 9\r\n",
    );
    let run = Run::of(dir.cxone(&["explain", "--json", "--file", "heads.txt"])).await;
    assert_eq!(run.expect_success().json()["delay_ms"], 3000);
}

#[tokio::test]
async fn a_body_is_taken_whole_and_not_kept() {
    // More than any pipe holds: who writes it would wait for ever, or fail.
    let mut answer = b"HTTP/1.1 429\r\nRetry-After: 2\r\n\r\n".to_vec();
    answer.resize(8 << 20, b'x');
    let run = explain(&Dir::new("explain_body"), &["--json"], &answer).await.expect_success();
    assert_eq!(run.json()["delay_ms"], 2000);
}

#[tokio::test]
async fn what_is_no_head_is_a_clear_error() {
    let dir = Dir::new("explain_unreadable");
    for (head, why) in [
        ("", "the input is empty"),
        ("{}", "line 1 is no status line like \"HTTP/1.1 429\": \"{}\""),
        (
            "HTTP/1.1 429\nRetry-After 5\n",
            "line 2 is no header line like \"Retry-After: 120\": \"Retry-After 5\"",
        ),
    ] {
        for args in [&[][..], &["--json"]] {
            let run = explain(&dir, args, head.as_bytes()).await;
            assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{head:?}");
            let line = format!("[Fatal] Cannot read a response head: {why}\n");
            assert!(run.stderr.starts_with(&line), "{}", run.stderr);
        }
    }
    let run = Run::of(dir.cxone(&["explain", "--file", "absent"])).await;
    assert_eq!(run.status, 2);
    assert!(run.stderr.starts_with("[Fatal] Cannot read absent: "), "{}", run.stderr);
}

#[tokio::test]
async fn wrong_options_of_an_explanation_are_wrong_usage() {
    let dir = Dir::new("explain_usage");
    for args in [
        ["--now", "yesterday"],
        ["--now", "1969-12-31T23:59:59Z"],
        ["--now", "2026-11-23T00:00:00"],
        ["--now", "2026-11-23T00:00Z"],
        ["--reset-unit", "weeks"],
        ["--ms-header", "not a name"],
        ["--method", "GE T"],
    ] {
        let run = explain(&dir, &args, b"HTTP/2 200\n").await;
        assert_eq!(run.status, 2, "{args:?}");
    }
    let args = ["--json", "--now", "2026-11-23T02:00:00+02:00"];
    let head = b"HTTP/2 429\nX-RateLimit-Reset: 1795392007\n";
    let run = explain(&dir, &args, head).await.expect_success();
    assert_eq!(run.json()["delay_ms"], 7000, "an offset is read");
}
