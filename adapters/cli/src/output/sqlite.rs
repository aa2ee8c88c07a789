//! An SQLite database: records by their ids, and the checkpoint in the same transaction.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use cxone_client::PageState;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::Value;

use super::format::add_fields;
use crate::checkpoint::Checkpoint;

/// The tables of one resource: `agents_json` holds its records, `agents` shows their fields.
pub(crate) struct Database {
    connection: Connection,
    table: String,
    id: String,
    /// Does the first page replace what is there? Where records have no id, nothing else tells
    /// which of them are old.
    replaces: bool,
    checkpoint: Checkpoint,
}

impl Database {
    /// Opens or creates the file.
    pub(crate) fn open(
        path: &Path,
        resource: &str,
        id: &str,
        fresh: bool,
        checkpoint: Checkpoint,
    ) -> rusqlite::Result<Database> {
        let connection = connect(path)?;
        let table = table(resource);
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS \"{table}_json\" \
             (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;"
        ))?;
        let replaces = fresh || id.is_empty();
        Ok(Database { connection, table, id: id.to_owned(), replaces, checkpoint })
    }

    /// The checkpoint of a resource, if the file has one.
    pub(crate) fn load(path: &Path, resource: &str) -> rusqlite::Result<Option<String>> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = connect(path)?;
        let query = "SELECT checkpoint FROM cxone_checkpoint WHERE resource = ?1";
        connection.query_row(query, [table(resource)], |row| row.get(0)).optional()
    }

    /// A page and the position after it, both or neither.
    pub(crate) fn write_page(&mut self, page: &[Value], state: PageState) -> rusqlite::Result<()> {
        let number = state.pages;
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.state = state;
        let transaction = self.connection.transaction()?;
        if checkpoint.state.pages == 1 {
            checkpoint.columns.clear();
            if self.replaces {
                transaction.execute(&format!("DELETE FROM \"{}_json\"", self.table), [])?;
            }
        }
        {
            let mut upsert = transaction.prepare_cached(&format!(
                "INSERT INTO \"{}_json\" (id, record) VALUES (?1, ?2) \
                 ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                self.table
            ))?;
            for (place, record) in page.iter().enumerate() {
                let key = key(record, &self.id, number, place);
                upsert.execute(params![key, record.to_string()])?;
            }
        }
        if add_fields(page, &mut checkpoint.columns) {
            show_fields(&transaction, &self.table, &checkpoint.columns)?;
        }
        store(&transaction, &self.table, &checkpoint)?;
        transaction.commit()?;
        self.checkpoint = checkpoint;
        Ok(())
    }

    /// All is there. The checkpoint stays: it says whose records these are, so that no other
    /// source's come among them.
    pub(crate) fn finish(&mut self) -> rusqlite::Result<()> {
        // Whoever copies the file copies all of it.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE IF NOT EXISTS cxone_checkpoint \
         (resource TEXT PRIMARY KEY, checkpoint TEXT NOT NULL);",
    )?;
    Ok(connection)
}

fn store(
    transaction: &Transaction<'_>,
    table: &str,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let upsert = "INSERT INTO cxone_checkpoint (resource, checkpoint) VALUES (?1, ?2) \
                  ON CONFLICT (resource) DO UPDATE SET checkpoint = excluded.checkpoint";
    transaction.execute(upsert, params![table, checkpoint.to_text()]).map(|_| ())
}

/// A view with a column for each field. SQLite does not tell names apart by their case.
fn show_fields(
    transaction: &Transaction<'_>,
    table: &str,
    fields: &[String],
) -> rusqlite::Result<()> {
    let mut columns = String::new();
    for (place, field) in fields.iter().enumerate() {
        let again = fields[..place].iter().any(|other| other.eq_ignore_ascii_case(field));
        if again || field.contains(['"', '\'', '\\']) || field.is_empty() {
            continue; // it is in the record all the same
        }
        let comma = if columns.is_empty() { "" } else { ", " };
        columns += &format!("{comma}json_extract(record, '$.\"{field}\"') AS \"{field}\"");
    }
    if columns.is_empty() {
        columns.push_str("id");
    }
    transaction.execute_batch(&format!(
        "DROP VIEW IF EXISTS \"{table}\"; \
         CREATE VIEW \"{table}\" AS SELECT {columns} FROM \"{table}_json\";"
    ))
}

/// A resource's name as that of a table.
fn table(resource: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    resource.chars().map(plain).collect()
}

/// What tells a record from others: its id; where there is none, its place in the run.
fn key(record: &Value, id: &str, page: u64, place: usize) -> String {
    if id.is_empty() {
        return format!("{page}:{place}");
    }
    match record.get(id) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => {
            let mut hasher = DefaultHasher::new();
            record.hash(&mut hasher);
            format!("#{:016x}", hasher.finish())
        }
        Some(other) => other.to_string(),
    }
}
