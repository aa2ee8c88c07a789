//! Records as lines: JSON, or comma-separated values (RFC 4180).

use std::io;

use serde_json::{Map, Value};

/// The last column: what of a record has none of its own.
const OTHER: &str = "other";

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON record a line
    Ndjson,
    /// Comma-separated values; the columns are the fields of the first page
    Csv,
    /// An SQLite database: a table of records, and a view with a column for each field
    Sqlite,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Sqlite => "sqlite",
        }
    }

    /// How the names of its files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Sqlite => "db",
            other => other.name(),
        }
    }

    /// That of files whose names end so.
    pub(crate) fn of_extension(extension: &str) -> Format {
        match extension {
            "csv" => Format::Csv,
            "db" | "sqlite" | "sqlite3" => Format::Sqlite,
            _ => Format::Ndjson,
        }
    }
}

/// Writes a page of records as JSON lines.
pub(crate) fn ndjson(page: &[Value]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for record in page {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Writes a page of records as comma-separated values; before the first of them, the names of the
/// columns, which are chosen then.
pub(crate) fn csv(page: &[Value], columns: &mut Vec<String>) -> Vec<u8> {
    let mut lines = String::new();
    if columns.is_empty() && !page.is_empty() {
        add_fields(page, columns);
        columns.retain(|name| name != OTHER);
        columns.push(OTHER.to_owned());
        push_line(&mut lines, columns.iter().map(String::as_str));
    }
    for record in page {
        let mut rest = record
            .as_object()
            .cloned()
            .unwrap_or_else(|| Map::from_iter([("value".to_owned(), record.clone())]));
        let known = columns.len().saturating_sub(1);
        let mut cells: Vec<String> =
            columns[..known].iter().map(|name| cell(rest.shift_remove(name))).collect();
        cells.push(if rest.is_empty() { String::new() } else { Value::Object(rest).to_string() });
        push_line(&mut lines, cells.iter().map(String::as_str));
    }
    lines.into_bytes()
}

/// Adds the names of fields that are not among the columns; says whether there were any.
pub(crate) fn add_fields(page: &[Value], columns: &mut Vec<String>) -> bool {
    let before = columns.len();
    for field in page.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(field) {
            columns.push(field.clone());
        }
    }
    columns.len() > before
}

fn cell(value: Option<Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

fn push_line<'a>(lines: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            lines.push(',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            lines.push('"');
            lines.push_str(&cell.replace('"', "\"\""));
            lines.push('"');
        } else {
            lines.push_str(cell);
        }
    }
    lines.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_has_the_first_pages_fields_as_columns_and_loses_nothing() {
        let mut columns = Vec::new();
        let first =
            [json!({"id": "a,b", "n": 1, "o": {"x": "\"q\""}}), json!({"id": null, "z": true})];
        let text = String::from_utf8(csv(&first, &mut columns)).unwrap();
        assert_eq!(
            text,
            "id,n,o,z,other\r\n\"a,b\",1,\"{\"\"x\"\":\"\"\\\"\"q\\\"\"\"\"}\",,\r\n,,,true,\r\n"
        );
        let text = String::from_utf8(csv(&[json!({"id": "c", "new": 5})], &mut columns)).unwrap();
        assert_eq!(text, "c,,,,\"{\"\"new\"\":5}\"\r\n");
        assert_eq!(String::from_utf8(csv(&[], &mut columns)).unwrap(), "");
    }
}
