//! The known data set and its pages.

use std::{collections::BTreeMap, ops::Range};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Answer;

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;

/// What is wrong with a page of interactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageFault {
    /// `next_page_token` leads to this same page again.
    Loop,
    /// Status 200 without a byte.
    Empty,
    /// Status 204.
    NoContent,
    /// JSON that breaks off in the middle.
    Malformed,
    /// An object without `entities`.
    MissingEntities,
}

/// One interaction of the known data set: always the same for the same index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interaction {
    /// `int-000001` and so on.
    pub id: String,
    /// `voice`, `chat`, `email` or `sms`.
    pub channel: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// An agent's number.
    pub agent_id: u64,
    /// A skill's number.
    pub skill_id: u64,
    /// ISO 8601 with a literal `Z`; later for a greater index.
    pub start_time: String,
    /// How long it took, in seconds.
    pub duration_seconds: u64,
}

/// The interaction with this index, counted from 0.
pub fn interaction(index: usize) -> Interaction {
    let n = index as u64;
    // Knuth's multiplicative hash: the same everywhere, and no visible pattern.
    let mixed = n.wrapping_mul(2_654_435_761) >> 8;
    Interaction {
        id: interaction_id(index),
        channel: ["voice", "voice", "chat", "email", "sms"][(mixed % 5) as usize].into(),
        direction: if mixed.is_multiple_of(3) { "outbound" } else { "inbound" }.into(),
        agent_id: 10_000 + mixed % 97,
        skill_id: 400 + mixed % 13,
        start_time: start_time(n),
        duration_seconds: 15 + mixed % 1800,
    }
}

/// The id of the interaction with this index, counted from 0: `int-000001` for 0.
pub fn interaction_id(index: usize) -> String {
    format!("int-{:06}", index + 1)
}

/// One every 37 s, in months of 28 days, so that each is a valid date.
fn start_time(n: u64) -> String {
    let seconds = n * 37;
    let days = seconds / 86_400;
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        2020 + days / 28 / 12,
        days / 28 % 12 + 1,
        days % 28 + 1,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Answers `GET /api/v2.0/interactions`.
pub(crate) fn page(
    total: usize,
    faults: &BTreeMap<u64, PageFault>,
    cursor: Option<&str>,
    page_size: Option<&str>,
) -> Answer {
    let bad = |message| Answer::error(StatusCode::BAD_REQUEST, "InvalidParameter", message);
    let size = match page_size.map_or(Ok(DEFAULT_PAGE_SIZE), str::parse) {
        Ok(size) if (1..=MAX_PAGE_SIZE).contains(&size) => size,
        _ => return bad("page_size is a number from 1 to 1000"),
    };
    let first = match cursor.map_or(Some(0), read_cursor) {
        Some(first) if first <= total => first,
        _ => return bad("cursor is none that was handed out"),
    };
    let end = total.min(first.saturating_add(size));
    let mut next = (end < total).then(|| write_cursor(end));
    match faults.get(&((first / size + 1) as u64)) {
        None => {}
        Some(PageFault::Loop) => next = Some(write_cursor(first)),
        Some(PageFault::Empty) => return Answer::json_text(StatusCode::OK, ""),
        Some(PageFault::NoContent) => return Answer::empty(StatusCode::NO_CONTENT),
        Some(PageFault::Malformed) => {
            return Answer::json_text(StatusCode::OK, r#"{"entities": [{"id": "int-0"#);
        }
        Some(PageFault::MissingEntities) => {
            return Answer::json(StatusCode::OK, &json!({"next_page_token": next}));
        }
    }
    full_page(first..end, next)
}

fn full_page(range: Range<usize>, next: Option<String>) -> Answer {
    let entities: Vec<Value> = range.clone().map(|index| json!(interaction(index))).collect();
    let value = json!({"entities": entities, "next_page_token": next});
    Answer { page: Some(range), ..Answer::json(StatusCode::OK, &value) }
}

fn write_cursor(first: usize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("from:{first}"))
}

fn read_cursor(cursor: &str) -> Option<usize> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("from:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_valid_and_ascend() {
        assert_eq!(start_time(0), "2020-01-01T00:00:00Z");
        assert_eq!(start_time(2336), "2020-01-02T00:00:32Z");
        assert!(start_time(1_000_000) > start_time(999_999));
    }

    #[test]
    fn every_interaction_is_on_one_page() {
        let mut cursor = None;
        let mut seen = Vec::new();
        loop {
            let answer = page(250, &BTreeMap::new(), cursor.as_deref(), Some("70"));
            seen.extend(answer.page.unwrap());
            let value: Value = serde_json::from_slice(&answer.body).unwrap();
            match value["next_page_token"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
    }
}
