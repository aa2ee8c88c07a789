//! A file of lines, with its checkpoint beside it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use cxone_client::PageState;
use serde_json::Value;

use super::{
    format::{self, Format},
    owner::lock,
};
use crate::checkpoint::{self, Checkpoint};

/// A checkpoint costs the disk three waits: so often is enough, since what comes between two of
/// them is fetched again after a kill.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

/// A page is in the file when [`write_page`](Lines::write_page) returns, and not a byte of it if
/// that fails.
pub(crate) struct Lines {
    path: PathBuf,
    writer: Box<dyn Write + Send>,
    /// The file, if it is one whose length can be cut. Another run's records in it go when the
    /// first page comes: a run that brings nothing leaves it as it was.
    file: Option<File>,
    /// Whether there was no such file before.
    is_new: bool,
    /// Whether what was in the file before is gone, or belongs to this run.
    began: bool,
    format: Format,
    checkpoint: Checkpoint,
    stored: Option<Instant>,
}

impl Lines {
    /// Opens the file, so that a path that cannot be written, or is being written by another sync,
    /// fails before anything is sent. Where it goes on, it is cut to its checkpoint.
    pub(crate) fn open(path: PathBuf, format: Format, checkpoint: Checkpoint) -> io::Result<Lines> {
        let mut options = OpenOptions::new();
        options.write(true);
        let (mut file, is_new) = match options.clone().create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.create(true).truncate(false).open(&path)?, false)
            }
            created => (created?, true),
        };
        // Pipes and devices have no length to cut.
        let regular = file.metadata()?.is_file().then(|| file.try_clone()).transpose()?;
        if let Some(file) = &regular {
            lock(file)?;
        }
        let began = checkpoint.state.pages > 0;
        // It was read before the lock: whoever had that may have written since.
        if began && Checkpoint::load(&path)?.is_none_or(|kept| kept.len != checkpoint.len) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another sync has written it"));
        }
        if began {
            file.set_len(checkpoint.len)?;
            file.seek(SeekFrom::Start(checkpoint.len))?;
        }
        let writer = Box::new(file);
        Ok(Lines { path, writer, file: regular, is_new, began, format, checkpoint, stored: None })
    }

    /// Is there a file whose length is at least that of the checkpoint?
    pub(crate) fn fits(path: &PathBuf, checkpoint: &Checkpoint) -> bool {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() >= checkpoint.len)
    }

    pub(crate) fn write_page(&mut self, page: &[Value], state: PageState) -> io::Result<()> {
        let written = self.try_write(page, state);
        if let (Err(_), Some(file)) = (&written, &self.file) {
            // Where even that fails there is nothing left to do.
            let _ = file.set_len(self.checkpoint.len);
        }
        written
    }

    fn try_write(&mut self, page: &[Value], state: PageState) -> io::Result<()> {
        if let (Some(file), false) = (&self.file, self.began) {
            // First, so that nobody goes on with a file that is no longer the one it was.
            checkpoint::remove(&self.path)?;
            file.set_len(0)?;
        }
        self.began = true;
        let lines = match self.format {
            Format::Csv => format::csv(page, &mut self.checkpoint.columns),
            _ => format::ndjson(page)?,
        };
        self.writer.write_all(&lines)?;
        self.writer.flush()?;
        self.checkpoint.len += lines.len() as u64;
        self.checkpoint.state = state;
        match self.stored {
            Some(at) if at.elapsed() < CHECKPOINT_EVERY => Ok(()),
            _ => self.store(),
        }
    }

    /// The records are on disk, then the checkpoint is.
    pub(crate) fn store(&mut self) -> io::Result<()> {
        if let (Some(file), true) = (&self.file, self.began) {
            file.sync_all()?;
            self.checkpoint.store(&self.path)?;
            self.stored = Some(Instant::now());
        }
        Ok(())
    }

    /// All is there. The checkpoint stays only where a later run goes on from it.
    pub(crate) fn finish(&mut self, goes_on: bool) -> io::Result<()> {
        match &self.file {
            Some(file) if !goes_on => {
                file.sync_all()?;
                checkpoint::remove(&self.path)
            }
            _ => self.store(),
        }
    }

    /// The run did not end well: what came is kept, and a file that was made in vain goes.
    pub(crate) fn close_early(&mut self) -> io::Result<()> {
        if self.is_new && self.checkpoint.state.items == 0 {
            checkpoint::remove(&self.path)?;
            return fs::remove_file(&self.path);
        }
        self.store()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checkpoint::Source;

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

    fn checkpoint() -> Checkpoint {
        let source = Source {
            server: "mock".into(),
            account: None,
            path: "/x".into(),
            style: "cursor".into(),
            items: "entities".into(),
            query: Vec::new(),
            format: "ndjson".into(),
        };
        Checkpoint::new(source, None, None)
    }

    fn after(pages: u64) -> PageState {
        PageState { pages, items: pages, cursor: Some("c".into()), ..PageState::default() }
    }

    #[test]
    fn a_disk_that_fills_up_within_a_page_keeps_the_whole_pages_and_no_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        let mut lines = Lines::open(path.clone(), Format::Ndjson, checkpoint()).unwrap();
        lines.writer = Box::new(Disk(lines.file.as_ref().unwrap().try_clone().unwrap(), 20));
        lines.write_page(&[json!({"id": "a"})], after(1)).unwrap();
        lines.write_page(&[json!({"id": "b"}), json!({"id": "c"})], after(2)).unwrap_err();
        lines.store().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"id\":\"a\"}\n");
        assert_eq!(Checkpoint::load(&path).unwrap().unwrap().state, after(1));
    }

    #[test]
    fn what_came_after_the_checkpoint_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        let mut lines = Lines::open(path.clone(), Format::Ndjson, checkpoint()).unwrap();
        lines.write_page(&[json!({"id": "a"})], after(1)).unwrap();
        // Killed within the next page.
        lines.writer.write_all(b"{\"id\":\"b\"}\n{\"id\":").unwrap();
        drop(lines);
        let kept = Checkpoint::load(&path).unwrap().unwrap();
        assert!(Lines::fits(&path, &kept));
        let mut lines = Lines::open(path.clone(), Format::Ndjson, kept.clone()).unwrap();
        lines.write_page(&[json!({"id": "b"})], after(2)).unwrap();
        lines.finish(false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"id\":\"a\"}\n{\"id\":\"b\"}\n");
        assert_eq!(Checkpoint::load(&path).unwrap(), None);
        fs::write(&path, "short").unwrap();
        assert!(!Lines::fits(&path, &kept));
    }

    #[test]
    fn a_file_that_was_written_since_its_checkpoint_was_read_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        let mut lines = Lines::open(path.clone(), Format::Ndjson, checkpoint()).unwrap();
        lines.write_page(&[json!({"id": "a"})], after(1)).unwrap();
        let kept = Checkpoint::load(&path).unwrap().unwrap();
        let other = Lines::open(path.clone(), Format::Ndjson, kept.clone()).err().unwrap();
        assert_eq!(other.to_string(), "another sync is writing it");
        lines.finish(false).unwrap();
        drop(lines);
        let other = Lines::open(path.clone(), Format::Ndjson, kept).err().unwrap();
        assert_eq!(other.to_string(), "another sync has written it");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"id\":\"a\"}\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_checkpoint_is_replaced_and_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records");
        checkpoint().store(&path).unwrap();
        let old = File::open(checkpoint::beside(&path)).unwrap();
        let mut later = checkpoint();
        later.len = 7;
        later.store(&path).unwrap();
        assert_eq!(io::read_to_string(old).unwrap(), checkpoint().to_text(), "whole, to the end");
        assert_eq!(Checkpoint::load(&path).unwrap().unwrap().len, 7);
    }
}
