//! What the API answers once a request is let in.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::json;

use crate::{
    answer::Answer,
    fault::final_status,
    interactions::{self, PageFault},
    platform,
    shared::Shared,
};

/// The families of the platform that answer with an echo, whatever the path.
const FAMILIES: [&str; 7] = [
    "/incontactapi/services/",
    "/dfo/",
    "/user-management/",
    "/data-extraction/",
    "/media-playback/",
    "/interaction-analytics-gateway/",
    "/interaction-recording-management-service/",
];

/// More than a test needs, less than hurts.
const MAX_BYTES: usize = 64 << 20;

pub(crate) fn answer(
    shared: &Shared,
    faults: &BTreeMap<u64, PageFault>,
    head: &Parts,
    body: &[u8],
) -> Answer {
    let path = head.uri.path();
    let query = Query::read(head.uri.query().unwrap_or_default());
    let bad = |message| Answer::error(StatusCode::BAD_REQUEST, "InvalidParameter", message);
    let Some(route) = path.strip_prefix("/api/v2.0/") else {
        if let Some(answer) = platform::answer(shared, head, &query, body) {
            return answer;
        }
        let known = FAMILIES.iter().any(|family| path.starts_with(family));
        return if known { echo(head, body) } else { not_found(path) };
    };
    match route.split_once('/').unwrap_or((route, "")) {
        ("interactions", "") if head.method == Method::GET => {
            let (cursor, size) = (query.get("cursor"), query.get("page_size"));
            interactions::page(shared.lock().interactions, faults, cursor, size)
        }
        ("interactions", "") => Answer::empty(StatusCode::METHOD_NOT_ALLOWED),
        ("echo", _) => echo(head, body),
        ("status", code) => match code.parse().ok().and_then(final_status) {
            Some(code) => Answer::json(code, &json!({"status": code.as_u16()})),
            None => bad("a status is a number from 200 to 999"),
        },
        ("redirect", "") => {
            let code = query.get("code").unwrap_or("302").parse().ok().and_then(final_status);
            let to = query.get("to").and_then(|to| HeaderValue::from_str(to).ok());
            match (code.filter(StatusCode::is_redirection), to) {
                (Some(code), Some(to)) => {
                    let mut answer = Answer::empty(code);
                    answer.headers.insert(header::LOCATION, to);
                    answer
                }
                _ => bad("to is a URL and code a status of 3xx"),
            }
        }
        ("slow", "") => {
            let delay = |name| query.get(name).unwrap_or("0").parse().map(Duration::from_millis);
            match (delay("ms"), delay("body_ms")) {
                (Ok(head_delay), Ok(body_delay)) => {
                    let value = json!({"slow": true});
                    Answer { head_delay, body_delay, ..Answer::json(StatusCode::OK, &value) }
                }
                _ => bad("ms and body_ms are numbers"),
            }
        }
        ("bytes", "") => match query.get("n").unwrap_or_default().parse() {
            Ok(n) if n <= MAX_BYTES => {
                let bytes: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
                Answer::typed(StatusCode::OK, "application/octet-stream", bytes)
            }
            _ => bad("n is a number up to 67108864"),
        },
        _ => not_found(path),
    }
}

/// Tells what arrived, but for the token.
fn echo(head: &Parts, body: &[u8]) -> Answer {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &head.headers {
        let redacted = name == header::AUTHORIZATION || name == header::PROXY_AUTHORIZATION;
        let value = if redacted { b"[redacted]" } else { value.as_bytes() };
        let value = String::from_utf8_lossy(value);
        let all = headers.entry(name.as_str()).or_default();
        // Fields of one name are one list (RFC 9110 §5.3).
        all.push_str(if all.is_empty() { "" } else { ", " });
        all.push_str(&value);
    }
    let value = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers,
        "body": String::from_utf8_lossy(body),
    });
    Answer::json(StatusCode::OK, &value)
}

fn not_found(path: &str) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "NotFound", &format!("nothing at {path}"))
}

/// Query parameters; the first of a name counts.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn read(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
