//! The queue by itself, for the benchmarks of this repository. No part of the API.

use crate::event::Priority;
use crate::queue::Queue;

/// A priority queue: one lane of the engine's queue.
#[derive(Debug)]
pub struct BareQueue {
    queue: Queue<u64>,
    lane: u32,
}

impl Default for BareQueue {
    fn default() -> Self {
        let mut queue = Queue::new();
        let lane = queue.add_lane(false);
        BareQueue { queue, lane }
    }
}

impl BareQueue {
    /// Queues a value behind all of its class.
    pub fn push(&mut self, class: Priority, value: u64) {
        let id = self.queue.insert(self.lane, class, value);
        self.queue.push(id.slot());
    }

    /// Takes out the first value of the most urgent class.
    pub fn pop(&mut self) -> Option<u64> {
        let front = Priority::ALL.iter().find_map(|class| self.queue.first(*class, true));
        let (_, slot) = front?;
        let value = self.queue.get(slot).copied();
        self.queue.remove(slot);
        value
    }
}
