//! The engine, as JavaScript calls it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use cxone_core::{
    AttemptId, Failure, Generation, Head, Input, Job, Now, Priority, Replay, RequestId,
    SubmitError, TokenFailure, Wall,
};
use wasm_bindgen::prelude::*;

use crate::header;
use crate::record::{self, HEADER, LONGEST, Records};
use crate::settings;

/// Room for so many numbers; what does not fit comes with the next drain.
const ROOM: usize = 4096;

/// Growing WebAssembly's memory takes a runtime a millisecond however little it is: room is made for
/// so many requests at once, in bytes that are enough for them.
const STEP: u32 = 8192;
const STEP_BYTES: usize = 1 << 20;

/// What [`Engine::submit`] gives in place of an id.
const QUEUE_FULL: f64 = -1.0;
const CLOSED: f64 = -2.0;
const SCOPES: f64 = -3.0;

/// Bits of the `flags` of [`Engine::submit`].
const AUTH: u32 = 1;
const STREAM: u32 = 2;
const REPLAY_IF_UNPROCESSED: u32 = 4;
const REPLAY_NEVER: u32 = 8;

/// The engine of [`cxone_core`], with numbers for everything that crosses.
///
/// Times are milliseconds: `now` on a monotonic clock of the host's, such as `performance.now()`,
/// `wall` since 1970. Requests are named by slot and generation, as in [`record`]; an id, as
/// [`submit`](Engine::submit) gives it, is generation · 2³² + slot.
///
/// After each call: [`drain`](Engine::drain), until it gives no more records. The calls that are
/// made for every request do the first of these themselves if they are told to `drain`, which
/// they may be when nobody is reading the records: a call into WebAssembly is dear.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    engine: cxone_core::Engine,
    now: Now,
    records: Records,
    texts: Vec<String>,
    refusal: String,
    /// There is room for so many requests.
    roomy_until: u32,
}

#[wasm_bindgen]
impl Engine {
    /// An engine with these settings: an array of numbers (NaN keeps a default), names of headers
    /// and of scopes, one a line; the package's `settings.ts` has their order. Its randomness
    /// comes from `seed`, a whole number.
    ///
    /// # Errors
    ///
    /// A setting out of range: its name, a line break, what it must be.
    #[wasm_bindgen(constructor)]
    pub fn new(
        settings: &[f64],
        ms_headers: &str,
        scopes: &str,
        seed: f64,
        now: f64,
    ) -> Result<Engine, JsValue> {
        let now = moment(now, 0.0);
        let engine = cxone_core::Engine::new(
            settings::config(settings, ms_headers, scopes),
            seed as u64,
            now,
        )
        .map_err(|error| JsValue::from([error.field, "\n", error.fix].concat()))?;
        let records = Records::new(ROOM);
        let (texts, refusal) = (Vec::new(), String::new());
        Ok(Engine { engine, now, records, texts, refusal, roomy_until: STEP / 8 })
    }

    /// Where the records are, in bytes from the start of the memory. It never changes.
    #[wasm_bindgen(getter)]
    pub fn records(&self) -> *const f64 {
        self.records.as_ptr()
    }

    /// How many numbers [`records`](Engine::records) has room for.
    #[wasm_bindgen(getter)]
    pub fn room(&self) -> usize {
        self.records.room()
    }

    /// Writes what is to be done into the records, in place of what is there. When these are only
    /// the numbers of the head, all is done.
    pub fn drain(&mut self) {
        self.records.clear();
        self.texts.clear();
        while self.records.has_room() {
            let Some(output) = self.engine.poll_output() else { break };
            record::write(&output, &mut self.records, &mut self.texts, self.now.instant);
        }
        match self.engine.poll_timeout() {
            Some((at, wake)) => self.records.finish(record::millis(at), wake as usize as f64),
            None => self.records.finish(f64::INFINITY, f64::NAN),
        }
    }

    /// A text of the last drain, by its index.
    pub fn text(&self, index: usize) -> String {
        self.texts.get(index).cloned().unwrap_or_default()
    }

    /// Accepts a request and gives its id, or a negative number: -1 the queue is full, -2 the
    /// engine is closed, -3 its scopes make no sense ([`refusal`](Engine::refusal) says it in
    /// words).
    ///
    /// `priority` is 1, 2 or 3. `scopes` are joined by NUL. `flags`: 1 it carries the token, 2 its
    /// answer is streamed, 4 it is replayed only if it was not processed, 8 never. `timeout` is an
    /// attempt's, infinite for none; `deadline` the request's; NaN is the default of either.
    #[allow(clippy::too_many_arguments)] // an object would cost an allocation for each request
    pub fn submit(
        &mut self,
        priority: u32,
        scopes: Option<String>,
        flags: u32,
        timeout: f64,
        deadline: f64,
        now: f64,
        drain: bool,
    ) -> f64 {
        let scopes: Vec<&str> = scopes.as_deref().map_or(Vec::new(), |it| it.split('\0').collect());
        let job = Job {
            priority: match priority {
                1 => Priority::High,
                3 => Priority::Low,
                _ => Priority::Normal,
            },
            scopes: &scopes,
            auth: flags & AUTH != 0,
            replay: match flags & (REPLAY_IF_UNPROCESSED | REPLAY_NEVER) {
                0 => Replay::Always,
                REPLAY_IF_UNPROCESSED => Replay::IfUnprocessed,
                _ => Replay::Never,
            },
            stream: flags & STREAM != 0,
            attempt_timeout: given(timeout),
            deadline: given(deadline),
        };
        let now = self.at(now);
        match self.engine.submit(job, now) {
            Ok(id) => {
                let id = id.as_u64();
                if id as u32 >= self.roomy_until {
                    self.make_room();
                }
                self.then(drain);
                id as f64
            }
            Err(error) => {
                self.refusal = error.text();
                match error {
                    SubmitError::QueueFull { .. } => QUEUE_FULL,
                    SubmitError::Closed => CLOSED,
                    SubmitError::Scopes => SCOPES,
                }
            }
        }
    }

    /// Why the last request was not accepted.
    pub fn refusal(&self) -> String {
        self.refusal.clone()
    }

    /// Gives up a request.
    pub fn cancel(&mut self, slot: u32, generation: u32, now: f64) {
        let now = self.at(now);
        self.engine.cancel(request(slot, generation), now);
    }

    /// The head of an answer arrived. `headers`: names and values in turn, one a line, of those
    /// fields that matter ([`signal_headers`](Engine::signal_headers)); only with these does `wall`
    /// matter. `redirect`: could the host follow it?
    #[allow(clippy::too_many_arguments)] // an object would cost an allocation for each answer
    pub fn head(
        &mut self,
        slot: u32,
        generation: u32,
        number: u32,
        status: u16,
        headers: Option<String>,
        redirect: bool,
        now: f64,
        wall: f64,
        drain: bool,
    ) {
        let attempt = attempt(slot, generation, number);
        let now = match headers {
            Some(_) => self.at_both(now, wall),
            None => self.at(now),
        };
        let headers = headers.as_deref().map_or_else(Vec::new, header::pairs);
        let head = Head { status, headers: &headers, redirect };
        self.engine.handle_input(Input::Head { attempt, head }, now);
        self.then(drain);
    }

    /// The attempt is over: its body was read, or drained.
    pub fn done(&mut self, slot: u32, generation: u32, number: u32, now: f64, drain: bool) {
        let attempt = attempt(slot, generation, number);
        let now = self.at(now);
        self.engine.handle_input(Input::Done { attempt }, now);
        self.then(drain);
    }

    /// The attempt is over without a complete answer: 0 it was never sent, 1 it can never be
    /// sent, 2 the connection was lost, 3 the body ended early, 4 the body is too large, 5 it was
    /// aborted.
    pub fn failed(&mut self, slot: u32, generation: u32, number: u32, failure: u32, now: f64) {
        let attempt = attempt(slot, generation, number);
        let failure = match failure {
            0 => Failure::Unsent,
            1 => Failure::Unsendable,
            3 => Failure::Truncated,
            4 => Failure::TooLarge,
            5 => Failure::Aborted,
            _ => Failure::Reset,
        };
        let now = self.at(now);
        self.engine.handle_input(Input::Failed { attempt, failure }, now);
    }

    /// The token fetch brought a token, which lives so long from when the fetch was sent; NaN: its
    /// answer does not say.
    pub fn token(&mut self, token: u32, lifetime: f64, now: f64) {
        let (generation, lifetime) = (Generation(token), given(lifetime));
        let now = self.at(now);
        self.engine.handle_input(Input::Token { generation, lifetime }, now);
    }

    /// The token fetch brought none: 0 the endpoint is busy or unwell, 1 no answer, 2 it refused
    /// for good, 3 it can never be sent.
    #[allow(clippy::too_many_arguments)] // as with `head`
    pub fn token_failed(
        &mut self,
        token: u32,
        failure: u32,
        status: u16,
        headers: Option<String>,
        now: f64,
        wall: f64,
    ) {
        let failure = match failure {
            0 => TokenFailure::Transient { status },
            1 => TokenFailure::Network,
            2 => TokenFailure::Refused { status },
            _ => TokenFailure::Unsendable,
        };
        let headers = headers.as_deref().map_or_else(Vec::new, header::pairs);
        let generation = Generation(token);
        let now = self.at_both(now, wall);
        let input = Input::TokenFailed { generation, failure, headers: &headers };
        self.engine.handle_input(input, now);
    }

    /// The deadline has come. A call too early changes nothing.
    pub fn timeout(&mut self, now: f64) {
        let now = self.at(now);
        self.engine.handle_timeout(now);
    }

    /// Holds a scope, or everything.
    pub fn pause(&mut self, scope: Option<String>, now: f64) {
        let now = self.at(now);
        self.engine.pause(scope.as_deref(), now);
    }

    /// Lifts that hold.
    pub fn resume(&mut self, scope: Option<String>, now: f64) {
        let now = self.at(now);
        self.engine.resume(scope.as_deref(), now);
    }

    /// Changes the concurrency; false if it is out of range.
    pub fn set_concurrency(&mut self, concurrency: f64, now: f64) -> bool {
        let now = self.at(now);
        self.engine.set_concurrency(concurrency as u32, now).is_ok()
    }

    /// Accepts no more requests; with `drain`, those that were accepted run to their ends.
    pub fn close(&mut self, drain: bool, now: f64) {
        let now = self.at(now);
        self.engine.close(drain, now);
    }

    /// Has everything ended?
    pub fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    /// The engine's state: queued HIGH, NORMAL, LOW, waiting alone, in flight, sends, throttled,
    /// retries, token fetches, finished, cancelled; then for each of
    /// [`scope_names`](Engine::scope_names) the moment until which it is closed (NaN for none), 1
    /// if it is held, and its attempts in flight.
    pub fn stats(&self) -> Vec<f64> {
        let stats = self.engine.stats();
        let [high, normal, low] = stats.queued;
        let counts = [
            high,
            normal,
            low,
            stats.waiting,
            stats.in_flight,
            stats.sends,
            stats.throttled,
            stats.retries,
            stats.token_fetches,
            stats.finished,
            stats.cancelled,
        ];
        let mut numbers: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
        for scope in &stats.scopes {
            let closed_until = scope.closed_until.map_or(f64::NAN, record::millis);
            numbers.extend([closed_until, f64::from(u8::from(scope.held))]);
            numbers.push(f64::from(scope.in_flight));
        }
        numbers
    }

    /// The names of the scopes that are known now, each ended by NUL.
    pub fn scope_names(&self) -> String {
        let mut names = String::new();
        for scope in self.engine.stats().scopes {
            names.extend([&*scope.name, "\0"]);
        }
        names
    }

    /// The names of the header fields that matter, in lower case, one a line; those of the setting
    /// `reading.msHeaders` matter too.
    pub fn signal_headers() -> String {
        cxone_core::SIGNAL_HEADERS.join("\n")
    }

    /// The canonical phrase of a status, or nothing.
    pub fn status_text(status: u16) -> String {
        cxone_core::status_text(status).to_owned()
    }

    /// The scope of a path, where each API family is one.
    pub fn api_family(path: &str) -> String {
        cxone_core::profile::api_family(path)
    }

    /// The scopes of a request to NICE's own platform, narrowest first, joined by NUL.
    pub fn published_scopes(method: &str, path: &str) -> String {
        cxone_core::profile::scopes(method, path).join("\0")
    }

    fn at_both(&mut self, now: f64, wall: f64) -> Now {
        self.now = moment(now, wall);
        self.now
    }

    #[inline(always)]
    fn then(&mut self, drain: bool) {
        if drain {
            self.drain();
        }
    }

    /// Lets the memory grow by a large step: what is given back at once stays the allocator's.
    fn make_room(&mut self) {
        self.roomy_until += STEP;
        drop(core::hint::black_box(Vec::<u8>::with_capacity(STEP_BYTES)));
    }

    /// Both clocks; the wall clock matters only to who reads headers, and stays as it was.
    fn at(&mut self, now: f64) -> Now {
        self.now.instant = record::instant(now);
        self.now
    }
}

/// A time that NaN leaves out.
fn given(ms: f64) -> Option<Duration> {
    (!ms.is_nan()).then(|| settings::millis(ms))
}

fn moment(now: f64, wall: f64) -> Now {
    Now::new(record::instant(now), Wall::from_millis(wall as u64))
}

fn request(slot: u32, generation: u32) -> RequestId {
    RequestId::from_u64((u64::from(generation) << 32) | u64::from(slot))
}

fn attempt(slot: u32, generation: u32, number: u32) -> AttemptId {
    AttemptId { request: request(slot, generation), number }
}

const _: () = assert!(HEADER + LONGEST <= ROOM);
