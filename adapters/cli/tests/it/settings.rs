//! Where the settings come from.

use crate::{Dir, Run, SECRET, mock};

#[tokio::test]
async fn t3_settings_come_from_a_file_and_real_variables_win() {
    let (mock, dir) = (mock(3).await, Dir::new("t3"));
    let settings = format!(
        "CXONE_BASE_URL=http://127.0.0.1:1\nCXONE_CLIENT_ID=test-client\n\
         CXONE_CLIENT_SECRET='{SECRET}'\n"
    );
    dir.write(".env", &settings);
    let mut command = dir.cxone(&["--json"]);
    command.env("CXONE_BASE_URL", mock.url());
    let report = Run::of(command).await.expect_success().json();
    assert_eq!((&report["unique"], &report["early"]), (&3.into(), &().into()));
}

#[tokio::test]
async fn t3_what_is_missing_is_named() {
    let dir = Dir::new("t3_missing");
    let mut command = dir.cxone(&[]);
    command.env("CXONE_BASE_URL", "http://127.0.0.1:1").env("CXONE_CLIENT_ID", "id");
    let run = Run::of(command).await;
    run.expect_fatal("CXONE_CLIENT_SECRET is not set, but other CXONE_ variables are");

    dir.write(".env", "CXONE_CLIENT_SECRET=hunter2\n");
    let run = Run::of(dir.cxone(&["--json"])).await.expect_fatal(
        "CXONE_BASE_URL and CXONE_CLIENT_ID are not set, but other CXONE_ variables are",
    );
    assert_eq!(run.stdout, "");
    assert!(!dir.path("interactions.ndjson").exists());
}

#[tokio::test]
async fn t5_a_token_url_alone_means_a_real_server() {
    let dir = Dir::new("t5");
    let mut command = dir.cxone(&["--json"]);
    command.env("CXONE_TOKEN_URL", "http://127.0.0.1:1/token");
    Run::of(command).await.expect_fatal(
        "CXONE_BASE_URL and CXONE_CLIENT_ID and CXONE_CLIENT_SECRET are not set, \
         but other CXONE_ variables are",
    );
}

#[tokio::test]
async fn t3_a_file_that_cannot_be_read_is_fatal_and_not_quoted() {
    let dir = Dir::new("t3_bad");
    dir.write(".env", "CXONE_CLIENT_SECRET='hunter2\n");
    let run = Run::of(dir.cxone(&[])).await;
    assert_eq!(run.status, 1, "{}", run.stdout);
    assert!(run.stderr.starts_with("[Fatal] invalid setting `.env`"), "{}", run.stderr);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[tokio::test]
async fn wrong_usage_has_a_status_of_its_own() {
    let dir = Dir::new("usage");
    for args in
        [&["--page-size", "0"][..], &["--mock-limit", "50"], &["synk"], &["--wat"], &["--out", ""]]
    {
        assert_eq!(Run::of(dir.cxone(args)).await.status, 2, "{args:?}");
    }
    let run = Run::of(dir.cxone(&["--mock-interactions", "0"])).await;
    assert!(run.stderr.contains("0 is not in 1.."), "in words for people: {}", run.stderr);
}
