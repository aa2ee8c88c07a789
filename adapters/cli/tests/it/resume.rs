//! Syncs that are killed, stopped or fail, and go on.

use std::{
    hash::{BuildHasher, RandomState},
    process::Stdio,
    time::Duration,
};

use cxone_mock::{Builder, Fault, Mock, Rule, Script};
use rusqlite::Connection;
use tokio::time::{sleep, timeout};

use crate::{Dir, Run, all_ids, mock, start};

/// How often a sync is killed.
const KILLS: u64 = 50;

/// Kills the same sync at random moments, then lets it end.
async fn kill_often(mock: &Mock, dir: &Dir, args: &[&str]) -> Run {
    // Slow enough that it does not end before.
    mock.script(Rule::api(Fault::slow(Duration::from_millis(8))).forever());
    let random = RandomState::new();
    for kill in 0..KILLS {
        let mut command = dir.cxone_for(mock, args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // From before it has begun until well after its first pages.
        let moment = Duration::from_micros(random.hash_one(kill) % 350_000);
        let ended = timeout(moment, child.wait()).await;
        assert!(ended.is_err(), "kill {kill} after {moment:?}: it has ended before");
        child.kill().await.unwrap();
    }
    mock.script(Script::new().clear());
    dir.run(mock, args).await.expect_success()
}

/// As many as 50 killed runs do not fetch, ten a page.
fn large() -> Builder {
    Mock::builder().interactions(15_000).poll_size(10)
}

#[tokio::test]
async fn fifty_kills_leave_each_record_once_in_a_file() {
    let (mock, dir) = (start(large()).await, Dir::new("kills"));
    let run = kill_often(&mock, &dir, &["sync", "--page-size", "10"]).await;
    assert!(run.stdout.contains("[Resume] Going on after "), "{}", run.stdout);
    assert!(run.stdout.contains("[Complete] Successfully synced 15000 interactions."));
    assert!(dir.ids("interactions.ndjson") == all_ids(15_000), "each once, in order");
    assert_eq!(dir.names(), ["interactions.ndjson"]);
}

#[tokio::test]
async fn fifty_kills_leave_each_record_once_where_pages_overlap() {
    let (mock, dir) = (start(large()).await, Dir::new("kills_overlap"));
    let args = ["sync", "contacts-completed", "--since", "2019-12-31", "--out", "c.ndjson"];
    kill_often(&mock, &dir, &args).await;
    assert!(dir.ids("c.ndjson") == all_ids(15_000), "each once, in order");
}

#[tokio::test]
async fn fifty_kills_leave_each_record_once_in_a_database() {
    let (mock, dir) = (start(large()).await, Dir::new("kills_db"));
    kill_often(&mock, &dir, &["sync", "--page-size", "10", "--out", "all.db"]).await;
    assert!(database_ids(&dir, "all.db", "interactions") == all_ids(15_000), "each once");
}

#[tokio::test]
async fn two_syncs_do_not_write_one_file() {
    let (mock, dir) = (mock(2_000).await, Dir::new("two"));
    mock.script(Rule::api(Fault::slow(Duration::from_millis(100))).forever());
    let first = tokio::spawn(Run::of(dir.cxone_for(&mock, &["sync"])));
    while !dir.names().iter().any(|name| name.ends_with(".checkpoint")) {
        sleep(Duration::from_millis(5)).await;
    }
    let second = dir.run(&mock, &["sync"]).await;
    second.expect_fatal("Cannot write interactions.ndjson: another sync is writing it");
    first.await.unwrap().expect_success();
    assert!(dir.ids("interactions.ndjson") == all_ids(2_000), "each once, in order");
}

#[tokio::test]
async fn two_syncs_do_not_write_one_resource_into_a_database() {
    let (mock, dir) = (mock(2_000).await, Dir::new("two_db"));
    mock.script(Rule::api(Fault::slow(Duration::from_millis(100))).forever());
    let args = ["sync", "--fresh", "--out", "all.db"];
    let first = tokio::spawn(Run::of(dir.cxone_for(&mock, &args)));
    while !dir.names().iter().any(|name| name.ends_with(".lock")) {
        sleep(Duration::from_millis(5)).await;
    }
    let second = dir.run(&mock, &args).await;
    second.expect_fatal("Cannot write all.db: another sync is writing it");
    // Another resource is none of its business.
    dir.run(&mock, &["sync", "agents", "--out", "all.db"]).await.expect_success();
    first.await.unwrap().expect_success();
    assert!(database_ids(&dir, "all.db", "interactions") == all_ids(2_000));
    assert_eq!(dir.names(), ["all.db"]);
}

#[tokio::test]
async fn a_sync_of_another_account_does_not_go_on_with_a_file() {
    let (mock, dir) = (mock(250).await, Dir::new("account"));
    mock.script(Rule::api(Fault::status(500)).nth(2));
    dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    let mut other = dir.cxone_for(&mock, &["sync"]);
    other.env("CXONE_CLIENT_ID", "somebody else");
    Run::of(other)
        .await
        .expect_fatal("Cannot go on from interactions.ndjson.checkpoint: it is of another account");
}

#[tokio::test]
async fn a_sync_goes_on_only_with_what_was_asked_for() {
    let (mock, dir) = (mock(250).await, Dir::new("asked"));
    let sync = async |more: &[&str]| {
        let args = [&["sync", "contacts-completed", "--out", "c.ndjson"], more].concat();
        dir.run(&mock, &args).await
    };
    sync(&["--since", "2019-12-31"]).await.expect_success();
    let refused = sync(&["--since", "2019-12-30"]).await;
    refused.expect_fatal(
        "Cannot go on from c.ndjson.checkpoint: it is of a sync since a later moment",
    );
    sync(&["--since", "2020-01-01"]).await.expect_success();
    assert!(dir.ids("c.ndjson") == all_ids(250), "each once, in order");
}

#[tokio::test]
async fn what_lies_beyond_until_is_not_asked_for_again_and_again() {
    let mock = start(Mock::builder().interactions(1000).poll_size(50)).await;
    let dir = Dir::new("until");
    let args = ["sync", "contacts-completed", "--since", "2019-12-31", "--out", "c.ndjson"];
    let args = [&args[..], &["--until", "2020-01-01T06:00:00Z"]].concat();
    dir.run(&mock, &args).await.expect_success();
    let first = dir.ids("c.ndjson");
    assert!(first.len() > 100 && first.len() < 1000, "{}", first.len());
    for _ in 0..2 {
        dir.run(&mock, &args).await.expect_success();
        assert!(dir.ids("c.ndjson") == first);
    }
    let later = [&args[..args.len() - 1], &["2021-01-01"]].concat();
    dir.run(&mock, &later).await.expect_success();
    assert!(dir.ids("c.ndjson") == all_ids(1000), "each once, in order");
}

fn database_ids(dir: &Dir, name: &str, table: &str) -> Vec<String> {
    let connection = Connection::open(dir.path(name)).unwrap();
    let mut query = connection.prepare(&format!("SELECT id FROM {table} ORDER BY id")).unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn x30_a_sync_that_failed_goes_on_when_it_is_run_again() {
    let (mock, dir) = (mock(250).await, Dir::new("again"));
    mock.script(Rule::api(Fault::status(500)).nth(3));
    dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    assert_eq!(dir.names(), ["interactions.ndjson", "interactions.ndjson.checkpoint"]);
    mock.reset();
    let report = dir.run(&mock, &["--json"]).await.expect_success().json();
    assert_eq!((&report["interactions"], &report["unique"]), (&250.into(), &().into()));
    assert_eq!(mock.stats().api_requests, 1, "the last page only");
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(250));
    // It is complete: another run begins anew.
    dir.run(&mock, &[]).await.expect_success();
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(250));
    assert_eq!(dir.names(), ["interactions.ndjson"]);
}

#[tokio::test]
async fn what_cannot_be_gone_on_with_is_left_alone_and_said() {
    let (mock, dir) = (mock(250).await, Dir::new("cannot"));
    mock.script(Rule::api(Fault::status(500)).nth(3));
    dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    let kept = dir.read("interactions.ndjson");
    // Another sync, into the same file.
    let run = dir.run(&mock, &["sync", "agents", "--out", "interactions.ndjson"]).await;
    let run =
        run.expect_fatal("Cannot go on from interactions.ndjson.checkpoint: it is of another sync");
    assert!(run.stderr.contains("add --fresh"), "{}", run.stderr);
    assert_eq!(dir.read("interactions.ndjson"), kept);
    // Somebody has cut the file.
    dir.write("interactions.ndjson", "");
    let message =
        "Cannot go on from interactions.ndjson.checkpoint: the file is not the one that it was";
    dir.run(&mock, &[]).await.expect_fatal(message);
    dir.write("interactions.ndjson.checkpoint", "{\"version\": 1");
    assert_eq!(dir.run(&mock, &[]).await.status, 1);
    dir.run(&mock, &["--fresh"]).await.expect_success();
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(250));
    assert_eq!(dir.names(), ["interactions.ndjson"]);
}

#[tokio::test]
async fn the_embedded_mocks_records_are_not_gone_on_with_from_a_real_server() {
    let (mock, dir) = (mock(250).await, Dir::new("other_server"));
    mock.script(Rule::api(Fault::status(500)).nth(2));
    dir.run(&mock, &[]).await.expect_fatal("Server Error: 500 Internal Server Error");
    let run = Run::of(dir.cxone(&["--mock-interactions", "7"])).await;
    run.expect_fatal("Cannot go on from interactions.ndjson.checkpoint: it is of another sync");
}

#[tokio::test]
async fn contacts_are_gone_on_with_night_after_night() {
    let dir = Dir::new("nightly");
    let args = ["sync", "contacts-completed", "--since", "2019-12-31", "--json"];
    let night = async |n: usize| {
        // The same server all along, as far as its name goes.
        let mock = start(Mock::builder().interactions(n).poll_size(20)).await;
        let text = dir.path("contacts-completed.ndjson.checkpoint");
        if let Ok(checkpoint) = std::fs::read_to_string(&text) {
            let mut value: serde_json::Value = serde_json::from_str(&checkpoint).unwrap();
            value["source"]["server"] = format!("{}/", mock.url()).into();
            std::fs::write(&text, value.to_string()).unwrap();
        }
        dir.run(&mock, &args).await.expect_success().json()
    };
    assert_eq!(night(100).await["records"], 100);
    assert_eq!(night(100).await["records"], 100, "nothing new");
    let report = night(170).await;
    assert_eq!(
        (&report["records"], &report["resource"]),
        (&170.into(), &"contacts-completed".into())
    );
    assert_eq!(dir.ids("contacts-completed.ndjson"), all_ids(170));
}

#[tokio::test]
async fn a_killed_start_leaves_what_was_there_to_be_replaced() {
    let (mock, dir) = (mock(30).await, Dir::new("killed_start"));
    dir.write("interactions.ndjson", "yesterday's\n");
    mock.script(Rule::token(Fault::slow(Duration::from_secs(5))));
    let mut child = dir.cxone_for(&mock, &[]).spawn().unwrap();
    while mock.stats().token_requests == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    assert_eq!(dir.read("interactions.ndjson"), "yesterday's\n");
    dir.run(&mock, &[]).await.expect_success();
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(30));
}

/// The most memory that a process has had so far, in kB.
#[cfg(target_os = "linux")]
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_does_not_grow_with_what_is_synced() {
    let (mock, dir) = (mock(200_000).await, Dir::new("memory"));
    for out in ["all.ndjson", "all.db"] {
        let args = ["--page-size", "1000", "--json", "--out", out];
        let mut child = dir.cxone_for(&mock, &args).spawn().unwrap();
        let (pid, mut peak) = (child.id().unwrap(), 0);
        while timeout(Duration::from_millis(20), child.wait()).await.is_err() {
            peak = peak_memory(pid).unwrap_or(peak);
        }
        let run = Run::from(child.wait_with_output().await.unwrap()).expect_success();
        assert_eq!(run.json()["interactions"], 200_000);
        assert!((1..64_000).contains(&peak), "{out}: {peak} kB");
    }
}
