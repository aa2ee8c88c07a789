//! The client: a handle on what its clones share.

use std::fmt;
use std::sync::Arc;

use cxone_core::{Config, Engine, JobStyle, Now};
use http::Method;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use url::Url;

use crate::agent::AgentEvents;
use crate::builder::ClientBuilder;
use crate::download::Download;
use crate::driver::Command;
use crate::env::Environment;
use crate::error::shown;
use crate::hub::Hub;
use crate::job::Job;
use crate::notice::Notices;
use crate::paginate::Paginate;
use crate::request::RequestBuilder;
use crate::settings::{BuildError, Settings, Transport};
use crate::stats::Stats;

/// The items of [`Client::interactions`].
const INTERACTIONS: &str = "/api/v2.0/interactions";

/// A client for one tenant of NICE CXone. Clones share everything: the queue, the limits, the
/// token, the connections.
///
/// Its requests run in the background, as tasks of the tokio runtime from which it is first used.
/// If that runtime ends, or nobody runs it any more (which takes some seconds to tell), what was
/// under way fails as [`Closed`](crate::ErrorKind::Closed), and the next request makes the runtime
/// that it is sent from the client's new one, where pauses, token and counters go on.
#[derive(Clone)]
pub struct Client {
    pub(crate) hub: Arc<Hub>,
}

/// How [`Client::close`] treats what was accepted before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// It still runs to its end, retries and waits included. Holds are lifted.
    Drain,
    /// It ends now, as [`Closed`](crate::ErrorKind::Closed).
    Abort,
}

/// Making one.
impl Client {
    /// A builder with every default set.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A client from the environment, for a gateway (`CXONE_BASE_URL`, `CXONE_CLIENT_ID`,
    /// `CXONE_CLIENT_SECRET`) or for NICE's own platform (the last two with
    /// `CXONE_ACCESS_KEY_ID` and `CXONE_ACCESS_KEY_SECRET`): see [`ClientBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// [`BuildError`] names what is missing or cannot be used.
    pub fn from_env() -> Result<Client, BuildError> {
        Client::builder().from_env().build()
    }

    /// Which of the variables that [`ClientBuilder::from_env`] reads have a value, in the
    /// environment or in `.env`: for a program that goes another way where none has.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if there is a `.env` that cannot be used.
    pub fn found_in_env() -> Result<Vec<&'static str>, BuildError> {
        Ok(Environment::load()?.found())
    }

    pub(crate) fn new(settings: Settings, transport: Transport) -> Client {
        Client { hub: Arc::new(Hub::new(settings, transport)) }
    }
}

/// Requests. A path is one under the base URL, or an absolute URL.
impl Client {
    /// A `GET`.
    pub fn get(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A `POST`: sent again only if the server refused it or never saw it, unless it has an
    /// [`idempotency_key`](RequestBuilder::idempotency_key).
    pub fn post(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A `PUT`.
    pub fn put(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A `PATCH`, which is retried as a [`post`](Self::post) is.
    pub fn patch(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, path)
    }

    /// A `DELETE`.
    pub fn delete(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A `HEAD`.
    pub fn head(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    /// A request with any method.
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(&self.hub, method, path.as_ref())
    }

    /// The items of all pages, as a `Stream`, in the style `cursor`, `page_size`, `entities`,
    /// `next_page_token`.
    pub fn paginate<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Paginate<T> {
        Paginate::new(self.clone(), path.as_ref())
    }

    /// A job: what is posted there is done by and by, and then there may be a result to fetch.
    pub fn job(&self, style: JobStyle, path: impl AsRef<str>) -> Job {
        Job::new(self.clone(), style, path.as_ref())
    }

    /// A file, to be streamed to disk.
    pub fn download(&self, path: impl AsRef<str>) -> Download {
        Download::new(self.clone(), path.as_ref())
    }

    /// The events of an agent's session, as they come: a `Stream`, by long polls of
    /// `…/agent-sessions/{id}/get-next-event`. The path is that of the session.
    pub fn agent_events(&self, session: impl AsRef<str>) -> AgentEvents {
        AgentEvents::new(self.clone(), session.as_ref())
    }

    /// All interactions, 100 a page.
    pub fn interactions<T: DeserializeOwned>(&self) -> Paginate<T> {
        self.paginate(INTERACTIONS)
    }
}

/// Steering, at run time.
impl Client {
    /// Holds everything back. What is in flight finishes; requests are still accepted; deadlines
    /// run.
    pub fn pause(&self) {
        self.hub.send(Command::Pause(None));
    }

    /// Ends [`pause`](Self::pause), and never a wait that the server wants.
    pub fn resume(&self) {
        self.hub.send(Command::Resume(None));
    }

    /// As [`pause`](Self::pause), for the requests of one scope.
    pub fn pause_scope(&self, scope: impl Into<String>) {
        self.hub.send(Command::Pause(Some(scope.into())));
    }

    /// Ends [`pause_scope`](Self::pause_scope).
    pub fn resume_scope(&self, scope: impl Into<String>) {
        self.hub.send(Command::Resume(Some(scope.into())));
    }

    /// Changes how many requests may be in flight at once; those that are stay.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 65 535.
    pub fn set_concurrency(&self, n: u32) -> Result<(), BuildError> {
        let config = Config { concurrency: n, ..Config::default() };
        Engine::new(config, 0, Now::default())?;
        self.hub.send(Command::SetConcurrency(n));
        Ok(())
    }

    /// What the client is doing, in numbers.
    pub async fn stats(&self) -> Stats {
        let (reply, stats) = oneshot::channel();
        self.hub.send(Command::Stats(reply));
        // They are lost only in a panic.
        self.hub.hear(stats).await.unwrap_or_default()
    }

    /// The base URL; `None` as long as it is still to be discovered, which the first request does.
    pub fn base_url(&self) -> Option<&Url> {
        let (url, found) = self.settings().base.now();
        found.then_some(url)
    }

    /// Where the client was told to go: the base URL, or the issuer at which that is discovered.
    pub fn configured_url(&self) -> &Url {
        self.settings().base.stand_in()
    }

    /// The id of the access key that it signs in with, or else of the client; `None` without a
    /// sign-in. It is no secret, and tells accounts apart.
    pub fn identity(&self) -> Option<&str> {
        self.settings().identity.as_deref()
    }

    /// Pauses, retries and tokens from now on, as they happen.
    pub fn notices(&self) -> Notices {
        Notices(self.hub.notices.subscribe())
    }

    /// Ends the client and all its clones: from now on requests fail as
    /// [`Closed`](crate::ErrorKind::Closed). It returns when nothing is in flight any more.
    /// Dropping its future ends only the waiting. A drain can be cut short by another `close`
    /// with [`Close::Abort`].
    pub async fn close(&self, how: Close) {
        self.hub.close();
        let (reply, closed) = oneshot::channel();
        self.hub.send(Command::Close { drain: how == Close::Drain, closed: reply });
        let _ = self.hub.hear(closed).await;
    }
}

/// The way to the driver.
impl Client {
    pub(crate) fn settings(&self) -> &Settings {
        &self.hub.settings
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &shown(self.settings().base.url()).as_str())
            .field("user_agent", &self.settings().user_agent)
            .finish_non_exhaustive()
    }
}
