//! One request under way.

use std::{ops::Range, sync::Arc};

use crate::shared::Shared;

/// Counts an API request as in flight until it is dropped.
pub(crate) struct Visit {
    pub(crate) shared: Arc<Shared>,
    /// Its number in the log.
    pub(crate) number: u64,
    pub(crate) is_api: bool,
    /// The interactions that its answer holds.
    pub(crate) page: Option<Range<usize>>,
}

impl Visit {
    /// The answer has gone out whole.
    pub(crate) fn complete(mut self) {
        if let Some(page) = self.page.take() {
            self.shared.lock().counters.served(page);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.is_api {
            self.shared.lock().counters.request_ended();
        }
    }
}
