//! The request for a token by client credentials (RFC 6749 §4.4), and what of its answer may be
//! shown: the same for every host.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use crate::base64::encode;
use crate::form;

/// What is shown in place of a secret.
pub const HIDDEN: &str = "***";

/// How a client proves who it is to the token endpoint (RFC 6749 §2.3.1). Neither way puts
/// anything into a URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the form body. The default: CXone's secrets end in
    /// `====`, and too many servers forget to decode what the RFC wants encoded in a Basic header.
    #[default]
    Body,
    /// HTTP Basic, id and secret form-encoded first, as the RFC wants.
    Basic,
}

/// The credentials of a client. Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct ClientCredentials {
    /// `client_id`
    pub id: String,
    /// `client_secret`
    pub secret: String,
    /// The scope to ask for, if any.
    pub scope: Option<String>,
    /// How they travel.
    pub auth: ClientAuth,
}

impl ClientCredentials {
    /// The body of the token request, `application/x-www-form-urlencoded`.
    pub fn form(&self) -> String {
        self.form_for(&[("grant_type", "client_credentials")])
    }

    /// The same for another grant, with what that needs.
    pub(crate) fn form_for(&self, grant: &[(&str, &str)]) -> String {
        let mut body = String::new();
        for (name, value) in grant {
            form::append(&mut body, name, value);
        }
        if let Some(scope) = &self.scope {
            form::append(&mut body, "scope", scope);
        }
        if self.auth == ClientAuth::Body {
            form::append(&mut body, "client_id", &self.id);
            form::append(&mut body, "client_secret", &self.secret);
        }
        body
    }

    /// Its `Authorization`, if it has one.
    pub fn authorization(&self) -> Option<String> {
        (self.auth == ClientAuth::Basic).then(|| "Basic ".to_owned() + &self.pair())
    }

    /// A text of the server's without the secret: some servers quote what they were sent, and that
    /// is form-encoded, or in a Basic header.
    pub fn redact(&self, text: &str) -> String {
        let secret = &*self.secret;
        let text = hide(&hide(text, secret), &self.pair());
        let quotes = |bytes: &[u8]| {
            !secret.is_empty() && bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
        };
        let quoted = form::pairs(&text).any(|(name, value)| quotes(&name) || quotes(&value));
        if quoted { HIDDEN.to_owned() } else { text }
    }

    /// Does a query or a form hold a secret, this one or any under a usual name?
    pub fn leak_in(&self, query: &str) -> bool {
        form::pairs(query).any(|(name, value)| {
            matches!(&*name, b"client_secret" | b"clientSecret" | b"secret" | b"password")
                || value == self.secret.as_bytes()
        })
    }

    /// Id and secret are form-encoded first (RFC 6749 §2.3.1), so that a colon in one is no border.
    fn pair(&self) -> String {
        let mut pair = String::new();
        form::encode(&mut pair, &self.id);
        pair.push(':');
        form::encode(&mut pair, &self.secret);
        encode(pair.as_bytes())
    }
}

/// With [`HIDDEN`] in place of each `secret`. The texts are short: the search of the standard library
/// would be more code than it saves time.
fn hide(text: &str, secret: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(secret).filter(|_| !secret.is_empty()) {
            shown.push_str(HIDDEN);
            rest = after;
        } else {
            let mut chars = rest.chars();
            shown.extend(chars.next());
            rest = chars.as_str();
        }
    }
    shown
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .field("secret", &HIDDEN)
            .field("scope", &self.scope)
            .field("auth", &self.auth)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64::decode;

    fn credentials(auth: ClientAuth) -> ClientCredentials {
        ClientCredentials {
            id: "a:b".to_owned(),
            secret: "s ==&==".to_owned(),
            scope: Some("contact-center-api".to_owned()),
            auth,
        }
    }

    #[test]
    fn x16_the_secret_travels_form_encoded_in_the_body() {
        let credentials = credentials(ClientAuth::Body);
        assert_eq!(
            credentials.form(),
            "grant_type=client_credentials&scope=contact-center-api\
             &client_id=a%3Ab&client_secret=s+%3D%3D%26%3D%3D"
        );
        assert_eq!(credentials.authorization(), None);
    }

    #[test]
    fn x16_or_form_encoded_in_a_basic_header() {
        let credentials = credentials(ClientAuth::Basic);
        assert_eq!(credentials.form(), "grant_type=client_credentials&scope=contact-center-api");
        let value = credentials.authorization().unwrap();
        let pair = decode(value.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(pair, b"a%3Ab:s+%3D%3D%26%3D%3D");
    }

    #[test]
    fn x17_neither_debug_nor_a_quoting_server_shows_the_secret() {
        let body = credentials(ClientAuth::Body);
        let basic = credentials(ClientAuth::Basic).authorization().unwrap();
        assert!(!format!("{body:?}").contains("==&=="));
        for quoted in ["bad s ==&==", &body.form(), &basic, "s%20%3d%3d%26%3d%3d is wrong"] {
            let shown = body.redact(&format!("not this: {quoted}"));
            assert!(shown.contains(HIDDEN), "{shown}");
            assert!(!shown.contains("==&==") && !shown.to_lowercase().contains("%3d"), "{shown}");
            assert!(!shown.contains(basic.strip_prefix("Basic ").unwrap()), "{shown}");
        }
        let other = "the scope a=b&c=%20 is unknown";
        assert_eq!(body.redact(other), other);
    }

    #[test]
    fn x16_a_secret_in_a_query_is_found() {
        let credentials = credentials(ClientAuth::Body);
        assert!(credentials.leak_in("clientSecret=x"));
        assert!(credentials.leak_in("a=1&k=s+%3D%3D%26%3D%3D"));
        assert!(!credentials.leak_in("tenant=7"));
    }
}
