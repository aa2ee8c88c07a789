//! The engine's queue and a whole life in the engine, beside async-priority-channel on one thread.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use cxone_bench::Contest;
use cxone_core::bench::BareQueue;
use cxone_core::{Config, Engine, Head, Input, Instant, Job, Now, Output, Priority, Wall};

const NOW: Now = Now::new(Instant::ORIGIN, Wall::from_millis(1_795_392_000_000));

fn main() {
    outstanding(100, 100_000, 15);
    at_once(100_000, 15);
}

/// So many wait, and for each that is taken another one comes.
fn outstanding(waiting: u32, tasks: u32, rounds: usize) {
    let mut contest = Contest::new(format!("push and pop, {waiting} outstanding"), tasks);
    contest.add("async-priority-channel", || {
        let (sender, receiver) = async_priority_channel::unbounded();
        let push = |i| sender.try_send(u64::from(i), 3 - i % 3).expect("it is unbounded");
        (0..waiting).for_each(push);
        timed(|| {
            for i in 0..tasks {
                push(i);
                black_box(receiver.try_recv().expect("somebody waits"));
            }
        })
    });
    contest.add("cxone-core queue", || {
        let mut queue = BareQueue::default();
        (0..waiting).for_each(|i| queue.push(class(i), u64::from(i)));
        timed(|| {
            for i in 0..tasks {
                queue.push(class(i), u64::from(i));
                black_box(queue.pop().expect("somebody waits"));
            }
        })
    });
    contest.add("cxone-core engine, a whole life", || {
        let mut engine = engine();
        (0..waiting).for_each(|i| submit(&mut engine, i));
        timed(|| {
            for i in 0..tasks {
                submit(&mut engine, i);
                live(&mut engine);
            }
        })
    });
    contest.run(rounds);
}

/// All are queued before the first is taken.
fn at_once(tasks: u32, rounds: usize) {
    let mut contest = Contest::new(format!("push and pop, {tasks} at once"), tasks);
    contest.add("async-priority-channel", || {
        let (sender, receiver) = async_priority_channel::unbounded();
        timed(|| {
            for i in 0..tasks {
                sender.try_send(u64::from(i), 3 - i % 3).expect("it is unbounded");
            }
            for _ in 0..tasks {
                black_box(receiver.try_recv().expect("somebody waits"));
            }
        })
    });
    contest.add("cxone-core queue", || {
        let mut queue = BareQueue::default();
        timed(|| {
            (0..tasks).for_each(|i| queue.push(class(i), u64::from(i)));
            while let Some(value) = queue.pop() {
                black_box(value);
            }
        })
    });
    contest.add("cxone-core engine, a whole life", || {
        let mut engine = engine();
        timed(|| {
            (0..tasks).for_each(|i| submit(&mut engine, i));
            while !engine.is_idle() {
                live(&mut engine);
            }
        })
    });
    contest.run(rounds);
}

fn class(i: u32) -> Priority {
    Priority::ALL[i as usize % Priority::ALL.len()]
}

fn engine() -> Engine {
    Engine::new(Config { concurrency: 1, ..Config::default() }, 1, NOW).expect("in range")
}

fn submit(engine: &mut Engine, i: u32) {
    let job = Job { priority: class(i), auth: false, ..Job::default() };
    engine.submit(job, NOW).expect("there is room");
}

/// Does what the engine says until a request has ended.
fn live(engine: &mut Engine) {
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Send { attempt, .. } => {
                let head = Head { status: 200, headers: &[], redirect: false };
                engine.handle_input(Input::Head { attempt, head }, NOW);
            }
            Output::Body { attempt, .. } => engine.handle_input(Input::Done { attempt }, NOW),
            Output::Finish { .. } => return,
            _ => {}
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Clock::now();
    work();
    start.elapsed()
}
