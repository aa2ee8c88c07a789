//! The little of JSON (RFC 8259) that a token answer needs: the members of one object.
//!
//! serde_json would be 36 kB of compressed WebAssembly, half as much as all of the engine, most of
//! it for floating point numbers and for messages that nobody sees. The tests compare with it.

use alloc::string::String;
use alloc::vec::Vec;

/// How deep objects and arrays may nest.
const MAX_DEPTH: u32 = 128;

/// What is read of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Null,
    Text(String),
    /// Rounded down to a whole number; zero for one below that. It saturates.
    Number(u64),
    /// A boolean, an array or an object.
    Other,
}

/// The members of an object, repeated ones included: the last counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Members(Vec<(String, Value)>);

impl Members {
    /// The members, if the whole of `body` is one JSON object.
    pub(crate) fn read(body: &[u8]) -> Option<Members> {
        let text = core::str::from_utf8(body).ok()?;
        let mut reader = Reader { text, at: 0, depth: 0 };
        reader.space();
        reader.require(b'{')?;
        let members = reader.members()?;
        reader.space();
        reader.peek().is_none().then_some(Members(members))
    }

    /// The value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

/// A text and how much of it was read. Each function reads what it is named after, or gives up
/// with `None`, and so does the whole.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Was `byte` next?
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn require(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.space();
        match self.peek()? {
            b'"' => Some(Value::Text(self.string()?)),
            b'{' => {
                self.at += 1;
                self.members()?;
                Some(Value::Other)
            }
            b'[' => {
                self.at += 1;
                self.list(b']', |reader| reader.value().map(drop))?;
                Some(Value::Other)
            }
            b'n' => self.literal("null", Value::Null),
            b't' => self.literal("true", Value::Other),
            b'f' => self.literal("false", Value::Other),
            _ => Some(Value::Number(self.number()?)),
        }
    }

    fn literal(&mut self, name: &str, value: Value) -> Option<Value> {
        let rest = self.text.get(self.at..)?;
        self.at += name.len();
        rest.starts_with(name).then_some(value)
    }

    /// The members of an object, after its brace.
    fn members(&mut self) -> Option<Vec<(String, Value)>> {
        let mut members = Vec::new();
        self.list(b'}', |reader| {
            reader.space();
            let name = reader.string()?;
            reader.space();
            reader.require(b':')?;
            members.push((name, reader.value()?));
            Some(())
        })?;
        Some(members)
    }

    /// Elements with commas between them, and the end of them.
    fn list(&mut self, end: u8, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        self.space();
        if !self.take(end) {
            loop {
                element(self)?;
                self.space();
                if !self.take(b',') {
                    break;
                }
            }
            self.require(end)?;
        }
        self.depth -= 1;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.require(b'"')?;
        let mut text = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | ..0x20) {
                self.at += 1;
            }
            text.push_str(self.text.get(start..self.at)?);
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.push(self.escape()?),
                _ => return None, // a control character has to be escaped
            }
        }
    }

    /// A character, after its backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            it @ (b'"' | b'\\' | b'/') => char::from(it),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.unit()? {
                // One half of a character beyond U+FFFF; alone, or the wrong one, it is none.
                high @ 0xd800..=0xdbff => {
                    self.require(b'\\')?;
                    self.require(b'u')?;
                    let low = self.unit()?;
                    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?
                }
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(unit)
    }

    fn number(&mut self) -> Option<u64> {
        let negative = self.take(b'-');
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let fraction = if self.take(b'.') { self.digits()? } else { "" };
        let mut exponent = 0;
        if self.take(b'e') || self.take(b'E') {
            let below = self.take(b'-');
            if !below {
                self.take(b'+');
            }
            // Nothing has so many digits that more would matter.
            const MOST: i64 = 1 << 40;
            for digit in self.digits()?.bytes() {
                exponent = (exponent * 10 + i64::from(digit - b'0')).min(MOST);
            }
            if below {
                exponent = -exponent;
            }
        }
        Some(if negative { 0 } else { floor(whole, fraction, exponent) })
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<&'a str> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.text.get(start..self.at).filter(|digits| !digits.is_empty())
    }
}

/// `whole.fraction` · 10^`exponent`, rounded down.
fn floor(whole: &str, fraction: &str, exponent: i64) -> u64 {
    let mut number: u64 = 0;
    let mut digits = whole.bytes().chain(fraction.bytes());
    for _ in 0..exponent + whole.len() as i64 {
        let digit = digits.next();
        // Only zeros follow, which change nothing.
        if digit.is_none() && (number == 0 || number == u64::MAX) {
            break;
        }
        number = number.saturating_mul(10);
        number = number.saturating_add(u64::from(digit.unwrap_or(b'0') - b'0'));
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Option<Members> {
        Members::read(body.as_bytes())
    }

    /// The value of `{"a": value}`.
    fn value(value: &str) -> Option<Value> {
        read(&format!(r#"{{"a": {value}}}"#)).map(|members| members.get("a").cloned().unwrap())
    }

    fn text(text: &str) -> Option<Value> {
        Some(Value::Text(text.to_owned()))
    }

    #[test]
    fn the_last_of_repeated_members_counts() {
        let members = read(" {\"a\":1 ,\n\"b\": {\"a\": 2},\t\"a\" : [3, {}, []] }\r\n").unwrap();
        assert_eq!(members.get("a"), Some(&Value::Other));
        assert_eq!(members.get("b"), Some(&Value::Other));
        assert_eq!(members.get("c"), None);
        assert!(read("{}").is_some());
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(value(r#""\"\\\/\b\f\n\r\té""#), text("\"\\/\u{8}\u{c}\n\r\t\u{e9}"));
        assert_eq!(value(r#""\u00e9\uD83D\uDE00""#), text("\u{e9}\u{1f600}"));
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\ud83d""#, r#""\ud83dx""#] {
            assert_eq!(value(half), None, "{half}");
        }
    }

    #[test]
    fn numbers_are_rounded_down_and_saturate() {
        for (number, is) in [
            ("0", 0),
            ("-7", 0),
            ("3599.99", 3599),
            ("0.36e4", 3600),
            ("36E+2", 3600),
            ("36000e-1", 3600),
            ("359999e-2", 3599),
            ("1e-999999999999999999999", 0),
            ("1e999999999999999999999", u64::MAX),
            ("0e999999999999999999999", 0),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551616", u64::MAX),
        ] {
            assert_eq!(value(number), Some(Value::Number(is)), "{number}");
        }
        for none in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1 2"] {
            assert_eq!(value(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_object_is_none() {
        for none in [
            "",
            " ",
            "null",
            "[]",
            "{",
            "{} {}",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{a:1}"#,
            r#"{'a':1}"#,
            r#"{"a":tru}"#,
            r#"{"a":True}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(Members::read(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| value(&("[".repeat(depth) + &"]".repeat(depth)));
        assert_eq!(nested(MAX_DEPTH as usize - 1), Some(Value::Other));
        assert_eq!(nested(MAX_DEPTH as usize), None);
        assert_eq!(value(&"[".repeat(1 << 20)), None);
    }

    /// It reads what `serde_json` reads, and as that does.
    fn agrees(body: &[u8]) {
        let read = Members::read(body);
        let expected = match serde_json::from_slice(body) {
            Ok(serde_json::Value::Object(members)) => Some(members),
            // Such a number saturates.
            Err(error) if error.to_string().starts_with("number out of range") => return,
            _ => None,
        };
        let body = String::from_utf8_lossy(body);
        assert_eq!(read.is_some(), expected.is_some(), "{body}");
        for (name, value) in expected.into_iter().flatten() {
            let value = match value {
                serde_json::Value::Null => Value::Null,
                serde_json::Value::String(text) => Value::Text(text),
                serde_json::Value::Number(number) => {
                    let rounded = number.as_f64().unwrap_or(0.0) as u64;
                    Value::Number(number.as_u64().unwrap_or(rounded))
                }
                _ => Value::Other,
            };
            let read = read.as_ref().and_then(|members| members.get(&name));
            assert_eq!(read, Some(&value), "{body}");
        }
    }

    /// Texts of the tokens of JSON in any order, most of which are wrong in one place or none.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            prop::sample::select(vec![
                "{",
                "}",
                "[",
                "]",
                ":",
                ",",
                " ",
                "\n",
                "null",
                "true",
                "false",
                "0",
                "-",
                "1",
                "3.5",
                "e2",
                "E-1",
                r#""a""#,
                r#""b""#,
                r#""\u00e9""#,
                r#""\n""#,
                "\"",
                "\\",
            ])
            .prop_map(str::to_owned),
            "[ -~é]",
        ];
        let value = prop_oneof![
            Just("null".to_owned()),
            Just("[1, {\"x\": [true, \"y\"]}, -2.5e3]".to_owned()),
            "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,2})?([eE][+-]?[0-3])?",
            "\"([ !#-\\[\\]-~é😀]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2})*\"",
        ];
        let members = prop::collection::vec(("[abc]", value), 0..4).prop_map(|members| {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
            format!(" {{{}}} ", members.join(" ,"))
        });
        let broken = (members.clone(), token.clone(), any::<prop::sample::Index>()).prop_map(
            |(text, token, at)| {
                let cuts: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
                let at = cuts[at.index(cuts.len())];
                format!("{}{token}{}", &text[..at], &text[at..])
            },
        );
        let soup = prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat());
        prop_oneof![members, broken, soup]
    }

    proptest! {
        #[test]
        fn it_reads_as_serde_json_does(text in nearly_json(), bytes: Vec<u8>) {
            agrees(text.as_bytes());
            agrees(&bytes);
        }
    }
}
