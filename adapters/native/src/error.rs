//! What can go wrong, told so that the caller can do something about it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cxone_core::RequestError;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::response::{Answer, TRACE_ID};

/// A cause that several requests may share.
pub(crate) type Cause = Arc<dyn StdError + Send + Sync>;

/// Why a request failed.
///
/// Its text says what happened: `Auth/Permission Error: 401 Unauthorized`,
/// `Server Error: 503 Service Unavailable`, `OAuth Token Fetch Failed: 401 Unauthorized`.
/// [`kind`](Error::kind) is for `match`; [`status`](Error::status), [`headers`](Error::headers)
/// and [`body`](Error::body) are those of the last answer that was seen for this request, also
/// where what ended it was something else; [`source`](StdError::source) is the cause.
///
/// Neither text nor `Debug` shows a secret, a query, a header or any of the body.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    about: About,
    answer: Option<Answer>,
    retry_at: Option<SystemTime>,
    cause: Option<Cause>,
}

/// Which request an error is about.
#[derive(Clone, Default)]
pub(crate) struct About {
    pub(crate) method: Method,
    pub(crate) url: Option<Url>,
    pub(crate) correlation_id: Option<Arc<str>>,
    pub(crate) attempts: u32,
}

/// The kinds of [`Error`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refuses for longer than this request may wait.
    RateLimited {
        /// The moment at which trying again makes sense.
        retry_at: SystemTime,
        /// How often this request was sent.
        attempts: u32,
    },
    /// 401 although the token was renewed, or 403.
    Auth,
    /// 5xx, and no more attempts are allowed.
    Server,
    /// Any other error status.
    Status,
    /// No answer within the attempt's time, or the request's deadline cannot be met.
    Timeout,
    /// No complete answer: DNS, connection, certificate, truncated or oversized body.
    Network,
    /// As many requests wait as `queue_limit` allows.
    QueueFull {
        /// That bound.
        limit: u32,
    },
    /// The future given to [`cancel_on`](crate::RequestBuilder::cancel_on) completed. No answer
    /// is kept.
    Cancelled,
    /// The client was closed, or the runtime that drove it is gone.
    Closed,
    /// No token can be had.
    TokenFetch,
    /// The answer's body is not what was asked for.
    Decode,
    /// A page cannot be used: see [`Paginate`](crate::Paginate).
    Page,
    /// A job failed, or is not done within its deadline: see [`Job`](crate::Job).
    Job,
    /// A download cannot be kept, or is not what the server says it is: see
    /// [`Download`](crate::Download).
    Download,
    /// The request cannot be built: a bad path, header, body or scope.
    Request,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            about: About::default(),
            answer: None,
            retry_at: None,
            cause: None,
        }))
    }

    pub(crate) fn request(message: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Request, format!("Invalid Request: {message}"))
    }

    pub(crate) fn closed() -> Error {
        Error::from_engine(&RequestError::Closed, ErrorKind::Closed)
    }

    /// An error with the engine's own words for it.
    pub(crate) fn from_engine(error: &RequestError, kind: ErrorKind) -> Error {
        Error::new(kind, error.to_string())
    }

    pub(crate) fn about(mut self, about: About) -> Error {
        self.0.about = about;
        self
    }

    pub(crate) fn answer(mut self, answer: Option<Answer>) -> Error {
        self.0.answer = answer;
        self
    }

    pub(crate) fn until(mut self, retry_at: Option<SystemTime>) -> Error {
        self.0.retry_at = retry_at;
        self
    }

    pub(crate) fn caused_by(mut self, cause: Option<Cause>) -> Error {
        self.0.cause = cause;
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The status of the last answer. For [`ErrorKind::TokenFetch`] it is the token endpoint's.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.answer.as_ref().map(|answer| answer.status)
    }

    /// The header fields of the last answer.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.0.answer.as_ref().map(|answer| &answer.headers)
    }

    /// The body of the last answer, as far as it was read; of a refusal that was waited for, at
    /// most 64 KiB. A token endpoint's body is never kept.
    pub fn body(&self) -> Option<&Bytes> {
        self.0.answer.as_ref().map(|answer| &answer.body)
    }

    /// The moment before which trying again makes no sense, where it is known.
    pub fn retry_at(&self) -> Option<SystemTime> {
        self.0.retry_at
    }

    /// How often the request was sent.
    pub fn attempts(&self) -> u32 {
        self.0.about.attempts
    }

    /// The id that each sending carried as `X-Correlation-ID`.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.about.correlation_id.as_deref()
    }

    /// The server's own id of the last answer (`x-trace-id`): support asks for it.
    pub fn trace_id(&self) -> Option<&str> {
        self.headers()?.get(TRACE_ID)?.to_str().ok()
    }

    /// The method of the request.
    pub fn method(&self) -> &Method {
        &self.0.about.method
    }

    /// Where the request went, without the query.
    pub fn url(&self) -> Option<&Url> {
        self.0.about.url.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, message, about, answer, retry_at, cause } = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", kind).field("message", message);
        if let Some(url) = &about.url {
            out.field("method", &about.method).field("url", &url.as_str());
            out.field("attempts", &about.attempts);
        }
        if let Some(id) = &about.correlation_id {
            out.field("correlation_id", id);
        }
        if let Some(answer) = answer {
            out.field("status", &answer.status.as_u16());
            out.field("body", &format_args!("{} bytes", answer.body.len()));
        }
        if let Some(retry_at) = retry_at {
            out.field("retry_at", retry_at);
        }
        // A decoder's error may quote the body.
        if let Some(cause) = cause.as_ref().filter(|_| *kind != ErrorKind::Decode) {
            out.field("source", &format_args!("{}", Chain(&**cause)));
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as &(dyn StdError + 'static))
    }
}

/// A cause and its causes: an outer one often says no more than that something failed.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

/// The URL as it may be shown: a query can carry what is nobody's business.
pub(crate) fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Neither can fail where there is a host, and without one there is nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn thread_safe<T: Send + Sync + 'static>() {}
    const _: () = thread_safe::<Error>();

    #[test]
    fn x17_neither_text_nor_debug_shows_a_body_a_header_or_a_query() {
        let url = Url::parse("https://u:pw@h.example/p?key=hunter2#hunter2").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("set-cookie", "hunter2".parse().unwrap());
        let error = Error::new(ErrorKind::Status, "Request Failed: 404 Not Found")
            .about(About { url: Some(shown(&url)), ..About::default() })
            .answer(Some(Answer {
                status: StatusCode::NOT_FOUND,
                headers,
                body: Bytes::from_static(b"hunter2"),
            }));
        let text = format!("{error} {error:?} {error:#?}");
        assert!(!text.contains("hunter2") && !text.contains("pw"), "{text}");
        assert!(text.contains("7 bytes"), "{text}");
        assert_eq!(error.body().unwrap().as_ref(), b"hunter2");
    }
}
