use proptest::prelude::*;

use super::super::testing::{at, mark, ms};
use super::*;

/// 2026-11-23T00:00:00Z: all of the clock's windows begin.
const MIDNIGHT: u64 = 1_795_392_000_000;

/// The wall clock of tests that are not about it: a refusal is just after a minute's beginning.
fn wall(_: u64) -> Wall {
    Wall::from_millis(MIDNIGHT + 362_000)
}

/// A search from a window that began at 0, after a refusal then, with the scope open again then.
fn search(quota: u64, refused: u64, opens: u64) -> Search {
    let mut search = Search::new(quota, mark(0, 0));
    search.refused(at(opens), wall(refused), at(refused));
    search
}

#[test]
fn a_probe_is_a_little_later_than_computed() {
    assert_eq!(slack(ms(1000)), ms(30));
    assert_eq!(slack(ms(10_000)), ms(100));
    assert_eq!(slack(ms(300_000)), ms(250));
}

#[test]
fn a_length_is_one_that_people_choose_but_for_the_rounding_of_seconds() {
    let standard = |millis| standard(ms(millis)).map(|length| length.as_secs());
    assert_eq!(standard(58_500), Some(60));
    assert_eq!(standard(61_500), Some(60));
    assert_eq!(standard(61_501), None);
    assert_eq!(standard(58_499), None);
    assert_eq!(standard(1200), Some(1));
    assert_eq!(standard(1201), None, "a second is not rounded by more than a fifth");
    assert_eq!(standard(918_000), Some(900), "a fiftieth of long ones");
    assert_eq!(standard(918_001), None);
}

#[test]
fn between_a_window_too_short_and_one_long_enough_is_one_that_people_choose_else_the_middle() {
    assert_eq!(between(ms(10_000), ms(300_000)), Some(ms(30_000)));
    assert_eq!(between(ms(60_000), ms(100_000)), Some(ms(80_000)));
    assert_eq!(between(ms(60_000), ms(67_500)), None, "less than an eighth is not worth it");
    assert_eq!(between(ms(60_000), ms(60_000)), None);
}

#[test]
fn the_longest_window_below_a_bound_counts_only_if_it_is_the_bound_but_for_rounding() {
    assert_eq!(standard_below(ms(61_099), ms(1100)), Some(ms(60_000)));
    assert_eq!(standard_below(ms(61_100), ms(1100)), None);
    assert_eq!(standard_below(ms(59_999), ms(1100)), None);
}

#[test]
fn a_stated_reset_tells_the_window_by_its_first_use_or_by_the_clock() {
    let window = |first, reset, now, wall| {
        window_of(at(first), at(reset), Wall::from_millis(wall), at(now)).map(|w| w.as_secs())
    };
    assert_eq!(window(10_000, 70_400, 30_000, MIDNIGHT + 7_000), Some(60), "since its first use");
    // First used 40 s before the reset, at which the clock begins a minute.
    assert_eq!(window(20_000, 60_000, 30_000, MIDNIGHT + 30_000), Some(60));
    // The same, but the clock then begins ten seconds only, which is shorter than what was seen.
    assert_eq!(window(20_000, 60_000, 30_000, MIDNIGHT + 40_000), None);
}

#[test]
fn the_next_probe_goes_when_a_window_may_have_ended() {
    // After 5 s at least half as long again is waited: 10 s and its slack is the next of the list.
    let waits = search(100, 5000, 6000);
    assert_eq!(waits.permit(at(10_099)), Permit::At(at(10_100)));
    assert_eq!(waits.permit(at(10_100)), Permit::Now);
    // After 10.1 s, 15.2 s is the least, and so 30 s.
    assert_eq!(search(100, 10_100, 11_000).permit(at(10_100)), Permit::At(at(30_250)));
}

#[test]
fn where_own_backoff_asks_for_more_that_is_waited() {
    assert_eq!(search(100, 5000, 11_000).permit(at(5000)), Permit::At(at(11_000)));
    assert_eq!(search(100, 4_000_000, 4_030_000).permit(at(4_000_000)), Permit::At(at(4_030_000)));
}

#[test]
fn what_is_soon_or_small_is_left_to_own_backoff() {
    assert_eq!(search(100, 2999, 4000).permit(at(2999)), Permit::At(at(4000)));
    assert_eq!(search(100, 3000, 4000).permit(at(3000)), Permit::At(at(5050)));
    assert_eq!(
        search(7, 5000, 6000).permit(at(5000)),
        Permit::At(at(6000)),
        "too few to be a quota"
    );
    assert_eq!(search(7, 9000, 16_999).permit(at(9000)), Permit::At(at(16_999)));
    assert_eq!(search(7, 9000, 17_000).permit(at(9000)), Permit::At(at(30_250)), "no hurry");
    assert_eq!(search(8, 9000, 10_000).permit(at(9000)), Permit::At(at(30_250)));
}

#[test]
fn a_probe_goes_when_the_clock_begins_a_minute_if_that_is_sooner() {
    let by_clock = |wall: u64| {
        let mut search = Search::new(100, mark(0, 0));
        search.refused(at(6000), Wall::from_millis(MIDNIGHT + wall), at(5000));
        search
    };
    let mut search = by_clock(57_000);
    assert_eq!(search.permit(at(5000)), Permit::At(at(8250)), "in 3 s and a little");
    let later = by_clock(56_000);
    assert_eq!(later.permit(at(5000)), Permit::At(at(10_100)), "which serves both, 0.85 s later");
    // It is let in: a window of the clock, of which so much is over.
    let Some(Found::Window(window)) = search.passed(mark(101, 8250), at(8350)) else {
        panic!("it is long");
    };
    assert_eq!(window.belief(102).window, Some(ms(60_000)));
    // It is refused: that was no reason to pass over the next of the list.
    search.refused(at(9350), Wall::from_millis(MIDNIGHT + 60_350), at(8350));
    assert_eq!(search.permit(at(8350)), Permit::At(at(10_100)));
    search.refused(at(11_000), Wall::from_millis(MIDNIGHT + 117_000), at(10_100));
    assert_eq!(search.permit(at(10_100)), Permit::At(at(30_250)), "no minute again");
}

#[test]
fn a_probe_that_is_let_in_within_8_s_found_a_window_that_is_better_used_evenly() {
    let search = search(100, 2999, 4000);
    let Some(Found::Rate(rate)) = search.passed(mark(101, 4000), at(4100)) else {
        panic!("it is short");
    };
    assert_eq!(rate.belief().interval, ms(40), "100 in 4 s");
    assert!(search.passed(mark(101, 3999), at(4100)).is_none(), "from before the probe");
}

#[test]
fn a_probe_that_is_let_in_later_found_a_window_of_the_list() {
    let search = search(100, 30_300, 33_000);
    let Some(Found::Window(window)) = search.passed(mark(101, 60_250), at(60_350)) else {
        panic!("it is long");
    };
    let belief = window.belief(102);
    assert_eq!((belief.requests, belief.window), (100, Some(ms(60_000))));
    assert_eq!(belief.resets, Some(at(120_600)), "a window and its slack after the answer");
    assert_eq!(belief.remaining, 99);
}

#[test]
fn a_window_that_is_found_is_longer_than_the_time_after_which_it_was_still_closed() {
    let search = search(100, 60_250, 61_000);
    let Some(Found::Window(window)) = search.passed(mark(101, 70_000_000), at(70_000_000)) else {
        panic!("it is long");
    };
    assert!(window.belief(102).window.is_none_or(|window| window > ms(60_250)));
}

#[test]
fn what_is_sought_is_told_as_such() {
    let belief = search(100, 5000, 6000).belief();
    assert_eq!((belief.requests, belief.remaining, belief.window), (100, 0, None));
    assert_eq!(belief.basis, Basis::Sought);
}

proptest! {
    #[test]
    fn a_probe_is_never_before_own_backoff_and_never_far_beyond_an_hour_after_it(
        quota: u64, first: u64, refused: u64, rest in 0u64..3_600_000, clock: u64,
    ) {
        let (first, now) = (Instant::from_nanos(first.min(refused)), Instant::from_nanos(refused));
        let opens = now + ms(rest);
        let mut search = Search::new(quota, Mark { seq: 0, at: first });
        search.refused(opens, Wall::from_millis(clock), now);
        prop_assert!(search.next >= opens);
        prop_assert!(search.next <= opens + ms(3_601_000));
        prop_assert_eq!(search.permit(search.next), Permit::Now);
        let probe = Mark { seq: 1, at: search.next };
        prop_assert!(search.passed(probe, Instant::FAR).is_some());
    }

    #[test]
    fn any_two_lengths_have_a_third_between_or_none(shorter: u64, longer: u64) {
        let (shorter, longer) = (Duration::from_secs(shorter), Duration::from_secs(longer));
        if let Some(between) = between(shorter, longer) {
            prop_assert!(between > shorter && between < longer);
        }
        let at = Instant::from_nanos(longer.as_secs());
        let clock = Wall::from_millis(u64::MAX - longer.as_secs() % 2);
        let window = window_of(at, Instant::FAR, clock, Instant::ORIGIN);
        prop_assert!(window.is_none_or(|window| window <= Duration::from_secs(3672)));
    }
}
