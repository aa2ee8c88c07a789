//! NICE's own platform: discovery, sign-in, and what its APIs answer.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cxone_mock::{
    DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET,
    Mock,
};
use serde_json::{Value, json};

use crate::{Session, header};

impl Session {
    /// Posts a grant to the platform's token endpoint; gives the status and the answer.
    async fn grant(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let encoded = |text: &str| text.replace('=', "%3D");
        let (id, secret) = (encoded(DEFAULT_CLIENT_ID), encoded(DEFAULT_CLIENT_SECRET));
        let request = self.http.post(self.mock.platform_token_url()).basic_auth(id, Some(secret));
        let answer = request.form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_sign_in_finds_token_endpoint_and_api() {
    let session = Session::start(Mock::builder()).await;
    let found = session.json("/.well-known/openid-configuration").await;
    assert_eq!(found["token_endpoint"], session.mock.platform_token_url());
    let key = [
        ("grant_type", "password"),
        ("username", DEFAULT_ACCESS_KEY_ID),
        ("password", DEFAULT_ACCESS_KEY_SECRET),
    ];
    let (status, granted) = session.grant(&key).await;
    assert_eq!((status, &granted["expires_in"]), (200, &json!(3600)));
    let token = granted["access_token"].as_str().unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let tenant = claims["tenantId"].as_str().unwrap();
    let path = format!("/.well-known/cxone-configuration?tenantId={tenant}");
    assert_eq!(session.json(&path).await["api_endpoint"], session.mock.url());
    assert_eq!(session.status("/.well-known/cxone-configuration?tenantId=x").await, 404);
    assert_eq!(session.mock.stats().discoveries, 3);

    let agents = "/incontactapi/services/v34.0/agents?top=2";
    let answer = session.http.get(format!("{}{agents}", session.mock.url())).bearer_auth(token);
    let answer: Value = answer.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["agents"].as_array().unwrap().len(), 2);
    let refresh = granted["refresh_token"].as_str().unwrap();
    let again = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(session.grant(&again).await.0, 200);
}

#[tokio::test]
async fn what_the_platform_does_not_grant_is_refused_as_oauth_has_it() {
    let session = Session::start(Mock::builder().refresh_lifetime(Duration::ZERO)).await;
    let key = [("grant_type", "password"), ("username", DEFAULT_ACCESS_KEY_ID)];
    let with = |secret| [key[0], key[1], ("password", secret)];
    let (_, granted) = session.grant(&with(DEFAULT_ACCESS_KEY_SECRET)).await;
    let dead = granted["refresh_token"].as_str().unwrap();
    for (form, error) in [
        (&with("wrong")[..], "invalid_grant"),
        (&key, "invalid_request"),
        (&[("grant_type", "client_credentials")], "unsupported_grant_type"),
        (&[("grant_type", "refresh_token"), ("refresh_token", dead)], "invalid_grant"),
        (&[("grant_type", "refresh_token")], "invalid_request"),
    ] {
        let (status, answer) = session.grant(form).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{form:?}");
    }
    // The gateway's endpoint knows no access keys.
    let form = [
        &with(DEFAULT_ACCESS_KEY_SECRET)[..],
        &[("client_id", DEFAULT_CLIENT_ID), ("client_secret", DEFAULT_CLIENT_SECRET)],
    ]
    .concat();
    let answer = session.http.post(session.mock.token_url()).form(&form).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_file_lives_shortly_needs_no_token_and_comes_in_parts() {
    let builder = Mock::builder().result_size(1000).result_lifetime(Duration::from_millis(300));
    let session = Session::start(builder).await;
    let found = session.json("/media-playback/v1/contacts?acd-call-id=1").await;
    let address = found["interactions"][0]["data"]["fileToPlayUrl"].as_str().unwrap();
    let get = || session.http.get(address);
    let whole = get().send().await.unwrap();
    assert_eq!((whole.status().as_u16(), whole.content_length()), (200, Some(1000)));
    let etag = header(&whole, "etag").to_owned();
    let part = get().header("range", "bytes=990-").header("if-range", &etag).send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), header(&part, "content-range")),
        (206, "bytes 990-999/1000")
    );
    assert_eq!(part.bytes().await.unwrap().len(), 10);
    let other =
        get().header("range", "bytes=990-").header("if-range", "\"v0\"").send().await.unwrap();
    assert_eq!(other.status().as_u16(), 200);
    assert_eq!(get().bearer_auth("t").send().await.unwrap().status().as_u16(), 400);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(get().send().await.unwrap().status().as_u16(), 403);
}

#[tokio::test]
async fn times_need_a_literal_z_and_the_end_is_a_204() {
    let session = Session::start(Mock::builder().interactions(5)).await;
    let contacts = "/incontactapi/services/v34.0/contacts/completed?updatedSince=";
    let last =
        session.json(&format!("{contacts}2019-01-01T00:00:00Z")).await["lastPollTime"].clone();
    let last = last.as_str().unwrap();
    assert_eq!(session.status(&format!("{contacts}{last}")).await, 204);
    assert_eq!(session.status(&format!("{contacts}2019-01-01")).await, 400);
    let summary = "/inContactAPI/services/v34.0/skills/summary";
    assert_eq!(session.status(&format!("{summary}?startDate=2019-01-01")).await, 400);
    let year = format!("{summary}?startDate=2018-01-01T00:00:00Z&endDate=2019-01-01T00:00:00Z");
    assert_eq!(session.status(&year).await, 204);
}
