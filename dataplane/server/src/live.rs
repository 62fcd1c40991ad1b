//! The snapshot that requests are answered from.
//!
//! Holds: a request loads it once and keeps that one; a new one is built whole and swapped in; the replaced one is dropped by the
//! reaper's thread, never by a request. Called by the request path (`load`, `age`) and by `sync` (`install`, `mark_*`).

mod build;
mod caller;
mod count;
mod reaper;
mod snapshot;
mod source;

use std::{
    collections::HashSet,
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::{ArcSwap, Guard};
use holdfast_keys::pkcs11::Groups;
use holdfast_proto::{
    ids::{CredentialId, Revision},
    seal::SealRing,
    snapshot::RecordSet,
};

pub use self::{
    caller::Caller,
    count::{Count, CountName, Counted, Ledger, LimitReached, MOST_ENCRYPTIONS, RESERVED_AT_ONCE, ROTATION_DUE},
    snapshot::{Key, Snapshot, Store, Unusable, UnusableKey, Version},
    source::{Source, TokenKey},
};
use crate::{metrics::Metrics, signing::SigningKeys};

/// The snapshot in use, and what outlives each of them.
pub struct Live {
    current: ArcSwap<Snapshot>,
    /// One installer at a time.
    installing: Mutex<()>,
    parts: Parts,
    reaper: reaper::Reaper,
    started: Instant,
    /// When the control plane last confirmed the snapshot, milliseconds after `started`; negative before it, or [`CURRENT`].
    confirmed: AtomicI64,
}

/// What a snapshot is built with and what outlives it.
pub struct Parts {
    /// Opens local keys.
    pub seals: Arc<SealRing>,
    /// Have the keys on tokens.
    pub groups: Arc<Groups>,
    /// Gives each store its metrics.
    pub metrics: Arc<Metrics>,
    /// Derived signing keys; those of a dropped credential are purged with it.
    pub signing: Arc<SigningKeys>,
    /// Encryption counts.
    pub ledger: Arc<Ledger>,
}

impl Live {
    /// An empty snapshot, and the reaper's thread.
    ///
    /// # Errors
    /// Where the thread can't be started.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let reaper = reaper::Reaper::start(Arc::clone(&parts.signing))?;
        Ok(Self {
            current: ArcSwap::from_pointee(Snapshot::default()),
            installing: Mutex::new(()),
            parts,
            reaper,
            started: Instant::now(),
            confirmed: AtomicI64::new(0),
        })
    }

    /// The snapshot in use. Load it once per request.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The snapshot in use, to keep for longer than a request.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Encryption counts of all versions.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.parts.ledger
    }

    /// How long ago this node last knew that its snapshot is the newest: zero while the control plane is connected and has nothing
    /// newer to give, and without any confirmation the time since the start. Survives restarts through [`Live::mark_confirmed_at`].
    #[must_use]
    pub fn age(&self) -> Duration {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        if confirmed == CURRENT {
            return Duration::ZERO;
        }
        Duration::from_millis(u64::try_from(self.now().saturating_sub(confirmed)).unwrap_or(0))
    }

    /// The control plane is connected and has nothing newer.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed) == CURRENT
    }

    /// From now on [`Live::is_current`].
    pub fn mark_current(&self) {
        self.confirmed.store(CURRENT, Ordering::Relaxed);
    }

    /// The control plane is gone, or has something newer that this node refused: the age runs from now on.
    pub fn mark_uncertain(&self) {
        // Only from current: an age that already runs is not set back.
        let _ = self.confirmed.compare_exchange(CURRENT, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The snapshot was last known to be the newest at `at`, by the wall clock of an earlier run.
    pub fn mark_confirmed_at(&self, at: SystemTime) {
        let past = SystemTime::now().duration_since(at).unwrap_or_default();
        let past = i64::try_from(past.as_millis()).unwrap_or(i64::MAX);
        self.confirmed.store(self.now().saturating_sub(past), Ordering::Relaxed);
    }

    /// Builds the snapshot of `records` and swaps it in. A key that can't be served here is part of it, as unusable.
    ///
    /// What did not change is shared with the snapshot before, and so are limits, metrics and counts. Takes a second for 100,000
    /// new keys: not for a thread that answers requests.
    pub fn install(&self, records: RecordSet, revision: Revision) -> Arc<Snapshot> {
        let _one = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load_full();
        let next = Arc::new(build::snapshot(&before, records, revision, &self.parts));
        self.current.store(Arc::clone(&next));
        let dropped = dropped_credentials(&before, &next);
        self.parts.signing.purge(&dropped);
        self.reaper.bury(before, dropped);
        next
    }

    fn now(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(CURRENT - 1)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("revision", &self.load().revision).finish_non_exhaustive()
    }
}

/// Credentials of `before` that are gone or have another secret in `after`.
fn dropped_credentials(before: &Snapshot, after: &Snapshot) -> Vec<CredentialId> {
    let shared: HashSet<*const Store> = after.stores().map(Arc::as_ptr).collect();
    let changed = before.stores().filter(|store| !shared.contains(&Arc::as_ptr(store)));
    let kept: HashSet<(CredentialId, u64)> = after.stores().flat_map(|store| secrets(store)).collect();
    changed.flat_map(|store| secrets(store)).filter(|secret| !kept.contains(secret)).map(|(id, _)| id).collect()
}

fn secrets(store: &Store) -> impl Iterator<Item = (CredentialId, u64)> {
    store.credentials.values().map(|caller| (caller.credential.id, caller.credential.generation))
}

/// Stands for "connected and up to date" where a time is expected.
const CURRENT: i64 = i64::MAX;

#[cfg(test)]
pub(crate) mod tests;
