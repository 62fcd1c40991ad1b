//! The sessions of one partition: their handles, their limit, who is logged in, and the operation each is in the middle of.
//!
//! Holds: looking a session up takes no lock, so that hundreds of busy sessions can't keep one from being opened; a session's own lock
//! is never held while a call sleeps; the login ends with the last session.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use cryptoki_sys::*;

use crate::{
    key::SecretKey,
    rv::{Rv, fail, rv},
};

/// All sessions of one partition.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Replaced whole, by who holds the door.
    open: ArcSwap<Open>,
    /// The next number. Held while sessions come and go, so that the limit and the login are exact.
    door: Mutex<u64>,
    logged_in: AtomicBool,
    limit: usize,
    opened: AtomicU64,
}

type Open = BTreeMap<u64, Arc<Session>>;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) read_write: bool,
    alive: AtomicBool,
    operations: Mutex<Operations>,
}

/// What a session is in the middle of.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    pub(crate) encrypt: Option<Operation>,
    pub(crate) decrypt: Option<Operation>,
    /// Handles that a search has still to give out, last first.
    pub(crate) search: Option<Vec<u64>>,
}

/// An encryption or decryption that was prepared.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) key: Arc<SecretKey>,
    pub(crate) iv: Vec<u8>,
    pub(crate) aad: Vec<u8>,
}

impl Sessions {
    /// No session yet, and at most `limit` at once (0: any number).
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: ArcSwap::default(), door: Mutex::new(FIRST), logged_in: AtomicBool::new(false), limit, opened: AtomicU64::new(0) }
    }

    /// Opens a session, and gives its number.
    pub(crate) fn open(&self, read_write: bool) -> Result<u64, Rv> {
        let mut next = self.door();
        if self.limit != 0 && self.count() >= self.limit {
            return fail(CKR_SESSION_COUNT);
        }
        let number = *next;
        *next += 1;
        let session = Session { number, read_write, alive: AtomicBool::new(true), operations: Mutex::default() };
        let mut open = Open::clone(&self.open.load());
        open.insert(number, Arc::new(session));
        self.open.store(Arc::new(open));
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    }

    /// The session with that number.
    pub(crate) fn session(&self, number: u64) -> Result<Arc<Session>, Rv> {
        self.open.load().get(&number).map(Arc::clone).ok_or(rv(CKR_SESSION_HANDLE_INVALID))
    }

    /// Closes one session.
    pub(crate) fn close(&self, number: u64) -> Result<(), Rv> {
        let door = self.door();
        let mut open = Open::clone(&self.open.load());
        let session = open.remove(&number).ok_or(rv(CKR_SESSION_HANDLE_INVALID))?;
        session.alive.store(false, Ordering::Release);
        let last = open.is_empty();
        self.open.store(Arc::new(open));
        if last {
            self.logged_in.store(false, Ordering::Release);
        }
        drop(door);
        Ok(())
    }

    /// Closes every session. With `reuse`, later ones get the numbers of these.
    pub(crate) fn close_all(&self, reuse: bool) {
        let mut next = self.door();
        let closed = self.open.swap(Arc::default());
        closed.values().for_each(|session| session.alive.store(false, Ordering::Release));
        self.logged_in.store(false, Ordering::Release);
        if reuse {
            *next = FIRST;
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.load().len()
    }

    /// How many of them may write.
    pub(crate) fn count_read_write(&self) -> usize {
        self.open.load().values().filter(|session| session.read_write).count()
    }

    /// How many were ever opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether the application is logged in.
    pub(crate) fn logged_in(&self) -> bool {
        self.logged_in.load(Ordering::Acquire)
    }

    /// Logs in by what `check` says, unless that is so already.
    pub(crate) fn log_in(&self, session: &Session, check: impl FnOnce() -> Result<(), Rv>) -> Result<(), Rv> {
        let door = self.door();
        if self.logged_in() {
            return fail(CKR_USER_ALREADY_LOGGED_IN);
        }
        session.check_alive()?;
        check()?;
        self.logged_in.store(true, Ordering::Release);
        drop(door);
        Ok(())
    }

    /// Logs out.
    pub(crate) fn log_out(&self) -> Result<(), Rv> {
        let was = self.logged_in.swap(false, Ordering::AcqRel);
        if was { Ok(()) } else { fail(CKR_USER_NOT_LOGGED_IN) }
    }

    fn door(&self) -> MutexGuard<'_, u64> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// What it is in the middle of. Hold it for a moment only.
    pub(crate) fn operations(&self) -> MutexGuard<'_, Operations> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That it was not closed or lost while a call slept.
    pub(crate) fn check_alive(&self) -> Result<(), Rv> {
        if self.alive.load(Ordering::Acquire) { Ok(()) } else { fail(CKR_SESSION_HANDLE_INVALID) }
    }
}

const FIRST: u64 = 1;
