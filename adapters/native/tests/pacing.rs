//! What is believed of a limit, from where, and what is made of it.

mod common;

use std::time::{Duration, Instant};

use common::{ECHO, builder, burst, mock};
use cxone_client::{Basis, Belief, Client, KnownLimit, Notice, Notices, Pacing};
use cxone_mock::{LimitHeaders, Mock, RetryAfter};

const SECOND: Duration = Duration::from_secs(1);

/// A server that refuses without a word.
async fn silent(limit: &str) -> Mock {
    let mock = Mock::builder().limit(limit.parse().unwrap()).retry_after(RetryAfter::None);
    mock.start().await.unwrap()
}

async fn belief(client: &Client, scope: &str) -> Belief {
    let scopes = client.stats().await.scopes;
    scopes
        .into_iter()
        .find(|known| known.name == scope)
        .map(|known| known.belief)
        .unwrap_or_default()
}

/// What was told so far of the default scope's limit.
fn heard(notices: Notices) -> Vec<Belief> {
    let mut told = Vec::new();
    let mut notices = notices;
    while let Some(Some(notice)) = futures_util::FutureExt::now_or_never(notices.recv()) {
        if let Notice::Believes { scope, belief } = &notice {
            assert_eq!(scope, "default");
            assert_eq!(notice.to_string(), format!("Rate limit believed: {belief}"));
            told.push(*belief);
        }
    }
    told
}

#[tokio::test]
async fn announced_on_good_answers_it_is_kept_without_a_refusal() {
    for headers in [LimitHeaders::XDelta, LimitHeaders::XEpoch, LimitHeaders::Draft10] {
        let mock = Mock::builder().limit("fixed:10/1s".parse().unwrap()).limit_headers(headers);
        let mock = mock.start().await.unwrap();
        let client = builder(&mock).concurrency(4).build().unwrap();
        let notices = client.notices();
        assert_eq!(burst(&client, 25).await, 0);
        assert_eq!(mock.stats().throttled, 0, "{headers:?}");
        let stats = client.stats().await;
        let scope = &stats.scopes[0];
        let quota = scope.belief.quota.expect("a quota");
        assert_eq!((quota.requests, quota.basis), (10, Basis::Announced), "{headers:?}");
        assert!(scope.resets_in.is_some_and(|wait| wait <= 2 * SECOND), "{scope:?}");
        assert_eq!(scope.belief.rate, None);
        let told = heard(notices);
        assert_eq!(
            told.last().and_then(|belief| belief.quota).map(|quota| quota.requests),
            Some(10)
        );
    }
}

#[tokio::test]
async fn of_a_silent_server_it_is_measured_by_its_refusals() {
    let mock = silent("bucket:50/s+5").await;
    let client = builder(&mock).build().unwrap();
    let notices = client.notices();
    assert_eq!(burst(&client, 60).await, 0);
    assert!(mock.stats().throttled > 0);
    let rate = belief(&client, "default").await.rate.expect("a rate");
    assert_eq!(rate.basis, Basis::Measured);
    let told = heard(notices);
    assert_eq!(told[0].rate.map(|rate| rate.basis), Some(Basis::Sought), "met before it is known");
    assert_eq!(
        told.last().and_then(|belief| belief.rate).map(|rate| rate.basis),
        Some(Basis::Measured)
    );
}

#[tokio::test]
async fn switched_off_nothing_is_believed() {
    let mock = silent("bucket:50/s+5").await;
    let client = builder(&mock).pacing(Pacing::Off).build().unwrap();
    let notices = client.notices();
    assert_eq!(burst(&client, 30).await, 0);
    assert!(mock.stats().throttled > 0);
    assert_eq!(belief(&client, "default").await, Belief::default());
    assert_eq!(heard(notices), []);
}

#[tokio::test]
async fn a_fixed_rate_is_kept_and_not_changed_by_what_the_server_announces() {
    let mock = Mock::builder().limit("fixed:100/1s".parse().unwrap());
    let mock = mock.limit_headers(LimitHeaders::XDelta).start().await.unwrap();
    let limit = KnownLimit { requests: 25, per: SECOND, burst: Some(1) };
    let client = builder(&mock).pacing(Pacing::Fixed(limit)).build().unwrap();
    let start = Instant::now();
    assert_eq!(burst(&client, 16).await, 0);
    assert!(start.elapsed() >= 15 * SECOND / 25);
    let belief = belief(&client, "default").await;
    assert_eq!(belief.to_string(), "one request each 40ms (configured)");
}

#[tokio::test]
async fn a_fixed_quota_is_used_at_once_and_then_waited_for() {
    let mock = mock().await;
    let limit = KnownLimit { requests: 5, per: SECOND / 2, burst: None };
    let client = builder(&mock).pacing(Pacing::Fixed(limit)).build().unwrap();
    let start = Instant::now();
    assert_eq!(burst(&client, 11).await, 0);
    assert!(start.elapsed() >= SECOND, "the eleventh is of the third window");
    let belief = belief(&client, "default").await;
    assert_eq!(belief.to_string(), "5 requests per 500ms (configured)");
}

#[tokio::test]
async fn a_seed_is_believed_until_the_server_says_otherwise() {
    let mock = silent("bucket:20/s+1").await;
    let limit = KnownLimit { requests: 200, per: SECOND, burst: Some(1) };
    let client = builder(&mock).pacing(Pacing::Seeded(limit)).build().unwrap();
    assert_eq!(burst(&client, 1).await, 0);
    assert_eq!(belief(&client, "default").await.rate.expect("a rate").basis, Basis::Configured);
    assert_eq!(burst(&client, 30).await, 0);
    let rate = belief(&client, "default").await.rate.expect("a rate");
    assert!(rate.interval > Duration::from_millis(10), "ten times the truth: {rate:?}");
}

#[tokio::test]
async fn a_scope_has_a_pacing_and_a_limit_of_its_own() {
    let mock = mock().await;
    let limit = KnownLimit { requests: 1000, per: SECOND, burst: Some(8) };
    let client = builder(&mock)
        .pacing(Pacing::Off)
        .scope_pacing("slow", Pacing::Fixed(limit))
        .scope_limit("slow", 2);
    let client = client.build().unwrap();
    let slow = (0..6).map(|_| client.get("/api/v2.0/slow?ms=20").rate_scope("slow").send());
    futures_util::future::try_join_all(slow).await.unwrap();
    client.get(ECHO).send().await.unwrap();
    assert_eq!(mock.stats().max_in_flight, 2);
    let believed = belief(&client, "slow").await;
    assert_eq!(believed.rate.map(|rate| (rate.burst, rate.basis)), Some((8, Basis::Configured)));
    assert_eq!(belief(&client, "default").await, Belief::default());
}

#[tokio::test]
async fn a_limit_that_cannot_be_is_refused() {
    let mock = mock().await;
    let none = Pacing::Fixed(KnownLimit { requests: 0, per: SECOND, burst: None });
    let error = builder(&mock).pacing(none).build().unwrap_err();
    assert_eq!(error.field(), "pacing");
    let error = builder(&mock).scope_pacing("s", none).build().unwrap_err();
    assert_eq!(error.field(), "scopes.pacing");
}
