//! Who may call, and when each last did.
//!
//! Holds: a request costs one relaxed load and, once a second, a store; the time belongs to the credential's id and outlives swaps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use holdfast_proto::records::Credential;

/// A credential of a key store.
#[derive(Debug)]
pub struct Caller {
    /// The credential.
    pub credential: Credential,
    /// Milliseconds since 1970; 0: not in this process's life.
    used: Arc<AtomicU64>,
}

impl Caller {
    /// One that has not called; `before` is the same access key id's, in the snapshot before.
    pub(super) fn new(credential: Credential, before: Option<&Self>) -> Self {
        let same = before.filter(|before| before.credential.id == credential.id);
        Self { used: same.map_or_else(Arc::default, |before| Arc::clone(&before.used)), credential }
    }

    /// It signed a request that was authenticated `now`.
    pub(crate) fn signed(&self, now: SystemTime) {
        let now = u64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        // Cores share this line: they read it together, and it moves once a second.
        if now >= self.used.load(Ordering::Relaxed).saturating_add(COARSE_MS) {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    /// When it last signed, to the second, milliseconds since 1970; none: not in this process's life.
    #[must_use]
    pub fn used_ms(&self) -> Option<u64> {
        Some(self.used.load(Ordering::Relaxed)).filter(|used| *used > 0)
    }
}

const COARSE_MS: u64 = 1_000;
