//! One token fetch, and the tokens that the last two brought.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use cxone_core::oauth::{Refusal, TokenRefusal};
use cxone_core::{DRAIN_LIMIT, Failure, Generation, SignInRequest, TokenFailure, TokenGrant};
use futures_util::FutureExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::attempt::classify;
use crate::driver::{Command, FetchId};
use crate::error::Cause;
use crate::hub::Hub;
use crate::response::Answer;
use crate::settings::{Auth, Settings};

/// What a token fetch tells the driver.
pub(crate) struct Report {
    /// Nothing, if it was dropped in the middle.
    pub(crate) result: Option<Result<Grant, Box<Trouble>>>,
    pub(crate) at: Instant,
}

/// A token, ready to be sent; its `Debug` shows nothing.
pub(crate) struct Grant {
    pub(crate) authorization: HeaderValue,
    pub(crate) lifetime: Option<Duration>,
}

/// Why there is no token: for the engine, and for the errors of those who waited for it.
pub(crate) struct Trouble {
    pub(crate) failure: TokenFailure,
    pub(crate) answer: Option<Answer>,
    pub(crate) cause: Option<Cause>,
}

/// The current token, and the one before it: an attempt may just be on its way with that.
#[derive(Default)]
pub(crate) struct Tokens {
    kept: [Option<(Generation, HeaderValue)>; 2],
}

impl Tokens {
    pub(crate) fn keep(&mut self, generation: Generation, authorization: HeaderValue) {
        self.kept.swap(0, 1);
        self.kept[0] = Some((generation, authorization));
    }

    pub(crate) fn find(&self, generation: Generation) -> Option<HeaderValue> {
        let mut kept = self.kept.iter().flatten();
        kept.find(|(of, _)| *of == generation).map(|(_, value)| value.clone())
    }
}

/// Fetches a token and reports it, or why there is none.
pub(crate) fn fetch(
    settings: Arc<Settings>,
    http: reqwest::Client,
    fetch: FetchId,
    hub: Weak<Hub>,
) -> impl Future<Output = ()> + Send + 'static {
    let guard = Guard { fetch, hub, result: None };
    async move {
        // All of it, so that it is dropped with the task.
        let mut guard = guard;
        let work = async {
            match &settings.auth {
                Some(auth) => sign_in(&settings, auth, &http).await,
                None => Err(Box::from(TokenFailure::Unsendable)),
            }
        };
        let result = AssertUnwindSafe(work).catch_unwind().await;
        guard.result = Some(result.unwrap_or_else(|_| Err(Box::from(TokenFailure::Network))));
    }
}

/// Reports when it is dropped, so that one that ends with its runtime is reported too.
struct Guard {
    fetch: FetchId,
    hub: Weak<Hub>,
    result: Option<Result<Grant, Box<Trouble>>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let report = Report { result: self.result.take(), at: Instant::now() };
        if let Some(hub) = self.hub.upgrade() {
            hub.send(Command::Token(self.fetch, report));
        }
    }
}

impl From<TokenFailure> for Box<Trouble> {
    fn from(failure: TokenFailure) -> Box<Trouble> {
        Box::new(Trouble { failure, answer: None, cause: None })
    }
}

/// Sends one request after the other until there is a token.
async fn sign_in(
    settings: &Settings,
    auth: &Auth,
    http: &reqwest::Client,
) -> Result<Grant, Box<Trouble>> {
    auth.sign_in().start();
    loop {
        let request = auth.sign_in().request();
        let (status, headers, body) = exchange(request, http, &settings.user_agent).await?;
        let answer = auth.sign_in().answer(status.as_u16(), &body);
        match answer {
            Ok(None) => {}
            Ok(Some(grant)) => {
                let found = auth.sign_in().api().is_none_or(|api| settings.base.find(api));
                let usable = || HeaderValue::try_from(format!("Bearer {}", grant.access_token));
                return match (found, usable()) {
                    (true, Ok(authorization)) => Ok(granted(authorization, &grant)),
                    _ => Err(Box::from(TokenFailure::Unsendable)),
                };
            }
            Err(refusal) => return Err(trouble(refusal, auth, status, headers)),
        }
    }
}

fn granted(mut authorization: HeaderValue, grant: &TokenGrant) -> Grant {
    authorization.set_sensitive(true);
    Grant { authorization, lifetime: grant.lifetime }
}

async fn exchange(
    request: SignInRequest,
    http: &reqwest::Client,
    user_agent: &HeaderValue,
) -> Result<(StatusCode, HeaderMap, Bytes), Box<Trouble>> {
    let unanswered = |error: reqwest::Error, failure| {
        let cause: Cause = Arc::new(error.without_url());
        Box::new(Trouble { failure, answer: None, cause: Some(cause) })
    };
    let request = on_the_wire(request, user_agent).ok_or(TokenFailure::Unsendable)?;
    let sent = http.execute(request).await;
    let mut response = sent.map_err(|error| {
        let failure = match classify(&error) {
            Failure::Unsendable => TokenFailure::Unsendable,
            _ => TokenFailure::Network,
        };
        unanswered(error, failure)
    })?;
    let (status, headers) = (response.status(), response.headers().clone());
    match read(&mut response).await {
        Ok(body) => Ok((status, headers, body)),
        Err(error) => Err(unanswered(error, TokenFailure::Network)),
    }
}

/// Reads an answer, which is small if it is one: what is beyond the limit makes it unreadable.
async fn read(response: &mut reqwest::Response) -> reqwest::Result<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > DRAIN_LIMIT {
            return Ok(Bytes::new());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// `None` if a URL that was found is none.
fn on_the_wire(request: SignInRequest, user_agent: &HeaderValue) -> Option<reqwest::Request> {
    let SignInRequest { url, form, authorization } = request;
    let method = if form.is_some() { Method::POST } else { Method::GET };
    let mut request = reqwest::Request::new(method, Url::parse(&url).ok()?);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, user_agent.clone());
    if let Some(basic) = authorization {
        let mut basic = HeaderValue::try_from(basic).ok()?;
        basic.set_sensitive(true);
        headers.insert(AUTHORIZATION, basic);
    }
    if let Some(form) = form {
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, content_type);
        *request.body_mut() = Some(form.into());
    }
    Some(request)
}

/// What a refusal comes to. Its reading is the engine's crate's, the same for every host.
fn trouble(
    refusal: TokenRefusal,
    auth: &Auth,
    status: StatusCode,
    headers: HeaderMap,
) -> Box<Trouble> {
    let status_code = refusal.status;
    Box::new(Trouble {
        failure: match refusal.kind {
            Refusal::Transient => TokenFailure::Transient { status: status_code },
            Refusal::Fatal => TokenFailure::Refused { status: status_code },
        },
        cause: Some(Arc::new(TokenError::new(refusal, auth))),
        // Its body may hold a token after all, under a name that nobody knows.
        answer: Some(Answer { status, headers, body: Bytes::new() }),
    })
}

/// What the token endpoint said, the source of an [`Error`](crate::Error) of the kind
/// [`TokenFetch`](crate::ErrorKind::TokenFetch).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenError {
    code: Option<String>,
    description: Option<String>,
    problem: &'static str,
}

impl TokenError {
    fn new(refusal: TokenRefusal, auth: &Auth) -> TokenError {
        let clean = |text: String| auth.sign_in().redact(&text);
        TokenError {
            code: refusal.error.map(clean),
            description: refusal.description.map(clean),
            problem: refusal.problem,
        }
    }

    /// The OAuth error code (RFC 6749 §5.2): `invalid_client`, `invalid_scope` …
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The text beside the code.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, &self.description) {
            (Some(code), Some(description)) => write!(f, "{code}: {description}"),
            (Some(text), None) | (None, Some(text)) => f.write_str(text),
            (None, None) => f.write_str(self.problem),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use cxone_core::oauth::read_token_answer;
    use cxone_core::{ClientAuth, ClientCredentials, SignIn, SignInConfig};

    use super::*;

    fn auth(how: ClientAuth) -> Auth {
        let credentials = ClientCredentials {
            id: "id".to_owned(),
            secret: "s ==&==".to_owned(),
            scope: None,
            auth: how,
        };
        Auth::new(SignIn::new(SignInConfig {
            credentials,
            access_key: None,
            issuer: None,
            token_url: Some("https://h.example/oauth2/token".to_owned()),
            find_api: false,
        }))
    }

    #[test]
    fn x16_the_secret_travels_in_the_body_or_in_a_header_that_is_not_printed() {
        for how in [ClientAuth::Body, ClientAuth::Basic] {
            let asked = auth(how).sign_in().request();
            let request = on_the_wire(asked.clone(), &HeaderValue::from_static("t")).unwrap();
            assert_eq!(request.url().as_str(), "https://h.example/oauth2/token");
            let body = request.body().and_then(|body| body.as_bytes()).unwrap();
            assert_eq!(body, asked.form.unwrap().as_bytes());
            let basic = request.headers().get(AUTHORIZATION);
            let sent = basic.map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(sent, asked.authorization);
            assert!(basic.is_none_or(HeaderValue::is_sensitive));
        }
    }

    #[test]
    fn x17_an_error_that_quotes_the_secret_is_cleaned() {
        let body = serde_json::json!({
            "error": "invalid_client", "error_description": "bad s ==&==",
        });
        let refusal = read_token_answer(400, body.to_string().as_bytes()).unwrap_err();
        let auth = auth(ClientAuth::Body);
        let trouble = trouble(refusal, &auth, StatusCode::BAD_REQUEST, HeaderMap::new());
        assert_eq!(trouble.failure, TokenFailure::Refused { status: 400 });
        assert_eq!(trouble.cause.unwrap().to_string(), "invalid_client: bad ***");
    }

    #[test]
    fn only_the_last_two_tokens_are_kept() {
        let mut tokens = Tokens::default();
        for n in 1..=3 {
            tokens.keep(Generation(n), HeaderValue::from(n));
        }
        assert!(tokens.find(Generation(1)).is_none());
        assert_eq!(tokens.find(Generation(2)), Some(HeaderValue::from(2)));
        assert_eq!(tokens.find(Generation(3)), Some(HeaderValue::from(3)));
    }
}
