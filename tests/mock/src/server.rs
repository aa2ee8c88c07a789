//! Sockets: accepting, serving and breaking connections.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use cxone_sim::LimitSpec;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::{
    PLATFORM_TOKEN_PATH, TOKEN_PATH,
    builder::{Builder, Config},
    fault::Break,
    script::Script,
    service::serve,
    shared::Shared,
    stats::{LogEntry, Stats},
};

/// How long to let others be after a failure to accept, which is mostly for want of files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// A running mock. Dropping it stops it and closes its connections.
pub struct Mock {
    addr: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Mock {
    /// A mock with the defaults, to be changed before it starts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(config: Config) -> io::Result<Mock> {
        let listener = TcpListener::bind(config.bind).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config));
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Mock { addr, url: format!("http://{addr}"), shared, accepting })
    }

    /// Changes what the mock does from now on: a [`Script`] or a single [`Rule`](crate::Rule).
    pub fn script(&self, script: impl Into<Script>) {
        self.shared.lock().apply(script.into());
    }

    /// Revokes all tokens issued so far.
    pub fn revoke_tokens(&self) {
        self.script(Script::new().revoke_tokens());
    }

    /// Changes or lifts a limit: of all API paths together (`""`) or of those under a prefix.
    pub fn set_limit(&self, prefix: impl Into<String>, spec: Option<LimitSpec>) {
        self.script(Script::new().limit(prefix, spec));
    }

    /// Changes how many interactions there are: more are added behind those that there were.
    pub fn set_interactions(&self, count: usize) {
        self.shared.lock().interactions = count;
    }

    /// Counts from zero again, empties the log and forgets who was told to wait. Tokens, limits
    /// and script stay.
    pub fn reset(&self) {
        self.shared.lock().reset();
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.shared.lock().counters.stats.clone()
    }

    /// What arrived so far, in order; the last 100 000.
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.lock().counters.entries()
    }

    /// The base URL, without a slash at its end: `http://127.0.0.1:4711`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the token endpoint.
    pub fn token_url(&self) -> String {
        format!("{}{TOKEN_PATH}", self.url)
    }

    /// The URL of the platform's token endpoint.
    pub fn platform_token_url(&self) -> String {
        format!("{}{PLATFORM_TOKEN_PATH}", self.url)
    }

    /// Where the mock listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops, and returns once the port is free.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // It ends as cancelled, as it should.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Serves until it is dropped, and all connections with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.lock().counters.stats.connections += 1;
                    connections.spawn(connection(stream, shared.clone()));
                }
                // Out of file descriptors, or the client has gone again: others may come.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Answers are small, and their timing is what is tested. A failure costs only speed.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::default());
    let socket = TokioIo::new(Socket { stream, link: link.clone() });
    let service = service_fn(|request| serve(shared.clone(), link.clone(), request));
    let http = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // However a connection ends, it has ended; the client sees its side of it.
        _ = http.serve_connection(socket, service) => {}
        () = link.cut.notified() => {}
    }
}

/// A request's hold on its connection.
#[derive(Default)]
pub(crate) struct Link {
    cut: Notify,
    reset: AtomicBool,
}

impl Link {
    /// Ends the connection at once.
    pub(crate) fn cut(&self, how: Break) {
        self.reset.store(how == Break::Reset, Ordering::Relaxed);
        self.cut.notify_one();
    }
}

/// A TCP stream that ends with a reset if its link says so.
struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.link.reset.load(Ordering::Relaxed) {
            // Without it the client still sees the connection end.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
