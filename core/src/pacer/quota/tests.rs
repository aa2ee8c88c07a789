use proptest::prelude::*;

use super::super::testing::{HIGH, LOW, at, mark, ms, silent, stated};
use super::*;

fn wall() -> Wall {
    Wall::from_millis(1_795_392_362_000) // 2 s after the clock has begun a minute
}

const LAST: Asker = Asker { high: false, backlog: 1 };

/// Met by the refusal of the eleventh of those sent from 0 on, which stated 9 s at 1 s.
fn met() -> Window {
    Window::met(10, mark(0, 0), at(10_000), wall(), at(1000))
}

/// Uses a window of ten up from its first request on, each of which takes 100 ms.
fn use_up(window: &mut Window, first: u64, from: u64) {
    for n in 0..10 {
        let sent = mark(first + n, from + 100 * n);
        assert_eq!(window.permit(sent.at, sent.seq, 0, LOW, true), Permit::Now, "{n}");
        window.sent(sent, false);
        assert!(!window.passed(sent, at(from + 100 * n + 100), true), "as many as it holds");
    }
}

#[test]
fn a_window_that_is_met_is_what_was_accepted_until_the_stated_reset() {
    let window = met();
    let belief = window.belief(11);
    assert_eq!((belief.requests, belief.window), (10, Some(ms(10_000))));
    assert_eq!((belief.remaining, belief.resets), (0, Some(at(10_000))));
    assert_eq!(belief.basis, Basis::Measured);
    assert_eq!(window.permit(at(9999), 11, 0, LOW, true), Permit::At(at(10_000)));
    assert_eq!(window.permit(at(10_000), 11, 0, LOW, true), Permit::Now);
}

#[test]
fn refusals_of_the_same_event_were_taken_for_accepted() {
    let mut window = met();
    for seq in [0, 5, 6] {
        window.refused_again(mark(seq, 500));
    }
    assert_eq!(window.belief(11).requests, 7);
    window.sent(mark(11, 10_000), false);
    window.refused_again(mark(8, 500));
    assert_eq!(window.belief(11).requests, 7, "of the window before");
}

#[test]
fn the_next_window_is_dated_from_the_answer_to_its_first_request_and_a_little_later() {
    let mut window = met();
    window.sent(mark(11, 10_050), false);
    assert_eq!(window.belief(12).resets, Some(at(20_150)), "10 s and a hundredth, until answered");
    window.passed(mark(11, 10_050), at(10_250), true);
    assert_eq!(window.belief(12).resets, Some(at(20_350)));
    window.sent(mark(12, 10_300), false);
    window.passed(mark(12, 10_300), at(10_500), true);
    assert_eq!(window.belief(13).resets, Some(at(20_350)), "only by the first");
    assert_eq!(window.belief(13).remaining, 8);
}

#[test]
fn requests_go_no_faster_than_at_first_one_then_two_then_one_more_for_each_answer() {
    let mut window = met();
    window.sent(mark(11, 10_000), false);
    assert_eq!(window.permit(at(10_000), 12, 1, LOW, true), Permit::Full);
    window.passed(mark(11, 10_000), at(10_100), true);
    assert_eq!(window.permit(at(10_100), 12, 1, LOW, true), Permit::Now);
    assert_eq!(window.permit(at(10_100), 13, 2, LOW, true), Permit::Full);
    window.passed(mark(12, 10_100), at(10_200), true);
    assert_eq!(window.permit(at(10_200), 13, 2, LOW, true), Permit::Now);
    assert_eq!(window.permit(at(10_200), 13, 3, LOW, true), Permit::Full);
}

#[test]
fn the_quota_is_used_exactly() {
    let mut window = met();
    use_up(&mut window, 11, 10_000);
    assert_eq!(window.belief(21).remaining, 0);
    assert_eq!(window.permit(at(11_000), 21, 0, LOW, true), Permit::At(at(20_200)));
    assert_eq!(window.permit(at(11_000), 21, 0, HIGH, true), Permit::At(at(20_200)));
}

#[test]
fn a_few_that_are_left_are_tried_since_they_would_wait_for_a_window_of_their_own() {
    let mut window = met();
    let few = |backlog| Asker { backlog, ..LOW };
    assert_eq!(window.permit(at(5000), 11, 0, LAST, true), Permit::At(at(10_000)), "it is full");
    use_up(&mut window, 11, 10_000);
    assert_eq!(window.permit(at(11_000), 21, 0, few(2), true), Permit::Now, "a quarter");
    assert_eq!(window.permit(at(11_000), 21, 0, few(3), true), Permit::At(at(20_200)));
    assert_eq!(window.permit(at(11_000), 21, 1, few(2), true), Permit::AfterAnswer, "by itself");
    assert_eq!(window.permit(at(11_000), 21, 0, few(2), false), Permit::At(at(20_200)));
}

#[test]
fn after_three_clean_windows_one_more_is_tried_and_then_after_more() {
    let mut window = met();
    // The one in which it was met does not count.
    let (mut seq, mut now) = (11, 10_000);
    for clean in 0..2 {
        use_up(&mut window, seq, now);
        assert_eq!(window.clean, clean);
        (seq, now) = (seq + 10, now + 10_200);
        assert_ne!(window.permit(at(now - 9000), seq, 0, LOW, true), Permit::Now, "{clean}");
    }
    window.too_short = ms(9_990); // so that no shorter window is tried instead
    use_up(&mut window, seq, now);
    assert_eq!(window.permit(at(now + 1000), seq + 10, 0, LOW, true), Permit::Now);
    window.sent(mark(seq + 10, now + 1000), false);
    assert_eq!(window.permit(at(now + 1000), seq + 11, 1, LOW, true), Permit::AfterAnswer);
    // If it is accepted the quota has grown, and another is tried.
    assert!(window.passed(mark(seq + 10, now + 1000), at(now + 1100), true));
    assert_eq!(window.belief(seq + 11).requests, 11);
    assert_eq!(window.permit(at(now + 1100), seq + 11, 0, LOW, true), Permit::Now);
    // If that is refused, it is believed, and it takes longer until the next one.
    window.sent(mark(seq + 11, now + 1100), false);
    window.refused(mark(seq + 11, now + 1100), silent(now + 2000), wall(), at(now + 1200));
    assert_eq!(window.belief(seq + 12).requests, 11);
    assert_eq!((window.clean, window.try_after), (0, 2 * TRY_AFTER));
    let reset = at(now + 10_200);
    assert_eq!(window.permit(at(now + 1200), seq + 12, 0, LAST, true), Permit::At(reset));
}

#[test]
fn a_quota_that_is_fixed_never_grows() {
    let limit = KnownLimit { requests: 2, per: ms(1000), burst: None };
    let mut window = Window::known(limit);
    assert_eq!(window.belief(0).basis, Basis::Configured);
    for n in 0..6 {
        let (seq, from) = (2 * n, 2000 * n);
        for k in 0..2 {
            let sent = mark(seq + k, from + k);
            assert_eq!(window.permit(sent.at, sent.seq, 0, LOW, false), Permit::Now);
            window.sent(sent, false);
            assert!(!window.passed(sent, at(from + 100), false));
        }
        let next = at(from + 1130);
        assert_eq!(window.permit(at(from + 200), seq + 2, 0, LAST, false), Permit::At(next));
    }
}

#[test]
fn one_refusal_far_below_the_quota_is_bad_luck_and_a_second_is_believed() {
    let mut window = met();
    window.sent(mark(11, 10_000), false);
    window.passed(mark(11, 10_000), at(10_100), true);
    for seq in 12..15 {
        window.sent(mark(seq, 10_100), false);
    }
    assert!(window.refused(mark(14, 10_100), silent(11_000), wall(), at(10_200)).is_none());
    assert_eq!(window.belief(15).requests, 10, "three of ten");
    window.sent(mark(15, 11_000), false);
    assert!(window.refused(mark(15, 11_000), silent(13_000), wall(), at(11_100)).is_none());
    assert_eq!(window.belief(16).requests, 3, "3 were accepted, and one was refused before");
    assert_eq!(window.belief(16).resets, Some(at(20_200)));
}

#[test]
fn a_refusal_near_the_quota_is_believed_at_once() {
    let mut window = met();
    for seq in 11..17 {
        window.sent(mark(seq, 10_000), false);
    }
    window.refused(mark(16, 10_000), silent(11_000), wall(), at(10_200));
    assert_eq!(window.belief(17).requests, 5, "half of it");
}

#[test]
fn a_stated_wait_dates_the_window() {
    let mut window = met();
    for seq in 11..22 {
        window.sent(mark(seq, 10_000), false);
    }
    window.refused(mark(21, 10_000), stated(29_900, 0), wall(), at(10_200));
    let belief = window.belief(22);
    assert_eq!((belief.window, belief.resets), (Some(ms(30_000)), Some(at(40_100))));
}

#[test]
fn a_first_request_that_is_refused_is_of_the_window_before() {
    let mut window = met();
    window.sent(mark(11, 10_000), false);
    let search = window.refused(mark(11, 10_000), silent(11_000), wall(), at(10_100));
    let search = search.expect("nothing else tells when the next one begins");
    assert_eq!((search.quota(), search.first().seq), (10, 0), "counted from its first request");
    let mut window = met();
    window.sent(mark(11, 10_000), false);
    assert!(window.refused(mark(11, 10_000), stated(20_000, 0), wall(), at(10_100)).is_none());
    let belief = window.belief(12);
    assert_eq!((belief.window, belief.resets), (Some(ms(30_000)), Some(at(30_100))));
}

#[test]
fn a_shorter_window_is_tried_with_one_request_and_given_up_if_it_is_refused() {
    // Found by a probe after 10 s; a window of 300 s is believed, and one above 10 s is possible.
    let mut window = Window::found(10, mark(11, 0), Some(ms(300_000)), ms(10_000), at(100));
    let (mut seq, mut now) = (11, 0);
    for _ in 0..2 {
        use_up(&mut window, seq, now);
        (seq, now) = (seq + 10, now + 300_350);
    }
    use_up(&mut window, seq, now);
    assert_eq!(window.belief(seq + 10).window, Some(ms(300_000)));
    assert_eq!(window.belief(seq + 10).resets, Some(at(now + 100 + 30_000 + 250)));
    let early = now + 30_350;
    window.sent(mark(seq + 10, early), false);
    assert!(window.refused(mark(seq + 10, early), silent(early), wall(), at(early)).is_none());
    assert_eq!(window.too_short, ms(30_000));
    assert_eq!(
        window.belief(seq + 11).resets,
        Some(at(now + 300_500)),
        "from its first request on"
    );
    // Had it been let in, that would be its length.
    let mut window = Window::found(10, mark(11, 0), Some(ms(300_000)), ms(10_000), at(100));
    window.trying = Some(ms(30_000));
    window.passed(mark(11, 0), at(100), true);
    assert_eq!(window.belief(12).window, Some(ms(30_000)));
}

#[test]
fn a_refusal_that_is_soon_over_in_the_midst_of_a_window_is_about_something_else() {
    let mut window = met();
    window.sent(mark(11, 10_000), false);
    let (short, long) = (Some(ms(4999)), Some(ms(5000)));
    assert!(window.is_of(mark(11, 10_000), short), "the first of a window");
    assert!(!window.is_of(mark(12, 10_000), short));
    assert!(!window.is_of(mark(20, 10_000), short), "nine were used");
    assert!(window.is_of(mark(21, 10_000), short), "it is used up");
    assert!(window.is_of(mark(12, 10_000), long));
    assert!(window.is_of(mark(12, 10_000), None));
}

#[test]
fn a_part_is_kept_for_urgent_requests_of_whom_some_must_wait_anyway() {
    let mut window = met();
    for seq in 11..14 {
        window.sent(mark(seq, 10_000 + seq), true); // three urgent ones in the window before
        window.passed(mark(seq, 10_000 + seq), at(10_200), true);
    }
    window.sent(mark(14, 20_500), false);
    window.passed(mark(14, 20_500), at(20_600), true);
    for seq in 15..22 {
        window.sent(mark(seq, 20_600), false);
    }
    // Two are left, of three that were urgent before, and a quarter of ten is kept at most.
    assert_eq!(window.belief(22).remaining, 2);
    let kept = window.permit(at(20_700), 22, 0, LOW, true);
    assert!(matches!(kept, Permit::Now), "two of two are kept only from the beginning: {kept:?}");
    window.sent(mark(22, 20_700), false);
    // The last one is kept for the last half of 9.75 s, counted from 0.25 s before the end.
    let until = at(30_700 - 250 - 4875);
    assert_eq!(window.permit(at(20_700), 23, 0, LOW, true), Permit::At(until));
    assert_eq!(window.permit(at(20_700), 23, 0, HIGH, true), Permit::Now);
    assert_eq!(
        window.permit(at(20_700), 23, 0, LAST, true),
        Permit::Now,
        "it fits into what is left"
    );
}

proptest! {
    #[test]
    fn no_history_overflows_and_none_wedges(
        requests in 1u32.., per: u64, accepted: u64, began: u64, clock: u64, kind in 0u8..3,
        steps in prop::collection::vec((0u8..6, prop_oneof![0u64..100_000_000_000, Just(u64::MAX), any::<u64>()]), 0..200),
    ) {
        let first = Mark { seq: 0, at: Instant::from_nanos(began) };
        let (per, wall) = (Duration::from_secs(per), Wall::from_millis(clock));
        let mut window = match kind {
            0 => Window::known(KnownLimit { requests, per, burst: None }),
            1 => Window::met(accepted, first, first.at + per, wall, first.at),
            _ => Window::found(accepted, first, Some(per).filter(|_| clock % 2 == 0), per, first.at),
        };
        let (mut seq, mut now) = (1, first.at);
        for (step, number) in steps {
            let last = Mark { seq: seq - 1, at: now };
            match step {
                0 => now += Duration::from_nanos(number),
                1 => drop(window.passed(last, now, number % 4 > 0)),
                2 => window.refused_again(last),
                3 => {
                    let long = Duration::from_nanos(number);
                    let stated = Some(long).filter(|_| number % 2 == 0);
                    let refusal = Refusal { stated, opens: now + long, ..silent(0) };
                    let search = window.refused(last, refusal, wall, now);
                    prop_assert!(search.is_none_or(|search| search.permit(Instant::FAR) == Permit::Now));
                }
                _ => {
                    window.sent(Mark { seq, at: now }, number % 2 == 0);
                    seq += 1;
                }
            }
            prop_assert!(window.quota >= 1);
            let asker = Asker { high: number % 3 == 0, backlog: number };
            for in_flight in [0, 1, 65_535] {
                match window.permit(now, seq, in_flight, asker, true) {
                    Permit::At(at) => prop_assert!(at > now),
                    // Only what is in flight can end such a wait.
                    Permit::AfterAnswer | Permit::Full => prop_assert!(in_flight > 0),
                    Permit::Now => {}
                }
            }
        }
    }
}
