//! Where records go: a file of lines, a database, or standard output.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use cxone_client::PageState;
use serde_json::Value;

use crate::{
    checkpoint::{Checkpoint, Source, beside},
    failure::Failure,
    resource::{Resource, singular},
};

mod format;
mod lines;
mod owner;
mod sqlite;

pub(crate) use format::Format;
use lines::Lines;
use owner::Owner;
use sqlite::Database;

/// So many ids are told apart; a run of more records does not say whether one came twice, so that
/// its memory does not grow with it.
const IDS_KEPT: usize = 100_000;

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

impl Target {
    /// The format that its name stands for.
    pub(crate) fn format(&self) -> Format {
        match self {
            Target::File(path) => {
                let extension = path.extension().and_then(|extension| extension.to_str());
                Format::of_extension(extension.unwrap_or_default())
            }
            Target::Stdout => Format::Ndjson,
        }
    }
}

/// Writes records as they come, and counts them. A page is kept when
/// [`write_page`](Output::write_page) returns, whatever happens later, and not a byte of it if
/// that fails.
pub(crate) struct Output {
    target: Target,
    noun: String,
    id: String,
    sink: Sink,
    /// Those of earlier runs that this one goes on with, included.
    records: u64,
    /// Hashes of the ids: 64 bits tell a hundred thousand ids apart with odds of a failure of 1 in
    /// 3 billion. `None`: not all of them are known.
    seen: Option<HashSet<u64>>,
    /// Held until the end.
    _owner: Option<Owner>,
}

enum Sink {
    Lines(Box<Lines>),
    Database(Box<Database>),
    Stdout(Format, Vec<String>),
}

/// What is to be kept where, and where it goes on.
pub(crate) struct Plan<'a> {
    pub(crate) target: &'a Target,
    pub(crate) format: Format,
    pub(crate) resource: &'a Resource,
    pub(crate) source: Source,
    pub(crate) since: Option<u64>,
    pub(crate) until: Option<u64>,
    /// Those of the command line.
    pub(crate) asked: (Option<u64>, Option<u64>),
    /// Does it begin anew, whatever is there?
    pub(crate) fresh: bool,
}

impl Plan<'_> {
    /// The checkpoint from which this run goes on, or a new one.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Failure> {
        let new = || Checkpoint::new(self.source.clone(), self.since, self.until);
        let Target::File(path) = self.target else { return Ok(new()) };
        if self.fresh {
            return Ok(new());
        }
        let Some(mut kept) = self.load(path)? else { return Ok(new()) };
        if kept.source != self.source {
            let account = self.source.account.clone();
            let same = Source { account, ..kept.source.clone() } == self.source;
            let what = if same { "it is of another account" } else { "it is of another sync" };
            return Err(self.cannot_go_on(what, path));
        }
        let ended = kept.state.clone().reopen().done;
        if ended {
            return Ok(new());
        }
        // What is asked for from later on is there as well.
        let (since, until) = self.asked;
        if since.is_some_and(|since| kept.since.is_some_and(|kept| since < kept)) {
            return Err(self.cannot_go_on("it is of a sync since a later moment", path));
        }
        if !kept.state.done && until.is_some() && until != kept.until {
            return Err(self.cannot_go_on("it is of a sync until another moment", path));
        }
        if kept.state.done {
            // Only what is asked for by time of update has something after its end.
            kept.state = kept.state.reopen();
            kept.until = self.until;
        }
        if self.format != Format::Sqlite && !Lines::fits(path, &kept) {
            return Err(self.cannot_go_on("the file is not the one that it was", path));
        }
        Ok(kept)
    }

    fn load(&self, path: &Path) -> Result<Option<Checkpoint>, Failure> {
        let unreadable = |error: &dyn fmt::Display| {
            self.cannot_go_on(&format!("it cannot be read: {error}"), path)
        };
        match self.format {
            Format::Sqlite => {
                let text = Database::load(path, &self.resource.name);
                let text = text.map_err(|error| unreadable(&error))?;
                let kept = text.map(|text| Checkpoint::from_text(&text)).transpose();
                kept.map_err(|error| unreadable(&error))
            }
            _ => Checkpoint::load(path).map_err(|error| unreadable(&error)),
        }
    }

    fn cannot_go_on(&self, why: &str, path: &Path) -> Failure {
        let checkpoint = match self.format {
            Format::Sqlite => format!("the checkpoint in {}", path.display()),
            _ => beside(path).display().to_string(),
        };
        Failure::new(format!("Cannot go on from {checkpoint}: {why}"))
            .hint("To begin anew, and replace what is there, add --fresh; or choose another --out.")
    }
}

impl Output {
    /// Opens the target, so that a path that cannot be written fails before anything is sent.
    pub(crate) fn open(plan: &Plan<'_>, checkpoint: Checkpoint) -> Result<Output, Failure> {
        let records = checkpoint.state.items;
        let seen = (checkpoint.state.pages == 0).then(HashSet::new);
        let cannot = |error: &dyn fmt::Display| cannot_write(plan.target, error);
        let Resource { name, id, noun, .. } = plan.resource;
        let owner = match (plan.target, plan.format) {
            (Target::File(path), Format::Sqlite) => {
                Some(Owner::new(path, name).map_err(|error| cannot(&error))?)
            }
            _ => None, // a file of lines is locked itself
        };
        let sink = match (plan.target, plan.format) {
            (Target::Stdout, Format::Sqlite) => {
                return Err(Failure::new("A database needs a file: give one with --out"));
            }
            (Target::Stdout, format) => Sink::Stdout(format, Vec::new()),
            (Target::File(path), Format::Sqlite) => {
                let database = Database::open(path, name, id, plan.fresh, checkpoint);
                let database = database.map_err(|error| cannot(&error))?;
                Sink::Database(Box::new(database))
            }
            (Target::File(path), format) => {
                let lines = Lines::open(path.clone(), format, checkpoint);
                Sink::Lines(Box::new(lines.map_err(|error| cannot(&error))?))
            }
        };
        let (target, noun, id) = (plan.target.clone(), noun.clone(), id.clone());
        Ok(Output { target, noun, id, sink, records, seen, _owner: owner })
    }

    /// Writes a page, after which the run is in this state.
    pub(crate) fn write_page(&mut self, page: &[Value], state: PageState) -> Result<(), Failure> {
        let items = state.items;
        let written = match &mut self.sink {
            Sink::Lines(lines) => lines.write_page(page, state).map_err(|error| error.to_string()),
            Sink::Database(database) => {
                database.write_page(page, state).map_err(|error| error.to_string())
            }
            Sink::Stdout(format, columns) => match print(page, *format, columns) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(Failure::closed_pipe());
                }
                printed => printed.map_err(|error| error.to_string()),
            },
        };
        written.map_err(|error| cannot_write(&self.target, &error))?;
        self.records = items;
        if let Some(seen) = &mut self.seen {
            seen.extend(page.iter().map(|record| key(record, &self.id)));
        }
        self.seen.take_if(|seen| seen.len() > IDS_KEPT);
        Ok(())
    }

    /// All is there.
    pub(crate) fn finish(&mut self, goes_on: bool) -> Result<(), Failure> {
        let finished = match &mut self.sink {
            Sink::Lines(lines) => lines.finish(goes_on).map_err(|error| error.to_string()),
            Sink::Database(database) => database.finish().map_err(|error| error.to_string()),
            Sink::Stdout(..) => Ok(()),
        };
        finished.map_err(|error| cannot_write(&self.target, &error))
    }

    /// How many records are kept.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many of them have an id of their own; `None` if that is not known.
    pub(crate) fn unique(&self) -> Option<u64> {
        self.seen.as_ref().map(|seen| seen.len() as u64)
    }

    /// What became of the records, for a run that did not end well.
    pub(crate) fn kept(&mut self) -> String {
        if let Sink::Lines(lines) = &mut self.sink {
            // The checkpoint before it serves as well, and an empty file that stays is no harm.
            let _ = lines.close_early();
        }
        let noun = match self.records {
            1 => &singular(&self.noun),
            _ => &self.noun,
        };
        let verb = if self.records == 1 { "is" } else { "are" };
        match (self.records, &self.target) {
            (0, _) => "Nothing was written.".into(),
            (1, Target::Stdout) => format!("1 {noun} was written."),
            (n, Target::Stdout) => format!("{n} {noun} were written."),
            (n, Target::File(path)) => format!("{n} {noun} {verb} kept in {}.", path.display()),
        }
    }
}

fn print(page: &[Value], format: Format, columns: &mut Vec<String>) -> io::Result<()> {
    let lines = match format {
        Format::Csv => format::csv(page, columns),
        _ => format::ndjson(page)?,
    };
    let mut stdout = io::stdout();
    stdout.write_all(&lines)?;
    stdout.flush()
}

fn cannot_write(target: &Target, error: &dyn fmt::Display) -> Failure {
    match target {
        Target::Stdout => Failure::new(format!("Cannot write to standard output: {error}")),
        Target::File(_) => Failure::new(format!("Cannot write {target}: {error}")),
    }
}

/// What tells a record from others: its id, or all of it.
fn key(record: &Value, id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.get(id).unwrap_or(record).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_the_same_if_their_ids_are() {
        let key = |record| key(&record, "id");
        assert_eq!(key(json!({"id": "a", "x": 1})), key(json!({"id": "a", "x": 2})));
        assert_ne!(key(json!({"id": "a"})), key(json!({"id": "b"})));
        assert_ne!(key(json!({"id": 1})), key(json!({"id": "1"})));
        assert_ne!(key(json!({"x": 1})), key(json!({"x": 2})));
    }

    #[test]
    fn the_format_is_that_of_the_files_name() {
        for (name, format) in
            [("a.ndjson", Format::Ndjson), ("a.csv", Format::Csv), ("a.db", Format::Sqlite)]
        {
            assert_eq!(name.parse::<Target>().unwrap().format(), format);
        }
    }
}
