//! `GetKeyMetadata`: what AWS may know of a key. Answers for blocked keys too.
//! Holds: a key is told to be enabled only where this node could encrypt under it (design §7.4); the usage of a token's key is what the
//! token says.

use bytes::Bytes;
use holdfast_keys::KeyFault;
use holdfast_proto::records::KeyUsage;
use holdfast_wire::{
    message::{KeyStatus, KeyUsages, MetadataResponse},
    refusal::Refusal,
};

use super::{usable, while_encrypting};
use crate::{
    authorize::KnownKey,
    deadline::Deadline,
    live::{Source, TokenKey},
};

/// Describes a key.
pub(crate) async fn run(key: KnownKey<'_>, deadline: Deadline) -> Result<Bytes, Refusal> {
    let (status, usage) = if key.is_blocked() {
        // Told even where the token isn't there to ask.
        let usage = match key.shown().map(|version| &version.key) {
            Some(Ok(Source::Partition(token))) => ask(token, deadline).await.unwrap_or(key.usage()),
            Some(Ok(Source::Local(_)) | Err(_)) | None => key.usage(),
        };
        (KeyStatus::Disabled, usage)
    } else {
        let usage = match usable(&key.active().ok_or(Refusal::KeyUnusable)?.key)? {
            Source::Local(_) => key.usage(),
            Source::Partition(token) => ask(token, deadline).await.map_err(while_encrypting)?,
        };
        (KeyStatus::Enabled, usage)
    };
    let usages = match (usage.encrypt, usage.decrypt) {
        (true, true) => KeyUsages::EncryptDecrypt,
        (true, false) => KeyUsages::Encrypt,
        (false, true) => KeyUsages::Decrypt,
        // A key that can do nothing has no description in the protocol.
        (false, false) => return Err(Refusal::KeyUnusable),
    };
    Ok(MetadataResponse { usages, status }.to_json().into())
}

async fn ask(token: &TokenKey, deadline: Deadline) -> Result<KeyUsage, KeyFault> {
    token.key.usage(deadline.ends()).await
}
