//! How a mock is set up.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use cxone_sim::LimitSpec;
use http::StatusCode;

use crate::{
    cors::Cors,
    fault::final_status,
    interactions::PageFault,
    oauth::ExpiresIn,
    refusal::{LimitHeaders, RefusalBody, RetryAfter, Style},
    script::Script,
    server::Mock,
};

/// The client id that is known unless others are named.
pub const DEFAULT_CLIENT_ID: &str = "mock-client";

/// Its secret, which ends as those of the platform do, so that it must be encoded to arrive.
pub const DEFAULT_CLIENT_SECRET: &str = "mock-secret====";

/// The access key id that is known unless others are named.
pub const DEFAULT_ACCESS_KEY_ID: &str = "mock-key";

/// Its secret.
pub const DEFAULT_ACCESS_KEY_SECRET: &str = "mock-key-secret====";

/// Sets up a [`Mock`]. Every setting has a default.
#[derive(Clone, Debug)]
#[must_use = "a mock has to be started"]
pub struct Builder {
    config: Config,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) bind: SocketAddr,
    clients: Vec<Credentials>,
    access_keys: Vec<Credentials>,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) api_endpoint: Option<String>,
    pub(crate) poll_size: usize,
    pub(crate) job_polls: u32,
    pub(crate) result_lifetime: Duration,
    pub(crate) result_size: usize,
    pub(crate) interactions: usize,
    pub(crate) style: Style,
    pub(crate) clock_skew: i64,
    pub(crate) token_lifetime: Duration,
    pub(crate) expires_in: ExpiresIn,
    pub(crate) early_grace: Duration,
    pub(crate) cors: Cors,
    /// Applied in order at the start.
    pub(crate) scripts: Vec<Script>,
}

#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Builder {
        let style = Style {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: RetryAfter::default(),
            headers: LimitHeaders::default(),
            body: RefusalBody::default(),
        };
        Builder {
            config: Config {
                bind: (Ipv4Addr::LOCALHOST, 0).into(),
                clients: Vec::new(),
                access_keys: Vec::new(),
                refresh_lifetime: Duration::from_secs(7200),
                api_endpoint: None,
                poll_size: 10_000,
                job_polls: 2,
                result_lifetime: Duration::from_secs(30),
                result_size: 100_000,
                interactions: 2_500,
                style,
                clock_skew: 0,
                token_lifetime: Duration::from_secs(3600),
                expires_in: ExpiresIn::default(),
                early_grace: Duration::from_millis(250),
                cors: Cors::default(),
                scripts: Vec::new(),
            },
        }
    }
}

impl Builder {
    /// Where to listen. The default is a free port of 127.0.0.1.
    pub fn bind(mut self, addr: SocketAddr) -> Builder {
        self.config.bind = addr;
        self
    }

    /// Adds a client that may ask for tokens. Without any there is one, [`DEFAULT_CLIENT_ID`]
    /// with [`DEFAULT_CLIENT_SECRET`].
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Builder {
        self.config.clients.push(Credentials { id: id.into(), secret: secret.into() });
        self
    }

    /// Adds an access key, for the platform's token endpoint. Without any there is one,
    /// [`DEFAULT_ACCESS_KEY_ID`] with [`DEFAULT_ACCESS_KEY_SECRET`].
    pub fn access_key(mut self, id: impl Into<String>, secret: impl Into<String>) -> Builder {
        self.config.access_keys.push(Credentials { id: id.into(), secret: secret.into() });
        self
    }

    /// How long a refresh token is good for; the default is two hours.
    pub fn refresh_lifetime(mut self, lifetime: Duration) -> Builder {
        self.config.refresh_lifetime = lifetime;
        self
    }

    /// What the tenant's configuration names as the address of its APIs. The default is the mock
    /// itself.
    pub fn api_endpoint(mut self, url: impl Into<String>) -> Builder {
        self.config.api_endpoint = Some(url.into());
        self
    }

    /// How many contacts contacts/completed sends at most in one answer. The default is that of
    /// the platform, 10 000.
    pub fn poll_size(mut self, records: usize) -> Builder {
        self.config.poll_size = records.max(4);
        self
    }

    /// How often a job is still running when it is asked for. The default is 2.
    pub fn job_polls(mut self, polls: u32) -> Builder {
        self.config.job_polls = polls;
        self
    }

    /// How long the address of a job's result or of a recording is good for. The default is that
    /// of the platform, 30 s.
    pub fn result_lifetime(mut self, lifetime: Duration) -> Builder {
        self.config.result_lifetime = lifetime;
        self
    }

    /// How many bytes a result or a recording has. The default is 100 000.
    pub fn result_size(mut self, bytes: usize) -> Builder {
        self.config.result_size = bytes;
        self
    }

    /// How many interactions there are. The default is 2500.
    pub fn interactions(mut self, count: usize) -> Builder {
        self.config.interactions = count;
        self
    }

    /// Limits each client's API requests, all paths together. The default is no limit. Fixed
    /// windows are counted from the start of the mock.
    pub fn limit(self, spec: LimitSpec) -> Builder {
        self.limit_for("", spec)
    }

    /// Limits each client's requests to paths that begin so, apart from all others: of several
    /// limits that of the longest prefix counts, alone. A prefix of `/oauth2` limits the token
    /// endpoint, which no other limit does.
    pub fn limit_for(self, prefix: impl Into<String>, spec: LimitSpec) -> Builder {
        self.script(Script::new().limit(prefix, Some(spec)))
    }

    /// The status of the limiter's refusals; the default is 429. The platform also throttles
    /// with 503, 509, 529 and 403.
    ///
    /// # Panics
    ///
    /// If this is no status of an answer.
    pub fn refuse_with(mut self, status: u16) -> Builder {
        self.config.style.status =
            final_status(status).expect("a status is a number from 200 to 999");
        self
    }

    /// How refusals state their wait; the default is in seconds.
    pub fn retry_after(mut self, form: RetryAfter) -> Builder {
        self.config.style.retry_after = form;
        self
    }

    /// Which headers tell the state of the limit on every answer; the default is none.
    pub fn limit_headers(mut self, family: LimitHeaders) -> Builder {
        self.config.style.headers = family;
        self
    }

    /// The body of refusals; the default is JSON.
    pub fn refusal_body(mut self, body: RefusalBody) -> Builder {
        self.config.style.body = body;
        self
    }

    /// Sets the server's clock ahead by so many seconds, or back. It is wrong consistently: in
    /// `Date`, in a Retry-After date and in an epoch reset.
    pub fn clock_skew(mut self, seconds: i64) -> Builder {
        self.config.clock_skew = seconds;
        self
    }

    /// How long a token is good for; the default is an hour. The answer states whole seconds.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Builder {
        self.config.token_lifetime = lifetime;
        self
    }

    /// How the token endpoint states the lifetime; the default is as RFC 6749 has it.
    pub fn expires_in(mut self, form: ExpiresIn) -> Builder {
        self.config.expires_in = form;
        self
    }

    /// Serves page `number` of the interactions, counted from 1, with a fault each time.
    pub fn page_fault(self, number: u64, fault: PageFault) -> Builder {
        self.script(Script::new().page(number, fault))
    }

    /// How long after a refusal an arrival still counts as under way when it was written. The
    /// default is 250 ms; see [early](crate#early).
    pub fn early_grace(mut self, grace: Duration) -> Builder {
        self.config.early_grace = grace;
        self
    }

    /// What pages from other origins may see; the default is nothing.
    pub fn cors(mut self, cors: Cors) -> Builder {
        self.config.cors = cors;
        self
    }

    /// Plays a [`Script`] or a single [`Rule`](crate::Rule) from the start.
    pub fn script(mut self, script: impl Into<Script>) -> Builder {
        self.config.scripts.push(script.into());
        self
    }

    /// Starts the mock on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start(mut self) -> io::Result<Mock> {
        if self.config.clients.is_empty() {
            self = self.client(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET);
        }
        if self.config.access_keys.is_empty() {
            self = self.access_key(DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET);
        }
        Mock::start(self.config).await
    }
}

impl Config {
    pub(crate) fn clients(&self) -> impl Iterator<Item = &Credentials> {
        self.clients.iter()
    }

    pub(crate) fn has_access_key(&self, id: &str, secret: &str) -> bool {
        self.access_keys.iter().any(|key| key.id == id && key.secret == secret)
    }
}
