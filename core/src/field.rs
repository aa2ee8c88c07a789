//! What the values of all header fields have in common: lines that combine, white space around
//! a value, decimal numbers, and duplicates that were joined into one line on the way.

use alloc::borrow::Cow;

use crate::reading::Mode;

/// The longest wait that is told, in milliseconds: 2⁵³ − 1, about 285 000 years. It is the
/// largest integer that a JavaScript number holds exactly; anything longer saturates to it.
pub(crate) const MAX_WAIT_MS: u64 = (1 << 53) - 1;

/// The value of the field `name` (in any case), its lines joined by a comma (RFC 9110 §5.3).
///
/// Absent and empty are the same: `None`. Lines with nothing in them do not count. How long a head
/// may be is the host's to say: whatever reads a field takes time and memory in proportion to it.
pub(crate) fn combined<'a>(headers: &[(&str, &'a str)], name: &str) -> Option<Cow<'a, str>> {
    let mut joined: Option<Cow<'a, str>> = None;
    let lines = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    for line in lines.map(|(_, value)| trim(value)).filter(|line| !line.is_empty()) {
        joined = Some(match joined {
            None => Cow::Borrowed(line),
            Some(text) => {
                let mut text = text.into_owned();
                text.push_str(", ");
                text.push_str(line);
                Cow::Owned(text)
            }
        });
    }
    joined
}

/// Without the optional white space around it (RFC 9110 §5.6.3: spaces and tabs, nothing else).
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Reads a field that should come once. Read leniently it may have come several times: the
/// members between the commas are read one by one and `pick` chooses among any two of them.
///
/// A member may itself hold one comma, as an HTTP-date does. One malformed member spoils the
/// field: the `2026` of "Nov 23, 2026" is no number of seconds.
pub(crate) fn once(
    value: &str,
    mode: Mode,
    read: &dyn Fn(&str) -> Option<u64>,
    pick: fn(u64, u64) -> u64,
) -> Option<u64> {
    if mode == Mode::Strict {
        return read(value);
    }
    let mut picked: Option<u64> = None;
    let mut rest = value;
    while !rest.is_empty() {
        let (one, after_one) = rest.split_once(',').unwrap_or((rest, ""));
        if trim(one).is_empty() {
            rest = after_one; // RFC 9110 §5.6.1.2: empty list elements are ignored
            continue;
        }
        let number;
        (number, rest) = match read(trim(one)) {
            Some(number) => (number, after_one),
            None => {
                let (next, after_two) = after_one.split_once(',').unwrap_or((after_one, ""));
                let two = rest.get(..one.len() + 1 + next.len())?;
                (read(trim(two))?, after_two)
            }
        };
        picked = Some(picked.map_or(number, |other| pick(other, number)));
    }
    picked
}

/// A decimal number without a sign: `1*DIGIT`, read leniently also `1*DIGIT "." 1*DIGIT`.
#[derive(Clone, Copy)]
pub(crate) struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// The number that the whole of `text` is.
    pub(crate) fn parse(text: &'a str, mode: Mode) -> Option<Decimal<'a>> {
        let (whole, fraction) = match text.split_once('.') {
            None => (text, None),
            Some((whole, fraction)) if mode == Mode::Lenient => (whole, Some(fraction)),
            Some(_) => return None,
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (digits(whole) && fraction.is_none_or(digits))
            .then_some(Decimal { whole, fraction: fraction.unwrap_or("") })
    }

    /// Without its fraction; saturating.
    pub(crate) fn floor(self) -> u64 {
        number(self.whole.bytes())
    }

    /// Times 10 to the power of `places`, rounded up to an integer; saturating.
    pub(crate) fn ceil(self, places: usize) -> u64 {
        let fraction = self.fraction.bytes();
        let kept = fraction.clone().chain(core::iter::repeat(b'0')).take(places);
        let scaled = number(self.whole.bytes().chain(kept));
        scaled.saturating_add(u64::from(fraction.skip(places).any(|digit| digit != b'0')))
    }
}

/// The number that decimal digits spell; saturating.
fn number(digits: impl Iterator<Item = u8>) -> u64 {
    digits.fold(0, |n: u64, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceil(text: &str, places: usize) -> Option<u64> {
        Decimal::parse(text, Mode::Lenient).map(|number| number.ceil(places))
    }

    #[test]
    fn decimals_scale_and_round_up() {
        assert_eq!(ceil("2.5", 3), Some(2500));
        assert_eq!(ceil("0.0001", 3), Some(1));
        assert_eq!(ceil("1.0000", 3), Some(1000));
        assert_eq!(ceil("1500.5", 0), Some(1501));
        assert_eq!(ceil(&"9".repeat(40), 3), Some(u64::MAX));
        assert_eq!(Decimal::parse("7.9", Mode::Lenient).map(Decimal::floor), Some(7));
    }

    #[test]
    fn only_digits_and_one_point_between_them_are_a_decimal() {
        for text in ["", ".", "1.", ".5", "1.2.3", "-1", "+1", "1e3", "0x10", "²", "1 "] {
            assert_eq!(ceil(text, 3), None, "{text}");
        }
        assert!(Decimal::parse("1.5", Mode::Strict).is_none());
    }

    #[test]
    fn lines_combine_whatever_the_case_of_the_name() {
        let headers = [("A", " 1 "), ("b", "x"), ("a", "\t"), ("a", "2")];
        assert_eq!(combined(&headers, "a").as_deref(), Some("1, 2"));
        assert_eq!(combined(&headers, "c"), None);
        assert_eq!(combined(&[("a", "")], "a"), None);
    }

    /// Counted, so that no clock decides: members are read once, or twice where a comma might be
    /// inside of one, and nothing is gone back to.
    #[test]
    fn once_looks_at_each_byte_a_few_times_whatever_the_size() {
        for piece in ["1,", ",", "a,", "Sun, ", "Sun, 06 Nov 1994 08:49:37 GMT, 5, ", "1", "\t"] {
            let value = piece.repeat(1 << 20 >> 3);
            let looked_at = std::cell::Cell::new(0);
            let read = |member: &str| {
                looked_at.set(looked_at.get() + member.len());
                (member.len() > 3 || member == "1" || member == "5").then_some(1)
            };
            once(&value, Mode::Lenient, &read, u64::max);
            assert!(looked_at.get() <= 2 * value.len(), "{piece:?}: {}", looked_at.get());
        }
    }
}
