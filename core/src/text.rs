//! Texts that people read, put together from their pieces.
//!
//! This does what `format!` does for texts and numbers. That is made for much more, and is five
//! kilobytes of WebAssembly as soon as one thing is written by it; so what a host may show is made
//! here, and the `Display` of the same things only shows it.

use alloc::string::String;

/// What a text can be made of.
pub(crate) trait Piece {
    /// Puts it at the end of `text`.
    fn add_to(&self, text: &mut String);
}

impl Piece for str {
    fn add_to(&self, text: &mut String) {
        text.push_str(self);
    }
}

impl Piece for String {
    fn add_to(&self, text: &mut String) {
        text.push_str(self);
    }
}

impl<T: Piece + ?Sized> Piece for &T {
    fn add_to(&self, text: &mut String) {
        (**self).add_to(text);
    }
}

impl Piece for u64 {
    #[inline(never)]
    fn add_to(&self, text: &mut String) {
        let mut tens = 1;
        while *self / tens >= 10 {
            tens *= 10;
        }
        while tens > 0 {
            text.push(char::from(b'0' + (*self / tens % 10) as u8));
            tens /= 10;
        }
    }
}

impl Piece for u32 {
    fn add_to(&self, text: &mut String) {
        u64::from(*self).add_to(text);
    }
}

impl Piece for u16 {
    fn add_to(&self, text: &mut String) {
        u64::from(*self).add_to(text);
    }
}

/// A text of pieces: `text!["page ", 7, " of ", name]`.
macro_rules! text {
    ($($piece:expr),+ $(,)?) => {{
        let mut text = alloc::string::String::new();
        $($crate::text::Piece::add_to(&$piece, &mut text);)+
        text
    }};
}

pub(crate) use text;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn pieces_stand_one_after_the_other() {
        let name = String::from("x");
        assert_eq!(
            text!["a", 7u16, " of ", 70u32, name, u64::MAX],
            "a7 of 70x18446744073709551615"
        );
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_they_always_are(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            prop_assert_eq!(text![number], number.to_string());
        }
    }
}
