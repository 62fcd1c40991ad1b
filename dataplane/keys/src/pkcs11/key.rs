//! A key of a group: what a request under it asks for.
//!
//! Holds: whoever asks waits until its deadline at most, and takes no lock on the way.

use std::{sync::Arc, time::Instant};

use holdfast_proto::records::KeyUsage;
use zeroize::Zeroizing;

use super::{group::Group, handles::KeyName, health::MemberHealth};
use crate::{KeyFault, Sealed, TAG_LENGTH};

/// A key as the members of a group hold it.
pub struct GroupKey {
    group: Arc<Group>,
    name: KeyName,
}

/// An encryption.
pub struct ToEncrypt {
    /// Additional authenticated data, as AES-GCM gets it.
    pub aad: Vec<u8>,
    /// What to encrypt.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Asks for SHA-256 over this ‖ IV ‖ ciphertext ‖ tag, and for a decryption that proves the result (CDIV).
    pub integrity: Option<Vec<u8>>,
}

/// A decryption.
pub struct ToDecrypt {
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    /// Additional authenticated data, as AES-GCM gets it.
    pub aad: Vec<u8>,
    /// Without the tag.
    pub ciphertext: Vec<u8>,
    /// The authentication tag.
    pub tag: [u8; TAG_LENGTH],
}

/// What an encryption on a token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSealed {
    /// What was sealed.
    pub sealed: Sealed,
    /// What [`ToEncrypt::integrity`] asked for.
    pub integrity: Option<[u8; 32]>,
    /// 1, or more where a try failed its own check.
    pub tries: u32,
}

impl GroupKey {
    pub(super) const fn new(group: Arc<Group>, name: KeyName) -> Self {
        Self { group, name }
    }

    /// Encrypts.
    ///
    /// # Errors
    /// [`KeyFault`], but never `Input`.
    pub async fn encrypt(&self, _what: ToEncrypt, _deadline: Instant) -> Result<TokenSealed, KeyFault> {
        std::future::ready(Err(KeyFault::Token)).await
    }

    /// Decrypts.
    ///
    /// # Errors
    /// [`KeyFault`]; `Input` only where a token said that the ciphertext does not verify.
    pub async fn decrypt(&self, _what: ToDecrypt, _deadline: Instant) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        std::future::ready(Err(KeyFault::Token)).await
    }

    /// What the token allows the key to be used for; at most 10 seconds old.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub async fn usage(&self, _deadline: Instant) -> Result<KeyUsage, KeyFault> {
        std::future::ready(Err(KeyFault::Token)).await
    }

    /// How each member of the group serves the key, in the order of the configuration; at most a minute old.
    pub async fn health(&self, _deadline: Instant) -> Vec<MemberHealth> {
        std::future::ready(Vec::new()).await
    }
}

impl std::fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GroupKey({}, {})", self.group.name(), self.name)
    }
}
