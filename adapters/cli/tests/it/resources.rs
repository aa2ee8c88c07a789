//! What can be synced, into what, and the doctor.

use cxone_mock::{
    DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, Fault, Mock, Rule, interaction_id,
};
use rusqlite::Connection;
use tokio::process::Command;

use crate::{Dir, Run, SECRET, all_ids, start};

/// `cxone` with an access key for that mock.
fn with_access_key(dir: &Dir, mock: &Mock, args: &[&str]) -> Command {
    let mut command = dir.cxone(args);
    command.env("CXONE_ISSUER", mock.url());
    command.env("CXONE_CLIENT_ID", "test-client").env("CXONE_CLIENT_SECRET", SECRET);
    command.env("CXONE_ACCESS_KEY_ID", DEFAULT_ACCESS_KEY_ID);
    command.env("CXONE_ACCESS_KEY_SECRET", DEFAULT_ACCESS_KEY_SECRET);
    command
}

const RESOURCES: [&str; 9] = [
    "interactions",
    "agents",
    "skills",
    "teams",
    "contacts-completed",
    "skills-summary",
    "digital-contacts",
    "segments",
    "users",
];

/// The mock's records are of these days.
const DAYS: [&str; 4] = ["--since", "2019-12-31", "--until", "2020-01-03"];

fn args(resource: &'static str) -> Vec<&'static str> {
    let times = matches!(resource, "contacts-completed" | "skills-summary");
    ["sync", resource, "--json"]
        .into_iter()
        .chain(times.then_some(DAYS).into_iter().flatten())
        .collect()
}

#[tokio::test]
async fn each_resource_is_synced_with_an_access_key_to_lines_and_to_a_database() {
    let dir = Dir::new("resources");
    let mock = start(Mock::builder().interactions(620).poll_size(100)).await;
    for resource in RESOURCES {
        let mut lines = args(resource);
        let report = Run::of(with_access_key(&dir, &mock, &lines)).await.expect_success().json();
        let n =
            if resource == "interactions" { &report["interactions"] } else { &report["records"] };
        assert_eq!((n, &report["unique"]), (&620.into(), &620.into()), "{resource}");
        assert_eq!(dir.ids(&format!("{resource}.ndjson")), all_ids(620), "{resource}");
        lines.extend(["--out", "all.db"]);
        Run::of(with_access_key(&dir, &mock, &lines)).await.expect_success();
        // Again: the same ids, the same rows.
        if resource != "contacts-completed" {
            Run::of(with_access_key(&dir, &mock, &lines)).await.expect_success();
        }
    }
    let database = Connection::open(dir.path("all.db")).unwrap();
    for resource in RESOURCES {
        let table = resource.replace('-', "_");
        let query = format!("SELECT count(*), min(id), max(durationSeconds) FROM {table}");
        let row = database.query_row(&query, [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?, row.get::<_, u64>(2)?))
        });
        let (count, first, longest) = row.unwrap();
        assert_eq!((count, first), (620, interaction_id(0)), "{resource}");
        assert!(longest > 1000);
    }
}

#[tokio::test]
async fn anything_else_is_synced_by_path_and_style() {
    let dir = Dir::new("by_path");
    let mock = start(Mock::builder().interactions(120)).await;
    let path = "/incontactapi/services/v31.0/skills";
    let args = ["sync", "--path", path, "--style", "links", "--items", "skills"];
    let run =
        Run::of(with_access_key(&dir, &mock, &[&args[..], &["--query", "isActive=true"]].concat()));
    let run = run.await.expect_success();
    assert!(run.stdout.contains("[Complete] Successfully synced 120 records."), "{}", run.stdout);
    assert_eq!(dir.ids("skills.ndjson"), all_ids(120));
    let asked = mock.log().into_iter().find(|entry| entry.path == path).unwrap();
    assert_eq!(asked.query.as_deref(), Some("isActive=true&top=500"));
    for wrong in [
        &["sync", "--path", "/x"][..],
        &["sync", "agents", "--path", "/x", "--style", "links"],
        &["sync", "--style", "links"],
        &["sync", "--path", "/x", "--style", "offset"],
        &["sync", "nothing"],
        &["sync", "agents", "--since", "yesterday"],
    ] {
        assert_eq!(Run::of(dir.cxone(wrong)).await.status, 2, "{wrong:?}");
    }
    for wrong in [
        &["sync", "--path", "/x", "--style", "links"][..],
        &["sync", "agents", "--since", "2026-08-01"],
        &["sync", "skills-summary", "--since", "2026-08-02", "--until", "2026-08-01"],
    ] {
        assert_eq!(Run::of(dir.cxone(wrong)).await.status, 1, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_table_holds_the_records_of_one_source() {
    let dir = Dir::new("one_source");
    let mock = start(Mock::builder().interactions(12)).await;
    let args =
        |path| ["sync", "--path", path, "--style", "links", "--items", "skills", "--out", "all.db"];
    let one = args("/incontactapi/services/v31.0/skills?isActive=true");
    let other = args("/incontactapi/services/v31.0/skills?isActive=false");
    Run::of(with_access_key(&dir, &mock, &one)).await.expect_success();
    let run = Run::of(with_access_key(&dir, &mock, &other)).await;
    run.expect_fatal("Cannot go on from the checkpoint in all.db: it is of another sync");
    Run::of(with_access_key(&dir, &mock, &one)).await.expect_success();
    let fresh = [&other[..], &["--fresh"]].concat();
    Run::of(with_access_key(&dir, &mock, &fresh)).await.expect_success();
}

#[tokio::test]
async fn a_dead_scroll_says_what_to_do() {
    let dir = Dir::new("dead_scroll");
    let mock = start(Mock::builder().interactions(60)).await;
    let gone = r#"{"errors":[{"errorCode":"x","message":"the scroll has expired"}],"uid":"u"}"#;
    mock.script(Rule::on("/dfo/3.0/contacts", Fault::status(400).body(gone)).nth(2).times(2));
    let sync = || Run::of(with_access_key(&dir, &mock, &["sync", "digital-contacts"]));
    let run = sync().await;
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(!run.stderr.contains("--fresh"), "it has just begun: {}", run.stderr);
    let run = sync().await;
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(run.stderr.contains("add --fresh"), "{}", run.stderr);
    assert!(run.stderr.contains("The server says: the scroll has expired"), "{}", run.stderr);
}

#[cfg(unix)]
#[tokio::test]
async fn who_has_read_enough_ends_it_quietly() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let dir = Dir::new("closed_pipe");
    let mock = start(Mock::builder().interactions(5000)).await;
    let mut child = with_access_key(&dir, &mock, &["sync", "--out", "-"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().is_some());
    drop(lines);
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(141), "{stderr}");
    assert!(!stderr.contains("[Fatal]"), "{stderr}");
}

#[tokio::test]
async fn csv_has_a_column_for_each_field() {
    let dir = Dir::new("csv");
    let mock = start(Mock::builder().interactions(120)).await;
    let run = dir.run(&mock, &["--out", "all.csv", "--page-size", "50"]).await.expect_success();
    assert!(run.stdout.contains("written to     all.csv"));
    let csv = dir.read("all.csv");
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 121);
    assert_eq!(lines[0], "id,channel,direction,agentId,skillId,startTime,durationSeconds,other");
    assert!(lines[120].starts_with("int-000120,") && lines[120].ends_with(','));
    let run = dir.run(&mock, &["--format", "csv", "--out", "-"]).await.expect_success();
    assert_eq!(run.stdout, csv);
    let run = dir.run(&mock, &["--format", "sqlite", "--out", "-"]).await;
    run.expect_fatal("A database needs a file: give one with --out");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_touched() {
    let dir = Dir::new("no_db");
    let mock = start(Mock::builder().interactions(1)).await;
    let text = "not a database, and long enough to be told from one. ".repeat(20);
    dir.write("all.db", &text);
    let run = dir.run(&mock, &["--out", "all.db"]).await;
    assert_eq!(run.status, 1, "{}", run.stdout);
    assert_eq!(dir.read("all.db"), text);
    assert_eq!(mock.stats().requests, 0);
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_where_nothing_is() {
    let dir = Dir::new("doctor");
    let mock = start(Mock::builder()).await;
    let run = Run::of(with_access_key(&dir, &mock, &["doctor"])).await.expect_success();
    for line in [
        "ok    settings",
        "ok    DNS",
        "ok    clock",
        "ok    token",
        "ok    tenant",
        "ok    API host",
        "ok    ACD",
    ] {
        assert!(run.stdout.lines().any(|it| it.starts_with(line)), "{line}\n{}", run.stdout);
    }
    assert!(!run.stdout.contains(SECRET) && !run.stdout.contains("secret="), "{}", run.stdout);
}

#[tokio::test]
async fn the_doctor_says_what_to_do_about_each_failure() {
    let dir = Dir::new("doctor_ill");
    let failing = async |mock: &Mock, changes: &[(&str, &str)]| {
        let mut command = with_access_key(&dir, mock, &["doctor"]);
        command.envs(changes.iter().copied());
        let run = Run::of(command).await;
        assert_eq!(run.status, 1, "{}", run.stdout);
        assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
        run.stdout
    };
    let mock = start(Mock::builder().clock_skew(-600)).await;
    let said = failing(&mock, &[]).await;
    assert!(
        said.contains("FAIL  clock            600 s off") || said.contains("s off the server's"),
        "{said}"
    );
    let mock = start(Mock::builder()).await;
    let said = failing(&mock, &[("CXONE_ACCESS_KEY_SECRET", "hunter2")]).await;
    assert!(said.contains("FAIL  token") && said.contains("CXONE_ACCESS_KEY_ID and"), "{said}");
    let said = failing(&mock, &[("CXONE_CLIENT_SECRET", "hunter2")]).await;
    assert!(said.contains("Check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"), "{said}");
    let said = failing(&mock, &[("CXONE_ISSUER", "http://127.0.0.1:1")]).await;
    assert!(said.contains("FAIL  TLS") && said.contains("refused"), "{said}");
    let said = failing(&mock, &[("CXONE_ISSUER", "http://no-such-host.invalid")]).await;
    assert!(said.contains("FAIL  DNS"), "{said}");
    let lost = start(Mock::builder().api_endpoint("http://127.0.0.1:1")).await;
    let said = failing(&lost, &[]).await;
    assert!(said.contains("ok    tenant") && said.contains("ok    API host"), "{said}");
    assert!(said.contains("FAIL  TLS") && said.contains("refused"), "{said}");
    assert_eq!(said.matches("FAIL").count(), 1, "{said}");
    mock.script(Rule::on("/.well-known/cxone", Fault::status(404)).forever());
    let said = failing(&mock, &[]).await;
    assert!(said.contains("CXONE_ISSUER"), "{said}");
    let run = Run::of(dir.cxone(&["doctor"])).await.expect_fatal("No CXONE_ variable is set");
    assert!(run.stderr.contains("CXONE_ACCESS_KEY_ID"));
    // What a role lacks is nothing to be mended.
    let mock = start(Mock::builder()).await;
    mock.script(Rule::on("/dfo", Fault::status(403)));
    let run = Run::of(with_access_key(&dir, &mock, &["doctor"])).await.expect_success();
    assert!(run.stdout.contains("note  Digital"), "{}", run.stdout);
}
