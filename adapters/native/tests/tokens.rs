//! Signing in.

mod common;

use std::error::Error as _;
use std::time::{Duration, Instant, SystemTime};

use common::{ECHO, builder, burst, client, mock};
use cxone_client::{Client, ClientAuth, ErrorKind, TokenError};
use cxone_mock::{ExpiresIn, Fault, Mock, Rule, Script};

#[tokio::test]
async fn t1_t5_t8_client_credentials_are_exchanged_under_the_base_url() {
    let mock = mock().await;
    let client = client(&mock);
    let echo: serde_json::Value = client.get(ECHO).send().await.unwrap().json().unwrap();
    assert_eq!(echo["headers"]["authorization"], "[redacted]");
    let log = mock.log();
    assert_eq!((log[0].method.as_str(), log[0].path.as_str()), ("POST", "/oauth2/token"));
    assert_eq!(log[1].client.as_deref(), Some("mock-client"));
}

#[tokio::test]
async fn t5_the_token_url_can_be_elsewhere() {
    let (tokens, api) = (mock().await, mock().await);
    let client = builder(&api).token_url(tokens.token_url()).build().unwrap();
    // The API's own mock does not know the token: what counts is where it was fetched.
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(error.to_string(), "Auth/Permission Error: 401 Unauthorized");
    assert_eq!(tokens.stats().token_fetches, 2);
    assert_eq!(api.stats().token_requests, 0);
}

#[tokio::test]
async fn t2_x19_a_token_is_cached_also_without_expires_in() {
    for form in [ExpiresIn::Absent, ExpiresIn::Text, ExpiresIn::Alias("expiresIn".into())] {
        let mock = Mock::builder().expires_in(form).start().await.unwrap();
        let client = client(&mock);
        for _ in 0..5 {
            client.get(ECHO).send().await.unwrap();
        }
        assert_eq!(mock.stats().token_fetches, 1);
    }
}

#[tokio::test]
async fn t4_a_refused_fetch_says_so_and_is_not_repeated() {
    let mock = mock().await;
    let body = r#"{"error":"invalid_client","error_description":"who?"}"#;
    mock.script(Rule::token(Fault::status(401).body(body)).forever());
    let client = client(&mock);
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(error.to_string(), "OAuth Token Fetch Failed: 401 Unauthorized");
    assert_eq!(*error.kind(), ErrorKind::TokenFetch);
    assert_eq!(error.status().unwrap(), 401);
    let said = error.source().unwrap().downcast_ref::<TokenError>().unwrap();
    assert_eq!((said.code(), said.description()), (Some("invalid_client"), Some("who?")));

    let again = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert!(again.retry_at().unwrap() > SystemTime::now() + Duration::from_secs(20));
    assert_eq!(mock.stats().token_requests, 1);
}

#[tokio::test]
async fn t4_a_network_error_of_the_token_endpoint_keeps_its_cause() {
    let mock = mock().await;
    let client = builder(&mock).token_url("http://127.0.0.1:1/oauth2/token").build().unwrap();
    let start = Instant::now();
    let send = client.get(ECHO).deadline(Duration::from_millis(300)).send();
    let error = send.await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(*error.kind(), ErrorKind::TokenFetch, "{error:?}");
    let cause = error.source().unwrap().downcast_ref::<reqwest::Error>().unwrap();
    assert!(cause.is_connect());
    assert_eq!(mock.stats().requests, 0);
}

#[tokio::test]
async fn x16_the_secret_also_travels_as_basic() {
    let mock = mock().await;
    let client = builder(&mock).client_auth(ClientAuth::Basic).build().unwrap();
    client.get(ECHO).send().await.unwrap();
    assert_eq!(mock.stats().token_fetches, 1);
}

#[tokio::test]
async fn x18_two_hundred_cold_requests_fetch_one_token() {
    let mock = mock().await;
    assert_eq!(burst(&client(&mock), 200).await, 0);
    assert_eq!(mock.stats().token_requests, 1);
}

#[tokio::test]
async fn t26_x21_a_token_revoked_midway_fails_nobody() {
    let mock = mock().await;
    mock.script(Script::new().revoke_after(60));
    assert_eq!(burst(&client(&mock), 120).await, 0);
    assert_eq!(mock.stats().token_fetches, 2);
}

#[tokio::test]
async fn t11_a_lasting_401_is_an_auth_error_after_one_refresh() {
    let mock = mock().await;
    mock.script(Rule::api(Fault::unauthorized()).forever());
    let client = client(&mock);
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(error.to_string(), "Auth/Permission Error: 401 Unauthorized");
    assert_eq!((error.kind(), error.attempts()), (&ErrorKind::Auth, 2));
    assert_eq!(mock.stats().token_fetches, 2);
    assert_eq!(burst(&client, 20).await, 20);
    assert_eq!(mock.stats().token_fetches, 2, "not one a request");
}

#[tokio::test]
async fn x20_a_token_of_four_seconds_makes_no_storm() {
    let mock = Mock::builder().token_lifetime(Duration::from_secs(4)).start().await.unwrap();
    let client = client(&mock);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5_500) {
        assert_eq!(burst(&client, 8).await, 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stats = mock.stats();
    assert!((2..=4).contains(&stats.token_fetches), "{stats:?}");
    assert_eq!(stats.unauthorized, 0);
}

#[tokio::test]
async fn x22_a_blip_at_the_token_endpoint_fails_nobody() {
    let mock = mock().await;
    mock.script(Rule::token([Fault::status(503), Fault::status(503)]));
    assert_eq!(burst(&client(&mock), 50).await, 0);
    assert_eq!(mock.stats().token_requests, 3);
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let mock = mock().await;
    let to = format!("{}/oauth2/token", mock.url());
    mock.script(Rule::token(Fault::status(307).header("location", to)));
    let error = client(&mock).get(ECHO).send().await.unwrap_err();
    assert_eq!(error.to_string(), "OAuth Token Fetch Failed: 307 Temporary Redirect");
    assert_eq!(mock.stats().token_requests, 1);
}

#[tokio::test]
async fn without_auth_no_token_is_fetched() {
    let mock = mock().await;
    let client = Client::builder().base_url(mock.url()).no_auth().build().unwrap();
    let error = client.get(ECHO).send().await.unwrap_err();
    assert_eq!(error.to_string(), "Auth/Permission Error: 401 Unauthorized");
    assert_eq!(mock.stats().token_requests, 0);
    assert_eq!(*client.get(ECHO).auth(true).send().await.unwrap_err().kind(), ErrorKind::Request);
}
