use cxone_mock::{Fault, Mock, PageFault, Rule, Script, interaction, interaction_id};
use serde_json::{Value, json};

use crate::Session;

const PATH: &str = "/api/v2.0/interactions";

#[tokio::test]
async fn following_the_cursor_gives_each_interaction_once() {
    let session = Session::start(Mock::builder().interactions(2_345)).await;
    let mut path = format!("{PATH}?page_size=500");
    let mut ids = Vec::new();
    loop {
        let page = session.json(&path).await;
        let entities = page["entities"].as_array().unwrap();
        ids.extend(entities.iter().map(|entity| entity["id"].as_str().unwrap().to_owned()));
        match page["next_page_token"].as_str() {
            Some(cursor) => path = format!("{PATH}?page_size=500&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..2_345).map(interaction_id).collect();
    assert_eq!(ids, expected);
    let stats = session.mock.stats();
    assert_eq!((stats.unique, stats.duplicates, stats.api_requests), (2_345, 0, 5));
}

#[tokio::test]
async fn a_page_has_a_hundred_unless_told_otherwise_and_knows_its_limits() {
    let session = Session::start(Mock::builder().interactions(150)).await;
    let page = session.json(PATH).await;
    assert_eq!(page["entities"].as_array().unwrap().len(), 100);
    assert_eq!(page["entities"][7], json!(interaction(7)));
    for query in ["page_size=0", "page_size=1001", "page_size=ten", "cursor=nonsense"] {
        assert_eq!(session.status(&format!("{PATH}?{query}")).await, 400, "{query}");
    }
    let empty = Session::start(Mock::builder().interactions(0)).await;
    assert_eq!(empty.json(PATH).await, json!({"entities": [], "next_page_token": null}));
}

#[tokio::test]
async fn what_is_served_again_is_counted_as_a_duplicate_and_what_broke_off_not_at_all() {
    let session = Session::start(Mock::builder()).await;
    session.mock.script(Rule::on(PATH, Fault::truncate(50)));
    assert!(session.get(PATH).await.bytes().await.is_err());
    assert_eq!(session.mock.stats().unique, 0);
    for _ in 0..2 {
        session.get(PATH).await.bytes().await.unwrap();
    }
    let stats = session.mock.stats();
    assert_eq!((stats.unique, stats.duplicates), (100, 100));
}

#[tokio::test]
async fn a_page_fails_in_each_way() {
    let second = async |fault| {
        let session = Session::start(Mock::builder().page_fault(2, fault)).await;
        let first = session.json(PATH).await;
        let cursor = first["next_page_token"].as_str().unwrap().to_owned();
        let answer = session.get(&format!("{PATH}?cursor={cursor}")).await;
        (cursor, answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (cursor, _, body) = second(PageFault::Loop).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["next_page_token"], cursor);
    let (_, status, body) = second(PageFault::Empty).await;
    assert_eq!((status, body.as_str()), (200, ""));
    let (_, status, body) = second(PageFault::NoContent).await;
    assert_eq!((status, body.as_str()), (204, ""));
    let (_, status, body) = second(PageFault::Malformed).await;
    assert!(status == 200 && serde_json::from_str::<Value>(&body).is_err());
    let (_, _, body) = second(PageFault::MissingEntities).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(body.get("entities").is_none() && body["next_page_token"].is_string());
}

#[tokio::test]
async fn clearing_the_script_mends_the_pages() {
    let session = Session::start(Mock::builder().page_fault(1, PageFault::NoContent)).await;
    assert_eq!(session.status(PATH).await, 204);
    session.mock.script(Script::new().clear());
    assert_eq!(session.status(PATH).await, 200);
}
