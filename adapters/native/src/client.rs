//! The client: a handle on the driver, which it starts when it is first needed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cxone_core::{Config, Engine, Now};
use http::Method;
use serde::de::DeserializeOwned;
use tokio::runtime;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::builder::ClientBuilder;
use crate::driver::{Command, Driver, Mind, Shared, Submission, Ticket};
use crate::env::Environment;
use crate::error::{Error, shown};
use crate::notice::{BACKLOG, Notices};
use crate::paginate::Paginate;
use crate::pending::Caller;
use crate::request::{Outgoing, RequestBuilder};
use crate::settings::{BuildError, Settings, Transport};
use crate::stats::Stats;

/// A driver that lives in another runtime than the caller's must answer within this time;
/// otherwise nobody runs that runtime any more, and a new driver is started.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The items of [`Client::interactions`].
const INTERACTIONS: &str = "/api/v2.0/interactions";

/// A client for one tenant of NICE CXone. Clones share everything: the queue, the limits, the
/// token, the connections.
///
/// It works in the background, in a task of the tokio runtime from which it is first used. That
/// task ends when the last clone and the last request are gone. If its runtime ends first, what
/// was under way fails as [`Closed`](crate::ErrorKind::Closed), and the next request starts it
/// anew in its own runtime, where pauses, token and counters go on. Only a runtime that is kept
/// but no longer run takes what was learned with it: after some seconds it is given up.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    link: Mutex<Link>,
}

/// What outlives a driver: the next one takes it over.
struct Link {
    driver: Option<Handle>,
    transport: Transport,
    closed: bool,
    concurrency: u32,
    /// Scopes that are held; `None` holds everything.
    holds: BTreeSet<Option<String>>,
}

#[derive(Clone)]
struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    runtime: runtime::Id,
    /// Set when another driver takes its place.
    replaced: Arc<AtomicBool>,
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

    /// A client from `CXONE_BASE_URL`, `CXONE_CLIENT_ID` and `CXONE_CLIENT_SECRET` (and
    /// `CXONE_TOKEN_URL`): see [`ClientBuilder::from_env`].
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
        let link = Link {
            driver: None,
            transport,
            closed: false,
            concurrency: settings.engine.concurrency,
            holds: BTreeSet::new(),
        };
        let shared =
            Shared { settings, notices: broadcast::Sender::new(BACKLOG), last: Mutex::new(None) };
        let inner = Inner { shared: Arc::new(shared), link: Mutex::new(link) };
        Client { inner: Arc::new(inner) }
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
        RequestBuilder::new(self.clone(), method, path.as_ref())
    }

    /// The items of all pages, as a `Stream`, in the style `cursor`, `page_size`, `entities`,
    /// `next_page_token`.
    pub fn paginate<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Paginate<T> {
        Paginate::new(self.clone(), path.as_ref())
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
        self.hold(None);
    }

    /// Ends [`pause`](Self::pause), and never a wait that the server wants.
    pub fn resume(&self) {
        self.release(None);
    }

    /// As [`pause`](Self::pause), for the requests of one scope.
    pub fn pause_scope(&self, scope: impl Into<String>) {
        self.hold(Some(scope.into()));
    }

    /// Ends [`pause_scope`](Self::pause_scope).
    pub fn resume_scope(&self, scope: impl Into<String>) {
        self.release(Some(scope.into()));
    }

    /// Changes how many requests may be in flight at once; those that are stay.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 65 535.
    pub fn set_concurrency(&self, n: u32) -> Result<(), BuildError> {
        let config = Config { concurrency: n, ..Config::default() };
        Engine::new(config, 0, Now::default())?;
        let mut link = self.link();
        link.concurrency = n;
        link.tell(Command::SetConcurrency(n));
        Ok(())
    }

    /// What the client is doing, in numbers.
    pub async fn stats(&self) -> Stats {
        let (reply, stats) = oneshot::channel();
        let driver = self.link().driver.clone();
        if let Some(driver) = driver
            && driver.answers().await
            && driver.commands.send(Command::Stats(reply)).is_ok()
            && let Some(stats) = driver.hear(stats).await
        {
            return stats;
        }
        let last = self.inner.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|mind| mind.stats()).unwrap_or_default()
    }

    /// Pauses, retries and tokens from now on, as they happen.
    pub fn notices(&self) -> Notices {
        Notices(self.inner.shared.notices.subscribe())
    }

    /// Ends the client and all its clones: from now on requests fail as
    /// [`Closed`](crate::ErrorKind::Closed). It returns when nothing is in flight any more.
    /// Dropping its future ends only the waiting. A drain can be cut short by another `close`
    /// with [`Close::Abort`].
    pub async fn close(&self, how: Close) {
        let driver = {
            let mut link = self.link();
            link.closed = true;
            link.driver.clone()
        };
        let Some(driver) = driver else { return };
        let (reply, closed) = oneshot::channel();
        let close = Command::Close { drain: how == Close::Drain, closed: Some(reply) };
        if driver.commands.send(close).is_ok() && driver.answers().await {
            // A driver that is lost has nothing left to close.
            let _ = driver.hear(closed).await;
        }
    }

    fn hold(&self, scope: Option<String>) {
        let mut link = self.link();
        link.holds.insert(scope.clone());
        link.tell(Command::Pause(scope));
    }

    fn release(&self, scope: Option<String>) {
        let mut link = self.link();
        link.holds.remove(&scope);
        link.tell(Command::Resume(scope));
    }
}

/// The way to the driver.
impl Client {
    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.shared.settings
    }

    /// Hands a request to the driver and waits for its end; cancels it if nobody waits any more.
    pub(crate) async fn submit<T>(
        &self,
        outgoing: &Arc<Outgoing>,
        caller: fn(oneshot::Sender<Result<T, Error>>) -> Caller,
    ) -> Result<T, Error> {
        let (reply, result) = oneshot::channel();
        let about = || outgoing.about();
        let driver = self.driver().await.map_err(|error| error.about(about()))?;
        let mut cancel = CancelOnDrop { driver: Some(driver), ticket: Arc::new(OnceLock::new()) };
        cancel.send(Submission {
            outgoing: outgoing.clone(),
            ticket: cancel.ticket.clone(),
            caller: caller(reply),
        });
        let result = cancel.hear(result).await;
        // A driver that was lost drops what it had, or will if it ever goes on.
        result.unwrap_or_else(|| Err(Error::closed().about(about())))
    }

    /// A driver that lives: the present one, or a new one in the caller's runtime.
    async fn driver(&self) -> Result<Handle, Error> {
        let runtime = runtime::Handle::try_current()
            .map_err(|_| Error::request("it must be sent from within a tokio runtime"))?;
        let driver = self.running(&runtime)?;
        if driver.answers().await {
            return Ok(driver);
        }
        {
            let mut link = self.link();
            if link.driver.as_ref().is_some_and(|it| it.commands.same_channel(&driver.commands)) {
                link.driver = None;
                driver.replaced.store(true, Ordering::Relaxed);
                // Its connections are as dead as it is, and nothing tells.
                if let Ok(transport) = (self.settings().connect)() {
                    link.transport = transport;
                }
            }
        }
        // Should it ever run again, it ends.
        let _ = driver.commands.send(Command::Close { drain: false, closed: None });
        self.running(&runtime)
    }

    fn running(&self, runtime: &runtime::Handle) -> Result<Handle, Error> {
        let mut link = self.link();
        if link.closed {
            return Err(Error::closed());
        }
        if let Some(driver) = link.driver.as_ref().filter(|it| !it.commands.is_closed()) {
            return Ok(driver.clone());
        }
        let driver = link.start(&self.inner.shared, runtime)?;
        Ok(link.driver.insert(driver).clone())
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.inner.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn tell(&self, command: Command) {
        if let Some(driver) = &self.driver {
            // One that has ended needs no telling: the next one starts with what is kept here.
            let _ = driver.commands.send(command);
        }
    }

    fn start(&self, shared: &Arc<Shared>, runtime: &runtime::Handle) -> Result<Handle, Error> {
        let last = shared.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut mind = match last {
            Some(mind) => *mind,
            None => Mind::new(&shared.settings)?,
        };
        mind.steer(self.concurrency, &self.holds);
        let replaced = Arc::new(AtomicBool::new(false));
        let (commands, inbox) = mpsc::unbounded_channel();
        let reports = commands.downgrade();
        let (transport, flag) = (self.transport.clone(), replaced.clone());
        runtime.spawn(Driver::new(mind, shared.clone(), flag, transport, inbox, reports).run());
        Ok(Handle { commands, runtime: runtime.id(), replaced })
    }
}

impl Handle {
    /// Does it run? Within its own runtime it does; a runtime elsewhere may have stopped.
    async fn answers(&self) -> bool {
        if self.is_here() {
            return true;
        }
        let (reply, pong) = oneshot::channel();
        if self.commands.send(Command::Ping(reply)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(SIGN_OF_LIFE, pong).await, Ok(Ok(())))
    }

    /// Waits for what the driver will say; `None` if it is lost before that.
    async fn hear<T>(&self, said: oneshot::Receiver<T>) -> Option<T> {
        if self.is_here() {
            return said.await.ok();
        }
        // Its runtime may stop in the meantime. Few callers need this: it is kept out of the rest.
        let lost = Box::pin(async {
            loop {
                tokio::time::sleep(SIGN_OF_LIFE / 2).await;
                if !self.answers().await {
                    return;
                }
            }
        });
        tokio::select! {
            biased;
            said = said => said.ok(),
            () = lost => None,
        }
    }

    /// Does it run wherever the caller runs? Outside of any runtime there is no timer to tell:
    /// its answer, or its loss, will.
    fn is_here(&self) -> bool {
        runtime::Handle::try_current().map_or(true, |here| here.id() == self.runtime)
    }
}

/// Cancels a request whose future is dropped, wherever the request is by then.
struct CancelOnDrop {
    /// `None` once it has ended by itself.
    driver: Option<Handle>,
    ticket: Ticket,
}

impl CancelOnDrop {
    fn send(&self, submission: Submission) {
        if let Some(driver) = &self.driver {
            // A driver that ended meanwhile drops it, which is how the caller is told.
            let _ = driver.commands.send(Command::Submit(Box::new(submission)));
        }
    }

    async fn hear<T>(&mut self, said: oneshot::Receiver<T>) -> Option<T> {
        let said = self.driver.as_ref()?.hear(said).await?;
        self.driver = None;
        Some(said)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = driver.commands.send(Command::Cancel(self.ticket.clone()));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &shown(&self.settings().base).as_str())
            .field("user_agent", &self.settings().user_agent)
            .finish_non_exhaustive()
    }
}
