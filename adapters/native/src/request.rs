//! A request in the making.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cxone_core::{Priority, Replay};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;

use crate::address::{is_relative, resolve};
use crate::error::{About, Cause, Error, ErrorKind, shown};
use crate::hub::Hub;
use crate::line::Outcome;
use crate::outgoing::{IDEMPOTENCY_KEY, Outgoing, Payload, Place, overlay};
use crate::response::{Response, StreamResponse};

/// A request in the making; [`send`](Self::send) puts it into the client's queue.
///
/// What cannot be sent (a bad header, a body that does not serialise) is told by `send`.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    /// Nobody else has it before it is sent.
    outgoing: Result<Arc<Outgoing>, Error>,
    cancel: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl RequestBuilder {
    pub(crate) fn new(hub: &Arc<Hub>, method: Method, path: &str) -> RequestBuilder {
        let (base, found) = hub.settings.base.now();
        let outgoing = match resolve(base, path) {
            Ok((url, own_origin)) => {
                let place = match (found, is_relative(path)) {
                    (true, _) => Place::Known,
                    (false, true) => Place::Below,
                    (false, false) => Place::Judged,
                };
                let outgoing = Outgoing::new(hub.clone(), method, url, own_origin);
                Ok(Arc::new(Outgoing { place, ..outgoing }))
            }
            Err(error) => Err(error.about(About { method, ..About::default() })),
        };
        RequestBuilder { outgoing, cancel: None }
    }

    /// Its path is that of a link, at the origin of the base URL that is still to be found.
    pub(crate) fn at_origin(self) -> Self {
        self.with(|outgoing| outgoing.place = Place::AtOrigin)
    }

    /// Its class. Default [`Priority::Normal`].
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|outgoing| outgoing.priority = priority)
    }

    /// Adds to the query: a map, a struct, or a slice of pairs.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.try_with(|outgoing| {
            let url = &mut outgoing.name.url;
            let mut pairs = url.query_pairs_mut();
            let serializer = serde_urlencoded::Serializer::new(&mut pairs);
            query.serialize(serializer).map_err(|cause| invalid("query", cause))?;
            drop(pairs);
            if url.query() == Some("") {
                url.set_query(None);
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
        self.try_with(|outgoing| {
            let name = name.try_into().map_err(|cause| invalid("header name", cause.into()))?;
            let value = value.try_into().map_err(|cause| invalid("header value", cause.into()))?;
            outgoing.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets all these header fields, each as [`header`](Self::header) does; one name may have
    /// several values.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|outgoing| overlay(&mut outgoing.headers, headers))
    }

    /// The body as JSON.
    pub fn json<T: Serialize + ?Sized>(self, json: &T) -> Self {
        self.try_with(|outgoing| {
            let body = serde_json::to_vec(json).map_err(|cause| invalid("json", cause))?;
            outgoing.body = Payload::Bytes(body.into());
            Ok(())
        })
    }

    /// The body as a form, `application/x-www-form-urlencoded`.
    pub fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        self.try_with(|outgoing| {
            let body = serde_urlencoded::to_string(form).map_err(|cause| invalid("form", cause))?;
            outgoing.body = Payload::Bytes(body.into());
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            outgoing.headers.entry(CONTENT_TYPE).or_insert(form);
            Ok(())
        })
    }

    /// The body as it is. Set its `Content-Type`, unless it is JSON.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.with(|outgoing| outgoing.body = Payload::Bytes(body.into()))
    }

    /// The body as a stream. It can be read only once, so this request is never sent again,
    /// whatever the answer.
    pub fn body_stream<S>(self, body: S) -> Self
    where
        S: futures_util::TryStream<Ok = Bytes> + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.with(|outgoing| {
            outgoing.body = Payload::Once(Mutex::new(Some(reqwest::Body::wrap_stream(body))));
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
        self.with(|outgoing| outgoing.replay = Replay::Always)
    }

    /// Time allowed to each sending. Default: the client's
    /// [`attempt_timeout`](crate::ClientBuilder::attempt_timeout). [`Duration::MAX`] is none;
    /// zero is no time at all, and refused.
    pub fn timeout(self, time: Duration) -> Self {
        self.try_with(|outgoing| {
            if time.is_zero() {
                return Err(Error::request("its timeout cannot be zero"));
            }
            outgoing.attempt_timeout = Some(time);
            Ok(())
        })
    }

    /// Time allowed to the whole request, from when [`send`](Self::send) is first polled: queue,
    /// pauses and retries included.
    pub fn deadline(self, time: Duration) -> Self {
        self.with(|outgoing| outgoing.deadline = Some(time))
    }

    /// The scope whose limit it consumes, in place of the client's
    /// [`scope_by`](crate::ClientBuilder::scope_by).
    pub fn rate_scope(self, scope: &str) -> Self {
        self.rate_scopes([scope])
    }

    /// The scopes whose limits it consumes, one to four, narrowest first.
    pub fn rate_scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.with(|outgoing| outgoing.scopes = scopes.into_iter().map(Into::into).collect())
    }

    /// Does it carry the client's token? Default: yes, if the client has credentials.
    ///
    /// A URL of another origin than the base URL's never gets the token: such a request must say
    /// `auth(false)`.
    pub fn auth(self, on: bool) -> Self {
        self.with(|outgoing| outgoing.wants_auth = Some(on))
    }

    /// Its `X-Correlation-ID`, in place of a fresh UUID; also where the client sends none.
    pub fn correlation_id(self, id: &str) -> Self {
        self.try_with(|outgoing| {
            let id = id.parse().map_err(|cause| invalid("correlation id", cause))?;
            outgoing.name.correlation_id = Some(id);
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
        self.deliver(false, |outcome, outgoing| match outcome {
            Outcome::Whole(head) => Ok(Response { head, of: outgoing.into_name() }),
            Outcome::Failed(error) => Err(error),
            Outcome::Stream(..) | Outcome::Lost => Err(Error::closed().about(outgoing.about())),
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
        self.deliver(true, |outcome, outgoing| match outcome {
            Outcome::Stream(head, body) => {
                Ok(StreamResponse { head, of: outgoing.into_name(), body })
            }
            Outcome::Failed(error) => Err(error),
            Outcome::Whole(_) | Outcome::Lost => Err(Error::closed().about(outgoing.about())),
        })
    }

    /// The future holds no more than it needs: there may be very many of them.
    fn deliver<T: Send + 'static>(
        self,
        stream: bool,
        result: fn(Outcome, Arc<Outgoing>) -> Result<T, Error>,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let this = self.try_with(|outgoing| outgoing.finish(stream));
        let RequestBuilder { outgoing, cancel } = this;
        async move {
            let outgoing = outgoing?;
            let outcome = match cancel {
                None => outgoing.run().await,
                Some(cancelled) => tokio::select! {
                    biased;
                    outcome = outgoing.run() => outcome,
                    () = cancelled => {
                        let message = "Request Cancelled: the caller's signal fired";
                        Outcome::Failed(
                            Error::new(ErrorKind::Cancelled, message).about(outgoing.about()),
                        )
                    }
                },
            };
            result(outcome, outgoing)
        }
    }

    fn with(self, change: impl FnOnce(&mut Outgoing)) -> Self {
        self.try_with(|outgoing| {
            change(outgoing);
            Ok(())
        })
    }

    /// The first thing that goes wrong is kept for `send`.
    fn try_with(mut self, change: impl FnOnce(&mut Outgoing) -> Result<(), Error>) -> Self {
        if let Ok(outgoing) = &mut self.outgoing {
            let outgoing = Arc::get_mut(outgoing).expect("it has not been sent");
            if let Err(error) = change(outgoing) {
                self.outgoing = Err(error.about(outgoing.about()));
            }
        }
        self
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RequestBuilder");
        match &self.outgoing {
            Ok(outgoing) => out
                .field("method", &outgoing.name.method)
                .field("url", &shown(&outgoing.name.url).as_str())
                .field("priority", &outgoing.priority),
            Err(error) => out.field("error", error),
        };
        out.finish_non_exhaustive()
    }
}

fn invalid(what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    let cause: Cause = Arc::new(cause);
    Error::request(format_args!("its {what} cannot be sent")).caused_by(Some(cause))
}
