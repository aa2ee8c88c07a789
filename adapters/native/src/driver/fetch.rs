//! Token fetches.

use std::sync::Arc;

use cxone_core::{Generation, Input, Now, TokenFailure};
use tokio::task::AbortHandle;

use super::fields::with_fields;
use super::{Driver, FetchId};
use crate::hub::Hub;
use crate::token;

/// A token fetch that is out.
pub(super) struct Fetch {
    id: FetchId,
    pub(super) generation: Generation,
    pub(super) task: AbortHandle,
}

impl Driver {
    pub(super) fn fetch_token(&mut self, hub: &Arc<Hub>, generation: Generation) {
        let Some(home) = &self.home else {
            self.fetching = Some(generation);
            return;
        };
        self.fetches += 1;
        let id = FetchId(self.fetches);
        let (settings, http) = (hub.settings.clone(), home.transport.token.clone());
        let fetch = token::fetch(settings, http, id, Arc::downgrade(hub));
        let task = home.runtime.spawn(fetch).abort_handle();
        self.fetch = Some(Fetch { id, generation, task });
    }

    pub(super) fn abort_fetch(&mut self, generation: Generation) {
        self.fetching.take_if(|it| *it == generation);
        if let Some(fetch) = self.fetch.take_if(|it| it.generation == generation) {
            fetch.task.abort();
            self.trouble = None;
        }
    }

    pub(super) fn token(&mut self, hub: &Hub, fetch: FetchId, report: token::Report, now: Now) {
        // A fetch that was ended is forgotten.
        let Some(&Fetch { id, generation, .. }) = self.fetch.as_ref() else { return };
        if id != fetch {
            return;
        }
        let Some(result) = report.result else {
            // Nobody but its runtime drops a task unasked: that one has ended.
            return self.lose(hub, now);
        };
        self.fetch = None;
        match result {
            Ok(grant) => {
                self.trouble = None;
                self.tokens.keep(generation, grant.authorization);
                let lifetime = grant.lifetime;
                self.engine.handle_input(Input::Token { generation, lifetime }, now);
            }
            Err(trouble) => {
                let headers = trouble.answer.as_ref().map(|answer| answer.headers.clone());
                let headers = headers.unwrap_or_default();
                let failure = trouble.failure;
                with_fields(
                    &headers,
                    |_| true,
                    |headers| {
                        let input = Input::TokenFailed { generation, failure, headers };
                        self.engine.handle_input(input, now);
                    },
                );
                self.trouble = Some(trouble);
            }
        }
    }

    /// A fetch that was to be done again in the next runtime, when there will be none.
    pub(super) fn forget_fetch(&mut self, now: Now) {
        if let Some(generation) = self.fetching.take() {
            let failure = TokenFailure::Network;
            let input = Input::TokenFailed { generation, failure, headers: &[] };
            self.engine.handle_input(input, now);
        }
    }
}
