//! What all connections share.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    builder::Config,
    clock,
    deadline::Deadlines,
    interactions::PageFault,
    jobs::Jobs,
    limits::Limits,
    script::{Rules, Script},
    stats::Counters,
    tokens::Tokens,
};

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) started: Instant,
    state: Mutex<State>,
}

/// What changes while the mock runs. The lock is held for counting, never while an answer
/// is built or awaited.
pub(crate) struct State {
    pub(crate) counters: Counters,
    pub(crate) deadlines: Deadlines,
    pub(crate) jobs: Jobs,
    /// How many interactions there are.
    pub(crate) interactions: usize,
    pub(crate) limits: Limits,
    pub(crate) pages: BTreeMap<u64, PageFault>,
    pub(crate) rules: Rules,
    pub(crate) tokens: Tokens,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Shared {
        let state = State {
            counters: Counters::new(),
            deadlines: Deadlines::default(),
            jobs: Jobs::default(),
            interactions: config.interactions,
            limits: Limits::default(),
            pages: BTreeMap::new(),
            rules: Rules::default(),
            tokens: Tokens::default(),
        };
        let shared = Shared { state: Mutex::new(state), started: Instant::now(), config };
        for script in &shared.config.scripts {
            shared.lock().apply(script.clone());
        }
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Counters stay countable whatever another task died of.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the start: what limiters count in.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The server's wall clock, with its error.
    pub(crate) fn unix_now(&self) -> Duration {
        clock::unix_now(self.config.clock_skew)
    }
}

impl State {
    pub(crate) fn apply(&mut self, script: Script) {
        if script.clear {
            self.rules = Rules::default();
            self.pages.clear();
            self.tokens.revoke_in = None;
        }
        self.rules.add(script.rules);
        self.pages.extend(script.pages);
        if script.revoke_tokens {
            self.tokens.revoke_all();
        }
        if script.revoke_after.is_some() {
            self.tokens.revoke_in = script.revoke_after;
        }
        for (prefix, spec) in script.limits {
            self.limits.set(prefix, spec.map(|text| text.0));
        }
    }

    /// Counts from zero again, and forgets who was told to wait.
    pub(crate) fn reset(&mut self) {
        self.counters.reset();
        self.deadlines = Deadlines::default();
    }
}
