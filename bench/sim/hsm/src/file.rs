//! JSON files that several processes change: read and replaced whole, one writer at a time.
//!
//! Holds: a reader sees one writer's file or the next one's, never a part; a change is made under the lock of a file beside it, which
//! is never removed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::config::beside;

/// A file of one `T`.
#[derive(Debug)]
pub(crate) struct Shared {
    path: PathBuf,
    lock: PathBuf,
}

impl Shared {
    /// The file at `path`, which need not exist.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { lock: beside(&path, ".lock"), path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds; nothing when there is no file.
    ///
    /// # Errors
    /// It can't be read, or holds something else.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what it holds by what `change` makes of it. The lock goes with the file handle, so with the process.
    ///
    /// # Errors
    /// It can't be locked, read or written.
    pub(crate) fn update<T: DeserializeOwned + Serialize>(&self, change: impl FnOnce(Option<T>) -> T) -> io::Result<T> {
        let lock = private().open(&self.lock)?;
        lock.lock()?;
        let new = change(self.read()?);
        let temporary = beside(&self.path, ".new");
        let mut file: File = private().truncate(true).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&new)?)?;
        fs::rename(&temporary, &self.path)?;
        drop(lock);
        Ok(new)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn no_change_is_lost_between_writers() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared::new(dir.path().join("count")));
        assert_eq!(shared.read::<u32>().unwrap(), None);
        let count = |shared: Arc<Shared>| (0..25).for_each(|_| assert!(shared.update(|n: Option<u32>| n.unwrap_or(0) + 1).unwrap() > 0));
        let writers: Vec<_> = (0..4).map(|_| Arc::clone(&shared)).map(|shared| thread::spawn(move || count(shared))).collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(shared.read::<u32>().unwrap(), Some(100));
    }
}
