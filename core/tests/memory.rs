//! What a queued request costs, by counted allocations: bytes, not time, so it is exact.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use cxone_core::{Config, Engine, Head, Input, Instant, Job, Now, Output, Wall};

const NOW: Now = Now::new(Instant::ORIGIN, Wall::from_millis(1_795_392_000_000));

#[test]
fn a_queued_request_holds_at_most_100_bytes_however_many_there_are() {
    for queued in [1000, 10_000, 65_537, 262_145] {
        for auth in [false, true] {
            let each = bytes_each(queued, Job { auth, ..Job::default() });
            assert!(each <= 100.0, "{each:.1} bytes each of {queued}, auth: {auth}");
        }
    }
}

#[test]
fn a_deadline_adds_at_most_40_bytes() {
    let each = bytes_each(65_537, Job { deadline: Some(Duration::from_secs(60)), ..plain() });
    assert!(each <= 140.0, "{each:.1} bytes each");
}

#[test]
fn the_room_of_those_who_ended_is_used_again() {
    let mut engine = engine();
    drop(submit(&mut engine, 10_000, &plain()));
    let held = BYTES.get();
    for _ in 0..3 {
        let ids = submit(&mut engine, 10_000, &plain());
        for id in ids {
            engine.cancel(id, NOW);
        }
    }
    drain(&mut engine);
    let more = BYTES.get() - held;
    // The second ten thousand need their room once.
    assert!(more <= 10_000 * 100, "{more} bytes more");
}

#[test]
fn what_is_learned_of_a_scope_takes_no_more_room_the_longer_it_is_used() {
    let mut engine = engine();
    engine.submit(plain(), NOW).expect("there is room");
    let mut clock = NOW.instant;
    let mut held = |rounds| {
        use_one_at_a_time(&mut engine, rounds, &mut clock);
        BYTES.get()
    };
    let soon = held(1000);
    let later = held(20_000);
    assert!(later <= soon, "{} bytes more", later - soon);
}

/// A server that refuses each tenth, states a wait now and then, and announces what is left.
fn use_one_at_a_time(engine: &mut Engine, rounds: u64, clock: &mut Instant) {
    for round in 0..rounds {
        let sent = loop {
            match engine.poll_output() {
                Some(Output::Send { attempt, .. }) => break Some(attempt),
                Some(_) => {}
                None => break None,
            }
        };
        let at = |clock: Instant| Now::new(clock, Wall::from_millis(clock.as_nanos() / 1_000_000));
        if let Some(attempt) = sent {
            let wait = (round % 70 / 10).to_string();
            let left = format!("\"default\";r={};t=9", round % 20);
            let (status, headers) = match round % 10 {
                0 => (429, vec![("retry-after", &*wait)]),
                1 => (429, vec![]),
                2 | 3 => (200, vec![("ratelimit", &*left)]),
                _ => (200, vec![]),
            };
            let head = Head { status, headers: &headers, redirect: false };
            engine.handle_input(Input::Head { attempt, head }, at(*clock));
            engine.handle_input(Input::Done { attempt }, at(*clock));
            if status == 200 {
                engine.submit(plain(), at(*clock)).expect("there is room");
            }
        } else {
            *clock = engine.poll_timeout().expect("it is held back").0;
            engine.handle_timeout(at(*clock));
        }
    }
}

fn bytes_each(queued: usize, job: Job<'_>) -> f64 {
    let before = BYTES.get();
    let mut engine = engine();
    drop(submit(&mut engine, queued, &job));
    let held = BYTES.get() - before;
    drop(engine);
    held as f64 / queued as f64
}

fn submit(engine: &mut Engine, count: usize, job: &Job<'_>) -> Vec<cxone_core::RequestId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(engine.submit(job.clone(), NOW).expect("there is room"));
        drain(engine);
    }
    ids
}

fn drain(engine: &mut Engine) {
    while engine.poll_output().is_some() {}
}

fn engine() -> Engine {
    Engine::new(Config::default(), 1, NOW).expect("the settings are in range")
}

fn plain() -> Job<'static> {
    Job { auth: false, ..Job::default() }
}

thread_local! {
    /// What this test's thread has allocated and not freed.
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
