//! Which limits a request consumes.

use std::fmt;
use std::sync::Arc;

use cxone_core::profile::{self, api_family};
use http::Method;
use url::Url;

/// How a request that names no scope of its own is given one. A refusal pauses its scope and
/// leaves the others alone.
///
/// A request to another origin than the base URL's always has that origin for its scope, unless
/// it names one or a [`Custom`](ScopeBy::Custom) rule does.
#[derive(Clone, Default)]
pub enum ScopeBy {
    /// One scope for the whole client: a 429 anywhere pauses everything.
    #[default]
    Client,
    /// One scope for each API family, which is the first segment of the path under the base URL,
    /// below `api` also the next one that is no version: `incontactapi`, `dfo`,
    /// `data-extraction`, `media-playback`, `api/interactions` …
    Family,
    /// The API family, and within Digital the nested quotas that a request consumes, by what NICE
    /// has published ([`profile::scopes`]). The default where the client signs in to NICE's own
    /// platform.
    Published,
    /// One to four scopes, narrowest first; none means the one for the whole client.
    Custom(Arc<ScopeRule>),
}

/// A rule of one's own, for [`ScopeBy::Custom`].
pub type ScopeRule = dyn Fn(&Method, &Url) -> Vec<String> + Send + Sync;

impl ScopeBy {
    /// A rule of one's own: one to four scopes, narrowest first.
    pub fn custom(rule: impl Fn(&Method, &Url) -> Vec<String> + Send + Sync + 'static) -> ScopeBy {
        ScopeBy::Custom(Arc::new(rule))
    }

    pub(crate) fn scopes(
        &self,
        method: &Method,
        url: &Url,
        base: &Url,
        own_origin: bool,
    ) -> Vec<String> {
        match self {
            ScopeBy::Custom(rule) => rule(method, url),
            _ if !own_origin => vec![url.origin().ascii_serialization()],
            ScopeBy::Client => Vec::new(),
            ScopeBy::Family => vec![api_family(below(url, base))],
            ScopeBy::Published => profile::scopes(method.as_str(), below(url, base)),
        }
    }
}

impl fmt::Debug for ScopeBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ScopeBy::Client => "Client",
            ScopeBy::Family => "Family",
            ScopeBy::Published => "Published",
            ScopeBy::Custom(_) => "Custom",
        })
    }
}

/// The path below that of the base URL.
fn below<'a>(url: &'a Url, base: &Url) -> &'a str {
    url.path().strip_prefix(base.path().trim_end_matches('/')).unwrap_or(url.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::same_origin;

    fn scopes(by: &ScopeBy, base: &str, url: &str) -> Vec<String> {
        let (base, url) = (Url::parse(base).unwrap(), Url::parse(url).unwrap());
        by.scopes(&Method::GET, &url, &base, same_origin(&url, &base))
    }

    #[test]
    fn x15_a_family_is_the_first_segment_below_the_base() {
        let by = ScopeBy::Family;
        let family = |url| scopes(&by, "https://h.example/gw", url);
        assert_eq!(family("https://h.example/gw/dfo/3.0/contacts"), ["dfo"]);
        assert_eq!(family("https://h.example/gw/data-extraction/v1"), ["data-extraction"]);
        assert_eq!(family("https://h.example/gw/api/v2.0/interactions"), ["api/interactions"]);
        assert_eq!(family("https://h.example/gw/"), ["/"]);
    }

    #[test]
    fn x15_another_origin_is_a_scope_of_its_own() {
        let other = scopes(&ScopeBy::Client, "https://h.example", "https://s3.example/file");
        assert_eq!(other, ["https://s3.example"]);
        assert!(scopes(&ScopeBy::Client, "https://h.example", "https://h.example/x").is_empty());
    }
}
