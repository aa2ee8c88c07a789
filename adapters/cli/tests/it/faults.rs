//! Everything at once.

use cxone_mock::{Fault, Mock, Rule, Script};
use serde_json::json;

use crate::{Dir, all_ids, start};

#[tokio::test]
async fn x30_20_000_interactions_arrive_whole_through_every_kind_of_fault() {
    let html = "<html><h1>429 Too Many Requests</h1></html>";
    let script = Script::new()
        .rule(Rule::api(Fault::status(429).retry_after(1).body(html)).nth(5))
        .rule(Rule::api(Fault::unauthorized()).nth(12))
        .rule(Rule::api(Fault::status(429)).nth(20))
        .rule(Rule::api(Fault::status(503).retry_after(1)).nth(33))
        .rule(Rule::api(Fault::reset()).nth(47))
        .rule(Rule::api(Fault::truncate(1000)).nth(61))
        .rule(Rule::api(Fault::status(429).body(html)).nth(78));
    let mock = start(Mock::builder().interactions(20_000).script(script)).await;
    let dir = Dir::new("x30_faults");
    let report = dir.run(&mock, &["--json", "--page-size", "200"]).await.expect_success().json();

    assert_eq!(dir.ids("interactions.ndjson"), all_ids(20_000));
    assert_eq!((&report["interactions"], &report["unique"]), (&json!(20_000), &json!(20_000)));
    assert_eq!((&report["throttled"], &report["token_fetches"]), (&json!(4), &json!(2)));
    let stats = mock.stats();
    assert_eq!(report["requests"], json!(stats.api_requests));
    assert_eq!((stats.faults, stats.early), (7, 0));
}
