use proptest::prelude::*;

use super::super::testing::{HIGH, LOW, at, mark, ms};
use super::*;

/// So many are left of ten, for so long.
fn left(remaining: u64, reset: u64) -> Announcement {
    Announcement { remaining, reset: ms(reset), quota: Some(10), window: None }
}

/// The first of three that were sent at 0 was answered at 100 ms: so many are left for 10 s.
fn seen(remaining: u64) -> Announced {
    let mut announced = Announced::default();
    assert!(announced.see(mark(0, 0), left(remaining, 10_000), 3, 2, at(100)));
    announced
}

fn ends(announced: &Announced) -> u64 {
    announced.budget.as_ref().expect("it is announced").ends
}

#[test]
fn what_is_in_flight_may_be_counted_already_or_not() {
    let announced = seen(5);
    // Five were left when there were two more in flight: three more may go.
    for seq in 3..6 {
        assert_eq!(announced.permit(at(200), seq, 2, HIGH), Permit::Now, "{seq}");
    }
    assert_eq!(announced.permit(at(200), 6, 5, HIGH), Permit::At(at(10_100)));
    let belief = announced.belief(3).expect("it is announced");
    assert_eq!((belief.requests, belief.remaining, belief.resets), (10, 3, Some(at(10_100))));
    assert_eq!(belief.basis, Basis::Announced);
}

#[test]
fn the_least_of_what_a_windows_answers_say_counts() {
    let mut announced = seen(5);
    // The answers to the other two, of which one was overtaken, and so says more than is left.
    assert!(!announced.see(mark(1, 0), left(3, 9000), 3, 1, at(200)));
    assert_eq!(ends(&announced), 5);
    announced.see(mark(2, 0), left(4, 9000), 3, 0, at(300));
    assert_eq!(ends(&announced), 5);
}

#[test]
fn an_answer_to_a_later_attempt_replaces_the_news() {
    let mut announced = seen(5);
    announced.see(mark(1, 0), left(3, 9000), 3, 1, at(200));
    // Sent after that news: what it says is newer, and more may be left than was thought.
    announced.see(mark(3, 300), left(3, 9000), 4, 0, at(400));
    assert_eq!(ends(&announced), 7);
}

#[test]
fn one_more_is_tried_by_itself_where_those_in_flight_were_counted_already() {
    let announced = seen(2);
    assert_eq!(ends(&announced), 3);
    assert_eq!(announced.permit(at(200), 3, 2, HIGH), Permit::At(at(10_100)));
    assert_eq!(announced.permit(at(200), 3, 0, HIGH), Permit::Now, "two were left");
    let mut announced = seen(1);
    announced.sent(mark(3, 200), false);
    assert_eq!(announced.permit(at(300), 4, 0, HIGH), Permit::At(at(10_100)), "and that was it");
}

#[test]
fn the_earliest_of_a_windows_dates_counts() {
    let mut announced = seen(5);
    announced.see(mark(1, 0), left(3, 9000), 3, 1, at(500));
    // 9.5 s: it is no window that people choose, since its first request.
    assert_eq!(announced.belief(3).and_then(|belief| belief.resets), Some(at(9500)));
    announced.see(mark(2, 0), left(2, 10_000), 3, 0, at(600));
    assert_eq!(announced.belief(3).and_then(|belief| belief.resets), Some(at(9500)));
}

#[test]
fn a_window_whose_length_is_announced_ends_so_long_after_its_first_answer() {
    let mut announced = Announced::default();
    let said = Announcement { window: Some(ms(9500)), ..left(5, 10_000) };
    announced.see(mark(0, 0), said, 1, 0, at(100));
    let belief = announced.belief(1).expect("it is announced");
    assert_eq!((belief.window, belief.resets), (Some(ms(9500)), Some(at(9600))));
}

/// A window of 10 s whose resets are rounded up: the first says 11 s after 10 s and a half.
fn dated() -> Announced {
    let mut announced = Announced::default();
    announced.see(mark(0, 0), left(5, 11_000), 1, 0, at(50));
    announced
}

#[test]
fn a_length_that_people_choose_is_guessed_and_tried_with_one_request() {
    let mut announced = dated();
    assert_eq!(announced.belief(1).and_then(|belief| belief.resets), Some(at(10_050)));
    assert_eq!(announced.permit(at(10_050), 6, 0, HIGH), Permit::Now);
    announced.sent(mark(6, 10_050), false);
    assert_eq!(announced.permit(at(10_060), 7, 1, HIGH), Permit::AfterAnswer);
    // It proves right.
    announced.see(mark(6, 10_050), left(9, 11_000), 7, 0, at(10_100));
    assert!(announced.proved);
    assert_eq!(announced.belief(7).and_then(|belief| belief.resets), Some(at(20_100)));
    assert_eq!(ends(&announced), 16);
}

#[test]
fn a_guess_that_proves_wrong_is_not_made_again() {
    let mut announced = dated();
    announced.sent(mark(6, 10_050), false);
    assert!(announced.is_to_blame(7));
    announced.see(mark(7, 11_000), left(9, 11_000), 8, 0, at(11_100));
    assert_eq!(announced.belief(8).and_then(|belief| belief.resets), Some(at(22_100)));
    assert!(!announced.coarse);
}

#[test]
fn a_date_that_proves_too_early_is_not_taken_for_the_earliest_again() {
    let mut announced = seen(5); // 10.1 s, of which nothing is guessed
    announced.sent(mark(8, 10_100), false);
    assert!(announced.is_to_blame(9));
    announced.see(mark(9, 11_000), left(9, 9000), 10, 0, at(11_100));
    announced.see(mark(10, 11_200), left(8, 9500), 11, 0, at(11_300));
    assert_eq!(announced.belief(11).and_then(|belief| belief.resets), Some(at(20_800)));
}

#[test]
fn after_a_reset_one_request_asks_unless_the_last_reset_made_the_budget_whole() {
    let mut announced = seen(5);
    announced.sent(mark(6, 10_100), false);
    assert_eq!(announced.permit(at(10_100), 7, 1, HIGH), Permit::AfterAnswer);
    assert_eq!(announced.permit(at(10_100), 7, 0, HIGH), Permit::Now, "it ended without an answer");
    announced.see(mark(6, 10_100), left(9, 10_000), 7, 0, at(10_200));
    // One of ten is used: it was made whole, and will be again.
    announced.sent(mark(16, 20_200), false);
    assert_eq!(ends(&announced), 26);
    assert_eq!(announced.permit(at(20_200), 25, 8, HIGH), Permit::Now);
    assert_eq!(announced.permit(at(20_200), 26, 8, HIGH), Permit::AfterAnswer);
    // Two of ten are missing: others use it, too.
    announced.see(mark(16, 20_200), left(7, 10_000), 17, 0, at(20_300));
    announced.sent(mark(24, 30_300), false);
    assert_eq!(ends(&announced), 25);
}

#[test]
fn news_of_the_window_before_are_none() {
    let mut announced = seen(5);
    announced.sent(mark(6, 10_100), false);
    assert!(!announced.see(mark(5, 9000), left(0, 1000), 7, 1, at(10_200)));
    assert_eq!(ends(&announced), 7);
}

#[test]
fn what_is_spent_is_closed_until_the_earliest_of_the_windows_dates() {
    let mut announced = seen(5);
    assert_eq!(announced.spent(at(12_300), at(300)), Some(at(10_100)), "rounded");
    assert_eq!(announced.permit(at(10_099), 3, 0, HIGH), Permit::At(at(10_100)));
    assert_eq!(announced.spent(at(10_100), at(400)), None, "as was known");
    assert_eq!(announced.spent(at(12_301), at(500)), Some(at(12_301)), "that is another one");
    assert_eq!(announced.spent(at(9000), at(600)), None, "it never opens earlier");
    assert_eq!(Announced::default().spent(at(500), at(500)), None, "it is over");
    assert_eq!(Announced::default().spent(at(12_300), at(300)), Some(at(12_300)));
}

#[test]
fn a_refusal_is_blamed_on_a_budget_that_is_used_up_or_just_reset() {
    let mut announced = seen(5);
    assert!(!announced.is_to_blame(5), "one was left");
    assert!(announced.is_live());
    assert!(announced.is_to_blame(6));
    assert!(!announced.is_live(), "it was wrong, and is forgotten");
}

#[test]
fn a_sixteenth_at_least_is_kept_for_urgent_requests() {
    let mut announced = Announced::default();
    let said = Announcement { quota: Some(160), ..left(160, 100_000) };
    announced.see(mark(0, 0), said, 1, 0, at(0));
    assert_eq!(ends(&announced), 161);
    assert_eq!(announced.permit(at(1000), 150, 0, LOW), Permit::Now, "eleven are left");
    assert_ne!(announced.permit(at(5000), 152, 0, LOW), Permit::Now, "nine");
    assert_eq!(announced.permit(at(5000), 152, 0, HIGH), Permit::Now);
    assert_eq!(announced.permit(at(9750), 152, 0, LOW), Permit::Now, "nine of ten, soon after");
    let fits = Asker { high: false, backlog: 9 };
    assert_eq!(announced.permit(at(5000), 152, 0, fits), Permit::Now, "it fits into what is left");
    let more = Asker { high: false, backlog: 12 };
    assert_eq!(announced.permit(at(5000), 152, 3, more), Permit::Now, "those in flight are of it");
    announced.sent(mark(152, 5000), true);
    let tail = Permit::At(at(97_500));
    assert_eq!(announced.permit(at(5000), 160, 0, LOW), tail, "another may come at any moment");
}

#[test]
fn however_far_the_reset_one_request_asks_anew_an_hour_after_the_last_news() {
    let mut announced = Announced::default();
    announced.see(mark(0, 0), left(1, u64::MAX), 1, 0, at(0));
    announced.sent(mark(1, 1000), false);
    announced.sent(mark(2, 2000), false); // and is lost, as the one before
    let hour = at(3_600_000);
    assert_eq!(announced.permit(at(3000), 3, 0, HIGH), Permit::At(hour));
    assert_eq!(announced.permit(hour, 3, 0, HIGH), Permit::Now);
    announced.sent(Mark { seq: 3, at: hour }, false);
    assert_eq!(announced.permit(hour, 4, 1, HIGH), Permit::AfterAnswer);
}

proptest! {
    #[test]
    fn no_announcement_overflows_and_none_wedges(
        steps in prop::collection::vec((0u8..6, any::<u64>(), any::<u64>(), 0u64..20), 0..200),
        start: u64,
    ) {
        let mut announced = Announced::default();
        let (mut seq, mut now) = (0u64, Instant::from_nanos(start));
        for (step, a, b, few) in steps {
            let extreme = |n: u64| match n % 4 { 0 => u64::MAX, 1 => 0, 2 => n, _ => n % 30 };
            let (a, b) = (extreme(a), extreme(b));
            let last = Mark { seq: seq.saturating_sub(few), at: now };
            match step {
                0 => now += Duration::from_nanos(a),
                1 => now += ms(few * 1000),
                2 => drop(announced.spent(now + Duration::from_secs(a), now)),
                3 => drop(announced.is_to_blame(seq)),
                4 if seq > 0 => {
                    let said = Announcement {
                        remaining: a,
                        reset: ms(b),
                        quota: Some(b).filter(|_| few % 2 == 0),
                        window: Some(Duration::from_secs(a)).filter(|_| few % 3 == 0),
                    };
                    announced.see(Mark { seq: last.seq.min(seq - 1), ..last }, said, seq, few as u32, now);
                }
                _ => {
                    announced.sent(Mark { seq, at: now }, few % 2 == 0);
                    seq += 1;
                }
            }
            for (in_flight, high) in [(0, true), (0, false), (65_535, true), (u32::MAX, false)] {
                match announced.permit(now, seq, in_flight, Asker { high, backlog: a }) {
                    Permit::At(at) => prop_assert!(at > now),
                    Permit::AfterAnswer | Permit::Full => prop_assert!(in_flight > 0),
                    Permit::Now => {}
                }
            }
            prop_assert_eq!(announced.belief(seq).is_some(), announced.is_live());
        }
    }
}
