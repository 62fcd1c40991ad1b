//! What a token keeps: its keys, and how often PINs were tried. In memory, or in the partition's state file as well.
//!
//! Holds: keys are read without a lock; a handle names one key until that is destroyed or `permute` is called; handles are never used
//! twice otherwise.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use cryptoki_sys::*;
use serde::{Deserialize, Serialize};

use crate::{
    config::PartitionConfig,
    file::Shared,
    key::{KeyRecord, SecretKey, Template},
    rv::{Rv, fail, rv},
};

/// The keys and PIN counts of one partition.
#[derive(Debug)]
pub(crate) struct Token {
    keys: ArcSwap<Handles>,
    writing: Mutex<Writing>,
    file: Option<Shared>,
}

/// How logins went, ever.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinCounts {
    /// Wrong PINs since the last right one.
    pub(crate) in_a_row: u32,
    /// Wrong PINs.
    pub(crate) wrong: u64,
    /// Logins with the right PIN.
    pub(crate) logins: u64,
}

type Handles = BTreeMap<u64, Arc<SecretKey>>;

#[derive(Debug)]
struct Writing {
    next: u64,
    pins: PinCounts,
    seen: Option<Stamp>,
}

/// Tells whether the state file was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(SystemTime, u64);

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct State {
    pins: PinCounts,
    keys: Vec<KeyRecord>,
}

impl Token {
    /// The token as configured, with what its state file adds.
    ///
    /// # Errors
    /// The state file can't be read or written.
    pub(crate) fn open(config: &PartitionConfig) -> io::Result<Self> {
        let writing = Writing { next: 1, pins: PinCounts::default(), seen: None };
        let file = config.state.clone().map(Shared::new);
        let token = Self { keys: ArcSwap::default(), writing: Mutex::new(writing), file };
        let Some(file) = &token.file else {
            token.adopt(&mut token.lock(), config.keys.iter().map(|key| key.record.clone()).collect());
            return Ok(token);
        };
        let state = file.update(|state: Option<State>| {
            let mut state = state.unwrap_or_default();
            for key in &config.keys {
                match state.keys.iter_mut().find(|kept| kept.uid == key.record.uid) {
                    Some(kept) if key.given => *kept = key.record.clone(),
                    Some(_) => {}
                    None => state.keys.push(key.record.clone()),
                }
            }
            state
        })?;
        token.adopt(&mut token.lock(), state.keys);
        Ok(token)
    }

    /// The handles of the keys that match, private ones only when `private`.
    pub(crate) fn find(&self, template: &Template<'_>, private: bool) -> Result<Vec<u64>, Rv> {
        self.refresh()?;
        let keys = self.keys.load();
        let found = keys.iter().filter(|(_, key)| (private || !key.record.private) && key.matches(template));
        Ok(found.map(|(handle, _)| *handle).collect())
    }

    /// The key of a handle.
    pub(crate) fn key(&self, handle: u64) -> Option<Arc<SecretKey>> {
        self.keys.load().get(&handle).map(Arc::clone)
    }

    /// Keeps a new key, and gives its handle.
    pub(crate) fn add(&self, key: SecretKey) -> Result<u64, Rv> {
        let mut writing = self.lock();
        if key.record.token {
            let record = key.record.clone();
            self.keep(&mut writing, |keys| keys.push(record))?;
        }
        let handle = writing.next;
        writing.next += 1;
        let mut keys = Handles::clone(&self.keys.load());
        keys.insert(handle, Arc::new(key));
        self.keys.store(Arc::new(keys));
        Ok(handle)
    }

    /// Puts a changed record in place of a key's.
    pub(crate) fn change(&self, handle: u64, record: KeyRecord) -> Result<(), Rv> {
        let mut writing = self.lock();
        let mut keys = Handles::clone(&self.keys.load());
        let Some(slot) = keys.get_mut(&handle) else {
            return fail(CKR_OBJECT_HANDLE_INVALID);
        };
        if record.token {
            let kept = record.clone();
            self.keep(&mut writing, |keys| keys.iter_mut().filter(|k| k.uid == kept.uid).for_each(|k| k.clone_from(&kept)))?;
        }
        *slot = Arc::new(SecretKey::new(record, slot.session)?);
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Destroys a key.
    pub(crate) fn remove(&self, handle: u64) -> Result<(), Rv> {
        let mut writing = self.lock();
        let mut keys = Handles::clone(&self.keys.load());
        let Some(gone) = keys.remove(&handle) else {
            return fail(CKR_OBJECT_HANDLE_INVALID);
        };
        if gone.record.token {
            self.keep(&mut writing, |keys| keys.retain(|key| key.uid != gone.record.uid))?;
        }
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Ends the session objects of the sessions that `ended` picks.
    pub(crate) fn forget(&self, ended: impl Fn(u64) -> bool) {
        let is_gone = |key: &SecretKey| key.session.is_some_and(&ended);
        if !self.keys.load().values().any(|key| is_gone(key)) {
            return;
        }
        let writing = self.lock();
        let mut keys = Handles::clone(&self.keys.load());
        keys.retain(|_, key| !is_gone(key));
        self.keys.store(Arc::new(keys));
        drop(writing);
    }

    /// Makes every handle name the next key; the handle of a single key names nothing afterwards.
    pub(crate) fn permute(&self) {
        let mut writing = self.lock();
        let old = self.keys.load_full();
        let mut keys: Vec<_> = old.values().map(Arc::clone).collect();
        let mut handles: Vec<_> = old.keys().copied().collect();
        match handles.as_mut_slice() {
            [] => {}
            [only] => {
                *only = writing.next;
                writing.next += 1;
            }
            _ => keys.rotate_left(1),
        }
        self.keys.store(Arc::new(handles.into_iter().zip(keys).collect()));
    }

    /// How logins went, over all processes if there is a state file.
    pub(crate) fn pins(&self) -> Result<PinCounts, Rv> {
        let Some(file) = &self.file else {
            return Ok(self.lock().pins);
        };
        let state = file.read::<State>().map_err(|error| self.broken(&error))?;
        Ok(state.map_or_else(PinCounts::default, |state| state.pins))
    }

    /// Counts one login, by what `step` makes of the counts.
    pub(crate) fn count_pin<R>(&self, step: impl FnOnce(&mut PinCounts) -> R) -> Result<R, Rv> {
        let Some(file) = &self.file else {
            return Ok(step(&mut self.lock().pins));
        };
        let mut answer = None;
        let changed = file.update(|state: Option<State>| {
            let mut state = state.unwrap_or_default();
            answer = Some(step(&mut state.pins));
            state
        });
        changed.map_err(|error| self.broken(&error))?;
        answer.ok_or(rv(CKR_GENERAL_ERROR))
    }

    /// Whether PIN counts and keys outlive the process.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Takes over what other processes did to the state file.
    fn refresh(&self) -> Result<(), Rv> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let stamp = stamp(file);
        let mut writing = self.lock();
        if stamp.is_none() || writing.seen == stamp {
            return Ok(());
        }
        let state = file.read::<State>().map_err(|error| self.broken(&error))?.unwrap_or_default();
        self.adopt(&mut writing, state.keys);
        writing.seen = stamp;
        Ok(())
    }

    /// Takes the token's keys from `records`; known ones keep their handles, session objects stay.
    fn adopt(&self, writing: &mut Writing, records: Vec<KeyRecord>) {
        let old = self.keys.load_full();
        let mut keys: Handles = old.iter().filter(|(_, key)| !key.record.token).map(|(h, key)| (*h, Arc::clone(key))).collect();
        for record in records {
            let known = old.iter().find(|(_, key)| key.record.uid == record.uid).map(|(handle, _)| *handle);
            // A key that is none is no key of this token.
            let Ok(key) = SecretKey::new(record, None) else { continue };
            let handle = known.unwrap_or(writing.next);
            writing.next = writing.next.max(handle + 1);
            keys.insert(handle, Arc::new(key));
        }
        self.keys.store(Arc::new(keys));
    }

    fn keep(&self, writing: &mut Writing, change: impl FnOnce(&mut Vec<KeyRecord>)) -> Result<(), Rv> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let state = file.update(|state: Option<State>| {
            let mut state = state.unwrap_or_default();
            change(&mut state.keys);
            state
        });
        state.map_err(|error| self.broken(&error))?;
        // What others changed meanwhile is read at the next search.
        writing.seen = None;
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> Rv {
        if let Some(file) = &self.file {
            eprintln!("holdfast-sim-hsm: state file {}: {error}", file.path().display());
        }
        rv(CKR_DEVICE_ERROR)
    }

    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(file: &Shared) -> Option<Stamp> {
    let data = fs::metadata(file.path()).ok()?;
    // A rename brings a new inode, so that two changes within one tick of the clock are told apart.
    Some(Stamp(data.modified().ok()?, std::os::unix::fs::MetadataExt::ino(&data)))
}
