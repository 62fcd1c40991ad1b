//! `GetKeyMetadata`: what AWS may know of a key. Answers for blocked keys too.
//! Holds: a key is told to be enabled only where this node could encrypt under it (design §7.4).

use bytes::Bytes;
use holdfast_wire::{
    message::{KeyStatus, KeyUsages, MetadataResponse},
    refusal::Refusal,
};

use super::usable;
use crate::authorize::KnownKey;

/// Describes a key.
pub(crate) fn run(key: KnownKey<'_>) -> Result<Bytes, Refusal> {
    let usage = key.usage();
    let usages = match (usage.encrypt, usage.decrypt) {
        (true, true) => KeyUsages::EncryptDecrypt,
        (true, false) => KeyUsages::Encrypt,
        (false, true) => KeyUsages::Decrypt,
        // A key that can do nothing has no description in the protocol.
        (false, false) => return Err(Refusal::KeyUnusable),
    };
    let status = if key.is_blocked() {
        KeyStatus::Disabled
    } else {
        usable(&key.active().ok_or(Refusal::KeyUnusable)?.key)?;
        KeyStatus::Enabled
    };
    Ok(MetadataResponse { usages, status }.to_json().into())
}
