//! A store that forgets everything when it is dropped: for tests and benches.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_proto::ids::Revision;

use super::{
    CommitFuture, Head, RawEntry, ReadError, Store, Within,
    entry::{Entry, EntryChange, EntryName},
};

/// Keeps entries in memory.
#[derive(Debug)]
pub struct MemoryStore {
    head: Arc<Head>,
    entries: Arc<Mutex<BTreeMap<Vec<u8>, Entry>>>,
}

impl MemoryStore {
    /// An empty store whose revisions begin at `epoch` (milliseconds since 1970).
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { head: Head::new(Revision { epoch, counter: 0 }), entries: Arc::default() }
    }
}

impl Store for MemoryStore {
    fn head(&self) -> &Arc<Head> {
        &self.head
    }

    fn read(&self, name: &EntryName) -> Result<Option<Entry>, ReadError> {
        Ok(self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(&name.to_key()).cloned())
    }

    fn scan(&self, within: Within) -> Result<Vec<Entry>, ReadError> {
        let prefix = within.prefix();
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let from = entries.range(prefix.clone()..);
        Ok(from.take_while(|(key, _)| key.starts_with(&prefix)).map(|(_, entry)| entry.clone()).collect())
    }

    fn copy(&self) -> Result<Vec<RawEntry>, ReadError> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = |(key, entry): (&Vec<u8>, &Entry)| {
            let value = serde_json::to_vec(entry).map_err(ReadError::Decode)?;
            Ok(RawEntry { key: key.as_slice().into(), value: value.into() })
        };
        entries.iter().map(raw).collect()
    }

    fn commit(&self, expected: Revision, changes: Vec<EntryChange>) -> CommitFuture {
        let names = changes.iter().map(EntryChange::name).collect();
        let entries = Arc::clone(&self.entries);
        self.head.commit(expected, names, move |_| async move {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                match change {
                    EntryChange::Put(entry) => entries.insert(entry.name().to_key(), *entry),
                    EntryChange::Delete(name) => entries.remove(&name.to_key()),
                };
            }
            Ok(())
        })
    }

    fn note(&self, notes: Vec<Entry>) -> Result<(), ReadError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.extend(notes.into_iter().map(|entry| (entry.name().to_key(), entry)));
        Ok(())
    }

    fn forget_notes(&self, names: Vec<EntryName>) -> Result<(), ReadError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().for_each(|name| _ = entries.remove(&name.to_key()));
        Ok(())
    }
}
