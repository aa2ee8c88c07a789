//! The models against what was measured elsewhere: two simple clients, whose figures on the same
//! scenarios are known from runs of their real code in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::dice::Dice;
use crate::ideal::ideal_makespan;
use crate::server::{Door, Server, nanos};
use crate::suite::suite;

const MS: u64 = 1_000_000;
const LATENCY: u64 = 100 * MS;
const SLOTS: u32 = 8;

/// What a client waits after its n-th refusal of one request, given what was stated.
type Wait = fn(n: u32, stated: Option<Duration>, dice: &mut Dice) -> u64;

/// p-queue with p-retry: the request keeps its slot and is tried again after 1, 2, 4 … s, whatever
/// the server says.
fn p_retry(n: u32, _stated: Option<Duration>, _dice: &mut Dice) -> u64 {
    (1000 * MS) << n
}

/// The tutorial: what is stated or a second, doubled from refusal to refusal, cut at 30 s and
/// lengthened by up to half. The request keeps its slot meanwhile.
fn tutorial(n: u32, stated: Option<Duration>, dice: &mut Dice) -> u64 {
    let base = stated.map_or(1000 * MS, nanos);
    let bare = base.saturating_mul(1 << n.min(20)).min(30_000 * MS);
    bare + dice.below(bare / 2)
}

/// Makespan over its minimum, and refusals.
fn run(server: &Server, requests: u32, wait: Wait, seed: u64) -> (f64, u64) {
    let mut dice = Dice::new(seed);
    let mut door = Door::new(server, 0);
    let mut waiting = requests;
    let (mut refused, mut last) = (0, 0);
    // When attempts reach the limiter, and how often their requests were refused.
    let mut agenda: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    for _ in 0..SLOTS.min(requests) {
        waiting -= 1;
        agenda.push(Reverse((LATENCY / 2, 0)));
    }
    while let Some(Reverse((now, n))) = agenda.pop() {
        let turn = door.arrive(now);
        if turn.accepted {
            last = now + LATENCY / 2;
            if waiting > 0 {
                waiting -= 1;
                agenda.push(Reverse((now + LATENCY, 0)));
            }
        } else {
            refused += 1;
            let mut stated = door.headers(&turn, now).into_iter();
            let stated = stated.find(|(name, _)| *name == "retry-after");
            let stated = stated.map(|(_, secs)| Duration::from_secs(secs.parse().unwrap()));
            agenda.push(Reverse((now + LATENCY + wait(n, stated, &mut dice), n + 1)));
        }
    }
    let jobs = vec![Duration::ZERO; requests as usize];
    let latency = Duration::from_nanos(LATENCY);
    let ideal = ideal_makespan(server, latency, SLOTS, &jobs, Duration::ZERO);
    (last as f64 / nanos(ideal) as f64, refused)
}

fn scenario(name: &str) -> (Server, u32) {
    let found = suite().into_iter().find(|scenario| scenario.name == name);
    let found = found.expect("it is in the suite");
    (found.server, found.requests)
}

/// Makespan over its minimum and refusals, each the median of twenty seeds.
fn medians(name: &str, wait: Wait) -> (f64, u64) {
    let (server, requests) = scenario(name);
    let runs: Vec<_> = (0..20).map(|seed| run(&server, requests, wait, seed)).collect();
    let mut ratios: Vec<f64> = runs.iter().map(|run| run.0).collect();
    let mut refusals: Vec<u64> = runs.iter().map(|run| run.1).collect();
    ratios.sort_by(f64::total_cmp);
    refusals.sort_unstable();
    (ratios[10], refusals[10])
}

/// The buckets are left out, but for one: where a round trip takes exactly as long as a permit, one
/// slot alone can use the whole rate, and a millisecond more or less changes everything.
#[test]
fn two_simple_clients_draw_as_many_refusals_as_their_real_code_did() {
    for (name, wait, ratio, refusals) in [
        ("A", p_retry as Wait, 1.00, 192),
        ("B", p_retry, 1.00, 192),
        ("D", p_retry, 1.09, 192),
        ("A", tutorial, 1.04, 196),
        ("B", tutorial, 1.04, 257),
        ("D", tutorial, 1.32, 136),
        ("E", tutorial, 1.76, 42),
    ] {
        let found = medians(name, wait);
        assert!((found.0 / ratio - 1.0).abs() < 0.05, "{name}: {found:?}, measured {ratio}");
        let off = found.1.abs_diff(refusals) as f64 / refusals as f64;
        assert!(off < 0.06, "{name}: {found:?}, measured {refusals}");
    }
}
