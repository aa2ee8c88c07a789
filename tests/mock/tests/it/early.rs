use std::time::Duration;

use cxone_mock::{Fault, LimitHeaders, Mock, RetryAfter, Rule};
use tokio::time::sleep;

use crate::{Session, header};

const PATH: &str = "/api/v2.0/echo";
/// The default.
const GRACE: Duration = Duration::from_millis(250);
const BEYOND_GRACE: Duration = Duration::from_millis(400);

async fn refused_for(seconds: u64, grace: Duration) -> Session {
    let fault = Fault::status(429).retry_after(seconds);
    let session = Session::start(Mock::builder().early_grace(grace).script(Rule::api(fault))).await;
    assert_eq!(session.status(PATH).await, 429);
    session
}

#[tokio::test]
async fn a_client_that_sends_before_its_time_is_counted() {
    let session = refused_for(30, GRACE).await;
    sleep(BEYOND_GRACE).await;
    session.get(PATH).await;
    assert_eq!(session.mock.stats().early, 1);
    assert!(session.mock.log().last().unwrap().early);
}

#[tokio::test]
async fn an_honest_client_is_not() {
    let session = refused_for(1, GRACE).await;
    sleep(Duration::from_secs(1)).await;
    session.get(PATH).await;
    assert_eq!(session.mock.stats().early, 0);
}

#[tokio::test]
async fn what_was_under_way_is_not() {
    let session = refused_for(60, Duration::from_secs(30)).await;
    session.get(PATH).await;
    assert_eq!(session.mock.stats().early, 0);
}

#[tokio::test]
async fn a_shorter_refusal_does_not_shorten_the_wait() {
    let rule = Rule::api(Fault::staggered(429, [30, 1]));
    let builder = Mock::builder().early_grace(Duration::from_secs(1)).script(rule);
    let session = Session::start(builder).await;
    session.get(PATH).await;
    session.get(PATH).await;
    sleep(Duration::from_millis(1100)).await;
    session.get(PATH).await;
    assert_eq!(session.mock.stats().early, 1);
}

#[tokio::test]
async fn a_refusal_that_states_no_time_sets_none() {
    let builder =
        Mock::builder().limit("fixed:1/60s".parse().unwrap()).retry_after(RetryAfter::None);
    let session = Session::start(builder).await;
    session.get(PATH).await;
    assert_eq!(session.status(PATH).await, 429);
    sleep(BEYOND_GRACE).await;
    session.get(PATH).await;
    assert_eq!(session.mock.stats().early, 0);
}

#[tokio::test]
async fn whatever_form_states_the_time_sets_it() {
    for (form, headers) in [
        (RetryAfter::Date, LimitHeaders::None),
        (RetryAfter::Ms, LimitHeaders::None),
        (RetryAfter::None, LimitHeaders::Draft10),
        (RetryAfter::None, LimitHeaders::Draft03),
        (RetryAfter::None, LimitHeaders::XEpoch),
    ] {
        let limit = "fixed:1/60s".parse().unwrap();
        let builder = Mock::builder().limit(limit).clock_skew(-3600).retry_after(form);
        let session = Session::start(builder.limit_headers(headers)).await;
        session.get(PATH).await;
        assert_eq!(session.status(PATH).await, 429);
        sleep(BEYOND_GRACE).await;
        session.get(PATH).await;
        assert_eq!(session.mock.stats().early, 1, "{form:?} {headers:?}");
    }
}

#[tokio::test]
async fn a_date_read_by_the_servers_own_date_is_never_early() {
    let limit = "fixed:1/2s".parse().unwrap();
    let builder = Mock::builder().limit(limit).clock_skew(3600).retry_after(RetryAfter::Date);
    let session = Session::start(builder).await;
    for _ in 0..4 {
        let answer = session.get(PATH).await;
        if answer.status() == 429 {
            let read = |name| httpdate::parse_http_date(header(&answer, name)).unwrap();
            sleep(read("retry-after").duration_since(read("date")).unwrap()).await;
        }
    }
    let stats = session.mock.stats();
    assert!(stats.throttled > 0);
    assert_eq!(stats.early, 0);
}

#[tokio::test]
async fn a_deadline_is_for_one_client_in_one_scope() {
    let limit = "fixed:1/60s".parse().unwrap();
    let builder = Mock::builder().client("mock-client", "mock-secret====").client("b", "sb");
    let mut session = Session::start(builder.limit_for("/media-playback", limit)).await;
    session.get("/media-playback/v1").await;
    assert_eq!(session.status("/media-playback/v1").await, 429);
    sleep(BEYOND_GRACE).await;
    session.get(PATH).await;
    session.token = session.token_for("b", "sb").await;
    session.get("/media-playback/v1").await;
    assert_eq!(session.mock.stats().early, 0);
}

#[tokio::test]
async fn the_token_endpoint_is_a_scope_of_its_own() {
    let session = Session::start(Mock::builder()).await;
    session.mock.script(Rule::token(Fault::status(503).retry_after(30)));
    assert_eq!(session.token_for("mock-client", "mock-secret====").await, "");
    sleep(BEYOND_GRACE).await;
    session.get(PATH).await;
    assert_eq!(session.mock.stats().early, 0);
    session.token_for("mock-client", "mock-secret====").await;
    assert_eq!(session.mock.stats().early, 1);
}

#[tokio::test]
async fn a_reset_forgets_the_deadlines() {
    let session = refused_for(30, GRACE).await;
    session.mock.reset();
    sleep(BEYOND_GRACE).await;
    session.get(PATH).await;
    assert_eq!((session.mock.stats().early, session.mock.stats().requests), (0, 1));
}
