//! The native client signs in to an OpenID provider that nobody here wrote (oidc-provider, which is
//! certified): discovery, and each of its grants that the client speaks.

use std::{error::Error as _, path::Path, process::Stdio, time::Duration};

use cxone_client::{Client, ClientAuth, ErrorKind};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

const AGENTS: &str = "/incontactapi/services/v34.0/agents";

/// How long the provider may take until it listens.
const TO_START: Duration = Duration::from_secs(15);

struct Provider {
    url: String,
    _process: Child,
}

impl Provider {
    /// Its tokens live for so many seconds.
    async fn start(lifetime: u32) -> Provider {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc");
        let missing = "oidc-provider is missing: scripts/setup installs it";
        assert!(folder.join("node_modules").is_dir(), "{missing}");
        let mut process = Command::new("node")
            .args(["server.mjs", &lifetime.to_string()])
            .current_dir(folder)
            .kill_on_drop(true)
            .stdin(Stdio::piped()) // it ends with its standard input
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // it warns that it is for development
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = timeout(TO_START, lines.next_line()).await.expect("it listens in time");
        let port = line.expect("text").expect("it says its port");
        Provider { url: format!("http://127.0.0.1:{port}"), _process: process }
    }

    /// What it was asked for, and how often.
    async fn calls(&self) -> Value {
        let answer = reqwest::get(format!("{}/calls", self.url)).await.unwrap();
        answer.json().await.unwrap()
    }

    fn client(&self, key_secret: &str) -> Client {
        let builder = Client::builder().issuer(&self.url);
        let builder = builder.client_credentials("a:client", "client-secret====");
        builder.access_key("key-1", key_secret).build().unwrap()
    }
}

#[tokio::test]
async fn an_access_key_signs_in_by_discovery_and_the_password_grant() {
    let provider = Provider::start(3600).await;
    let client = provider.client("key-secret====");
    for _ in 0..3 {
        client.get(AGENTS).send().await.unwrap();
    }
    let calls = provider.calls().await;
    let count = |name: &str| calls[name].as_u64().unwrap();
    assert_eq!((count("openid"), count("configuration"), count("password")), (1, 1, 1), "{calls}");
    assert_eq!((count("api"), calls["version"].as_str()), (3, Some("1.1")), "{calls}");
}

#[tokio::test]
async fn a_short_lived_token_is_renewed_by_refresh_tokens_that_rotate() {
    let provider = Provider::start(2).await;
    let client = provider.client("key-secret====");
    for _ in 0..60 {
        client.get(AGENTS).send().await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let calls = provider.calls().await;
    let count = |name: &str| calls[name].as_u64().unwrap();
    assert_eq!((count("password"), count("openid"), count("configuration")), (1, 1, 1), "{calls}");
    assert!((3..=8).contains(&count("refresh_token")), "{calls}");
}

#[tokio::test]
async fn client_credentials_work_by_basic_and_in_the_body() {
    for (id, secret, how) in [
        ("a:client", "client-secret====", ClientAuth::Basic),
        ("post-client", "post-secret====", ClientAuth::Body),
    ] {
        let provider = Provider::start(3600).await;
        let builder = Client::builder().base_url(&provider.url).issuer(&provider.url);
        let client = builder.client_credentials(id, secret).client_auth(how).build().unwrap();
        client.get(AGENTS).send().await.unwrap();
        let calls = provider.calls().await;
        let count = |name: &str| calls[name].as_u64().unwrap();
        assert_eq!((count("client_credentials"), count("configuration")), (1, 0), "{calls}");
    }
}

#[tokio::test]
async fn a_wrong_access_key_is_refused_for_good() {
    let provider = Provider::start(3600).await;
    let error = provider.client("wrong").get(AGENTS).send().await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenFetch);
    assert_eq!(error.source().unwrap().to_string(), "invalid_grant: no such access key");
}
