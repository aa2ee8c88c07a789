//! Outputs as records of numbers, in a buffer that JavaScript reads in place.
//!
//! One call that fills a buffer costs less than one call for each output, and numbers cost no
//! allocation on either side. The buffer is
//!
//! | number | what |
//! |---|---|
//! | 0 | when the engine wants [`Engine::timeout`](crate::Engine::timeout), in milliseconds on the host's clock; infinity for never |
//! | 1 | why: 0 gate, 1 token, 2 attempt timeout, 3 retry, 4 budget, 5 deadline |
//! | 2 | how many numbers there are, these three included |
//! | 3 … | the records, each begun by its kind |
//!
//! and the records are
//!
//! | record | numbers |
//! |---|---|
//! | [`SEND`] | slot, generation, number, token (0 for none) |
//! | [`BODY`] | slot, generation, number, verdict: 0 read, 1 stream, 2 drain, 3 follow |
//! | [`ABORT`] | slot, generation, number |
//! | [`FETCH_TOKEN`], [`ABORT_TOKEN`] | token |
//! | [`FINISH`] | slot, generation |
//! | [`FAIL`] | slot, generation, error, status (0 for none), `retry_at` (NaN for none), text |
//! | [`NOTICE`] | notice, slot, generation, wait, until, count, status, scope, text; what it has not is NaN |
//!
//! A request is named by its slot, which is small and used again, and the generation of its user;
//! an attempt by its request and a number. Texts are named by their index into the texts of the
//! same drain.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use cxone_core::{
    AttemptId, Instant, Notice, Output, PauseReason, RequestError, RequestId, Verdict,
};

/// Start an attempt.
pub const SEND: f64 = 1.0;
/// What to do with a body.
pub const BODY: f64 = 2.0;
/// End an attempt.
pub const ABORT: f64 = 3.0;
/// Fetch a token.
pub const FETCH_TOKEN: f64 = 4.0;
/// End a token fetch.
pub const ABORT_TOKEN: f64 = 5.0;
/// A request ended well.
pub const FINISH: f64 = 6.0;
/// A request ended with an error.
pub const FAIL: f64 = 7.0;
/// Something that the user may like to know.
pub const NOTICE: f64 = 8.0;

/// Numbers before the first record.
pub(crate) const HEADER: usize = 3;
/// The longest record.
pub(crate) const LONGEST: usize = 10;

/// The buffer. It never moves, so that JavaScript's view of it holds.
#[derive(Debug)]
pub(crate) struct Records {
    numbers: Box<[f64]>,
    length: usize,
}

impl Records {
    pub(crate) fn new(room: usize) -> Records {
        Records { numbers: vec![0.0; room].into(), length: 0 }
    }

    pub(crate) fn as_ptr(&self) -> *const f64 {
        self.numbers.as_ptr()
    }

    pub(crate) fn room(&self) -> usize {
        self.numbers.len()
    }

    /// Starts anew, after the header.
    pub(crate) fn clear(&mut self) {
        self.length = HEADER;
    }

    /// Is there room for one more record, whatever it is?
    pub(crate) fn has_room(&self) -> bool {
        self.length + LONGEST <= self.numbers.len()
    }

    pub(crate) fn finish(&mut self, deadline: f64, wake: f64) {
        let length = self.length as f64;
        for (place, number) in self.numbers.iter_mut().zip([deadline, wake, length]) {
            *place = number;
        }
    }

    /// Every number comes by here; there is room for it.
    #[inline(always)]
    fn push(&mut self, number: f64) {
        if let Some(place) = self.numbers.get_mut(self.length) {
            *place = number;
            self.length += 1;
        }
    }

    #[cfg(test)]
    fn written(&self) -> &[f64] {
        &self.numbers[HEADER..self.length]
    }
}

/// Writes one output at the end of `to`, and its texts into `texts`.
pub(crate) fn write(output: &Output, to: &mut Records, texts: &mut Vec<String>, now: Instant) {
    match output {
        Output::Send { attempt, token } => {
            let token = token.map_or(0.0, |generation| f64::from(generation.0));
            to.push(SEND);
            write_attempt(*attempt, to);
            to.push(token);
        }
        Output::Body { attempt, verdict } => {
            to.push(BODY);
            write_attempt(*attempt, to);
            to.push(match verdict {
                Verdict::Read => 0.0,
                Verdict::Stream => 1.0,
                Verdict::Drain => 2.0,
                Verdict::Follow => 3.0,
            });
        }
        Output::Abort { attempt } => {
            to.push(ABORT);
            write_attempt(*attempt, to);
        }
        Output::FetchToken { generation } => {
            to.push(FETCH_TOKEN);
            to.push(f64::from(generation.0));
        }
        Output::AbortToken { generation } => {
            to.push(ABORT_TOKEN);
            to.push(f64::from(generation.0));
        }
        Output::Finish { id, result: Ok(()) } => {
            to.push(FINISH);
            write_request(*id, to);
        }
        Output::Finish { id, result: Err(error) } => {
            let (code, status, retry_at) = error_numbers(error);
            to.push(FAIL);
            write_request(*id, to);
            to.push(code);
            to.push(f64::from(status));
            to.push(retry_at.map_or(f64::NAN, millis));
            to.push(text(error.text(), texts));
        }
        Output::Notice(notice) => write_notice(notice, to, texts, now),
    }
}

/// Milliseconds on the host's clock, as JavaScript counts them: never less than the moment, so
/// that who waits for them and says so is not early.
pub(crate) fn millis(at: Instant) -> f64 {
    let ms = at.as_nanos() as f64 / 1e6;
    if instant(ms) < at { ms.next_up() } else { ms }
}

/// A span in milliseconds. (From a number of 128 bits is more code.)
pub(crate) fn to_ms(span: Duration) -> f64 {
    span.as_secs() as f64 * 1e3 + f64::from(span.subsec_nanos()) / 1e6
}

/// The moment that milliseconds on the host's clock name, to the nearest nanosecond.
pub(crate) fn instant(ms: f64) -> Instant {
    Instant::from_nanos(nanos(ms))
}

/// Milliseconds in nanoseconds, to the nearest. It saturates; NaN is 0.
pub(crate) fn nanos(ms: f64) -> u64 {
    let nanos = ms * 1e6;
    let whole = nanos as u64;
    whole.saturating_add(u64::from(nanos - whole as f64 >= 0.5))
}

fn write_request(id: RequestId, to: &mut Records) {
    let id = id.as_u64();
    to.push((id & 0xffff_ffff) as f64);
    to.push((id >> 32) as f64);
}

fn write_attempt(attempt: AttemptId, to: &mut Records) {
    write_request(attempt.request, to);
    to.push(f64::from(attempt.number));
}

fn text(text: String, texts: &mut Vec<String>) -> f64 {
    texts.push(text);
    (texts.len() - 1) as f64
}

/// The kind of an error, its status, and the moment to try again.
fn error_numbers(error: &RequestError) -> (f64, u16, Option<Instant>) {
    match *error {
        RequestError::RateLimited { retry_at, status } => {
            (0.0, status.unwrap_or(0), Some(retry_at))
        }
        RequestError::Auth { status } => (1.0, status, None),
        RequestError::Server { status, retry_at } => (2.0, status, retry_at),
        RequestError::Status { status, retry_at } => (3.0, status, retry_at),
        RequestError::AttemptTimeout | RequestError::Deadline => (4.0, 0, None),
        RequestError::Network { .. } => (5.0, 0, None),
        RequestError::Token { failure, retry_at } => (6.0, failure.status().unwrap_or(0), retry_at),
        RequestError::Closed => (7.0, 0, None),
    }
}

fn write_notice(notice: &Notice, to: &mut Records, texts: &mut Vec<String>, now: Instant) {
    const NONE: f64 = f64::NAN;
    let ms = |wait: &Duration| to_ms(*wait);
    let (mut id, mut scope) = (None, None);
    // What follows the request: wait, until, count, status.
    let (kind, numbers) = match notice {
        Notice::Paused { scope: name, wait, until, reason, attempt } => {
            scope = Some(name);
            let (kind, status) = match reason {
                PauseReason::Stated { status } => (0.0, f64::from(*status)),
                PauseReason::Backoff { status } => (1.0, f64::from(*status)),
                PauseReason::Outage => (2.0, NONE),
                PauseReason::Budget => (3.0, NONE),
                PauseReason::Pace { status } => (10.0, f64::from(*status)),
            };
            (kind, [ms(wait), millis(*until), f64::from(*attempt), status])
        }
        Notice::Reopened { scope: name } => {
            scope = Some(name);
            (4.0, [NONE; 4])
        }
        Notice::Recovered { scope: name } => {
            scope = Some(name);
            (5.0, [NONE; 4])
        }
        Notice::Believes { scope: name, .. } => {
            scope = Some(name);
            (11.0, [NONE; 4])
        }
        Notice::Retrying { id: of, wait, failures } => {
            id = Some(*of);
            (6.0, [ms(wait), millis(now + *wait), f64::from(*failures), NONE])
        }
        Notice::TokenValid { generation, until } => {
            let wait = until.saturating_since(now);
            (7.0, [ms(&wait), millis(*until), f64::from(generation.0), NONE])
        }
        Notice::TokenRetrying { wait, failure } => {
            let status = failure.status().map_or(NONE, f64::from);
            (8.0, [ms(wait), millis(now + *wait), NONE, status])
        }
        Notice::TokenRefused { failure } => {
            (9.0, [NONE, NONE, NONE, failure.status().map_or(NONE, f64::from)])
        }
    };
    to.push(NOTICE);
    to.push(kind);
    match id {
        Some(id) => write_request(id, to),
        None => {
            to.push(NONE);
            to.push(NONE);
        }
    }
    for number in &numbers {
        to.push(*number);
    }
    to.push(scope.map_or(NONE, |name| text(String::from(&**name), texts)));
    to.push(text(notice.line(now), texts));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_longer_than_the_longest() {
        let id = RequestId::from_u64((5 << 32) | 7);
        let attempt = AttemptId { request: id, number: 3 };
        let scope: std::sync::Arc<str> = "s".into();
        let (wait, until) = (Duration::from_micros(1500), Instant::from_millis(9));
        let reason = PauseReason::Stated { status: 429 };
        let paused = Notice::Paused { scope, wait, until, reason, attempt: 1 };
        let error = RequestError::RateLimited { retry_at: until, status: None };
        let outputs = [
            Output::Send { attempt, token: None },
            Output::Body { attempt, verdict: Verdict::Follow },
            Output::Finish { id, result: Err(error) },
            Output::Notice(paused),
        ];
        let mut lengths = Vec::new();
        let mut texts = Vec::new();
        for output in &outputs {
            let mut records = Records::new(32);
            records.clear();
            write(output, &mut records, &mut texts, Instant::ORIGIN);
            let record = records.written();
            assert!(record.len() <= LONGEST, "{output:?}");
            if lengths.is_empty() {
                assert_eq!(record, [SEND, 7.0, 5.0, 3.0, 0.0]);
            }
            lengths.push(record.len());
        }
        assert_eq!(lengths, [5, 5, 7, 10]);
        assert_eq!(texts[1..], ["s", "Rate limit hit. Retrying in 2ms (attempt 1)"]);
    }

    #[test]
    fn a_deadline_that_crosses_and_comes_back_is_not_early() {
        for nanos in [0, 1, 1_234_567, 86_400_000_000_001, 999_999_999_999_999_999, u64::MAX - 1] {
            let at = Instant::from_nanos(nanos);
            assert!(instant(millis(at)) >= at, "{nanos}");
        }
        assert_eq!(instant(millis(Instant::from_nanos(1_234_567))), Instant::from_nanos(1_234_567));
    }

    #[test]
    fn the_reasons_keep_their_numbers() {
        use cxone_core::Wake::{AttemptTimeout, Budget, Deadline, Gate, Retry, Token};
        let wakes = [Gate, Token, AttemptTimeout, Retry, Budget, Deadline];
        assert!(wakes.iter().enumerate().all(|(number, wake)| *wake as usize == number));
    }
}
