//! The token endpoint, strict to RFC 6749.

use base64::{Engine, prelude::BASE64_STANDARD};
use form_urlencoded::parse;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{Map, Value, json};

use crate::{PLATFORM_TOKEN_PATH, answer::Answer, builder::Config, tokens::Tokens};

/// The only scope there is.
const SCOPE: &str = "contact-center-api";

/// How the answer of the token endpoint tells a token's lifetime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// `"expires_in": 3600`.
    #[default]
    Number,
    /// `"expires_in": "3600"`.
    Text,
    /// Not at all.
    Absent,
    /// A number under another name: `expiresIn`, `accessTokenExpiry`, `tokenExpirationTimeSec`…
    Alias(String),
}

impl std::str::FromStr for ExpiresIn {
    type Err = std::convert::Infallible;

    /// `number`, `text`, `absent`, or the name of another field.
    fn from_str(text: &str) -> Result<ExpiresIn, Self::Err> {
        Ok(match text {
            "number" => ExpiresIn::Number,
            "text" => ExpiresIn::Text,
            "absent" => ExpiresIn::Absent,
            name => ExpiresIn::Alias(name.to_owned()),
        })
    }
}

/// A request that is well-formed; whether it is granted is another matter. Holds a secret.
pub(crate) struct TokenRequest {
    pub(crate) client: String,
    secret: String,
    by_basic: bool,
    platform: bool,
    grant_type: Option<String>,
    scope: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
}

/// RFC 6749 §5.2.
pub(crate) struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
    challenge: bool,
}

impl OAuthError {
    fn bad(code: &'static str, description: &'static str) -> OAuthError {
        OAuthError { status: StatusCode::BAD_REQUEST, code, description, challenge: false }
    }

    fn request(description: &'static str) -> OAuthError {
        OAuthError::bad("invalid_request", description)
    }

    fn client(description: &'static str, challenge: bool) -> OAuthError {
        let status = StatusCode::UNAUTHORIZED;
        OAuthError { status, code: "invalid_client", description, challenge }
    }

    pub(crate) fn answer(self) -> Answer {
        let value = json!({"error": self.code, "error_description": self.description});
        let mut answer = Answer::json(self.status, &value);
        no_store(&mut answer.headers);
        if self.challenge {
            let basic = HeaderValue::from_static("Basic realm=\"token\"");
            answer.headers.insert(header::WWW_AUTHENTICATE, basic);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        answer
    }
}

/// Reads a token request: its form, and the client from the form or from HTTP Basic.
pub(crate) fn read(head: &Parts, body: &[u8]) -> Result<TokenRequest, OAuthError> {
    if head.method != Method::POST {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(OAuthError { status, ..OAuthError::request("use POST") });
    }
    if head.uri.query().is_some() {
        return Err(OAuthError::request("parameters belong in the body, never in the URL"));
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OAuthError::request("the body must be application/x-www-form-urlencoded"));
    }
    if body.split(|&b| b == b'&').any(|pair| pair.iter().filter(|&&b| b == b'=').count() > 1) {
        return Err(OAuthError::request("a = in a value must be encoded as %3D"));
    }
    let form = Form::read(body)?;
    let (client, secret, by_basic) = match head.headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (client, secret) = read_basic(value)?;
            if form.get("client_secret").is_some() {
                return Err(OAuthError::request("the client must use one way to authenticate"));
            }
            if form.get("client_id").is_some_and(|id| id != client) {
                return Err(OAuthError::request("client_id is another than in Authorization"));
            }
            (client, secret, true)
        }
        None => match (form.get("client_id"), form.get("client_secret")) {
            (Some(client), Some(secret)) => (client, secret, false),
            _ => return Err(OAuthError::client("no client authentication", false)),
        },
    };
    Ok(TokenRequest {
        client,
        secret,
        by_basic,
        platform: head.uri.path() == PLATFORM_TOKEN_PATH,
        grant_type: form.get("grant_type"),
        scope: form.get("scope"),
        username: form.get("username"),
        password: form.get("password"),
        refresh_token: form.get("refresh_token"),
    })
}

impl TokenRequest {
    /// Whether this request is entitled to a token.
    pub(crate) fn check(&self, config: &Config, tokens: &Tokens) -> Result<(), OAuthError> {
        if !config.clients().any(|c| c.id == self.client && c.secret == self.secret) {
            return Err(OAuthError::client("unknown client or wrong secret", self.by_basic));
        }
        match self.grant_type.as_deref() {
            None => Err(OAuthError::request("grant_type is missing")),
            Some("password") if self.platform => match (&self.username, &self.password) {
                (Some(id), Some(secret)) if config.has_access_key(id, secret) => Ok(()),
                (Some(_), Some(_)) => Err(OAuthError::bad("invalid_grant", "no such access key")),
                _ => Err(OAuthError::request("username and password are the access key")),
            },
            Some("refresh_token") if self.platform => match &self.refresh_token {
                Some(token) if tokens.refreshes(token, &self.client) => Ok(()),
                Some(_) => Err(OAuthError::bad("invalid_grant", "the refresh token has expired")),
                None => Err(OAuthError::request("refresh_token is missing")),
            },
            Some(_) if self.platform => {
                Err(OAuthError::bad("unsupported_grant_type", "use password or refresh_token"))
            }
            Some("client_credentials") => match self.scope.as_deref() {
                None | Some(SCOPE) => Ok(()),
                Some(_) => Err(OAuthError::bad("invalid_scope", "the scope is contact-center-api")),
            },
            Some(_) => Err(OAuthError::bad("unsupported_grant_type", "use client_credentials")),
        }
    }

    /// A token for it.
    pub(crate) fn grant(&self, tokens: &mut Tokens, config: &Config) -> Answer {
        if !self.platform {
            let token = tokens.issue(&self.client, config.token_lifetime);
            return granted(token, None, config);
        }
        let token = tokens.issue_jwt(&self.client, config.token_lifetime);
        let refresh = tokens.issue_refresh(&self.client, config.refresh_lifetime);
        granted(token, Some(refresh), config)
    }
}

/// The answer that carries a token.
fn granted(token: String, refresh_token: Option<String>, config: &Config) -> Answer {
    let seconds = config.token_lifetime.as_secs();
    let mut value = Map::new();
    value.insert("access_token".into(), token.into());
    value.insert("token_type".into(), "Bearer".into());
    if let Some(refresh_token) = refresh_token {
        value.insert("refresh_token".into(), refresh_token.into());
    }
    let (name, lifetime) = match &config.expires_in {
        ExpiresIn::Number => ("expires_in", Value::from(seconds)),
        ExpiresIn::Text => ("expires_in", seconds.to_string().into()),
        ExpiresIn::Alias(name) => (name.as_str(), seconds.into()),
        ExpiresIn::Absent => ("", Value::Null),
    };
    if !lifetime.is_null() {
        value.insert(name.into(), lifetime);
    }
    let mut answer = Answer::json(StatusCode::OK, &value);
    no_store(&mut answer.headers);
    answer
}

/// RFC 6749 §5.1: whoever caches tokens is not the network.
fn no_store(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// RFC 6749 §2.3.1: id and secret are form-encoded before they are joined by a colon.
fn read_basic(value: &HeaderValue) -> Result<(String, String), OAuthError> {
    let bad = |description| OAuthError::client(description, true);
    let value = value.to_str().map_err(|_| bad("Authorization is no text"))?;
    let encoded = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => rest.trim(),
        _ => return Err(bad("the only scheme is Basic")),
    };
    let pair = BASE64_STANDARD.decode(encoded).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.ok_or_else(|| bad("Authorization is no base64"))?;
    let (id, secret) = pair.split_once(':').ok_or_else(|| bad("no colon in Authorization"))?;
    if id.contains('=') || secret.contains('=') {
        return Err(bad("id and secret must be form-encoded: = as %3D"));
    }
    let decode = |text: &str| {
        parse(text.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
    };
    Ok((decode(id), decode(secret)))
}

/// The parameters of a request. Those without a value count as left out (§3.2).
struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Result<Form, OAuthError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in parse(body).into_owned().filter(|(_, value)| !value.is_empty()) {
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(OAuthError::request("a parameter is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Form(pairs))
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }
}
