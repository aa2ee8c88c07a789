//! The engine by itself: a request's life with few and with very many waiting, and cancelling.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use criterion::{Criterion, criterion_group, criterion_main};
use cxone_core::{
    AttemptId, Config, Engine, Head, Input, Instant, Job, Now, Output, RequestId, Wall,
};

const SIZES: [(&str, usize); 3] = [("1k", 1000), ("100k", 100_000), ("1M", 1_000_000)];

/// The engine with its host's part: what is in flight.
struct World {
    engine: Engine,
    clock: u64,
    flying: VecDeque<AttemptId>,
}

impl World {
    fn with_queued(count: usize, job: &Job<'_>) -> World {
        let config = Config { queue_limit: u32::MAX, ..Config::default() };
        let engine = Engine::new(config, 1, now(0)).expect("the settings are in range");
        let mut world = World { engine, clock: 0, flying: VecDeque::new() };
        for _ in 0..count {
            world.submit(job);
        }
        world
    }

    fn submit(&mut self, job: &Job<'_>) -> RequestId {
        let id = self.engine.submit(job.clone(), now(self.clock)).expect("there is room");
        self.drain();
        id
    }

    /// One more request is submitted, and the oldest in flight is answered and ends, which sends
    /// the next one: submit, Send, Head, Body, Done, Finish.
    fn live(&mut self, job: &Job<'_>) {
        self.clock += 1000;
        self.submit(job);
        let attempt = self.flying.pop_front().expect("as many are in flight as may be");
        let head = Head { status: 200, headers: &[], redirect: false };
        self.engine.handle_input(Input::Head { attempt, head }, now(self.clock));
        self.drain();
        self.engine.handle_input(Input::Done { attempt }, now(self.clock));
        self.drain();
        black_box(self.engine.poll_timeout());
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, .. } => self.flying.push_back(attempt),
                Output::FetchToken { generation } => {
                    let input = Input::Token { generation, lifetime: None };
                    self.engine.handle_input(input, now(self.clock));
                }
                _ => {}
            }
        }
    }
}

fn life(criterion: &mut Criterion) {
    let plain = Job { auth: false, ..Job::default() };
    let kinds = [
        ("plain", plain.clone()),
        ("auth", Job::default()),
        ("deadline", Job { deadline: Some(Duration::from_secs(3600)), ..plain }),
    ];
    let mut group = criterion.benchmark_group("life");
    group.throughput(criterion::Throughput::Elements(1));
    for (kind, job) in kinds {
        for (size, count) in SIZES {
            let mut world = World::with_queued(count, &job);
            group.bench_function(format!("{kind}/{size} queued"), |bencher| {
                bencher.iter(|| world.live(&job));
            });
        }
    }
    group.finish();
}

/// In random order, of ever fewer that are left.
fn cancel(criterion: &mut Criterion) {
    let job = Job { auth: false, ..Job::default() };
    let mut group = criterion.benchmark_group("cancel");
    group.throughput(criterion::Throughput::Elements(1));
    for (size, count) in SIZES {
        group.bench_function(format!("{size} queued"), |bencher| {
            bencher.iter_custom(|cancels| {
                let (mut left, mut spent) = (cancels as usize, Duration::ZERO);
                while left > 0 {
                    let mut world = World::with_queued(0, &job);
                    let mut ids: Vec<_> = (0..count).map(|_| world.submit(&job)).collect();
                    shuffle(&mut ids);
                    ids.truncate(left);
                    let start = Clock::now();
                    for id in &ids {
                        world.engine.cancel(*id, now(0));
                        world.drain();
                    }
                    spent += start.elapsed();
                    left -= ids.len();
                }
                spent
            });
        });
    }
    group.finish();
}

fn shuffle(ids: &mut [RequestId]) {
    let mut state = 88_172_645_463_325_252_u64; // xorshift64
    for i in (1..ids.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ids.swap(i, (state % (i as u64 + 1)) as usize);
    }
}

fn now(nanos: u64) -> Now {
    Now::new(Instant::from_nanos(nanos), Wall::from_millis(1_795_392_000_000))
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = settings(); targets = life, cancel);
criterion_main!(benches);
