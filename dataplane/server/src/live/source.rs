//! What really encrypts: a key of one of the key sources that this node has.

use std::{fmt, sync::Arc};

use holdfast_keys::{
    local::LocalKey,
    pkcs11::{Group, GroupKey, Groups},
};
use holdfast_proto::{records::SourceKey, seal::SealRing};

use super::snapshot::Unusable;

/// A source key that this node can use.
#[derive(Debug)]
pub enum Source {
    /// A software key. It never waits for anything.
    Local(LocalKey),
    /// A key on a token.
    Partition(TokenKey),
}

/// A key on the partitions of a group.
#[derive(Clone)]
pub struct TokenKey {
    /// The partitions.
    pub group: Arc<Group>,
    /// The key: the same one for every version and snapshot that names it.
    pub key: Arc<GroupKey>,
}

impl Source {
    /// Opens a local key, or finds a token's key by its name; whether the token has it shows when it is used.
    pub(super) fn open(seals: &SealRing, groups: &Groups, source: &SourceKey) -> Result<Self, Unusable> {
        match source {
            SourceKey::Local(blob) => LocalKey::open(seals, blob).map(Self::Local).map_err(Unusable::Sealed),
            SourceKey::Partition(key) => {
                let group = groups.group(&key.group).ok_or_else(|| Unusable::NoPartition(key.group.as_str().into()))?;
                Ok(Self::Partition(TokenKey { group: Arc::clone(group), key: group.key(key) }))
            }
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}
