//! A store of files at signed addresses, as object stores are: no token, ranges, entity tags.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use sha2::{Digest, Sha256};

use crate::{answer::Answer, shared::Shared};

/// Below it are the files.
pub(crate) const PREFIX: &str = "/files/";

/// All files are the same.
const ETAG: &str = "\"v1\"";

/// The bytes of every file.
pub(crate) fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// Answers `GET /files/{name}`.
pub(crate) fn answer(shared: &Shared, head: &Parts) -> Answer {
    let name = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    if head.headers.contains_key(header::AUTHORIZATION) {
        // As object stores do: the address is signed, and one way to sign in is enough.
        return Answer::error(StatusCode::BAD_REQUEST, "InvalidArgument", "two ways to sign in");
    }
    if !shared.lock().jobs.has(name) {
        return Answer::error(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired");
    }
    let bytes = bytes(shared.config.result_size);
    let sha = BASE64_STANDARD.encode(Sha256::digest(&bytes));
    let kind = "application/octet-stream";
    let mut answer = match range(&head.headers, bytes.len()) {
        Some(start) => {
            let whole = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            let mut part =
                Answer::typed(StatusCode::PARTIAL_CONTENT, kind, bytes[start..].to_vec());
            part.headers.insert(header::CONTENT_RANGE, text(whole));
            part
        }
        None => Answer::typed(StatusCode::OK, kind, bytes),
    };
    // RFC 9530: of the whole file, also with a part of it.
    answer.headers.insert("repr-digest", text(format!("sha-256=:{sha}:")));
    answer.headers.insert(header::ETAG, HeaderValue::from_static(ETAG));
    answer.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer
}

/// Where a range begins that can be had: `bytes=n-`, and of this file.
fn range(headers: &HeaderMap, len: usize) -> Option<usize> {
    let field = |name| headers.get(name)?.to_str().ok();
    let start = field(header::RANGE)?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
    let same = field(header::IF_RANGE).is_none_or(|tag| tag == ETAG);
    (same && start < len).then_some(start)
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("digits and base64 are header text")
}
