//! What a request brings.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, StatusCode, Version};
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{Error, ErrorKind, shown};
use crate::outgoing::Name;

/// The field in which CXone names its own trace of a request.
pub(crate) const TRACE_ID: &str = "x-trace-id";

/// The last answer that was seen for a request, as far as it was read.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What was received of an answer: its head, and then its body.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Where it came from, if that is not where the request was to go first.
    pub(crate) url: Option<Box<Url>>,
    /// Where a redirect leads that may be followed.
    pub(crate) follow: Option<Box<Url>>,
    /// Which attempt's it is.
    pub(crate) attempts: u32,
    /// When its head arrived: the driver may be busy, and a wait counts from here.
    pub(crate) at: Instant,
    /// As far as it was read.
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn into_answer(self) -> Answer {
        Answer { status: self.status, headers: self.headers, body: self.body }
    }
}

/// What is still to be read.
pub(crate) type BodyStream = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

macro_rules! head_accessors {
    () => {
        /// The status: 2xx, or a 3xx that was not followed.
        pub fn status(&self) -> StatusCode {
            self.head.status
        }

        /// The version of HTTP that the server spoke.
        pub fn version(&self) -> Version {
            self.head.version
        }

        /// The header fields.
        pub fn headers(&self) -> &HeaderMap {
            &self.head.headers
        }

        /// Where the answer came from, after redirects, query included.
        pub fn url(&self) -> &Url {
            self.head.url.as_deref().unwrap_or(&self.of.url)
        }

        /// The id that each sending carried as `X-Correlation-ID`.
        pub fn correlation_id(&self) -> Option<&str> {
            self.of.correlation_id()
        }

        /// How often the request was sent: 1 if nothing went wrong.
        pub fn attempts(&self) -> u32 {
            self.head.attempts
        }

        /// The server's own id of this answer (`x-trace-id`): support asks for it.
        pub fn trace_id(&self) -> Option<&str> {
            self.head.headers.get(TRACE_ID)?.to_str().ok()
        }
    };
}

/// A complete answer: its body has been read, inside the attempt and bounded by `max_body`.
#[derive(Clone)]
pub struct Response {
    pub(crate) head: Box<Received>,
    pub(crate) of: Name,
}

impl Response {
    head_accessors!();

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.head.body
    }

    /// The body, by itself.
    pub fn into_bytes(self) -> Bytes {
        self.head.body
    }

    /// The body as text; what is not UTF-8 is replaced by U+FFFD.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.head.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if it is not what was asked for. The error keeps status, headers and
    /// body; its source is serde's error, which may quote the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.head.body).map_err(|cause| self.decode_error(cause))
    }

    pub(crate) fn decode_error(&self, cause: serde_json::Error) -> Error {
        let what = match self.head.body.len() {
            0 => "the answer has no body".to_owned(),
            _ if cause.line() == 0 => "the answer's body is not what was asked for".to_owned(),
            _ => format!(
                "the answer's body is not what was asked for, at line {} column {}",
                cause.line(),
                cause.column()
            ),
        };
        self.error(ErrorKind::Decode, format!("Decode Error: {what}"))
            .caused_by(Some(Arc::new(cause)))
    }

    pub(crate) fn error(&self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message).about(self.of.about(self.head.attempts)).answer(Some(Answer {
            status: self.head.status,
            headers: self.head.headers.clone(),
            body: self.head.body.clone(),
        }))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status.as_u16())
            .field("url", &shown(self.url()).as_str())
            .field("attempts", &self.head.attempts)
            .field("body", &format_args!("{} bytes", self.head.body.len()))
            .finish()
    }
}

/// An answer whose body is the caller's to read, chunk by chunk: a `Stream` of [`Bytes`].
///
/// Its slot was free when the head arrived, so a slow or forgotten reader holds up nobody. The
/// body is neither timed nor retried nor bounded; dropping the response closes its connection.
pub struct StreamResponse {
    pub(crate) head: Box<Received>,
    pub(crate) of: Name,
    pub(crate) body: BodyStream,
}

impl StreamResponse {
    head_accessors!();

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Network`] if the connection is lost before.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

impl Stream for StreamResponse {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = std::task::ready!(self.body.as_mut().poll_next(cx));
        Poll::Ready(chunk.map(|chunk| {
            chunk.map_err(|cause| {
                let failure = cxone_core::Failure::Truncated;
                let error = cxone_core::RequestError::Network { failure };
                Error::from_engine(&error, ErrorKind::Network)
                    .about(self.of.about(self.head.attempts))
                    .answer(Some(Answer {
                        status: self.head.status,
                        headers: self.head.headers.clone(),
                        body: Bytes::new(),
                    }))
                    .caused_by(Some(Arc::new(cause.without_url())))
            })
        }))
    }
}

impl fmt::Debug for StreamResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamResponse")
            .field("status", &self.head.status.as_u16())
            .field("url", &shown(self.url()).as_str())
            .field("attempts", &self.head.attempts)
            .finish_non_exhaustive()
    }
}
