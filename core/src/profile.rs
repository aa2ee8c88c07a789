//! What is particular to CXone: where things are, how one signs in, which requests share a limit.

use alloc::string::String;

/// The path of the token endpoint under a gateway's base URL.
pub const GATEWAY_TOKEN_PATH: &str = "/oauth2/token";

/// The OAuth scope that a gateway grants.
pub const GATEWAY_SCOPE: &str = "contact-center-api";

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
            Some(second) => format!("api/{second}"),
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
}
