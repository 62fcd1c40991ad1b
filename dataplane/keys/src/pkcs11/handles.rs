//! A key on one partition, and its object handle there.
//!
//! Holds: a handle is used only in the generation of the partition that it was found in, since a stale one can name another key
//! (PKCS#11 v2.40 section 2.3: handles are valid only within the application's open sessions). Read by every worker without a lock.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use cryptoki::object::ObjectHandle;
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
    /// `CK_OBJECT_HANDLE` of what is used: the token's key, or a session's copy of it.
    pub(crate) handle: u64,
    /// Of a copy: the token's key, and when that was looked at last.
    pub(crate) copied: Option<Copied>,
    /// The partition's generation that it was found in.
    pub(crate) generation: u64,
    /// `CKA_ENCRYPT` and `CKA_DECRYPT`.
    pub(crate) usage: KeyUsage,
}

/// What a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// The token's key.
    pub(crate) original: ObjectHandle,
    /// The copy.
    pub(crate) copy: ObjectHandle,
    /// When it was seen on the token.
    pub(crate) seen: Instant,
}

impl MemberKey {
    /// A key that was not looked up yet.
    pub(crate) fn new(name: KeyName) -> Arc<Self> {
        Arc::new(Self { name, found: ArcSwapOption::empty() })
    }

    /// The key, if it was found in this generation. A copy only while the token's key was seen within [`SEEN_FOR`]: one that was deleted,
    /// or may be used for less than before, must not live on in copies.
    pub(crate) fn found(&self, generation: u64) -> Option<Found> {
        self.last(generation).filter(|found| found.copied.is_none_or(|copied| copied.seen.elapsed() < SEEN_FOR))
    }

    /// The key as it was found last in this generation, however long ago.
    pub(crate) fn last(&self, generation: u64) -> Option<Found> {
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

/// How long what is known of a token's key is used before that is looked at again: a copy, and the usage that AWS KMS is told (design §5:
/// true to the token).
pub(super) const SEEN_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn found(copied: Option<Copied>) -> Found {
        Found { handle: 7, copied, generation: 3, usage: KeyUsage::BOTH }
    }

    #[test]
    fn a_key_is_found_in_its_generation_only() {
        let key = MemberKey::new(KeyName { cka_id: [1].into(), label: "key".into() });
        assert_eq!(key.found(3), None);
        key.keep(found(None));
        assert_eq!([key.found(2), key.found(3), key.found(4)], [None, Some(found(None)), None]);
        key.forget();
        assert_eq!(key.found(3), None);
    }
}
