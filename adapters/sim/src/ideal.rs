//! The theoretical minimum: what a clairvoyant sender takes.
//!
//! It knows the limiter, its phase and every change to come; it is never refused, and each of its
//! requests reaches the limiter at the first moment at which it passes. What binds it is what binds
//! any sender: a request is not sent before it was submitted, at most `slots` are on the way at
//! once, a request takes half the latency to the limiter and its answer the other half back, and
//! the server works at it for as long as it does. The latency is the shortest that can be drawn, so
//! that no run can be faster.
//!
//! To send as early as possible is the best that can be done. Let `a[k]` be the moment at which
//! the k-th request passes. Each condition bounds `a[k]` from below by a function that does not
//! fall in the earlier ones: the k-th submit; the slot, by `a[k − slots]` and the time on the
//! way; the limiter, by `a[k − quota] + window` for a log, by the window's number for a fixed
//! one, and by the level for a bucket, which an earlier pass never lowers at a later moment below
//! what a later one would have left. So by induction the sender that takes each earliest moment
//! has passed at least as many at any moment as any other has. Which request is the k-th does not
//! matter: all take the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::server::{Door, Server, Workers, nanos};

/// The least time from the first submit to the last answer, for requests that are submitted at
/// these moments after the run's start, which is `start` after 1970.
pub fn ideal_makespan(
    server: &Server,
    latency: Duration,
    slots: u32,
    submits: &[Duration],
    start: Duration,
) -> Duration {
    let mut submits: Vec<u64> = submits.iter().copied().map(nanos).collect();
    submits.sort_unstable();
    let Some(&first) = submits.first() else {
        return Duration::ZERO;
    };
    let there = nanos(latency) / 2;
    let back = nanos(latency) - there;
    let mut door = Door::lenient(server, nanos(start));
    let mut workers = Workers::new(server);
    let mut free: BinaryHeap<Reverse<u64>> = (0..slots.max(1)).map(|_| Reverse(0)).collect();
    let mut last = 0;
    // A request that was sent later must not overtake: the limiter is asked in the order of time.
    let mut passed = 0;
    for submit in submits {
        let Reverse(slot) = free.pop().expect("a slot is put back for each that is taken");
        let (at, turn) = door.pass((submit.max(slot) + there).max(passed));
        passed = at;
        let finish = workers.done_at(at + nanos(turn.held_back)) + back;
        free.push(Reverse(finish));
        last = last.max(finish);
    }
    Duration::from_nanos(last - first)
}
