//! Fields of JSON objects.

use serde_json::{Map, Value};

/// What a field holds; a `.` in its name leads into an object.
pub(crate) fn at<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    match field.split_once('.') {
        None => object.get(field),
        Some((first, rest)) => at(object.get(first)?.as_object()?, rest),
    }
}

/// The same, to take it.
pub(crate) fn at_mut<'a>(object: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Value> {
    match field.split_once('.') {
        None => object.get_mut(field),
        Some((first, rest)) => at_mut(object.get_mut(first)?.as_object_mut()?, rest),
    }
}
