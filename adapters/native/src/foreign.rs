//! Code of others that runs inside of the client.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what is not the client's own: a waker, a subscriber, the drop of a body. Should it panic,
/// the panic hook has told, and it ends there: whose turn it was to be the driver may have met it by
/// chance, and those whose turn would be next have no part in it.
pub(crate) fn foreign(act: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
        // Its drop is foreign, too.
        mem::forget(panic);
    }
}
