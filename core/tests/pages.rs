//! Whatever becomes of its requests and of its process, a run of pages that is resumed brings what
//! the server has, once: for every style, through the real engine, while records are added.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use cxone_core::page::{NextField, PageBody, PageFields, PageRequest, PageState, PageStyle, Pages};
use cxone_core::{Config, Engine, Failure, Head, Input, Instant, Job, Now, Output, Verdict, Wall};
use proptest::prelude::*;

const DAY: u64 = 1_795_392_000_000;
const MINUTE: u64 = 60_000;

/// Records by number; those that are added come last. Three share a time.
struct Server {
    n: u64,
    sizes: Vec<u64>,
    answers: usize,
}

#[derive(Default)]
struct Answer {
    status: u16,
    records: Vec<u64>,
    next: Option<String>,
    total: Option<u64>,
}

impl Server {
    fn answer(&mut self, style: &PageStyle, request: &PageRequest) -> Answer {
        let value = |name| request.query.iter().find(|(it, _)| *it == name).map(|(_, it)| &**it);
        let number = |text: Option<&str>| text.map_or(0, |text| text.parse::<u64>().unwrap());
        let size = self.sizes[self.answers % self.sizes.len()];
        self.answers += 1;
        let from = |first: u64| -> Vec<u64> { (first..self.n.min(first + size)).collect() };
        let end = |records: &[u64], first: u64| first + records.len() as u64;
        let total = Some(self.n).filter(|_| !style.total_field().is_empty());
        let (records, next) = match style.name() {
            "links" => {
                let first = number(request.link.as_ref().and_then(|it| it.rsplit('=').next()));
                let records = from(first);
                let end = end(&records, first);
                (records, (end < self.n).then(|| format!("https://h.example/x?skip={end}")))
            }
            "updated-since" => {
                let since = value("updatedSince").unwrap();
                let time = |record: u64| format!("2026-11-23T00:00:00.{:03}Z", record / 3);
                let first = (0..self.n).find(|record| *time(*record) >= *since);
                let Some(first) = first else { return Answer { status: 204, ..Answer::default() } };
                // Of one time it can send all, and one more.
                let records: Vec<u64> = (first..self.n.min(first + size.max(4))).collect();
                let next = records.last().map(|record| time(*record));
                (records, next)
            }
            "windows" => {
                let minute = |name| {
                    let time = value(name).unwrap();
                    let part = |range: Range<usize>| time[range].parse::<u64>().unwrap();
                    part(11..13) * 60 + part(14..16)
                };
                (
                    ((minute("startDate")..minute("endDate")).filter(|it| *it < self.n)).collect(),
                    None,
                )
            }
            "search" => (from(number(value("skip"))), None),
            name => {
                let scrolls = name == "scroll";
                let first = number(value(if scrolls { "scrollToken" } else { "cursor" }));
                let records = from(first);
                let end = end(&records, first);
                (records, (end < self.n || scrolls).then(|| end.to_string()))
            }
        };
        Answer { status: 200, records, next, total }
    }
}

/// What becomes of an attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Answered,
    Throttled,
    Unauthorized,
    Reset,
    Unwell,
}

/// What becomes of the process once a page has come.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Process {
    GoesOn,
    KilledBeforeItIsKept,
    KilledAfterwards,
}

/// An engine in virtual time, with one request at a time.
struct Client {
    engine: Engine,
    clock: Instant,
}

impl Client {
    fn new() -> Client {
        let engine = Engine::new(Config::default(), 7, at(Instant::ORIGIN)).unwrap();
        Client { engine, clock: Instant::ORIGIN }
    }

    /// Sends a request through whatever the fates have for it. `None`: it ended with an error.
    fn send(
        &mut self,
        fates: &mut dyn FnMut() -> Fate,
        mut serve: impl FnMut() -> Answer,
    ) -> Option<Answer> {
        let job = Job { auth: true, ..Job::default() };
        self.engine.submit(job, at(self.clock)).unwrap();
        let mut answer = None;
        loop {
            let Some(output) = self.engine.poll_output() else {
                let (next, _) = self.engine.poll_timeout().expect("it waits for something");
                self.clock = next;
                self.engine.handle_timeout(at(next));
                continue;
            };
            let now = at(self.clock);
            match output {
                Output::FetchToken { generation } => {
                    self.engine.handle_input(Input::Token { generation, lifetime: None }, now);
                }
                Output::Send { attempt, .. } => {
                    let fate = fates();
                    let status = match fate {
                        Fate::Answered => {
                            let served = serve();
                            let status = served.status;
                            answer = Some(served);
                            status
                        }
                        Fate::Throttled => 429,
                        Fate::Unauthorized => 401,
                        Fate::Unwell => 503,
                        Fate::Reset => {
                            let failure = Failure::Reset;
                            self.engine.handle_input(Input::Failed { attempt, failure }, now);
                            continue;
                        }
                    };
                    let head = Head { status, headers: &[], redirect: false };
                    self.engine.handle_input(Input::Head { attempt, head }, now);
                }
                Output::Body { attempt, verdict: Verdict::Read | Verdict::Drain } => {
                    self.engine.handle_input(Input::Done { attempt }, now);
                }
                Output::Finish { result, .. } => return answer.filter(|_| result.is_ok()),
                _ => {}
            }
        }
    }
}

fn at(clock: Instant) -> Now {
    Now::new(clock, Wall::from_millis(DAY + clock.as_nanos() / 1_000_000))
}

fn fields<'a>(answer: &'a Answer, body: PageBody) -> PageFields<'a> {
    PageFields {
        status: answer.status,
        body,
        items: Some(answer.records.len() as u64),
        next: answer.next.as_deref().map_or(NextField::Absent, NextField::Text),
        total: answer.total,
        fingerprints: &answer.records,
        origin: "https://h.example",
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Answered),
        1 => Just(Fate::Throttled),
        1 => Just(Fate::Unauthorized),
        1 => Just(Fate::Reset),
        1 => Just(Fate::Unwell),
    ]
}

fn process() -> impl Strategy<Value = Process> {
    use Process::{GoesOn, KilledAfterwards, KilledBeforeItIsKept};
    prop_oneof![3 => Just(GoesOn), 1 => Just(KilledBeforeItIsKept), 1 => Just(KilledAfterwards)]
}

proptest! {
    #[test]
    fn every_style_brings_each_record_once_whatever_happens(
        style in 0..7_usize,
        n in 0..60_u64,
        sizes in prop::collection::vec(1..9_u64, 1..5),
        fates in prop::collection::vec(fate(), 1..60),
        processes in prop::collection::vec(process(), 1..40),
        added in prop::collection::vec(0..3_u64, 0..12),
    ) {
        let name = PageStyle::all_names().nth(style).unwrap();
        let style = PageStyle::named(name).unwrap().items("x").since(Wall::from_millis(DAY));
        let style = style.until(Wall::from_millis(DAY + 120 * MINUTE));
        let style = style.window(Duration::from_millis(7 * MINUTE));
        let mut server = Server { n, sizes, answers: 0 };
        let (mut kept, mut checkpoint) = (Vec::new(), PageState::default());
        let (mut drawn, mut reopened) = (0, false);
        let mut fates = || {
            drawn += 1;
            // Not for ever: a server that never answers is no server.
            if drawn < 400 { fates[drawn % fates.len()] } else { Fate::Answered }
        };
        let (mut pages, mut client) = (Pages::new(style.clone()), Client::new());
        for round in 0..2000 {
            let Some(request) = pages.request() else { break };
            let sent = client.send(&mut fates, || server.answer(&style, &request));
            let Some(answer) = sent else {
                // It ended with an error: who runs it runs it again.
                (pages, client) = (Pages::resume(style.clone(), checkpoint.clone()), Client::new());
                continue;
            };
            let body = if answer.status == 204 { PageBody::Empty } else { PageBody::Object };
            let fresh = answer.records.iter().copied();
            let fresh: Vec<u64> =
                fresh.filter(|it| !style.overlaps() || !pages.is_repeated(*it)).collect();
            let step = pages.answer(fields(&answer, body)).map_err(|error| {
                TestCaseError::fail(format!("{name} {request:?}: {error}"))
            })?;
            prop_assert_eq!(step.items, fresh.len() as u64);
            let end = if round < 400 { processes[round % processes.len()] } else { Process::GoesOn };
            if end != Process::KilledBeforeItIsKept {
                kept.extend(fresh);
                let text = serde_json::to_string(&pages.state()).unwrap();
                checkpoint = serde_json::from_str(&text).unwrap();
            }
            if end != Process::GoesOn {
                (pages, client) = (Pages::resume(style.clone(), checkpoint.clone()), Client::new());
            }
            if !pages.is_done() && !reopened {
                server.n += added.get(round).copied().unwrap_or(0);
            }
            if pages.is_done() && style.overlaps() && !reopened {
                // What is added within a millisecond that was read comes with the next run.
                reopened = true;
                checkpoint = checkpoint.reopen();
                pages = Pages::resume(style.clone(), checkpoint.clone());
            }
        }
        prop_assert!(pages.is_done(), "{} does not end", name);
        prop_assert_eq!(pages.position().items, kept.len() as u64);
        if name == "windows" {
            // What is added to a window that was read already is missed; nothing else is.
            let once: BTreeSet<u64> = kept.iter().copied().collect();
            prop_assert_eq!(once.len(), kept.len());
            prop_assert!((0..n).all(|it| once.contains(&it)));
            prop_assert!(once.iter().all(|it| *it < server.n));
        } else {
            prop_assert_eq!(kept, (0..server.n).collect::<Vec<_>>(), "{}", name);
        }
    }
}
