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
    /// A decimal, byte sequence, boolean, date, display string or inner list.
    Other,
}

/// A member of a list or the value of a dictionary's member, with its parameters in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) value: Value,
    parameters: Vec<(&'a str, Value)>,
}

impl Item<'_> {
    /// The value of a parameter; of repeated ones the last counts (RFC 9651 §4.2.3.2).
    pub(crate) fn parameter(&self, key: &str) -> Option<&Value> {
        self.parameters.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// The members of a list (RFC 9651 §4.2.1).
pub(crate) fn list(text: &str) -> Option<Vec<Item<'_>>> {
    Parser { text }.members(Parser::item_or_inner_list)
}

/// The members of a dictionary (RFC 9651 §4.2.2), repeated ones included: the last counts.
pub(crate) fn dictionary(text: &str) -> Option<Vec<(&str, Item<'_>)>> {
    Parser { text }.members(|parser| {
        let key = parser.key()?;
        if parser.eat('=') {
            return Some((key, parser.item_or_inner_list()?));
        }
        Some((key, Item { value: Value::Other, parameters: parser.parameters()? }))
    })
}

struct Parser<'a> {
    text: &'a str,
}

impl<'a> Parser<'a> {
    /// Everything that is left, as members between commas.
    fn members<T>(mut self, mut member: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut members = Vec::new();
        self.text = self.text.trim_matches(' ');
        while !self.text.is_empty() {
            members.push(member(&mut self)?);
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
        Some(members)
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

    fn parameters(&mut self) -> Option<Vec<(&'a str, Value)>> {
        let mut parameters = Vec::new();
        while self.eat(';') {
            self.text = self.text.trim_start_matches(' ');
            let key = self.key()?;
            let value = if self.eat('=') { self.bare_item()? } else { Value::Other };
            parameters.push((key, value));
        }
        Some(parameters)
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
        fits.then_some(Value::Other)
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

    fn values(text: &str) -> Option<Vec<Value>> {
        Some(list(text)?.into_iter().map(|item| item.value).collect())
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
        expected.extend(vec![Value::Other; 6]);
        assert_eq!(values(text), Some(expected));
        assert_eq!(values(""), Some(vec![]));
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        let items = list("a;  x=1;y;x=2").unwrap();
        assert_eq!(items[0].parameter("x"), Some(&Value::Integer(2)));
        assert_eq!(items[0].parameter("y"), Some(&Value::Other));
        assert_eq!(items[0].parameter("z"), None);
    }

    #[test]
    fn a_dictionary_holds_keys_with_and_without_values() {
        let members = dictionary("a=1, *b.c-d_e;p=2,f=(1 2)").unwrap();
        let keys: Vec<_> = members.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["a", "*b.c-d_e", "f"]);
        assert_eq!(members[0].1.value, Value::Integer(1));
        assert_eq!(members[1].1.parameter("p"), Some(&Value::Integer(2)));
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
            assert!(dictionary(text).is_none(), "{text}");
        }
    }

    #[test]
    fn byte_sequences_may_lack_padding_and_have_loose_pad_bits() {
        for text in ["::", ":aGk:", ":aGk=:", ":sdfjLJUOUH==:", ":aGkh:"] {
            assert_eq!(values(text), Some(vec![Value::Other]), "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_and_integers_round_trip(
            text in "[ -~]{0,20}",
            number in -999_999_999_999_999_i64..=999_999_999_999_999,
        ) {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let field = format!("\"{quoted}\";n={number}");
            let items = list(&field).unwrap();
            prop_assert_eq!(&items[0].value, &Value::String(text));
            prop_assert_eq!(items[0].parameter("n"), Some(&Value::Integer(number)));
        }

        #[test]
        fn nothing_panics(text in ".*", likely in "[a\"\\\\(); ,=:?%@0-9.-]*") {
            for text in [text, likely] {
                list(&text);
                dictionary(&text);
            }
        }
    }
}
