//! What is printed: the tutorial's lines, the summary, JSON.

use cxone_mock::{Fault, Mock, Rule};
use serde_json::{Value, json};

use crate::{Dir, Run, mock, start};

#[tokio::test]
async fn t24_the_lines_of_a_sync_are_the_tutorials() {
    let mock = mock(250).await;
    let run = Dir::new("t24_lines").run(&mock, &["sync"]).await.expect_success();
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "[Init] Starting CXone interaction sync...",
            "[Pagination] Fetched 100 interactions. Total: 100",
            "[Pagination] Fetched 100 interactions. Total: 200",
            "[Pagination] Fetched 50 interactions. Total: 250",
            "[Complete] Successfully synced 250 interactions.",
        ]
    );
    assert!(lines[5..].iter().all(|line| line.starts_with("  ")), "{}", run.stdout);
    assert_eq!(run.stderr, "");
}

#[tokio::test]
async fn t24_the_closing_summary_has_the_numbers_and_invents_no_ideal() {
    let mock = mock(250).await;
    mock.script(Rule::api(Fault::status(429).retry_after(1)).nth(2));
    let run = Dir::new("t24_summary").run(&mock, &[]).await.expect_success();
    for line in [
        "  interactions   250, no id twice",
        "  requests       4, 1 of them throttled",
        "  token fetches  1",
        "  written to     interactions.ndjson",
    ] {
        assert!(run.stdout.lines().any(|it| it == line), "{line}\n{}", run.stdout);
    }
    assert!(run.stdout.contains("\n  waits          1, 1."), "{}", run.stdout);
    assert!(!run.stdout.contains("no less than") && !run.stdout.contains("early"));
}

#[tokio::test]
async fn t22_a_pause_is_told_with_its_wait_and_its_number() {
    let mock = mock(250).await;
    mock.script(Rule::api(Fault::staggered(429, [1, 2])).nth(2));
    let run = Dir::new("t22").run(&mock, &[]).await.expect_success();
    let lines: Vec<_> = run.stderr.lines().collect();
    let [first, second] = lines[..] else { panic!("{}", run.stderr) };
    let wait = |line: &str, attempt: u32| -> u64 {
        let rest = line.strip_prefix("Rate limit hit. Retrying in ").unwrap();
        let ms = rest.strip_suffix(&format!("ms (attempt {attempt})"));
        ms.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    };
    // The stated wait, and on top of it at most a tenth and at most 250 ms.
    assert!((1000..=1100).contains(&wait(first, 1)), "{first}");
    assert!((2000..=2200).contains(&wait(second, 2)), "{second}");
    assert_eq!(mock.stats().early, 0);
}

#[tokio::test]
async fn json_is_one_object_and_nothing_else() {
    let mock = mock(250).await;
    mock.script(Rule::api(Fault::status(429).retry_after(1)).nth(2));
    let run = Dir::new("json").run(&mock, &["--json"]).await.expect_success();
    let mut report = run.json();
    let elapsed = report["elapsed_ms"].take().as_u64().unwrap();
    assert!((1000..10_000).contains(&elapsed), "{elapsed}");
    assert_eq!(
        report,
        json!({
            "interactions": 250, "unique": 250, "requests": 4, "throttled": 1,
            "token_fetches": 1, "early": null, "elapsed_ms": null, "out": "interactions.ndjson",
        })
    );
}

#[tokio::test]
async fn json_and_the_records_do_not_share_standard_output() {
    let mock = mock(3).await;
    let run = Dir::new("json_dash").run(&mock, &["--json", "--out", "-"]).await.expect_success();
    assert_eq!(run.stdout.lines().count(), 3);
    let report: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!((&report["unique"], &report["out"]), (&json!(3), &json!("-")));
}

#[tokio::test]
async fn an_id_that_comes_twice_is_told() {
    let mock = start(Mock::builder().interactions(4)).await;
    let again = r#"{"entities": [{"id": "int-000001"}], "next_page_token": "ZnJvbToy"}"#;
    mock.script(Rule::api(Fault::status(200).body(again)).nth(2));
    let run = Dir::new("twice").run(&mock, &["--page-size", "1"]).await.expect_success();
    assert!(run.stdout.contains("1 of them with an id that came before"), "{}", run.stdout);
}

#[tokio::test]
async fn a_reader_that_goes_away_does_not_end_the_sync() {
    let (mock, dir) = (mock(250).await, Dir::new("no_reader"));
    let mut child = dir.cxone_for(&mock, &[]).spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().await.unwrap()).expect_success();
    assert_eq!((run.stderr.as_str(), dir.ids("interactions.ndjson").len()), ("", 250));
}

#[tokio::test]
async fn help_is_for_newcomers() {
    let dir = Dir::new("help");
    for args in [&["--help"][..], &["sync", "--help"], &["-h"]] {
        let help = Run::of(dir.cxone(args)).await.expect_success().stdout;
        for word in ["CXONE_BASE_URL", "CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "--out", "--json"]
        {
            assert!(help.contains(word), "{word}\n{help}");
        }
    }
}
