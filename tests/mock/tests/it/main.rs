//! The mock over real sockets, as a client sees it.

mod control;
mod early;
mod faults;
mod limits;
mod pages;
mod platform;
mod token;

use cxone_mock::{Builder, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Mock};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// A mock and a client that has signed in.
struct Session {
    mock: Mock,
    http: reqwest::Client,
    token: String,
}

impl Session {
    async fn start(builder: Builder) -> Session {
        let mock = builder.start().await.unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut session = Session { mock, http, token: String::new() };
        session.sign_in().await;
        session
    }

    async fn sign_in(&mut self) {
        self.token = self.token_for(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET).await;
    }

    /// A token, or nothing if there was none.
    async fn token_for(&self, id: &str, secret: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "contact-center-api"),
            ("client_id", id),
            ("client_secret", secret),
        ];
        let answer = self.http.post(self.mock.token_url()).form(&form).send().await.unwrap();
        let body: Value = answer.json().await.unwrap_or_default();
        body["access_token"].as_str().unwrap_or_default().to_owned()
    }

    /// A signed-in GET.
    fn request(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.mock.url())).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(path).send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
