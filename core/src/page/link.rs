//! Links to the next page, as far as a run follows them.

/// The path and query of a link, if it is one on the origin that was asked: a path, or a URL that
/// begins with the origin. Anything else, and whatever two readers of URLs could take for
/// different hosts (`//h`, `\`, `user@`), is not followed.
pub(super) fn on_origin<'a>(link: &'a str, origin: &str) -> Option<&'a str> {
    let path = if link.starts_with('/') {
        link
    } else {
        let (origin, default_port) = match origin.strip_prefix("https://") {
            Some(host) => (without_port(origin, host, ":443"), ":443"),
            None => (without_port(origin, origin.strip_prefix("http://")?, ":80"), ":80"),
        };
        let (start, rest) = link.split_at_checked(origin.len())?;
        let rest = rest.strip_prefix(default_port).unwrap_or(rest);
        start.eq_ignore_ascii_case(origin).then_some(rest)?
    };
    let plain = path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_plain);
    plain.then_some(path)
}

/// The origin without the port that its scheme has anyway.
fn without_port<'a>(origin: &'a str, host: &str, port: &str) -> &'a str {
    match host.ends_with(port) {
        true => &origin[..origin.len() - port.len()],
        false => origin,
    }
}

/// Visible ASCII but for the backslash, which some take for a slash.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\'
}

/// What a link has for `name` in its query, if that is a number.
pub(super) fn number_in_query<'a>(link: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = link.split_once('?')?;
    let query = query.split('#').next()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(other, _)| *other == name)?;
    is_number(value).then_some(value)
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x31_a_link_is_followed_on_its_own_origin_only() {
        let origin = "https://api-na1.niceincontact.com";
        for (link, path) in [
            ("/a?skip=5", "/a?skip=5"),
            ("https://api-na1.niceincontact.com/inContactAPI/a?skip=5", "/inContactAPI/a?skip=5"),
            ("HTTPS://API-na1.niceincontact.com:443/a", "/a"),
        ] {
            assert_eq!(on_origin(link, origin), Some(path), "{link}");
        }
        for link in [
            "",
            "a?skip=5",
            "?skip=5",
            "//evil.example/a",
            "/\\evil.example/a",
            "\\\\evil.example/a",
            "https://api-na1.niceincontact.com",
            "https://api-na1.niceincontact.com.evil.example/a",
            "https://api-na1.niceincontact.com@evil.example/a",
            "https://api-na1.niceincontact.com:444/a",
            "https://api-na1.niceincontact.com:443evil/a",
            "https://api-na1.niceincontact.com//evil.example/a",
            "https://api-na1.niceincontact.com/a b",
            "https://evil.example/https://api-na1.niceincontact.com/a",
            "http://api-na1.niceincontact.com/a",
            "https://\u{e4}/a",
        ] {
            assert_eq!(on_origin(link, origin), None, "{link}");
        }
        assert_eq!(on_origin("http://h:80/a", "http://h"), Some("/a"));
        assert_eq!(on_origin("http://h/a", "http://h:80"), Some("/a"));
        assert_eq!(on_origin("http://127.0.0.1:8080/a", "http://127.0.0.1:8080"), Some("/a"));
        assert_eq!(on_origin("http://127.0.0.1:80801/a", "http://127.0.0.1:8080"), None);
        assert_eq!(on_origin("ftp://h/a", "ftp://h"), None);
    }

    #[test]
    fn a_number_is_found_in_a_links_query() {
        assert_eq!(number_in_query("https://h/a?x=1&cursor=20#c", "cursor"), Some("20"));
        for link in ["/a", "/a?cursor=", "/a?cursor=x", "/a?mycursor=1", "/a#?cursor=x&cursor=1"] {
            assert_eq!(number_in_query(link, "cursor"), None, "{link}");
        }
    }
}
