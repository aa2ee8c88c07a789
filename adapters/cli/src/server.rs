//! Which server is synced: the one that the environment names, or the embedded mock.

use std::time::Duration;

use cxone_client::Client;
use cxone_mock::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, LimitSpec, Mock};
use cxone_sim::{Decision, Limiter};

use crate::failure::Failure;

/// What a gateway needs.
const GATEWAY: [&str; 3] = ["CXONE_BASE_URL", "CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET"];

/// What NICE's own platform needs; where its APIs are is discovered.
const PLATFORM: [&str; 4] =
    ["CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "CXONE_ACCESS_KEY_ID", "CXONE_ACCESS_KEY_SECRET"];

/// Enough for 25 pages.
const MOCK_INTERACTIONS: usize = 2_500;

/// Tight enough that 25 pages meet it six times, and are through in a quarter of a minute.
const MOCK_LIMIT: &str = "fixed:4/2s";

/// How the embedded mock is set up. Either option chooses it, whatever the environment names.
#[derive(clap::Args)]
#[command(next_help_heading = "Embedded mock (synced instead of what the environment names)")]
pub(crate) struct MockArgs {
    /// How many interactions it has [default: 2500]
    #[arg(long = "mock-interactions", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    interactions: Option<u32>,

    /// Its rate limit, such as fixed:50/2s, sliding:100/1m, bucket:10/s+20 or leaky:10/s+5
    /// [default: fixed:4/2s]
    #[arg(long = "mock-limit", value_name = "SPEC")]
    limit: Option<LimitSpec>,
}

/// A server, and a client for it.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// `None` for a real one.
    pub(crate) mock: Option<EmbeddedMock>,
}

/// A mock in this process, on loopback.
pub(crate) struct EmbeddedMock {
    pub(crate) mock: Mock,
    pub(crate) interactions: usize,
    pub(crate) limit: LimitSpec,
}

impl Server {
    /// Finds the server that is meant, or starts the mock.
    pub(crate) async fn find(args: &MockArgs) -> Result<Server, Failure> {
        let wanted = args.interactions.is_some() || args.limit.is_some();
        match if wanted { None } else { from_environment()? } {
            Some(client) => Ok(Server { client, mock: None }),
            None => Server::embedded(args).await,
        }
    }

    async fn embedded(args: &MockArgs) -> Result<Server, Failure> {
        let interactions = args.interactions.map_or(MOCK_INTERACTIONS, |n| n as usize);
        let limit =
            args.limit.unwrap_or_else(|| MOCK_LIMIT.parse().expect("the default is a limit"));
        let builder = Mock::builder().interactions(interactions).limit(limit);
        let mock = builder
            .start()
            .await
            .map_err(|error| Failure::io("Cannot start the embedded mock", &error))?;
        let client = Client::builder()
            .base_url(mock.url())
            .client_credentials(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
            // A proxy that the environment names cannot reach this machine's loopback.
            .reqwest(|| reqwest::Client::builder().no_proxy())
            .build()?;
        Ok(Server { client, mock: Some(EmbeddedMock { mock, interactions, limit }) })
    }
}

impl Server {
    /// What a checkpoint knows it by.
    pub(crate) fn name(&self) -> String {
        match &self.mock {
            Some(mock) => format!("mock of {}", mock.interactions),
            None => self.client.configured_url().to_string(),
        }
    }
}

impl Server {
    /// Whose records it has.
    pub(crate) fn account(&self) -> Option<String> {
        match &self.mock {
            Some(_) => None, // each run's has its own
            None => self.client.identity().map(str::to_owned),
        }
    }
}

impl EmbeddedMock {
    /// The least time in which its limit lets all pages of this size through, but for those of
    /// runs before: that of a client which knows the limit and has no other delay.
    pub(crate) fn ideal(&self, page_size: u32, pages_before: u64) -> Duration {
        let pages = self.interactions.div_ceil(page_size as usize);
        ideal(self.limit, pages.saturating_sub(pages_before as usize))
    }
}

/// A client for the server that the environment names; `None` if it names none. Whoever sets
/// only `CXONE_TOKEN_URL` means one all the same.
pub(crate) fn from_environment() -> Result<Option<Client>, Failure> {
    let found = Client::found_in_env()?;
    let platform = found.iter().any(|name| name.starts_with("CXONE_ACCESS_KEY"));
    let required = if platform { &PLATFORM[..] } else { &GATEWAY };
    let missing: Vec<&str> =
        required.iter().copied().filter(|name| !found.contains(name)).collect();
    if missing.is_empty() {
        Ok(Some(Client::from_env()?))
    } else if found.is_empty() {
        Ok(None)
    } else {
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let message =
            format!("{} {verb} not set, but other CXONE_ variables are", missing.join(" and "));
        Err(Failure::new(message)
            .hint(
                "Set all of CXONE_BASE_URL, CXONE_CLIENT_ID and CXONE_CLIENT_SECRET, in the \
                 environment or in .env; or none, to sync the embedded mock.",
            )
            .hint(
                "For NICE's own platform, set CXONE_ACCESS_KEY_ID and CXONE_ACCESS_KEY_SECRET \
                 instead of CXONE_BASE_URL.",
            ))
    }
}

/// When the last of so many requests can be sent, the first being sent at zero.
fn ideal(limit: LimitSpec, requests: usize) -> Duration {
    // Who knows the limit is never refused: asking here is no knocking.
    let mut limiter = Limiter::new(LimitSpec { count_refused: false, ..limit });
    let mut now = Duration::ZERO;
    for _ in 0..requests {
        while let Decision::Refused { retry_at } = limiter.try_acquire(now) {
            now = retry_at;
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ideal_is_when_the_limit_lets_the_last_request_through() {
        let ideal = |limit: &str, n| ideal(limit.parse().unwrap(), n).as_millis();
        assert_eq!(ideal(MOCK_LIMIT, 25), 12_000);
        assert_eq!(ideal("fixed:4/2s", 4), 0);
        assert_eq!(ideal("fixed:4/2s", 5), 2_000);
        assert_eq!(ideal("sliding:4/2s,count-refused", 9), 4_000);
        assert_eq!(ideal("bucket:10/s+20", 25), 500);
        assert_eq!(ideal("leaky:10/s", 3), 200);
    }
}
