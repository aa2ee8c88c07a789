//! Header fields, as the engine reads them.

use http::{HeaderMap, HeaderValue};

/// So many fields of a head need no room of their own.
const FEW_FIELDS: usize = 12;

/// Does something with the header fields that matter, their values as text.
pub(super) fn with_fields<T>(
    headers: &HeaderMap,
    matters: impl Fn(&str) -> bool,
    act: impl FnOnce(&[(&str, &str)]) -> T,
) -> T {
    let fields = || headers.iter().filter(|(name, _)| matters(name.as_str()));
    let mut few = [("", ""); FEW_FIELDS];
    let mut n = 0;
    for (name, value) in fields() {
        let (Some(field), Ok(value)) = (few.get_mut(n), value.to_str()) else {
            let lossy =
                |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let all = fields().map(|(name, value)| (name.as_str(), lossy(value)));
            let all: Vec<(&str, String)> = all.collect();
            return act(&all.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>());
        };
        *field = (name.as_str(), value);
        n += 1;
    }
    act(&few[..n])
}
