//! Pages, and what becomes of a run that cannot go on.

mod common;

use std::error::Error as _;
use std::time::Duration;

use common::{builder, client, mock};
use cxone_client::{ErrorKind, PageError, PageState, Paginate, Priority};
use cxone_mock::{Fault, Interaction, Mock, PageFault, Rule, Script, interaction, interaction_id};
use futures_util::{StreamExt, TryStreamExt};

async fn ids(items: Paginate<Interaction>) -> Vec<String> {
    items.map_ok(|item| item.id).try_collect().await.unwrap()
}

#[tokio::test]
async fn t23_all_interactions_come_once_and_in_order() {
    let mock = Mock::builder().interactions(250).start().await.unwrap();
    let items: Vec<Interaction> = client(&mock).interactions().try_collect().await.unwrap();
    assert_eq!(items, (0..250).map(interaction).collect::<Vec<_>>());
    let log = mock.log();
    assert_eq!(log[1].path, "/api/v2.0/interactions");
    assert_eq!(log[1].query.as_deref(), Some("page_size=100"));
    assert!(log[2].query.as_deref().unwrap().contains("cursor="));
    assert_eq!(mock.stats().api_requests, 3);
}

#[tokio::test]
async fn t23_pages_tell_number_total_and_state() {
    let mock = Mock::builder().interactions(25).start().await.unwrap();
    let client = client(&mock);
    let pages = client.paginate::<Interaction>("/api/v2.0/interactions").page_size(10);
    let pages = pages.query(&[("mediaType", "voice")]).priority(Priority::Low).pages();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    let seen: Vec<_> = pages.iter().map(|it| (it.number, it.items.len(), it.total)).collect();
    assert_eq!(seen, [(1, 10, 10), (2, 10, 20), (3, 5, 25)]);
    assert!(pages[2].state.done && !pages[1].state.done);
    assert!(mock.log()[1].query.as_deref().unwrap().contains("mediaType=voice"));
}

#[tokio::test]
async fn x30_faults_on_the_way_lose_nothing_and_repeat_nothing() {
    let limit = "fixed:80/1s".parse().unwrap();
    let mock = Mock::builder().interactions(20_000).limit(limit).start().await.unwrap();
    let script = Script::new()
        .rule(Rule::api(Fault::unauthorized()).nth(3))
        .rule(Rule::api(Fault::status(503).retry_after(1)).nth(29))
        .rule(Rule::api(Fault::reset()).nth(54))
        .rule(Rule::api(Fault::truncate(100)).nth(79))
        .rule(Rule::api(Fault::status(429).body("<html>")).nth(103))
        .rule(Rule::api(Fault::status(429)).nth(157));
    mock.script(script);
    let client = client(&mock);
    let found = ids(client.interactions()).await;
    assert_eq!(found, (0..20_000).map(interaction_id).collect::<Vec<_>>());
    assert_eq!(mock.stats().early, 0);
    assert_eq!(mock.stats().token_fetches, 2);
}

#[tokio::test]
async fn x30_a_failed_run_resumes_at_its_checkpoint() {
    let mock = Mock::builder().interactions(100).start().await.unwrap();
    mock.script(Rule::api(Fault::status(500)).nth(4));
    let client = client(&mock);
    let mut items = client.interactions::<Interaction>().page_size(10);
    let mut found = Vec::new();
    let error = loop {
        match items.next().await.expect("an error comes first") {
            Ok(item) => found.push(item.id),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "Server Error: 500 Internal Server Error");
    assert!(items.next().await.is_none(), "nothing is fetched after an error");
    assert_eq!(mock.stats().api_requests, 4);

    let stored = serde_json::to_string(items.state()).unwrap();
    let state: PageState = serde_json::from_str(&stored).unwrap();
    found.extend(ids(client.interactions().page_size(10).resume(state)).await);
    assert_eq!(found, (0..100).map(interaction_id).collect::<Vec<_>>());
    assert_eq!(mock.stats().duplicates, 0);
}

#[tokio::test]
async fn x30_the_state_within_a_page_is_before_it() {
    let mock = Mock::builder().interactions(30).start().await.unwrap();
    let client = client(&mock);
    let mut items = client.interactions::<Interaction>().page_size(10);
    for _ in 0..15 {
        items.next().await.unwrap().unwrap();
    }
    let rest = ids(client.interactions().page_size(10).resume(items.state().clone())).await;
    assert_eq!(rest[0], interaction_id(10));
    assert_eq!(rest.len(), 20);
}

#[tokio::test]
async fn x30_a_page_that_cannot_be_used_never_looks_like_the_end() {
    for (fault, number, text) in [
        (PageFault::Loop, 2, "repeats a cursor"),
        (PageFault::Empty, 2, "no body"),
        (PageFault::NoContent, 2, "status 204 and no body"),
        (PageFault::Malformed, 2, "not a JSON object"),
        (PageFault::MissingEntities, 2, "no array in `entities`"),
    ] {
        let mock = Mock::builder().interactions(50).page_fault(2, fault).start().await.unwrap();
        let client = client(&mock);
        let mut pages = client.interactions::<Interaction>().page_size(10).pages();
        let mut seen = 0;
        let error = loop {
            match pages.next().await.expect("an error comes first") {
                Ok(page) => seen = page.number,
                Err(error) => break error,
            }
        };
        assert_eq!(*error.kind(), ErrorKind::Page, "{fault:?}: {error:?}");
        assert!(error.to_string().starts_with("Pagination Error: "), "{error}");
        assert!(error.to_string().contains(text), "{fault:?}: {error}");
        assert!(error.source().unwrap().is::<PageError>());
        assert!(seen >= number - 1, "{fault:?}");
        let sent = mock.stats().api_requests;
        assert!(pages.next().await.is_none());
        assert_eq!(mock.stats().api_requests, sent);
        assert!(!pages.state().done);
    }
}

#[tokio::test]
async fn x30_an_item_of_another_shape_is_a_decode_error() {
    let mock = mock().await;
    let mut items = client(&mock).interactions::<u8>();
    let error = items.next().await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Decode);
    assert!(items.next().await.is_none());
    assert_eq!(items.state(), &PageState::default());
}

#[tokio::test]
async fn nothing_is_fetched_before_it_is_asked_for() {
    let mock = Mock::builder().interactions(50).start().await.unwrap();
    let client = builder(&mock).build().unwrap();
    let mut items = client.interactions::<Interaction>().page_size(10);
    assert_eq!(mock.stats().requests, 0);
    items.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(mock.stats().api_requests, 1);
}
