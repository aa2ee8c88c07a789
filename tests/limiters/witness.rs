//! A reverse proxy that changes nothing and notes what passes.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// A request and its answer, by the witness's clock.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// When the request had arrived.
    pub(crate) arrived: Instant,
    /// When the head of its answer had come from the limiter: before the client could see it.
    pub(crate) answered: Instant,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

/// The witness; it stops when it is dropped.
pub(crate) struct Witness {
    url: String,
    visits: Arc<Mutex<Vec<Visit>>>,
    accepting: JoinHandle<()>,
}

impl Witness {
    /// A witness before the server at `upstream`.
    pub(crate) async fn before(upstream: &str) -> Witness {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let visits = Arc::<Mutex<Vec<Visit>>>::default();
        let accepting = tokio::spawn(accept(listener, upstream.to_owned(), visits.clone()));
        Witness { url, visits, accepting }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What passed so far, in the order of the answers.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: String, visits: Arc<Mutex<Vec<Visit>>>) {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never());
    let client = client.build().expect("a client");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.set_nodelay(true);
        let (client, upstream, visits) = (client.clone(), upstream.clone(), visits.clone());
        let service = service_fn(move |request| {
            let arrived = Instant::now();
            let (client, upstream, visits) = (client.clone(), upstream.clone(), visits.clone());
            async move {
                let (visit, response) = pass(&client, &upstream, request, arrived).await;
                visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn pass(
    client: &reqwest::Client,
    upstream: &str,
    request: Request<Incoming>,
    arrived: Instant,
) -> (Visit, Response<Full<Bytes>>) {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let sent = client.request(request.method().clone(), format!("{upstream}{path}"));
    let answer = sent.send().await.expect("the limiter answers");
    let answered = Instant::now();
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let (path, status_code, fields) = (path.to_owned(), status.as_u16(), headers.clone());
    let visit = Visit { arrived, answered, path, status: status_code, headers: fields };
    let body = answer.bytes().await.expect("a whole body");
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    (visit, response)
}
