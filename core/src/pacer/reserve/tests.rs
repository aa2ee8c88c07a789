use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(100);
const RESET: Instant = Instant::from_millis(1_000_000);

fn permit(at_millis: u64, left: u64, kept: u64) -> Permit {
    Reserve::permit(Instant::from_millis(at_millis), left, kept, RESET, WINDOW, false)
}

fn permit_but_the_last(at_millis: u64, left: u64, kept: u64) -> Permit {
    Reserve::permit(Instant::from_millis(at_millis), left, kept, RESET, WINDOW, true)
}

/// A reserve that saw so many urgent ones in the window before, and so many in this one.
fn seen(before: u64, now: u64) -> Reserve {
    Reserve { now, before }
}

#[test]
fn what_is_beyond_the_reserve_goes_at_once() {
    assert_eq!(permit(900_000, 5, 4), Permit::Now);
    assert_eq!(permit(900_000, 1, 0), Permit::Now, "nothing is kept");
}

#[test]
fn the_fewer_are_kept_the_more_of_the_window_is_over() {
    // Of four, n are kept for n quarters of the first 97.5 s, counted from the end, and 2.5 s more.
    assert_eq!(permit(900_000, 4, 4), Permit::Now, "all of them at the very beginning");
    assert_eq!(permit(900_000, 3, 4), Permit::At(Instant::from_millis(924_375)));
    assert_eq!(permit(900_000, 2, 4), Permit::At(Instant::from_millis(948_750)));
    assert_eq!(permit(900_000, 1, 4), Permit::At(Instant::from_millis(973_125)));
    assert_eq!(permit(973_125, 1, 4), Permit::Now);
}

#[test]
fn in_the_last_fortieth_nothing_is_kept() {
    assert_eq!(permit(997_499, 1, u64::MAX), Permit::At(Instant::from_millis(997_500)));
    assert_eq!(permit(997_500, 1, u64::MAX), Permit::Now);
}

#[test]
fn where_urgent_ones_came_lately_the_last_one_is_kept_until_then() {
    let until = |millis| Permit::At(Instant::from_millis(millis));
    assert_eq!(permit_but_the_last(900_000, 3, 4), until(948_750), "as two else");
    assert_eq!(permit_but_the_last(900_000, 1, 4), until(997_500));
    assert_eq!(permit_but_the_last(900_000, 0, 0), until(997_500), "nothing is divided by");
    assert!(!seen(0, 0).is_wanted());
    assert!(seen(1, 0).is_wanted() && seen(0, 1).is_wanted());
}

#[test]
fn as_many_are_kept_as_the_window_before_used_and_this_one_has_not() {
    assert_eq!(seen(5, 2).as_before(100), 3);
    assert_eq!(seen(2, 5).as_before(100), 0);
    assert_eq!(seen(80, 0).as_before(100), 25, "a quarter at most");
    let mut reserve = Reserve::default();
    for high in [true, false, true] {
        reserve.sent(high);
    }
    assert_eq!(reserve.as_before(100), 0, "there was no window before");
    reserve.roll();
    assert_eq!(reserve.as_before(100), 2);
    reserve.sent(true);
    assert_eq!(reserve.as_before(100), 1);
    reserve.roll();
    assert_eq!(reserve.as_before(100), 1, "only the last window counts");
}

#[test]
fn of_a_quota_that_is_told_a_sixteenth_is_kept_or_more_if_more_were_needed() {
    assert_eq!(seen(0, 0).ample(160), 10);
    assert_eq!(seen(20, 3).ample(160), 21);
    assert_eq!(seen(3, 20).ample(160), 21);
    assert_eq!(seen(1000, 0).ample(160), 40, "a quarter at most");
    assert_eq!(seen(0, 0).ample(8), 1);
    assert_eq!(seen(0, 0).ample(3), 0, "of three none can be kept");
}

proptest! {
    #[test]
    fn a_request_is_kept_until_the_window_ends_at_most(
        now: u64, left: u64, kept: u64, reset: u64, window: u64, extra: u32, last: bool,
    ) {
        let window = Duration::new(window, extra % 1_000_000_000);
        let (now, reset) = (Instant::from_nanos(now), Instant::from_nanos(reset));
        match Reserve::permit(now, left, kept, reset, window, last) {
            Permit::At(at) => prop_assert!(at > now && at <= reset),
            permit => prop_assert_eq!(permit, Permit::Now),
        }
    }
}
