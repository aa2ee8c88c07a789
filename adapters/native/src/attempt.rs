//! One sending of one request, and what becomes of its answer.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use cxone_core::{AttemptId, DRAIN_LIMIT, Failure};
use futures_util::FutureExt;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, Entry, HOST, LOCATION, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method};
use tracing::Instrument;
use url::Url;

use crate::driver::{Command, Ticket};
use crate::error::Cause;
use crate::hub::Word;
use crate::line::{Outcome, Work};
use crate::outgoing::{CORRELATION_ID, Name, Outgoing, overlay};
use crate::pending::Caller;
use crate::response::Received;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// So many fields does the client add by itself, the token and `Host` counted. More would take more
/// than allocators keep at hand.
const USUAL_FIELDS: usize = 6;

/// How much room is made for a body before any of it arrived, whatever its length is said to be.
const FIRST_ROOM: usize = 64 * 1024;

/// An attempt is over.
pub(crate) struct Over {
    pub(crate) end: End,
    /// What was read of the body.
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

impl Over {
    /// It has not been out.
    pub(crate) fn aborted() -> Over {
        let end = End::Failed(Failure::Aborted, None);
        Over { end, body: Bytes::new(), at: Instant::now() }
    }
}

pub(crate) enum End {
    Done,
    Failed(Failure, Option<Cause>),
    /// Its caller has the answer, body unread, and it was over with that.
    Delivered,
    /// Its task was dropped in the middle.
    Dropped,
}

/// What the driver tells an attempt after its head.
pub(crate) enum Instruction {
    Read,
    Drain,
    /// Give the answer to the caller, body unread.
    Deliver(Caller, Box<Received>),
}

/// An attempt, and everything that it needs. It is reported over when this is dropped, however that
/// came about: done, aborted, or with its runtime.
pub(crate) struct Attempt {
    ticket: Ticket<AttemptId>,
    outgoing: Arc<Outgoing>,
    http: reqwest::Client,
    /// Where a redirect leads.
    elsewhere: Option<Box<Url>>,
    token: Option<HeaderValue>,
    body: Body,
    /// When it was over, if the clock has just been read.
    over_at: Option<Instant>,
    reported: bool,
}

impl Attempt {
    pub(crate) fn new(
        ticket: Ticket<AttemptId>,
        outgoing: Arc<Outgoing>,
        http: reqwest::Client,
        elsewhere: Option<Box<Url>>,
        token: Option<HeaderValue>,
    ) -> Attempt {
        Attempt {
            ticket,
            outgoing,
            http,
            elsewhere,
            token,
            body: Body::default(),
            over_at: None,
            reported: false,
        }
    }

    /// Sends, waits for the driver's word at the head, does with the body as it says.
    pub(crate) fn work(mut self) -> Work {
        let span = self.outgoing.span.clone();
        let work = async move {
            // The response is gone when `exchange` returns, and is reported over after that. A panic
            // in it (in a body that the caller gave) is like a lost connection.
            let end = AssertUnwindSafe(self.exchange()).catch_unwind().await;
            self.report(end.unwrap_or(End::Failed(Failure::Aborted, None)))
        };
        match span.is_disabled() {
            true => Box::pin(work),
            false => Box::pin(work.instrument(span)),
        }
    }

    /// It is over. What its request has come to, if that is known by that.
    fn report(&mut self, end: End) -> Option<Outcome> {
        self.reported = true;
        let over = self.over(end)?;
        self.outgoing.hub.over(self.ticket, over)
    }

    /// What there is to report; nothing if the engine counts it as over already.
    fn over(&mut self, end: End) -> Option<Over> {
        if let End::Delivered = end {
            return None;
        }
        let body = mem::take(&mut self.body).into_bytes();
        Some(Over { end, body, at: self.over_at.unwrap_or_else(Instant::now) })
    }

    async fn exchange(&mut self) -> End {
        let Some(sending) = self.send() else {
            return End::Failed(Failure::Unsendable, self.outgoing.misplaced());
        };
        let mut response = match sending.await {
            Ok(response) => response,
            Err(error) => {
                let failure = classify(&error);
                return End::Failed(failure, Some(Arc::new(error.without_url())));
            }
        };
        let outgoing = &*self.outgoing;
        let received = receive(&mut response, outgoing, self.ticket.number());
        let at = received.at;
        let word = match outgoing.hub.head(self.ticket, received) {
            Word::Now(word) => word,
            Word::Later(word) => word.await.ok(),
        };
        match word {
            Some(Instruction::Read) => {
                let max = outgoing.hub.settings.max_body;
                let (end, waited) = read(&mut response, &mut self.body, max).await;
                self.over_at = (!waited).then_some(at);
                end
            }
            Some(Instruction::Drain) => {
                drain(&mut response, &mut self.body).await;
                End::Done
            }
            Some(Instruction::Deliver(mut caller, head)) => {
                caller.tell(Outcome::Stream(head, Box::pin(response.bytes_stream())));
                End::Delivered
            }
            // Nobody wants it any more.
            None => End::Failed(Failure::Aborted, None),
        }
    }

    /// By itself, since a request that lay beside what waits for its answer would make that large.
    fn send(&self) -> Option<impl Future<Output = reqwest::Result<reqwest::Response>> + use<>> {
        Some(self.http.execute(self.request()?))
    }

    /// The request on the wire; `None` if its body was read before, or if nobody knows where the
    /// APIs are.
    fn request(&self) -> Option<reqwest::Request> {
        let outgoing = &*self.outgoing;
        let Name { method, url, .. } = &outgoing.name;
        let url = match self.elsewhere.as_deref() {
            Some(url) => url.clone(),
            None => outgoing.hub.settings.base.placed(url, outgoing.place)?,
        };
        let mut request = reqwest::Request::new(method.clone(), url);
        let headers = request.headers_mut();
        add_fields(headers, outgoing, self.token.as_ref());
        let body = outgoing.body.body()?;
        if body.as_bytes().is_none_or(|bytes| !bytes.is_empty()) {
            *request.body_mut() = Some(body);
        } else if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            // Without it some servers answer 411 (RFC 9110 §8.6).
            headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
        }
        Some(request)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.reported
            && let Some(over) = self.over(End::Dropped)
        {
            self.outgoing.hub.send(Command::Over(self.ticket, over));
        }
    }
}

/// The client's fields, and over them those of its caller; over them the token.
fn add_fields(headers: &mut HeaderMap, outgoing: &Outgoing, token: Option<&HeaderValue>) {
    let settings = &*outgoing.hub.settings;
    headers.reserve(USUAL_FIELDS);
    headers.insert(ACCEPT, JSON);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(USER_AGENT, settings.user_agent.clone());
    if outgoing.own_origin {
        if let Some(host) = &settings.host {
            headers.insert(HOST, host.clone());
        }
        if !settings.default_headers.is_empty() {
            overlay(headers, settings.default_headers.clone());
        }
    }
    if let Some(id) = &outgoing.name.correlation_id {
        headers.insert(CORRELATION_ID, id.clone());
    }
    if !outgoing.headers.is_empty() {
        overlay(headers, outgoing.headers.clone());
    }
    if let Some(token) = token {
        headers.insert(AUTHORIZATION, token.clone());
    } else if let Entry::Occupied(mut fields) = headers.entry(AUTHORIZATION) {
        fields.iter_mut().for_each(|value| value.set_sensitive(true));
    }
}

/// What there is of an answer before its body is read.
fn receive(response: &mut reqwest::Response, outgoing: &Outgoing, attempts: u32) -> Box<Received> {
    let at = Instant::now();
    let name = &outgoing.name;
    let follow = match outgoing.hub.settings.follow_redirects {
        true => redirect(&name.method, response),
        false => None,
    };
    let url = (*response.url() != name.url).then(|| Box::new(response.url().clone()));
    Box::new(Received {
        status: response.status(),
        version: response.version(),
        headers: mem::take(response.headers_mut()),
        url,
        follow: follow.map(Box::new),
        attempts,
        at,
        body: Bytes::new(),
    })
}

/// Reads a body; did it have to wait for any of it?
async fn read(response: &mut reqwest::Response, body: &mut Body, max: usize) -> (End, bool) {
    let mut waited = false;
    let announced = response.content_length().unwrap_or(0);
    if announced > max as u64 {
        return (End::Failed(Failure::TooLarge, None), waited);
    }
    let end = loop {
        let mut chunk = pin!(response.chunk());
        let chunk = poll_fn(|cx| {
            let chunk = chunk.as_mut().poll(cx);
            waited |= chunk.is_pending();
            chunk
        });
        match chunk.await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max => {
                break End::Failed(Failure::TooLarge, None);
            }
            Ok(Some(chunk)) => body.push(chunk, announced),
            Ok(None) => break End::Done,
            Err(error) => {
                let cause: Cause = Arc::new(error.without_url());
                break End::Failed(Failure::Truncated, Some(cause));
            }
        }
    };
    (end, waited)
}

/// Reads what fits, so that the connection can be used again. How it ends matters to nobody.
async fn drain(response: &mut reqwest::Response, body: &mut Body) {
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = DRAIN_LIMIT - body.len();
        body.push(chunk.slice(..chunk.len().min(room)), 0);
        if chunk.len() > room {
            return;
        }
    }
}

/// What was read of a body. Mostly that comes in one piece, which is not copied.
#[derive(Default)]
struct Body {
    only: Bytes,
    pieces: BytesMut,
}

impl Body {
    fn len(&self) -> usize {
        self.only.len() + self.pieces.len()
    }

    /// Adds to it; so many bytes in all were announced, if it is not zero.
    fn push(&mut self, chunk: Bytes, announced: u64) {
        if self.len() == 0 {
            self.only = chunk;
            return;
        }
        if self.pieces.is_empty() {
            self.pieces.reserve(FIRST_ROOM.min(announced as usize).max(self.only.len()));
            self.pieces.extend_from_slice(&mem::take(&mut self.only));
        }
        self.pieces.extend_from_slice(&chunk);
    }

    fn into_bytes(self) -> Bytes {
        if self.pieces.is_empty() { self.only } else { self.pieces.freeze() }
    }
}

/// Where an answer redirects to, if it may be followed: a safe method, the same origin.
fn redirect(method: &Method, response: &reqwest::Response) -> Option<Url> {
    let status = response.status().as_u16();
    if !matches!(status, 301 | 302 | 303 | 307 | 308)
        || !matches!(*method, Method::GET | Method::HEAD)
    {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let here = response.url();
    let there = here.join(location).ok()?;
    let plain = there.username().is_empty() && there.password().is_none();
    (plain && there.origin() == here.origin()).then_some(there)
}

/// How a sending without an answer failed.
pub(crate) fn classify(error: &reqwest::Error) -> Failure {
    if error.is_builder() || chain(error).any(is_certificate_error) {
        Failure::Unsendable
    } else if error.is_connect() || chain(error).any(is_refused_stream) {
        Failure::Unsent
    } else {
        Failure::Reset
    }
}

/// An error and its causes. An `io::Error` says what it wraps, not what that one's cause is.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
        Some(error)
    })
}

/// Trying again would meet the same certificate.
fn is_certificate_error(error: &(dyn StdError + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

/// The server says that it has not looked at the request (RFC 9113 §8.7), or did so by naming in
/// its GOAWAY only earlier ones.
fn is_refused_stream(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
    })
}

#[cfg(test)]
mod tests {
    use crate::{Client, ClientBuilder};

    use super::*;

    /// What a request with these fields carries.
    fn sent(builder: ClientBuilder, headers: HeaderMap, own_origin: bool) -> HeaderMap {
        let hub = builder.no_auth().build().unwrap().hub;
        let url = hub.settings.base.url().clone();
        let outgoing = Outgoing::new(hub, Method::GET, url, own_origin);
        let mut sent = HeaderMap::new();
        add_fields(&mut sent, &Outgoing { headers, ..outgoing }, None);
        sent
    }

    #[test]
    fn an_authorization_that_was_given_is_no_more_shown_than_a_token() {
        let builder = || Client::builder().base_url("https://h.example").correlation_id(false);
        let key = || HeaderValue::from_static("Key hunter2");
        let given = HeaderMap::from_iter([(AUTHORIZATION, key())]);
        let by_default = builder().default_header("authorization", "Key hunter2");
        for sent in [sent(builder(), given, true), sent(by_default, HeaderMap::new(), true)] {
            assert_eq!(sent[AUTHORIZATION], key());
            assert!(!format!("{sent:?}").contains("hunter2"), "{sent:?}");
        }
    }

    #[test]
    fn the_base_urls_host_is_named_where_http_1_is_sure_to_be_spoken() {
        let host = |builder: fn(ClientBuilder) -> ClientBuilder, url, own_origin| {
            let builder = builder(Client::builder().base_url(url));
            sent(builder, HeaderMap::new(), own_origin).get(HOST).cloned()
        };
        let (plain, tls) = ("http://h.example:80/gw", "https://[::1]:8443");
        let same = |builder| builder;
        assert_eq!(host(same, plain, true).unwrap(), "h.example");
        assert_eq!(host(ClientBuilder::http1_only, tls, true).unwrap(), "[::1]:8443");
        // Another's, or what :authority may say.
        assert_eq!(host(same, plain, false), None);
        assert_eq!(host(same, tls, true), None);
        assert_eq!(host(ClientBuilder::http2_prior_knowledge, plain, true), None);
        // Or what reqwest was told to say.
        assert_eq!(host(|it| it.reqwest(reqwest::Client::builder), plain, true), None);
        assert_eq!(host(|it| it.reqwest_client(reqwest::Client::new()), plain, true), None);
    }

    #[test]
    fn a_certificate_is_found_however_deep_it_is_wrapped() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, certificate));
        assert!(chain(&wrapped).any(is_certificate_error));
        let other = io::Error::other(rustls::Error::HandshakeNotComplete);
        assert!(!chain(&other).any(is_certificate_error));
    }
}
