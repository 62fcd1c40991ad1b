//! What a call of one partition meets before it does its work: counters and faults.
//!
//! Holds: without a fault a call reads one flag and takes no lock; no lock is held while a call sleeps, and a hanging one holds none
//! but waits on the partition's own condition variable; nothing here is shared with another partition.

use std::{
    io, process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use cryptoki_sys::{CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT};

use crate::{
    function::Function,
    ledger::{Kind, Ledger, LedgerFile},
    rv::{Rv, fail},
};

/// The gate of one partition in this process.
#[derive(Debug)]
pub(crate) struct Gate {
    calls: [AtomicU64; Function::ALL.len()],
    hanging: AtomicUsize,
    faulty: AtomicBool,
    ledger: ArcSwap<Ledger>,
    installing: Mutex<()>,
    changed: Condvar,
    file: Option<LedgerFile>,
    init_travels: bool,
    lost: AtomicU64,
    reused: AtomicU64,
}

/// What the rest of a partition has to do about a new ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    LoseSessions,
    ReuseHandles,
}

impl Gate {
    /// A gate with the faults that are in force already.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub(crate) fn open(file: Option<LedgerFile>, init_travels: bool) -> io::Result<Self> {
        let ledger = file.as_ref().map_or_else(|| Ok(Ledger::default()), LedgerFile::read)?;
        Ok(Self {
            calls: [const { AtomicU64::new(0) }; Function::ALL.len()],
            hanging: AtomicUsize::new(0),
            faulty: AtomicBool::new(!ledger.faults.is_empty()),
            lost: AtomicU64::new(ledger.lost),
            reused: AtomicU64::new(ledger.reused),
            ledger: ArcSwap::from_pointee(ledger),
            installing: Mutex::new(()),
            changed: Condvar::new(),
            file,
            init_travels,
        })
    }

    /// Counts a call.
    pub(crate) fn count(&self, function: Function) {
        self.calls[function as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often each function was called.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Function, u64)> {
        Function::ALL.into_iter().zip(self.calls.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How many calls hang now.
    pub(crate) fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Acquire)
    }

    /// The faults as this process knows them.
    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        self.ledger.load_full()
    }

    /// Whether the token is removed now.
    pub(crate) fn is_removed(&self) -> bool {
        let now = SystemTime::now();
        self.faulty.load(Ordering::Acquire) && self.ledger.load().faults.iter().any(|f| f.kind == Kind::RemoveToken && f.is_on(now))
    }

    /// Puts a call through the faults that reach it. Also where it may sleep, hang, or end the process.
    ///
    /// # Errors
    /// The answer that a fault prescribes.
    pub(crate) fn pass(&self, function: Function) -> Result<(), Rv> {
        if !self.faulty.load(Ordering::Acquire) {
            return Ok(());
        }
        let ledger = self.ledger.load_full();
        for fault in &ledger.faults {
            if !fault.reaches(function, self.init_travels, SystemTime::now()) {
                continue;
            }
            match fault.kind {
                Kind::Crash => {
                    if self.agree(|ledger| ledger.claim(fault.id)) {
                        process::abort();
                    }
                }
                // The slot itself is there; it says that it is empty.
                Kind::RemoveToken if function == Function::SlotInfo => {}
                Kind::RemoveToken if function.asks_the_slot() => return fail(CKR_TOKEN_NOT_PRESENT),
                Kind::RemoveToken => return fail(CKR_DEVICE_REMOVED),
                Kind::Hang | Kind::Slow(_) | Kind::Error(_) if fault.calls.is_some() && !self.agree(|ledger| ledger.take(fault.id)) => {}
                Kind::Hang => self.hang(fault.id),
                Kind::Slow(extra) => thread::sleep(extra),
                Kind::Error(code) => return fail(code),
            }
        }
        Ok(())
    }

    /// What lost sessions and reused handles still ask of this process; each is asked once.
    pub(crate) fn owed(&self) -> Effect {
        let ledger = self.ledger.load();
        let lost = self.lost.fetch_max(ledger.lost, Ordering::AcqRel) < ledger.lost;
        let reused = self.reused.fetch_max(ledger.reused, Ordering::AcqRel) < ledger.reused;
        match (reused, lost) {
            (true, _) => Effect::ReuseHandles,
            (false, true) => Effect::LoseSessions,
            (false, false) => Effect::None,
        }
    }

    /// Reads the ledger again.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn reload(&self) -> io::Result<()> {
        if let Some(file) = &self.file {
            self.install(file.read()?);
        }
        Ok(())
    }

    /// Changes the ledger for all processes, and takes the change over in this one.
    ///
    /// # Errors
    /// It can't be written, or there is none.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Ledger) -> R) -> io::Result<Option<R>> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let (ledger, result) = file.update(&self.ledger.load(), change)?;
        self.install(ledger);
        Ok(result)
    }

    /// Takes over a newer ledger, and wakes what hangs.
    fn install(&self, new: Ledger) {
        let held = self.lock();
        if new.revision > self.ledger.load().revision {
            let faulty = !new.faults.is_empty();
            self.ledger.store(Arc::new(new));
            self.faulty.store(faulty, Ordering::Release);
            self.changed.notify_all();
        }
        drop(held);
    }

    /// A decision that only one call of one process may get; no, when the ledger can't be written.
    fn agree(&self, change: impl FnOnce(&mut Ledger) -> bool) -> bool {
        match self.update(change) {
            Ok(agreed) => agreed.unwrap_or(false),
            Err(error) => {
                eprintln!("holdfast-sim-hsm: fault ledger: {error}");
                false
            }
        }
    }

    fn hang(&self, id: u64) {
        self.hanging.fetch_add(1, Ordering::Release);
        let mut held = self.lock();
        loop {
            let ledger = self.ledger.load_full();
            let Some(fault) = ledger.fault(id) else { break };
            let Some(until) = fault.until else {
                held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Ok(left) = until.duration_since(SystemTime::now()) else { break };
            held = self.changed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(held);
        self.hanging.fetch_sub(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.installing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
