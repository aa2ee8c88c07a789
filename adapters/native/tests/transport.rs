//! Connections, and the versions of HTTP.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{ECHO, builder, burst, client, fast, mock};
use cxone_client::{Client, ErrorKind};
use cxone_mock::{Fault, Rule};
use http::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn http1_is_spoken_and_connections_are_kept() {
    let mock = mock().await;
    let client = builder(&mock).http1_only().build().unwrap();
    assert_eq!(burst(&client, 100).await, 0);
    let response = client.get(ECHO).send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    let stats = mock.stats();
    assert!(stats.connections <= 12, "{stats:?}");
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge_and_http1_to_the_token_endpoint() {
    let mock = mock().await;
    let client = builder(&mock).http2_prior_knowledge().build().unwrap();
    mock.script(Rule::api([Fault::status(429), Fault::status(502), Fault::reset()]));
    assert_eq!(burst(&client, 60).await, 0);
    let response = client.get(ECHO).send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(mock.stats().token_fetches, 1);
}

#[tokio::test]
async fn the_token_endpoint_is_asked_over_http1_whatever_the_api_speaks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut begins = [0; 20];
        stream.read_exact(&mut begins).await.unwrap();
        let body = r#"{"access_token":"a","expires_in":60}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&begins).into_owned()
    });
    let mock = mock().await;
    let client = builder(&mock).http2_prior_knowledge().token_url(url).build().unwrap();
    let request = tokio::spawn(client.get(ECHO).send());
    assert_eq!(server.await.unwrap(), "POST /token HTTP/1.1");
    request.abort();
}

#[tokio::test]
async fn t28_a_refusal_costs_no_connection() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::status(429).body("<h1>no</h1>")).times(3));
    client(&mock).get(ECHO).send().await.unwrap();
    assert_eq!(mock.stats().connections, 2, "one for tokens, one for the API");
}

#[tokio::test]
async fn another_reqwest_builder_serves_both_endpoints() {
    let mock = mock().await;
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let client = builder(&mock).reqwest(move || {
        count.fetch_add(1, Ordering::Relaxed);
        // Its redirects and retries are taken from it.
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::limited(5))
    });
    let client = client.build().unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 2);
    let away = client.get("/api/v2.0/redirect?to=http://127.0.0.1:1/x").send().await.unwrap();
    assert_eq!(away.status(), 302);
}

#[tokio::test]
async fn a_finished_reqwest_client_is_taken() {
    let mock = mock().await;
    let client = builder(&mock).reqwest_client(reqwest::Client::new()).build().unwrap();
    let echo: serde_json::Value = client.get(ECHO).send().await.unwrap().json().unwrap();
    assert!(echo["headers"]["user-agent"].as_str().unwrap().starts_with("cxone-client/"));
}

/// Frames of HTTP/2 (RFC 9113 §6): the types, and a head of one byte that says 200.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const OK: u8 = 0x88;

/// A server that meets its first request with that frame, where `last` is the last stream that it
/// has looked at, and any other with 200.
async fn turned_away(frame: u8, last: u32, reason: h2::Reason) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
                write_frame(&mut stream, SETTINGS, 0, 0, &[]).await?;
                loop {
                    let (kind, id) = read_frame(&mut stream).await?;
                    if kind != HEADERS {
                        continue;
                    }
                    let reason = u32::from(reason).to_be_bytes();
                    match (count.fetch_add(1, Ordering::Relaxed), frame) {
                        (0, RST_STREAM) => {
                            write_frame(&mut stream, RST_STREAM, 0, id, &reason).await?;
                        }
                        (0, _) => {
                            let payload = [last.to_be_bytes(), reason].concat();
                            return write_frame(&mut stream, GOAWAY, 0, 0, &payload).await;
                        }
                        // 5: END_STREAM and END_HEADERS
                        _ => write_frame(&mut stream, HEADERS, 5, id, &[OK]).await?,
                    }
                }
            });
        }
    });
    (url, seen)
}

async fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [_, a, b, kind, _, id @ ..] = head;
    let length = usize::from(u16::from_be_bytes([a, b]));
    stream.read_exact(&mut vec![0; length]).await?;
    Ok((kind, u32::from_be_bytes(id)))
}

async fn write_frame(
    stream: &mut TcpStream,
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let mut frame = vec![0, 0, payload.len() as u8, kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await
}

#[tokio::test]
async fn x23_over_http2_any_method_is_sent_again_that_the_server_has_not_looked_at() {
    use h2::Reason;
    for (frame, last, reason, again) in [
        (RST_STREAM, 0, Reason::REFUSED_STREAM, true),
        (GOAWAY, 0, Reason::NO_ERROR, true),
        // It may have been looked at.
        (RST_STREAM, 0, Reason::CANCEL, false),
        (GOAWAY, 1, Reason::NO_ERROR, false),
        (GOAWAY, 0, Reason::INTERNAL_ERROR, false),
    ] {
        let (url, seen) = turned_away(frame, last, reason).await;
        let builder = Client::builder().base_url(url).no_auth().backoff(fast());
        let client = builder.http2_prior_knowledge().build().unwrap();
        let result = client.post("/x").json(&1).send().await;
        let case = format!("{frame} {last} {reason:?}");
        match result {
            Ok(response) => assert!(again && response.attempts() == 2, "{case}: {response:?}"),
            Err(error) => {
                assert!(!again && *error.kind() == ErrorKind::Network, "{case}: {error:?}")
            }
        }
        assert_eq!(seen.load(Ordering::Relaxed), 1 + usize::from(again), "{case}");
    }
}
