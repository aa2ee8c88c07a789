//! What was counted: [`Stats`] and the log of arrivals.

use std::{collections::VecDeque, ops::Range};

use serde::{Deserialize, Serialize};

/// Arrivals kept; older ones are dropped.
const LOG_LEN: usize = 100_000;

/// Counters since the start or the last reset. As JSON at `GET /_mock/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests of any kind but those to `/_mock` and CORS preflights.
    pub requests: u64,
    /// Requests to anything but what signing in needs.
    pub api_requests: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Tokens issued.
    pub token_fetches: u64,
    /// Requests for what a sign-in discovers.
    #[serde(default)]
    pub discoveries: u64,
    /// Requests to the token endpoint that got no token.
    pub token_refused: u64,
    /// API requests told to slow down: 429, 509 or 529, or 403 or 503 stating a wait. By a
    /// limiter or by script.
    pub throttled: u64,
    /// API requests answered with 401, by script or for want of a valid token.
    pub unauthorized: u64,
    /// Requests that came before a deadline they could know of; see the
    /// [crate's page](crate#early).
    pub early: u64,
    /// Faults served by script.
    pub faults: u64,
    /// TCP connections accepted.
    pub connections: u64,
    /// API requests under way: from the head's arrival until the answer's last byte is handed
    /// to the socket, or the client is seen to be gone.
    pub in_flight: u64,
    /// The most API requests under way at once.
    pub max_in_flight: u64,
    /// Different interactions handed out in full pages.
    pub unique: u64,
    /// Interactions handed out again.
    pub duplicates: u64,
}

/// One arrival. As JSON at `GET /_mock/log`, an array in order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When the head arrived, in ms since the mock started.
    pub at_ms: u64,
    /// The request method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query; left out at the token endpoint, where a careless client puts its secret.
    pub query: Option<String>,
    /// The status of the answer; `None` before it and for a broken connection.
    pub status: Option<u16>,
    /// The client id that the request's token belongs to, or that asked for a token.
    pub client: Option<String>,
    /// The request's `X-Correlation-ID`.
    pub correlation_id: Option<String>,
    /// Whether it was counted as early.
    pub early: bool,
}

/// All that is counted.
pub(crate) struct Counters {
    pub(crate) stats: Stats,
    log: VecDeque<LogEntry>,
    /// Arrivals dropped from the log's front, so that a number names the same entry for ever.
    dropped: u64,
    /// Which interactions were handed out, by index.
    served: Vec<bool>,
}

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters { stats: Stats::default(), log: VecDeque::new(), dropped: 0, served: Vec::new() }
    }

    /// Starts again from zero; what is under way stays so.
    pub(crate) fn reset(&mut self) {
        let in_flight = self.stats.in_flight;
        self.stats = Stats { in_flight, max_in_flight: in_flight, ..Stats::default() };
        self.dropped += self.log.len() as u64;
        self.log.clear();
        self.served.clear();
    }

    /// Logs an arrival and gives its number.
    pub(crate) fn log(&mut self, entry: LogEntry) -> u64 {
        self.log.push_back(entry);
        if self.log.len() > LOG_LEN {
            self.log.pop_front();
            self.dropped += 1;
        }
        self.dropped + self.log.len() as u64 - 1
    }

    /// Notes how the arrival with this number was answered.
    pub(crate) fn log_status(&mut self, number: u64, status: u16) {
        let index = number.checked_sub(self.dropped).and_then(|i| usize::try_from(i).ok());
        if let Some(entry) = index.and_then(|i| self.log.get_mut(i)) {
            entry.status = Some(status);
        }
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.log.iter().cloned().collect()
    }

    pub(crate) fn request_began(&mut self) {
        self.stats.in_flight += 1;
        self.stats.max_in_flight = self.stats.max_in_flight.max(self.stats.in_flight);
    }

    pub(crate) fn request_ended(&mut self) {
        self.stats.in_flight -= 1;
    }

    /// Notes that these interactions were handed out.
    pub(crate) fn served(&mut self, page: Range<usize>) {
        if self.served.len() < page.end {
            self.served.resize(page.end, false);
        }
        for seen in &mut self.served[page] {
            if std::mem::replace(seen, true) {
                self.stats.duplicates += 1;
            } else {
                self.stats.unique += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_ms: u64) -> LogEntry {
        LogEntry {
            at_ms,
            method: "GET".into(),
            path: "/".into(),
            query: None,
            status: None,
            client: None,
            correlation_id: None,
            early: false,
        }
    }

    #[test]
    fn the_log_is_bounded_and_late_answers_find_their_entry() {
        let mut counters = Counters::new();
        let first = counters.log(entry(0));
        for at in 1..=LOG_LEN as u64 {
            counters.log(entry(at));
        }
        counters.log_status(first, 200);
        counters.log_status(first + 1, 201);
        assert_eq!(counters.entries().len(), LOG_LEN);
        assert_eq!(counters.entries()[0].status, Some(201));
        counters.reset();
        counters.log_status(first + 1, 204);
        assert!(counters.entries().is_empty());
    }

    #[test]
    fn interactions_handed_out_twice_are_duplicates() {
        let mut counters = Counters::new();
        counters.served(0..10);
        counters.served(5..12);
        assert_eq!((counters.stats.unique, counters.stats.duplicates), (12, 5));
    }
}
