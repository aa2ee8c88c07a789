//! A server that keeps a limit, and says of it what it likes: what a pacer has to make out.

use std::time::Duration;

use cxone_core::Instant;
use proptest::prelude::*;

use super::answers::Answer;

/// Counts every attempt that is answered, when it is.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    limit: Limit,
    says: Says,
    /// When each attempt was let in.
    accepted: Vec<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    /// So many in each window, which begins with its first.
    Window { quota: usize, length: Duration },
    /// So many in any such time.
    Log { quota: usize, length: Duration },
    /// Not sooner than this after the last.
    Interval(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Says {
    Nothing,
    RetryAfter,
    /// What is left, in each answer.
    Budget,
}

pub(crate) fn server() -> impl Strategy<Value = Server> {
    let length = prop_oneof![
        prop::sample::select(vec![1000u64, 2000, 5000, 10_000, 60_000, 300_000]),
        100u64..100_000,
    ];
    let length = length.prop_map(Duration::from_millis);
    let limit = (1usize..30, length, 0..3).prop_map(|(quota, length, kind)| match kind {
        0 => Limit::Window { quota, length },
        1 => Limit::Log { quota, length },
        _ => Limit::Interval(length / 100),
    });
    let says = prop::sample::select(vec![Says::Nothing, Says::RetryAfter, Says::Budget]);
    (limit, says).prop_map(|(limit, says)| Server { limit, says, accepted: Vec::new() })
}

impl Server {
    pub(crate) fn answer(&mut self, now: Instant) -> Answer {
        let (left, wait) = self.left(now);
        if left > 0 {
            self.accepted.push(now);
        }
        let seconds = wait.as_millis().div_ceil(1000) as u64;
        let (status, left) = if left > 0 { (200, left - 1) } else { (429, 0) };
        match self.says {
            Says::RetryAfter if status == 429 => Answer::plain(status).retry_after(seconds),
            Says::Budget => Answer::plain(status).budget("a", left as u64, seconds),
            Says::Nothing | Says::RetryAfter => Answer::plain(status),
        }
    }

    /// How many are let in now, and the time until more are.
    fn left(&self, now: Instant) -> (usize, Duration) {
        match self.limit {
            Limit::Window { quota, length } => {
                let mut began = None::<(Instant, usize)>;
                for at in &self.accepted {
                    began = match began {
                        Some((began, count)) if *at < began + length => Some((began, count + 1)),
                        _ => Some((*at, 1)),
                    };
                }
                match began.filter(|(began, _)| now < *began + length) {
                    Some((began, count)) => (quota - count, (began + length).saturating_since(now)),
                    None => (quota, length),
                }
            }
            Limit::Log { quota, length } => {
                let recent: Vec<&Instant> =
                    self.accepted.iter().filter(|at| now < **at + length).collect();
                let frees =
                    recent.first().map_or(length, |at| (**at + length).saturating_since(now));
                (quota - recent.len(), frees)
            }
            Limit::Interval(interval) => {
                let next = self.accepted.last().map_or(now, |last| *last + interval);
                (usize::from(now >= next), next.saturating_since(now).max(Duration::from_millis(1)))
            }
        }
    }
}
