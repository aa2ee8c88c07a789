//! The mock as a command: [`Args`] for clap, and [`run`].
//!
//! The binary `cxone-mock` is these two, and any other command can flatten [`Args`] into a
//! subcommand of its own.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use cxone_sim::{LimitSpec, SpecError};

use crate::{
    Builder, Cors, ExpiresIn, LimitHeaders, Mock, RefusalBody, RetryAfter, Script,
    builder::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET},
};

/// The options of the command.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Port of 127.0.0.1 to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// How many interactions there are
    #[arg(long, value_name = "N", default_value_t = 2_500)]
    interactions: usize,

    /// Limit for each client, such as fixed:50/2s, sliding:100/1m, bucket:10/s+20 or leaky:10/s+5;
    /// with a path prefix for a part of the API: /media-playback=fixed:150/5m
    #[arg(long = "limit", value_name = "[PREFIX=]SPEC")]
    limits: Vec<Limit>,

    /// Status of the limiter's refusals
    #[arg(long, default_value_t = 429, value_parser = clap::value_parser!(u16).range(200..=999))]
    status: u16,

    /// How refusals state their wait
    #[arg(long, value_enum, default_value = "seconds")]
    retry_after: RetryAfter,

    /// Headers that tell the state of the limit on every answer
    #[arg(long, value_enum, default_value = "none")]
    headers: LimitHeaders,

    /// Body of refusals
    #[arg(long, value_enum, default_value = "json")]
    body: RefusalBody,

    /// Seconds that the server's clock is ahead
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    clock_skew: i64,

    /// How long a token is good for
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    token_lifetime: u64,

    /// How the lifetime is stated: number, text, absent, or the name of another field
    #[arg(long, value_name = "FORM", default_value = "number")]
    expires_in: ExpiresIn,

    /// Client id that may ask for tokens
    #[arg(long, value_name = "ID", default_value = DEFAULT_CLIENT_ID)]
    client_id: String,

    /// Its secret
    #[arg(long, value_name = "SECRET", default_value = DEFAULT_CLIENT_SECRET)]
    client_secret: String,

    /// Milliseconds after a refusal in which an arrival counts as under way, not as early
    #[arg(long, value_name = "MS", default_value_t = 250)]
    early_grace: u64,

    /// What web pages from other origins may see
    #[arg(long, value_enum, default_value = "none")]
    cors: Cors,

    /// Script to play from the start, as JSON
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

impl Args {
    /// The mock that these options describe.
    ///
    /// # Errors
    ///
    /// If the script cannot be read.
    pub fn builder(&self) -> io::Result<Builder> {
        let mut builder = Mock::builder()
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
            .client(&self.client_id, &self.client_secret)
            .interactions(self.interactions)
            .refuse_with(self.status)
            .retry_after(self.retry_after)
            .limit_headers(self.headers)
            .refusal_body(self.body)
            .clock_skew(self.clock_skew)
            .token_lifetime(Duration::from_secs(self.token_lifetime))
            .expires_in(self.expires_in.clone())
            .early_grace(Duration::from_millis(self.early_grace))
            .cors(self.cors);
        for limit in &self.limits {
            builder = builder.limit_for(&limit.prefix, limit.spec);
        }
        if let Some(path) = &self.script {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("script {}: {error}", path.display()))
            };
            let text = fs::read_to_string(path).map_err(named)?;
            let script: Script = serde_json::from_str(&text).map_err(|e| named(e.into()))?;
            builder = builder.script(script);
        }
        Ok(builder)
    }
}

/// Runs a mock in the foreground until Ctrl-C. Prints where it listens and how to sign in.
///
/// # Errors
///
/// If the script cannot be read or the port cannot be bound.
pub async fn run(args: Args) -> io::Result<()> {
    let mock = args.builder()?.start().await?;
    println!("listening on {}", mock.url());
    println!("token url {}", mock.token_url());
    println!("client id {}", args.client_id);
    println!("client secret {}", args.client_secret);
    tokio::signal::ctrl_c().await?;
    mock.shutdown().await;
    Ok(())
}

/// A limit with the path prefix that it is for.
#[derive(Clone)]
struct Limit {
    prefix: String,
    spec: LimitSpec,
}

impl FromStr for Limit {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Limit, SpecError> {
        let (prefix, spec) = text.split_once('=').unwrap_or(("", text));
        Ok(Limit { prefix: prefix.to_owned(), spec: spec.parse()? })
    }
}
