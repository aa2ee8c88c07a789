//! The access tokens that were issued.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// From this many tokens on, dead ones are forgotten.
const KEPT: usize = 10_000;

/// The tenant of all tokens.
pub(crate) const TENANT: &str = "11e85da0-f32c-7e10-898c-0242ac110003";

#[derive(Default)]
pub(crate) struct Tokens {
    issued: HashMap<String, Token>,
    refresh: HashMap<String, Token>,
    serial: u64,
    random: RandomState,
    /// Let in so many more API requests, then revoke all tokens.
    pub(crate) revoke_in: Option<u64>,
}

struct Token {
    client: String,
    expires: Instant,
    revoked: bool,
}

impl Tokens {
    /// A new token, unlike any before and not to be guessed.
    pub(crate) fn issue(&mut self, client: &str, lifetime: Duration) -> String {
        let now = Instant::now();
        if self.issued.len() >= KEPT {
            self.issued.retain(|_, token| !token.revoked && token.expires > now);
        }
        self.serial += 1;
        let name = format!("{:016x}{:016x}", self.random.hash_one(self.serial), self.serial);
        // A lifetime beyond what a clock can hold is for ever.
        let expires =
            now.checked_add(lifetime).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        let token = Token { client: client.to_owned(), expires, revoked: false };
        self.issued.insert(name.clone(), token);
        name
    }

    /// The same, as a JWT that names the tenant.
    pub(crate) fn issue_jwt(&mut self, client: &str, lifetime: Duration) -> String {
        let signature = self.issue(client, lifetime);
        let claims = serde_json::json!({ "sub": client, "tenantId": TENANT }).to_string();
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let jwt = format!("{}.{}.{signature}", part(r#"{"alg":"none"}"#), part(&claims));
        if let Some(token) = self.issued.remove(&signature) {
            self.issued.insert(jwt.clone(), token);
        }
        jwt
    }

    /// A token for the next token.
    pub(crate) fn issue_refresh(&mut self, client: &str, lifetime: Duration) -> String {
        let name = self.issue(client, lifetime);
        if let Some(token) = self.issued.remove(&name) {
            self.refresh.insert(name.clone(), token);
        }
        name
    }

    /// Is this refresh token good for that client?
    pub(crate) fn refreshes(&self, token: &str, client: &str) -> bool {
        let token = self.refresh.get(token);
        token.is_some_and(|token| token.client == client && token.expires > Instant::now())
    }

    /// Lets an API request in and gives its client, if the token is good.
    pub(crate) fn admit(&mut self, token: &str) -> Option<&str> {
        if self.revoke_in == Some(0) {
            self.revoke_in = None;
            self.revoke_all();
        }
        let token = self.issued.get(token)?;
        if token.revoked || token.expires <= Instant::now() {
            return None;
        }
        self.revoke_in = self.revoke_in.map(|left| left - 1);
        Some(&token.client)
    }

    /// Whose token it is or was.
    pub(crate) fn owner(&self, token: &str) -> Option<&str> {
        Some(&self.issued.get(token)?.client)
    }

    pub(crate) fn revoke_all(&mut self) {
        self.issued.values_mut().for_each(|token| token.revoked = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn tokens_expire_and_are_revoked_but_keep_their_owner() {
        let mut tokens = Tokens::default();
        let expired = tokens.issue("a", Duration::ZERO);
        let good = tokens.issue("b", HOUR);
        assert_eq!(tokens.admit(&expired), None);
        assert_eq!(tokens.admit(&good), Some("b"));
        assert_eq!(tokens.admit("made up"), None);
        tokens.revoke_all();
        assert_eq!(tokens.admit(&good), None);
        assert_eq!((tokens.owner(&expired), tokens.owner(&good)), (Some("a"), Some("b")));
    }

    #[test]
    fn revocation_can_wait_for_a_number_of_requests() {
        let mut tokens = Tokens { revoke_in: Some(2), ..Tokens::default() };
        let token = tokens.issue("a", HOUR);
        let admitted: Vec<_> = (0..4).map(|_| tokens.admit(&token).is_some()).collect();
        assert_eq!(admitted, [true, true, false, false]);
        let next = tokens.issue("a", HOUR);
        assert!(tokens.admit(&next).is_some());
    }

    #[test]
    fn dead_tokens_are_forgotten_in_the_end() {
        let mut tokens = Tokens::default();
        let live = tokens.issue("a", HOUR);
        for _ in 0..3 * KEPT {
            tokens.issue("a", Duration::ZERO);
        }
        assert!(tokens.issued.len() <= KEPT);
        assert!(tokens.admit(&live).is_some());
    }
}
