//! A machine that has more to do than it can.

use std::ops::Range;
use std::time::Duration;

use crate::dice::Dice;
use crate::server::nanos;

/// Now and then something stands still, as on a machine under load, each for itself: the clients, the
/// way to the server, and the way back. What would have happened there meanwhile happens when that is
/// over, all at once and in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// From the end of one to the begin of the next it takes up to twice as long.
    pub each: Duration,
    /// The longest.
    pub most: Duration,
}

/// The one stall that is on or comes next.
pub(crate) struct Stalled {
    stalls: Stalls,
    dice: Dice,
    next: Range<u64>,
}

impl Stalled {
    pub(crate) fn new(stalls: Stalls, dice: Dice) -> Stalled {
        Stalled { stalls, dice, next: 0..0 }
    }

    /// When that happens which would happen at this moment; they come in the order of time.
    pub(crate) fn until(&mut self, moment: u64) -> u64 {
        while self.next.end <= moment {
            let pause = self.dice.below(nanos(self.stalls.each).saturating_mul(2)).max(1);
            let begin = self.next.end.saturating_add(pause);
            let length = self.dice.below(nanos(self.stalls.most).saturating_add(1));
            self.next = begin..begin.saturating_add(length);
        }
        if self.next.contains(&moment) { self.next.end } else { moment }
    }
}
