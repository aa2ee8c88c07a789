//! The file of records: newline-delimited JSON.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
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
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Target, Self::Err> {
        match text {
            "" => Err("it has no name"),
            "-" => Ok(Target::Stdout),
            _ => Ok(Target::File(text.into())),
        }
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
/// [`write_page`](Output::write_page) returns, whatever happens later, and not a byte of it if
/// that fails.
pub(crate) struct Output {
    target: Target,
    writer: Box<dyn Write + Send>,
    /// The file, if it is one whose length can be cut. Another run's records in it go when the
    /// first page comes: a run that brings nothing leaves it as it was.
    file: Option<File>,
    /// Whether there was no such file before.
    is_new: bool,
    /// Bytes of whole pages in it.
    len: u64,
    /// Whether a page came.
    began: bool,
    records: u64,
    /// Hashes of the ids: 64 bits tell a million ids apart with odds of a failure of 1 in
    /// 30 million, in a tenth of the memory.
    seen: HashSet<u64>,
}

impl Output {
    /// Opens the target, so that a path that cannot be written fails before anything is sent.
    pub(crate) fn open(target: &Target) -> Result<Output, Failure> {
        Output::try_open(target).map_err(|error| cannot_write(target, &error))
    }

    fn try_open(target: &Target) -> io::Result<Output> {
        let (writer, file, is_new): (Box<dyn Write + Send>, _, _) = match target {
            Target::Stdout => (Box::new(io::stdout()), None, false),
            Target::File(path) => {
                let mut options = OpenOptions::new();
                options.write(true);
                let (file, is_new) = match options.clone().create_new(true).open(path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        (options.create(true).truncate(false).open(path)?, false)
                    }
                    created => (created?, true),
                };
                // Pipes and devices have no length to cut.
                let regular = file.metadata()?.is_file().then(|| file.try_clone()).transpose()?;
                (Box::new(file), regular, is_new)
            }
        };
        Ok(Output {
            target: target.clone(),
            writer,
            file,
            is_new,
            len: 0,
            began: false,
            records: 0,
            seen: HashSet::new(),
        })
    }

    /// Writes a page, one record a line.
    pub(crate) fn write_page(&mut self, page: &[Value]) -> Result<(), Failure> {
        self.try_write(page).map_err(|error| {
            if let Some(file) = &self.file {
                // Where even that fails there is nothing left to do.
                let _ = file.set_len(self.len);
            }
            cannot_write(&self.target, &error)
        })
    }

    /// How many records were written.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many of them have an id of their own.
    pub(crate) fn unique(&self) -> u64 {
        self.seen.len() as u64
    }

    /// What became of the records, for a run that did not end well. A file that this run made
    /// in vain goes.
    pub(crate) fn kept(&mut self) -> String {
        if let (Target::File(path), true, 0) = (&self.target, self.is_new, self.records) {
            // An empty file that stays is no harm.
            let _ = fs::remove_file(path);
        }
        match (self.records, &self.target) {
            (0, _) => "Nothing was written.".into(),
            (1, Target::Stdout) => "1 interaction was written.".into(),
            (1, Target::File(path)) => format!("1 interaction is kept in {}.", path.display()),
            (n, Target::Stdout) => format!("{n} interactions were written."),
            (n, Target::File(path)) => format!("{n} interactions are kept in {}.", path.display()),
        }
    }

    fn try_write(&mut self, page: &[Value]) -> io::Result<()> {
        if let (Some(file), false) = (&self.file, self.began) {
            file.set_len(0)?;
        }
        self.began = true;
        let mut lines = Vec::new();
        for record in page {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        self.writer.write_all(&lines)?;
        self.writer.flush()?;
        self.len += lines.len() as u64;
        self.records += page.len() as u64;
        self.seen.extend(page.iter().map(key));
        Ok(())
    }
}

fn cannot_write(target: &Target, error: &io::Error) -> Failure {
    match target {
        Target::Stdout => Failure::io("Cannot write to standard output", error),
        Target::File(_) => Failure::io(format!("Cannot write {target}"), error),
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

    /// A disk with room for so many bytes.
    struct Disk(File, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = self.0.write(&bytes[..bytes.len().min(self.1)])?;
            self.1 -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    #[test]
    fn a_disk_that_fills_up_within_a_page_keeps_the_whole_pages_and_no_torn_line() {
        let path = std::env::temp_dir().join(format!("cxone-disk-{}", std::process::id()));
        let mut output = Output::open(&Target::File(path.clone())).ok().unwrap();
        output.writer = Box::new(Disk(output.file.as_ref().unwrap().try_clone().unwrap(), 20));
        assert!(output.write_page(&[json!({"id": "a"})]).is_ok());
        assert!(output.write_page(&[json!({"id": "b"}), json!({"id": "c"})]).is_err());
        let kept = (output.kept(), fs::read_to_string(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(kept.0, format!("1 interaction is kept in {}.", path.display()));
        assert_eq!(kept.1, "{\"id\":\"a\"}\n");
    }

    #[test]
    fn records_are_the_same_if_their_ids_are() {
        assert_eq!(key(&json!({"id": "a", "x": 1})), key(&json!({"id": "a", "x": 2})));
        assert_ne!(key(&json!({"id": "a"})), key(&json!({"id": "b"})));
        assert_ne!(key(&json!({"id": 1})), key(&json!({"id": "1"})));
        assert_ne!(key(&json!({"x": 1})), key(&json!({"x": 2})));
    }
}
