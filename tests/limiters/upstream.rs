//! What is behind a limiter: a server that takes its time, and counts.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// How long it takes for each request.
pub(crate) const SERVICE: Duration = Duration::from_millis(20);

/// The server; it stops when it is dropped.
pub(crate) struct Upstream {
    port: u16,
    served: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let port = listener.local_addr().expect("an address").port();
        let served = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, served.clone()));
        Upstream { port, served, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many requests it has answered.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, served: Arc<AtomicU64>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.set_nodelay(true);
        let served = served.clone();
        let service = service_fn(move |_| {
            let served = served.clone();
            async move {
                tokio::time::sleep(SERVICE).await;
                served.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
