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
//! matter: all take the same time. There is one exception: a limit that falls after a number of
//! requests rewards a sender that saves up its tokens first, and this one does not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
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
    let sends = schedule(server, latency, slots, submits, start);
    let first = submits.iter().copied().map(nanos).min().unwrap_or(0);
    let last = sends.iter().map(|send| send.end).max().unwrap_or(first);
    Duration::from_nanos(last - first)
}

/// From when to when each of the sender's requests is on the way, in nanoseconds after the run's
/// start.
fn schedule(
    server: &Server,
    latency: Duration,
    slots: u32,
    submits: &[Duration],
    start: Duration,
) -> Vec<Range<u64>> {
    let mut submits: Vec<u64> = submits.iter().copied().map(nanos).collect();
    submits.sort_unstable();
    let way_there = nanos(latency) / 2;
    let way_back = nanos(latency) - way_there;
    let mut door = Door::lenient(server, nanos(start));
    let mut workers = Workers::new(server);
    let slots = slots.max(1).min(u32::try_from(submits.len()).unwrap_or(u32::MAX));
    let mut free: BinaryHeap<Reverse<u64>> = (0..slots).map(|_| Reverse(0)).collect();
    // A request that is sent later does not overtake: the limiter is asked in the order of time.
    let mut passed = 0;
    let send = |submit: u64| {
        let Reverse(slot) = free.pop().expect("a slot is put back for each that is taken");
        let (passes, turn) = door.pass((submit.max(slot) + way_there).max(passed));
        passed = passes;
        let back = workers.done_at(passes + nanos(turn.held_back)) + way_back;
        free.push(Reverse(back));
        passes - way_there..back
    };
    submits.into_iter().map(send).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limiter::{LimitSpec, Limiter};
    use crate::server::{Change, When, Windows};

    const SECOND: Duration = Duration::from_secs(1);

    fn ideal(limit: &str, requests: usize) -> u128 {
        let mut server = Server::new(limit.parse().unwrap());
        server.windows = Windows::FirstRequest;
        let latency = Duration::from_millis(100);
        ideal_makespan(&server, latency, 8, &vec![Duration::ZERO; requests], SECOND).as_millis()
    }

    #[test]
    fn the_least_time_is_what_pencil_and_paper_say() {
        assert_eq!(ideal("fixed:150/5m", 0), 0);
        assert_eq!(ideal("fixed:150/5m", 1), 100, "there and back");
        assert_eq!(ideal("fixed:150/5m", 8), 100, "side by side");
        assert_eq!(ideal("fixed:150/5m", 9), 200, "a slot each");
        // Three windows, and in the fourth nineteen rounds of eight.
        assert_eq!(ideal("fixed:150/5m", 600), 900_000 + 1_900);
        // Of 1000 the first 20 are there already, and a round trip.
        assert_eq!(ideal("bucket:10/s+20", 1000), 98_000 + 100);
        assert_eq!(ideal("leaky:10/s", 11), 1_000 + 100);
        // The first leaves the log a minute after it came.
        assert_eq!(ideal("sliding:100/60s", 101), 60_000 + 100);
    }

    fn server() -> impl Strategy<Value = Server> {
        let limit = (0..4, 1..12u32, 1..4000u64, 1..9u32).prop_map(|(kind, quota, ms, burst)| {
            let window = Duration::from_millis(ms);
            match kind {
                0 => LimitSpec::fixed(quota, window),
                1 => LimitSpec::sliding(quota, window),
                2 => LimitSpec::bucket(quota, window, burst),
                _ => LimitSpec::leaky(quota, window, burst),
            }
        });
        let change = prop::option::of((1..40u64, 1..12u32));
        let work = (0..50u64, prop::option::of(1..4u32), any::<bool>(), prop::option::of(0..4u32));
        (limit, change, work).prop_map(|(limit, change, (service, workers, first, delay))| {
            let change = change.map(|(after, quota)| Change {
                when: When::Accepted(after),
                limit: LimitSpec { quota, ..limit },
            });
            Server {
                windows: if first { Windows::FirstRequest } else { Windows::Epoch },
                delay_after: delay,
                changes: change.into_iter().collect(),
                service: Duration::from_millis(service),
                workers,
                ..Server::new(limit)
            }
        })
    }

    proptest! {
        /// The clairvoyant sender keeps the rules: nobody refuses it, its slots suffice.
        #[test]
        fn the_ideal_can_be_reached(
            server in server(), slots in 1..10u32, latency in 0..200u64, start in 0..5000u64,
            submits in prop::collection::vec(0..3000u64, 1..60),
        ) {
            let submits: Vec<Duration> = submits.into_iter().map(Duration::from_millis).collect();
            let (latency, start) = (Duration::from_millis(latency), Duration::from_millis(start));
            let sends = schedule(&server, latency, slots, &submits, start);
            let mut door = Door::new(&server, nanos(start));
            prop_assert_eq!(sends.len(), submits.len());
            let mut sorted = submits.clone();
            sorted.sort();
            for (send, submit) in sends.iter().zip(sorted) {
                prop_assert!(door.arrive(send.start + nanos(latency) / 2).accepted, "refused");
                prop_assert!(send.start >= nanos(submit), "before it is submitted");
                let flying = sends.iter().filter(|it| it.start <= send.start && it.end > send.start);
                prop_assert!(flying.count() <= slots.max(1) as usize || latency.is_zero());
            }
        }

        /// Whoever holds some requests back is not done earlier, against a plain limiter.
        #[test]
        fn to_hold_back_never_helps(
            server in server(), holds in prop::collection::vec(0..2000u64, 1..40),
        ) {
            let server = Server { changes: Vec::new(), delay_after: None, ..server };
            let mut limiter = Limiter::new(LimitSpec { count_refused: false, ..server.limit });
            let mut now = Duration::from_millis(1000);
            let mut epoch = server.clone();
            epoch.windows = Windows::Epoch;
            let jobs = vec![Duration::ZERO; holds.len()];
            let ideal = schedule(&epoch, Duration::ZERO, u32::MAX, &jobs, SECOND);
            for (send, hold) in ideal.iter().zip(holds) {
                now += Duration::from_millis(hold);
                while let crate::Decision::Refused { retry_at } = limiter.try_acquire(now) {
                    now = Duration::from_millis(retry_at.as_nanos().div_ceil(1_000_000) as u64);
                }
                prop_assert!(send.start <= nanos(now - SECOND), "{server:?}");
            }
        }
    }
}
