//! A request, from its builder to what the driver keeps of it.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cxone_core::{Priority, Replay};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use url::Url;

use crate::address::{resolve, same_origin};
use crate::client::Client;
use crate::driver::RequestTicket;
use crate::error::{About, Cause, Error, ErrorKind, shown};
use crate::ids::fresh_uuid;
use crate::line::{Line, Outcome};
use crate::response::{Response, StreamResponse};

/// Makes a request replayable: the server takes the second sending for the first.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Names a request in the logs of both sides.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// A request in the making; [`send`](Self::send) puts it into the client's queue.
///
/// What cannot be sent (a bad header, a body that does not serialise) is told by `send`.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    draft: Result<Draft, Error>,
    cancel: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Draft {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Payload,
    auth: Option<bool>,
    idempotent: bool,
    correlation_id: Option<HeaderValue>,
    priority: Priority,
    scopes: Vec<String>,
    attempt_timeout: Option<Duration>,
    deadline: Option<Duration>,
}

/// What is sent after the head.
pub(crate) enum Payload {
    Empty,
    Bytes(Bytes),
    /// A stream: there is only one reading of it.
    Once(Mutex<Option<reqwest::Body>>),
}

impl Payload {
    /// The body for one sending; `None` if it was read before.
    pub(crate) fn body(&self) -> Option<reqwest::Body> {
        match self {
            Payload::Empty => Some(reqwest::Body::default()),
            Payload::Bytes(bytes) => Some(bytes.clone().into()),
            Payload::Once(body) => body.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

/// What a request has in common with its answer, which may be kept for longer than the request is.
pub(crate) struct Name {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) correlation_id: Option<HeaderValue>,
}

impl Name {
    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_ref()?.to_str().ok()
    }

    /// Which request an error is about.
    pub(crate) fn about(&self, attempts: u32) -> About {
        About {
            method: self.method.clone(),
            url: Some(shown(&self.url)),
            correlation_id: self.correlation_id().map(Arc::from),
            attempts,
        }
    }
}

/// A request as the driver keeps it.
pub(crate) struct Outgoing {
    pub(crate) name: Arc<Name>,
    /// What the caller set; the client's own fields are added at each sending.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
    pub(crate) auth: bool,
    pub(crate) own_origin: bool,
    pub(crate) priority: Priority,
    pub(crate) scopes: Vec<String>,
    pub(crate) replay: Replay,
    pub(crate) stream: bool,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) span: tracing::Span,
    /// How often it was sent.
    pub(crate) attempts: AtomicU32,
    /// What the engine calls it.
    pub(crate) ticket: RequestTicket,
    pub(crate) line: Line,
}

impl Outgoing {
    /// Which request an error is about.
    pub(crate) fn about(&self) -> About {
        self.name.about(self.attempts())
    }

    /// How often it was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, path: &str) -> RequestBuilder {
        let about = || About { method: method.clone(), ..About::default() };
        let url = resolve(&client.settings().base, path).map_err(|error| error.about(about()));
        let draft = url.map(|url| Draft {
            method,
            url,
            headers: HeaderMap::new(),
            body: Payload::Empty,
            auth: None,
            idempotent: false,
            correlation_id: None,
            priority: Priority::Normal,
            scopes: Vec::new(),
            attempt_timeout: None,
            deadline: None,
        });
        RequestBuilder { client, draft, cancel: None }
    }

    /// Its class. Default [`Priority::Normal`].
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|draft| draft.priority = priority)
    }

    /// Adds to the query: a map, a struct, or a slice of pairs.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.try_with(|draft| {
            let mut pairs = draft.url.query_pairs_mut();
            let serializer = serde_urlencoded::Serializer::new(&mut pairs);
            query.serialize(serializer).map_err(|cause| invalid("query", cause))?;
            drop(pairs);
            if draft.url.query() == Some("") {
                draft.url.set_query(None);
            }
            Ok(())
        })
    }

    /// Sets a header field, in place of the client's own one if it has that name. An
    /// `Authorization` takes the place of the client's token.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.try_with(|draft| {
            let name = name.try_into().map_err(|cause| invalid("header name", cause.into()))?;
            let value = value.try_into().map_err(|cause| invalid("header value", cause.into()))?;
            draft.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets all these header fields, each as [`header`](Self::header) does; one name may have
    /// several values.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|draft| overlay(&mut draft.headers, headers))
    }

    /// The body as JSON.
    pub fn json<T: Serialize + ?Sized>(self, json: &T) -> Self {
        self.try_with(|draft| {
            let body = serde_json::to_vec(json).map_err(|cause| invalid("json", cause))?;
            draft.body = Payload::Bytes(body.into());
            Ok(())
        })
    }

    /// The body as a form, `application/x-www-form-urlencoded`.
    pub fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        self.try_with(|draft| {
            let body = serde_urlencoded::to_string(form).map_err(|cause| invalid("form", cause))?;
            draft.body = Payload::Bytes(body.into());
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            draft.headers.entry(CONTENT_TYPE).or_insert(form);
            Ok(())
        })
    }

    /// The body as it is. Set its `Content-Type`, unless it is JSON.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.with(|draft| draft.body = Payload::Bytes(body.into()))
    }

    /// The body as a stream. It can be read only once, so this request is never sent again,
    /// whatever the answer.
    pub fn body_stream<S>(self, body: S) -> Self
    where
        S: futures_util::TryStream<Ok = Bytes> + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.with(|draft| {
            draft.body = Payload::Once(Mutex::new(Some(reqwest::Body::wrap_stream(body))));
        })
    }

    /// Sends this `Idempotency-Key`, which makes any method replayable: only for operations that
    /// know the field.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.header(IDEMPOTENCY_KEY, key)
    }

    /// Says that sending it twice does no harm, for a `POST` that only searches: it is then
    /// retried as a `GET` is.
    pub fn idempotent(self) -> Self {
        self.with(|draft| draft.idempotent = true)
    }

    /// Time allowed to each sending. Default: the client's
    /// [`attempt_timeout`](crate::ClientBuilder::attempt_timeout). [`Duration::MAX`] is none;
    /// zero is no time at all, and refused.
    pub fn timeout(self, time: Duration) -> Self {
        self.try_with(|draft| {
            if time.is_zero() {
                return Err(Error::request("its timeout cannot be zero"));
            }
            draft.attempt_timeout = Some(time);
            Ok(())
        })
    }

    /// Time allowed to the whole request, from when [`send`](Self::send) is first polled: queue,
    /// pauses and retries included.
    pub fn deadline(self, time: Duration) -> Self {
        self.with(|draft| draft.deadline = Some(time))
    }

    /// The scope whose limit it consumes, in place of the client's
    /// [`scope_by`](crate::ClientBuilder::scope_by).
    pub fn rate_scope(self, scope: &str) -> Self {
        self.rate_scopes([scope])
    }

    /// The scopes whose limits it consumes, one to four, narrowest first.
    pub fn rate_scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.with(|draft| draft.scopes = scopes.into_iter().map(Into::into).collect())
    }

    /// Does it carry the client's token? Default: yes, if the client has credentials.
    ///
    /// A URL of another origin than the base URL's never gets the token: such a request must say
    /// `auth(false)`.
    pub fn auth(self, on: bool) -> Self {
        self.with(|draft| draft.auth = Some(on))
    }

    /// Its `X-Correlation-ID`, in place of a fresh UUID; also where the client sends none.
    pub fn correlation_id(self, id: &str) -> Self {
        self.try_with(|draft| {
            let id = id.parse().map_err(|cause| invalid("correlation id", cause))?;
            draft.correlation_id = Some(id);
            Ok(())
        })
    }

    /// Ends the request as [`ErrorKind::Cancelled`] when that future completes. (Dropping the
    /// future of [`send`](Self::send) cancels too, and tells nobody.)
    pub fn cancel_on(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.cancel = Some(Box::pin(signal));
        self
    }

    /// Sends it and reads the whole answer, as often as it takes: throttles, dead tokens and
    /// transient failures are dealt with before the caller sees anything.
    ///
    /// Dropping the future cancels the request, wherever it is.
    ///
    /// # Errors
    ///
    /// [`Error`]: 4xx and 5xx are errors too.
    pub fn send(self) -> impl Future<Output = Result<Response, Error>> + Send + 'static {
        self.deliver(false, |outcome| match outcome {
            Outcome::Whole(response) => Some(Ok(response)),
            Outcome::Failed(error) => Some(Err(error)),
            Outcome::Stream(_) | Outcome::Lost => None,
        })
    }

    /// Sends it and delivers the answer with its body unread, as soon as its head is there. The
    /// slot is free then, and a body that ends early is not retried.
    ///
    /// # Errors
    ///
    /// [`Error`]: 4xx and 5xx are errors too.
    pub fn send_stream(
        self,
    ) -> impl Future<Output = Result<StreamResponse, Error>> + Send + 'static {
        self.deliver(true, |outcome| match outcome {
            Outcome::Stream(response) => Some(Ok(response)),
            Outcome::Failed(error) => Some(Err(error)),
            Outcome::Whole(_) | Outcome::Lost => None,
        })
    }

    /// The future holds no more than it needs: there may be very many of them.
    fn deliver<T: Send + 'static>(
        self,
        stream: bool,
        result: fn(Outcome) -> Option<Result<T, Error>>,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let RequestBuilder { client, draft, cancel } = self;
        let outgoing = draft.and_then(|draft| draft.finish(&client, stream)).map(Arc::new);
        // Were its waiting charged to its task's budget, a task that holds thousands of these would
        // poll all of them again for every few that end.
        tokio::task::unconstrained(async move {
            let outgoing = outgoing?;
            let cancelled = async {
                match cancel {
                    Some(cancel) => cancel.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                outcome = client.submit(&outgoing) => {
                    result(outcome).unwrap_or_else(|| Err(Error::closed().about(outgoing.about())))
                }
                () = cancelled => {
                    let message = "Request Cancelled: the caller's signal fired";
                    Err(Error::new(ErrorKind::Cancelled, message).about(outgoing.about()))
                }
            }
        })
    }

    fn with(self, change: impl FnOnce(&mut Draft)) -> Self {
        self.try_with(|draft| {
            change(draft);
            Ok(())
        })
    }

    /// The first thing that goes wrong is kept for `send`.
    fn try_with(mut self, change: impl FnOnce(&mut Draft) -> Result<(), Error>) -> Self {
        if let Ok(draft) = &mut self.draft
            && let Err(error) = change(draft)
        {
            self.draft = Err(error.about(draft.about()));
        }
        self
    }
}

impl Draft {
    fn about(&self) -> About {
        About { method: self.method.clone(), url: Some(shown(&self.url)), ..About::default() }
    }

    fn finish(self, client: &Client, stream: bool) -> Result<Outgoing, Error> {
        let settings = client.settings();
        let own_origin = same_origin(&self.url, &settings.base);
        let by_default = settings.auth.is_some() && !self.headers.contains_key(AUTHORIZATION);
        let auth = self.auth.unwrap_or(by_default);
        if auth && settings.auth.is_none() {
            let error = Error::request("this client has no credentials: auth(true) cannot be");
            return Err(error.about(self.about()));
        }
        if auth && !own_origin {
            let error = Error::request(format_args!(
                "{} is not the base URL's origin and gets no token: say auth(false)",
                self.url.origin().ascii_serialization()
            ));
            return Err(error.about(self.about()));
        }
        // What it will carry: fields that were set as such win.
        let by_default = settings.default_headers.get(CORRELATION_ID).filter(|_| own_origin);
        let given = self.headers.get(CORRELATION_ID).cloned().or(self.correlation_id);
        let correlation_id = given.or_else(|| by_default.cloned()).or_else(|| {
            let id = settings.correlation_id.then(fresh_uuid)?;
            let mut text = uuid::Uuid::encode_buffer();
            HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).ok()
        });
        let scopes = if self.scopes.is_empty() {
            settings.scope_by.scopes(&self.method, &self.url, &settings.base)
        } else {
            self.scopes
        };
        let replay = match self.body {
            Payload::Once(_) => Replay::Never,
            _ if self.idempotent
                || self.method.is_idempotent()
                || self.headers.contains_key(IDEMPOTENCY_KEY) =>
            {
                Replay::Always
            }
            _ => Replay::IfUnprocessed,
        };
        let span = tracing::info_span!(
            target: "cxone_client",
            "request",
            method = %self.method,
            path = self.url.path(),
            correlation_id = correlation_id.as_ref().and_then(|id| id.to_str().ok()),
            priority = ?self.priority,
        );
        Ok(Outgoing {
            name: Arc::new(Name { method: self.method, url: self.url, correlation_id }),
            headers: self.headers,
            body: self.body,
            auth,
            own_origin,
            priority: self.priority,
            scopes,
            replay,
            stream,
            attempt_timeout: self.attempt_timeout,
            deadline: self.deadline,
            span,
            attempts: AtomicU32::new(0),
            ticket: RequestTicket::new(),
            line: Line::new(),
        })
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RequestBuilder");
        match &self.draft {
            Ok(draft) => out
                .field("method", &draft.method)
                .field("url", &shown(&draft.url).as_str())
                .field("priority", &draft.priority),
            Err(error) => out.field("error", error),
        };
        out.finish_non_exhaustive()
    }
}

/// Puts fields over others of the same names.
pub(crate) fn overlay(under: &mut HeaderMap, over: HeaderMap) {
    for name in over.keys() {
        under.remove(name);
    }
    let mut last = None;
    for (name, value) in over {
        // Further values of a name come without it.
        last = name.or(last);
        if let Some(name) = &last {
            under.append(name.clone(), value);
        }
    }
}

fn invalid(what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    let cause: Cause = Arc::new(cause);
    Error::request(format_args!("its {what} cannot be sent")).caused_by(Some(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_laid_over_others_replace_them_with_all_their_values() {
        let mut under = HeaderMap::new();
        under.insert("a", HeaderValue::from_static("0"));
        under.insert("b", HeaderValue::from_static("0"));
        let mut over = HeaderMap::new();
        over.append("a", HeaderValue::from_static("1"));
        over.append("a", HeaderValue::from_static("2"));
        overlay(&mut under, over);
        assert_eq!(under.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(under["b"], "0");
    }
}
