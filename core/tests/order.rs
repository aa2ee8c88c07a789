//! Who goes next: classes, first come first served, the old place of a retried request, and the
//! fair share, checked against a model that looks through a plain list.

mod host;

use std::time::Duration;

use cxone_core::{AttemptId, Config, Failure, Instant, Notice, Priority, RequestId, SubmitError};
use host::{Host, at_once, class, deadline, job, ms, one_at_a_time, secs};
use proptest::prelude::*;

use Priority::{High, Low, Normal};

fn order(host: &Host) -> Vec<RequestId> {
    host.sends.iter().map(|send| send.1.request).collect()
}

/// Submits while nothing may start, then lets it all run, one at a time.
fn order_of(classes: &[Priority]) -> Vec<usize> {
    let mut host = Host::new(one_at_a_time());
    host.pause(None);
    let ids: Vec<RequestId> = classes.iter().map(|one| host.submit(class(*one))).collect();
    host.resume(None);
    host.ok_all();
    order(&host).iter().map(|id| ids.iter().position(|other| other == id).unwrap()).collect()
}

#[test]
fn t18_high_before_normal_before_low_and_first_come_first_served_inside_one() {
    let classes = [Low, Normal, High, Low, High, Normal];
    assert_eq!(order_of(&classes), [2, 4, 1, 5, 0, 3]);
    assert_eq!(class(Priority::default()).priority, Normal);
    assert_eq!([High as u8, Normal as u8, Low as u8], [1, 2, 3]);
}

#[test]
fn t18_an_urgent_request_leaves_at_the_next_free_slot() {
    let mut host = Host::new(at_once(8));
    let first = host.submit_many(&class(Low), 100);
    let high = host.submit(class(High));
    host.ok(host.attempt_of(first[3]));
    assert_eq!(order(&host).last(), Some(&high));
}

#[test]
fn t19_eight_attempts_are_in_flight_by_default_and_as_many_as_are_set() {
    for (config, most) in [(Config::default(), 8), (at_once(5), 5), (one_at_a_time(), 1)] {
        let mut host = Host::new(config);
        host.submit_many(&job(), 30);
        assert_eq!(host.flying.len(), most);
        host.ok_all();
        host.assert_at_rest();
    }
}

#[test]
fn concurrency_can_be_changed_while_requests_run() {
    let mut host = Host::new(at_once(2));
    host.submit_many(&job(), 30);
    host.set_concurrency(6);
    assert_eq!(host.flying.len(), 6);
    host.set_concurrency(3);
    for left in [5, 4, 3, 3, 3] {
        host.ok(*host.flying.first().unwrap());
        assert_eq!(host.flying.len(), left, "what is in flight stays; nothing new until below");
    }
    for wrong in [0, 65_536] {
        let error = host.engine.set_concurrency(wrong, host.now()).unwrap_err();
        assert_eq!(error.field, "concurrency");
    }
}

#[test]
fn x7_a_retried_low_request_does_not_keep_a_high_one_waiting() {
    let mut host = Host::new(at_once(8));
    host.submit_many(&class(Low), 8);
    for attempt in host.sent() {
        host.refuse(attempt, 20);
    }
    host.wait(secs(1));
    let high = host.submit(class(High));
    host.step();
    assert_eq!(host.sent_requests(), [high]);
    assert!(host.clock < Instant::from_millis(20_300), "{}", host.clock);
}

#[test]
fn x8_a_retried_request_goes_through_the_queue_and_keeps_its_original_place() {
    let mut host = Host::new(at_once(2));
    let ids = host.submit_many(&job(), 6);
    let first = host.sent();
    // Refused in reverse order; they come back in theirs, before all that is younger.
    host.refuse(first[1], 3);
    host.refuse(first[0], 3);
    host.step();
    host.ok_all();
    let rest = &order(&host)[2..];
    assert_eq!(rest, ids);
}

#[test]
fn a_request_that_failed_and_waited_alone_rejoins_at_its_old_place() {
    let mut host = Host::new(at_once(2));
    host.submit(job());
    host.submit_many(&job(), 3);
    let first = host.sent();
    host.answer(first[0], 502, &[]);
    let running = host.flying.clone();
    host.wait(secs(2));
    assert_eq!(host.flying, running, "it waits for its turn now");
    host.ok(first[1]);
    assert_eq!(order(&host).last(), Some(&first[0].request), "before those that came later");
}

#[test]
fn x26_low_gets_one_of_every_sixteen_sends() {
    let classes: Vec<Priority> = [High; 40].into_iter().chain([Low; 3]).collect();
    let order = order_of(&classes);
    let low: Vec<usize> = (0..43).filter(|place| order[*place] >= 40).collect();
    assert_eq!(low, [15, 31, 42]);
}

#[test]
fn x26_of_two_classes_that_are_owed_the_higher_goes_first() {
    let classes: Vec<Priority> = [High; 40].into_iter().chain([Low, Normal]).collect();
    let order = order_of(&classes);
    assert_eq!((order[15], order[16]), (41, 40), "NORMAL, then LOW");
}

#[test]
fn x26_a_class_that_had_nobody_waiting_is_owed_nothing() {
    let mut host = Host::new(one_at_a_time());
    host.submit_many(&class(High), 60);
    for _ in 0..30 {
        host.ok(*host.flying.first().unwrap());
    }
    let low = host.submit(class(Low));
    host.ok_all();
    // Thirty-one were sent before it came; it is passed over fifteen times.
    assert_eq!(order(&host).iter().position(|id| *id == low), Some(31 + 15));
}

#[test]
fn x26_what_a_class_is_owed_is_forgotten_when_nobody_of_it_waits() {
    let mut host = Host::new(one_at_a_time());
    host.submit_many(&class(High), 60);
    let gives_up = host.submit(class(Low));
    for _ in 0..10 {
        host.ok(*host.flying.first().unwrap());
    }
    host.cancel(gives_up);
    host.ok(*host.flying.first().unwrap());
    let low = host.submit(class(Low));
    host.ok_all();
    assert_eq!(order(&host).iter().position(|id| *id == low), Some(12 + 15));
}

#[test]
fn x27_the_queue_is_bounded_at_submit_and_never_at_a_requeue() {
    let mut host = Host::new(Config { queue_limit: 3, ..at_once(2) });
    host.submit_many(&job(), 5);
    assert_eq!(host.try_submit(job()), Err(SubmitError::QueueFull { limit: 3 }));
    for attempt in host.sent() {
        host.refuse(attempt, 2);
    }
    assert_eq!(host.engine.stats().queued, [0, 5, 0], "both are back, over the limit");
    assert_eq!(host.try_submit(job()), Err(SubmitError::QueueFull { limit: 3 }));
    host.step();
    host.ok_all();
    assert_eq!(host.ended_well(), 5);
    host.submit(job());
}

#[test]
fn x27_a_request_that_waits_alone_counts_as_waiting() {
    let mut host = Host::new(Config { queue_limit: 1, ..at_once(4) });
    let attempt = host.start(job());
    host.answer(attempt, 502, &[]);
    assert_eq!(host.engine.stats().waiting, 1);
    assert_eq!(host.try_submit(job()), Err(SubmitError::QueueFull { limit: 1 }));
    host.cancel(attempt.request);
    host.submit(job());
}

// Against a model.

#[derive(Clone, Debug)]
enum Event {
    Submit(usize, Option<u64>),
    Ok(usize),
    NotFound(usize),
    Refuse(usize),
    Lose(usize),
    Cancel(usize),
    Hold(bool),
    Concurrency(u32),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..3usize, prop::option::weighted(0.1, 0..5000u64)).prop_map(|(class, deadline)| Event::Submit(class, deadline)),
        9 => any::<usize>().prop_map(Event::Ok),
        1 => any::<usize>().prop_map(Event::NotFound),
        1 => any::<usize>().prop_map(Event::Refuse),
        1 => any::<usize>().prop_map(Event::Lose),
        2 => any::<usize>().prop_map(Event::Cancel),
        1 => any::<bool>().prop_map(Event::Hold),
        1 => (1..9u32).prop_map(Event::Concurrency),
        2 => (0..4000u64).prop_map(Event::Wait),
    ]
}

/// A request as the model sees it, in the order of submission.
struct Waiting {
    id: RequestId,
    class: usize,
    waits: bool,
}

/// The naive choice: look at everybody.
#[derive(Default)]
struct Model {
    requests: Vec<Waiting>,
    passed_over: [u32; 3],
    read: usize,
}

impl Model {
    fn choose(&mut self, share: u32) -> Option<RequestId> {
        let here = |class: usize| self.requests.iter().any(|one| one.waits && one.class == class);
        let here = [here(0), here(1), here(2)];
        let owed = (0..3).find(|class| here[*class] && self.passed_over[*class] >= share - 1);
        let served = owed.or_else(|| (0..3).find(|class| here[*class]))?;
        for (class, count) in self.passed_over.iter_mut().enumerate() {
            *count = if class != served && here[class] { *count + 1 } else { 0 };
        }
        let next = self.requests.iter_mut().find(|one| one.waits && one.class == served)?;
        next.waits = false;
        Some(next.id)
    }

    /// Compares all that was sent since with what this would have chosen.
    fn check(&mut self, host: &Host, share: u32) {
        for (_, sent, _) in &host.sends[self.read..] {
            assert_eq!(self.choose(share), Some(sent.request), "at {}", host.clock);
        }
        self.read = host.sends.len();
    }

    fn of(&mut self, id: RequestId) -> &mut Waiting {
        self.requests.iter_mut().find(|one| one.id == id).expect("it was submitted")
    }
}

fn pick<T: Copy>(from: impl IntoIterator<Item = T>, which: usize) -> Option<T> {
    let all: Vec<T> = from.into_iter().collect();
    (!all.is_empty()).then(|| all[which % all.len()])
}

fn run(events: &[Event], mut concurrency: u32, share: u32) {
    let attempt_timeout = Duration::MAX;
    let mut host = Host::new(Config { fair_share: share, attempt_timeout, ..at_once(concurrency) });
    let mut model = Model::default();
    let (mut calm, mut held, mut lost) = (true, false, 0);
    for event in events {
        let flying = |which| pick(host.flying.iter().copied(), which);
        match *event {
            Event::Submit(class, limit) => {
                let priority = Priority::ALL[class];
                let limit = limit.map(ms);
                let id = host
                    .engine
                    .submit(cxone_core::Job { priority, deadline: limit, ..job() }, host.now());
                model.requests.push(Waiting { id: id.unwrap(), class, waits: true });
                host.timeout();
            }
            Event::Ok(which) => {
                let Some(attempt) = flying(which) else { continue };
                host.ok(attempt);
            }
            Event::NotFound(which) => {
                let Some(attempt) = flying(which) else { continue };
                host.answer(attempt, 404, &[]);
            }
            Event::Refuse(which) => {
                let Some(attempt) = flying(which) else { continue };
                calm = false;
                host.head(attempt, 429, &[("retry-after", "1")]);
                model.check(&host, share);
                model.of(attempt.request).waits = host.end(attempt.request).is_none();
                host.done(attempt);
            }
            Event::Lose(which) if lost < 5 => {
                let Some(attempt) = flying(which) else { continue };
                (calm, lost) = (false, lost + 1);
                host.fail(attempt, Failure::Reset);
            }
            Event::Lose(_) => {}
            Event::Cancel(which) => {
                let Some(id) = pick(model.requests.iter().map(|one| one.id), which) else {
                    continue;
                };
                model.of(id).waits = false;
                host.rejoining.remove(&id);
                host.cancel(id);
            }
            Event::Hold(hold) => {
                held = hold;
                if hold { host.pause(None) } else { host.resume(None) }
            }
            Event::Concurrency(most) => {
                concurrency = most;
                host.set_concurrency(most);
            }
            Event::Wait(wait) => wait_by_steps(&mut host, &mut model, ms(wait), share),
        }
        forget_ended(&host, &mut model);
        model.check(&host, share);
        host.end_aborted();
        model.check(&host, share);
        let waiting = model.requests.iter().filter(|one| one.waits).count();
        if calm && !held && waiting > 0 {
            assert!(host.flying.len() >= concurrency as usize, "nobody waits beside a free slot");
        }
    }
}

/// Those that ended by their deadlines, or before a gate that opens too late for them.
fn forget_ended(host: &Host, model: &mut Model) {
    for one in &mut model.requests {
        one.waits &= host.end(one.id).is_none();
    }
}

/// What waited alone waits for its turn as soon as its time has come.
fn wait_by_steps(host: &mut Host, model: &mut Model, wait: Duration, share: u32) {
    let end = host.clock + wait;
    while host.clock < end {
        let next = host.engine.poll_timeout().map_or(end, |(next, _)| next.min(end));
        for one in &mut model.requests {
            one.waits |= rejoins(host, one.id) == Some(next);
        }
        host.clock = next;
        host.timeout();
        forget_ended(host, model);
        model.check(host, share);
    }
}

/// When a request that waits alone will have done so.
fn rejoins(host: &Host, id: RequestId) -> Option<Instant> {
    host.rejoining.get(&id).copied()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn x26_every_send_is_the_models_choice(
        events in prop::collection::vec(event(), 1..150), concurrency in 1..6u32, share in 2..20u32,
    ) {
        run(&events, concurrency, share);
    }
}

#[test]
fn the_model_sees_retries_and_refusals() {
    // The model is only worth something if such things happen under it.
    let mut host = Host::new(at_once(2));
    host.submit_many(&deadline(secs(60)), 3);
    let first: Vec<AttemptId> = host.sent();
    host.fail(first[0], Failure::Reset);
    let told = |notice: &Notice| matches!(notice, Notice::Retrying { failures: 1, .. });
    assert!(host.notices.iter().any(told));
    let due = rejoins(&host, first[0].request).expect("it waits alone");
    assert!(due >= Instant::from_millis(1000) && due <= Instant::from_millis(1500));
}
