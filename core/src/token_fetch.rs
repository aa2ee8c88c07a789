//! The token machine, wired to the queue: fetches start and end, and who waits for them goes on
//! or fails with them.

use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::engine::{Engine, Request};
use crate::error::{RequestError, TokenFailure};
use crate::event::{Generation, Notice, Output, Wake};
use crate::signals::Signals;
use crate::time::Instant;

/// The place of the token fetch among those of attempts, for its timer.
pub(crate) const TOKEN_FETCH: u32 = u32::MAX;

impl Engine {
    pub(crate) fn start_token_fetch(&mut self) {
        let now = self.now.instant;
        let generation = self.token.start_fetch(now);
        self.counters.token_fetches += 1;
        let timeout = Some(now + self.config.attempt_timeout);
        self.timers.put(&mut self.token_timeout, timeout, Wake::AttemptTimeout, TOKEN_FETCH);
        self.outputs.push_back(Output::FetchToken { generation });
    }

    pub(crate) fn token_fetched(&mut self, generation: Generation, lifetime: Option<Duration>) {
        let (timeout, cooldown) = (self.config.attempt_timeout, self.config.token_cooldown);
        let now = self.now.instant;
        let Some(until) = self.token.fetched(generation, lifetime, timeout, cooldown, now) else {
            return;
        };
        self.token_fetch_over();
        self.notice(Notice::TokenValid { generation, until });
        self.sync_token();
    }

    pub(crate) fn token_failed(
        &mut self,
        generation: Generation,
        failure: TokenFailure,
        headers: &[(&str, &str)],
    ) {
        if self.token.fetching() != Some(generation) {
            return; // late news: not even chance is drawn for it
        }
        let signals = Signals::read(
            headers,
            failure.status().unwrap_or(0),
            self.now.wall,
            &self.config.reading,
        );
        let stated = signals.wait.map(|wait| wait.duration);
        let chance = self.draw();
        let now = self.now.instant;
        let Config { backoff, token_cooldown, .. } = &self.config;
        let setback = self.token.fetch_failed(generation, failure, now, stated, |failures| {
            if failure.is_fatal() {
                *token_cooldown
            } else {
                backoff.wait(stated, failures, chance)
            }
        });
        let Some(setback) = setback else { return };
        self.token_fetch_over();
        self.notice(match failure.is_fatal() {
            true => Notice::TokenRefused { failure },
            false => {
                Notice::TokenRetrying { wait: setback.retry_at.saturating_since(now), failure }
            }
        });
        self.sync_token();
        if self.token.trouble(now).is_none() {
            return; // the old token still serves
        }
        let patience = |since: Instant| since.max(setback.since) + self.config.retry_for;
        let ends = |request: &Request| {
            failure.is_fatal()
                || self.token.stated_until().saturating_since(now) > self.config.max_wait
                || setback.retry_at >= request.deadline
                || setback.retry_at > patience(request.since)
        };
        let waits = |slot: &u32| {
            let auth = self.scopes.lane_key(self.queue.lane_of(*slot)).auth;
            let request = self.queue.get(*slot).filter(|request| request.in_flight().is_none());
            auth && request.is_some_and(&ends)
        };
        let ending: Vec<u32> = self.queue.slots().filter(waits).collect();
        for slot in ending {
            let error = RequestError::Token { failure, retry_at: Some(setback.retry_at) };
            self.finish(slot, Err(error));
        }
    }

    pub(crate) fn token_fetch_timed_out(&mut self) {
        self.token_timeout = None;
        if let Some(generation) = self.token.fetching() {
            self.outputs.push_back(Output::AbortToken { generation });
            self.token_failed(generation, TokenFailure::Network, &[]);
        }
    }

    pub(crate) fn abort_token_fetch(&mut self) {
        if let Some(generation) = self.token.abandon() {
            self.outputs.push_back(Output::AbortToken { generation });
            self.token_fetch_over();
        }
    }

    fn token_fetch_over(&mut self) {
        self.timers.put(&mut self.token_timeout, None, Wake::AttemptTimeout, TOKEN_FETCH);
    }
}
