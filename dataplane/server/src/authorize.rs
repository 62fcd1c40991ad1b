//! The only way to name a key.
//! Holds: a [`KnownKey`] is in the key store that the request authenticated for; an [`AllowedKey`] is also neither blocked nor kept
//! from the operation by its usage. Nothing else makes either, and the operations take nothing else.

use holdfast_proto::records::KeyUsage;
use holdfast_wire::refusal::Refusal;

use crate::live::{Key, Store, Version};

/// A key of this store.
#[derive(Clone, Copy)]
pub(crate) struct KnownKey<'s> {
    key: &'s Key,
    store_blocked: bool,
}

/// A key of this store that may be used for what was asked.
#[derive(Clone, Copy)]
pub(crate) struct AllowedKey<'s>(&'s Key);

/// What a key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Encrypt.
    Encrypt,
    /// Decrypt.
    Decrypt,
}

impl<'s> KnownKey<'s> {
    /// The key that a path names.
    pub(crate) fn find(store: &'s Store, external_id: &str) -> Result<Self, Refusal> {
        let key = store.keys.get(external_id).ok_or(Refusal::KeyNotFound)?;
        Ok(Self { key, store_blocked: store.blocked })
    }

    /// The key or all of its store is blocked.
    pub(crate) const fn is_blocked(self) -> bool {
        self.store_blocked || self.key.blocked
    }

    /// What the key may be used for. Of a token's key only the token knows; here it may be used for anything.
    pub(crate) const fn usage(self) -> KeyUsage {
        self.key.usage
    }

    /// The version that encrypts, if there is one.
    pub(crate) fn active(self) -> Option<&'s Version> {
        self.key.active.as_deref()
    }

    /// The version that [`KnownKey::usage`] is of: the one that encrypts, or else the newest.
    pub(crate) fn shown(self) -> Option<&'s Version> {
        self.active().or_else(|| self.key.versions.last().map(AsRef::as_ref))
    }

    /// The same key, if it may be used for `wanted`.
    pub(crate) const fn allow(self, wanted: Use) -> Result<AllowedKey<'s>, Refusal> {
        if self.store_blocked {
            return Err(Refusal::StoreBlocked);
        }
        if self.key.blocked {
            return Err(Refusal::KeyBlocked);
        }
        let allowed = match wanted {
            Use::Encrypt => self.key.usage.encrypt,
            Use::Decrypt => self.key.usage.decrypt,
        };
        if allowed { Ok(AllowedKey(self.key)) } else { Err(Refusal::KeyUsage) }
    }
}

impl<'s> AllowedKey<'s> {
    /// The key itself.
    pub(crate) const fn key(self) -> &'s Key {
        self.0
    }
}
