//! Base64 (RFC 4648 §4 and §5), for a header and for the claims of a token. The usual crate, with
//! which the tests compare, is made to be fast on megabytes, in 2.5 kB of compressed WebAssembly.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// In the usual alphabet, padded.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |place| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place > three.len() { '=' } else { char::from(ALPHABET[six]) });
        }
    }
    text
}

/// In the alphabet for URLs or in the usual one, with padding or without. `None`: it is neither.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let known = match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let six = ALPHABET.iter().position(|other| *other == known)? as u32;
        bits = bits << 6 | six;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_usual_crate_makes_of_it(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert_eq!(&text, &STANDARD.encode(&bytes));
            prop_assert_eq!(decode(&text).unwrap(), bytes.clone());
            prop_assert_eq!(decode(&URL_SAFE_NO_PAD.encode(&bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_no_base64_is_nothing() {
        for text in ["a b", "a=b", "ä", "a\n"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
