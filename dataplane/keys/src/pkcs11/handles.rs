//! A key on one partition, and its object handle there.
//!
//! Holds: a handle is used only in the generation of the partition that it was found in, since a stale one can name another key
//! (PKCS#11 v2.40 section 2.3: handles are valid only within the application's open sessions). Read by every worker without a lock.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use holdfast_proto::records::KeyUsage;
use serde::{Deserialize, Serialize};

/// What names a key on a token.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct KeyName {
    /// `CKA_ID`; empty: by label alone.
    pub(crate) cka_id: Box<[u8]>,
    /// `CKA_LABEL`; empty: by id alone.
    pub(crate) label: String,
}

/// A key on one partition.
pub(crate) struct MemberKey {
    pub(crate) name: KeyName,
    found: ArcSwapOption<Found>,
}

/// A key as it was found on the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// `CK_OBJECT_HANDLE`.
    pub(crate) handle: u64,
    /// The partition's generation that it was found in.
    pub(crate) generation: u64,
    /// `CKA_ENCRYPT` and `CKA_DECRYPT`.
    pub(crate) usage: KeyUsage,
}

impl MemberKey {
    /// A key that was not looked up yet.
    pub(crate) fn new(name: KeyName) -> Arc<Self> {
        Arc::new(Self { name, found: ArcSwapOption::empty() })
    }

    /// The key, if it was found in this generation.
    pub(crate) fn found(&self, generation: u64) -> Option<Found> {
        self.found.load().as_deref().copied().filter(|found| found.generation == generation)
    }

    /// Keeps what was found.
    pub(crate) fn keep(&self, found: Found) {
        self.found.store(Some(Arc::new(found)));
    }

    /// It has to be looked up again.
    pub(crate) fn forget(&self) {
        self.found.store(None);
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For operators: `"label" (id 00ff)`.
impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (id ", self.label)?;
        self.cka_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}
