use std::time::{Duration, SystemTime};

use cxone_mock::{LimitHeaders, LimitSpec, Mock, RefusalBody, RetryAfter};

use crate::{Session, header};

const PATH: &str = "/api/v2.0/echo";

fn once_a_minute() -> LimitSpec {
    "sliding:1/60s".parse().unwrap()
}

#[tokio::test]
async fn each_client_has_a_limit_of_its_own() {
    let builder = Mock::builder().client("mock-client", "mock-secret====").client("b", "sb");
    let mut session = Session::start(builder.limit(once_a_minute())).await;
    assert_eq!(session.status(PATH).await, 200);
    assert_eq!(session.status(PATH).await, 429);
    session.token = session.token_for("b", "sb").await;
    assert_eq!(session.status(PATH).await, 200);
    assert_eq!(session.mock.stats().throttled, 1);
}

#[tokio::test]
async fn each_family_can_have_a_limit_of_its_own() {
    let builder = Mock::builder().limit_for("/media-playback", once_a_minute());
    let session = Session::start(builder).await;
    let statuses = async |path| [session.status(path).await, session.status(path).await];
    assert_eq!(statuses("/media-playback/v1/contacts").await, [200, 429]);
    assert_eq!(statuses("/incontactapi/services/v34.0/agents").await, [200, 200]);
    assert_eq!(statuses(PATH).await, [200, 200]);
}

#[tokio::test]
async fn the_token_endpoint_is_limited_only_if_named() {
    let session = Session::start(Mock::builder().limit(once_a_minute())).await;
    assert_ne!(session.token_for("mock-client", "mock-secret====").await, "");
    session.mock.set_limit("/oauth2", Some(once_a_minute()));
    assert_ne!(session.token_for("mock-client", "mock-secret====").await, "");
    assert_eq!(session.token_for("mock-client", "mock-secret====").await, "");
    assert_eq!(session.mock.stats().throttled, 0, "throttled is about the API");
}

#[tokio::test]
async fn a_limit_is_changed_and_lifted_at_run_time() {
    let session = Session::start(Mock::builder().limit(once_a_minute())).await;
    assert_eq!([session.status(PATH).await, session.status(PATH).await], [200, 429]);
    session.mock.set_limit("", Some("sliding:2/60s".parse().unwrap()));
    assert_eq!([session.status(PATH).await, session.status(PATH).await], [200, 429]);
    session.mock.set_limit("", None);
    assert_eq!(session.status(PATH).await, 200);
}

#[tokio::test]
async fn a_refusal_states_its_wait_in_each_form() {
    let refused = async |form, skew| {
        let builder = Mock::builder().limit(once_a_minute()).retry_after(form).clock_skew(skew);
        let session = Session::start(builder).await;
        session.get(PATH).await;
        session.get(PATH).await
    };
    let none = refused(RetryAfter::None, 0).await;
    assert!(!none.headers().contains_key("retry-after"));
    assert_eq!(header(&refused(RetryAfter::Seconds, 0).await, "retry-after"), "60");
    let ms: u64 = header(&refused(RetryAfter::Ms, 0).await, "retry-after-ms").parse().unwrap();
    assert!((59_000..=60_000).contains(&ms), "{ms}");
    for skew in [0, -7200, 3600] {
        let answer = refused(RetryAfter::Date, skew).await;
        let read = |name| httpdate::parse_http_date(header(&answer, name)).unwrap();
        let wait = read("retry-after").duration_since(read("date")).unwrap();
        assert!((60..=61).contains(&wait.as_secs()), "{wait:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let date = read("date").duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!((date as i64 - now as i64 - skew).abs() <= 1);
    }
}

#[tokio::test]
async fn every_answer_tells_the_state_of_the_limit() {
    let answers = async |family| {
        let spec = "sliding:2/60s".parse().unwrap();
        let session = Session::start(Mock::builder().limit(spec).limit_headers(family)).await;
        [session.get(PATH).await, session.get(PATH).await, session.get(PATH).await]
    };
    for answer in answers(LimitHeaders::Draft10).await.iter().skip(1) {
        assert_eq!(header(answer, "ratelimit"), "\"default\";r=0;t=60");
        assert_eq!(header(answer, "ratelimit-policy"), "\"default\";q=2;w=60");
    }
    let [first, _, refused] = answers(LimitHeaders::Draft03).await;
    assert_eq!(header(&first, "ratelimit-remaining"), "1");
    assert_eq!(header(&refused, "ratelimit-reset"), "60");
    let [first, _, refused] = answers(LimitHeaders::XDelta).await;
    assert_eq!(header(&first, "x-ratelimit-limit"), "2");
    assert_eq!(header(&refused, "x-ratelimit-reset"), "60");
    let [_, _, refused] = answers(LimitHeaders::XEpoch).await;
    let reset: u64 = header(&refused, "x-ratelimit-reset").parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((58..=61).contains(&(reset - now)));
    let [first, ..] = answers(LimitHeaders::None).await;
    assert!(first.headers().keys().all(|name| !name.as_str().contains("ratelimit")));
}

#[tokio::test]
async fn a_refusal_has_any_status_and_body() {
    for status in [429, 503, 509, 529, 403] {
        let builder = Mock::builder().limit(once_a_minute()).refuse_with(status);
        let session = Session::start(builder).await;
        assert_eq!([session.status(PATH).await, session.status(PATH).await], [200, status]);
        assert_eq!(session.mock.stats().throttled, 1, "{status}");
    }
    let body = async |body| {
        let session =
            Session::start(Mock::builder().limit(once_a_minute()).refusal_body(body)).await;
        session.get(PATH).await;
        session.get(PATH).await.text().await.unwrap()
    };
    assert!(body(RefusalBody::Json).await.contains("\"statusCode\":429"));
    assert!(body(RefusalBody::Html).await.starts_with("<html>"));
    assert_eq!(body(RefusalBody::Empty).await, "");
}

#[tokio::test]
async fn whoever_waits_as_told_is_let_in() {
    let spec = "fixed:2/1s".parse().unwrap();
    let session = Session::start(Mock::builder().limit(spec).retry_after(RetryAfter::Ms)).await;
    for _ in 0..5 {
        let answer = session.get(PATH).await;
        if answer.status() == 429 {
            let wait = header(&answer, "retry-after-ms").parse().unwrap();
            tokio::time::sleep(Duration::from_millis(wait)).await;
            assert_eq!(session.status(PATH).await, 200);
        }
    }
    assert_eq!(session.mock.stats().early, 0);
}
