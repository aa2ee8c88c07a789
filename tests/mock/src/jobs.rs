//! Jobs, and the files that they make.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// What was submitted so far.
#[derive(Default)]
pub(crate) struct Jobs {
    jobs: HashMap<String, u32>,
    files: HashMap<String, Instant>,
    serial: u64,
    /// Polls of agent sessions.
    pub(crate) polls: u64,
}

impl Jobs {
    /// Takes a job, which is still running the next `polls` times that it is asked for.
    pub(crate) fn submit(&mut self, polls: u32) -> String {
        self.serial += 1;
        let id = format!("job-{}", self.serial);
        self.jobs.insert(id.clone(), polls);
        id
    }

    /// Is it done? `None`: there is no such job.
    pub(crate) fn poll(&mut self, id: &str) -> Option<bool> {
        let left = self.jobs.get_mut(id)?;
        let done = *left == 0;
        *left = left.saturating_sub(1);
        Some(done)
    }

    /// The name of a file that can be had for so long.
    pub(crate) fn publish(&mut self, lifetime: Duration) -> String {
        self.serial += 1;
        let name = format!("{}.wav", self.serial);
        self.files.insert(name.clone(), Instant::now() + lifetime);
        name
    }

    /// Can that file be had?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.get(name).is_some_and(|until| *until > Instant::now())
    }
}
