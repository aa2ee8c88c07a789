//! Which limit applies to whom.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use cxone_sim::{Decision, LimitSpec, Limiter};

use crate::is_sign_in;

/// The scope of signing in.
const SIGN_IN: &str = "sign-in";

/// The limits by path prefix, and a limiter for each client id under each of them.
#[derive(Default)]
pub(crate) struct Limits {
    specs: BTreeMap<String, LimitSpec>,
    limiters: HashMap<(String, String), Limiter>,
}

impl Limits {
    /// Sets, changes or lifts the limit under a prefix. What was used stays used.
    pub(crate) fn set(&mut self, prefix: String, spec: Option<LimitSpec>) {
        match spec {
            Some(spec) => {
                let under = self.limiters.iter_mut().filter(|((_, p), _)| *p == prefix);
                under.for_each(|(_, limiter)| limiter.change(spec));
                self.specs.insert(prefix, spec);
            }
            None => {
                self.limiters.retain(|(_, p), _| *p != prefix);
                self.specs.remove(&prefix);
            }
        }
    }

    /// The scope that a path belongs to: the longest prefix that has a limit. Without one, the
    /// token endpoint is a scope and all else is another.
    pub(crate) fn scope(&self, path: &str) -> &str {
        let longest =
            self.specs.keys().filter(|prefix| path.starts_with(*prefix)).max_by_key(|p| p.len());
        match longest.map_or("", |prefix| prefix) {
            "" if is_sign_in(path) => SIGN_IN,
            prefix => prefix,
        }
    }

    /// Counts a request at `now` against the limit of its scope, if there is one.
    pub(crate) fn try_acquire(
        &mut self,
        client: &str,
        path: &str,
        now: Duration,
    ) -> Option<(LimitSpec, Decision)> {
        let scope = self.scope(path).to_owned();
        let spec = *self.specs.get(&scope)?;
        let limiter = self.limiters.entry((client.to_owned(), scope));
        let limiter = limiter.or_insert_with(|| Limiter::new(spec));
        Some((spec, limiter.try_acquire(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TOKEN_PATH;

    fn limits() -> Limits {
        let mut limits = Limits::default();
        for prefix in ["", "/media", "/media/v1"] {
            limits.set(prefix.into(), Some(LimitSpec::fixed(1, Duration::from_secs(60))));
        }
        limits
    }

    #[test]
    fn the_longest_prefix_wins_and_the_token_endpoint_has_its_own() {
        let mut limits = limits();
        assert_eq!(limits.scope("/media/v1/x"), "/media/v1");
        assert_eq!(limits.scope("/media/v2/x"), "/media");
        assert_eq!(limits.scope("/api"), "");
        assert_eq!(limits.scope(TOKEN_PATH), SIGN_IN);
        assert!(limits.try_acquire("a", TOKEN_PATH, Duration::ZERO).is_none());
        limits.set("/oauth2".into(), Some(LimitSpec::fixed(1, Duration::from_secs(60))));
        assert_eq!(limits.scope(TOKEN_PATH), "/oauth2");
    }

    #[test]
    fn each_client_has_its_own_quota_in_each_scope() {
        let mut limits = limits();
        let mut allowed =
            |client, path| limits.try_acquire(client, path, Duration::ZERO).unwrap().1.is_allowed();
        assert!(allowed("a", "/api"));
        assert!(!allowed("a", "/api"));
        assert!(allowed("b", "/api"));
        assert!(allowed("a", "/media"));
    }
}
