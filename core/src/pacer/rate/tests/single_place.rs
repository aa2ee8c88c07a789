//! A bucket that holds a single request.

use super::*;

/// The only one in flight is refused, after so many one each 100 ms from 1100 ms on.
pub(super) fn strict(accepted: u64) -> Rate {
    let mut rate = Rate::met(1, 1, ms(100), mark(1, 100), mark(0, 0), at(1100));
    sends(&mut rate, 2, 1100, accepted);
    let told = 1100 + 100 * accepted;
    rate.refused(mark(2 + accepted, told), Refusal { in_flight: 1, ..silent(told + 200) });
    rate
}

#[test]
fn a_single_place_is_measured_by_the_interval_that_was_refused() {
    // Not 125 ms, as by 40 in 5 s, but an eighth more than the 100 ms that were refused.
    let mut rate = strict(40);
    assert_eq!((rate.interval, rate.quality), (112 * MS + MS / 2, Quality::Rough));
    sends(&mut rate, 43, 5300, 40);
    rate.refused(mark(83, 9300), Refusal { in_flight: 1, ..silent(9500) });
    let shown = (105 * MS, Quality::Exact);
    assert_eq!((rate.interval, rate.quality), shown, "40 in 4.2 s: no longer than that");
    assert_eq!(rate.rest(), Duration::from_nanos(rate.interval), "one interval will do");
}

#[test]
fn a_single_place_is_come_near_to_at_the_price_of_a_refusal_now_and_then() {
    let refused_after = |accepted| {
        let mut rate = strict(40);
        sends(&mut rate, 43, 5300, 40);
        rate.refused(mark(83, 9300), Refusal { in_flight: 1, ..silent(9500) });
        let found = rate.interval;
        for n in 0..accepted {
            rate.sent(mark(84 + n, 9500 + 100 * n), 1000, true);
        }
        let shortened = rate.interval;
        assert!(shortened < found && shortened > found - found / 32, "{found}, then {shortened}");
        let told = 9500 + 100 * accepted;
        rate.refused(mark(84 + accepted, told), Refusal { in_flight: 1, ..silent(told + 100) });
        rate.interval - shortened
    };
    assert!(
        refused_after(3) > refused_after(10),
        "the sooner it is refused, the more it gives way"
    );
    assert!(refused_after(10) > refused_after(40));
    assert_eq!(refused_after(64), 0, "so rarely is no fault");
}

#[test]
fn of_a_single_place_that_more_in_flight_seem_to_tell_nothing_else_is_believed() {
    let mut rate = strict(40);
    sends(&mut rate, 43, 5300, 40);
    rate.refused(mark(83, 9300), silent(9500));
    assert!(rate.strict && rate.quality == Quality::Exact, "it was strict before");
    assert_eq!(rate.interval, 105 * MS);
}

#[test]
fn a_single_place_that_is_measured_differently_again_is_measured_once_more() {
    let mut rate = strict(40);
    let mut seq = 43;
    // It grows from 112 ms to far less.
    while rate.interval > 80 * MS {
        rate.sent(mark(seq, 5900 + 80 * (seq - 43)), 1000, true);
        seq += 1;
    }
    let grown = rate.interval;
    let in_turn = Refusal { in_flight: 1, ..silent(20_000) };
    rate.refused(mark(seq, 5900 + 80 * (seq - 43)), in_turn);
    assert!(rate.strict);
    assert_eq!(rate.quality, Quality::Rough);
    assert_eq!(rate.interval, grown + grown / 32);
}

#[test]
fn a_single_place_that_gave_way_by_an_eighth_is_measured_anew() {
    let mut rate = strict(40);
    sends(&mut rate, 43, 5300, 40);
    rate.refused(mark(83, 9300), Refusal { in_flight: 1, ..silent(9500) });
    let measured = rate.interval;
    let (mut seq, mut millis) = (84, 9500);
    while rate.quality == Quality::Exact {
        for n in 0..4 {
            rate.sent(mark(seq + n, millis + 110 * n), 1000, false);
        }
        rate.refused(mark(seq + 4, millis + 440), Refusal { in_flight: 1, ..silent(millis + 550) });
        (seq, millis) = (seq + 5, millis + 550);
    }
    assert!(rate.interval > measured / 8 * 9 && rate.interval < measured / 6 * 7);
    assert!(rate.strict);
}

#[test]
fn a_single_place_is_given_way_to_once_before_it_is_another_limit() {
    let mut rate = strict(40);
    let refused = |rate: &mut Rate, seq, from| {
        sends(rate, seq, from, 2);
        rate.refused(mark(seq + 2, from + 200), Refusal { in_flight: 1, ..silent(from + 400) });
    };
    let found = rate.interval;
    refused(&mut rate, 43, 5300);
    assert_eq!((rate.strict, rate.interval), (true, found + found / 8));
    let longer = rate.interval;
    refused(&mut rate, 46, 5700);
    assert_eq!((rate.strict, rate.interval), (false, longer + longer * 3 / 7));
    // So it is if the rate was exact.
    let mut rate = exact();
    refused(&mut rate, 86, 9500);
    assert_eq!((rate.quality, rate.strict), (Quality::Rough, false), "nobody has measured that");
    let mut rate = met();
    sends(&mut rate, 4, 1100, 2);
    rate.refused(mark(6, 1300), stated(1000, 2300));
    assert_eq!(rate.quality, Quality::Sought);
}

#[test]
fn how_much_a_single_place_gives_way() {
    let gives = |accepted| {
        let mut rate = Rate {
            interval: 48 * MS,
            measured: 48 * MS,
            ..Rate::new(1, 1, mark(83, 0), mark(83, 0))
        };
        rate.give_way(accepted);
        rate.interval - 48 * MS
    };
    assert_eq!((gives(3), gives(4)), (3 * MS, 2 * MS));
    assert_eq!((gives(15), gives(16)), (2 * MS, MS));
    assert_eq!((gives(63), gives(64)), (MS, 0));
}
