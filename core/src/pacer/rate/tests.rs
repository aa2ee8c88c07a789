use proptest::prelude::*;

use super::super::testing::{at, mark, ms, silent, stated};
use super::*;

mod jam;
mod single_place;

const MS: u64 = 1_000_000;

/// Met with one in flight: three at 0, this one at 100 ms; the scope opens at 1100 ms.
fn met() -> Rate {
    Rate::met(3, 1, ms(100), mark(3, 100), mark(0, 0), at(1100))
}

/// So many are sent, one each 100 ms from then on, without trying to do better.
fn sends(rate: &mut Rate, first: u64, from: u64, count: u64) {
    for n in 0..count {
        rate.sent(mark(first + n, from + 100 * n), 1000, false);
    }
}

/// That, measured roughly after 40 were accepted in 4 s, and exactly after 40 more in 4.2 s.
fn exact() -> Rate {
    let mut rate = met();
    sends(&mut rate, 4, 1100, 40);
    rate.refused(mark(44, 5100), silent(5300));
    sends(&mut rate, 45, 5300, 40);
    rate.refused(mark(85, 9300), silent(9500));
    rate
}

#[test]
fn after_idling_a_part_of_the_burst_may_go_at_once_and_the_rest_follows_evenly() {
    let limit = KnownLimit { requests: 10, per: ms(1000), burst: Some(5) };
    let mut rate = Rate::known(limit, 5);
    // A quarter of five, rounded up, is left.
    for seq in 0..3 {
        assert_eq!(rate.permit(at(10_000)), Permit::Now);
        rate.sent(mark(seq, 10_000), 10, false);
    }
    assert_eq!(rate.permit(at(10_000)), Permit::At(at(10_100)));
    assert_eq!(rate.permit(Instant::from_nanos(10_100 * MS - 1)), Permit::At(at(10_100)));
    assert_eq!(rate.permit(at(10_100)), Permit::Now);
    rate.sent(mark(3, 10_100), 10, false);
    assert_eq!(rate.permit(at(10_100)), Permit::At(at(10_200)));
}

#[test]
fn a_search_begins_at_an_eighth_of_the_pace_that_was_refused() {
    let met = |in_flight, took| {
        let rate = Rate::met(20, in_flight, ms(took), mark(20, 100), mark(0, 0), at(1100));
        assert_eq!(rate.permit(at(1099)), Permit::At(at(1100)), "nothing goes before it opens");
        assert_eq!(rate.permit(at(1100)), Permit::Now);
        (rate.belief().interval, rate.belief().burst, rate.belief().basis)
    };
    assert_eq!(met(80, 100), (ms(10), 20, Basis::Sought));
    assert_eq!(met(15, 100), (ms(100), 20, Basis::Sought), "or one at a time");
    assert_eq!(met(1, 7000), (ms(1000), 20, Basis::Sought), "or one a second");
    assert_eq!(met(65_535, 0).0, Duration::from_nanos(FASTEST));
}

#[test]
fn a_short_window_is_used_evenly() {
    let rate = Rate::of_window(50, ms(2000), mark(50, 2100));
    let belief = rate.belief();
    assert_eq!((belief.interval, belief.burst, belief.basis), (ms(40), 1, Basis::Measured));
}

#[test]
fn what_was_accepted_after_a_rest_measures_a_rate_roughly() {
    let mut rate = met();
    sends(&mut rate, 4, 1100, 40);
    rate.refused(mark(44, 5100), silent(5300));
    // Of 40 in 4 s two were the burst, by which the bucket was full after a second's rest; one of
    // the three at first was gained in the 200 ms that they took.
    assert_eq!((rate.belief().interval, rate.burst), (Duration::from_nanos(4000 * MS / 38), 2));
    assert_eq!(rate.belief().basis, Basis::Measured);
    assert_eq!(rate.quality, Quality::Rough);
    assert_eq!(rate.hold_until, (5300 + 500) * MS);
    assert_eq!(rate.permit(at(5299)), Permit::At(at(5300)));
}

#[test]
fn between_two_empty_buckets_it_is_what_was_accepted_over_the_time() {
    let mut rate = exact();
    assert_eq!(rate.belief().interval, ms(105), "40 in 4.2 s");
    assert_eq!(rate.quality, Quality::Exact);
    assert_eq!(rate.hold_until, (9500 + 11_000) * MS);
    // One that agrees is added up: 42 more in 4.4 s.
    sends(&mut rate, 86, 9500, 42);
    rate.refused(mark(128, 13_700), silent(13_900));
    assert_eq!(rate.belief().interval, Duration::from_nanos(8600 * MS / 82));
    // One that does not replaces them: 20 in 4.2 s, where 40 were expected.
    for n in 0..20 {
        rate.sent(mark(129 + n, 13_900 + 200 * n), 1000, false);
    }
    rate.refused(mark(149, 17_900), silent(18_300));
    assert_eq!(rate.belief().interval, ms(210), "20 in 4.2 s");
}

#[test]
fn sixteen_measure_it_exactly() {
    let measured = |count| {
        let mut rate = met();
        sends(&mut rate, 4, 1100, 40);
        rate.refused(mark(44, 5100), silent(5300));
        sends(&mut rate, 45, 5300, count);
        rate.refused(mark(45 + count, 5300 + 100 * count), silent(9500));
        (rate.belief().interval, rate.accepted)
    };
    assert_eq!(measured(16), (Duration::from_nanos(112_500_000), 16), "16 in 1.8 s");
    assert_eq!(measured(15), (Duration::from_nanos(1700 * MS / 15), 0), "that is not added up");
}

#[test]
fn of_what_an_exact_rate_saves_at_rest_an_eighth_is_used() {
    let mut rate = exact();
    // Refused at 9300, open at 9500: 200 ms, by which two are saved up at 105 ms.
    let leave = |rate: &mut Rate, seq| {
        let now = Instant::from_nanos(rate.ready);
        rate.sent(Mark { seq, at: now }, 1000, false);
        Duration::from_nanos(rate.ready - now.as_nanos())
    };
    let sooner = ms(105) / 8;
    assert_eq!(leave(&mut rate, 86), ms(105) - sooner);
    assert_eq!(leave(&mut rate, 87), ms(105) - (ms(200) / 8 - sooner), "what is left of 25 ms");
    assert_eq!(leave(&mut rate, 88), ms(105));
    // Not more than the bucket holds.
    sends(&mut rate, 89, 10_000, 40);
    rate.refused(mark(129, 14_000), silent(19_000));
    assert_eq!(rate.saved, 2 * rate.interval / 8);
}

#[test]
fn a_question_s_answer_is_awaited_but_for_a_second_at_most() {
    let mut rate = met();
    rate.sent(mark(4, 1100), 1000, true);
    assert_eq!(rate.permit(at(1300)), Permit::At(at(2100)));
    rate.passed(mark(4, 1100), at(1300));
    assert_eq!(rate.permit(at(1300)), Permit::Now, "200 ms later, which is how long one takes");
    rate.sent(mark(5, 1300), 1000, false);
    assert_eq!(rate.permit(at(1300)), Permit::At(at(1500)), "the next one is none");
}

#[test]
fn where_none_was_let_in_yet_an_answer_is_awaited() {
    let mut rate = met().awaiting_answer();
    assert!(rate.awaits());
    assert_eq!(rate.permit(at(1100)), Permit::At(at(2100)));
    rate.passed(mark(2, 0), at(600));
    assert!(!rate.awaits());
    assert_eq!(rate.permit(at(600)), Permit::At(at(1100)), "as if that had been known");
}

#[test]
fn what_seems_a_burst_may_have_been_gained_while_an_answer_was_held_up() {
    let burst = |awaits: bool| {
        let mut rate = met();
        rate = if awaits { rate.awaiting_answer() } else { rate };
        rate.passed(mark(1, 0), at(300));
        sends(&mut rate, 4, 1100, 40);
        rate.passed(mark(5, 1200), at(1600)); // sent later, that one says nothing of it
        rate.refused(mark(44, 5100), silent(5300));
        rate.burst
    };
    assert_eq!(burst(false), 2, "refusals that came in the midst of answers date it");
    assert_eq!(burst(true), 1);
}

#[test]
fn nothing_is_tried_where_a_refusal_costs_a_stated_wait() {
    let mut rate = met();
    sends(&mut rate, 2, 1100, 40);
    rate.refused(mark(42, 5100), Refusal { in_flight: 1, ..stated(1000, 6100) });
    let found = rate.interval;
    rate.sent(mark(43, 6100), 1000, true);
    assert_eq!((rate.strict, rate.interval), (false, found));
}

#[test]
fn a_burst_that_hides_the_rate_is_told_by_how_fast_it_went() {
    // Twenty after ten seconds of rest: they may all have been saved up. But the rate grew.
    let mut rate = Rate::met(20, 8, ms(1000), mark(20, 0), mark(0, 0), at(10_000));
    let mut now = at(10_000);
    for seq in 21..41 {
        rate.sent(Mark { seq, at: now }, 1000, true);
        now = Instant::from_nanos(rate.ready.max(now.as_nanos() + rate.interval));
    }
    let grown = rate.belief().interval;
    rate.refused(Mark { seq: 41, at: now }, silent(20_000));
    let found = rate.belief().interval;
    assert!(found > grown && found < 4 * grown, "{found:?}, from {grown:?}");
}

#[test]
fn refusals_of_the_same_event_are_not_counted_as_accepted() {
    let mut rate = met();
    sends(&mut rate, 4, 1100, 40);
    // Of 44 after that, four were in flight when it came, and refused as well.
    for seq in 45..49 {
        rate.sent(mark(seq, 5100), 1000, false);
    }
    rate.refused(mark(44, 5100), silent(5300));
    for seq in 45..49 {
        rate.refused_again(mark(seq, 5100));
    }
    sends(&mut rate, 49, 5300, 40);
    rate.refused(mark(89, 9300), silent(9500));
    assert_eq!(rate.belief().interval, ms(105), "40 in 4.2 s");
}

#[test]
fn too_few_for_a_measurement_slow_it_down_between_bounds() {
    let slowed = |accepted: u64, millis| {
        let mut rate = Rate::met(1, 1, ms(1000), mark(1, 0), mark(0, 0), at(0));
        for n in 0..accepted {
            rate.sent(mark(2 + n, 0), 1000, false);
        }
        rate.refused(mark(2 + accepted, millis), stated(1000, millis + 1000));
        rate.belief().interval
    };
    assert_eq!(slowed(1, 3000), ms(2000), "1.5 in 3 s");
    assert_eq!(slowed(3, 1000), Duration::from_nanos(1_428_571_428), "to 0.7 of the rate at least");
    assert_eq!(slowed(3, 100_000), ms(4000), "to a quarter at most");
    assert_eq!(slowed(1, 500), Duration::from_nanos(1_428_571_428));
    assert_eq!(slowed(1, 499), ms(1000), "so short a time says nothing");
    assert_eq!(slowed(0, 3000), ms(3000), "longer than that, as far as is known");
    assert_ne!(slowed(4, 100_000), ms(4000), "four measure it");
}

#[test]
fn a_server_that_states_a_second_for_an_hour_leaves_no_interval_of_hours() {
    let mut rate = met();
    for n in 0..3600 {
        rate.sent(mark(4 + n, 1000 * (n + 2)), 1000, true);
        rate.refused(mark(4 + n, 1000 * (n + 2)), stated(1000, 1000 * (n + 3)));
    }
    assert!(rate.belief().interval <= ms(4000), "{:?}", rate.belief());
}

#[test]
fn one_that_goes_on_refusing_is_no_rate() {
    let mut rate = Rate::met(20, 8, ms(100), mark(22, 100), mark(0, 0), at(1100));
    rate.sent(mark(23, 1100), 1000, true);
    let Lesson::NotARate { quota, first } = rate.refused(mark(23, 1100), silent(3100)) else {
        panic!("nothing was accepted");
    };
    assert_eq!((quota, first.seq), (20, 0), "what was accepted at once, since then");
    // Where a rate was measured it takes two in a row.
    let mut rate = met();
    sends(&mut rate, 4, 1100, 40);
    rate.refused(mark(44, 5100), silent(5300));
    rate.sent(mark(45, 5300), 1000, false);
    assert!(matches!(rate.refused(mark(45, 5300), silent(6300)), Lesson::Learned));
    rate.sent(mark(46, 6300), 1000, false);
    assert!(matches!(rate.refused(mark(46, 6300), silent(8300)), Lesson::NotARate { .. }));
    // One accepted between them, or a stated wait, and it is.
    let mut rate = exact();
    rate.sent(mark(86, 9500), 1000, false);
    rate.refused(mark(86, 9500), silent(10_500));
    rate.sent(mark(87, 10_500), 1000, false);
    rate.passed(mark(87, 10_500), at(10_600));
    rate.sent(mark(88, 10_600), 1000, false);
    assert!(matches!(rate.refused(mark(88, 10_600), silent(12_500)), Lesson::Learned));
    let mut rate = met();
    rate.sent(mark(4, 1100), 1000, true);
    assert!(matches!(rate.refused(mark(4, 1100), stated(1000, 2100)), Lesson::Learned));
}

#[test]
fn one_that_was_measured_twice_is_interrupted_and_no_window() {
    let mut rate = exact();
    let mut slower = 0;
    for n in 0..10 {
        let sent = 9500 + 1000 * n;
        rate.sent(mark(86 + n, sent), 1000, false);
        let lesson = rate.refused(mark(86 + n, sent), silent(sent + 1000));
        assert!(matches!(lesson, Lesson::Learned), "refusal {n}");
        if n == 0 {
            slower = rate.interval; // it may as well be a limit that has fallen
        }
    }
    assert_eq!(rate.interval, slower, "refusals of everything tell of no rate");
}

#[test]
fn a_rate_explains_a_refusal_after_one_accepted_or_four_where_it_is_sought() {
    let rate = met();
    assert!(!rate.explains(mark(7, 2000)), "three");
    assert!(rate.explains(mark(8, 2000)), "four");
    let rate = exact();
    assert!(!rate.explains(mark(86, 10_000)));
    assert!(rate.explains(mark(87, 10_000)));
}

#[test]
fn the_rest_is_two_intervals_but_a_second_if_that_is_longer_than_one() {
    let rest = |interval| {
        let limit = KnownLimit { requests: 1, per: ms(interval), burst: Some(1) };
        Rate::known(limit, 1).rest()
    };
    assert_eq!(rest(100), ms(200));
    assert_eq!(rest(700), ms(1000));
    assert_eq!(rest(3000), ms(3000));
    assert_eq!(exact().rest(), ms(210));
    assert_eq!(
        single_place::strict(40).rest(),
        ms(225),
        "of a single place one will do, once it is exact"
    );
}

#[test]
fn what_is_sought_doubles_by_the_second() {
    let mut rate = met();
    rate.sent(mark(4, 1100), 1000, true);
    rate.sent(mark(5, 1200), 1000, true);
    rate.sent(mark(6, 1300), 1000, true);
    // By 100/1400 of itself, and then by 100/1400 of that.
    let once = |nanos: u64| nanos - nanos * 100 / 1400;
    // The first one comes after a rest, of which two intervals count.
    let first = 100 * MS - 100 * MS * 200 / 1400;
    assert_eq!(rate.belief().interval, Duration::from_nanos(once(once(first))));
    let mut idle = met();
    idle.sent(mark(4, 500_000), 1000, true);
    assert_eq!(idle.belief().interval, Duration::from_nanos(first), "idle time does not count");
}

#[test]
fn a_measured_rate_is_held_then_grows_by_a_half_at_most() {
    let mut rate = exact();
    rate.sent(mark(86, 20_499), 1000, true);
    assert_eq!(rate.belief().interval, ms(105), "held");
    rate.sent(mark(87, 20_604), 1000, true);
    // By 105/4000 of itself.
    assert_eq!(rate.belief().interval, Duration::from_nanos(105 * MS - 105 * 105 * MS / 4000));
    for n in 0..4 {
        rate.sent(mark(88 + n, 21_000 + 10_000 * n), 1000, true);
    }
    assert_eq!(rate.quality, Quality::Exact);
    for n in 0..30 {
        rate.sent(mark(92 + n, 61_000 + 10_000 * n), 1000, true);
    }
    assert_eq!(rate.belief().interval, ms(70), "a half more");
}

#[test]
fn once_more_was_accepted_than_could_be_saved_up_the_limit_has_risen() {
    let mut rate = exact();
    rate.sent(mark(86, 9500), 1000, true);
    let mut seq = 87;
    let mut now = 20_500;
    while rate.quality == Quality::Exact && seq < 200 {
        rate.sent(mark(seq, now), 1000, true);
        (seq, now) = (seq + 1, now + 70);
    }
    // With a rest of 200 ms: n > (70 n + 200) / 105 + 4, in whole numbers.
    assert_eq!(seq - 1 - 87, 18);
    assert_eq!(rate.quality, Quality::Sought);
}

#[test]
fn trying_is_not_worth_it_for_a_backlog_that_is_soon_done() {
    let grows = |backlog| {
        let mut rate = exact();
        rate.sent(mark(86, 20_500), backlog, true);
        rate.belief().interval < ms(105)
    };
    assert!(!grows(104), "10.9 s");
    assert!(grows(105), "11.0 s");
}

#[test]
fn trying_that_cost_more_than_one_refusal_is_put_off_for_longer() {
    let mut rate = exact();
    for seq in 86..89 {
        rate.refused_again(mark(seq, 9300));
        assert_eq!(rate.hold_until, (9500 + 22_000) * MS, "once");
    }
}

#[test]
fn the_first_answer_after_a_refusal_tells_how_long_one_takes() {
    let mut rate = met();
    rate.sent(mark(4, 1100), 1000, false);
    rate.passed(mark(4, 1100), at(1400));
    assert_eq!(rate.belief().interval, ms(300));
    assert_eq!(rate.permit(at(1399)), Permit::At(at(1400)));
    rate.sent(mark(5, 1400), 1000, false);
    rate.passed(mark(5, 1400), at(1900));
    assert_eq!(rate.belief().interval, ms(300), "only the first");
    let mut slow = met();
    slow.sent(mark(4, 1100), 1000, false);
    slow.passed(mark(4, 1100), at(9100));
    assert_eq!(slow.belief().interval, ms(1000), "a second at most");
}

#[test]
fn what_was_taken_for_the_burst_is_corrected_by_refusals_of_the_same_event() {
    let mut rate = Rate::met(8, 8, ms(100), mark(20, 100), mark(13, 0), at(1100));
    for seq in 21..24 {
        rate.refused_again(mark(seq, 100));
    }
    assert_eq!((rate.belief().burst, rate.held), (5, 5));
    rate.sent(mark(24, 1100), 1000, true);
    rate.refused_again(mark(23, 100));
    assert_eq!(rate.belief().burst, 5, "only until requests go again");
}

#[test]
fn the_overshoot_solves_its_equation() {
    let y = |k: f64| {
        let mut ratios = (1..4000).map(|n| 1.0 + f64::from(n) / 1024.0);
        ratios.find(|y| y - 1.0 - y.ln() >= k * y)
    };
    for burst in [1u64, 2, 5, 7] {
        let found = overshoot(burst, 50 * MS, 1400 * MS);
        let k = burst as f64 * 50.0 / 1400.0;
        let true_one = (y(k).expect("below 4") - 1.0) * 1024.0;
        let off = (found as f64 - true_one).abs() / true_one;
        assert!(off < 0.08, "{burst}: {found} for {true_one}");
    }
    assert_eq!(overshoot(0, 50 * MS, SEEK_TAU), 0);
    assert_eq!(overshoot(u64::MAX, u64::MAX, 1), 3 * 1024);
}

/// One of the things that a pacer tells a rate, with a wait or a number at its end.
fn step() -> impl Strategy<Value = (u8, u64)> {
    let number = prop_oneof![0u64..10_000_000_000, Just(0), Just(u64::MAX), any::<u64>()];
    (0u8..5, number)
}

proptest! {
    #[test]
    fn no_history_overflows(
        requests in 1u32.., per: u64, burst in 1u32..,
        accepted: u64, in_flight: u64, took: u64, began: u64, kind in 0u8..3,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let per = Duration::from_secs(per);
        let first = Mark { seq: 0, at: Instant::from_nanos(began) };
        let took = Duration::from_nanos(took);
        let mut rate = match kind {
            0 => Rate::known(KnownLimit { requests, per, burst: Some(burst) }, burst),
            1 => Rate::met(accepted, in_flight, took, first, first, first.at + took),
            _ => Rate::of_window(accepted, took, first),
        };
        let (mut seq, mut now) = (1, first.at);
        let mut event = 0;
        for (step, number) in steps {
            let last = Mark { seq: seq - 1, at: now };
            match step {
                0 => now += Duration::from_nanos(number),
                1 => rate.passed(last, now),
                2 => rate.refused_again(last),
                3 if last.seq >= event => {
                    let long = Duration::from_nanos(number);
                    let stated = Some(long).filter(|_| number % 2 == 0);
                    let refusal = Refusal { stated, opens: now + long, ..silent(0) };
                    rate.refused(last, refusal);
                    event = seq;
                }
                _ => {
                    rate.sent(Mark { seq, at: now }, number, number % 3 > 0);
                    seq += 1;
                }
            }
            prop_assert!(rate.interval >= FASTEST && rate.burst >= 1);
            prop_assert!(rate.rest() >= Duration::from_nanos(rate.interval));
            rate.explains(last);
            rate.permit(now);
        }
    }
}

#[test]
fn a_rate_is_measured_by_what_came_after_the_last_late_one_if_that_proves_more() {
    let measured = |evenly: u64| {
        let mut rate = exact();
        // Ten that come late, by which the bucket is full, and then some that do not.
        for n in 0..10 {
            rate.sent(mark(86 + n, 9500 + 300 * n), 1000, false);
        }
        for n in 0..evenly {
            rate.sent(mark(96 + n, 12_300 + 100 * n), 1000, false);
        }
        rate.refused(mark(96 + evenly, 12_300 + 100 * evenly), silent(20_000));
        (rate.interval, rate.accepted)
    };
    // 21 in 2.1 s, of which two had been saved up; they agree with the 40 in 4.2 s before.
    assert_eq!(measured(20), (6300 * MS / 59, 59));
    assert_eq!(measured(17), (6000 * MS / 56, 56));
    // 26 in 4.6 s, from one refusal to the other.
    assert_eq!(measured(16), (4600 * MS / 26, 26), "too few for that");
}

#[test]
fn a_rate_that_was_too_slow_is_measured_from_when_it_grew() {
    let mut rate = exact();
    // A server that allows one each 50 ms, and two at once.
    let (mut seq, mut now, mut even) = (86, 9500 * MS, 0);
    while even <= now + 50 * MS {
        now = now.max(rate.ready);
        rate.sent(Mark { seq, at: Instant::from_nanos(now) }, 1000, true);
        even = now.max(even) + 50 * MS;
        seq += 1;
    }
    assert_eq!(rate.quality, Quality::Sought, "it was kept for eleven seconds, and then grew");
    rate.refused(Mark { seq: seq - 1, at: Instant::from_nanos(now) }, silent(60_000));
    let found = rate.interval / MS;
    assert!((50..85).contains(&found), "{found} ms, and not 100 as by all of them");
}

#[test]
fn what_is_known_is_held_at_first_too() {
    let limit = KnownLimit { requests: 10, per: ms(1000), burst: Some(5) };
    let grows = |millis| {
        let mut rate = Rate::known(limit, 5);
        rate.sent(mark(0, millis), 1000, true);
        rate.interval < 100 * MS
    };
    assert!(!grows(10_999) && grows(11_000));
}
