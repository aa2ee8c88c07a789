//! One run: what is to come, by its time, and what each host does with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use cxone_core::{
    AttemptId, ConfigError, Engine, Failure, Head, Input, Instant, Job, Now, Output, Priority,
    Reading, RequestError, RequestId, Signals, Verdict, Wake, Wall,
};

use super::{Event, SimJob, World};
use crate::dice::Dice;
use crate::headers::Headers;
use crate::limiter::LimitSpec;
use crate::report::{Class, Report, used_after};
use crate::server::{Door, Turn, Workers, nanos};
use crate::stalls::Stalled;

/// What is to happen; times are nanoseconds since the run's start.
enum Coming {
    Submit {
        client: usize,
        job: SimJob,
    },
    /// The engine's deadline, unless it has changed since.
    Wake {
        client: usize,
        version: u64,
    },
    Arrive {
        client: usize,
        attempt: AttemptId,
        back: u64,
    },
    Answer {
        client: usize,
        attempt: AttemptId,
        answer: Answer,
    },
}

struct Answer {
    status: u16,
    headers: Headers,
}

pub(super) struct Run<'a, W> {
    world: &'a World,
    watcher: W,
    start: u64,
    now: u64,
    dice: Dice,
    door: Door<'a>,
    workers: Workers,
    /// The clients, the way there and the way back.
    stalled: [Option<Stalled>; 3],
    /// By time, then by the order in which they were planned.
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    coming: BTreeMap<u64, Coming>,
    planned: u64,
    hosts: Vec<Host>,
    tally: Tally,
}

struct Host {
    engine: Engine,
    /// The deadline for which a timer is set, and its version.
    deadline: Option<(Instant, Wake)>,
    version: u64,
    /// What has not ended, by its moment of submit and its class.
    open: BTreeMap<RequestId, (u64, Priority)>,
    flying: BTreeSet<AttemptId>,
    /// The latest moment that a refusal has stated.
    stated_until: u64,
}

#[derive(Default)]
struct Tally {
    attempts: u64,
    lost: u64,
    given_up: Option<RequestError>,
    early: u64,
    max_in_flight: u64,
    last_end: u64,
    latencies: [Vec<Duration>; 3],
    accepted_at: Vec<Duration>,
    refused_at: Vec<Duration>,
    rise: Option<(LimitSpec, usize)>,
}

impl<'a, W: FnMut(Duration, usize, Event<'_>)> Run<'a, W> {
    pub(super) fn new(
        world: &'a World,
        start: u64,
        mut dice: Dice,
        watcher: W,
    ) -> Result<Self, ConfigError> {
        let mut hosts = Vec::new();
        for client in &world.clients {
            hosts.push(Host {
                engine: Engine::new(client.config.clone(), dice.seed(), at(start, 0))?,
                deadline: None,
                version: 0,
                open: BTreeMap::new(),
                flying: BTreeSet::new(),
                stated_until: 0,
            });
        }
        let stalled = [(); 3]
            .map(|()| world.stalls.map(|stalls| Stalled::new(stalls, Dice::new(dice.seed()))));
        let mut run = Run {
            world,
            watcher,
            start,
            now: 0,
            dice,
            door: Door::new(&world.server, start),
            workers: Workers::new(&world.server),
            stalled,
            agenda: BinaryHeap::new(),
            coming: BTreeMap::new(),
            planned: 0,
            hosts,
            tally: Tally::default(),
        };
        for (client, spec) in world.clients.iter().enumerate() {
            for &job in &spec.jobs {
                run.plan(nanos(job.at), Coming::Submit { client, job });
            }
        }
        Ok(run)
    }

    /// Until nothing more is to come, or the horizon.
    pub(super) fn go(&mut self) {
        let horizon = nanos(self.world.horizon);
        while let Some(Reverse((time, number))) = self.agenda.pop() {
            if time > horizon {
                break;
            }
            let coming =
                self.coming.remove(&number).expect("what is on the agenda is planned once");
            let place = match coming {
                Coming::Submit { .. } | Coming::Wake { .. } => 0,
                Coming::Arrive { .. } => 1,
                Coming::Answer { .. } => 2,
            };
            let until = self.stalled[place].as_mut().map_or(time, |stalled| stalled.until(time));
            if until > time {
                self.plan(until, coming);
                continue;
            }
            self.now = time;
            match coming {
                Coming::Submit { client, job } => self.submit(client, job),
                Coming::Wake { client, version } => self.wake(client, version),
                Coming::Arrive { client, attempt, back } => self.arrive(client, attempt, back),
                Coming::Answer { client, attempt, answer } => {
                    self.answer(client, attempt, &answer);
                }
            }
        }
    }

    fn submit(&mut self, client: usize, job: SimJob) {
        let now = self.clock();
        let host = &mut self.hosts[client];
        let order = Job { priority: job.priority, auth: false, ..Job::default() };
        match host.engine.submit(order, now) {
            Ok(id) => {
                host.open.insert(id, (self.now, job.priority));
            }
            Err(_) => self.tally.lost += 1,
        }
        self.drain(client);
    }

    fn wake(&mut self, client: usize, version: u64) {
        if self.hosts[client].version != version {
            return;
        }
        let now = self.clock();
        let host = &mut self.hosts[client];
        host.deadline = None;
        host.engine.handle_timeout(now);
        self.drain(client);
    }

    /// A request reaches the server.
    fn arrive(&mut self, client: usize, attempt: AttemptId, back: u64) {
        let turn = self.door.arrive(self.now);
        let (accepted, remaining) = (turn.accepted, turn.remaining);
        self.see(client, Event::Limiter { attempt, accepted, remaining });
        let moment = Duration::from_nanos(self.now);
        let (status, leaves) = if accepted {
            self.tally.accepted_at.push(moment);
            // A request that is held back does its turn in line later; few servers have both.
            (200, self.workers.done_at(self.now + nanos(turn.held_back)))
        } else {
            self.tally.refused_at.push(moment);
            (self.world.server.refusal, self.now)
        };
        if let Some(limit) = self.door.take_rise() {
            self.tally.rise = Some((limit, self.tally.accepted_at.len()));
            self.see(client, Event::Rose(limit));
        }
        let answer = Answer { status, headers: self.headers(&turn) };
        self.plan(leaves + back, Coming::Answer { client, attempt, answer });
    }

    fn headers(&self, turn: &Turn) -> Headers {
        self.door.headers(turn, self.now)
    }

    fn answer(&mut self, client: usize, attempt: AttemptId, answer: &Answer) {
        if !self.hosts[client].flying.contains(&attempt) {
            return; // it was given up
        }
        let pairs = answer.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = pairs.collect();
        let (status, now) = (answer.status, self.clock());
        self.see(client, Event::Answered { attempt, status, headers: &headers });
        if status == self.world.server.refusal {
            self.heed(client, status, &headers);
        }
        let head = Head { status, headers: &headers, redirect: false };
        self.hosts[client].engine.handle_input(Input::Head { attempt, head }, now);
        self.drain(client);
    }

    /// Notes what wait a refusal states, as core reads it.
    fn heed(&mut self, client: usize, status: u16, headers: &[(&str, &str)]) {
        let wall = self.clock().wall;
        let stated = Signals::read(headers, status, wall, &Reading::default()).wait;
        if let Some(wait) = stated.filter(|wait| wait.duration >= Duration::from_secs(1)) {
            let until = self.now.saturating_add(nanos(wait.duration));
            let host = &mut self.hosts[client];
            host.stated_until = host.stated_until.max(until);
        }
    }

    /// Does all that an engine asks for, then sets its timer.
    fn drain(&mut self, client: usize) {
        while let Some(output) = self.hosts[client].engine.poll_output() {
            match output {
                Output::Send { attempt, .. } => self.send(client, attempt),
                Output::Body { attempt, verdict: Verdict::Stream } => {
                    self.hosts[client].flying.remove(&attempt);
                }
                Output::Body { attempt, .. } => {
                    // Bodies arrive with their heads.
                    self.over(client, attempt, |attempt| Input::Done { attempt });
                }
                Output::Abort { attempt } => self.over(client, attempt, |attempt| Input::Failed {
                    attempt,
                    failure: Failure::Aborted,
                }),
                Output::Finish { id, result } => self.finish(client, id, result),
                Output::Notice(notice) => self.see(client, Event::Told(&notice)),
                // Jobs without a token bring no fetch.
                Output::FetchToken { .. } | Output::AbortToken { .. } => {}
            }
        }
        let host = &mut self.hosts[client];
        let deadline = host.engine.poll_timeout();
        if deadline == host.deadline {
            return;
        }
        host.deadline = deadline;
        host.version += 1;
        if let Some((moment, _)) = deadline {
            let version = host.version;
            let late = self.dice.below(nanos(self.world.timer_lateness));
            let moment = moment.as_nanos().saturating_add(late);
            self.plan(moment.max(self.now), Coming::Wake { client, version });
        }
    }

    fn send(&mut self, client: usize, attempt: AttemptId) {
        self.see(client, Event::Sent(attempt));
        let host = &mut self.hosts[client];
        host.flying.insert(attempt);
        self.tally.attempts += 1;
        self.tally.early += u64::from(self.now < host.stated_until);
        self.tally.max_in_flight = self.tally.max_in_flight.max(host.flying.len() as u64);
        let latency = nanos(self.world.latency.draw(&mut self.dice));
        let there = latency / 2;
        let back = latency - there;
        self.plan(self.now + there, Coming::Arrive { client, attempt, back });
    }

    fn over(
        &mut self,
        client: usize,
        attempt: AttemptId,
        input: impl FnOnce(AttemptId) -> Input<'static>,
    ) {
        let now = self.clock();
        let host = &mut self.hosts[client];
        host.flying.remove(&attempt);
        host.engine.handle_input(input(attempt), now);
    }

    fn finish(&mut self, client: usize, id: RequestId, result: Result<(), RequestError>) {
        let well = result.is_ok();
        self.see(client, Event::Ended(id, well));
        self.tally.last_end = self.now;
        self.tally.given_up = self.tally.given_up.take().or(result.err());
        // `submit` may end a request before it has told its id: then it counts as lost there.
        match self.hosts[client].open.remove(&id) {
            Some((since, class)) if well => {
                let latency = Duration::from_nanos(self.now - since);
                self.tally.latencies[class as usize - 1].push(latency);
            }
            _ => self.tally.lost += 1,
        }
    }

    fn see(&mut self, client: usize, event: Event<'_>) {
        (self.watcher)(Duration::from_nanos(self.now), client, event);
    }

    fn plan(&mut self, time: u64, coming: Coming) {
        self.agenda.push(Reverse((time, self.planned)));
        self.coming.insert(self.planned, coming);
        self.planned += 1;
    }

    fn clock(&self) -> Now {
        at(self.start, self.now)
    }

    pub(super) fn report(self, ideal: Duration) -> Report {
        let jobs = || self.world.clients.iter().flat_map(|client| &client.jobs);
        let first = jobs().map(|job| nanos(job.at)).min().unwrap_or(0);
        let tally = self.tally;
        let open: u64 = self.hosts.iter().map(|host| host.open.len() as u64).sum();
        let used =
            tally.rise.and_then(|(limit, from)| used_after(&tally.accepted_at[from..], &limit));
        Report {
            requests: jobs().count() as u64,
            makespan: Duration::from_nanos(tally.last_end.saturating_sub(first)),
            ideal,
            attempts: tally.attempts,
            throttled: tally.refused_at.len() as u64,
            lost: tally.lost + open,
            given_up: tally.given_up,
            early: tally.early,
            max_in_flight: tally.max_in_flight,
            classes: tally.latencies.map(Class::of),
            passed_until_rise_used: used,
            accepted_at: tally.accepted_at,
            refused_at: tally.refused_at,
        }
    }
}

/// The clocks of a client; the true wall clock is also the clients'.
fn at(start: u64, now: u64) -> Now {
    Now::new(Instant::from_nanos(now), Wall::from_millis((start + now) / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;
    use crate::server::Server;
    use crate::world::Client;

    /// The engines are never early, so that the count has to be tried without one.
    #[test]
    fn an_attempt_before_a_stated_moment_counts_as_early() {
        let client = Client { config: cxone_core::Config::default(), jobs: Vec::new() };
        let server = Server::new("fixed:1/1s".parse().unwrap());
        let world = World::new(server, Latency::Constant(Duration::ZERO), client);
        let mut run = Run::new(&world, 0, Dice::new(0), |_, _, _| {}).unwrap();
        let attempt = AttemptId { request: RequestId::from_u64(0), number: 1 };
        run.now = 1_000_000_000;
        run.heed(0, 429, &[("retry-after", "2")]);
        run.heed(0, 429, &[("retry-after", "1")]);
        for (millis, early) in [(2_999, 1), (3_000, 1), (3_001, 1)] {
            run.now = millis * 1_000_000;
            run.send(0, attempt);
            assert_eq!(run.tally.early, early, "at {millis} ms");
        }
    }
}
