//! Decrypt, under the version that made the ciphertext.
//!
//! Holds: a ciphertext with our mark is opened by the version that the mark names, number and tag; one without it only by a key that
//! replaced another proxy's, in that proxy's format and under that one version (design §6).

use bytes::Bytes;
use holdfast_keys::pkcs11::ToDecrypt;
use holdfast_proto::records::{Legacy, LegacyFormat};
use holdfast_wire::{
    aad::{self, CiphertextMetadata, gcm_aad},
    limits::IV_BYTES,
    message::{DecryptRequest, DecryptResponse, Payload},
    refusal::Refusal,
};

use super::{usable, while_decrypting};
use crate::{
    authorize::AllowedKey,
    deadline::Deadline,
    live::{Key, Source},
};

/// Decrypts what the request carries.
pub(crate) async fn run(key: AllowedKey<'_>, request: &DecryptRequest<'_>, deadline: Deadline) -> Result<Bytes, Refusal> {
    let key = key.key();
    let metadata = request.ciphertext_metadata.as_bytes();
    let mut aad = Vec::new();
    let ours = CiphertextMetadata::parse(metadata).ok().and_then(|ours| key.version(ours.version, ours.tag));
    let source = match (ours, key.legacy) {
        (Some(version), _) => {
            gcm_aad(request.aad.as_ref().map(Payload::as_bytes).unwrap_or_default(), metadata, &mut aad)?;
            usable(&version.key)?
        }
        (None, Some(legacy)) => {
            format(legacy).aad(request.aad.as_ref().map(Payload::as_bytes), metadata, &mut aad)?;
            legacy_key(key, legacy)?
        }
        (None, None) => return Err(Refusal::UnknownVersion),
    };
    let (iv, ciphertext, tag) = (request.iv.as_bytes(), request.ciphertext.as_bytes(), request.tag);
    let opened = match source {
        Source::Local(_) if iv.len() != IV_BYTES => return Err(Refusal::WrongIvLength),
        Source::Local(local) => local.decrypt(iv, &aad, ciphertext, &tag),
        Source::Partition(token) => {
            let what = ToDecrypt { iv: iv.to_vec(), aad, ciphertext: ciphertext.to_vec(), tag };
            token.key.decrypt(what, deadline.ends()).await
        }
    };
    let plaintext = opened.map_err(while_decrypting)?;
    // The body wipes itself once it is sent.
    Ok(Bytes::from_owner(DecryptResponse { plaintext: &plaintext }.to_json()))
}

fn legacy_key(key: &Key, legacy: Legacy) -> Result<&Source, Refusal> {
    usable(&key.numbered(legacy.version).ok_or(Refusal::UnknownVersion)?.key)
}

const fn format(legacy: Legacy) -> aad::LegacyFormat {
    match legacy.format {
        LegacyFormat::AwsSample => aad::LegacyFormat::AwsSample,
        LegacyFormat::RawConcat => aad::LegacyFormat::RawConcat,
    }
}
