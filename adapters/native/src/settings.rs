//! What a client was built with, and the error of settings that cannot be.

use std::borrow::Cow;
use std::fmt;

use cxone_core::{ClientCredentials, Config, ConfigError};
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::scope::ScopeBy;

/// The checked settings of a client.
pub(crate) struct Settings {
    pub(crate) base: Url,
    pub(crate) auth: Option<Auth>,
    pub(crate) connect: Connect,
    pub(crate) user_agent: HeaderValue,
    pub(crate) default_headers: HeaderMap,
    pub(crate) correlation_id: bool,
    pub(crate) follow_redirects: bool,
    pub(crate) max_body: usize,
    pub(crate) scope_by: ScopeBy,
    pub(crate) seed: u64,
    pub(crate) engine: Config,
}

/// How a token is had.
pub(crate) struct Auth {
    pub(crate) url: Url,
    pub(crate) credentials: ClientCredentials,
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
