//! An answer before it is put on the wire.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;

/// What to answer, and how badly.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Waits before the head is sent.
    pub(crate) head_delay: Duration,
    /// Waits between head and body.
    pub(crate) body_delay: Duration,
    /// Sends only so many bytes of the body.
    pub(crate) truncate: Option<usize>,
    /// The interactions in the body, by index.
    pub(crate) page: Option<Range<usize>>,
}

impl Answer {
    pub(crate) fn empty(status: StatusCode) -> Answer {
        Answer {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            head_delay: Duration::ZERO,
            body_delay: Duration::ZERO,
            truncate: None,
            page: None,
        }
    }

    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
        let text = serde_json::to_vec(value).expect("maps have string keys");
        Answer::json_text(status, text)
    }

    pub(crate) fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
        Answer::typed(status, "application/json", text)
    }

    pub(crate) fn html(status: StatusCode, text: impl Into<Bytes>) -> Answer {
        Answer::typed(status, "text/html; charset=utf-8", text)
    }

    pub(crate) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
        let mut answer = Answer::empty(status);
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer.body = body.into();
        answer
    }

    /// An error in the platform's usual form.
    pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
        Answer::json(status, &json!({"errorCode": code, "errorMessage": message}))
    }
}
