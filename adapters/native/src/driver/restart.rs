//! What is left when a runtime, an engine or the client has ended.

use std::mem;

use cxone_core::{AttemptId, Failure, Input, Now, Output};

use super::Driver;
use crate::foreign::foreign;
use crate::hub::Hub;

impl Driver {
    /// After a panic nobody knows what the engine is worth: it starts anew, and whoever waits is
    /// told by the loss of its channel.
    pub(crate) fn restart(&mut self, hub: &Hub) {
        let mut fresh = Driver::new(&hub.settings);
        fresh.number = self.number.wrapping_add(1).max(1);
        fresh.home = self.home.clone();
        fresh.fetches = self.fetches;
        fresh.closing = self.closing;
        fresh.concurrency = self.concurrency;
        fresh.holds = mem::take(&mut self.holds);
        let now = fresh.clock.now();
        let _ = fresh.engine.set_concurrency(fresh.concurrency, now);
        for scope in &fresh.holds {
            fresh.engine.pause(scope.as_deref(), now);
        }
        if fresh.closing {
            fresh.engine.close(false, now);
        }
        drop(mem::replace(self, fresh));
    }

    /// Gives up what was under way in a runtime that has ended. What was learned stays: no server
    /// forgets a limit because a runtime has ended.
    pub(super) fn lose(&mut self, hub: &Hub, now: Now) {
        let Some(home) = self.home.take() else { return };
        hub.leave(&home);
        self.armed = None;
        self.young = Default::default();
        let mut out: Vec<AttemptId> = Vec::new();
        for (request, pending) in self.pending.drain() {
            self.engine.cancel(request, now);
            if let Some(attempt) = &pending.out {
                out.push(AttemptId { request, number: attempt.number });
                pending.caller.line.abort(&home.runtime);
            }
            // Whoever waits for it is told by that.
            foreign(|| drop(pending));
        }
        if let Some(fetch) = self.fetch.take() {
            fetch.task.abort();
            self.fetching = Some(fetch.generation);
        }
        // What it had no turn to perform.
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, .. } => out.push(attempt),
                Output::FetchToken { generation } => self.fetching = Some(generation),
                Output::AbortToken { .. } => self.fetching = None,
                _ => {}
            }
        }
        for attempt in out {
            let failure = Failure::Aborted;
            self.engine.handle_input(Input::Failed { attempt, failure }, now);
        }
        if self.closing {
            self.forget_fetch(now);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for (_, pending) in self.pending.drain() {
            if let Some(home) = self.home.as_ref().filter(|_| pending.out.is_some()) {
                pending.caller.line.abort(&home.runtime);
            }
            foreign(|| drop(pending));
        }
        if let Some(fetch) = &self.fetch {
            fetch.task.abort();
        }
        if let Some(home) = &self.home {
            home.wake();
        }
    }
}
