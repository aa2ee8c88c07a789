//! The retry budget: how much retrying an engine may do beside its first sends, so that an
//! ailing server is not buried under retries. An empty budget delays a retry; it fails nobody.

use crate::time::Instant;

// The budget is kept in time, in nanoseconds: a second is worth a retry, which is what a second
// gains.
const RETRY: u64 = 1_000_000_000;
const FIRST_SEND: u64 = RETRY / 10;
const START: u64 = 10 * RETRY;
const MOST: u64 = 100 * RETRY;

#[derive(Debug)]
pub(crate) struct RetryBudget {
    balance: u64,
    counted_at: Instant,
}

impl RetryBudget {
    pub(crate) fn new(now: Instant) -> Self {
        RetryBudget { balance: START, counted_at: now }
    }

    /// A request is sent for the first time.
    pub(crate) fn first_send(&mut self, now: Instant) {
        self.balance = (self.balance_at(now) + FIRST_SEND).min(MOST);
        self.counted_at = now;
    }

    /// Pays for one retry, or says from when on it could.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let balance = self.balance_at(now);
        let Some(rest) = balance.checked_sub(RETRY) else {
            return Err(now.plus_nanos(RETRY - balance));
        };
        (self.balance, self.counted_at) = (rest, now);
        Ok(())
    }

    fn balance_at(&self, now: Instant) -> u64 {
        let gained = now.as_nanos().saturating_sub(self.counted_at.as_nanos());
        self.balance.saturating_add(gained).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_retries_are_free_then_one_a_second() {
        let mut budget = RetryBudget::new(Instant::ORIGIN);
        for _ in 0..10 {
            assert_eq!(budget.take(Instant::ORIGIN), Ok(()));
        }
        assert_eq!(budget.take(Instant::ORIGIN), Err(Instant::from_millis(1000)));
        assert_eq!(budget.take(Instant::from_millis(999)), Err(Instant::from_millis(1000)));
        assert_eq!(budget.take(Instant::from_millis(1000)), Ok(()));
    }

    #[test]
    fn ten_first_sends_gain_a_retry_and_a_hundred_are_held_at_most() {
        let mut budget = RetryBudget::new(Instant::ORIGIN);
        while budget.take(Instant::ORIGIN).is_ok() {}
        for _ in 0..10 {
            budget.first_send(Instant::ORIGIN);
        }
        assert_eq!(budget.take(Instant::ORIGIN), Ok(()));
        let late = Instant::from_millis(1_000_000);
        assert_eq!((0..).take_while(|_| budget.take(late).is_ok()).count(), 100);
    }
}
