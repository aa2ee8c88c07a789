//! What is particular to CXone: where things are, how one signs in, which requests share a limit.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::ScopeConfig;
use crate::pacer::{KnownLimit, Pacing};
use crate::text::text;

/// The path of the token endpoint under a gateway's base URL.
pub const GATEWAY_TOKEN_PATH: &str = "/oauth2/token";

/// The OAuth scope that a gateway grants.
pub const GATEWAY_SCOPE: &str = "contact-center-api";

/// The issuer of NICE's platform, below which its endpoints are found.
pub const PLATFORM_ISSUER: &str = "https://cxone.niceincontact.com";

/// The issuer of its government cloud.
pub const GOVERNMENT_ISSUER: &str = "https://cxone-gov.niceincontact.com";

/// How one signs in, and which requests share a limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Profile {
    /// An API gateway, as the tutorial has it: client credentials with the scope
    /// [`GATEWAY_SCOPE`], the token endpoint at [`GATEWAY_TOKEN_PATH`] below the base URL, one
    /// limit for everything.
    #[default]
    Gateway,
    /// NICE's own platform: an access key (or its refresh token) and the client as HTTP Basic;
    /// token endpoint and API host are discovered; limits by API family, as [published](LIMITS).
    Platform,
    /// Any OAuth 2.0 server: client credentials without a scope, the token endpoint given or
    /// discovered from its issuer; one limit for everything.
    Generic,
}

impl Profile {
    /// The profile that is meant by who sets these: an access key means the platform, an issuer
    /// without one any OAuth server, neither of them a gateway.
    pub fn chosen(has_access_key: bool, has_issuer: bool) -> Profile {
        match (has_access_key, has_issuer) {
            (true, _) => Profile::Platform,
            (false, true) => Profile::Generic,
            (false, false) => Profile::Gateway,
        }
    }
}

/// The environment variables that a client is configured by.
pub mod env {
    /// The base URL of the API, such as `https://YOUR_SUBDOMAIN.api.nicecxone.com`.
    pub const BASE_URL: &str = "CXONE_BASE_URL";
    /// The token endpoint, where it is not under the base URL.
    pub const TOKEN_URL: &str = "CXONE_TOKEN_URL";
    /// The OAuth client id.
    pub const CLIENT_ID: &str = "CXONE_CLIENT_ID";
    /// The OAuth client secret.
    pub const CLIENT_SECRET: &str = "CXONE_CLIENT_SECRET";
    /// The access key id of a user of the platform.
    pub const ACCESS_KEY_ID: &str = "CXONE_ACCESS_KEY_ID";
    /// Its secret.
    pub const ACCESS_KEY_SECRET: &str = "CXONE_ACCESS_KEY_SECRET";
    /// The issuer below which endpoints are discovered, such as
    /// [`PLATFORM_ISSUER`](super::PLATFORM_ISSUER).
    pub const ISSUER: &str = "CXONE_ISSUER";
}

/// What NICE has published of a scope: where to start from, until the server says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishedLimit {
    /// The scope, as [`scopes`] names it.
    pub scope: &'static str,
    /// How it is paced from the start; `None`: nothing is published of that.
    pub pacing: Option<Pacing>,
    /// Requests in flight at once, if that is bounded.
    pub concurrency: Option<u32>,
    /// Do they count apart from the client's own concurrency?
    pub apart: bool,
}

/// Media Playback: recordings.
pub const MEDIA_PLAYBACK: &str = "media-playback";
/// Data Extraction: jobs.
pub const DATA_EXTRACTION: &str = "data-extraction";
/// `get-next-event` of agent sessions, which the server holds for up to a minute.
pub const AGENT_EVENTS: &str = "agent-events";
/// The APIs of the ACD: admin, agent, real-time, reporting, WFM.
const ACD: &str = "incontactapi";
const DIGITAL: &str = "dfo";
const DIGITAL_UPDATE: &str = "dfo/contact-update";
const DIGITAL_GET: &str = "dfo/contact-get";
const DIGITAL_IN: &str = "dfo/inbound";
const DIGITAL_OUT: &str = "dfo/outbound";

/// Long polls of as many agent sessions as one process keeps open.
const AGENT_POLLS: u32 = 1024;

/// What NICE has published. Limits are where the pacer starts from, until answers say otherwise;
/// the pace of Data Extraction is kept to. Of one Digital contact it is a burst of 250 updates,
/// refilled by 17 a minute: each has a scope of its own (`dfo/contact/{id}`), which is not listed.
pub const LIMITS: [PublishedLimit; 7] = [
    PublishedLimit { pacing: quota(150, 300), ..unlimited(MEDIA_PLAYBACK) },
    PublishedLimit { pacing: APART_30_S, concurrency: Some(1), ..unlimited(DATA_EXTRACTION) },
    PublishedLimit { pacing: quota(1_000_000, 3600), ..unlimited(DIGITAL_UPDATE) },
    PublishedLimit { pacing: quota(120_000, 3600), ..unlimited(DIGITAL_GET) },
    PublishedLimit { pacing: quota(360_000, 3600), ..unlimited(DIGITAL_IN) },
    PublishedLimit { pacing: quota(6_000, 60), ..unlimited(DIGITAL_OUT) },
    PublishedLimit { concurrency: Some(AGENT_POLLS), apart: true, ..unlimited(AGENT_EVENTS) },
];

/// One call, then none for 30 s.
const APART_30_S: Option<Pacing> =
    Some(Pacing::Fixed(KnownLimit { requests: 1, per: Duration::from_secs(30), burst: Some(1) }));

const fn unlimited(scope: &'static str) -> PublishedLimit {
    PublishedLimit { scope, pacing: None, concurrency: None, apart: false }
}

const fn quota(requests: u32, seconds: u64) -> Option<Pacing> {
    let per = Duration::from_secs(seconds);
    Some(Pacing::Seeded(KnownLimit { requests, per, burst: None }))
}

impl PublishedLimit {
    /// What is known of the scope beforehand.
    pub fn config(&self) -> ScopeConfig {
        ScopeConfig {
            name: self.scope.to_owned(),
            concurrency: self.concurrency,
            apart: self.apart,
            pacing: self.pacing,
        }
    }
}

/// The scopes of a request to the platform, one to four, narrowest first: its API family, and
/// within Digital the nested quotas that it consumes. In- and outbound messages also count as
/// updates of contacts.
///
/// ```
/// use cxone_core::profile::scopes;
///
/// assert_eq!(scopes("GET", "/incontactapi/services/v34.0/agents"), ["incontactapi"]);
/// assert_eq!(
///     scopes("PUT", "/dfo/3.0/contacts/77/status"),
///     ["dfo/contact/77", "dfo/contact-update", "dfo"]
/// );
/// ```
pub fn scopes(method: &str, path: &str) -> Vec<String> {
    let bare = path.split(['?', '#']).next().unwrap_or_default();
    if bare.ends_with("/get-next-event") {
        return vec![AGENT_EVENTS.to_owned()];
    }
    let family = api_family(path);
    if family != DIGITAL {
        // In the wild it is written in both ways.
        let acd = family.eq_ignore_ascii_case(ACD);
        return vec![if acd { ACD.to_owned() } else { family }];
    }
    let mut segments = bare.split('/').filter(|segment| !segment.is_empty()).skip(2);
    let [what, id, action] = [segments.next(), segments.next(), segments.next()];
    let reads = matches!(method, "GET" | "HEAD");
    let mut scopes = Vec::new();
    match (what, id, action) {
        (Some("contacts"), _, _) if reads => scopes.push(DIGITAL_GET.to_owned()),
        (Some("contacts"), Some(id), _) => {
            scopes.extend([["dfo/contact/", id].concat(), DIGITAL_UPDATE.to_owned()]);
        }
        (Some("channels"), _, Some("outbound")) if !reads => {
            scopes.extend([DIGITAL_OUT, DIGITAL_UPDATE].map(str::to_owned));
        }
        (Some("channels"), _, Some("messages")) if !reads => {
            scopes.extend([DIGITAL_IN, DIGITAL_UPDATE].map(str::to_owned));
        }
        _ => {}
    }
    scopes.push(family);
    scopes
}

/// The API family that a path belongs to: requests of one family share the server's limits, and
/// those of different families do not (NICE publishes its limits by family).
///
/// It is the first segment of the path; below `/api`, where a gateway keeps everything, also the
/// next one that is no version. A path without any segment belongs to the family `"/"`.
///
/// ```
/// use cxone_core::profile::api_family;
///
/// assert_eq!(api_family("/incontactapi/services/v34.0/agents?top=5"), "incontactapi");
/// assert_eq!(api_family("/media-playback/v1/contacts"), "media-playback");
/// assert_eq!(api_family("/api/v2.0/interactions?cursor=x"), "api/interactions");
/// assert_eq!(api_family("/"), "/");
/// ```
pub fn api_family(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match segments.next() {
        None => "/".into(),
        Some("api") => match segments.find(|segment| !is_version(segment)) {
            Some(second) => text!["api/", second],
            None => "api".into(),
        },
        Some(first) => first.into(),
    }
}

/// `v1`, `v2.0`, `3.0`.
fn is_version(segment: &str) -> bool {
    let digits = segment.strip_prefix('v').unwrap_or(segment);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x15_each_api_family_has_a_scope_of_its_own() {
        let paths = [
            ("/incontactapi/services/v34.0/contacts/completed", "incontactapi"),
            ("/dfo/3.0/contacts", "dfo"),
            ("/user-management/v1/users/search", "user-management"),
            ("data-extraction/v1/jobs", "data-extraction"),
            ("/api/v2.0/interactions", "api/interactions"),
            ("/api/v2.0/interactions/77", "api/interactions"),
            ("/api/v2.0", "api"),
            ("", "/"),
        ];
        for (path, family) in paths {
            assert_eq!(api_family(path), family, "{path}");
        }
    }

    #[test]
    fn the_limits_are_those_that_nice_has_published() {
        let of = |name: &str| {
            let limit = LIMITS.iter().find(|limit| limit.scope == name).unwrap();
            let known = limit.pacing.map(|pacing| match pacing {
                Pacing::Seeded(known) | Pacing::Fixed(known) => {
                    (known.requests, known.per.as_secs())
                }
                other => panic!("{other:?}"),
            });
            (known, limit.apart)
        };
        for (scope, requests, seconds) in [
            ("media-playback", 150, 300),
            ("data-extraction", 1, 30),
            ("dfo/contact-update", 1_000_000, 3600),
            ("dfo/contact-get", 120_000, 3600),
            ("dfo/inbound", 360_000, 3600),
            ("dfo/outbound", 6_000, 60),
        ] {
            assert_eq!(of(scope), (Some((requests, seconds)), false), "{scope}");
        }
        assert_eq!(of("agent-events"), (None, true), "a poll of a minute takes nobody's place");
    }

    #[test]
    fn a_digital_request_consumes_nested_quotas() {
        for (method, path, expected) in [
            ("POST", "/dfo/3.0/contacts/a-1/tags", "dfo/contact/a-1 dfo/contact-update dfo"),
            ("GET", "/dfo/3.0/contacts/a-1?x=y", "dfo/contact-get dfo"),
            ("GET", "/dfo/3.0/contacts?scrollToken=x", "dfo/contact-get dfo"),
            ("POST", "/dfo/3.0/channels/c/outbound", "dfo/outbound dfo/contact-update dfo"),
            ("POST", "/dfo/3.0/channels/c/messages", "dfo/inbound dfo/contact-update dfo"),
            ("GET", "/dfo/3.0/routing-queues", "dfo"),
            ("GET", "/inContactAPI/services/v34.0/skills", "incontactapi"),
            (
                "GET",
                "/incontactapi/services/v34.0/agent-sessions/s/get-next-event?timeout=60",
                "agent-events",
            ),
            ("POST", "/data-extraction/v1/jobs", "data-extraction"),
            ("GET", "/media-playback/v1/contacts?acd-call-id=1", "media-playback"),
            ("GET", "/api/v2.0/interactions", "api/interactions"),
        ] {
            assert_eq!(scopes(method, path).join(" "), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_published_limit_is_of_a_scope_that_requests_have() {
        let named: Vec<String> = [
            ("GET", "/media-playback/v1/contacts"),
            ("GET", "/data-extraction/v1/jobs"),
            ("PUT", "/dfo/3.0/contacts/1"),
            ("GET", "/dfo/3.0/contacts/1"),
            ("POST", "/dfo/3.0/channels/1/messages"),
            ("POST", "/dfo/3.0/channels/1/outbound"),
            ("GET", "/incontactapi/services/v34.0/agent-sessions/1/get-next-event"),
        ]
        .into_iter()
        .flat_map(|(method, path)| scopes(method, path))
        .collect();
        for limit in LIMITS {
            assert!(named.iter().any(|name| name == limit.scope), "{limit:?}");
        }
    }
}
