//! Stopping a sync.
#![cfg(unix)]

use std::time::Duration;

use cxone_mock::{Fault, Rule};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::sleep,
};

use crate::{Dir, Run, all_ids, mock};

/// Sends a signal to a process.
pub(crate) async fn kill(signal: &str, child: &Child) {
    let id = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
}

/// Stops a sync while it waits for its third page.
async fn stop(test: &str, signal: &str) -> (Dir, Run) {
    let (mock, dir) = (mock(500).await, Dir::new(test));
    mock.script(Rule::api(Fault::status(429).retry_after(60)).nth(3));
    let mut child = dir.cxone_for(&mock, &[]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    stderr.read_line(&mut text).await.unwrap();
    assert!(text.starts_with("Rate limit hit"), "{text}");
    kill(signal, &child).await;
    text.clear();
    while stderr.read_line(&mut text).await.unwrap() > 0 {}
    let run = Run { stderr: text, ..Run::from(child.wait_with_output().await.unwrap()) };
    (dir, run)
}

#[tokio::test]
async fn x30_ctrl_c_keeps_what_was_written_and_says_so() {
    let (dir, run) = stop("x30_int", "-INT").await;
    assert_eq!(run.status, 130);
    assert_eq!(run.stderr, "[Stopped] 200 interactions are kept in interactions.ndjson.\n");
    assert!(!run.stdout.contains("[Complete]"));
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(200));
}

#[tokio::test]
async fn x30_sigterm_keeps_what_was_written_too() {
    let (dir, run) = stop("x30_term", "-TERM").await;
    assert_eq!((run.status, dir.ids("interactions.ndjson").len()), (143, 200));
}

#[tokio::test]
async fn a_second_ctrl_c_ends_at_once_even_if_the_output_is_stuck() {
    let (mock, dir) = (mock(1000).await, Dir::new("second"));
    let args = ["--out", "-", "--page-size", "1000"];
    // More than a pipe holds, and nobody reads it.
    let mut child = dir.cxone_for(&mock, &args).spawn().unwrap();
    while mock.stats().unique < 1000 {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    kill("-INT", &child).await;
    sleep(Duration::from_millis(200)).await;
    assert!(child.try_wait().unwrap().is_none(), "it cannot close cleanly");
    kill("-INT", &child).await;
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
}
