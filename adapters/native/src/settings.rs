//! What a client was built with, and the error of settings that cannot be.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cxone_core::{Config, ConfigError, SignIn};
use http::{HeaderMap, HeaderValue};
use url::{Position, Url};

use crate::address::{below, parse_url, same_origin};
use crate::outgoing::Place;
use crate::scope::ScopeBy;

/// The checked settings of a client.
pub(crate) struct Settings {
    pub(crate) base: Base,
    pub(crate) auth: Option<Auth>,
    /// The id that it signs in with.
    pub(crate) identity: Option<String>,
    pub(crate) connect: Connect,
    pub(crate) user_agent: HeaderValue,
    pub(crate) default_headers: HeaderMap,
    /// The base URL's `Host`, where nothing but HTTP/1.1 is spoken: hyper would write it anew for
    /// each request, which costs more than all other fields together.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) correlation_id: bool,
    pub(crate) follow_redirects: bool,
    pub(crate) max_body: usize,
    pub(crate) scope_by: ScopeBy,
    pub(crate) seed: u64,
    pub(crate) engine: Config,
}

/// Where the APIs are: as it was given, or as a sign-in finds it.
pub(crate) struct Base {
    /// Until it is found, the issuer stands in for it.
    given: Url,
    found: Option<OnceLock<Url>>,
}

impl Base {
    pub(crate) fn given(url: Url) -> Base {
        Base { given: url, found: None }
    }

    /// To be found by a sign-in at this issuer.
    pub(crate) fn at_issuer(issuer: &Url) -> Base {
        let mut given = issuer.clone();
        given.set_path("/");
        Base { given, found: Some(OnceLock::new()) }
    }

    /// Its `Host` (RFC 9110 §7.2), if that was given.
    pub(crate) fn host(&self) -> Option<HeaderValue> {
        let given = self.found.is_none().then_some(&self.given)?;
        HeaderValue::from_str(&given[Position::BeforeHost..Position::AfterPort]).ok()
    }

    /// The base URL, as far as it is known.
    pub(crate) fn url(&self) -> &Url {
        self.now().0
    }

    /// The same, and whether that is for good.
    pub(crate) fn now(&self) -> (&Url, bool) {
        match &self.found {
            None => (&self.given, true),
            Some(found) => found.get().map_or((&self.given, false), |url| (url, true)),
        }
    }

    /// What stands in for it until it is found.
    pub(crate) fn stand_in(&self) -> &Url {
        &self.given
    }

    /// A sign-in has found it. `false`: that is no URL of an API.
    pub(crate) fn find(&self, api: &str) -> bool {
        match (&self.found, parse_url("base_url", api)) {
            (Some(found), Ok(url)) => {
                found.get_or_init(|| url);
                true
            }
            (None, _) => true,
            (_, Err(_)) => false,
        }
    }

    /// Where a URL that was made before it was found leads now; `None`: it still is not found, or
    /// the URL is of another origin.
    pub(crate) fn placed(&self, early: &Url, place: Place) -> Option<Url> {
        if place == Place::Known {
            return Some(early.clone());
        }
        let found = self.found.as_ref()?.get()?;
        let path = &early[Position::BeforePath..];
        match place {
            Place::Below => Some(below(found, path)),
            Place::AtOrigin => found.join(path).ok(),
            _ => same_origin(early, found).then(|| early.clone()),
        }
    }
}

/// How a token is had.
pub(crate) struct Auth(Mutex<SignIn>);

impl Auth {
    pub(crate) fn new(sign_in: SignIn) -> Auth {
        Auth(Mutex::new(sign_in))
    }

    pub(crate) fn sign_in(&self) -> MutexGuard<'_, SignIn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What requests are sent with; each keeps a pool of connections.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) api: reqwest::Client,
    pub(crate) token: reqwest::Client,
}

/// Makes a transport with empty pools.
pub(crate) type Connect = Box<dyn Fn() -> Result<Transport, BuildError> + Send + Sync>;

/// Which HTTP is spoken.
#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    Negotiate,
    Http1,
    Http2,
}

impl Protocol {
    /// Is HTTP/1.1 all that is spoken under this URL?
    pub(crate) fn is_http1(self, base: &Url) -> bool {
        match self {
            Protocol::Negotiate => base.scheme() == "http", // what there is to negotiate, TLS does
            Protocol::Http1 => true,
            Protocol::Http2 => false,
        }
    }

    /// Takes from reqwest what the engine decides: its own retries and redirects would be
    /// sendings that nobody counts, and that start in the middle of a pause.
    pub(crate) fn finish(
        self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, BuildError> {
        // Of what is retried at most zero times it keeps no copy.
        let builder = builder
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        let builder = match self {
            Protocol::Negotiate => builder,
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_prior_knowledge(),
        };
        builder.build().map_err(BuildError::reqwest)
    }
}

/// A setting that cannot be used: which one, and what to do about it. It quotes no value.
#[derive(Debug)]
pub struct BuildError {
    field: &'static str,
    fix: Cow<'static, str>,
    source: Option<reqwest::Error>,
}

impl BuildError {
    pub(crate) fn new(field: &'static str, fix: impl Into<Cow<'static, str>>) -> BuildError {
        BuildError { field, fix: fix.into(), source: None }
    }

    pub(crate) fn reqwest(source: reqwest::Error) -> BuildError {
        BuildError {
            source: Some(source),
            ..BuildError::new("reqwest", "the HTTP client cannot be built with these settings")
        }
    }

    /// The setting, as its method is called.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What it must be.
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid setting `{}`: {}", self.field, self.fix)
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<ConfigError> for BuildError {
    fn from(error: ConfigError) -> BuildError {
        BuildError::new(error.field, error.fix)
    }
}
