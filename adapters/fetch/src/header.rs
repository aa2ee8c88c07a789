//! Header fields as they cross: names and values in turn, one a line.

use alloc::vec::Vec;

/// The pairs of `name\nvalue\nname\nvalue`. A value has no line break (RFC 9110 §5.5), so nothing
/// needs escaping.
pub(crate) fn pairs(text: &str) -> Vec<(&str, &str)> {
    let mut lines = text.split('\n');
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        pairs.push((name, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_come_in_turn() {
        assert!(pairs("").is_empty());
        assert_eq!(pairs("a\n1\nb\n"), [("a", "1"), ("b", "")]);
    }
}
