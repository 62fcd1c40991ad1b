//! Filling a new store with entries as another one held them: for `restore`.
//!
//! Always holds: without its format and revision, which come last, what was filled is no store.

use std::{fs::File, io, path::Path};

use holdfast_proto::ids::Revision;
use sled::Batch;

use super::{FORMAT_KEY, OpenError, REVISION_KEY, SledStore, TREE_DIR, encode_revision, lock, open_tree};
use crate::store::{RawEntry, ReadError, Store, entry::Entry};

/// A store that is being filled.
pub(crate) struct Load<'a> {
    dir: &'a Path,
    batch: Batch,
    waiting: usize,
    tree: sled::Tree,
    _lock: File,
}

impl<'a> Load<'a> {
    /// Begins an empty one in `dir`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn begin(dir: &'a Path) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        if dir.join(TREE_DIR).exists() {
            return Err(OpenError::Initialised { dir: dir.into() });
        }
        let tree = open_tree(dir).map_err(io_in(dir))?;
        Ok(Self { dir, batch: Batch::default(), waiting: 0, tree, _lock: lock })
    }

    /// Takes an entry in.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn put(&mut self, entry: RawEntry) -> Result<(), OpenError> {
        self.batch.insert(entry.key.into_vec(), entry.value.into_vec());
        self.waiting += 1;
        if self.waiting == AT_ONCE {
            self.waiting = 0;
            self.tree.apply_batch(std::mem::take(&mut self.batch)).map_err(|error| io_in(self.dir)(error.into()))?;
        }
        Ok(())
    }

    /// Ends: the entries are of `format`, and the store stands at `revision`. Brings them up to our format, and makes sure that all of them
    /// can be read.
    ///
    /// # Errors
    /// [`OpenError`], `Io` where an entry can't be read.
    pub(crate) fn finish(mut self, format: u32, revision: Revision) -> Result<(), OpenError> {
        let dir = self.dir;
        self.batch.insert(FORMAT_KEY, &format.to_be_bytes());
        self.batch.insert(REVISION_KEY, &encode_revision(revision));
        self.tree
            .apply_batch(std::mem::take(&mut self.batch))
            .and_then(|()| self.tree.flush())
            .map_err(|error| io_in(dir)(error.into()))?;
        drop(self);
        let store = SledStore::open(dir)?;
        readable(&store).map_err(|error| io_in(dir)(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

fn readable(store: &SledStore) -> Result<(), ReadError> {
    for raw in store.copy()? {
        serde_json::from_slice::<Entry>(&raw.value).map_err(ReadError::Decode)?;
    }
    Ok(())
}

fn io_in(dir: &Path) -> impl Fn(io::Error) -> OpenError + use<'_> {
    move |cause| OpenError::Io { dir: dir.into(), cause }
}

const AT_ONCE: usize = 4_096;
