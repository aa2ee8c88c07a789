//! The settings of a client, and their checks.

use std::fmt;
use std::time::Duration;

use cxone_core::profile::{self, Profile};
use cxone_core::{
    AccessKey, Backoff, ClientAuth, ClientCredentials, Config, Engine, Now, Pacing, Reading,
    ScopeConfig, SignIn, SignInConfig,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::address::{below, parse_token_url, parse_url};
use crate::client::Client;
use crate::env::Environment;
use crate::scope::ScopeBy;
use crate::secret::Secret;
use crate::settings::{Auth, Base, BuildError, Protocol, Settings, Transport};

/// The `User-Agent` of a client that names none.
const USER_AGENT: &str = concat!("cxone-client/", env!("CARGO_PKG_VERSION"));

/// The largest body that is read into memory by default: 64 MiB.
const MAX_BODY: usize = 64 << 20;

/// Makes a [`Client`]; see [`Client::builder`]. Every default is the value we would choose.
#[must_use = "a builder does nothing until `build()`"]
pub struct ClientBuilder {
    base_url: Option<String>,
    token_url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    issuer: Option<String>,
    no_auth: bool,
    oauth_scope: Option<String>,
    client_auth: Option<ClientAuth>,
    user_agent: String,
    default_headers: HeaderMap,
    correlation_id: bool,
    follow_redirects: bool,
    max_body: usize,
    scope_by: Option<ScopeBy>,
    engine: Config,
    seed: Option<u64>,
    protocol: Protocol,
    make_http: Option<Box<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>>,
    http: Option<reqwest::Client>,
    error: Option<BuildError>,
}

impl Default for ClientBuilder {
    fn default() -> ClientBuilder {
        ClientBuilder {
            base_url: None,
            token_url: None,
            client_id: None,
            client_secret: None,
            access_key_id: None,
            access_key_secret: None,
            issuer: None,
            no_auth: false,
            oauth_scope: None,
            client_auth: None,
            user_agent: USER_AGENT.to_owned(),
            default_headers: HeaderMap::new(),
            correlation_id: true,
            follow_redirects: true,
            max_body: MAX_BODY,
            scope_by: None,
            engine: Config::default(),
            seed: None,
            protocol: Protocol::Negotiate,
            make_http: None,
            http: None,
            error: None,
        }
    }
}

/// Where to, and as whom. An [`access_key`](Self::access_key) means NICE's own platform, an
/// [`issuer`](Self::issuer) without one any OAuth 2.0 server, neither of them a gateway: see
/// [`Profile`].
impl ClientBuilder {
    /// The URL under which the APIs are: `https://YOUR_SUBDOMAIN.api.nicecxone.com`. It may have
    /// a path, below which all paths then are. Required, but for the platform, where it is
    /// discovered: `https://api-na1.niceincontact.com` and its like.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The token endpoint. Default: `oauth2/token` under a gateway's base URL; discovered, where
    /// there is an issuer.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }

    /// Id and secret for the OAuth 2.0 client credentials grant. Required, unless
    /// [`no_auth`](Self::no_auth).
    pub fn client_credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self.client_secret = Some(Secret::new(secret));
        self
    }

    /// Signs in to NICE's own platform with an access key of a user, beside the id and secret of
    /// the [client](Self::client_credentials): the password grant, once; then its refresh token,
    /// as long as that is taken, and the access key again. Token endpoint and API host are
    /// discovered from the [issuer](Self::issuer).
    pub fn access_key(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.access_key_id = Some(id.into());
        self.access_key_secret = Some(Secret::new(secret));
        self
    }

    /// Where endpoints are discovered (OpenID Connect Discovery 1.0). Default, with an access key:
    /// [`PLATFORM_ISSUER`](profile::PLATFORM_ISSUER); the government cloud is
    /// [`GOVERNMENT_ISSUER`](profile::GOVERNMENT_ISSUER).
    pub fn issuer(mut self, url: impl Into<String>) -> Self {
        self.issuer = Some(url.into());
        self
    }

    /// Takes what was not set so far from `CXONE_CLIENT_ID`, `CXONE_CLIENT_SECRET`,
    /// `CXONE_BASE_URL`, `CXONE_TOKEN_URL`, `CXONE_ACCESS_KEY_ID`, `CXONE_ACCESS_KEY_SECRET` and
    /// `CXONE_ISSUER`: from the environment, else from a `.env` file in the working directory.
    /// The process environment is not changed. An unreadable file is reported by
    /// [`build`](Self::build).
    ///
    /// In the file a value is taken as it stands, nothing in it expanded or escaped; it may be
    /// quoted (`'` or `"`), and a comment begins with a `#` after a space.
    pub fn from_env(mut self) -> Self {
        match Environment::load() {
            Ok(found) => {
                self.base_url = self.base_url.or(found.base_url);
                self.token_url = self.token_url.or(found.token_url);
                self.client_id = self.client_id.or(found.client_id);
                self.client_secret = self.client_secret.or(found.client_secret);
                self.access_key_id = self.access_key_id.or(found.access_key_id);
                self.access_key_secret = self.access_key_secret.or(found.access_key_secret);
                self.issuer = self.issuer.or(found.issuer);
            }
            Err(error) => self.error = Some(error),
        }
        self
    }

    /// No token at all: for an API, or a gateway, that needs none.
    pub fn no_auth(mut self) -> Self {
        self.no_auth = true;
        self
    }

    /// The OAuth scope to ask for; an empty one asks for none. Default: `contact-center-api` of a
    /// gateway, none of others.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.oauth_scope = Some(scope.into());
        self
    }

    /// How id and secret travel to the token endpoint. Default: [`ClientAuth::Basic`] to the
    /// platform, [`ClientAuth::Body`] to others.
    pub fn client_auth(mut self, how: ClientAuth) -> Self {
        self.client_auth = Some(how);
        self
    }
}

/// What every request carries.
impl ClientBuilder {
    /// The `User-Agent`. Default `cxone-client/{version}`.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// A header field for every request to the base URL's origin; no other origin gets it. An
    /// `Authorization` gives way to the client's token.
    pub fn default_header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.default_headers.insert(name, value);
            }
            _ => {
                let fix = "a name is a token, a value visible ASCII (RFC 9110 §5)";
                self.error = Some(BuildError::new("default_header", fix));
            }
        }
        self
    }

    /// Does every request carry a UUID as `X-Correlation-ID`, the same in all its retries?
    /// Default true.
    pub fn correlation_id(mut self, on: bool) -> Self {
        self.correlation_id = on;
        self
    }

    /// Are redirects of `GET` and `HEAD` followed, within one origin? Others are delivered as
    /// they are. Default true.
    pub fn follow_redirects(mut self, on: bool) -> Self {
        self.follow_redirects = on;
        self
    }

    /// The largest body, in bytes, that [`send`](crate::RequestBuilder::send) reads into memory;
    /// a larger one fails the request. Default 64 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}

/// Pace and patience: see [`Config`] for each in full.
impl ClientBuilder {
    /// Requests in flight at once, 1 to 65 535. Default 8.
    pub fn concurrency(mut self, n: u32) -> Self {
        self.engine.concurrency = n;
        self
    }

    /// Time allowed to one sending, its body included. Default 15 s; [`Duration::MAX`] is none.
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.engine.attempt_timeout = time;
        self
    }

    /// Failures (502, 503, 504, resets, timeouts …) after which a request fails; throttles do
    /// not count. Default 5; 1 is no retry.
    pub fn max_attempts(mut self, n: u32) -> Self {
        self.engine.max_attempts = n;
        self
    }

    /// Time spent retrying after a request's first sending. Default 1 h.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.engine.retry_for = time;
        self
    }

    /// The longest wait that a server may state; what must wait longer fails at once as
    /// [`RateLimited`](crate::ErrorKind::RateLimited). Default 15 min.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.engine.max_wait = time;
        self
    }

    /// Requests that may wait at once. Default 1 048 576.
    pub fn queue_limit(mut self, n: u32) -> Self {
        self.engine.queue_limit = n;
        self
    }

    /// A class that waits gets one of so many sends, at least 2. Default 16.
    pub fn fair_share(mut self, n: u32) -> Self {
        self.engine.fair_share = n;
        self
    }

    /// After the token endpoint refused for good, no fetch is tried for so long. Default 30 s.
    pub fn token_cooldown(mut self, time: Duration) -> Self {
        self.engine.token_cooldown = time;
        self
    }

    /// The arithmetic of the waits that no server states. Default: 1 s, doubled up to 30 s.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.engine.backoff = backoff;
        self
    }

    /// How limit headers are read.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.engine.reading = reading;
        self
    }

    /// Which limits a request consumes that names none itself. Default: [`ScopeBy::Published`] on
    /// the platform, else [`ScopeBy::Client`].
    pub fn scope_by(mut self, rule: ScopeBy) -> Self {
        self.scope_by = Some(rule);
        self
    }

    /// How requests are paced, in each scope apart. Default [`Pacing::Learned`]: by what the
    /// server announces, and by what its refusals teach. See [the operator's page](cxone_core::pacing).
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.engine.pacing = pacing;
        self
    }

    /// How the requests of that scope are paced, if otherwise than [`pacing`](Self::pacing) says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cxone_client::{Client, KnownLimit, Pacing};
    ///
    /// // Media playback has a published limit: 150 requests in 5 minutes.
    /// let per = Duration::from_secs(300);
    /// let published = KnownLimit { requests: 150, per, burst: None };
    /// let client = Client::builder().scope_pacing("media-playback", Pacing::Seeded(published));
    /// ```
    pub fn scope_pacing(mut self, scope: impl Into<String>, pacing: Pacing) -> Self {
        self.scope_config(scope.into()).pacing = Some(pacing);
        self
    }

    /// At most so many requests of that scope are in flight at once, inside the client's limit.
    pub fn scope_limit(mut self, scope: impl Into<String>, concurrency: u32) -> Self {
        let scope = self.scope_config(scope.into());
        (scope.concurrency, scope.apart) = (Some(concurrency), false);
        self
    }

    /// As [`scope_limit`](Self::scope_limit), but apart from the client's limit: for long polls,
    /// which would hold a slot for minutes.
    pub fn scope_limit_apart(mut self, scope: impl Into<String>, concurrency: u32) -> Self {
        let scope = self.scope_config(scope.into());
        (scope.concurrency, scope.apart) = (Some(concurrency), true);
        self
    }

    /// The seed of the jitter, for a run that can be repeated. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What is known of a scope: of one name there is one, and of two values the later counts.
    fn scope_config(&mut self, name: String) -> &mut ScopeConfig {
        let scopes = &mut self.engine.scopes;
        let known = scopes.iter().position(|scope| scope.name == name);
        let at = known.unwrap_or_else(|| {
            scopes.push(ScopeConfig { name, concurrency: None, apart: false, pacing: None });
            scopes.len() - 1
        });
        &mut scopes[at]
    }
}

/// The transport.
impl ClientBuilder {
    /// Speaks only HTTP/1.1. By default TLS negotiates HTTP/2 or HTTP/1.1.
    pub fn http1_only(mut self) -> Self {
        self.protocol = Protocol::Http1;
        self
    }

    /// Speaks HTTP/2 without asking first, also without TLS. The token endpoint is spoken to in
    /// HTTP/1.1 all the same: CXone's fails over HTTP/2.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// Starts from another `reqwest::ClientBuilder`: proxies, certificates, addresses, pools.
    ///
    /// It is called twice, for the APIs and for the token endpoint (and again should the
    /// connections be lost with their runtime), and finished here: no retry, no redirect and no
    /// `Referer` of reqwest's own, which would escape all accounting. Set no `timeout` on it: the
    /// attempt timeout is [`attempt_timeout`](Self::attempt_timeout).
    pub fn reqwest(
        mut self,
        start: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.make_http = Some(Box::new(start));
        self
    }

    /// Takes a finished `reqwest::Client` for the APIs (not for the token endpoint).
    ///
    /// What this costs: reqwest sends again by itself where it thinks that it may, and follows
    /// redirects, in both cases past the limits, the pauses and the counters of this client,
    /// unless that client was built with `.retry(reqwest::retry::never())` and
    /// `.redirect(reqwest::redirect::Policy::none())`. A `timeout` of its own reaches callers as
    /// a network error. [`reqwest`](Self::reqwest) has none of this.
    pub fn reqwest_client(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Makes the client. It needs no runtime and sends nothing: the first request does.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names the setting that cannot be used, and what it must be.
    pub fn build(mut self) -> Result<Client, BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let has_key = self.access_key_id.is_some() || self.access_key_secret.is_some();
        let profile = Profile::chosen(has_key && !self.no_auth, self.issuer.is_some());
        let issuer = match (self.issuer, profile) {
            (Some(issuer), _) => Some(parse_url("issuer", &issuer)?),
            (None, Profile::Platform) => Some(parse_url("issuer", profile::PLATFORM_ISSUER)?),
            (None, _) => None,
        };
        let base = match (&self.base_url, &issuer) {
            (Some(base), _) => Base::given(parse_url("base_url", base)?),
            (None, Some(issuer)) if profile == Profile::Platform => Base::at_issuer(issuer),
            (None, _) => {
                let fix = "it is missing: https://YOUR_SUBDOMAIN.api.nicecxone.com, or set \
                           CXONE_BASE_URL";
                return Err(BuildError::new("base_url", fix));
            }
        };
        if base.url().query().is_some() {
            return Err(BuildError::new("base_url", "it cannot have a query"));
        }
        let identity = self.access_key_id.clone().or_else(|| self.client_id.clone());
        let identity = identity.filter(|_| !self.no_auth);
        let auth = if self.no_auth {
            None
        } else {
            let (id, secret) = credentials(self.client_id, self.client_secret)?;
            let access_key = match profile {
                Profile::Platform => Some(access_key(self.access_key_id, self.access_key_secret)?),
                _ => None,
            };
            let scope = self.oauth_scope.or_else(|| {
                let gateway = profile == Profile::Gateway;
                gateway.then(|| profile::GATEWAY_SCOPE.to_owned())
            });
            let by_default = match profile {
                Profile::Platform => ClientAuth::Basic,
                _ => ClientAuth::Body,
            };
            let credentials = ClientCredentials {
                id,
                secret: secret.expose().to_owned(),
                scope: scope.filter(|scope| !scope.is_empty()),
                auth: self.client_auth.unwrap_or(by_default),
            };
            let token_url = match (self.token_url, &issuer) {
                (Some(url), _) => Some(parse_token_url(&url, &credentials)?),
                (None, Some(_)) => None,
                (None, None) => Some(below(base.url(), profile::GATEWAY_TOKEN_PATH)),
            };
            Some(Auth::new(SignIn::new(SignInConfig {
                credentials,
                access_key,
                issuer: issuer.map(String::from),
                token_url: token_url.map(String::from),
                find_api: self.base_url.is_none(),
            })))
        };
        if profile == Profile::Platform {
            for limit in profile::LIMITS {
                let scopes = &mut self.engine.scopes;
                match scopes.iter_mut().find(|scope| scope.name == limit.scope) {
                    None => scopes.push(limit.config()),
                    Some(scope) => scope.pacing = scope.pacing.or(limit.pacing),
                }
            }
        }
        let scope_by = self.scope_by.unwrap_or(match profile {
            Profile::Platform => ScopeBy::Published,
            _ => ScopeBy::Client,
        });
        // The engine alone knows what it accepts.
        Engine::new(self.engine.clone(), 0, Now::default())?;
        let user_agent = HeaderValue::from_str(&self.user_agent)
            .map_err(|_| BuildError::new("user_agent", "choose visible ASCII (RFC 9110 §5.5)"))?;
        // Another reqwest may speak or say something else.
        let plain = self.make_http.is_none() && self.http.is_none();
        let host = base.host().filter(|_| plain && self.protocol.is_http1(base.url()));
        let (make, finished, protocol) = (self.make_http, self.http, self.protocol);
        let connect = move || {
            let start = || make.as_ref().map_or_else(reqwest::Client::builder, |make| make());
            let api = finished.clone().map_or_else(|| protocol.finish(start()), Ok)?;
            let token = Protocol::Http1.finish(start())?;
            Ok(Transport { api, token })
        };
        let transport = connect()?;
        let settings = Settings {
            base,
            auth,
            identity,
            connect: Box::new(connect),
            user_agent,
            default_headers: self.default_headers,
            host,
            correlation_id: self.correlation_id,
            follow_redirects: self.follow_redirects,
            max_body: self.max_body,
            scope_by,
            seed: self.seed.unwrap_or_else(random),
            engine: self.engine,
        };
        Ok(Client::new(settings, transport))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("base_url", &self.base_url.is_some())
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .field("access_key_id", &self.access_key_id)
            .field("access_key_secret", &self.access_key_secret)
            .finish_non_exhaustive()
    }
}

fn access_key(id: Option<String>, secret: Option<Secret>) -> Result<AccessKey, BuildError> {
    let id = id.filter(|id| !id.is_empty());
    let secret = secret.map(|secret| secret.expose().to_owned()).filter(|it| !it.is_empty());
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(AccessKey { id, secret }),
        (None, _) => {
            let fix = "its id is empty or missing: set CXONE_ACCESS_KEY_ID";
            Err(BuildError::new("access_key", fix))
        }
        (_, None) => {
            let fix = "its secret is empty or missing: set CXONE_ACCESS_KEY_SECRET";
            Err(BuildError::new("access_key", fix))
        }
    }
}

fn credentials(id: Option<String>, secret: Option<Secret>) -> Result<(String, Secret), BuildError> {
    let missing = |field, fix| Err(BuildError::new(field, fix));
    match (id.filter(|id| !id.is_empty()), secret.filter(|it| !it.expose().is_empty())) {
        (Some(id), Some(secret)) => Ok((id, secret)),
        (None, Some(_)) => missing("client_id", "it is empty or missing: set CXONE_CLIENT_ID"),
        (Some(_), None) => {
            missing("client_secret", "it is empty or missing: set CXONE_CLIENT_SECRET")
        }
        (None, None) => missing(
            "client_credentials",
            "they are missing: give an id and a secret, set CXONE_CLIENT_ID and \
             CXONE_CLIENT_SECRET, or choose no_auth()",
        ),
    }
}

/// Random bits. Of a UUID's some are fixed, and in other places of its halves.
fn random() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    high ^ low
}
