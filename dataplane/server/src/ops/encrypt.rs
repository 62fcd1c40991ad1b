//! Encrypt, under the active version of a key.
//!
//! Holds: the AAD binds the version's mark (`ciphertextMetadata`); where a CDIV was asked for, what is about to be returned was
//! decrypted again after the CDIV was computed, and is the plaintext (XKS, `ciphertextDataIntegrityValue`): here for a local key, as one
//! job on one session for a token's.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use holdfast_keys::{
    Sealed,
    local::LocalKey,
    pkcs11::{ToEncrypt, TokenSealed},
};
use holdfast_wire::{
    aad::{CdivParts, CiphertextMetadata, cdiv, gcm_aad},
    message::{EncryptRequest, EncryptResponse},
    refusal::Refusal,
};
use zeroize::Zeroizing;

use super::{usable, while_encrypting};
use crate::{
    authorize::AllowedKey,
    deadline::Deadline,
    live::{Source, TokenKey, Version},
};

/// Encrypts what the request carries.
pub(crate) async fn run(key: AllowedKey<'_>, request: &EncryptRequest<'_>, deadline: Deadline) -> Result<Bytes, Refusal> {
    let version = key.key().active.as_deref().ok_or(Refusal::KeyUnusable)?;
    let source = usable(&version.key)?;
    let metadata = CiphertextMetadata { version: version.number, tag: version.tag }.encode();
    let mut aad = Vec::new();
    gcm_aad(request.aad.as_bytes(), &metadata, &mut aad)?;
    match source {
        Source::Local(local) => by_local_key(version, &Parts { local, aad: &aad, metadata: &metadata, request }),
        Source::Partition(token) => {
            let plaintext = Zeroizing::new(request.plaintext.as_bytes().to_vec());
            let integrity = request.wants_cdiv.then(|| [request.aad.as_bytes(), &metadata].concat());
            let TokenSealed { sealed, integrity, .. } = by_token(version, token, ToEncrypt { aad, plaintext, integrity }, deadline).await?;
            Ok(encode(&sealed, &metadata, integrity.as_ref()))
        }
    }
}

/// Every try counts. A token's key is never refused for its count: what it draws its IVs from is the token's affair (design §6).
async fn by_token(version: &Version, token: &TokenKey, what: ToEncrypt, deadline: Deadline) -> Result<TokenSealed, Refusal> {
    version.count.note(1);
    let sealed = token.key.encrypt(what, deadline.ends()).await.map_err(while_encrypting)?;
    version.count.note(u64::from(sealed.tries.saturating_sub(1)));
    Ok(sealed)
}

fn by_local_key(version: &Version, parts: &Parts<'_>) -> Result<Bytes, Refusal> {
    let &Parts { local, aad, metadata, request } = parts;
    let sealed = seal(version, local, aad, request)?;
    if !request.wants_cdiv {
        return Ok(encode(&sealed, metadata, None));
    }
    let (sealed, cdiv) = match parts.proven(sealed) {
        Ok(proven) => proven,
        // Once more: a flipped bit is not the key's fault.
        Err(NotProven) => parts.proven(seal(version, local, aad, request)?).map_err(|NotProven| Refusal::SelfCheckFailed)?,
    };
    Ok(encode(&sealed, metadata, Some(&cdiv)))
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
