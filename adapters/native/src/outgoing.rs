//! A request, as its builder makes it and its attempts send it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use cxone_core::{Priority, Replay};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;
use uuid::Uuid;

use crate::driver::{Command, RequestTicket};
use crate::error::{About, Cause, Error, shown};
use crate::home::{self, Watch};
use crate::hub::Hub;
use crate::line::{Line, Outcome};

/// Makes a request replayable: the server takes the second sending for the first.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Names a request in the logs of both sides.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

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
#[derive(Clone)]
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

/// What becomes of a URL when the base URL is found, if it was made before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// It was not.
    Known,
    /// It is a path below the base URL.
    Below,
    /// It is a path at the base URL's origin.
    AtOrigin,
    /// It is absolute, and must be of the base URL's origin: the token goes along.
    Judged,
}

/// A request. It has one place from its making to its end, since moving it about would cost more than
/// all the rest.
pub(crate) struct Outgoing {
    pub(crate) hub: Arc<Hub>,
    pub(crate) name: Name,
    /// What the caller set; the client's own fields are added at each sending.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
    /// Does it carry the client's token? `None`: if there is one.
    pub(crate) wants_auth: Option<bool>,
    pub(crate) auth: bool,
    /// Does it go to the base URL's origin?
    pub(crate) own_origin: bool,
    pub(crate) place: Place,
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
    pub(crate) fn new(hub: Arc<Hub>, method: Method, url: Url, own_origin: bool) -> Outgoing {
        Outgoing {
            hub,
            name: Name { method, url, correlation_id: None },
            headers: HeaderMap::new(),
            body: Payload::Empty,
            wants_auth: None,
            auth: false,
            own_origin,
            place: Place::Known,
            priority: Priority::Normal,
            scopes: Vec::new(),
            replay: Replay::IfUnprocessed,
            stream: false,
            attempt_timeout: None,
            deadline: None,
            span: tracing::Span::none(),
            attempts: AtomicU32::new(0),
            ticket: RequestTicket::default(),
            line: Line::new(),
        }
    }

    /// What follows from all that was set.
    pub(crate) fn finish(&mut self, stream: bool) -> Result<(), Error> {
        let settings = &*self.hub.settings;
        let by_default = settings.auth.is_some() && !self.headers.contains_key(AUTHORIZATION);
        self.auth = self.wants_auth.unwrap_or(by_default);
        if self.auth && settings.auth.is_none() {
            return Err(Error::request("this client has no credentials: auth(true) cannot be"));
        }
        if self.auth && self.place == Place::Judged {
            self.own_origin = true;
        } else if self.place == Place::Judged {
            self.place = Place::Known;
        }
        if self.auth && !self.own_origin {
            return Err(Error::request(format_args!(
                "{} is not the base URL's origin and gets no token: say auth(false)",
                self.name.url.origin().ascii_serialization()
            )));
        }
        self.stream = stream;
        self.replay = match self.body {
            Payload::Once(_) => Replay::Never,
            _ if self.replay == Replay::Always
                || self.name.method.is_idempotent()
                || self.headers.contains_key(IDEMPOTENCY_KEY) =>
            {
                Replay::Always
            }
            _ => Replay::IfUnprocessed,
        };
        if self.scopes.is_empty() {
            let Name { method, url, .. } = &self.name;
            let base = &settings.base;
            let early = self.place != Place::Known;
            let base = if early { base.stand_in() } else { base.url() };
            self.scopes = settings.scope_by.scopes(method, url, base, self.own_origin);
        }
        // What it will carry: a field that was set as such wins.
        let field = match self.headers.is_empty() {
            true => None, // as mostly
            false => self.headers.get(CORRELATION_ID).cloned(),
        };
        let given = field.or_else(|| self.name.correlation_id.take());
        self.name.correlation_id = given.or_else(|| {
            let by_default = settings.default_headers.get(CORRELATION_ID);
            let by_default = by_default.filter(|_| self.own_origin).cloned();
            by_default.or_else(|| match settings.correlation_id {
                true => fresh_correlation_id(),
                false => None,
            })
        });
        self.span = tracing::info_span!(
            target: "cxone_client",
            "request",
            method = %self.name.method,
            path = self.name.url.path(),
            correlation_id = self.name.correlation_id(),
            priority = ?self.priority,
        );
        Ok(())
    }

    /// Why it has no URL that it could be sent to, if it was made before the base URL was found.
    pub(crate) fn misplaced(&self) -> Option<Cause> {
        let why = match self.place {
            Place::Judged => {
                "its URL is not the base URL's origin and gets no token: say auth(false)"
            }
            Place::Known => return None,
            _ => "signing in finds the base URL: a request without a token needs an absolute URL",
        };
        Some(Arc::new(Error::request(why)))
    }

    /// Hands it to the driver and waits for its end; cancels it if nobody waits any more.
    pub(crate) async fn run(self: &Arc<Self>) -> Outcome {
        let hub = &self.hub;
        let Some(here) = home::here() else {
            let error = Error::request("it must be sent from within a tokio runtime");
            return Outcome::Failed(error.about(self.about()));
        };
        let mut request = CancelOnDrop { outgoing: self, over: false };
        let (mut work, mut watch) = match hub.submit(self, here) {
            Some(work) => (work, Watch::from_here(here)),
            // Few callers come by here: it is kept out of the rest.
            None => match Box::pin(hub.enter()).await {
                Ok(home) => {
                    if !home.is_here() {
                        self.line.leave_home();
                    }
                    hub.send(Command::Submit(self.clone()));
                    (None, Watch::new(home.runtime.id()))
                }
                Err(error) => return Outcome::Failed(error.about(self.about())),
            },
        };
        let outcome = poll_fn(|cx| {
            let is_here = watch.is_here();
            if let Poll::Ready(outcome) = self.line.poll(cx, is_here, &mut work) {
                return Poll::Ready(outcome);
            }
            if is_here {
                return Poll::Pending;
            }
            let lost = ready!(watch.poll_lost(cx, || hub.home()));
            hub.give_up(&lost);
            Poll::Ready(Outcome::Lost)
        })
        .await;
        request.over = true;
        outcome
    }

    /// What is kept of it with its answer. It is mostly nobody else's any more.
    pub(crate) fn into_name(self: Arc<Self>) -> Name {
        Arc::try_unwrap(self).map_or_else(|shared| shared.name.clone(), |own| own.name)
    }

    /// Which request an error is about.
    pub(crate) fn about(&self) -> About {
        self.name.about(self.attempts())
    }

    /// How often it was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }
}

/// Cancels a request whose future is dropped, wherever the request is by then.
struct CancelOnDrop<'a> {
    outgoing: &'a Arc<Outgoing>,
    /// It has ended by itself.
    over: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.outgoing.line.leave();
            self.outgoing.hub.send(Command::Cancel(self.outgoing.clone()));
        }
    }
}

/// A UUID of version 4 (RFC 9562 §5.4).
fn fresh_correlation_id() -> Option<HeaderValue> {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(Uuid::new_v4().hyphenated().encode_lower(&mut text)).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_correlation_id_is_another_uuid_of_version_4() {
        let [one, other] = [(); 2].map(|()| fresh_correlation_id().expect("it is plain"));
        assert_ne!(one, other);
        let id: Uuid = one.to_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
    }

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
