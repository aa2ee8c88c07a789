//! When an agent's session is asked for its next event.

use core::time::Duration;

/// What lies at least between two polls of which the first brought nothing: four a second. A server
/// that does not hold them would otherwise be asked as fast as it answers.
const LEAST: Duration = Duration::from_millis(250);

/// How long to wait before a session is asked again, after a poll that took so long and brought no
/// event. The server holds polls by itself, so mostly that is nothing. After an event it is asked at
/// once.
///
/// ```
/// use std::time::Duration;
/// use cxone_core::poll_pause;
///
/// assert_eq!(poll_pause(Duration::from_secs(60)), Duration::ZERO);
/// assert_eq!(poll_pause(Duration::from_millis(1)), Duration::from_millis(249));
/// ```
pub fn poll_pause(took: Duration) -> Duration {
    LEAST.saturating_sub(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_holds_polls_is_asked_at_once_and_another_four_times_a_second() {
        assert_eq!(poll_pause(Duration::ZERO), LEAST);
        assert_eq!(poll_pause(LEAST - Duration::from_nanos(1)), Duration::from_nanos(1));
        assert_eq!(poll_pause(LEAST), Duration::ZERO);
        assert_eq!(poll_pause(Duration::MAX), Duration::ZERO);
    }
}
