//! NICE's own platform: sign-in, discovery, and every way in which its APIs page.

mod common;

use std::error::Error as _;
use std::time::{Duration, Instant};

use common::{fast, until};
use cxone_client::{Client, ClientBuilder, ErrorKind, PageState, PageStyle, Wall};
use cxone_mock::{
    DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET,
    Fault, Mock, Rule, Script, interaction_id,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

const AGENTS: &str = "/incontactapi/services/v34.0/agents";

fn builder(mock: &Mock) -> ClientBuilder {
    Client::builder()
        .issuer(mock.url())
        .client_credentials(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
        .access_key(DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET)
        .backoff(fast())
        .seed(7)
}

fn client(mock: &Mock) -> Client {
    builder(mock).build().unwrap()
}

/// What signing in asked for, in order.
fn sign_ins(mock: &Mock) -> Vec<String> {
    let log = mock.log().into_iter().map(|entry| entry.path);
    let names = log.filter(|path| path.starts_with("/auth") || path.starts_with("/.well-known"));
    names.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_access_key_signs_in_and_all_else_is_discovered_once() {
    let mock = Mock::builder().interactions(3).start().await.unwrap();
    let client = client(&mock);
    let calls = (0..20).map(|_| tokio::spawn(client.get(AGENTS).send()));
    for call in calls.collect::<Vec<_>>() {
        let response = call.await.unwrap().unwrap();
        let agents: Value = response.json().unwrap();
        assert_eq!(agents["agents"].as_array().unwrap().len(), 3);
        assert_eq!(response.url().origin().ascii_serialization(), mock.url());
    }
    assert_eq!(sign_ins(&mock), ["openid-configuration", "token", "cxone-configuration"]);
    let form = mock.log().into_iter().find(|entry| entry.path == "/auth/token").unwrap();
    assert_eq!(form.client.as_deref(), Some(DEFAULT_CLIENT_ID));
    let scopes: Vec<String> =
        client.stats().await.scopes.into_iter().map(|scope| scope.name).collect();
    assert!(scopes.contains(&"agent-events".to_owned()), "{scopes:?}");
}

#[tokio::test]
async fn the_apis_may_be_on_another_host_than_the_issuer() {
    let api = Mock::builder().interactions(3).start().await.unwrap();
    let issuer = Mock::builder().api_endpoint(api.url()).start().await.unwrap();
    let client = client(&issuer);
    // The API's own mock does not know the token: what counts is where the request went.
    let error = client.get(AGENTS).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Auth);
    assert_eq!(api.stats().api_requests, 2);
    assert_eq!(issuer.stats().api_requests, 0);
    // Once it is found, an absolute URL of that host gets the token too, and others none.
    let error = client.get(format!("{}{AGENTS}", api.url())).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Auth);
    let error = client.get(format!("{}{AGENTS}", issuer.url())).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Request);
}

#[tokio::test]
async fn what_was_addressed_before_the_discovery_leads_where_that_says() {
    let api = Mock::builder().start().await.unwrap();
    let issuer = Mock::builder().api_endpoint(format!("{}/gw", api.url())).start().await.unwrap();
    // An absolute URL waits, and is judged then.
    let client = self::client(&issuer);
    let error = client.get(format!("{}{AGENTS}", issuer.url())).send().await.unwrap_err();
    assert!(error.source().is_some_and(|it| it.to_string().contains("auth(false)")), "{error:?}");
    assert_eq!(issuer.stats().api_requests, 0);
    let client = self::client(&issuer);
    client.get(format!("{}{AGENTS}", api.url())).send().await.unwrap_err();
    assert!(api.log().iter().all(|it| it.path == AGENTS) && !api.log().is_empty());
    // A link has the path of the APIs already.
    let state = PageState {
        cursor: Some(format!("/gw{AGENTS}?skip=2")),
        pages: 1,
        partial: true,
        ..PageState::default()
    };
    let client = self::client(&issuer);
    let pages = client.paginate::<Value>(AGENTS).style(PageStyle::links("agents")).resume(state);
    pages.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(api.log().last().unwrap().path, format!("/gw{AGENTS}"));
}

#[tokio::test]
async fn a_refresh_token_serves_until_it_is_refused_then_the_access_key_again() {
    let mock = Mock::builder().interactions(3).start().await.unwrap();
    let client = client(&mock);
    client.get(AGENTS).send().await.unwrap();
    mock.revoke_tokens();
    client.get(AGENTS).send().await.unwrap();
    let asked = ["openid-configuration", "token", "cxone-configuration", "token"];
    assert_eq!(sign_ins(&mock), asked, "one request more");
    assert_eq!(mock.stats().token_refused, 0);

    let mock = Mock::builder().refresh_lifetime(Duration::ZERO).start().await.unwrap();
    let client = self::client(&mock);
    client.get(AGENTS).send().await.unwrap();
    mock.revoke_tokens();
    client.get(AGENTS).send().await.unwrap();
    assert_eq!(sign_ins(&mock).len(), 5, "the refresh token, then the access key");
    assert_eq!(mock.stats().token_refused, 1);
}

#[tokio::test]
async fn a_blip_anywhere_in_a_sign_in_fails_nobody_and_forgets_nothing() {
    let mock = Mock::builder().interactions(3).start().await.unwrap();
    for (path, fault) in [
        ("/.well-known/openid", Fault::status(503)),
        ("/auth/token", Fault::status(429).retry_after(1)),
        ("/.well-known/cxone", Fault::reset()),
    ] {
        mock.script(Rule::on(path, fault));
    }
    let start = Instant::now();
    client(&mock).get(AGENTS).send().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    let asked = sign_ins(&mock);
    assert_eq!(asked.iter().filter(|it| *it == "openid-configuration").count(), 2, "{asked:?}");
    assert_eq!(mock.stats().early, 0);
}

#[tokio::test]
async fn what_cannot_be_discovered_is_fatal_and_says_what() {
    for (path, body) in [
        ("/.well-known/openid", r#"{"issuer":"x"}"#),
        ("/.well-known/cxone", r#"{"api_endpoint":"ftp://x"}"#),
        ("/.well-known/cxone", "<html>"),
    ] {
        let mock = Mock::builder().start().await.unwrap();
        mock.script(Rule::on(path, Fault::status(200).body(body)).forever());
        let client = client(&mock);
        let error = client.get(AGENTS).send().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TokenFetch);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("configuration"), "{cause}");
        // It is not asked for again by each request.
        client.get(AGENTS).send().await.unwrap_err();
        let count = |it: &&String| **it == "openid-configuration";
        assert_eq!(sign_ins(&mock).iter().filter(count).count(), 1);
    }
}

#[tokio::test]
async fn x17_no_secret_is_shown_whatever_is_refused() {
    let mock = Mock::builder().start().await.unwrap();
    let said = format!(
        "{{\"error\":\"invalid_grant\",\"error_description\":\"{DEFAULT_ACCESS_KEY_SECRET}\"}}"
    );
    mock.script(Rule::on("/auth/token", Fault::status(400).body(said)).forever());
    let builder = builder(&mock);
    let mut shown = format!("{builder:?}");
    let client = builder.build().unwrap();
    let error = client.get(AGENTS).send().await.unwrap_err();
    shown += &format!("{client:?} {error} {error:?}");
    assert_eq!(error.to_string(), "OAuth Token Fetch Failed: 400 Bad Request");
    assert!(!shown.contains("secret="), "{shown}");
}

#[tokio::test]
async fn any_oauth_server_can_be_discovered_for_client_credentials() {
    let mock = Mock::builder().interactions(3).start().await.unwrap();
    let found = json!({ "token_endpoint": mock.token_url() }).to_string();
    mock.script(Rule::on("/.well-known/openid", Fault::status(200).body(found)));
    let client = Client::builder()
        .base_url(mock.url())
        .issuer(mock.url())
        .client_credentials(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
        .build()
        .unwrap();
    client.get(AGENTS).send().await.unwrap();
    client.get(AGENTS).send().await.unwrap();
    assert_eq!((mock.stats().discoveries, mock.stats().token_fetches), (1, 1));
}

#[tokio::test]
async fn a_setting_that_is_missing_is_named() {
    let complete = || {
        Client::builder()
            .client_credentials("id", "secret")
            .access_key("key", "s")
            .issuer("https://i.example")
    };
    assert!(complete().build().is_ok());
    for (builder, field) in [
        (Client::builder().access_key("key", "s"), "client_credentials"),
        (complete().access_key("key", ""), "access_key"),
        (complete().access_key("", "s"), "access_key"),
        (complete().issuer("cxone.niceincontact.com"), "issuer"),
        (Client::builder().client_credentials("i", "s").issuer("https://i.example"), "base_url"),
    ] {
        assert_eq!(builder.build().unwrap_err().field(), field);
    }
}

#[tokio::test]
async fn calls_of_data_extraction_keep_their_distance_and_hold_up_nothing_else() {
    let mock = Mock::builder().interactions(3).start().await.unwrap();
    let client = client(&mock);
    let jobs = "/data-extraction/v1/jobs";
    client.get(jobs).send().await.unwrap();
    let second = client.get(jobs).deadline(Duration::from_secs(1)).send();
    let (second, other) = tokio::join!(second, client.get(AGENTS).send());
    other.unwrap();
    assert_eq!(*second.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(mock.log().iter().filter(|entry| entry.path == jobs).count(), 1);
}

/// 2020-01-01, the mock's first day.
const FIRST_DAY: Wall = Wall::from_millis(1_577_836_800_000);
/// What was updated then is not before it.
const BEFORE: Wall = Wall::from_millis(FIRST_DAY.as_millis() - 1000);
const TEN_DAYS: u64 = 10 * 24 * 3_600_000;

fn styles() -> Vec<(&'static str, PageStyle)> {
    let until = Wall::from_millis(FIRST_DAY.as_millis() + TEN_DAYS);
    vec![
        ("/api/v2.0/interactions", PageStyle::cursor()),
        (AGENTS, PageStyle::links("agents")),
        ("/incontactapi/services/v34.0/contacts/completed", PageStyle::updated_since(BEFORE)),
        (
            "/incontactapi/services/v34.0/skills/summary",
            PageStyle::windows("skillSummaries", FIRST_DAY, until),
        ),
        ("/dfo/3.0/contacts", PageStyle::scroll()),
        ("/interaction-analytics-gateway/v2/segments/analyzed", PageStyle::segments()),
        ("/user-management/v1/users/search", PageStyle::search("users")),
    ]
}

fn ids(items: Vec<Value>) -> Vec<String> {
    items.into_iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn all(n: usize) -> Vec<String> {
    (0..n).map(interaction_id).collect()
}

#[tokio::test]
async fn each_style_brings_each_record_once() {
    for n in [0, 1, 700] {
        for (path, style) in styles() {
            let mock = Mock::builder().interactions(n).poll_size(100).start().await.unwrap();
            let items = client(&mock).paginate::<Value>(path).style(style.clone());
            let items: Vec<Value> =
                items.try_collect().await.unwrap_or_else(|it| panic!("{path}: {it}"));
            assert_eq!(ids(items), all(n), "{path}");
        }
    }
}

#[tokio::test]
async fn each_style_goes_on_through_throttles_dead_tokens_resets_and_kills() {
    for (path, style) in styles() {
        let limit = "fixed:20/200ms".parse().unwrap();
        let mock = Mock::builder().interactions(700).poll_size(50).limit(limit);
        let mock = mock.retry_after(cxone_mock::RetryAfter::Ms).start().await.unwrap();
        mock.script(
            Script::new()
                .rule(Rule::api(Fault::unauthorized()).nth(2))
                .rule(Rule::api(Fault::reset()).nth(4))
                .rule(Rule::api(Fault::truncate(100)).nth(5))
                .rule(Rule::api(Fault::status(429).body("<html>")).nth(6)),
        );
        let mut state = PageState::default();
        let mut found = Vec::new();
        // Each run ends after two pages: the process is gone, and its state is on disk.
        while !state.done {
            let client = client(&mock);
            let style = style.clone();
            let mut pages = client.paginate::<Value>(path).style(style).resume(state).pages();
            state = PageState::default();
            for _ in 0..2 {
                if let Some(page) =
                    pages.try_next().await.unwrap_or_else(|it| panic!("{path}: {it}"))
                {
                    found.extend(ids(page.items));
                    let text = serde_json::to_string(&page.state).unwrap();
                    state = serde_json::from_str(&text).unwrap();
                }
            }
        }
        assert_eq!(found, all(700), "{path}");
        assert_eq!(mock.stats().early, 0, "{path}");
    }
}

/// A small generator (xorshift64), for scripts that can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What may go wrong with one request.
fn trouble(chance: &mut Chance) -> Fault {
    match chance.below(8) {
        0 => Fault::unauthorized(),
        1 => Fault::reset(),
        2 => Fault::close(),
        3 => Fault::truncate(chance.below(400) as usize),
        4 => Fault::status(429),
        5 => Fault::status(503).header("retry-after-ms", "30"),
        6 => Fault::status(502).body("<html>"),
        _ => Fault::slow(Duration::from_millis(chance.below(20))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_on_the_way_each_style_ends_with_the_servers_set() {
    for seed in 1..=3_u64 {
        let runs = styles().into_iter();
        let runs = runs.map(|(path, style)| tokio::spawn(troubled_run(seed, path, style)));
        for run in runs.collect::<Vec<_>>() {
            run.await.unwrap();
        }
    }
}

async fn troubled_run(seed: u64, path: &'static str, style: PageStyle) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Records are added behind the others during the run; where they are asked for by
    // windows, those within them.
    let (start, end) = (100 + chance.below(300), 400 + chance.below(300));
    let poll = 4 + chance.below(60) as usize;
    let mock = Mock::builder().interactions(start as usize).poll_size(poll);
    let mock = mock.start().await.unwrap();
    let faults: Vec<Fault> = (0..6).map(|_| trouble(&mut chance)).collect();
    for fault in faults {
        mock.script(Rule::api(fault).nth(1 + chance.below(20)));
    }
    let style = match style.name() {
        "cursor" | "links" | "segments" | "search" => style.page_size(5 + chance.below(60) as u32),
        _ => style,
    };
    let (grows_at, mut grew) = (chance.below(4), false);
    let (mut state, mut found, mut runs) = (PageState::default(), Vec::new(), 0);
    while !state.done {
        let client = client(&mock);
        let pages = client.paginate::<Value>(path).style(style.clone()).resume(state.clone());
        let mut pages = pages.pages();
        let dies_after = chance.below(4);
        for n in 0.. {
            if runs == grows_at {
                mock.set_interactions(end as usize);
                grew = true;
            }
            // Killed: before a page, or with one that came and was not kept.
            if n == dies_after {
                if chance.below(2) == 0 {
                    let _ = pages.try_next().await;
                }
                break;
            }
            match pages.try_next().await {
                Ok(Some(page)) => {
                    found.extend(ids(page.items));
                    state = page.state;
                }
                Ok(None) => break,
                Err(error) => panic!("seed {seed} {path}: {error}"),
            }
        }
        runs += 1;
        assert!(runs < 10_000, "seed {seed} {path}: it does not end");
    }
    let n = if grew { end } else { start } as usize;
    if style.name() == "windows" {
        // What was added into windows that had been read is not seen, as with any clock.
        assert!(found.len() >= start as usize && found == all(found.len()), "seed {seed}");
    } else {
        let wrong = found.iter().zip(all(n)).position(|(found, due)| *found != due);
        assert_eq!((found.len(), wrong), (n, None), "seed {seed} {path}: {found:?}");
    }
}

#[tokio::test]
async fn a_search_sends_its_filters_in_the_body_and_is_repeated_after_a_reset() {
    let mock = Mock::builder().interactions(60).start().await.unwrap();
    mock.script(Rule::on("/user-management", Fault::reset()).nth(2));
    let client = client(&mock);
    let items = client.paginate::<Value>("/user-management/v1/users/search");
    let items = items.style(PageStyle::search("users")).json(&json!({ "filter": "x" }));
    let items: Vec<Value> = items.try_collect().await.unwrap();
    assert_eq!(ids(items), all(60));
    let items = client.paginate::<Value>("/x").style(PageStyle::search("users")).json(&[1]);
    let error = items.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Request);
}

#[tokio::test]
async fn x31_a_link_to_another_origin_does_not_get_the_token() {
    let (mock, other) =
        (Mock::builder().start().await.unwrap(), Mock::builder().start().await.unwrap());
    let page = json!({
        "agents": [{ "id": 1 }],
        "totalRecords": 2,
        "_links": { "next": format!("{}/agents?skip=1", other.url()) },
    });
    mock.script(Rule::api(Fault::status(200).body(page.to_string())));
    let items = client(&mock).paginate::<Value>(AGENTS).style(PageStyle::links("agents"));
    let error = items.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Page);
    assert!(error.to_string().contains("another origin"), "{error}");
    assert_eq!(other.stats().requests, 0);
}

#[tokio::test]
async fn a_link_is_followed_by_another_client_before_it_has_signed_in() {
    let mock = Mock::builder().interactions(120).start().await.unwrap();
    let run = |state: PageState| {
        let style = PageStyle::links("agents").page_size(50);
        client(&mock).paginate::<Value>(AGENTS).style(style).resume(state).pages()
    };
    let first = run(PageState::default()).try_next().await.unwrap().unwrap();
    assert!(first.state.cursor.as_ref().unwrap().starts_with(AGENTS));
    let rest: Vec<_> = run(first.state).try_collect().await.unwrap();
    let rest = rest.into_iter().flat_map(|page| ids(page.items));
    assert_eq!(ids(first.items).into_iter().chain(rest).collect::<Vec<_>>(), all(120));
}

#[tokio::test]
async fn what_came_after_the_end_is_had_by_a_reopened_run() {
    let path = "/incontactapi/services/v34.0/contacts/completed";
    let style = PageStyle::updated_since(BEFORE);
    let run = async |mock: &Mock, state: PageState| {
        let mut pages =
            client(mock).paginate::<Value>(path).style(style.clone()).resume(state).pages();
        let mut found = Vec::new();
        while let Some(page) = pages.try_next().await.unwrap() {
            found.extend(ids(page.items));
        }
        (found, pages.state())
    };
    let before = Mock::builder().interactions(100).start().await.unwrap();
    let (mut found, state) = run(&before, PageState::default()).await;
    assert_eq!(found, all(100));
    // The same server a day later: twenty more, one of them at a time that was read.
    let after = Mock::builder().interactions(120).start().await.unwrap();
    let (more, state) = run(&after, state.reopen()).await;
    found.extend(more);
    assert_eq!(found, all(120));
    assert!(run(&after, state.reopen()).await.0.is_empty());
}

#[tokio::test]
async fn a_refusal_of_one_family_leaves_the_others_alone() {
    let mock = Mock::builder().interactions(3).start().await.unwrap();
    mock.script(Rule::on("/media-playback", Fault::status(429).retry_after(30)));
    let client = client(&mock);
    let refused = tokio::spawn(client.get("/media-playback/v1/contacts").send());
    until("it was refused", async || mock.stats().throttled == 1).await;
    let start = Instant::now();
    client.get(AGENTS).send().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    refused.abort();
}
