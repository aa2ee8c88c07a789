//! `application/x-www-form-urlencoded` (URL Standard §5), as far as a token request needs it. The
//! crate of that name, with which the tests compare, would be 2.5 kB of compressed WebAssembly.

use alloc::string::String;
use alloc::vec::Vec;

/// Adds `name=value`, with an ampersand before it if something is there.
pub(crate) fn append(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    encode(form, name);
    form.push('=');
    encode(form, value);
}

/// Adds a name or a value.
pub(crate) fn encode(form: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                form.push(char::from(byte));
            }
            b' ' => form.push('+'),
            _ => {
                let digits = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                form.push('%');
                form.extend(digits.map(char::from));
            }
        }
    }
}

/// The names and values of a form. They need not be UTF-8.
pub(crate) fn pairs(form: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    form.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// A name or a value. A percent sign without two hexadecimal digits is meant as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || char::from(ahead.next()?).to_digit(16);
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match digit().zip(digit()) {
                Some((high, low)) => {
                    bytes = ahead;
                    (high * 16 + low) as u8
                }
                None => byte,
            },
            _ => byte,
        });
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_form_has_no_pairs_and_a_name_may_stand_alone() {
        assert_eq!(pairs("").count(), 0);
        let pair = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
        let found: Vec<_> = pairs("&a&=b&%%41%4=+=&%ff").collect();
        let expected = [pair(b"a", b""), pair(b"", b"b"), pair(b"%A%4", b" ="), pair(b"\xff", b"")];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn it_does_what_the_crates_of_these_names_do(
            name: String, value: String, form in "[&=+%a-f0-9é]*",
        ) {
            let mut ours = String::new();
            let mut theirs = form_urlencoded::Serializer::new(String::new());
            for (name, value) in [(&name, &value), (&value, &name)] {
                append(&mut ours, name, value);
                theirs.append_pair(name, value);
            }
            prop_assert_eq!(&ours, &theirs.finish());
            for form in [&form, &ours, &value] {
                let theirs: Vec<_> = form_urlencoded::parse(form.as_bytes()).collect();
                let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let ours: Vec<_> = pairs(form).map(|(a, b)| (lossy(a).into(), lossy(b).into())).collect();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
