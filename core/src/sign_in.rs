//! Signing in as a state machine: the requests that bring a token, one after the other.
//!
//! A gateway wants one request, by client credentials (RFC 6749 §4.4). NICE's own platform wants
//! up to three: where the token endpoint is (OpenID Connect Discovery 1.0), a token for an access
//! key (the password grant, RFC 6749 §4.3) or for a refresh token (§6), and where the APIs of the
//! token's tenant are. What was found stays found; a refresh token is used as long as the endpoint
//! takes it, then the access key again.
//!
//! To the engine all of it is one token fetch: it holds no slot, only one is out, and what fails
//! is waited for or fatal by the rules for tokens.

use alloc::string::String;
use core::fmt;

use crate::base64::decode;
use crate::credentials::{ClientCredentials, HIDDEN};
use crate::form;
use crate::oauth::{Refusal, TokenGrant, TokenRefusal, member, read_token_answer};

/// Below an issuer: where its endpoints are.
const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";

/// Below an issuer: where a tenant's APIs are.
const CXONE_CONFIGURATION: &str = "/.well-known/cxone-configuration?tenantId=";

/// So many fetches in a row may ask with a refresh token without an answer that decides: then the
/// access key is asked with, which may be taken where the other one cannot be looked up.
const REFRESHES: u32 = 2;

/// An access key of a user. Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct AccessKey {
    /// The access key id, which travels as `username`.
    pub id: String,
    /// The access key secret, which travels as `password`.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("secret", &HIDDEN).finish()
    }
}

/// What is known before the first request.
#[derive(Clone, Debug)]
pub struct SignInConfig {
    /// Who the client is.
    pub credentials: ClientCredentials,
    /// On whose behalf; `None`: on its own, by client credentials.
    pub access_key: Option<AccessKey>,
    /// The issuer, `https://cxone.niceincontact.com`. Needed for what is to be found.
    pub issuer: Option<String>,
    /// The token endpoint; `None`: it is to be found.
    pub token_url: Option<String>,
    /// Whether the address of the tenant's APIs is to be found.
    pub find_api: bool,
}

/// A request of a sign-in. Its `Debug` does not show what it carries.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInRequest {
    /// Where to.
    pub url: String,
    /// The form that is posted; `None` for a `GET`.
    pub form: Option<String>,
    /// The `Authorization`, if there is one.
    pub authorization: Option<String>,
}

impl fmt::Debug for SignInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The sign-in of one client: it lives as long as that.
#[derive(Clone, Debug)]
pub struct SignIn {
    config: SignInConfig,
    /// Discovered.
    token_url: Option<String>,
    api: Option<String>,
    refresh_token: Option<Hidden>,
    /// How many fetches have asked with it in vain.
    refreshes: u32,
    /// Of the fetch that is under way: a token whose tenant's API is still to be found.
    granted: Option<(TokenGrant, String)>,
}

/// A text that `Debug` does not show.
#[derive(Clone)]
struct Hidden(String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl SignIn {
    /// Nothing was found yet.
    pub fn new(mut config: SignInConfig) -> SignIn {
        if let Some(issuer) = &mut config.issuer {
            issuer.truncate(issuer.trim_end_matches('/').len());
        }
        SignIn {
            config,
            token_url: None,
            api: None,
            refresh_token: None,
            refreshes: 0,
            granted: None,
        }
    }

    /// A new fetch begins, whatever became of the last one.
    pub fn start(&mut self) {
        self.granted = None;
        self.refreshes += u32::from(self.refresh_token.is_some());
        if self.refreshes > REFRESHES {
            self.refresh_token = None;
            self.refreshes = 0;
        }
    }

    /// The next request of the fetch.
    pub fn request(&self) -> SignInRequest {
        let issuer = self.config.issuer.as_deref().unwrap_or_default();
        let get = |url| SignInRequest { url, form: None, authorization: None };
        if let Some((_, tenant)) = &self.granted {
            let mut url = [issuer, CXONE_CONFIGURATION].concat();
            form::encode(&mut url, tenant);
            return get(url);
        }
        let Some(url) = self.config.token_url.as_ref().or(self.token_url.as_ref()) else {
            return get([issuer, OPENID_CONFIGURATION].concat());
        };
        let credentials = &self.config.credentials;
        let form = match (&self.refresh_token, &self.config.access_key) {
            (Some(Hidden(token)), _) => {
                credentials.form_for(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            }
            (None, Some(AccessKey { id, secret })) => credentials.form_for(&[
                ("grant_type", "password"),
                ("username", id),
                ("password", secret),
            ]),
            (None, None) => credentials.form(),
        };
        let authorization = credentials.authorization();
        SignInRequest { url: url.clone(), form: Some(form), authorization }
    }

    /// Takes the answer to the [request](SignIn::request): a token ends the fetch, `None` asks for
    /// the next request, a refusal ends the fetch, too.
    pub fn answer(&mut self, status: u16, body: &[u8]) -> Result<Option<TokenGrant>, TokenRefusal> {
        if let Some((grant, _)) = &self.granted {
            let grant = grant.clone();
            let problem = "the configuration of its tenant names no usable api_endpoint";
            self.api = Some(self.find(status, body, "api_endpoint", problem)?);
            self.granted = None;
            return Ok(Some(grant));
        }
        if self.config.token_url.is_none() && self.token_url.is_none() {
            let problem = "the configuration of the issuer names no usable token_endpoint";
            self.token_url = Some(self.find(status, body, "token_endpoint", problem)?);
            return Ok(None);
        }
        let grant = match read_token_answer(status, body) {
            Ok(grant) => grant,
            Err(refusal) if refusal.kind == Refusal::Transient => return Err(refusal),
            // The refresh token has had its time: the access key is there for that.
            Err(_) if self.refresh_token.take().is_some() => return Ok(None),
            Err(refusal) => {
                if !matches!(status, 400 | 401) {
                    self.token_url = None; // it may have moved
                }
                return Err(refusal);
            }
        };
        self.refreshes = 0;
        if self.config.access_key.is_some()
            && let Some(token) = &grant.refresh_token
        {
            self.refresh_token = Some(Hidden(token.clone()));
        }
        if !self.config.find_api || self.api.is_some() {
            return Ok(Some(grant));
        }
        let id_token = || member(body, "id_token");
        let tenant = tenant_of(&grant.access_token).or_else(|| tenant_of(&id_token()?));
        let Some(tenant) = tenant else {
            return Err(refused(
                status,
                "its token names no tenantId; give the base URL of the API",
            ));
        };
        self.granted = Some((grant, tenant));
        Ok(None)
    }

    /// The address of the tenant's APIs, once it was found.
    pub fn api(&self) -> Option<&str> {
        self.api.as_deref()
    }

    /// The token endpoint, once it was found, or as it was given.
    pub fn token_url(&self) -> Option<&str> {
        self.config.token_url.as_deref().or(self.token_url.as_deref())
    }

    /// A text of the server's without any of the secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut text = self.config.credentials.redact(text);
        if let Some(key) = &self.config.access_key {
            let as_client =
                ClientCredentials { secret: key.secret.clone(), ..self.config.credentials.clone() };
            text = as_client.redact(&text);
        }
        if let Some(Hidden(token)) = &self.refresh_token {
            let as_client =
                ClientCredentials { secret: token.clone(), ..self.config.credentials.clone() };
            text = as_client.redact(&text);
        }
        text
    }

    /// A URL out of a configuration: https, unless the issuer itself is under test without, and
    /// nothing in it that is none, such as a name and a password.
    fn find(
        &self,
        status: u16,
        body: &[u8],
        name: &str,
        problem: &'static str,
    ) -> Result<String, TokenRefusal> {
        if !(200..=299).contains(&status) {
            return Err(refused(status, problem));
        }
        let plain = self.config.issuer.as_ref().is_some_and(|issuer| issuer.starts_with("http:"));
        let foreign = |byte: &u8| matches!(byte, 0..=b' ' | b'@' | b'\\');
        let usable = |url: &String| {
            (url.starts_with("https://") || plain && url.starts_with("http://"))
                && url.len() > "https://".len()
                && !url.as_bytes().iter().any(foreign)
        };
        member(body, name).filter(usable).ok_or_else(|| refused(status, problem))
    }
}

fn refused(status: u16, problem: &'static str) -> TokenRefusal {
    let kind = match status {
        429 | 500..=599 => Refusal::Transient,
        _ => Refusal::Fatal,
    };
    TokenRefusal { status, kind, problem, error: None, description: None }
}

/// The tenant in the claims of a JWT (RFC 7519 §3). Its signature is for whom it is shown to.
fn tenant_of(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?;
    member(&decode(payload)?, "tenantId")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base64::encode;
    use crate::credentials::ClientAuth;

    const ISSUER: &str = "https://cxone.niceincontact.com";

    fn platform() -> SignIn {
        let credentials = ClientCredentials {
            id: "client".to_owned(),
            secret: "client==".to_owned(),
            scope: None,
            auth: ClientAuth::Basic,
        };
        let access_key = AccessKey { id: "key".to_owned(), secret: "key====".to_owned() };
        SignIn::new(SignInConfig {
            credentials,
            access_key: Some(access_key),
            issuer: Some(format!("{ISSUER}/")),
            token_url: None,
            find_api: true,
        })
    }

    fn jwt(claims: &serde_json::Value) -> String {
        format!("e30.{}.c2ln", encode(claims.to_string().as_bytes()))
    }

    fn answer(sign_in: &mut SignIn, body: serde_json::Value) -> Option<TokenGrant> {
        sign_in.answer(200, body.to_string().as_bytes()).unwrap()
    }

    fn discovered() -> SignIn {
        let mut sign_in = platform();
        let endpoint = json!({ "token_endpoint": format!("{ISSUER}/auth/token") });
        assert_eq!(answer(&mut sign_in, endpoint), None);
        sign_in
    }

    #[test]
    fn the_platform_is_discovered_and_signed_in_to_with_an_access_key() {
        let mut sign_in = platform();
        let request = sign_in.request();
        assert_eq!(request.url, format!("{ISSUER}/.well-known/openid-configuration"));
        assert_eq!((request.form, request.authorization), (None, None));
        answer(&mut sign_in, json!({ "token_endpoint": format!("{ISSUER}/auth/token") }));

        let request = sign_in.request();
        assert_eq!(request.url, format!("{ISSUER}/auth/token"));
        let form = "grant_type=password&username=key&password=key%3D%3D%3D%3D";
        assert_eq!(request.form.as_deref(), Some(form));
        assert!(request.authorization.unwrap().starts_with("Basic "));
        let token = jwt(&json!({ "tenantId": "11e8 &/7" }));
        let granted =
            json!({ "access_token": token, "expires_in": 3600, "refresh_token": "again" });
        assert_eq!(answer(&mut sign_in, granted), None);

        let request = sign_in.request();
        let url = format!("{ISSUER}/.well-known/cxone-configuration?tenantId=11e8+%26%2F7");
        assert_eq!((request.url, request.form), (url, None));
        let api = "https://api-na1.niceincontact.com";
        let grant = answer(&mut sign_in, json!({ "api_endpoint": api, "area": "na1" })).unwrap();
        assert_eq!(grant.access_token, token);
        assert_eq!(sign_in.api(), Some(api));

        // The next fetch needs one request.
        sign_in.start();
        let form = "grant_type=refresh_token&refresh_token=again";
        assert_eq!(sign_in.request().form.as_deref(), Some(form));
        assert!(answer(&mut sign_in, json!({ "access_token": "b" })).is_some());
        assert_eq!(sign_in.request().form.as_deref(), Some(form), "it may serve again");
    }

    #[test]
    fn when_a_refresh_token_is_refused_the_access_key_serves_again() {
        let mut sign_in = discovered();
        let token = jwt(&json!({ "sub": "me" }));
        let id_token = jwt(&json!({ "tenantId": "t" }));
        let granted =
            json!({ "access_token": token, "id_token": id_token, "refresh_token": "again" });
        answer(&mut sign_in, granted);
        assert!(sign_in.request().url.ends_with("?tenantId=t"));
        answer(&mut sign_in, json!({ "api_endpoint": "https://api-eu1.niceincontact.com" }));

        sign_in.start();
        // A blip is none of its fault.
        assert_eq!(sign_in.answer(503, b"").unwrap_err().kind, Refusal::Transient);
        assert!(sign_in.request().form.unwrap().contains("refresh_token"));
        assert_eq!(sign_in.answer(400, br#"{"error":"invalid_grant"}"#), Ok(None));
        assert!(sign_in.request().form.unwrap().contains("grant_type=password"));
        let refusal = sign_in.answer(400, br#"{"error":"invalid_grant"}"#).unwrap_err();
        assert_eq!(refusal.kind, Refusal::Fatal);
    }

    #[test]
    fn when_nothing_decides_on_a_refresh_token_the_access_key_is_tried() {
        let mut sign_in = discovered();
        let token = jwt(&json!({ "tenantId": "t" }));
        let granted = json!({ "access_token": token, "refresh_token": "again" });
        answer(&mut sign_in, granted.clone());
        answer(&mut sign_in, json!({ "api_endpoint": "https://api-eu1.niceincontact.com" }));
        let asks = |sign_in: &SignIn, grant| sign_in.request().form.unwrap().contains(grant);
        // An answer that brings a token begins the count anew.
        for rounds in [1, 2] {
            for _ in 0..rounds {
                sign_in.start();
                assert!(asks(&sign_in, "grant_type=refresh_token"));
                if rounds == 1 {
                    assert!(answer(&mut sign_in, granted.clone()).is_some());
                } else {
                    // Of a network that fails nothing is heard here.
                    let _ = sign_in.answer(503, b"");
                }
            }
        }
        for _ in 0..3 {
            sign_in.start();
            assert!(asks(&sign_in, "grant_type=password"));
        }
        assert!(answer(&mut sign_in, granted).is_some());
        sign_in.start();
        assert!(asks(&sign_in, "grant_type=refresh_token"));
    }

    #[test]
    fn what_was_found_survives_a_fetch_that_fails_later() {
        let mut sign_in = discovered();
        let token = jwt(&json!({ "tenantId": "t" }));
        answer(&mut sign_in, json!({ "access_token": token }));
        assert_eq!(sign_in.answer(500, b"").unwrap_err().kind, Refusal::Transient);
        sign_in.start();
        assert_eq!(sign_in.request().url, format!("{ISSUER}/auth/token"));
        // An endpoint that is gone is looked for again.
        sign_in.answer(404, b"").unwrap_err();
        assert!(sign_in.request().url.ends_with("/openid-configuration"));
    }

    #[test]
    fn what_is_found_must_be_https() {
        for body in [
            json!({}),
            json!({ "token_endpoint": 7 }),
            json!({ "token_endpoint": "http://cxone.niceincontact.com/auth/token" }),
            json!({ "token_endpoint": "/auth/token" }),
            json!({ "token_endpoint": "https://" }),
            json!({ "token_endpoint": "https://user:pw@cxone.niceincontact.com/auth/token" }),
            json!({ "token_endpoint": "https://cxone niceincontact.com/auth/token" }),
        ] {
            let refusal = platform().answer(200, body.to_string().as_bytes()).unwrap_err();
            assert_eq!(refusal.kind, Refusal::Fatal);
            assert!(refusal.to_string().contains("token_endpoint"), "{refusal}");
        }
        // Neither is kept, so that a later fetch looks again.
        let mut sign_in = discovered();
        for bad in ["https://user:pw@api-na1.niceincontact.com", "https://"] {
            answer(&mut sign_in, json!({ "access_token": jwt(&json!({ "tenantId": "t" })) }));
            let body = json!({ "api_endpoint": bad }).to_string();
            let refusal = sign_in.answer(200, body.as_bytes()).unwrap_err();
            assert!(refusal.to_string().contains("api_endpoint"), "{refusal}");
            assert_eq!(sign_in.api(), None);
            sign_in.start();
        }
        let mut sign_in = discovered();
        let refusal = sign_in.answer(200, br#"{"access_token":"opaque"}"#).unwrap_err();
        assert!(refusal.to_string().contains("tenantId"), "{refusal}");
    }

    #[test]
    fn client_credentials_are_one_request() {
        let config = SignInConfig {
            access_key: None,
            token_url: Some("https://gw.example/oauth2/token".to_owned()),
            issuer: None,
            find_api: false,
            ..platform().config
        };
        let mut sign_in = SignIn::new(config);
        let request = sign_in.request();
        assert_eq!(request.form.as_deref(), Some("grant_type=client_credentials"));
        let granted = json!({ "access_token": "a", "refresh_token": "not for this grant" });
        assert!(answer(&mut sign_in, granted).is_some());
        assert_eq!(sign_in.request(), request);
    }

    #[test]
    fn x17_no_secret_is_shown() {
        let mut sign_in = discovered();
        let token = jwt(&json!({ "tenantId": "t" }));
        answer(&mut sign_in, json!({ "access_token": token, "refresh_token": "s3cret" }));
        let shown = format!("{sign_in:?} {:?}", sign_in.request());
        let quoted = sign_in.redact("key==== s3cret password=key%3D%3D%3D%3D");
        for secret in ["key==", "client==", "s3cret", "key%3D", &token] {
            assert!(!shown.contains(secret) && !quoted.contains(secret), "{shown} {quoted}");
        }
    }
}
