//! Encrypt, under the active version of a key.
//!
//! Holds: the AAD binds the version's mark (`ciphertextMetadata`); where a CDIV was asked for, what is about to be returned was
//! decrypted again after the CDIV was computed, and is the plaintext (XKS, `ciphertextDataIntegrityValue`).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use holdfast_keys::{Sealed, local::LocalKey};
use holdfast_wire::{
    aad::{CdivParts, CiphertextMetadata, cdiv, gcm_aad},
    message::{EncryptRequest, EncryptResponse},
    refusal::Refusal,
};

use super::{usable, while_encrypting};
use crate::{authorize::AllowedKey, live::Version};

/// Encrypts what the request carries.
pub(crate) fn run(key: AllowedKey<'_>, request: &EncryptRequest<'_>) -> Result<Bytes, Refusal> {
    let version = key.key().active.as_deref().ok_or(Refusal::KeyUnusable)?;
    let local = usable(&version.key)?;
    let metadata = CiphertextMetadata { version: version.number, tag: version.tag }.encode();
    let mut aad = Vec::new();
    gcm_aad(request.aad.as_bytes(), &metadata, &mut aad)?;

    let sealed = seal(version, local, &aad, request)?;
    if !request.wants_cdiv {
        return Ok(encode(&sealed, &metadata, None));
    }
    let parts = Parts { local, aad: &aad, metadata: &metadata, request };
    let (sealed, cdiv) = match parts.proven(sealed) {
        Ok(proven) => proven,
        // Once more: a flipped bit is not the key's fault.
        Err(NotProven) => parts.proven(seal(version, local, &aad, request)?).map_err(|NotProven| Refusal::SelfCheckFailed)?,
    };
    Ok(encode(&sealed, &metadata, Some(&cdiv)))
}

/// What was encrypted does not decrypt to the plaintext.
struct NotProven;

struct Parts<'p> {
    local: &'p LocalKey,
    aad: &'p [u8],
    metadata: &'p [u8],
    request: &'p EncryptRequest<'p>,
}

impl Parts<'_> {
    fn proven(&self, sealed: Sealed) -> Result<(Sealed, [u8; 32]), NotProven> {
        let parts = CdivParts {
            aad: self.request.aad.as_bytes(),
            metadata: self.metadata,
            iv: &sealed.iv,
            ciphertext: &sealed.ciphertext,
            tag: &sealed.tag,
        };
        let cdiv = cdiv(&parts);
        let opened = self.local.decrypt(&sealed.iv, self.aad, &sealed.ciphertext, &sealed.tag).map_err(|_| NotProven)?;
        verify_slices_are_equal(&opened, self.request.plaintext.as_bytes()).map_err(|_| NotProven)?;
        Ok((sealed, cdiv))
    }
}

fn seal(version: &Version, local: &LocalKey, aad: &[u8], request: &EncryptRequest<'_>) -> Result<Sealed, Refusal> {
    version.count.take().map_err(|_| Refusal::EncryptionLimit)?;
    local.encrypt(aad, request.plaintext.as_bytes()).map_err(while_encrypting)
}

fn encode(sealed: &Sealed, metadata: &[u8], cdiv: Option<&[u8; 32]>) -> Bytes {
    let response =
        EncryptResponse { ciphertext: &sealed.ciphertext, iv: &sealed.iv, tag: &sealed.tag, ciphertext_metadata: metadata, cdiv };
    response.to_json().into()
}
