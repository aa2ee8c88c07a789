//! Refusals of requests that were held up on their way.

use super::*;

/// [`exact`], 86 and 87 sent after it, of which the first one's answer took 50 ms.
fn answered_quickly() -> Rate {
    let mut rate = exact();
    rate.sent(mark(86, 9500), 1000, false);
    rate.passed(mark(86, 9500), at(9550));
    rate.sent(mark(87, 9700), 1000, false);
    rate
}

#[test]
fn what_was_held_up_and_came_together_says_nothing_of_the_rate() {
    let taught = |refusal: Refusal, first| {
        let mut rate = answered_quickly();
        let before = (rate.interval, rate.hold_until, rate.quality);
        rate.refused(mark(first, 9900), refusal);
        assert_eq!(rate.permit(at(9999)), Permit::At(at(10_000)), "it is waited all the same");
        (rate.interval, rate.hold_until, rate.quality) != before
    };
    let in_flight = |in_flight| Refusal { in_flight, ..silent(10_000) };
    // Two may go at once; of those that follow evenly, one each 105 ms, each has its answer.
    assert!(!taught(in_flight(3), 88));
    assert!(taught(in_flight(2), 88));
    assert!(taught(in_flight(8), 86), "nothing was accepted before it");
    assert!(taught(stated(100, 10_000), 88), "that is paid for in time, and had better be avoided");
}

#[test]
fn a_jam_that_goes_on_is_none_unless_much_was_accepted_meanwhile() {
    let taught_by = |accepted: u64| {
        let mut rate = answered_quickly();
        let (mut seq, mut millis) = (88, 9900);
        let mut jams = 0;
        while rate.interval == ms(105).as_nanos() as u64 && jams < 20 {
            rate.refused(mark(seq, millis), silent(millis + 100));
            for n in 0..accepted {
                rate.sent(mark(seq + 1 + n, millis + 100 + 105 * n), 1000, false);
            }
            (seq, millis) = (seq + 1 + accepted, millis + 100 + 105 * accepted);
            jams += 1;
        }
        jams
    };
    assert_eq!(taught_by(3), 4, "the fourth");
    assert_eq!(taught_by(15), 4);
    assert_eq!(taught_by(16), 20, "none of them");
}

#[test]
fn how_long_an_answer_takes_may_change() {
    let mut rate = answered_quickly();
    assert_eq!(rate.quickest, 50 * MS);
    for n in 0..64 {
        rate.passed(mark(88 + n, 10_000), at(11_000));
    }
    assert!(rate.quickest > 80 * MS && rate.quickest < 85 * MS, "{}", rate.quickest);
    for n in 0..1000 {
        rate.passed(mark(152 + n, 10_000), at(11_000));
    }
    assert_eq!(rate.quickest, 1000 * MS);
    rate.passed(mark(2000, 10_000), at(10_020));
    assert_eq!(rate.quickest, 20 * MS);
}

#[test]
fn as_long_as_an_answer_may_take_one_more_in_flight_is_no_jam() {
    let mut rate = exact();
    rate.quickest = 70 * MS;
    assert!(!rate.is_jam(3), "105 ms, half as long again");
    rate.quickest -= 1;
    assert!(rate.is_jam(3));
    assert!(!rate.is_jam(2) && !rate.is_jam(0));
}
