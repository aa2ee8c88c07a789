//! `/_mock/…`: the mock's own face, for tests that are not written in Rust.

use http::{Method, StatusCode};
use serde_json::json;

use crate::{answer::Answer, script::Script, shared::Shared};

/// Where the paths of this module begin.
pub(crate) const PREFIX: &str = "/_mock/";

pub(crate) fn answer(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Answer {
    let ok = StatusCode::OK;
    match (method.as_str(), path.strip_prefix(PREFIX).unwrap_or_default()) {
        ("GET", "stats") => Answer::json(ok, &shared.lock().counters.stats),
        ("GET", "log") => {
            let entries = shared.lock().counters.entries();
            Answer::json(ok, &entries)
        }
        ("POST", "reset") => {
            shared.lock().reset();
            Answer::empty(StatusCode::NO_CONTENT)
        }
        ("POST", "script") => match serde_json::from_slice::<Script>(body) {
            Ok(script) => {
                shared.lock().apply(script);
                Answer::empty(StatusCode::NO_CONTENT)
            }
            Err(error) => {
                Answer::json(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()}))
            }
        },
        _ => {
            let paths = "GET stats, GET log, POST reset, POST script";
            Answer::json(StatusCode::NOT_FOUND, &json!({"error": format!("there are {paths}")}))
        }
    }
}
