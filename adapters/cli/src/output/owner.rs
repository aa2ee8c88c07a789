//! Who writes: one sync at a time.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Keeps other syncs from a file until it is closed, even by a kill.
pub(super) fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another sync is writing it"))
        }
        // Some file systems know no locks: there it is for the user to see to.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// The right to write one resource into a database, which several may share: a locked file beside
/// it, gone when the sync has ended.
pub(super) struct Owner {
    path: PathBuf,
    _file: File,
}

impl Owner {
    pub(super) fn new(database: &Path, resource: &str) -> io::Result<Owner> {
        let mut name = database.as_os_str().to_owned();
        // Paths have slashes.
        let resource = resource.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        name.push(format!(".{resource}.lock"));
        let path = PathBuf::from(name);
        let file = File::create(&path)?;
        lock(&file)?;
        Ok(Owner { path, _file: file })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // One that stays is no harm.
        let _ = fs::remove_file(&self.path);
    }
}
