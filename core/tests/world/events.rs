//! What may happen, and how often: the events of a history, and the settings it is played with.

use std::time::Duration;

use cxone_core::{Backoff, Config, KnownLimit, Pacing, ScopeConfig};
use proptest::prelude::*;

use super::answers::{Answer, answer};

/// The sets of scopes that requests name.
pub(crate) const SCOPE_SETS: [&[&str]; 7] =
    [&[], &["a"], &["b"], &["a", "wide"], &["b", "wide"], &["wide"], &["poll"]];
pub(crate) const LIMITED: &str = "b";
pub(crate) const LIMITED_TO: u32 = 2;
pub(crate) const POLLS: u32 = 1;

/// What is paused and resumed; `None` is everything.
pub(crate) const HOLDS: [Option<&str>; 4] = [None, Some("a"), Some("wide"), Some("default")];

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Submit {
        class: usize,
        scopes: usize,
        auth: bool,
        replay: usize,
        stream: bool,
        timeout: Option<u64>,
        deadline: Option<u64>,
    },
    Cancel(usize),
    /// An answer to one of the attempts in flight.
    Answer(usize, Answer),
    /// The answer of the server that keeps a limit.
    Serve(usize),
    /// The body of an answered attempt is complete.
    Complete(usize),
    Fail {
        which: usize,
        failure: usize,
    },
    Advance(u64),
    /// Jump to the engine's next deadline.
    Step,
    /// The host's clock goes back.
    Back(u64),
    /// Seldom, and then mostly with a drain.
    Close(u32),
    Pause(usize),
    Resume(usize),
    Concurrency(u32),
    TokenOk {
        lifetime: Option<u64>,
    },
    TokenFail {
        status: u16,
    },
    /// Inputs about what is over, or never was.
    Stale(usize),
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop_oneof![
        8 => submit(0..SCOPE_SETS.len(), 0.6, 0.2),
        1 => any::<usize>().prop_map(Cancel),
        8 => (any::<usize>(), answer()).prop_map(|(which, answer)| Answer(which, answer)),
        8 => any::<usize>().prop_map(Complete),
        2 => (any::<usize>(), 0..6usize).prop_map(|(which, failure)| Fail { which, failure }),
        3 => (0u64..20_000).prop_map(Advance),
        4 => Just(Step),
        1 => (0u64..20_000).prop_map(Back),
        1 => (0..60u32).prop_map(Close),
        1 => (0..4usize).prop_map(Pause),
        2 => (0..4usize).prop_map(Resume),
        1 => (1u32..10).prop_map(Concurrency),
        3 => prop::option::of(0u64..200).prop_map(|lifetime| TokenOk { lifetime }),
        1 => prop_oneof![4 => Just(503u16), 1 => Just(400)].prop_map(|status| TokenFail { status }),
        1 => any::<usize>().prop_map(Stale),
    ]
}

/// Of a busy client whose requests share two scopes, so that a pacer comes to believe something:
/// many answers, mostly of a server that keeps a limit, and little else.
pub(crate) fn busy_event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop_oneof![
        10 => submit(1..4, 0.0, 0.0),
        2 => (any::<usize>(), answer()).prop_map(|(which, answer)| Answer(which, answer)),
        12 => any::<usize>().prop_map(Serve),
        12 => any::<usize>().prop_map(Complete),
        1 => (any::<usize>(), 0..6usize).prop_map(|(which, failure)| Fail { which, failure }),
        4 => (0u64..2000).prop_map(Advance),
        1 => (0u64..8_000_000).prop_map(Advance),
        8 => Just(Step),
        1 => any::<usize>().prop_map(Cancel),
        1 => (1u32..10).prop_map(Concurrency),
    ]
}

fn submit(scopes: std::ops::Range<usize>, auth: f64, stream: f64) -> impl Strategy<Value = Event> {
    let within = |share, millis| prop::option::weighted(share, 0u64..millis);
    let auth = prop::bool::weighted(auth);
    let stream = prop::bool::weighted(stream);
    let times = (within(0.2, 60_000), within(0.1, 9_000));
    (0..3usize, scopes, auth, 0..3usize, stream, times).prop_map(
        |(class, scopes, auth, replay, stream, (deadline, timeout))| Event::Submit {
            class,
            scopes,
            auth,
            replay,
            stream,
            timeout,
            deadline,
        },
    )
}

/// Settings of which each changes what ends a request, or when.
pub(crate) fn settings() -> impl Strategy<Value = Config> {
    let time = |default: u64| {
        prop_oneof![
            4 => Just(Duration::from_secs(default)),
            1 => (1u64..60_000).prop_map(Duration::from_millis),
            1 => Just(Duration::MAX),
        ]
    };
    let base = prop_oneof![Just(1u64), Just(1000)].prop_map(Duration::from_millis);
    let paced = (pacing(), prop::option::of(pacing()), prop::option::of(pacing()));
    let counts = (1u32..9, 1u32..6, 2u32..17);
    (counts, time(3600), time(900), time(15), time(30), base, paced).prop_map(
        |(
            (concurrency, attempts, fair_share),
            retry_for,
            max_wait,
            timeout,
            cooldown,
            base,
            paced,
        )| {
            let (pacing, limited, polls) = paced;
            let scope = |name: &str, concurrency, apart, pacing| ScopeConfig {
                name: name.into(),
                concurrency: Some(concurrency),
                apart,
                pacing,
            };
            Config {
                concurrency,
                max_attempts: attempts,
                fair_share,
                retry_for,
                max_wait,
                attempt_timeout: timeout,
                token_cooldown: cooldown,
                backoff: Backoff { base, ..Backoff::default() },
                queue_limit: 40,
                pacing,
                scopes: vec![
                    scope(LIMITED, LIMITED_TO, false, limited),
                    scope("poll", POLLS, true, polls),
                ],
                ..Config::default()
            }
        },
    )
}

fn pacing() -> impl Strategy<Value = Pacing> {
    prop_oneof![
        4 => Just(Pacing::Learned),
        2 => Just(Pacing::Off),
        1 => known().prop_map(Pacing::Fixed),
        2 => known().prop_map(Pacing::Seeded),
    ]
}

fn known() -> impl Strategy<Value = KnownLimit> {
    let requests = prop_oneof![8 => 1u32..40, 1 => Just(u32::MAX)];
    let per = prop_oneof![1 => Just(1u64), 4 => 1u64..60_000, 1 => Just(3_600_000)];
    let burst = prop_oneof![8 => 1u32..40, 1 => Just(u32::MAX)];
    (requests, per, prop::option::of(burst)).prop_map(|(requests, per, burst)| KnownLimit {
        requests,
        per: Duration::from_millis(per),
        burst,
    })
}
