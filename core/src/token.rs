//! Token state: empty, fetching, valid, refreshing, refused.
//!
//! One token serves the whole engine, and at most one fetch is out. A token is named by its
//! [`Generation`], so that a 401 refreshes only the token that its attempt carried: the seven
//! others that were refused with the same old token find a newer one and use it.
//!
//! Renewal is by demand: a send inside the renewal window starts it while the old token still
//! serves. An idle engine has no token timer.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::error::TokenFailure;
use crate::event::Generation;
use crate::time::Instant;

/// RFC 6749 §5.1 lets a server leave `expires_in` out; the platform's tokens live an hour.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A token is renewed so long before it expires, or the attempt timeout and a little more.
const RENEWAL_WINDOW: Duration = Duration::from_secs(60);
const BEYOND_ATTEMPT: Duration = Duration::from_secs(5);

/// A token is not used in the last moments of its life: it must still be valid on arrival.
const SAFETY_MARGIN: Duration = Duration::from_secs(5);
const SAFETY_SHARE: u32 = 10;

/// However short-lived, a new token serves so long: fetching at every send helps nobody.
const LEAST_USE: Duration = Duration::from_secs(1);

/// What a request that needs a token gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Use(Generation),
    /// A fetch is out.
    Wait,
    /// No token, and no fetch is out: start one.
    Fetch,
    /// The next fetch may start then.
    At(Instant),
    /// The endpoint refused for good; no fetch is tried before that moment.
    Refused(TokenFailure, Instant),
}

#[derive(Debug)]
struct Held {
    generation: Generation,
    renew_at: Instant,
    usable_until: Instant,
    /// It was fetched because of a 401: one that it draws before this moment says that a new
    /// token does not help, if no answer has accepted it yet, …
    new_until: Option<Instant>,
    unproven: bool,
    /// … or none of this scope, in which the replay of a request drew a 401 with it.
    denied: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Fetch {
    generation: Generation,
    sent_at: Instant,
}

#[derive(Debug)]
pub(crate) struct Token {
    held: Option<Held>,
    fetch: Option<Fetch>,
    generations: u32,
    /// The last token drew a 401.
    rejected: bool,
    not_before: Instant,
    /// The moment that the endpoint stated, without jitter.
    stated_until: Instant,
    failures: u32,
    last_failure: Option<(TokenFailure, Instant)>,
}

/// A fetch failed; the next one may start at `retry_at`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setback {
    pub(crate) retry_at: Instant,
    /// The moment of the first failure in a row.
    pub(crate) since: Instant,
}

impl Token {
    pub(crate) fn new() -> Self {
        Token {
            held: None,
            fetch: None,
            generations: 0,
            rejected: false,
            not_before: Instant::ORIGIN,
            stated_until: Instant::ORIGIN,
            failures: 0,
            last_failure: None,
        }
    }

    /// What a request that is about to be sent gets.
    pub(crate) fn need(&self, now: Instant) -> Need {
        if let Some(held) = self.usable(now) {
            return Need::Use(held.generation);
        }
        if self.fetch.is_some() {
            return Need::Wait;
        }
        match self.last_failure {
            _ if now >= self.not_before => Need::Fetch,
            Some((failure, _)) if failure.is_fatal() => Need::Refused(failure, self.not_before),
            _ => Need::At(self.not_before),
        }
    }

    /// Should a send at this moment start a renewal in the background?
    pub(crate) fn wants_renewal(&self, now: Instant) -> bool {
        let due = self.usable(now).is_some_and(|held| now >= held.renew_at);
        due && self.fetch.is_none() && now >= self.not_before
    }

    /// Starts a fetch, and names it.
    pub(crate) fn start_fetch(&mut self, now: Instant) -> Generation {
        debug_assert!(self.fetch.is_none(), "one fetch");
        self.generations += 1;
        let generation = Generation(self.generations);
        self.fetch = Some(Fetch { generation, sent_at: now });
        generation
    }

    /// The fetch brought a token. `None`: it is not the one that is out.
    pub(crate) fn fetched(
        &mut self,
        generation: Generation,
        lifetime: Option<Duration>,
        attempt_timeout: Duration,
        cooldown: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let fetch = self.fetch.take_if(|fetch| fetch.generation == generation)?;
        let lifetime = lifetime
            .filter(|lifetime| !lifetime.is_zero())
            .map_or(DEFAULT_LIFETIME, |lifetime| lifetime.min(LONGEST_LIFETIME));
        let window = RENEWAL_WINDOW.max(attempt_timeout.saturating_add(BEYOND_ATTEMPT));
        let margin = SAFETY_MARGIN.min(lifetime / SAFETY_SHARE);
        let usable_until = (fetch.sent_at + (lifetime - margin)).max(now + LEAST_USE);
        self.held = Some(Held {
            generation,
            renew_at: fetch.sent_at + lifetime.saturating_sub(window).max(lifetime / 2),
            usable_until,
            new_until: self.rejected.then(|| now + cooldown),
            unproven: true,
            denied: Vec::new(),
        });
        self.rejected = false;
        self.failures = 0;
        self.last_failure = None;
        self.not_before = Instant::ORIGIN;
        Some(usable_until)
    }

    /// The fetch failed; `wait` says for how long the next one waits after so many failures in a
    /// row before this one. `None`: it is not the one that is out.
    pub(crate) fn fetch_failed(
        &mut self,
        generation: Generation,
        failure: TokenFailure,
        now: Instant,
        stated: Option<Duration>,
        wait: impl FnOnce(u32) -> Duration,
    ) -> Option<Setback> {
        self.fetch.take_if(|fetch| fetch.generation == generation)?;
        let since = self.last_failure.map_or(now, |(_, since)| since);
        self.not_before = now + wait(self.failures);
        self.stated_until = stated.map_or(now, |stated| now + stated).min(self.not_before);
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some((failure, since));
        Some(Setback { retry_at: self.not_before, since })
    }

    /// A 401 from this scope to an attempt that carried this generation. `true`: another token
    /// will be there for a replay, or is there already; `false`: a new one would not help.
    pub(crate) fn unauthorized(
        &mut self,
        generation: Generation,
        scope: &str,
        now: Instant,
    ) -> bool {
        let Some(held) = self.held.as_ref().filter(|held| held.generation == generation) else {
            return true; // an older token: its successor is there or on its way
        };
        let helped = !held.unproven && held.denied.iter().all(|other| &**other != scope);
        if !helped && held.new_until.is_some_and(|until| now < until) {
            return false;
        }
        self.held = None;
        self.rejected = true;
        true
    }

    /// A 401 from this scope to the replay of a request, which carried this generation.
    pub(crate) fn denied(&mut self, generation: Generation, scope: &Arc<str>) {
        let held = self.held.as_mut().filter(|held| held.generation == generation);
        if let Some(held) = held.filter(|held| held.new_until.is_some())
            && !held.denied.contains(scope)
        {
            held.denied.push(scope.clone());
        }
    }

    /// An answer other than 401 from this scope to an attempt that carried this generation.
    pub(crate) fn accepted(&mut self, generation: Generation, scope: &str) {
        if let Some(held) = self.held.as_mut().filter(|held| held.generation == generation) {
            held.unproven = false;
            held.denied.retain(|other| &**other != scope);
        }
    }

    /// The moment that the endpoint stated when the last fetch failed; it may be past.
    pub(crate) fn stated_until(&self) -> Instant {
        self.stated_until
    }

    /// Gives up the fetch that is out.
    pub(crate) fn abandon(&mut self) -> Option<Generation> {
        self.fetch.take().map(|fetch| fetch.generation)
    }

    /// The fetch that is out.
    pub(crate) fn fetching(&self) -> Option<Generation> {
        self.fetch.map(|fetch| fetch.generation)
    }

    /// Why there is no token, if the last fetch failed and none is usable.
    pub(crate) fn trouble(&self, now: Instant) -> Option<(TokenFailure, Instant)> {
        let (failure, _) = self.last_failure.filter(|_| self.usable(now).is_none())?;
        Some((failure, self.not_before))
    }

    fn usable(&self, now: Instant) -> Option<&Held> {
        self.held.as_ref().filter(|held| now < held.usable_until)
    }
}
