//! A deterministic test without network or sleeping: a virtual clock drives the engine, a server
//! that exists only here refuses the first request, and the exact trace is asserted.
//!
//! Run it with `cargo run -p cxone-core --example virtual_clock`; copy `World` into your tests.

use cxone_core::{
    AttemptId, Config, Engine, Head, Input, Instant, Job, Now, Output, Priority, Verdict, Wall,
};

/// An engine, its virtual clock, and what it has done so far.
struct World {
    engine: Engine,
    clock: Instant,
    trace: Vec<String>,
}

impl World {
    fn new(config: Config, seed: u64) -> World {
        let clock = Instant::ORIGIN;
        let engine = Engine::new(config, seed, at(clock)).expect("the settings are in range");
        World { engine, clock, trace: Vec::new() }
    }

    /// Does what the engine asks for, and notes it. Returns the attempts that were started.
    fn drain(&mut self) -> Vec<AttemptId> {
        let mut started = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            self.trace.push(format!("{} {output:?}", self.clock));
            match output {
                Output::Send { attempt, .. } => started.push(attempt),
                Output::Body { attempt, verdict: Verdict::Read | Verdict::Drain } => {
                    // This server's bodies arrive at once.
                    self.engine.handle_input(Input::Done { attempt }, at(self.clock));
                }
                _ => {}
            }
        }
        started
    }

    /// Jumps to the engine's next deadline.
    fn step(&mut self) -> Vec<AttemptId> {
        let (next, _why) = self.engine.poll_timeout().expect("something is pending");
        self.clock = next;
        self.engine.handle_timeout(at(self.clock));
        self.drain()
    }

    fn answer(
        &mut self,
        attempt: AttemptId,
        status: u16,
        headers: &[(&str, &str)],
    ) -> Vec<AttemptId> {
        let head = Head { status, headers, redirect: false };
        self.engine.handle_input(Input::Head { attempt, head }, at(self.clock));
        self.drain()
    }
}

fn at(clock: Instant) -> Now {
    Now::new(clock, Wall::from_millis(1_795_392_000_000 + clock.as_nanos() / 1_000_000))
}

fn main() {
    let mut world = World::new(Config::default(), 7);
    let job = |priority| Job { priority, auth: false, ..Job::default() };

    let now = at(world.clock);
    world.engine.submit(job(Priority::Low), now).expect("the queue has room");
    let started = world.drain();

    // The server refuses it for two seconds; meanwhile something urgent comes in.
    world.answer(started[0], 429, &[("retry-after", "2")]);
    let now = at(world.clock);
    world.engine.submit(job(Priority::High), now).expect("the queue has room");
    assert!(world.drain().is_empty(), "the scope is paused");

    // At the deadline, one probe goes out: the urgent one. Its answer opens the gate.
    let probe = world.step();
    let retried = world.answer(probe[0], 200, &[]);
    world.answer(retried[0], 200, &[]);

    println!("{}", world.trace.join("\n"));
    assert_eq!(
        world.trace,
        [
            "0s Send { attempt: r0#1, token: None }",
            "0s Notice(Paused { scope: \"default\", wait: 2.011s, until: 2.011s, \
             reason: Stated { status: 429 }, attempt: 1 })",
            "0s Body { attempt: r0#1, verdict: Drain }",
            "2.011s Send { attempt: r1#1, token: None }",
            "2.011s Notice(Reopened { scope: \"default\" })",
            "2.011s Body { attempt: r1#1, verdict: Read }",
            "2.011s Send { attempt: r0#2, token: None }",
            "2.011s Finish { id: r1, result: Ok(()) }",
            "2.011s Body { attempt: r0#2, verdict: Read }",
            "2.011s Finish { id: r0, result: Ok(()) }",
        ]
    );
    assert!(world.engine.is_idle() && world.engine.poll_timeout().is_none());
}
