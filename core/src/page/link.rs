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
    match host.strip_suffix(port) {
        Some(_) => origin.strip_suffix(port).unwrap_or(origin),
        None => origin,
    }
}

/// Visible ASCII but for the backslash, which some take for a slash.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\'
}

/// What a link has for `name` in its query, if that is a number.
pub(super) fn number_in_query<'a>(link: &'a str, name: &str) -> Option<&'a str> {
    let bytes = link.as_bytes();
    let query = bytes.iter().position(|byte| *byte == b'?')?;
    for (place, byte) in bytes.iter().enumerate().skip(query) {
        match byte {
            b'?' | b'&' => {}
            b'#' => return None,
            _ => continue,
        }
        let value = link.get(place + 1..).and_then(|rest| rest.strip_prefix(name));
        if let Some(value) = value.and_then(|rest| rest.strip_prefix("=")) {
            let ends = |byte: &u8| matches!(byte, b'&' | b'#');
            let end = value.as_bytes().iter().position(ends).unwrap_or(value.len());
            return value.get(..end).filter(|value| number(value).is_some());
        }
    }
    None
}

/// A number in decimal digits. (What the standard library has for it is more code.)
pub(super) fn number(text: &str) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        number.checked_mul(10)?.checked_add(u64::from(digit)).filter(|_| digit < 10)
    };
    text.as_bytes().iter().try_fold(0, digit).filter(|_| !text.is_empty())
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
        for link in ["/a&cursor=1", "/a&cursor=1?x=1", "/a?x=1#&cursor=1", "/a?cursor=1:"] {
            assert_eq!(number_in_query(link, "cursor"), None, "{link}");
        }
    }
}
