use std::time::Duration;

use cxone_mock::{ExpiresIn, Fault, Mock, Rule, Script};
use serde_json::Value;

use crate::{Session, header};

const FORM: &str = "application/x-www-form-urlencoded";
const GOOD: &str = "grant_type=client_credentials&client_id=a&client_secret=s%3D%2B%25";

async fn mock() -> Mock {
    Mock::builder().client("a", "s=+%").start().await.unwrap()
}

/// Posts to the token endpoint; gives status, error code and challenge.
async fn post(
    mock: &Mock,
    query: &str,
    kind: &str,
    basic: &str,
    body: &str,
) -> (u16, String, bool) {
    let mut request = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}{query}", mock.token_url()))
        .header("content-type", kind)
        .body(body.to_owned());
    if !basic.is_empty() {
        request = request.header("authorization", basic);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let challenge = answer.headers().contains_key("www-authenticate");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let body: Value = answer.json().await.unwrap();
    (status, body["error"].as_str().unwrap_or_default().to_owned(), challenge)
}

#[tokio::test]
async fn a_form_or_basic_gets_a_token() {
    let mock = mock().await;
    let granted = (200, String::new(), false);
    assert_eq!(post(&mock, "", FORM, "", GOOD).await, granted);
    assert_eq!(
        post(&mock, "", "application/x-www-form-urlencoded; charset=utf-8", "", GOOD).await,
        granted
    );
    // "a:s%3D%2B%25"
    let basic = "Basic YTpzJTNEJTJCJTI1";
    let body = "grant_type=client_credentials&scope=contact-center-api";
    assert_eq!(post(&mock, "", FORM, basic, body).await, granted);
    let stats = mock.stats();
    assert_eq!((stats.token_requests, stats.token_fetches, stats.token_refused), (3, 3, 0));
}

#[tokio::test]
async fn whatever_breaks_rfc_6749_is_refused() {
    let mock = mock().await;
    let basic = "Basic YTpzJTNEJTJCJTI1";
    let raw_equals = "Basic YTpzPSsl"; // "a:s=+%"
    let wrong_secret = "Basic YTp3cm9uZw=="; // "a:wrong"
    let id_secret = "&client_id=a&client_secret=s%3D%2B%25";
    let grant = "grant_type=client_credentials";
    for (case, query, kind, authorization, body, status, error, challenge) in [
        ("secret in the URL", "?client_secret=s", FORM, "", GOOD, 400, "invalid_request", false),
        ("any query", "?a=b", FORM, "", GOOD, 400, "invalid_request", false),
        ("JSON", "", "application/json", "", GOOD, 400, "invalid_request", false),
        ("form and Basic", "", FORM, basic, GOOD, 400, "invalid_request", false),
        ("another id", "", FORM, basic, "grant_type=x&client_id=b", 400, "invalid_request", false),
        ("twice", "", FORM, "", &format!("{GOOD}&client_id=a"), 400, "invalid_request", false),
        (
            "raw =",
            "",
            FORM,
            "",
            &format!("{grant}&client_id=a&client_secret=s=%2B%25"),
            400,
            "invalid_request",
            false,
        ),
        ("no grant", "", FORM, "", &id_secret[1..], 400, "invalid_request", false),
        (
            "other grant",
            "",
            FORM,
            "",
            &format!("grant_type=password{id_secret}"),
            400,
            "unsupported_grant_type",
            false,
        ),
        ("other scope", "", FORM, "", &format!("{GOOD}&scope=all"), 400, "invalid_scope", false),
        ("no client", "", FORM, "", grant, 401, "invalid_client", false),
        (
            "wrong secret",
            "",
            FORM,
            "",
            &format!("{grant}&client_id=a&client_secret=x"),
            401,
            "invalid_client",
            false,
        ),
        ("wrong Basic", "", FORM, wrong_secret, grant, 401, "invalid_client", true),
        ("raw = in Basic", "", FORM, raw_equals, grant, 401, "invalid_client", true),
        ("no Basic", "", FORM, "Bearer x", grant, 401, "invalid_client", true),
        ("no base64", "", FORM, "Basic !", grant, 401, "invalid_client", true),
    ] {
        let answer = post(&mock, query, kind, authorization, body).await;
        assert_eq!(answer, (status, error.to_owned(), challenge), "{case}");
    }
    assert_eq!(mock.stats().token_refused, 16);
    assert_eq!(mock.stats().token_fetches, 0);
    assert!(mock.log().iter().all(|entry| entry.query.is_none()), "a secret was logged");
}

#[tokio::test]
async fn only_post_gets_a_token() {
    let mock = mock().await;
    let answer = reqwest::get(mock.token_url()).await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "allow")), (405, "POST"));
}

#[tokio::test]
async fn the_api_wants_a_token_that_is_good() {
    let mut session =
        Session::start(Mock::builder().token_lifetime(Duration::from_millis(1500))).await;
    assert_eq!(session.status("/api/v2.0/echo").await, 200);
    tokio::time::sleep(Duration::from_millis(1550)).await;
    let answer = session.get("/api/v2.0/echo").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(header(&answer, "www-authenticate"), "error=\"invalid token\"");
    session.token = "made-up".into();
    assert_eq!(session.status("/media-playback/v1/contacts").await, 401);
    assert_eq!(session.mock.stats().unauthorized, 2);
}

#[tokio::test]
async fn tokens_are_revoked_now_or_after_some_requests() {
    let mut session = Session::start(Mock::builder()).await;
    session.mock.revoke_tokens();
    assert_eq!(session.status("/api/v2.0/echo").await, 401);
    session.sign_in().await;
    session.mock.script(Script::new().revoke_after(2));
    for expected in [200, 200, 401, 401] {
        assert_eq!(session.status("/api/v2.0/echo").await, expected);
    }
    session.sign_in().await;
    assert_eq!(session.status("/api/v2.0/echo").await, 200);
}

#[tokio::test]
async fn the_lifetime_is_stated_in_each_form() {
    for (form, name, expected) in [
        (ExpiresIn::Number, "expires_in", Value::from(90)),
        (ExpiresIn::Text, "expires_in", Value::from("90")),
        (ExpiresIn::Alias("expiresIn".into()), "expiresIn", Value::from(90)),
        (ExpiresIn::Absent, "expires_in", Value::Null),
    ] {
        let builder = Mock::builder().client("a", "s=+%").expires_in(form);
        let mock = builder.token_lifetime(Duration::from_secs(90)).start().await.unwrap();
        let request = reqwest::Client::new().post(mock.token_url()).header("content-type", FORM);
        let body: Value = request.body(GOOD).send().await.unwrap().json().await.unwrap();
        assert_eq!(body[name], expected);
        assert_eq!(body["token_type"], "Bearer");
        let count = body.as_object().unwrap().len();
        assert_eq!(count, if expected.is_null() { 2 } else { 3 });
    }
}

#[tokio::test]
async fn the_token_endpoint_fails_by_script() {
    let session = Session::start(Mock::builder()).await;
    let html = Fault::status(200).body("<html>Sign in</html>");
    let redirect = Fault::status(302).header("location", "https://elsewhere.example/");
    let faults =
        vec![Fault::status(503), Fault::status(429).retry_after(1), html, redirect, Fault::close()];
    session.mock.script(Rule::token(faults));
    let post =
        || session.http.post(session.mock.token_url()).header("content-type", FORM).body("").send();
    assert_eq!(post().await.unwrap().status(), 503);
    assert_eq!(header(&post().await.unwrap(), "retry-after"), "1");
    let html = post().await.unwrap();
    assert!(header(&html, "content-type").starts_with("text/html"));
    assert_eq!(post().await.unwrap().status(), 302);
    assert!(post().await.is_err());
    assert_eq!(post().await.unwrap().status(), 401);
    let stats = session.mock.stats();
    assert_eq!((stats.token_fetches, stats.token_refused, stats.faults), (1, 6, 5));
    assert_eq!((stats.throttled, stats.api_requests), (0, 0));
}
