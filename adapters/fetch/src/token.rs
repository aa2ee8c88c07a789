//! Who the client is to the token endpoint, and the tokens that it got.
//!
//! Id, secret and tokens live in here and never become members of a JavaScript object, where a
//! `console.log` would find them.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;

use cxone_core::credentials::{ClientAuth, ClientCredentials};
use cxone_core::oauth::Refusal;
use cxone_core::{AccessKey, SignIn, SignInConfig};
use wasm_bindgen::prelude::*;

use crate::record::to_ms;

/// The current token, and the one before it: an attempt may just be on its way with that.
const KEPT: usize = 2;

/// What [`Credentials::read`] gives for a token.
const GRANTED: u32 = 4;

/// What it gives for an answer after which the sign-in goes on.
const MORE: u32 = 5;

/// The `flags` of [`Credentials::new`].
const BASIC: u32 = 1;
const FIND_API: u32 = 2;

/// How a client signs in, and its tokens.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Credentials {
    client: ClientCredentials,
    sign_in: SignIn,
    tokens: VecDeque<Token>,
    lifetime: f64,
    problem: String,
}

struct Token {
    generation: u32,
    access_token: String,
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Token({})", self.generation)
    }
}

#[wasm_bindgen]
impl Credentials {
    /// `texts` are, each ended by NUL and empty for none: id and secret of the client, the scope to
    /// ask for; id and secret of an access key, if it signs in on behalf of a user; the issuer at
    /// which the token endpoint is found, or that endpoint. `flags`: 1 the client travels in a Basic
    /// header and not in the form, 2 the address of the tenant's APIs is to be found.
    #[wasm_bindgen(constructor)]
    pub fn new(texts: &str, flags: u32) -> Credentials {
        let mut texts = texts.split_terminator('\0').map(str::to_owned);
        let mut next = || texts.next().filter(|text| !text.is_empty());
        let auth = if flags & BASIC != 0 { ClientAuth::Basic } else { ClientAuth::Body };
        let (id, secret) = (next().unwrap_or_default(), next().unwrap_or_default());
        let client = ClientCredentials { id, secret, scope: next(), auth };
        let access_key = next().zip(next()).map(|(id, secret)| AccessKey { id, secret });
        let (issuer, token_url) = (next(), next());
        let (credentials, find_api) = (client.clone(), flags & FIND_API != 0);
        let config = SignInConfig { credentials, access_key, issuer, token_url, find_api };
        Credentials {
            client,
            sign_in: SignIn::new(config),
            tokens: VecDeque::new(),
            lifetime: f64::NAN,
            problem: String::new(),
        }
    }

    /// Does this query hold the secret, or something that is named like one?
    pub fn leak_in(&self, query: &str) -> bool {
        self.client.leak_in(query)
    }

    /// A new fetch begins.
    pub fn start(&mut self) {
        self.sign_in.start();
    }

    /// The next request of the fetch: where it goes; its body,
    /// `application/x-www-form-urlencoded`, empty for a `GET`; and its `Authorization`, empty for
    /// none. A NUL is between them.
    pub fn request(&self) -> String {
        let request = self.sign_in.request();
        let [form, authorization] =
            [request.form, request.authorization].map(Option::unwrap_or_default);
        [&*request.url, &form, &authorization].join("\0")
    }

    /// The address of the tenant's APIs, once it was found.
    pub fn api(&self) -> Option<String> {
        self.sign_in.api().map(str::to_owned)
    }

    /// Reads the answer to the request of that generation: 4 there is a token, 5 another request
    /// follows, else the failure as for [`Engine::token_failed`](crate::Engine::token_failed).
    pub fn read(&mut self, generation: u32, status: u16, body: &[u8]) -> u32 {
        match self.sign_in.answer(status, body) {
            Ok(None) => MORE,
            Ok(Some(grant)) => {
                let access_token = grant.access_token;
                self.tokens.push_front(Token { generation, access_token });
                self.tokens.truncate(KEPT);
                self.lifetime = grant.lifetime.map_or(f64::NAN, to_ms);
                GRANTED
            }
            Err(refusal) => {
                let said = match (&refusal.error, &refusal.description) {
                    (Some(code), Some(description)) => [&**code, ": ", description].concat(),
                    (Some(text), None) | (None, Some(text)) => text.clone(),
                    (None, None) => refusal.problem.to_owned(),
                };
                self.problem = self.sign_in.redact(&said);
                match refusal.kind {
                    Refusal::Transient => 0,
                    Refusal::Fatal => 2,
                }
            }
        }
    }

    /// How long the last token that was read lives, in milliseconds; NaN if its answer does not say.
    pub fn lifetime(&self) -> f64 {
        self.lifetime
    }

    /// Why the last answer held no token, without secrets: what the server says, or what is wrong.
    pub fn problem(&self) -> String {
        self.problem.clone()
    }

    /// The token of that generation, for an `Authorization: Bearer`.
    pub fn token(&self, generation: u32) -> Option<String> {
        let token = self.tokens.iter().find(|token| token.generation == generation)?;
        Some(token.access_token.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::new("id\0hunter2====\0\0\0\0\0https://h.example/token\0", 0)
    }

    #[test]
    fn its_request_is_what_the_texts_say() {
        let url = "https://h.example/token\0";
        assert_eq!(
            credentials().request(),
            [url, "grant_type=client_credentials&client_id=id&client_secret=hunter2%3D%3D%3D%3D\0"]
                .concat()
        );
        let texts = ["id\0secret\0scope\0key\0hidden\0https://issuer.example\0", url].concat();
        let request = Credentials::new(&texts, BASIC).request();
        let [at, form, authorization] = *request.split('\0').collect::<Vec<_>>() else {
            panic!("{request}");
        };
        assert_eq!(at, "https://h.example/token");
        assert_eq!(form, "grant_type=password&username=key&password=hidden&scope=scope");
        assert_eq!(authorization, "Basic aWQ6c2VjcmV0");
    }

    #[test]
    fn only_the_last_two_tokens_are_kept() {
        let mut credentials = credentials();
        for n in 1..=3 {
            let body = format!(r#"{{"access_token": "t{n}", "expires_in": {n}}}"#);
            assert_eq!(credentials.read(n, 200, body.as_bytes()), GRANTED);
        }
        assert_eq!(credentials.lifetime(), 3000.0);
        assert_eq!(credentials.token(1), None);
        assert_eq!(credentials.token(2).as_deref(), Some("t2"));
        assert_eq!(credentials.token(3).as_deref(), Some("t3"));
        assert!(!format!("{credentials:?}").contains("t3"));
    }

    #[test]
    fn x17_what_the_server_says_is_told_without_the_secret() {
        let mut credentials = credentials();
        let body = br#"{"error": "invalid_client", "error_description": "not hunter2===="}"#;
        assert_eq!(credentials.read(1, 401, body), 2);
        assert_eq!(credentials.problem(), "invalid_client: not ***");
        assert_eq!(credentials.read(1, 503, b"<html>"), 0);
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
