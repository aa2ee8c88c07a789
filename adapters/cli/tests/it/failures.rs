//! Runs that fail: what they say, and what they leave.

use cxone_mock::{Fault, Mock, PageFault, Rule, Script};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Dir, Run, SECRET, all_ids, mock, start};

#[tokio::test]
async fn t4_a_wrong_secret_is_fatal_and_not_shown() {
    let (mock, dir) = (mock(1).await, Dir::new("t4"));
    for args in [&[][..], &["--json"]] {
        let mut command = dir.cxone_for(&mock, args);
        command.env("CXONE_CLIENT_SECRET", "hunter2-wrong");
        let run = Run::of(command).await;
        let run = run.expect_fatal("OAuth Token Fetch Failed: 401 Unauthorized");
        assert!(run.stderr.contains("Check CXONE_CLIENT_ID"), "{}", run.stderr);
        assert!(!run.stdout.contains("[Complete]"));
    }
    assert_eq!(mock.stats().api_requests, 0);
}

#[tokio::test]
async fn t11_a_missing_right_is_fatal() {
    let mock = mock(1).await;
    mock.script(Rule::api(Fault::status(403)));
    let run = Dir::new("t11").run(&mock, &[]).await;
    run.expect_fatal("Auth/Permission Error: 403 Forbidden");
}

#[tokio::test]
async fn t12_x30_a_server_error_keeps_the_pages_that_came() {
    let (mock, dir) = (mock(250).await, Dir::new("t12"));
    mock.script(Rule::api(Fault::status(500)).nth(3));
    let run = dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    assert!(run.stderr.contains("200 interactions are kept in interactions.ndjson."));
    assert!(run.stderr.contains("x-trace-id"), "{}", run.stderr);
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(200));
}

#[tokio::test]
async fn x30_an_empty_page_or_a_circle_is_no_success() {
    for (name, fault) in [("x30_none", PageFault::NoContent), ("x30_loop", PageFault::Loop)] {
        let mock = start(Mock::builder().interactions(250).page_fault(2, fault)).await;
        let run = Dir::new(name).run(&mock, &["--json"]).await;
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{}", run.stderr);
        assert!(run.stderr.starts_with("[Fatal] Pagination Error: "), "{}", run.stderr);
    }
}

#[tokio::test]
async fn x30_a_run_that_brings_nothing_leaves_an_older_file_alone() {
    let (mock, dir) = (mock(1).await, Dir::new("x30_older"));
    dir.write("interactions.ndjson", "yesterday's\n");
    mock.script(Rule::api(Fault::status(500)));
    dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    assert_eq!(dir.read("interactions.ndjson"), "yesterday's\n");
}

#[tokio::test]
async fn t24_a_file_that_cannot_be_written_fails_before_anything_is_sent() {
    let mock = mock(1).await;
    let run = Dir::new("t24_file").run(&mock, &["--out", "no/such/dir"]).await;
    run.expect_fatal("Cannot write no/such/dir: No such file or directory (os error 2)");
    assert_eq!(mock.stats().requests, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn t24_a_full_disk_is_fatal() {
    let (mock, dir) = (mock(1).await, Dir::new("t24_full"));
    let run = dir.run(&mock, &["--out", "/dev/full"]).await;
    run.expect_fatal("Cannot write /dev/full: No space left on device (os error 28)");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = dir.cxone_for(&mock, &["--out", "-"]);
    command.stdout(full());
    let child = command.spawn().unwrap();
    let run = Run::from(child.wait_with_output().await.unwrap());
    run.expect_fatal("Cannot write to standard output: No space left on device (os error 28)");
}

#[tokio::test]
async fn x30_a_run_that_brings_nothing_leaves_no_new_file() {
    let (mock, dir) = (mock(1).await, Dir::new("x30_new"));
    mock.script(Rule::api(Fault::status(500)));
    let run = dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    assert!(run.stderr.ends_with("  Nothing was written.\n"), "{}", run.stderr);
    assert!(!dir.path("interactions.ndjson").exists());
}

#[tokio::test]
async fn what_the_server_says_about_a_refusal_is_told() {
    let mock = mock(1).await;
    let run = Dir::new("says").run(&mock, &["--page-size", "5000"]).await;
    let run = run.expect_fatal("Request Failed: 400 Bad Request");
    let words = "\n  The server says: page_size is a number from 1 to 1000\n";
    assert!(run.stderr.contains(words), "{}", run.stderr);
}

#[tokio::test]
async fn t4_what_the_token_endpoint_says_is_not_told_since_it_may_quote_the_secret() {
    let mock = mock(1).await;
    let quote = format!(r#"{{"error": "invalid_client", "error_description": "not {SECRET}"}}"#);
    mock.script(Rule::token(Fault::status(401).body(quote)));
    let run = Dir::new("t4_quote").run(&mock, &[]).await;
    run.expect_fatal("OAuth Token Fetch Failed: 401 Unauthorized");
}

#[tokio::test]
async fn t4_an_address_where_nobody_answers_is_questioned_once_while_it_is_tried_again() {
    for args in [&[][..], &["--json"]] {
        let dir = Dir::new("t4_nobody");
        let mut command = dir.cxone(args);
        command.env("CXONE_BASE_URL", "http://127.0.0.1:1");
        command.env("CXONE_CLIENT_ID", "id").env("CXONE_CLIENT_SECRET", SECRET);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut line = async || lines.next_line().await.unwrap().unwrap();
        let retry = "OAuth Token Fetch Failed: no answer from the token endpoint. Retrying in ";
        assert!(line().await.starts_with(retry));
        assert!(line().await.starts_with("  Is CXONE_BASE_URL right, and the network up?"));
        if args.is_empty() {
            assert!(line().await.starts_with(retry), "once is enough");
        }
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_wait_beyond_patience_fails_at_once_and_says_until_when() {
    let mock = mock(1).await;
    mock.script(Rule::api(Fault::status(429).retry_after(3600)).forever());
    let run = Dir::new("patience").run(&mock, &[]).await;
    let run = run.expect_fatal("Rate Limited: 429 Too Many Requests");
    assert!(run.stderr.contains("accepts requests again in 6"), "{}", run.stderr);
}

#[tokio::test]
async fn x17_the_secret_is_in_no_line_of_the_fullest_log() {
    let mock = mock(250).await;
    let script = Script::new()
        .rule(Rule::token(Fault::status(503)))
        .rule(Rule::api(Fault::unauthorized()).nth(1))
        .rule(Rule::api(Fault::status(429).retry_after(1)).nth(3))
        .rule(Rule::api(Fault::status(500)).nth(4));
    mock.script(script);
    let dir = Dir::new("x17");
    let mut command = dir.cxone_for(&mock, &["-v"]);
    command.env("RUST_LOG", "trace");
    let run = Run::of(command).await;
    let run = run.expect_fatal("Server Error: 500 Internal Server Error");
    assert!(run.stderr.contains("cxone_client"), "it logs: {}", run.stderr);
    // Nor in the form in which it travels.
    let all = format!("{}{}", run.stdout, run.stderr);
    assert!(!all.contains("hunter2") && !all.contains("%3D%3D") && !all.contains("Bearer "));
}

#[tokio::test]
async fn logging_is_off_until_asked_for() {
    let (mock, dir) = (mock(1).await, Dir::new("log"));
    assert_eq!(dir.run(&mock, &[]).await.expect_success().stderr, "");
    let run = dir.run(&mock, &["sync", "-v"]).await.expect_success();
    assert!(run.stderr.contains("cxone_client"), "{}", run.stderr);
    assert!(!run.stderr.contains('\x1b'), "colours are for a terminal: {:?}", run.stderr);
}
