//! Software keys, sealed under the key seal wherever they lie but in this process. AES-256 works here; [`make`] and [`check`] know the
//! other kinds, which are made to be uploaded.
//!
//! Always holds: a blob opens only with the id, kind, usage and exportability that it was sealed with, so none of them can be
//! changed by whoever can write configuration but has no key seal. IVs are 96 random bits (NIST SP 800-38D section 8.2.2).

mod material;
mod wrap;

use std::{fmt, mem};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    rand,
};
use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob},
    seal::{OpenError, SealFailed, SealRing, sealed_under},
};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::wrap::{OaepDigest, UnknownWrapping, WrapError, Wrapping, wrap};
use crate::{IV_LENGTH, KeyFault, Sealed, TAG_LENGTH};

/// An opened key, ready to work. It never prints; aws-lc wipes the key schedule when it drops.
pub struct LocalKey {
    key: LessSafeKey,
    usage: KeyUsage,
}

/// Why a blob gave no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenLocalError {
    /// The seal did not open: not loaded, altered, or sealed for another id, usage or exportability.
    #[error("the sealed key does not open")]
    Seal(#[from] OpenError),
    /// The seal opened, but not on an AES-256 key.
    #[error("the sealed key has {0} bytes, not 32")]
    Length(usize),
    /// The blob says that it is of another kind, which does not encrypt for AWS KMS.
    #[error("the key is {0}, not aes-256")]
    Kind(KeyKind),
    /// The seal opened, but not on a key of the blob's kind.
    #[error("what is sealed is not a key of kind {0}")]
    Material(KeyKind),
}

/// A key that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLocalKey {
    /// What it is.
    pub kind: KeyKind,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Never wrapped for export.
    pub unexportable: bool,
}

/// Why no key was generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The operating system gave no randomness, or the generator of pairs failed.
    #[error("no randomness for a key")]
    Random,
    /// The key could not be sealed.
    #[error("the new key could not be sealed")]
    Seal(#[from] SealFailed),
}

/// Why a key was not sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResealError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenLocalError),
    /// It could not be sealed.
    #[error("the key could not be sealed anew")]
    Seal(#[from] SealFailed),
}

impl LocalKey {
    /// Opens a sealed key.
    ///
    /// # Errors
    /// [`OpenLocalError`] says why this host can't serve the key.
    pub fn open(seals: &SealRing, blob: &LocalBlob) -> Result<Self, OpenLocalError> {
        if blob.kind != KeyKind::Aes256 {
            return Err(OpenLocalError::Kind(blob.kind));
        }
        let material = seals.open(&binding(blob.id, NewLocalKey::of(blob)), &blob.sealed)?;
        let key = UnboundKey::new(&AES_256_GCM, &material).map_err(|Unspecified| OpenLocalError::Length(material.len()))?;
        Ok(Self { key: LessSafeKey::new(key), usage: blob.usage })
    }

    /// What the key may be used for.
    #[must_use]
    pub const fn usage(&self) -> KeyUsage {
        self.usage
    }

    /// Encrypts under a fresh random IV.
    ///
    /// # Errors
    /// [`KeyFault::Key`] where the usage forbids it, [`KeyFault::Token`] where there is no randomness or the cipher fails.
    pub fn encrypt(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, KeyFault> {
        if !self.usage.encrypt {
            return Err(KeyFault::Key);
        }
        let mut iv = [0; IV_LENGTH];
        rand::fill(&mut iv).map_err(|Unspecified| KeyFault::Token)?;
        let mut text = Zeroizing::new(plaintext.to_vec());
        let sealed = self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::from(aad), &mut text);
        let tag = sealed.map_err(|Unspecified| KeyFault::Token)?.as_ref().try_into().map_err(|_| KeyFault::Token)?;
        Ok(Sealed { iv: iv.into(), ciphertext: mem::take(&mut *text), tag })
    }

    /// Decrypts what [`LocalKey::encrypt`] gave under the same `aad`.
    ///
    /// # Errors
    /// [`KeyFault::Input`] where it does not verify, [`KeyFault::Key`] where the usage forbids it.
    pub fn decrypt(&self, iv: &[u8], aad: &[u8], ciphertext: &[u8], tag: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        if !self.usage.decrypt {
            return Err(KeyFault::Key);
        }
        if tag.len() != TAG_LENGTH {
            return Err(KeyFault::Input);
        }
        let nonce = Nonce::try_assume_unique_for_key(iv).map_err(|Unspecified| KeyFault::Input)?;
        let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
        let opened = self.key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut plaintext);
        opened.map_err(|Unspecified| KeyFault::Input)?;
        Ok(plaintext)
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey(..)")
    }
}

/// Makes an AES-256 key from the operating system's generator, sealed by the first seal of the ring.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(seals: &SealRing, id: Uuid, usage: KeyUsage, unexportable: bool) -> Result<LocalBlob, GenerateError> {
    make(seals, id, NewLocalKey { kind: KeyKind::Aes256, usage, unexportable })
}

/// Makes a key of any kind, sealed by the first seal of the ring. An RSA pair takes up to some seconds.
///
/// # Errors
/// [`GenerateError`].
pub fn make(seals: &SealRing, id: Uuid, new: NewLocalKey) -> Result<LocalBlob, GenerateError> {
    let material = material::generate(new.kind).map_err(|Unspecified| GenerateError::Random)?;
    let sealed = seals.seal(&binding(id, new), &material)?.into();
    let NewLocalKey { kind, usage, unexportable } = new;
    Ok(LocalBlob { id, kind, usage, unexportable, sealed })
}

/// The same key of any kind under the first seal of the ring. What is given back was opened again: nothing takes the place of a blob that
/// opens but one that opens on the same key.
///
/// # Errors
/// [`ResealError`].
pub fn reseal(seals: &SealRing, blob: &LocalBlob) -> Result<LocalBlob, ResealError> {
    let bound = binding(blob.id, NewLocalKey::of(blob));
    let material = seals.open(&bound, &blob.sealed).map_err(OpenLocalError::Seal)?;
    if !material::is(blob.kind, &material) {
        return Err(OpenLocalError::Material(blob.kind).into());
    }
    if sealed_under(&blob.sealed) == Some(seals.id()) {
        return Ok(blob.clone());
    }
    let resealed = LocalBlob { sealed: seals.seal(&bound, &material)?.into(), ..blob.clone() };
    if seals.open(&bound, &resealed.sealed).map_err(OpenLocalError::Seal)? != material {
        return Err(SealFailed.into());
    }
    Ok(resealed)
}

/// Whether a blob of any kind opens, on a key of its kind.
///
/// # Errors
/// [`OpenLocalError`] says why this host can't use it.
pub fn check(seals: &SealRing, blob: &LocalBlob) -> Result<(), OpenLocalError> {
    let material = seals.open(&binding(blob.id, NewLocalKey::of(blob)), &blob.sealed)?;
    if material::is(blob.kind, &material) { Ok(()) } else { Err(OpenLocalError::Material(blob.kind)) }
}

impl NewLocalKey {
    const fn of(blob: &LocalBlob) -> Self {
        Self { kind: blob.kind, usage: blob.usage, unexportable: blob.unexportable }
    }
}

/// What the seal binds beside the key: kind, id, usage, exportability. Changing this loses every local key. AES-256 keeps the form that it
/// had before there were other kinds.
fn binding(id: Uuid, new: NewLocalKey) -> Vec<u8> {
    let mut bound = match new.kind {
        KeyKind::Aes256 => PURPOSE_AES_256.to_vec(),
        other => format!("{PURPOSE} {other}\0").into_bytes(),
    };
    bound.extend_from_slice(id.as_bytes());
    bound.extend([new.usage.encrypt, new.usage.decrypt, new.unexportable].map(u8::from));
    bound
}

/// Bytes of an AES-256 key.
pub const KEY_LENGTH: usize = 32;

/// Names the algorithm as well.
const PURPOSE_AES_256: &[u8] = b"holdfast local key 1 AES-256-GCM\0";

/// The kind's name follows.
const PURPOSE: &str = "holdfast local key 2";

#[cfg(test)]
mod tests;
