//! Where a sync stands, on disk, so that a killed one goes on.
//!
//! Records are appended and on disk first; then the checkpoint, which says how long the file is
//! with them, replaces the one before it at once: a temporary file, on disk, renamed, and the
//! folder on disk. At the start the file is cut to that length. So whenever the process dies, the
//! file holds each record up to the checkpoint once, and the next run fetches the rest.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use cxone_client::PageState;
use serde::{Deserialize, Serialize};

/// Of the form of the file.
const VERSION: u32 = 1;

/// Where a sync stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u32,
    pub(crate) source: Source,
    pub(crate) state: PageState,
    /// From when until when, in ms since 1970, where the resource is asked for by time.
    pub(crate) since: Option<u64>,
    pub(crate) until: Option<u64>,
    /// Bytes of the file up to here.
    #[serde(default)]
    pub(crate) len: u64,
    /// The columns, where there are some.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
}

/// What is synced, and in which form it is kept: a run goes on with what is the same in all of
/// this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) server: String,
    /// Whose records they are, by the id that signs in.
    #[serde(default)]
    pub(crate) account: Option<String>,
    pub(crate) path: String,
    pub(crate) style: String,
    pub(crate) items: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) format: String,
}

impl Checkpoint {
    pub(crate) fn new(source: Source, since: Option<u64>, until: Option<u64>) -> Checkpoint {
        let state = PageState::default();
        Checkpoint { version: VERSION, source, state, since, until, len: 0, columns: Vec::new() }
    }

    /// Reads what [`to_text`](Checkpoint::to_text) has written.
    pub(crate) fn from_text(text: &str) -> Result<Checkpoint, String> {
        let checkpoint: Checkpoint =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        match checkpoint.version {
            VERSION => Ok(checkpoint),
            other => Err(format!("it is of version {other}, and this program knows {VERSION}")),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("it has string keys")
    }

    /// The one beside a file, if there is one.
    pub(crate) fn load(file: &Path) -> io::Result<Option<Checkpoint>> {
        match fs::read_to_string(beside(file)) {
            Ok(text) => Checkpoint::from_text(&text)
                .map(Some)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the place of the one beside that file.
    pub(crate) fn store(&self, file: &Path) -> io::Result<()> {
        let path = beside(file);
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let mut out = File::create(&temporary)?;
        out.write_all(self.to_text().as_bytes())?;
        out.sync_all()?;
        drop(out);
        fs::rename(&temporary, &path)?;
        sync_folder(&path)
    }
}

/// Removes the one beside that file, if there is one.
pub(crate) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(beside(file)) {
        Ok(()) => sync_folder(file),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where a file's checkpoint is.
pub(crate) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

/// A name is on disk when its folder is. (Windows has no such thing.)
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
