//! The store of one machine: sled, one tree. A commit is one `apply_batch`, then a flush before the answer.
//!
//! Always holds: the batch carries the new revision, so entries and revision move together; one process has the directory at a time; a
//! directory of another format is not touched, but for the steps that `MIGRATIONS` names.

mod load;
mod migrate;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use holdfast_proto::ids::Revision;
use sled::{Batch, IVec};

use self::migrate::{FORMAT_KEY, MIGRATIONS, Migration};
pub(crate) use self::{load::Load, migrate::FORMAT};
use super::{
    CommitError, CommitFuture, Head, RawEntry, ReadError, Store, Within,
    entry::{Entry, EntryChange, EntryName},
};

/// Keeps entries in a directory.
pub struct SledStore {
    head: Arc<Head>,
    tree: sled::Tree,
    // Dropped after the tree: whoever gets the lock next finds sled closed.
    _lock: File,
}

/// Why a store was not opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is there yet.
    #[error("{} is not a Holdfast data directory; `holdfast controlplane init` makes one", dir.display())]
    NotInitialised {
        /// The directory.
        dir: PathBuf,
    },
    /// Something is there already.
    #[error("{} is a Holdfast data directory already", dir.display())]
    Initialised {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by another version of Holdfast.
    #[error("{} has data of format {found}; this version of Holdfast reads format {ours}", dir.display())]
    Version {
        /// The directory.
        dir: PathBuf,
        /// The format that lies there.
        found: u32,
        /// The format of this version.
        ours: u32,
    },
    /// The disk failed, or permission is missing.
    #[error("can't open the store in {}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl SledStore {
    /// Makes an empty store in `dir`, whose revisions begin at `epoch` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`OpenError`], `Initialised` where there is one.
    pub fn create(dir: &Path, epoch: u64) -> Result<Self, OpenError> {
        let io = |cause| OpenError::Io { dir: dir.into(), cause };
        fs::create_dir_all(dir).map_err(io)?;
        let lock = lock(dir)?;
        if dir.join(TREE_DIR).exists() {
            return Err(OpenError::Initialised { dir: dir.into() });
        }
        let tree = open_tree(dir).map_err(io)?;
        let revision = Revision { epoch, counter: 0 };
        let mut batch = Batch::default();
        batch.insert(FORMAT_KEY, &FORMAT.to_be_bytes());
        batch.insert(REVISION_KEY, &encode_revision(revision));
        tree.apply_batch(batch).and_then(|()| tree.flush()).map_err(|e| io(e.into()))?;
        Ok(Self { head: Head::new(revision), tree, _lock: lock })
    }

    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`OpenError`] names what is in the way.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_migrating(dir, FORMAT, &MIGRATIONS)
    }

    fn open_migrating(dir: &Path, ours: u32, migrations: &[Migration]) -> Result<Self, OpenError> {
        let io = |cause| OpenError::Io { dir: dir.into(), cause };
        if !dir.join(TREE_DIR).try_exists().map_err(io)? {
            return Err(OpenError::NotInitialised { dir: dir.into() });
        }
        let lock = lock(dir)?;
        let tree = open_tree(dir).map_err(io)?;
        let get = |key: &[u8]| tree.get(key).map_err(io::Error::from);
        let found = get(FORMAT_KEY).and_then(|v| v.as_deref().and_then(decode_u32).ok_or_else(damaged)).map_err(io)?;
        // Format 1 is the first: the migration at index n leads from format n + 1.
        let done = usize::try_from(found.saturating_sub(1)).unwrap_or(usize::MAX);
        let steps = migrations.get(done..).filter(|_| (1..=ours).contains(&found));
        for step in steps.ok_or_else(|| OpenError::Version { dir: dir.into(), found, ours })? {
            step(&tree).and_then(|()| Ok(tree.flush().map(drop)?)).map_err(io)?;
        }
        let revision = get(REVISION_KEY).and_then(|v| v.as_deref().and_then(decode_revision).ok_or_else(damaged)).map_err(io)?;
        Ok(Self { head: Head::new(revision), tree, _lock: lock })
    }
}

impl Store for SledStore {
    fn head(&self) -> &Arc<Head> {
        &self.head
    }

    fn read(&self, name: &EntryName) -> Result<Option<Entry>, ReadError> {
        let value = self.tree.get(name.to_key()).map_err(|e| ReadError::Io(e.into()))?;
        value.map(|value| decode(&value)).transpose()
    }

    fn scan(&self, within: Within) -> Result<Vec<Entry>, ReadError> {
        let values = self.tree.scan_prefix(within.prefix()).values();
        values.map(|value| decode(&value.map_err(|e| ReadError::Io(e.into()))?)).collect()
    }

    fn copy(&self) -> Result<Vec<RawEntry>, ReadError> {
        let entries = self.tree.range([1]..).map(|entry| {
            let (key, value) = entry.map_err(|e| ReadError::Io(e.into()))?;
            Ok(RawEntry { key: key.as_ref().into(), value: value.as_ref().into() })
        });
        entries.collect()
    }

    fn commit(&self, expected: Revision, changes: Vec<EntryChange>) -> CommitFuture {
        let names = changes.iter().map(EntryChange::name).collect();
        let mut batch = Batch::default();
        for change in changes {
            match change {
                EntryChange::Delete(name) => batch.remove(name.to_key()),
                EntryChange::Put(entry) => match serde_json::to_vec(&entry) {
                    Ok(value) => batch.insert(entry.name().to_key(), value),
                    Err(cause) => return Box::pin(async move { Err(CommitError::Encode(cause)) }),
                },
            }
        }
        let tree = self.tree.clone();
        self.head.commit(expected, names, move |next| async move {
            batch.insert(REVISION_KEY, &encode_revision(next));
            let applied = tree.clone();
            tokio::task::spawn_blocking(move || applied.apply_batch(batch)).await.map_err(io::Error::other)??;
            tree.flush_async().await?;
            Ok(())
        })
    }

    fn note(&self, entries: Vec<Entry>) -> Result<(), ReadError> {
        for entry in entries {
            let value = serde_json::to_vec(&entry).map_err(ReadError::Decode)?;
            self.tree.insert(entry.name().to_key(), value).map_err(|e| ReadError::Io(e.into()))?;
        }
        Ok(())
    }

    fn forget_notes(&self, names: Vec<EntryName>) -> Result<(), ReadError> {
        for name in names {
            self.tree.remove(name.to_key()).map_err(|e| ReadError::Io(e.into()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl SledStore {
    /// Puts what need be no entry.
    pub(super) fn put_raw(&self, key: &[u8], value: &[u8]) {
        self.tree.insert(key, value).unwrap();
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let io = |cause| OpenError::Io { dir: dir.into(), cause };
    let file = File::options().create(true).write(true).truncate(false).open(dir.join(LOCK_FILE)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.into() }),
        Err(TryLockError::Error(cause)) => Err(io(cause)),
    }
}

/// Opens sled under our own lock. sled's, too, can then only be held by what is left of a store that this process closed just now: its
/// threads let go of it a moment after the store was dropped.
fn open_tree(dir: &Path) -> io::Result<sled::Tree> {
    let config = sled::Config::new().path(dir.join(TREE_DIR)).cache_capacity(CACHE_BYTES);
    let end = Instant::now() + LETTING_GO;
    loop {
        match config.open() {
            Ok(db) => return Ok(sled::Tree::clone(&db)),
            // sled tells of its lock in words alone.
            Err(error) if Instant::now() < end && error.to_string().contains("could not acquire lock") => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn decode(value: &IVec) -> Result<Entry, ReadError> {
    serde_json::from_slice(value).map_err(ReadError::Decode)
}

fn encode_revision(revision: Revision) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&revision.epoch.to_be_bytes());
    out[8..].copy_from_slice(&revision.counter.to_be_bytes());
    out
}

fn decode_revision(value: &[u8]) -> Option<Revision> {
    let (epoch, counter) = value.split_at_checked(8)?;
    Some(Revision { epoch: u64::from_be_bytes(epoch.try_into().ok()?), counter: u64::from_be_bytes(counter.try_into().ok()?) })
}

fn decode_u32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its format or revision is missing: initialising it was not finished, or it is damaged")
}

// Keys that begin with zero are the store's own; `FORMAT_KEY` is the migrations'.
const REVISION_KEY: &[u8] = &[0, 1];

/// Far longer than sled's threads take to end.
const LETTING_GO: Duration = Duration::from_secs(5);

const TREE_DIR: &str = "store";
const LOCK_FILE: &str = "lock";
const CACHE_BYTES: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_format_is_refused_with_both_versions_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(SledStore::create(dir.path(), 1).unwrap());
        let tree = open_tree(dir.path()).unwrap();
        tree.insert(FORMAT_KEY, &7_u32.to_be_bytes()).unwrap();
        tree.flush().unwrap();
        drop(tree);
        let refused = SledStore::open(dir.path()).err().unwrap();
        assert!(matches!(refused, OpenError::Version { found: 7, ours: FORMAT, .. }));
        let text = refused.to_string();
        assert!(text.contains("format 7") && text.contains(&format!("format {FORMAT}")), "{text}");
    }

    #[test]
    fn a_directory_in_use_missing_or_taken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(SledStore::open(dir.path()), Err(OpenError::NotInitialised { .. })));
        let store = SledStore::create(dir.path(), 1).unwrap();
        assert!(matches!(SledStore::open(dir.path()), Err(OpenError::InUse { .. })));
        drop(store);
        assert!(matches!(SledStore::create(dir.path(), 1), Err(OpenError::Initialised { .. })));
        assert!(SledStore::open(dir.path()).is_ok());
    }
}
