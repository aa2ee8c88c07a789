//! Structured fields (RFC 9651): lists and dictionaries, whole grammar, as far as a rate limit
//! needs their values. Anything that breaks the grammar makes the whole field malformed.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// A bare item (RFC 9651 §3.3). Values of types that no rate limit uses are checked and dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// From −999 999 999 999 999 to 999 999 999 999 999.
    Integer(i64),
    String(String),
    Token(String),
    Bytes,
    /// A decimal, boolean, date, display string or inner list.
    Other,
}

/// A member of a list or the value of a dictionary's member, with its parameters.
pub(crate) struct Item<'a> {
    pub(crate) value: Value,
    /// As they are written, and sound. Kept like this they take no memory, however many there are.
    parameters: &'a str,
}

impl Item<'_> {
    /// The value of a parameter; of repeated ones the last counts (RFC 9651 §4.2.3.2).
    pub(crate) fn parameter(&self, key: &str) -> Option<Value> {
        Parser { text: self.parameters }.parameter(key)?
    }
}

/// Whoever takes members one by one, each with its key (none in a list), as long as they are wanted.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&str, Item<'_>) -> Option<()>;

/// Hands over the members of a list (RFC 9651 §4.2.1). `None` if not all were wanted, or what
/// follows those breaks the grammar.
pub(crate) fn list(text: &str, each: Each<'_>) -> Option<()> {
    Parser { text }.members(false, each)
}

/// The same of a dictionary (RFC 9651 §4.2.2), repeated members included: the last counts.
pub(crate) fn dictionary(text: &str, each: Each<'_>) -> Option<()> {
    Parser { text }.members(true, each)
}

struct Parser<'a> {
    text: &'a str,
}

impl<'a> Parser<'a> {
    /// Everything that is left, as members between commas.
    fn members(mut self, keyed: bool, each: Each<'_>) -> Option<()> {
        self.text = self.text.trim_matches(' ');
        while !self.text.is_empty() {
            let key = if keyed { self.key()? } else { "" };
            let item = if keyed && !self.eat('=') {
                Item { value: Value::Other, parameters: self.parameters()? }
            } else {
                self.item_or_inner_list()?
            };
            each(key, item)?;
            self.text = self.text.trim_start_matches([' ', '\t']);
            if self.text.is_empty() {
                break;
            }
            self.require(',')?;
            self.text = self.text.trim_start_matches([' ', '\t']);
            if self.text.is_empty() {
                return None; // a trailing comma
            }
        }
        Some(())
    }

    fn item_or_inner_list(&mut self) -> Option<Item<'a>> {
        if !self.eat('(') {
            return self.item();
        }
        loop {
            self.text = self.text.trim_start_matches(' ');
            if self.eat(')') {
                return Some(Item { value: Value::Other, parameters: self.parameters()? });
            }
            self.item()?;
            if !self.text.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        Some(Item { value: self.bare_item()?, parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Option<&'a str> {
        let before = self.text;
        self.parameter("")?;
        before.get(..before.len() - self.text.len())
    }

    /// The last of the parameters that come next which is called like this.
    fn parameter(&mut self, wanted: &str) -> Option<Option<Value>> {
        let mut found = None;
        while self.eat(';') {
            self.text = self.text.trim_start_matches(' ');
            let key = self.key()?;
            let value = if self.eat('=') { self.bare_item()? } else { Value::Other };
            if key == wanted {
                found = Some(value);
            }
        }
        Some(found)
    }

    fn key(&mut self) -> Option<&'a str> {
        let starts = |c: char| c.is_ascii_lowercase() || c == '*';
        let continues = |c: char| starts(c) || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
        self.text.starts_with(starts).then(|| self.take_while(continues))
    }

    fn bare_item(&mut self) -> Option<Value> {
        match self.text.chars().next()? {
            '-' | '0'..='9' => self.integer_or_decimal(),
            '"' => self.string(),
            '*' | 'a'..='z' | 'A'..='Z' => Some(self.token()),
            ':' => self.byte_sequence(),
            '?' => self.boolean(),
            '@' => self.date(),
            '%' => self.display_string(),
            _ => None,
        }
    }

    /// At most 15 digits, or 12 before a point and three behind it.
    fn integer_or_decimal(&mut self) -> Option<Value> {
        let negative = self.eat('-');
        let whole = self.take_while(|c| c.is_ascii_digit());
        if self.eat('.') {
            let fraction = self.take_while(|c| c.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return fits.then_some(Value::Other);
        }
        if whole.len() > 15 {
            return None;
        }
        let magnitude: i64 = whole.parse().ok()?;
        Some(Value::Integer(if negative { -magnitude } else { magnitude }))
    }

    fn string(&mut self) -> Option<Value> {
        self.require('"')?;
        let mut string = String::new();
        loop {
            string.push(match self.next()? {
                '"' => return Some(Value::String(string)),
                '\\' => self.next().filter(|c| matches!(c, '"' | '\\'))?,
                c @ ' '..='~' => c,
                _ => return None,
            });
        }
    }

    fn token(&mut self) -> Value {
        let belongs = |c: char| {
            let tchar =
                matches!(c, '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '^'..='`' | '|' | '~');
            tchar || c.is_ascii_alphanumeric() || matches!(c, ':' | '/')
        };
        Value::Token(self.take_while(belongs).to_owned())
    }

    /// Base64 between colons. Pad bits that are not zero and missing padding are accepted, as
    /// RFC 9651 §4.2.7 advises.
    fn byte_sequence(&mut self) -> Option<Value> {
        self.require(':')?;
        let base64 = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
        let padding = self.take_while(|c| c == '=');
        self.require(':')?;
        let fits = match base64.len() % 4 {
            0 => padding.is_empty(),
            1 => false,
            odd => padding.is_empty() || odd + padding.len() == 4,
        };
        fits.then_some(Value::Bytes)
    }

    fn boolean(&mut self) -> Option<Value> {
        self.require('?')?;
        (self.eat('0') || self.eat('1')).then_some(Value::Other)
    }

    fn date(&mut self) -> Option<Value> {
        self.require('@')?;
        let seconds = self.integer_or_decimal()?;
        (seconds != Value::Other).then_some(Value::Other)
    }

    /// `%"…"` with UTF-8 in percent-encoding, lower-case digits only.
    fn display_string(&mut self) -> Option<Value> {
        self.require('%')?;
        self.require('"')?;
        let mut bytes = Vec::new();
        loop {
            bytes.push(match self.next()? {
                '"' => return String::from_utf8(bytes).ok().map(|_| Value::Other),
                '%' => self.hex_digit()? << 4 | self.hex_digit()?,
                c @ ' '..='~' => c as u8,
                _ => return None,
            });
        }
    }

    fn hex_digit(&mut self) -> Option<u8> {
        match self.next()? {
            c @ '0'..='9' => Some(c as u8 - b'0'),
            c @ 'a'..='f' => Some(c as u8 - b'a' + 10),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.text.chars();
        let next = chars.next()?;
        self.text = chars.as_str();
        Some(next)
    }

    fn eat(&mut self, c: char) -> bool {
        match self.text.strip_prefix(c) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    fn require(&mut self, c: char) -> Option<()> {
        self.eat(c).then_some(())
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.text.find(|c| !belongs(c)).unwrap_or(self.text.len());
        let (taken, rest) = self.text.split_at_checked(end).unwrap_or((self.text, ""));
        self.text = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The members of a list, each with the parameters `q` and `w`.
    fn items(text: &str) -> Option<Vec<[Option<Value>; 3]>> {
        let mut items = Vec::new();
        list(text, &mut |_, item| {
            let parameter = |key| item.parameter(key);
            items.push([Some(item.value.clone()), parameter("q"), parameter("w")]);
            Some(())
        })?;
        Some(items)
    }

    fn values(text: &str) -> Option<Vec<Value>> {
        Some(items(text)?.into_iter().filter_map(|[value, ..]| value).collect())
    }

    fn members(text: &str) -> Option<Vec<(String, Value)>> {
        let mut members = Vec::new();
        dictionary(text, &mut |key, item| {
            members.push((key.to_owned(), item.value));
            Some(())
        })?;
        Some(members)
    }

    #[test]
    fn a_list_holds_items_of_every_type() {
        let text = "  1, -2 ,\t\"a\\\"b\\\\\", tok/en:*, 1.5, :aGk=:, ?1, @-7, %\"f%c3%bc\", (1 \"b\");x  ";
        let mut expected = vec![
            Value::Integer(1),
            Value::Integer(-2),
            Value::String("a\"b\\".into()),
            Value::Token("tok/en:*".into()),
        ];
        expected.extend([Value::Other, Value::Bytes]);
        expected.extend(vec![Value::Other; 4]);
        assert_eq!(values(text), Some(expected));
        assert_eq!(values(""), Some(vec![]));
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        let read = items("a;  q=1;w;x=3;q=2, b").unwrap();
        assert_eq!(read[0][1..], [Some(Value::Integer(2)), Some(Value::Other)]);
        assert_eq!(read[1][1..], [None, None]);
    }

    #[test]
    fn whoever_has_had_enough_of_a_list_gets_no_more() {
        let mut read = 0;
        let enough = list("1, 2, 3", &mut |_, _| {
            read += 1;
            (read < 2).then_some(())
        });
        assert_eq!((enough, read), (None, 2));
    }

    #[test]
    fn a_dictionary_holds_keys_with_and_without_values() {
        let expected = [
            ("a".to_owned(), Value::Integer(1)),
            ("*b.c-d_e".to_owned(), Value::Other),
            ("f".to_owned(), Value::Other),
        ];
        assert_eq!(members("a=1;x, *b.c-d_e;p=2,f=(1 2)").unwrap(), expected);
    }

    #[test]
    fn whatever_breaks_the_grammar_spoils_the_field() {
        for text in [
            ",",
            "1,",
            "1,,2",
            "1 2",
            "\ta",
            "a ;b",
            "a;b =1",
            "a;b= 1",
            "a;",
            "a;B",
            "a;1",
            "\"a",
            "\"\\a\"",
            "\"é\"",
            "é",
            "-",
            "--1",
            "+1",
            "1.",
            ".5",
            "1.2345",
            "1234567890123.1",
            "1234567890123456",
            "?2",
            "?",
            ":a:",
            ":a=b=:",
            ":aGk",
            ":ab===:",
            "@1.5",
            "@",
            "%\"%C3%BC\"",
            "%\"%c3\"",
            "%\"",
            "%a",
            "(1",
            "(1,2)",
            "(1\"a\")",
            "{",
            "a\n",
        ] {
            assert_eq!(values(text), None, "{text}");
        }
        for text in ["\"a\"=1", "A=1", "a=", "a=1,", "a =1", "=1", "1=1"] {
            assert!(members(text).is_none(), "{text}");
        }
    }

    #[test]
    fn byte_sequences_may_lack_padding_and_have_loose_pad_bits() {
        for text in ["::", ":aGk:", ":aGk=:", ":sdfjLJUOUH==:", ":aGkh:"] {
            assert_eq!(values(text), Some(vec![Value::Bytes]), "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_and_integers_round_trip(
            text in "[ -~]{0,20}",
            number in -999_999_999_999_999_i64..=999_999_999_999_999,
        ) {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let field = format!("\"{quoted}\";q={number}");
            let expected = [Some(Value::String(text)), Some(Value::Integer(number)), None];
            prop_assert_eq!(items(&field).unwrap(), vec![expected]);
        }

        #[test]
        fn nothing_panics(text in ".*", likely in "[a\"\\\\(); ,=:?%@0-9.-]*") {
            for text in [text, likely] {
                items(&text);
                members(&text);
            }
        }
    }
}
