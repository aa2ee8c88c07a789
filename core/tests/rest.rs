//! How long a scope rests after a refusal that does not say, with a pacer that learns.

mod host;
mod servers;

use cxone_core::{Belief, Config, Instant, KnownLimit, Pacing, PauseReason};
use host::{Host, at_once, job, ms, secs};
use servers::{Bucket, LATENCY, Reply, play, play_until};

const BACKOFF: PauseReason = PauseReason::Backoff { status: 429 };
const PACE: PauseReason = PauseReason::Pace { status: 429 };

#[test]
fn t15_t16_a_server_that_refuses_everything_is_waited_for_by_own_backoff() {
    let trace = |pacing| {
        let mut host = Host::paced(Config { pacing, ..at_once(8) }, 7);
        host.submit_many(&job(), 20);
        let until = Instant::from_millis(300_000);
        play_until(&mut host, until, |_| LATENCY, |_| Reply::refused(None));
        let pauses = host.rests();
        assert!(pauses.iter().all(|(_, reason)| *reason == BACKOFF), "{pauses:?}");
        let belief = host.scope("default").expect("it is always there").belief;
        assert_eq!(belief, Belief::default(), "nothing was let in");
        (pauses.iter().map(|(wait, _)| wait.as_secs_f64()).collect::<Vec<_>>(), host.sends)
    };
    let (waits, sends) = trace(Pacing::Learned);
    for (wait, base) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
        assert!((base..base * 1.5).contains(wait), "{waits:?}");
    }
    assert!(waits.len() >= 9, "{waits:?}");
    assert_eq!((waits, sends), trace(Pacing::Off), "as if there were no pacer");
}

#[test]
fn a_refusal_that_the_rate_explains_does_not_close_the_gate_and_one_after_it_waits() {
    let mut host = Host::paced(at_once(8), 7);
    host.submit_many(&job(), 400);
    let mut server = Bucket { states: false, ..Bucket::new(ms(50), 5) };
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 400);
    let pauses = host.rests();
    let mut paces = pauses.iter().filter(|(_, reason)| *reason == PACE).peekable();
    assert!(paces.peek().is_some(), "{pauses:?}");
    assert!(paces.all(|(wait, _)| *wait <= secs(1)), "{pauses:?}");
    assert!(host.clock < Instant::from_millis(24_000), "{}", host.clock);
}

#[test]
fn a_limit_met_within_moments_is_asked_again_after_moments() {
    // Six at once, and one each 300 ms: two of eight are refused, after 100 ms.
    let mut host = Host::paced(at_once(8), 7);
    host.submit_many(&job(), 60);
    let mut server = Bucket { states: false, ..Bucket::new(ms(300), 6) };
    play(&mut host, |now| server.reply(now));
    assert_eq!(host.ended_well(), 60);
    assert_eq!(
        host.rests()[..2],
        [(ms(100), PACE), (ms(300), PACE)],
        "as long as it has been busy"
    );
}

/// Four go at once, and of the first answers these come, each a while after the one before. Says
/// what was told of pauses then, and when the next request leaves.
fn first_rest(config: Config, answers: &[(u16, u64)]) -> (Vec<PauseReason>, Instant) {
    let mut host = Host::paced(config, 7);
    host.submit_many(&job(), 8);
    let four = host.sent();
    for (attempt, (status, after)) in four.into_iter().zip(answers) {
        host.wait(ms(*after));
        drop(host.sent()); // what left before that answer
        host.answer(attempt, *status, &[]);
    }
    let reasons = host.rests().into_iter().map(|(_, reason)| reason).collect();
    while host.sent().is_empty() {
        host.step();
    }
    (reasons, host.clock)
}

#[test]
fn where_the_first_answers_are_refusals_it_is_awaited_whether_all_are() {
    let rest = |answers: &[(u16, u64)]| first_rest(at_once(4), answers);
    // One that is let in after them lets the next one go at once.
    assert_eq!(
        rest(&[(429, 2), (429, 0), (429, 0), (200, 18)]),
        (vec![], Instant::from_millis(20))
    );
    // If that comes soon, it is waited until the scope was busy twice as long as at first.
    assert_eq!(rest(&[(429, 15), (200, 3)]), (vec![], Instant::from_millis(30)));
    // If none is, the last one begins own backoff.
    let (told, next) = rest(&[(429, 2), (429, 0), (429, 0), (429, 18)]);
    assert_eq!(told, [BACKOFF]);
    let own = Instant::from_millis(1020)..Instant::from_millis(1521);
    assert!(own.contains(&next), "{next}");
    // What does not answer is not waited for for ever.
    assert_eq!(rest(&[(429, 2), (429, 0)]), (vec![], Instant::from_millis(1004)));
}

#[test]
fn own_backoff_stands_where_a_limit_cannot_be_one_of_moments() {
    let own = |told: (Vec<PauseReason>, Instant), from: u64| {
        let (reasons, next) = told;
        let own = Instant::from_millis(from)..Instant::from_millis(from + 501);
        assert!(reasons == [BACKOFF] && own.contains(&next), "{reasons:?} {next}");
    };
    // It lets requests through for a second.
    own(first_rest(at_once(4), &[(200, 10), (200, 0), (200, 0), (429, 990)]), 2000);
    // The one that is refused was out alone.
    own(first_rest(at_once(1), &[(429, 10)]), 1010);
    // Nothing is to be learned.
    let off = Config { pacing: Pacing::Off, ..at_once(4) };
    own(first_rest(off, &[(200, 10), (429, 10)]), 1020);
}

#[test]
fn x10_no_rest_is_shorter_than_a_stated_wait_that_is_not_believed() {
    let rest = |pacing, header: (&str, &str)| {
        let mut host = Host::paced(Config { pacing, ..at_once(4) }, 7);
        host.wait(secs(60)); // so that a burst is saved up
        host.submit_many(&job(), 8);
        let four = host.sent();
        host.wait(ms(10));
        host.ok(four[0]);
        host.ok(four[1]);
        drop(host.sent());
        host.answer(four[2], 429, &[header]);
        let refused = host.clock;
        host.ok(four[3]);
        while host.sent().is_empty() {
            host.step();
        }
        host.clock.saturating_since(refused)
    };
    // Met within moments, but that is not silent.
    assert!(rest(Pacing::Learned, ("retry-after", "0")) >= secs(1));
    assert!(rest(Pacing::Learned, ("retry-after-ms", "300")) >= secs(1));
    // The rate knows better, but not than the server.
    let known = KnownLimit { requests: 10, per: secs(1), burst: Some(8) };
    assert_eq!(rest(Pacing::Seeded(known), ("retry-after", "0")), ms(200));
    assert_eq!(rest(Pacing::Seeded(known), ("retry-after-ms", "300")), ms(300));
}
