//! The records and where they go.

use cxone_mock::{Interaction, interaction};

use crate::{Dir, Run, all_ids, ids, mock};

#[tokio::test]
async fn t23_the_file_holds_every_record_whole_and_once() {
    let (mock, dir) = (mock(250).await, Dir::new("t23"));
    dir.run(&mock, &["--out", "all.ndjson"]).await.expect_success();
    let file = dir.read("all.ndjson");
    let records: Vec<Interaction> =
        file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, (0..250).map(interaction).collect::<Vec<_>>());
    // As the server sent them, to the order of the fields.
    assert_eq!(file.lines().next().unwrap(), serde_json::to_string(&interaction(0)).unwrap());
    let log = mock.log();
    assert_eq!(log[1].path, "/api/v2.0/interactions");
    assert_eq!(log[1].query.as_deref(), Some("page_size=100"));
}

#[tokio::test]
async fn page_size_is_asked_for() {
    let mock = mock(25).await;
    let run = Dir::new("page_size").run(&mock, &["--page-size", "10"]).await.expect_success();
    assert!(run.stdout.contains("[Pagination] Fetched 5 interactions. Total: 25"));
    assert_eq!(mock.stats().api_requests, 3);
}

#[tokio::test]
async fn a_dash_gives_standard_output_to_the_records() {
    let mock = mock(150).await;
    let run = Dir::new("dash").run(&mock, &["sync", "--out", "-"]).await.expect_success();
    assert_eq!(ids(&run.stdout), all_ids(150));
    assert!(run.stderr.starts_with("[Init] Starting"), "{}", run.stderr);
    assert!(run.stderr.contains("\n[Complete] Successfully synced 150 interactions.\n"));
}

#[tokio::test]
async fn what_an_earlier_run_wrote_is_replaced() {
    let (mock, dir) = (mock(3).await, Dir::new("replaced"));
    dir.write("interactions.ndjson", &"old\n".repeat(1000));
    dir.run(&mock, &[]).await.expect_success();
    assert_eq!(dir.ids("interactions.ndjson"), all_ids(3));
}

#[tokio::test]
async fn no_interactions_are_a_success_and_an_empty_file() {
    let (mock, dir) = (mock(0).await, Dir::new("none"));
    dir.write("interactions.ndjson", "old\n");
    let run = dir.run(&mock, &[]).await.expect_success();
    assert!(run.stdout.contains("[Complete] Successfully synced 0 interactions."));
    assert_eq!(dir.read("interactions.ndjson"), "");
}

#[cfg(unix)]
#[tokio::test]
async fn records_fit_into_a_pipe() {
    let (mock, dir) = (mock(150).await, Dir::new("pipe"));
    let command = dir.cxone_for(&mock, &["--json", "--out", "/dev/stderr"]);
    let run = Run::of(command).await.expect_success();
    assert_eq!(ids(&run.stderr), all_ids(150));
}
