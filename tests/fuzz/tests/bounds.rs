//! However large what a server sends, reading it takes memory in proportion, and so time. How much
//! that is, the host bounds. Allocations are counted, so that no clock decides.

use allocation_counter::{AllocationInfo, measure};
use cxone_core::{Reading, SIGNAL_HEADERS, Signals, Wall, read_token_answer};

/// What the reading of one answer may hold at once, for each byte of it. The shortest item,
/// `a;r=0,`, becomes a limit of about a hundred bytes in a list that doubles as it grows.
const MOST_FOR_A_BYTE: u64 = 64;

/// Values that are worst for a reader that goes back, keeps all or joins again and again.
const WORST: &[&str] = &[
    "1,",
    "1",
    "9",
    ",",
    ", ",
    " ",
    "\t",
    "a",
    "a,",
    "a=1,",
    "a;b;",
    "\"a\";r=0;t=1,",
    "a;r=0,",
    "1;w=1,",
    "\"a\";r=0;r=0;",
    "\"\\\\",
    "((((",
    "(1 1 ",
    "%\"",
    ":aaaa",
    "Sun, 06 Nov 1994 08:49:37 GMT, ",
    "Sun, ",
    "1.",
    "²",
];

#[test]
fn no_header_of_whatever_size_takes_more_than_in_proportion() {
    for piece in WORST {
        for size in [8 << 10, 64 << 10, 1 << 20] {
            let value = piece.repeat(size / piece.len());
            for header in SIGNAL_HEADERS {
                let info = cost(&[(header, &value)]);
                is_bounded(&info, size, &format!("{header}: {piece:?} to {size} bytes"));
            }
        }
    }
}

#[test]
fn however_many_lines_a_field_has_it_takes_no_more() {
    for piece in WORST {
        for lines in [1_000, 100_000] {
            let headers: Vec<(&str, &str)> = SIGNAL_HEADERS
                .iter()
                .copied()
                .cycle()
                .map(|name| (name, *piece))
                .take(lines)
                .collect();
            let size = headers.iter().map(|(_, value)| value.len() + 2).sum();
            is_bounded(&cost(&headers), size, &format!("{lines} lines of {piece:?}"));
        }
    }
}

/// Twice as much to read is at most about twice the work: no list is walked for each of its
/// members.
#[test]
fn allocations_grow_no_faster_than_the_field() {
    for piece in WORST {
        for header in SIGNAL_HEADERS {
            let count =
                |size: usize| cost(&[(header, &piece.repeat(size / piece.len()))]).count_total;
            let (half, whole) = (count(4 << 10), count(8 << 10));
            assert!(whole <= 2 * half + 16, "{header}: {piece:?}: {half}, then {whole}");
        }
    }
}

#[test]
fn a_token_answer_takes_no_more_than_in_proportion_and_a_huge_one_is_left_unread() {
    for piece in ["[", "{\"a\":", "1,", "\"", "a", " "] {
        for size in [1 << 10, 512 << 10, 2 << 20, 16 << 20] {
            let mut body = br#"{"access_token":"a","x":["#.to_vec();
            body.extend(piece.repeat(size / piece.len()).bytes());
            let info = measure(|| drop(read_token_answer(200, &body).expect_err("it is cut off")));
            // A JSON value of two bytes becomes one of 32, in a list that doubles as it grows.
            let most = if size < 1 << 20 { 64 * size as u64 } else { 1 << 10 };
            assert!(info.bytes_max <= most, "{piece:?} to {size} bytes: {info:?}");
        }
    }
}

fn cost(headers: &[(&str, &str)]) -> AllocationInfo {
    let reading = Reading::default();
    measure(|| drop(Signals::read(headers, 429, Wall::from_millis(1_795_392_000_000), &reading)))
}

fn is_bounded(info: &AllocationInfo, size: usize, what: &str) {
    assert!(info.bytes_max <= MOST_FOR_A_BYTE * size as u64, "{what}: {info:?}");
}
