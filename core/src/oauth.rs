//! What a token endpoint answers (RFC 6749 §5), and what NICE's endpoints make of it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::field::{Decimal, MAX_WAIT_MS};
use crate::json::{Members, Value};
use crate::reading::Mode;
use crate::status::status_text;

/// The longest body that is read; a longer one is refused.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The longest error code that is kept.
const MAX_ERROR_BYTES: usize = 128;
/// How much of an error's description is kept.
const MAX_DESCRIPTION_CHARS: usize = 512;

/// The names under which the lifetime of a token is seen, in the order of trust.
const LIFETIME_NAMES: [&str; 4] =
    ["expires_in", "expiresIn", "accessTokenExpiry", "tokenExpirationTimeSec"];

/// A token that was granted. Its `Debug` shows neither of the two strings.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenGrant {
    /// Visible ASCII and not empty: it can stand in a header as it is.
    pub access_token: String,
    /// Present if it is a string that is not empty.
    pub refresh_token: Option<String>,
    /// How long the token lives, in whole seconds, as stated; `None` if that is absent, not above
    /// zero or no number. It saturates at 2⁵³ − 1 ms.
    pub lifetime: Option<Duration>,
}

impl fmt::Debug for TokenGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGrant")
            .field("access_token", &"[redacted]")
            .field("refresh_token", &self.refresh_token.as_ref().map(|_| "[redacted]"))
            .field("lifetime", &self.lifetime)
            .finish()
    }
}

/// An answer without a usable token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRefusal {
    /// The status of the answer.
    pub status: u16,
    /// Whether asking again makes sense.
    pub kind: Refusal,
    /// What is wrong with the answer: a phrase for people, without a full stop.
    pub problem: &'static str,
    /// The OAuth error code, if the answer has one in the characters of RFC 6749 §5.2 and of at
    /// most 128 bytes.
    pub error: Option<String>,
    /// The text beside the error code: at most 512 characters, without control characters.
    pub description: Option<String>,
}

/// Whether asking for a token again makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The endpoint is throttled or unwell (429, 5xx): wait and ask again.
    Transient,
    /// The same question would draw the same answer: wrong credentials, a wrong address, …
    Fatal,
}

/// `OAuth Token Fetch Failed: 400 Bad Request`; of an answer that claims success, what is wrong
/// with it follows.
impl fmt::Display for TokenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuth Token Fetch Failed: {}", self.status)?;
        let phrase = status_text(self.status);
        if !phrase.is_empty() {
            write!(f, " {phrase}")?;
        }
        if is_success(self.status) {
            write!(f, " ({})", self.problem)?;
        }
        Ok(())
    }
}

impl core::error::Error for TokenRefusal {}

/// Reads the answer of a token endpoint.
///
/// Success is a 2xx with a JSON object (of at most 1 MiB) that has an `access_token` of type
/// Bearer; a missing `token_type` is taken for that. Anything else is a refusal.
pub fn read_token_answer(status: u16, body: &[u8]) -> Result<TokenGrant, TokenRefusal> {
    let answer = match status {
        429 => Err("the token endpoint throttles"), // such a body may be anything: not looked at
        _ => object(body),
    };
    grant(status, &answer).map_err(|problem| TokenRefusal {
        status,
        kind: match status {
            429 | 500..=599 => Refusal::Transient,
            _ => Refusal::Fatal,
        },
        problem,
        error: answer.as_ref().ok().and_then(error_code),
        description: answer.as_ref().ok().and_then(error_description),
    })
}

fn is_success(status: u16) -> bool {
    (200..=299).contains(&status)
}

/// A member of a JSON object that is a text and not empty.
pub(crate) fn member(body: &[u8], name: &str) -> Option<String> {
    string(&object(body).ok()?, name).map(str::to_owned)
}

fn object(body: &[u8]) -> Result<Members, &'static str> {
    if body.len() > MAX_BODY_BYTES {
        return Err("its body is longer than 1 MiB");
    }
    Members::read(body).ok_or("its body is not a JSON object")
}

fn grant(status: u16, answer: &Result<Members, &'static str>) -> Result<TokenGrant, &'static str> {
    if !is_success(status) {
        return Err("the token endpoint refused");
    }
    let answer = answer.as_ref().map_err(|problem| *problem)?;
    let access_token = string(answer, "access_token").ok_or("it holds no access_token")?;
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its access_token cannot stand in a header");
    }
    match answer.get("token_type") {
        None | Some(Value::Null) => {}
        Some(Value::Text(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
        Some(_) => return Err("its token_type is not Bearer"),
    }
    Ok(TokenGrant {
        access_token: access_token.to_owned(),
        refresh_token: string(answer, "refresh_token").map(str::to_owned),
        lifetime: LIFETIME_NAMES.iter().find_map(|name| lifetime(answer.get(name)?)),
    })
}

/// A member that is a string and not empty.
fn string<'a>(answer: &'a Members, name: &str) -> Option<&'a str> {
    match answer.get(name)? {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A number of seconds above zero, also one in a string.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(seconds) => *seconds,
        Value::Text(text) => Decimal::parse(text.trim(), Mode::Lenient)?.floor(),
        _ => return None,
    };
    (seconds > 0).then(|| Duration::from_millis(seconds.saturating_mul(1000).min(MAX_WAIT_MS)))
}

/// RFC 6749 §5.2: printable ASCII without the quotation mark and the backslash.
fn error_code(answer: &Members) -> Option<String> {
    let code = string(answer, "error")?;
    let allowed = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    (code.len() <= MAX_ERROR_BYTES && code.bytes().all(allowed)).then(|| code.to_owned())
}

fn error_description(answer: &Members) -> Option<String> {
    let text = string(answer, "error_description")?;
    let kept: String =
        text.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION_CHARS).collect();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(status: u16, body: &Value) -> Result<TokenGrant, TokenRefusal> {
        read_token_answer(status, body.to_string().as_bytes())
    }

    fn lifetime_of(body: Value) -> Option<u64> {
        let mut body = body;
        body["access_token"] = "t".into();
        Some(read(200, &body).unwrap().lifetime?.as_secs())
    }

    fn fatal(status: u16, body: &[u8]) -> TokenRefusal {
        let refusal = read_token_answer(status, body).unwrap_err();
        assert_eq!(refusal.kind, Refusal::Fatal, "{refusal}");
        refusal
    }

    #[test]
    fn t01_a_bearer_token_is_granted_with_its_lifetime() {
        let body = json!({
            "access_token": "abc.DEF-_~+/==", "token_type": "bearer", "expires_in": 3600,
            "refresh_token": "again", "id_token": "x",
        });
        let grant = read(200, &body).unwrap();
        assert_eq!(grant.access_token, "abc.DEF-_~+/==");
        assert_eq!(grant.refresh_token.as_deref(), Some("again"));
        assert_eq!(grant.lifetime, Some(Duration::from_secs(3600)));
        assert_eq!(read(201, &json!({ "access_token": "a" })).unwrap().refresh_token, None);
    }

    #[test]
    fn x19_a_lifetime_may_be_a_string_an_alias_or_absent() {
        assert_eq!(lifetime_of(json!({ "expires_in": "3600" })), Some(3600));
        assert_eq!(lifetime_of(json!({ "expires_in": 3599.9 })), Some(3599));
        assert_eq!(lifetime_of(json!({ "expires_in": "3599.9" })), Some(3599));
        for name in LIFETIME_NAMES {
            assert_eq!(lifetime_of(json!({ name: 7 })), Some(7));
        }
        assert_eq!(lifetime_of(json!({ "expires_in": "soon", "expiresIn": "8" })), Some(8));
        for none in [
            json!(0),
            json!(-1),
            json!(0.5),
            json!("-1"),
            json!("NaN"),
            json!(""),
            json!(null),
            json!(true),
            json!([9]),
        ] {
            assert_eq!(lifetime_of(json!({ "expires_in": none })), None, "{none}");
        }
        assert_eq!(lifetime_of(json!({})), None);
    }

    #[test]
    fn a_huge_lifetime_saturates() {
        for huge in [json!(u64::MAX), json!(1e300), json!("9".repeat(400))] {
            assert_eq!(lifetime_of(json!({ "expires_in": huge })), Some(MAX_WAIT_MS / 1000));
        }
    }

    #[test]
    fn t04_a_refusal_names_the_status_and_its_phrase() {
        let body = json!({ "error": "invalid_client", "error_description": "Who\u{7}\n are you?" });
        for status in [400, 401] {
            let refusal = read(status, &body).unwrap_err();
            assert_eq!(refusal.kind, Refusal::Fatal);
            assert_eq!(refusal.error.as_deref(), Some("invalid_client"));
            assert_eq!(refusal.description.as_deref(), Some("Who are you?"));
        }
        assert_eq!(fatal(400, b"").to_string(), "OAuth Token Fetch Failed: 400 Bad Request");
        assert_eq!(fatal(599 + 1, b"").to_string(), "OAuth Token Fetch Failed: 600");
        let empty = fatal(200, b"").to_string();
        assert_eq!(empty, "OAuth Token Fetch Failed: 200 OK (its body is not a JSON object)");
    }

    #[test]
    fn x22_a_blip_at_the_token_endpoint_is_transient() {
        for status in [429, 500, 502, 503, 504, 599] {
            let refusal = read_token_answer(status, b"<html>").unwrap_err();
            assert_eq!(refusal.kind, Refusal::Transient, "{status}");
        }
    }

    #[test]
    fn t28_the_body_of_a_429_is_not_looked_at() {
        let empty = read_token_answer(429, b"").unwrap_err();
        let body = b"{\"error\":\"slow_down\",\"access_token\":\"a\"}";
        assert_eq!(read_token_answer(429, body).unwrap_err(), empty);
        assert_eq!(empty.kind, Refusal::Transient);
    }

    #[test]
    fn anything_else_without_a_usable_token_is_fatal() {
        for body in [
            "",
            "<html>login</html>",
            "null",
            "[]",
            "\"token\"",
            "{}",
            "{\"access_token\":",
            "{\"access_token\":\"\"}",
            "{\"access_token\":7}",
            "{\"access_token\":\"a b\"}",
            "{\"access_token\":\"a\\nb\"}",
            "{\"access_token\":\"\u{e9}\"}",
            "{\"access_token\":\"a\",\"token_type\":\"mac\"}",
            "{\"access_token\":\"a\",\"token_type\":7}",
            "{\"error\":\"invalid_grant\"}",
        ] {
            fatal(200, body.as_bytes());
        }
        for status in [204, 301, 302, 400, 401, 403, 404, 0] {
            fatal(status, b"<html>");
        }
        fatal(302, b"{\"access_token\":\"a\"}");
        let long = format!("{{\"access_token\":\"{}\"}}", "a".repeat(MAX_BODY_BYTES));
        fatal(200, long.as_bytes());
        fatal(200, &b"[".repeat(MAX_BODY_BYTES));
    }

    #[test]
    fn error_texts_are_bounded_and_checked() {
        let long =
            read(400, &json!({ "error": "e".repeat(129), "error_description": "d".repeat(999) }));
        let long = long.unwrap_err();
        assert_eq!((long.error, long.description), (None, Some("d".repeat(512))));
        for bad in ["a\"b", "a\\b", "a\nb", "é", ""] {
            assert_eq!(read(400, &json!({ "error": bad })).unwrap_err().error, None, "{bad}");
        }
    }

    #[test]
    fn x17_debug_shows_no_token() {
        let grant = read(200, &json!({ "access_token": "s3cret", "refresh_token": "s3cret" }));
        let unusable = read(200, &json!({ "access_token": "s3cret", "token_type": "mac" }));
        for text in
            [format!("{grant:?}"), format!("{unusable:?}"), unusable.unwrap_err().to_string()]
        {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(status: u16, body: Vec<u8>, text in "[{}\":,a-z0-9\\[\\]]*") {
            let _ = read_token_answer(status, &body);
            let _ = read_token_answer(status, text.as_bytes());
        }
    }
}
