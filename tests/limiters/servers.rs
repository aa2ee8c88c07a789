//! The limiters, each a process of its own on a free port of loopback.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// How long a server may take until it listens.
const TO_START: Duration = Duration::from_secs(15);

use crate::upstream::Upstream;

/// nginx: `/even` lets one request through each 100 ms, `/burst` five more ahead of that. `/50` and
/// `/50-burst-20` are faster, and before an [`Upstream`].
pub(crate) struct Nginx {
    port: u16,
    upstream: Upstream,
    _process: Child,
    _folder: Folder,
}

const NGINX_CONF: &str = "\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path t1;
    proxy_temp_path t2;
    fastcgi_temp_path t3;
    uwsgi_temp_path t4;
    scgi_temp_path t5;
    limit_req_zone $server_port zone=even:1m rate=10r/s;
    limit_req_zone $server_port zone=burst:1m rate=10r/s;
    limit_req_zone $server_port zone=fifty:1m rate=50r/s;
    limit_req_zone $server_port zone=fifty_burst:1m rate=50r/s;
    limit_req_status 429;
    limit_req_log_level info;
    keepalive_requests 100000;
    upstream slow { server 127.0.0.1:UPSTREAM; keepalive 16; keepalive_requests 100000; }
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    server {
        listen 127.0.0.1:PORT;
        location /even { limit_req zone=even; try_files /answer =404; }
        location /burst { limit_req zone=burst burst=5 nodelay; try_files /answer =404; }
        location /50/ { limit_req zone=fifty; proxy_pass http://slow; }
        location /50-burst-20/ {
            limit_req zone=fifty_burst burst=20 nodelay;
            proxy_pass http://slow;
        }
    }
}
";

impl Nginx {
    pub(crate) async fn start() -> Nginx {
        let upstream = Upstream::start().await;
        let conf = NGINX_CONF.replace("UPSTREAM", &upstream.port().to_string());
        // Another process may take the port before nginx does: then once more.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            let folder = Folder::new(&format!("nginx-{port}"));
            folder.write("nginx.conf", &conf.replace("PORT", &port.to_string()));
            folder.write("html/answer", "{}");
            let mut process = Command::new("nginx")
                .arg("-p")
                .arg(&folder.0)
                .args(["-c", "nginx.conf", "-e", "stderr"])
                .kill_on_drop(true)
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("nginx does not start: {error}. {HOW_TO_INSTALL}"));
            let listens = async {
                while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                started = timeout(TO_START, listens) => {
                    started.expect("nginx listens in time");
                    return Nginx { port, upstream, _process: process, _folder: folder };
                }
                ended = process.wait() => eprintln!("nginx ended: {ended:?}"),
            }
        }
        panic!("nginx does not start: see above");
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests it let through to its upstream.
    pub(crate) fn served(&self) -> u64 {
        self.upstream.served()
    }
}

/// express with express-rate-limit: so many requests in a window, each answered after 20 ms.
pub(crate) struct Express {
    port: u16,
    _process: Child,
}

impl Express {
    /// Started with one of the sets of headers that `server.mjs` knows.
    pub(crate) async fn start(headers: &str, limit: u32, window: Duration) -> Express {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("express");
        assert!(folder.join("node_modules").is_dir(), "express is missing. {HOW_TO_INSTALL}");
        let mut process = Command::new("node")
            .args(["server.mjs", headers])
            .args([limit.to_string(), window.as_millis().to_string()])
            .current_dir(folder)
            .kill_on_drop(true)
            .stdin(Stdio::piped()) // it ends with its standard input
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node does not start: {error}. {HOW_TO_INSTALL}"));
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = timeout(TO_START, lines.next_line()).await.expect("express listens in time");
        let line = line.expect("text").expect("express says its port: see above");
        Express { port: line.parse().expect("a port"), _process: process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

const HOW_TO_INSTALL: &str = "scripts/setup installs what is missing: nginx by the package \
                              manager, express by `npm ci` in tests/limiters/express";

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("html")).expect("a folder for a test");
        Folder(path)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.join(name), content).expect("a file for a test");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
