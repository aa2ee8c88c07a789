//! One request from its head to its answer.

use std::{
    convert::Infallible,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cxone_sim::Decision;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::sleep;

use crate::{
    answer::Answer,
    body::Body,
    clock, control, deadline,
    fault::Fault,
    files, is_sign_in, is_token_path,
    oauth::{self, OAuthError, TokenRequest},
    platform, routes,
    server::Link,
    shared::Shared,
    stats::LogEntry,
    visit::Visit,
};

/// The largest request body that is read.
const MAX_BODY: usize = 16 << 20;

pub(crate) async fn serve(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Some(answer) = shared.config.cors.preflight(&head) {
        return Ok(respond(&shared, answer, None));
    }
    if head.uri.path().starts_with(control::PREFIX) {
        let body = read_body(body).await.unwrap_or_default();
        let answer = control::answer(&shared, &head.method, head.uri.path(), &body);
        return Ok(respond(&shared, answer, None));
    }
    Ok(if is_token_path(head.uri.path()) {
        serve_token(shared, link, head, body, arrived).await
    } else if is_sign_in(head.uri.path()) {
        serve_open(shared, link, head, body, arrived, platform::configuration).await
    } else if head.uri.path().starts_with(files::PREFIX) {
        serve_open(shared, link, head, body, arrived, files::answer).await
    } else {
        serve_api(shared, link, head, body, arrived).await
    })
}

async fn serve_api(
    shared: Arc<Shared>,
    link: Arc<Link>,
    head: Parts,
    body: Incoming,
    arrived: Instant,
) -> Response<Body> {
    let client = shared.lock().tokens.owner(bearer(&head)).map(str::to_owned);
    let (visit, fault) = arrive(&shared, &head, client.as_deref(), arrived);
    // Whatever the answer, the body is read, so that the connection can be used again.
    let body = read_body(body).await;
    let real = || match body {
        Some(body) => admit(&shared, &head, &body),
        None => Answer::empty(StatusCode::PAYLOAD_TOO_LARGE),
    };
    let answer = with_fault(&link, fault, real).await;
    depart(&head, client.as_deref(), answer, visit)
}

/// What needs no token.
async fn serve_open(
    shared: Arc<Shared>,
    link: Arc<Link>,
    head: Parts,
    body: Incoming,
    arrived: Instant,
    real: fn(&Shared, &Parts) -> Answer,
) -> Response<Body> {
    let (visit, fault) = arrive(&shared, &head, None, arrived);
    read_body(body).await;
    let answer = with_fault(&link, fault, || real(&shared, &head)).await;
    depart(&head, None, answer, visit)
}

async fn serve_token(
    shared: Arc<Shared>,
    link: Arc<Link>,
    head: Parts,
    body: Incoming,
    arrived: Instant,
) -> Response<Body> {
    // The body names the client, so it is read before anything is counted.
    let request = oauth::read(&head, &read_body(body).await.unwrap_or_default());
    let client = request.as_ref().ok().map(|request| request.client.clone());
    let client = client.filter(|id| shared.config.clients().any(|client| client.id == *id));
    let (visit, fault) = arrive(&shared, &head, client.as_deref(), arrived);
    let answer = with_fault(&link, fault, || grant(&shared, head.uri.path(), request)).await;
    depart(&head, client.as_deref(), answer, visit)
}

/// Counts an arrival, and says what is to go wrong with it.
fn arrive(
    shared: &Arc<Shared>,
    head: &Parts,
    client: Option<&str>,
    arrived: Instant,
) -> (Visit, Option<Fault>) {
    let path = head.uri.path();
    let is_api = !is_sign_in(path);
    let state = &mut *shared.lock();
    let scope = state.limits.scope(path);
    let grace = shared.config.early_grace;
    let early = state.deadlines.is_early(client.unwrap_or_default(), scope, arrived, grace);
    let fault = state.rules.next(&head.method, path);

    let correlation_id = head.headers.get("x-correlation-id").and_then(|id| id.to_str().ok());
    let number = state.counters.log(LogEntry {
        at_ms: arrived.saturating_duration_since(shared.started).as_millis() as u64,
        method: head.method.to_string(),
        path: path.to_owned(),
        query: head.uri.query().filter(|_| is_api).map(str::to_owned),
        status: None,
        client: client.map(str::to_owned),
        correlation_id: correlation_id.map(str::to_owned),
        early,
    });
    let stats = &mut state.counters.stats;
    stats.requests += 1;
    stats.early += u64::from(early);
    stats.faults += u64::from(fault.is_some());
    if is_api {
        stats.api_requests += 1;
        state.counters.request_began();
    } else if !is_token_path(path) {
        stats.discoveries += 1;
    } else {
        stats.token_requests += 1;
        stats.token_refused += u64::from(fault.as_ref().is_some_and(Fault::replaces));
    }
    (Visit { shared: shared.clone(), number, is_api, page: None }, fault)
}

/// The real answer, unless the fault is another. Comes as late as either demands.
async fn with_fault(link: &Link, fault: Option<Fault>, real: impl FnOnce() -> Answer) -> Answer {
    let fault = fault.unwrap_or_default();
    pause(fault.head_delay()).await;
    if let Some(how) = fault.breaks() {
        link.cut(how);
        return pending().await;
    }
    let mut answer = fault.answer().unwrap_or_else(real);
    pause(answer.head_delay).await;
    fault.spoil(&mut answer);
    answer
}

/// Waits; not even for a timer's grain if there is nothing to wait for.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// Answers an API request: token, then limit, then route.
fn admit(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    let (now, unix_now) = (shared.elapsed(), shared.unix_now());
    let (limit, page_faults) = {
        let state = &mut *shared.lock();
        let Some(client) = state.tokens.admit(bearer(head)) else {
            return Fault::unauthorized().answer().expect("it has a status");
        };
        (state.limits.try_acquire(client, head.uri.path(), now), state.pages.clone())
    };
    let style = &shared.config.style;
    let mut answer = match &limit {
        Some((_, Decision::Refused { retry_at })) => {
            style.refuse(retry_at.saturating_sub(now), unix_now)
        }
        _ => routes::answer(shared, &page_faults, head, body),
    };
    if let Some((spec, decision)) = limit {
        style.announce(&mut answer.headers, &spec, &decision, now, unix_now);
    }
    answer
}

/// Answers a token request: limit, then client, then grant.
fn grant(shared: &Shared, path: &str, request: Result<TokenRequest, OAuthError>) -> Answer {
    let (now, unix_now) = (shared.elapsed(), shared.unix_now());
    let state = &mut *shared.lock();
    let style = &shared.config.style;
    let client = request.as_ref().map_or("", |request| &request.client);
    let limit = state.limits.try_acquire(client, path, now);
    let checked =
        request.and_then(|request| request.check(&shared.config, &state.tokens).map(|()| request));
    let mut answer = match (&limit, checked) {
        (Some((_, Decision::Refused { retry_at })), _) => {
            state.counters.stats.token_refused += 1;
            style.refuse(retry_at.saturating_sub(now), unix_now)
        }
        (_, Ok(request)) => {
            state.counters.stats.token_fetches += 1;
            request.grant(&mut state.tokens, &shared.config)
        }
        (_, Err(error)) => {
            state.counters.stats.token_refused += 1;
            error.answer()
        }
    };
    if let Some((spec, decision)) = limit {
        style.announce(&mut answer.headers, &spec, &decision, now, unix_now);
    }
    answer
}

/// Counts an answer as it leaves, and holds its client to what it says.
fn depart(
    head: &Parts,
    client: Option<&str>,
    mut answer: Answer,
    mut visit: Visit,
) -> Response<Body> {
    let shared = visit.shared.clone();
    let path = head.uri.path();
    let Answer { status, headers, .. } = &answer;
    {
        let state = &mut *shared.lock();
        if visit.is_api {
            let stats = &mut state.counters.stats;
            stats.throttled += u64::from(deadline::is_throttle(*status, headers));
            stats.unauthorized += u64::from(*status == StatusCode::UNAUTHORIZED);
        }
        let scope = state.limits.scope(path);
        let client = client.unwrap_or_default();
        let now = Instant::now();
        state.deadlines.note(client, scope, (*status, headers), now, shared.unix_now());
        state.counters.log_status(visit.number, status.as_u16());
    }
    if visit.is_api {
        let trace_id = HeaderName::from_static("x-trace-id");
        answer.headers.entry(trace_id).or_insert_with(|| visit.number.into());
    }
    visit.page = answer.page.take();
    respond(&shared, answer, Some(visit))
}

/// Puts an answer on the wire.
fn respond(shared: &Shared, mut answer: Answer, visit: Option<Visit>) -> Response<Body> {
    shared.config.cors.allow(&mut answer.headers);
    if !answer.headers.contains_key(header::DATE) {
        let date = HeaderValue::try_from(clock::http_date(shared.unix_now()));
        answer.headers.insert(header::DATE, date.expect("a date is header text"));
    }
    let delay = answer.body_delay;
    let body = match answer.truncate {
        None => Body::new(answer.body, delay, visit),
        Some(keep) => {
            let whole = answer.body.len().max(keep.saturating_add(1));
            answer.headers.insert(header::CONTENT_LENGTH, whole.into());
            Body::truncated(answer.body.slice(..keep.min(answer.body.len())), delay, visit)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// The request's token, or nothing that ever was one.
fn bearer(head: &Parts) -> &str {
    let value = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

/// The whole body, unless it is too large or breaks off.
async fn read_body(body: Incoming) -> Option<Bytes> {
    Limited::new(body, MAX_BODY).collect().await.ok().map(|body| body.to_bytes())
}
