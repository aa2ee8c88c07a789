//! Servers that keep a limit, and the host that they answer.

// Each test crate uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

use cxone_core::{AttemptId, Instant};

use crate::host::{Host, secs};

pub(crate) const LATENCY: Duration = Duration::from_millis(100);

/// A server that lets so many in per window, which begins with its first.
pub(crate) struct Window {
    pub(crate) quota: u64,
    pub(crate) length: Duration,
    /// It says when the next begins, in whole seconds, rounded up.
    pub(crate) states: bool,
    pub(crate) began: Option<Instant>,
    pub(crate) used: u64,
    pub(crate) accepted: Vec<Instant>,
    pub(crate) refused: Vec<Instant>,
}

impl Window {
    pub(crate) fn new(quota: u64, length: Duration) -> Window {
        let (accepted, refused) = (Vec::new(), Vec::new());
        Window { quota, length, states: true, began: None, used: 0, accepted, refused }
    }

    pub(crate) fn silent(quota: u64, length: Duration) -> Window {
        Window { states: false, ..Window::new(quota, length) }
    }

    /// Is it let in, how many are left, and when does the next window begin?
    pub(crate) fn ask(&mut self, now: Instant) -> (bool, u64, Duration) {
        if self.began.is_none_or(|began| now >= began + self.length) {
            (self.began, self.used) = (Some(now), 0);
        }
        let reset = self.began.map_or(now, |began| began + self.length).saturating_since(now);
        let accepted = self.used < self.quota;
        match accepted {
            true => self.accepted.push(now),
            false => self.refused.push(now),
        }
        self.used += u64::from(accepted);
        (accepted, self.quota - self.used, reset)
    }

    pub(crate) fn reply(&mut self, now: Instant) -> Reply {
        match self.ask(now) {
            (true, ..) => Reply::ok(),
            (false, _, reset) if self.states => Reply::refused(Some(reset)),
            (false, ..) => Reply::refused(None),
        }
    }
}

/// A token bucket that is full at first.
pub(crate) struct Bucket {
    pub(crate) interval: Duration,
    pub(crate) burst: u32,
    /// It states a second.
    pub(crate) states: bool,
    pub(crate) empty_at: Instant,
    pub(crate) refused: u64,
}

impl Bucket {
    pub(crate) fn new(interval: Duration, burst: u32) -> Bucket {
        Bucket { interval, burst, states: true, empty_at: Instant::ORIGIN, refused: 0 }
    }

    pub(crate) fn reply(&mut self, now: Instant) -> Reply {
        let next = self.empty_at.max(now) + self.interval;
        if next.saturating_since(now) > self.interval * self.burst {
            self.refused += 1;
            return Reply::refused(self.states.then_some(secs(1)));
        }
        self.empty_at = next;
        Reply::ok()
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(crate) fn ok() -> Reply {
        Reply { status: 200, headers: Vec::new() }
    }

    pub(crate) fn refused(wait: Option<Duration>) -> Reply {
        let seconds = wait.map(|wait| wait.as_millis().div_ceil(1000).to_string());
        let headers = seconds.map(|seconds| ("retry-after", seconds));
        Reply { status: 429, headers: headers.into_iter().collect() }
    }
}

/// Lets the server answer all that is sent until nothing is left to do, or `until`. Attempts reach
/// it at once, and answers take `latency` of the attempt's number.
pub(crate) fn play_until(
    host: &mut Host,
    until: Instant,
    latency: impl Fn(usize) -> Duration,
    mut server: impl FnMut(Instant) -> Reply,
) {
    let mut answers: Vec<(Instant, AttemptId, Reply)> = Vec::new();
    let mut number = 0;
    loop {
        for attempt in host.sent() {
            answers.push((host.clock + latency(number), attempt, server(host.clock)));
            number += 1;
        }
        let first = (0..answers.len()).min_by_key(|index| answers[*index].0);
        let answer = first.map(|index| answers[index].0);
        let timeout = host.engine.poll_timeout().map(|(at, _)| at);
        let Some(next) = answer.into_iter().chain(timeout).min().filter(|next| *next <= until)
        else {
            return;
        };
        host.clock = next;
        match first.filter(|_| answer == Some(next)) {
            Some(index) => {
                let (_, attempt, reply) = answers.swap_remove(index);
                let headers = reply.headers.iter().map(|(name, value)| (*name, &**value));
                host.answer(attempt, reply.status, &headers.collect::<Vec<_>>());
            }
            None => host.timeout(),
        }
    }
}

pub(crate) fn play(host: &mut Host, server: impl FnMut(Instant) -> Reply) {
    play_until(host, Instant::FAR, |_| LATENCY, server);
}
