//! What the pacer's tests are written in.

use core::time::Duration;

use super::{Asker, Mark, Refusal};
use crate::time::Instant;

pub(super) const LOW: Asker = Asker { high: false, backlog: 1000 };
pub(super) const HIGH: Asker = Asker { high: true, backlog: 1000 };

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(super) fn mark(seq: u64, millis: u64) -> Mark {
    Mark { seq, at: at(millis) }
}

/// With so many in flight that what seems to hold a single request may hold more.
pub(super) fn silent(opens: u64) -> Refusal {
    Refusal { stated: None, in_flight: 8, opens: at(opens), explained: false }
}

pub(super) fn stated(wait: u64, opens: u64) -> Refusal {
    Refusal { stated: Some(ms(wait)), ..silent(opens) }
}
