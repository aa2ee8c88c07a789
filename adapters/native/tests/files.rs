//! Jobs, downloads and long polls.

mod common;

use std::error::Error as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use common::{builder, client};
use cxone_client::{Client, ErrorKind, JobStyle};
use cxone_mock::{Fault, Mock, Rule};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const JOBS: &str = "/data-extraction/v1/jobs";

struct Dir(TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.path("file.wav")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What is in it, by name.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// A recording's address.
async fn recording(client: &cxone_client::Client) -> String {
    let answer = client.get("/media-playback/v1/contacts").send().await.unwrap();
    let answer: Value = answer.json().unwrap();
    answer["interactions"][0]["data"]["fileToPlayUrl"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_job_is_submitted_asked_after_and_its_result_fetched() {
    let dir = Dir::new();
    let mock = Mock::builder().job_polls(3).start().await.unwrap();
    for (style, path) in [
        (JobStyle::data_extraction(), JOBS),
        (JobStyle::report(), "/incontactapi/services/v34.0/report-jobs/77"),
    ] {
        mock.reset();
        let job = client(&mock).job(style, path).json(&json!({ "entityName": "x" }));
        let job = job.poll_every(Duration::from_millis(10));
        let (done, file) = job.run_to(dir.file()).await.unwrap();
        assert!(done.id.starts_with("job-"));
        assert_eq!((file.bytes, file.verified, file.resumed), (100_000, true, 0));
        assert_eq!(fs::read(dir.file()).unwrap(), bytes(100_000));
        let polls = mock.log().iter().filter(|it| it.path.ends_with(&done.id)).count();
        assert_eq!(polls, 4, "{path}");
    }
    let job = client(&mock).job(
        JobStyle::call_list_upload(),
        "/incontactapi/services/v34.0/lists/call-lists/5/upload",
    );
    let done = job.poll_every(Duration::from_millis(10)).run().await.unwrap();
    assert_eq!((done.result, done.answer["status"].as_str()), (None, Some("Completed")));
}

#[tokio::test]
async fn an_address_that_died_is_asked_for_again() {
    let dir = Dir::new();
    let mock = Mock::builder().job_polls(0).start().await.unwrap();
    mock.script(Rule::on("/files/", Fault::status(403)));
    let job = client(&mock).job(JobStyle::data_extraction(), JOBS);
    let (_, file) = job.run_to(dir.file()).await.unwrap();
    assert_eq!(file.bytes, 100_000);
    assert_eq!(dir.names(), ["file.wav"]);
}

#[tokio::test]
async fn a_job_that_fails_or_does_not_end_is_an_error_that_says_so() {
    let mock = Mock::builder().job_polls(1000).start().await.unwrap();
    let job = || client(&mock).job(JobStyle::data_extraction(), JOBS);
    let slow = job().poll_every(Duration::from_millis(10)).deadline(Duration::from_millis(200));
    let error = slow.run().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Job | ErrorKind::Timeout), "{error}");
    let failed = json!({
        "jobStatus": { "status": "FAILED", "result": { "errorMessage": "too much" } },
    });
    mock.script(Rule::on("/data-extraction/v1/jobs/", Fault::status(200).body(failed.to_string())));
    let error = job().run().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Job);
    assert!(error.to_string().ends_with("is FAILED: too much"), "{error}");
    mock.script(Rule::on("/data-extraction/v1/jobs/", Fault::status(200).body("{}")));
    let error = job().run().await.unwrap_err();
    assert!(error.to_string().contains("`jobStatus.status`"), "{error}");
}

#[tokio::test]
async fn nobody_waits_past_a_jobs_deadline() {
    let mock = Mock::builder().job_polls(1000).start().await.unwrap();
    let job = client(&mock).job(JobStyle::data_extraction(), JOBS);
    // Its family is asked after every 30 s.
    let job = job.deadline(Duration::from_secs(10));
    let error = timeout(Duration::from_secs(5), job.run()).await.expect("at once").unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Job);
    assert!(error.to_string().ends_with("is not done within its deadline"), "{error}");
    assert_eq!(mock.log().iter().filter(|it| it.path.starts_with(JOBS)).count(), 2);
}

#[tokio::test]
async fn a_job_without_a_deadline_has_none() {
    let mock = Mock::builder().job_polls(1).start().await.unwrap();
    let job = client(&mock).job(JobStyle::data_extraction(), JOBS).deadline(Duration::MAX);
    job.poll_every(Duration::from_millis(1)).run().await.unwrap();
}

#[tokio::test]
async fn a_download_goes_on_where_its_body_ended() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    mock.script(Rule::on("/files/", [Fault::truncate(30_000), Fault::truncate(20_000)]));
    let file = client.download(&address).to(dir.file()).await.unwrap();
    assert_eq!((file.bytes, file.resumed, file.verified), (100_000, 50_000, true));
    assert_eq!(fs::read(dir.file()).unwrap(), bytes(100_000));
    assert_eq!(dir.names(), ["file.wav"]);
}

#[tokio::test]
async fn a_later_call_goes_on_with_what_an_earlier_one_left() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    mock.script(Rule::on(
        "/files/",
        [Fault::truncate(30_000), Fault::status(500), Fault::status(404)],
    ));
    let error = client.download(&address).to(dir.file()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Server);
    assert_eq!(dir.names(), ["file.wav.part", "file.wav.part.etag"]);
    client.download(&address).to(dir.file()).await.unwrap_err();
    let file = client.download(&address).to(dir.file()).await.unwrap();
    assert_eq!((file.bytes, file.resumed, file.verified), (100_000, 30_000, true));
    assert_eq!(fs::read(dir.file()).unwrap(), bytes(100_000));

    // What is there is of another version: it begins anew.
    fs::write(dir.path("file.wav.part"), b"something else").unwrap();
    fs::write(dir.path("file.wav.part.etag"), "\"v0\"").unwrap();
    let file = client.download(&address).to(dir.file()).await.unwrap();
    assert_eq!((file.bytes, file.resumed), (100_000, 0));
    // It is of no version that is known.
    fs::write(dir.path("file.wav.part"), b"something else").unwrap();
    let file = client.download(&address).to(dir.file()).await.unwrap();
    assert_eq!((file.bytes, file.resumed), (100_000, 0));
    assert_eq!(fs::read(dir.file()).unwrap(), bytes(100_000));
    assert_eq!(dir.names(), ["file.wav"]);
}

#[tokio::test]
async fn what_is_not_what_the_server_states_never_gets_its_name() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    for (name, value) in [
        ("repr-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    ] {
        mock.script(Rule::on("/files/", Fault::status(200).body("x").header(name, value)));
        let error = client.download(&address).to(dir.file()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Download);
        assert!(error.to_string().contains("checksum"), "{error}");
        assert_eq!(dir.names(), Vec::<String>::new(), "{name}");
    }
    let wrong = Fault::status(200).body("abc");
    for (digest, right) in [("kAFQmDzST7DWlj99KOF/cg==", true), ("", false)] {
        let fault = wrong.clone().header("content-md5", digest);
        mock.script(Rule::on("/files/", fault));
        let result = client.download(&address).to(dir.file()).await;
        assert_eq!(result.is_ok_and(|file| file.verified), right);
    }
}

#[tokio::test]
async fn a_body_that_keeps_ending_or_stalls_is_given_up() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    mock.script(Rule::on("/files/", Fault::truncate(0)).times(5));
    let error = client.download(&address).to(dir.file()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Network);
    mock.script(Rule::on("/files/", Fault::slow_body(Duration::from_secs(30))));
    let download = client.download(&address).stall_timeout(Duration::from_millis(100));
    assert_eq!(download.to(dir.file()).await.unwrap().bytes, 100_000);
}

#[tokio::test]
async fn what_is_no_file_or_another_part_of_one_is_not_taken() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    for status in [204, 302, 304] {
        mock.script(Rule::on(
            "/files/",
            Fault::status(status).header("location", "https://b.example"),
        ));
        let error = client.download(&address).to(dir.file()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Download, "{status}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(!dir.file().exists());
    }
    let part = Fault::status(206).header("content-range", "bytes 5-9/20").body("abcde");
    mock.script(Rule::on("/files/", part).times(5));
    let error = client.download(&address).to(dir.file()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Download);
    assert!(!dir.file().exists());
    // Five times in a row, and no more.
    assert_eq!(client.download(&address).to(dir.file()).await.unwrap().bytes, 100_000);
}

/// A server whose nth connection gets the nth answer, as it stands, and is closed.
async fn answers(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(head).unwrap().to_lowercase());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        asked
    });
    (address, asked)
}

fn whole(etag: &str, length: usize, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn what_is_packed_in_spite_of_what_was_asked_for_is_an_error_and_no_file() {
    let dir = Dir::new();
    let packed = whole("\"v1\"\r\ncontent-encoding: gzip", 4, "pack");
    let (address, asked) = answers(vec![packed]).await;
    let client = Client::builder().base_url(&address).no_auth().build().unwrap();
    let error = client.download("/file").to(dir.file()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Download);
    assert!(error.to_string().contains("packs it"), "{error}");
    assert!(dir.names().is_empty(), "{:?}", dir.names());
    assert!(asked.await.unwrap()[0].contains("accept-encoding: identity"));
}

fn part(etag: &str, range: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 206 Partial Content\r\n{etag}content-range: bytes {range}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn parts_of_two_versions_do_not_make_a_file() {
    // None of these servers minds `If-Range`.
    for other in [
        part("etag: \"v2\"\r\n", "5-9/10", "BBBBB"),
        part("etag: W/\"v1\"\r\n", "5-9/10", "BBBBB"),
        part("", "5-8/9", "BBBB"),
        part("etag: \"v1\"\r\n", "5-10/11", "BBBBBB"),
    ] {
        let dir = Dir::new();
        let (address, asked) = answers(vec![
            whole("\"v1\"", 10, "AAAAA"),
            other.clone(),
            whole("\"v2\"", 10, "BBBBBBBBBB"),
        ])
        .await;
        let client = Client::builder().base_url(&address).no_auth().build().unwrap();
        let file = client.download("/file").to(dir.file()).await.unwrap();
        assert_eq!(fs::read_to_string(dir.file()).unwrap(), "BBBBBBBBBB", "{other}");
        assert_eq!((file.bytes, file.resumed), (10, 0));
        let asked = asked.await.unwrap();
        assert!(asked[1].contains("range: bytes=5-\r\n"), "{}", asked[1]);
        assert!(!asked[2].contains("range:"), "{}", asked[2]);
    }
    // Neither a validator nor a total need be repeated.
    for same in [part("", "5-9/*", "BBBBB"), part("etag: \"v1\"\r\n", "5-9/10", "BBBBB")] {
        let dir = Dir::new();
        let (address, _) = answers(vec![whole("\"v1\"", 10, "AAAAA"), same]).await;
        let client = Client::builder().base_url(&address).no_auth().build().unwrap();
        let file = client.download("/file").to(dir.file()).await.unwrap();
        assert_eq!((file.bytes, file.resumed), (10, 5));
    }
}

#[tokio::test]
async fn a_file_that_keeps_changing_is_given_up() {
    let dir = Dir::new();
    let pair = [whole("\"v1\"", 10, "AAAAA"), part("etag: \"v2\"\r\n", "5-9/10", "BBBBB")];
    let (address, asked) = answers(pair.iter().cycle().take(10).cloned().collect()).await;
    let client = Client::builder().base_url(&address).no_auth().build().unwrap();
    let error = client.download("/file").to(dir.file()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Download);
    assert!(error.to_string().ends_with("its parts are not of one file"), "{error}");
    assert_eq!(asked.await.unwrap().len(), 10);
    assert!(!dir.file().exists());
}

#[tokio::test]
async fn a_file_has_one_writer_at_a_time() {
    let dir = Dir::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let client = || Client::builder().base_url(&address).no_auth().build().unwrap();
    let first = tokio::spawn(client().download("/file").to(dir.file()));
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(whole("\"v1\"", 10, "AAAAA").as_bytes()).await.unwrap();
    // Another client, as of another process: it is asked of the file system.
    let error = client().download("/file").to(dir.file()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Download);
    assert!(error.to_string().ends_with("another download is writing it"), "{error}");
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::ResourceBusy);
    stream.write_all(b"AAAAA").await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().bytes, 10);
    assert_eq!(fs::read_to_string(dir.file()).unwrap(), "AAAAAAAAAA");
    assert_eq!(dir.names(), ["file.wav"]);
}

#[tokio::test]
async fn what_no_later_call_can_go_on_with_is_not_left() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    for status in [302, 204, 304, 403, 404, 416] {
        mock.script(Rule::on("/files/", Fault::status(status)));
        client.download(&address).to(dir.file()).await.unwrap_err();
        assert_eq!(dir.names(), Vec::<String>::new(), "{status}");
    }
    mock.script(Rule::on("/files/", Fault::truncate(0)).times(5));
    client.download(&address).to(dir.file()).await.unwrap_err();
    assert_eq!(dir.names(), Vec::<String>::new());
    // Of these bytes nobody knows the version.
    let answer = |etag| vec![whole(etag, 10, "AAAAA"), "HTTP/1.1 404 Not Found\r\n\r\n".into()];
    for (etag, left) in [("W/\"v1\"", 0), ("\"v1\"", 2)] {
        let (address, _) = answers(answer(etag)).await;
        let client = Client::builder().base_url(&address).no_auth().build().unwrap();
        let error = client.download("/file").to(dir.file()).await.unwrap_err();
        assert_eq!(error.status().unwrap().as_u16(), 404);
        assert_eq!(dir.names().len(), left, "{etag}");
    }
}

#[tokio::test]
async fn downloads_into_one_file_publish_no_hole() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    // Each may find the file in any state, and some wait for one that is about to end.
    let (mut done, mut busy) = (0, 0);
    for _ in 0..10 {
        let each = (0..8).map(|_| tokio::spawn(client.download(&address).to(dir.file())));
        for each in each.collect::<Vec<_>>() {
            match each.await.unwrap() {
                Ok(file) => {
                    assert_eq!((file.bytes, file.verified), (100_000, true));
                    done += 1;
                }
                Err(error) => {
                    assert!(
                        error.to_string().ends_with("another download is writing it"),
                        "{error}"
                    );
                    busy += 1;
                }
            }
            // None is half, whoever else is at it.
            assert!(!dir.file().exists() || fs::read(dir.file()).unwrap() == bytes(100_000));
        }
    }
    assert!(done >= 10, "{done} done, {busy} refused");
    assert_eq!(dir.names(), ["file.wav"]);
}

#[tokio::test]
async fn one_that_was_given_up_keeps_nobody_from_the_file() {
    let dir = Dir::new();
    let mock = Mock::builder().start().await.unwrap();
    let client = client(&mock);
    let address = recording(&client).await;
    for wait in [0, 1, 2, 5, 10] {
        let download = client.download(&address).to(dir.file());
        let _ = timeout(Duration::from_millis(wait), download).await;
        assert_eq!(client.download(&address).to(dir.file()).await.unwrap().bytes, 100_000);
        assert_eq!(fs::read(dir.file()).unwrap(), bytes(100_000));
    }
}

#[tokio::test]
async fn an_agents_events_come_by_long_polls_and_304_asks_again() {
    let mock = Mock::builder().start().await.unwrap();
    let client = builder(&mock).scope_limit_apart("agent-events", 4).build().unwrap();
    let events = client.agent_events("/incontactapi/services/v34.0/agent-sessions/s-1");
    let events: Vec<Value> = events.take(3).try_collect().await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|it| it["Number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let polls: Vec<_> = mock.log().into_iter().filter(|it| it.path.contains("s-1")).collect();
    assert_eq!(polls.len(), 9);
    assert!(polls.iter().all(|it| it.query.as_deref() == Some("timeout=60")));
}

#[tokio::test]
async fn a_server_that_holds_no_poll_is_asked_four_times_a_second() {
    let mock = Mock::builder().start().await.unwrap();
    mock.script(Rule::on("/agent-sessions/s-1", Fault::status(304)).times(10_000));
    let client = client(&mock);
    let mut events = client.agent_events("/agent-sessions/s-1");
    assert!(timeout(Duration::from_millis(900), events.next()).await.is_err());
    let polls = mock.log().len();
    assert!((2..=5).contains(&polls), "{polls}");
}
