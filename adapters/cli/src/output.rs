//! The file of records: newline-delimited JSON.

use std::{
    collections::HashSet,
    fmt,
    fs::{File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufWriter, Write},
    path::PathBuf,
    str::FromStr,
};

use serde_json::Value;

use crate::failure::Failure;

/// Where records go.
#[derive(Clone)]
pub(crate) enum Target {
    File(PathBuf),
    Stdout,
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Target, Self::Err> {
        Ok(if text == "-" { Target::Stdout } else { Target::File(text.into()) })
    }
}

/// As it is given on the command line.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::File(path) => path.display().fmt(f),
            Target::Stdout => f.write_str("-"),
        }
    }
}

/// Writes records as they come, and counts them. A page is in the file when
/// [`write_page`](Output::write_page) returns, whatever happens later.
pub(crate) struct Output {
    target: Target,
    writer: BufWriter<Box<dyn Write + Send>>,
    /// A file with another run's records, which go when the first page comes: a run that brings
    /// nothing leaves it as it was.
    stale: Option<File>,
    records: u64,
    /// Hashes of the ids: 64 bits tell a million ids apart with odds of a failure of 1 in
    /// 30 million, in a tenth of the memory.
    seen: HashSet<u64>,
}

impl Output {
    /// Opens the target, so that a path that cannot be written fails before anything is sent.
    pub(crate) fn open(target: &Target) -> Result<Output, Failure> {
        let failed = |error: &io::Error| Failure::io(format!("Cannot write {target}"), error);
        let (writer, stale): (Box<dyn Write + Send>, _) = match target {
            Target::Stdout => (Box::new(io::stdout()), None),
            Target::File(path) => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false);
                let file = options.open(path).map_err(|error| failed(&error))?;
                // Pipes and devices have no length to cut.
                let regular = file.metadata().map_err(|error| failed(&error))?.is_file();
                let stale = regular.then(|| file.try_clone()).transpose();
                let stale = stale.map_err(|error| failed(&error))?;
                (Box::new(file), stale)
            }
        };
        Ok(Output {
            target: target.clone(),
            writer: BufWriter::new(writer),
            stale,
            records: 0,
            seen: HashSet::new(),
        })
    }

    /// Writes a page, one record a line.
    pub(crate) fn write_page(&mut self, page: &[Value]) -> Result<(), Failure> {
        self.try_write(page)
            .map_err(|error| Failure::io(format!("Cannot write {}", self.target), &error))
    }

    /// How many records were written.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many of them have an id of their own.
    pub(crate) fn unique(&self) -> u64 {
        self.seen.len() as u64
    }

    /// What became of the records, for a run that did not end well.
    pub(crate) fn kept(&self) -> String {
        match (self.records, &self.target) {
            (0, _) => "Nothing was written.".into(),
            (n, Target::Stdout) => format!("{n} interactions were written."),
            (n, Target::File(path)) => format!("{n} interactions are kept in {}.", path.display()),
        }
    }

    fn try_write(&mut self, page: &[Value]) -> io::Result<()> {
        if let Some(file) = self.stale.take() {
            file.set_len(0)?;
        }
        for record in page {
            serde_json::to_writer(&mut self.writer, record)?;
            self.writer.write_all(b"\n")?;
        }
        self.writer.flush()?;
        self.records += page.len() as u64;
        self.seen.extend(page.iter().map(key));
        Ok(())
    }
}

/// What tells a record from others: its id, or all of it.
fn key(record: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.get("id").unwrap_or(record).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_the_same_if_their_ids_are() {
        assert_eq!(key(&json!({"id": "a", "x": 1})), key(&json!({"id": "a", "x": 2})));
        assert_ne!(key(&json!({"id": "a"})), key(&json!({"id": "b"})));
        assert_ne!(key(&json!({"id": 1})), key(&json!({"id": "1"})));
        assert_ne!(key(&json!({"x": 1})), key(&json!({"x": 2})));
    }
}
