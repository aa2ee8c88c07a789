//! The mock as a command: [`Args`] for clap, and [`run`].
//!
//! The binary `cxone-mock` is these two, and any other command can flatten [`Args`] into a
//! subcommand of its own.

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use cxone_sim::LimitSpec;

use crate::{
    Builder, Cors, ExpiresIn, LimitHeaders, Mock, RefusalBody, RetryAfter, Script,
    builder::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET},
};

/// What to do with a running mock.
const HELP: &str = "\
It prints where it listens and how to sign in, and runs until Ctrl-C. Below, URL is where it
listens. To sync from it, set CXONE_BASE_URL, CXONE_CLIENT_ID and CXONE_CLIENT_SECRET to what it
printed, or for the platform CXONE_ISSUER and an access key in place of the first; that of the
mock is mock-key with mock-key-secret====. To sign in by hand (in a form, = is written %3D):
  curl URL/oauth2/token -d grant_type=client_credentials \\
    -d client_id=mock-client -d client_secret=mock-secret%3D%3D%3D%3D
  curl URL/api/v2.0/interactions -H 'Authorization: Bearer ACCESS_TOKEN'

While it runs, without signing in:
  curl URL/_mock/stats               what was counted: requests, throttled, early, duplicates
  curl URL/_mock/log                 every request, in order
  curl -X POST URL/_mock/reset       count from zero again
  curl URL/_mock/script -d 'SCRIPT'  let something go wrong, once or more often
  curl URL/_mock/script -d '{\"clear\": true}'  nothing goes wrong any more (limits stay)

A script adds to those before it; a page fault lasts until it is cleared. Here and in
--script it is JSON, and all its parts may be left out:
  {\"rules\": [{\"nth\": 3, \"do\": {\"status\": 503, \"retry_after\": 2}},
             {\"on\": \"/oauth2/token\", \"times\": 2, \"do\": {\"connection\": \"reset\"}}],
   \"pages\": {\"3\": \"loop\"}, \"revoke_after\": 10, \"limits\": {\"\": \"fixed:5/1s\"}}";

/// The options of the command.
#[derive(Clone, clap::Args)]
#[command(after_help = HELP)]
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

    /// How many contacts contacts/completed sends at most in one answer
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    poll_size: usize,

    /// How often a job is still running when it is asked for
    #[arg(long, value_name = "N", default_value_t = 2)]
    job_polls: u32,

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
            .poll_size(self.poll_size)
            .job_polls(self.job_polls)
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

/// Runs a mock in the foreground until Ctrl-C or SIGTERM. Prints where it listens and how to sign in.
///
/// # Errors
///
/// If the script cannot be read or the port cannot be bound.
pub async fn run(args: Args) -> io::Result<()> {
    let mock = args.builder()?.start().await?;
    let introduction = format!(
        "listening on {}\ntoken url {}\nclient id {}\nclient secret {}\n",
        mock.url(),
        mock.token_url(),
        args.client_id,
        args.client_secret
    );
    match io::stdout().write_all(introduction.as_bytes()) {
        // Whoever closed it knows enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    stop().await?;
    mock.shutdown().await;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
#[cfg(unix)]
async fn stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
async fn stop() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// A limit with the path prefix that it is for.
#[derive(Clone)]
struct Limit {
    prefix: String,
    spec: LimitSpec,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let (prefix, spec) = text.split_once('=').unwrap_or(("", text));
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(format!("no path begins with {prefix:?}: write /{prefix}={spec}"));
        }
        let spec: LimitSpec = spec.parse().map_err(|error| format!("{error}"))?;
        Ok(Limit { prefix: prefix.to_owned(), spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_for_a_path_that_can_never_come_is_refused() {
        let limit = |text: &str| text.parse::<Limit>().map(|limit| limit.prefix);
        assert_eq!(limit("fixed:1/1s"), Ok("".into()));
        assert_eq!(limit("/media-playback=fixed:1/1s"), Ok("/media-playback".into()));
        let error = limit("media-playback=fixed:1/1s").unwrap_err();
        assert!(error.ends_with("write /media-playback=fixed:1/1s"), "{error}");
        assert!(limit("/media-playback=often").unwrap_err().contains("is no limit"));
    }
}
