//! The faults of one partition as all processes share them: a file beside the control socket.
//!
//! Holds: the file is the truth, and the sockets only nudge; `revision` grows by one with each change, so that an older reading can't
//! replace a newer one; a counted fault is counted over all processes.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use cryptoki_sys::CK_RV;
use serde::{Deserialize, Serialize};

use crate::{
    file::Shared,
    function::{Function, Reach},
};

/// Every fault of a partition.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Ledger {
    pub(crate) revision: u64,
    /// How often the sessions were lost.
    pub(crate) lost: u64,
    /// How often handles were given to other keys.
    pub(crate) reused: u64,
    pub(crate) faults: Vec<Fault>,
}

/// A fault that lasts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Fault {
    /// The revision that brought it.
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) on: Reach,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<SystemTime>,
    /// How many calls it still takes; else every call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<u64>,
}

/// What a fault does to the calls that it reaches.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// They block until it ends.
    Hang,
    /// They take so much longer.
    Slow(Duration),
    /// They answer this.
    Error(CK_RV),
    /// The token is gone.
    RemoveToken,
    /// The first aborts its process.
    Crash,
}

impl Fault {
    /// Whether it is in force for calls of `function` that start at `now`. `init_travels` says whether C_EncryptInit and C_DecryptInit
    /// reach the device by themselves.
    pub(crate) fn reaches(&self, function: Function, init_travels: bool, now: SystemTime) -> bool {
        let delays = matches!(self.kind, Kind::Hang | Kind::Slow(_));
        let travels = !delays || init_travels || !function.is_crypto_init() || self.on == Reach::Only(function);
        travels && self.on.includes(function) && self.is_on(now)
    }

    /// Whether its time is not over.
    pub(crate) fn is_on(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Ledger {
    /// The fault with this id.
    pub(crate) fn fault(&self, id: u64) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.id == id)
    }

    /// Adds a fault.
    pub(crate) fn add(&mut self, kind: Kind, on: Reach, until: Option<SystemTime>, calls: Option<u64>) {
        self.faults.push(Fault { id: self.revision, kind, on, until, calls });
        if kind == Kind::RemoveToken {
            self.lost += 1;
        }
    }

    /// Takes one call off a counted fault, if one is left. What hangs stays listed, since its calls wait for its end.
    pub(crate) fn take(&mut self, id: u64) -> bool {
        let Some(fault) = self.faults.iter_mut().find(|fault| fault.id == id) else { return false };
        let Some(left) = fault.calls else { return true };
        fault.calls = Some(left.saturating_sub(1));
        if left <= 1 && fault.kind != Kind::Hang {
            self.faults.retain(|fault| fault.id != id);
        }
        left > 0
    }

    /// Takes the whole fault away, if it is there.
    pub(crate) fn claim(&mut self, id: u64) -> bool {
        let before = self.faults.len();
        self.faults.retain(|fault| fault.id != id);
        self.faults.len() < before
    }
}

/// A ledger's file.
#[derive(Debug)]
pub(crate) struct LedgerFile(Shared);

impl LedgerFile {
    /// The file at `path`, which need not exist.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(Shared::new(path))
    }

    /// What it holds; an empty ledger when there is no file.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn read(&self) -> io::Result<Ledger> {
        Ok(self.0.read()?.unwrap_or_default())
    }

    /// Changes the ledger, and drops what has ended. `known` stands in for a file that someone removed.
    ///
    /// # Errors
    /// It can't be read or written.
    pub(crate) fn update<R>(&self, known: &Ledger, change: impl FnOnce(&mut Ledger) -> R) -> io::Result<(Ledger, Option<R>)> {
        let mut result = None;
        let ledger = self.0.update(|found: Option<Ledger>| {
            let mut ledger = found.unwrap_or_else(|| known.clone());
            let now = SystemTime::now();
            ledger.faults.retain(|fault| fault.is_on(now));
            ledger.revision += 1;
            result = Some(change(&mut ledger));
            ledger
        })?;
        Ok((ledger, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(kind: Kind, calls: Option<u64>) -> Ledger {
        let mut ledger = Ledger { revision: 7, ..Ledger::default() };
        ledger.add(kind, Reach::All, None, calls);
        ledger
    }

    #[test]
    fn a_counted_fault_takes_so_many_calls() {
        let mut error = ledger(Kind::Error(48), Some(2));
        assert_eq!([error.take(7), error.take(7), error.take(7)], [true, true, false]);
        assert!(error.faults.is_empty());
        let mut hang = ledger(Kind::Hang, Some(1));
        assert_eq!([hang.take(7), hang.take(7)], [true, false]);
        assert_eq!(hang.faults.len(), 1, "a hanging call waits for it");
        let mut endless = ledger(Kind::Error(48), None);
        assert_eq!([endless.take(7), endless.take(7)], [true, true]);
    }

    #[test]
    fn one_process_alone_claims_a_crash() {
        let mut crash = ledger(Kind::Crash, None);
        assert_eq!([crash.claim(7), crash.claim(7)], [true, false]);
    }

    #[test]
    fn an_init_call_is_delayed_only_where_it_travels() {
        let now = SystemTime::now();
        let reaches = |kind, on, travels| {
            let mut ledger = Ledger::default();
            ledger.add(kind, on, None, None);
            ledger.faults[0].reaches(Function::EncryptInit, travels, now)
        };
        assert!(!reaches(Kind::Hang, Reach::All, false) && !reaches(Kind::Slow(Duration::ZERO), Reach::Crypto, false));
        assert!(reaches(Kind::Hang, Reach::All, true) && reaches(Kind::Hang, Reach::Only(Function::EncryptInit), false));
        assert!(reaches(Kind::Error(5), Reach::Crypto, false) && !reaches(Kind::Error(5), Reach::Only(Function::Login), false));
    }

    #[test]
    fn a_removed_token_loses_its_sessions() {
        assert_eq!(ledger(Kind::RemoveToken, None).lost, 1);
        assert_eq!(ledger(Kind::Hang, None).lost, 0);
    }
}
