//! URLs: those that are given, and those that are made of them.

use cxone_core::ClientCredentials;
use url::{Position, Url};

use crate::error::Error;
use crate::settings::BuildError;

/// The URL of a path, which may be absolute, and whether it is of the base URL's origin.
pub(crate) fn resolve(base: &Url, path: &str) -> Result<(Url, bool), Error> {
    match quickly(base, path) {
        Some(resolved) => Ok((resolved?, true)),
        None => {
            let url = carefully(base, path)?;
            let own_origin = same_origin(&url, base);
            Ok((url, own_origin))
        }
    }
}

/// As [`carefully`], for what looks as paths mostly do: parsing a URL's host is the dearest part of
/// it, and of the base URL's that has been done. Whatever is not plain is for the other one.
fn quickly(base: &Url, path: &str) -> Option<Result<Url, Error>> {
    let below_root = path.strip_prefix(&base[..Position::BeforePath]);
    let path = below_root.unwrap_or(path);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return None;
    }
    let end = path.bytes().position(|byte| byte == b'?').unwrap_or(path.len());
    let (path, query) = path.split_at(end);
    let mut url = base.clone();
    match base.path().trim_end_matches('/') {
        prefix if prefix.is_empty() || below_root.is_some() => url.set_path(path),
        prefix => url.set_path(&[prefix, path].concat()),
    }
    if !query.is_empty() {
        url.set_query(Some(&query[1..]));
    }
    Some(if below_root.is_some() { Ok(url) } else { is_below(base, url) })
}

/// Stands for itself in a path and in a query, or opens that.
fn is_plain(byte: u8) -> bool {
    let marks = matches!(byte, b'!' | b'$'..=b'&' | b'('..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~');
    marks || byte.is_ascii_alphanumeric()
}

fn carefully(base: &Url, path: &str) -> Result<Url, Error> {
    let Some(url) = absolute(path) else {
        let scheme = path.split(':').next().unwrap_or_default();
        if scheme.len() < path.len() && is_web(&scheme.to_ascii_lowercase()) {
            return Err(Error::request("it is no URL: give a path, or a URL with https or http"));
        }
        return is_below(base, below(base, path));
    };
    if !is_web(url.scheme()) {
        return Err(Error::request("a path, or a URL with https or http, is needed"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::request("secrets do not belong into a URL: use a header"));
    }
    Ok(url)
}

fn is_web(scheme: &str) -> bool {
    matches!(scheme, "https" | "http")
}

/// Is a path one under the base URL?
pub(crate) fn is_relative(path: &str) -> bool {
    absolute(path).is_none()
}

fn absolute(path: &str) -> Option<Url> {
    if path.starts_with('/') { None } else { Url::parse(path).ok() }
}

fn is_below(base: &Url, url: Url) -> Result<Url, Error> {
    let rest = url.path().strip_prefix(base.path().trim_end_matches('/'));
    match rest.is_some_and(|rest| rest.starts_with('/')) {
        true => Ok(url),
        false => Err(Error::request("its path leads out of the base URL's")),
    }
}

/// Are these of one origin (RFC 6454 §5)? Both are http or https, as all URLs are here.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// A URL under which requests go, as it was given for a setting.
pub(crate) fn parse_url(field: &'static str, text: &str) -> Result<Url, BuildError> {
    let wrong = |fix| Err(BuildError::new(field, fix));
    let Ok(mut url) = Url::parse(text) else {
        return wrong("it is no absolute URL, like https://YOUR_SUBDOMAIN.api.nicecxone.com");
    };
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return wrong("its scheme must be https (or http, for a server under test)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("secrets do not belong into a URL: use client_credentials()");
    }
    url.set_fragment(None);
    Ok(url)
}

/// The token endpoint's; a secret in it is found before it is sent to anybody.
pub(crate) fn parse_token_url(
    text: &str,
    credentials: &ClientCredentials,
) -> Result<Url, BuildError> {
    let url = parse_url("token_url", text)?;
    if url.query().is_some_and(|query| credentials.leak_in(query)) {
        let fix = "secrets do not belong into a URL: use client_credentials()";
        return Err(BuildError::new("token_url", fix));
    }
    Ok(url)
}

/// The URL of a path under the base URL, and of its origin whatever the path is.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut text = base.as_str().trim_end_matches('/').to_owned();
    text.push('/');
    text.push_str(path.strip_prefix('/').unwrap_or(path));
    // A base with a host, then a slash, then anything, is a URL: what does not fit is encoded.
    Url::parse(&text).unwrap_or_else(|_| base.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(path: &str) -> String {
        let base = Url::parse("https://h.example/gw/").unwrap();
        resolve(&base, path).map_or_else(|error| error.to_string(), |(url, _)| url.to_string())
    }

    #[test]
    fn a_path_stays_below_the_base_whatever_it_looks_like() {
        assert_eq!(resolved("/api/v2.0/x?a=1"), "https://h.example/gw/api/v2.0/x?a=1");
        assert_eq!(resolved("api/x"), "https://h.example/gw/api/x");
        assert_eq!(resolved("//evil.example/x"), "https://h.example/gw//evil.example/x");
        assert_eq!(resolved("@evil.example"), "https://h.example/gw/@evil.example");
        assert_eq!(resolved("\\\\evil.example"), "https://h.example/gw///evil.example");
        assert_eq!(resolved("a/../b"), "https://h.example/gw/b");
        for out in ["..", "../admin", "/../gwx", "a/%2E%2e/../admin", "a\\..\\..\\b"] {
            assert_eq!(resolved(out), "Invalid Request: its path leads out of the base URL's");
        }
        assert_eq!(resolved("https://o.example/x"), "https://o.example/x");
        for no_url in
            ["https://o.example:99999/x", "https://o mple.example/x", "http://[::1", "HTTPS://"]
        {
            assert!(resolved(no_url).starts_with("Invalid Request: it is no URL"), "{no_url}");
        }
        assert!(resolved("ftp://o.example/x").starts_with("Invalid Request"));
        assert!(!resolved("https://me:hunter2@o.example/x").contains("hunter2"));
    }

    #[test]
    fn the_quick_way_leads_to_the_same_url_as_the_careful_one() {
        const PIECES: [&str; 16] = [
            "/", "/", ".", "..", "a", "B9", "%2e", "%2E.", "%", "?", "&q=", ":@", "//", "http:",
            "~", "",
        ];
        let shown = |url: Result<Url, Error>| url.map_or_else(|e| e.to_string(), String::from);
        let (mut quick, mut dice) = (0, 7_u32);
        for base in ["https://h.example", "http://127.0.0.1:80/gw/", "https://h.example:444/a/b"] {
            let base = Url::parse(base).unwrap();
            for _ in 0..20_000 {
                let mut path = String::new();
                for _ in 0..dice % 7 {
                    dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    path.push_str(PIECES[(dice >> 20) as usize % PIECES.len()]);
                }
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let absolute = format!("{}{path}", base.origin().ascii_serialization());
                for path in [path, absolute] {
                    if let Some(url) = quickly(&base, &path) {
                        assert!(
                            url.as_ref().is_ok_and(|url| same_origin(url, &base)) || url.is_err()
                        );
                        assert_eq!(shown(url), shown(carefully(&base, &path)), "{base} {path:?}");
                        quick += 1;
                    }
                }
            }
        }
        assert!(quick > 20_000, "{quick}");
    }
}
