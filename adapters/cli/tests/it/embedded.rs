//! The embedded mock, and the mock as a command of its own.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::sleep,
};

use crate::{Dir, Run, all_ids, mock, signals::kill};

#[tokio::test]
async fn without_settings_the_embedded_mock_is_synced_and_it_says_so() {
    let dir = Dir::new("embedded");
    let args = ["--mock-interactions", "500", "--mock-limit", "fixed:3/1s"];
    let run = Run::of(dir.cxone(&args)).await.expect_success();
    assert!(run.stdout.starts_with("[Init] Starting CXone interaction sync...\n[Mock] "));
    assert!(run.stdout.contains("500 interactions, rate limit fixed:3/1s"), "{}", run.stdout);
    assert!(run.stderr.starts_with("Rate limit hit. Retrying in "), "{}", run.stderr);
    assert!(run.stdout.contains("\n  sent early     0\n"), "{}", run.stdout);
    assert!(run.stdout.contains("; the limit allows no less than 1.0 s\n"), "{}", run.stdout);
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(500));
}

#[tokio::test]
async fn the_default_run_is_throttled_never_early_and_quick() {
    let dir = Dir::new("default");
    let report = Run::of(dir.cxone(&["--json"])).await.expect_success().json();
    assert_eq!((&report["interactions"], &report["unique"]), (&json!(2500), &json!(2500)));
    assert_eq!((&report["early"], &report["token_fetches"]), (&json!(0), &json!(1)));
    let number = |field: &str| report[field].as_u64().unwrap();
    assert_eq!(number("requests"), 25 + number("throttled"));
    assert!(number("throttled") >= 1, "{report}");
    assert!((12_000..25_000).contains(&number("elapsed_ms")), "{report}");
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(2500));
}

#[tokio::test]
async fn an_option_of_the_embedded_mock_chooses_it() {
    let (mock, dir) = (mock(1).await, Dir::new("chosen"));
    let report = dir.run(&mock, &["--json", "--mock-interactions", "7"]).await.expect_success();
    assert_eq!(report.json()["interactions"], 7);
    assert_eq!(mock.stats().requests, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn mock_runs_in_the_foreground_until_it_is_stopped() {
    let dir = Dir::new("mock");
    let mut child = dir.cxone(&["mock", "--interactions", "5"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = async || lines.next_line().await.unwrap().unwrap();
    let url = line().await.strip_prefix("listening on ").unwrap().to_owned();
    let found = async |line: String, name: &str| line.strip_prefix(name).unwrap().to_owned();
    line().await;
    let id = found(line().await, "client id ").await;
    let secret = found(line().await, "client secret ").await;
    let mut sync = dir.cxone(&["sync", "--json"]);
    sync.env("CXONE_BASE_URL", url).env("CXONE_CLIENT_ID", id).env("CXONE_CLIENT_SECRET", secret);
    assert_eq!(Run::of(sync).await.expect_success().json()["unique"], 5);
    kill("-INT", &child).await;
    assert!(child.wait().await.unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn mock_ends_cleanly_on_sigterm_even_if_nobody_read_where_it_listens() {
    let dir = Dir::new("mock_term");
    let mut child = dir.cxone(&["mock"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().unwrap();
    drop(lines);
    // The signal is listened for right after the line was written.
    sleep(Duration::from_millis(300)).await;
    kill("-TERM", &child).await;
    assert!(child.wait().await.unwrap().success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn mock_says_in_a_line_that_it_cannot_print() {
    let dir = Dir::new("mock_full");
    let mut command = dir.cxone(&["mock"]);
    command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let run = Run::from(command.spawn().unwrap().wait_with_output().await.unwrap());
    let line = "[Fatal] No space left on device (os error 28)\n";
    assert_eq!((run.status, run.stderr.as_str()), (1, line));
}

#[tokio::test]
async fn mock_help_says_how_to_sign_in_to_steer_and_to_ask_it() {
    let dir = Dir::new("mock_help");
    for args in [&["mock", "--help"][..], &["mock", "-h"], &["help", "mock"]] {
        let help = Run::of(dir.cxone(args)).await.expect_success().stdout;
        assert!(help.starts_with("Run a mock CXone server"), "{help}");
        for word in ["URL/oauth2/token", "%3D", "/_mock/stats", "/_mock/script", "clear", "Ctrl-C"]
        {
            assert!(help.contains(word), "{word}\n{help}");
        }
        // What it shows as a script is one.
        let begin = help.find("{\"rules\"").unwrap();
        serde_json::from_str::<cxone_mock::Script>(&help[begin..]).unwrap();
    }
}
