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
mod tests {
    use holdfast_proto::seal::Seal;
    use proptest::prelude::*;

    use super::*;

    fn ring() -> SealRing {
        SealRing::new(Seal::generate().unwrap(), Vec::new())
    }

    fn usage(encrypt: bool, decrypt: bool) -> KeyUsage {
        KeyUsage { encrypt, decrypt }
    }

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    const fn aes() -> NewLocalKey {
        NewLocalKey { kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true }
    }

    fn key(seals: &SealRing, usage: KeyUsage) -> LocalKey {
        LocalKey::open(seals, &generate(seals, Uuid::from_u128(7), usage, true).unwrap()).unwrap()
    }

    #[test]
    fn a_blob_with_altered_id_usage_or_exportability_does_not_open() {
        let seals = ring();
        let honest = generate(&seals, Uuid::from_u128(1), usage(false, true), true).unwrap();
        assert!(LocalKey::open(&seals, &honest).is_ok());
        let altered = [
            LocalBlob { id: Uuid::from_u128(2), ..honest.clone() },
            LocalBlob { usage: usage(true, true), ..honest.clone() },
            LocalBlob { usage: usage(false, false), ..honest.clone() },
            LocalBlob { usage: usage(true, false), ..honest.clone() },
            LocalBlob { unexportable: false, ..honest.clone() },
        ];
        for blob in altered {
            assert_eq!(LocalKey::open(&seals, &blob).unwrap_err(), OpenLocalError::Seal(OpenError::Refused), "{blob:?}");
        }
        let other = LocalBlob { kind: KeyKind::HmacSha256, ..honest.clone() };
        assert_eq!(LocalKey::open(&seals, &other).unwrap_err(), OpenLocalError::Kind(KeyKind::HmacSha256));
        assert_eq!(check(&seals, &other), Err(OpenLocalError::Seal(OpenError::Refused)));
    }

    #[test]
    fn a_seal_that_is_not_loaded_says_which() {
        let seals = ring();
        let blob = generate(&seals, Uuid::from_u128(1), KeyUsage::BOTH, true).unwrap();
        let error = LocalKey::open(&ring(), &blob).unwrap_err();
        assert_eq!(error, OpenLocalError::Seal(OpenError::UnknownSeal(seals.id())));
    }

    #[test]
    fn only_32_bytes_are_a_key() {
        let seals = ring();
        let id = Uuid::from_u128(1);
        for length in [0, 16, 31, 33] {
            let sealed = seals.seal(&binding(id, aes()), &vec![1; length]).unwrap().into();
            let blob = LocalBlob { id, kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed };
            assert_eq!(LocalKey::open(&seals, &blob).unwrap_err(), OpenLocalError::Length(length));
        }
    }

    #[test]
    fn usage_is_enforced_by_the_key_itself() {
        let seals = ring();
        assert_eq!(key(&seals, usage(false, true)).encrypt(b"", b"x"), Err(KeyFault::Key));
        let sealed = key(&seals, KeyUsage::BOTH).encrypt(b"", b"x").unwrap();
        let encrypt_only = key(&seals, usage(true, false));
        assert_eq!(encrypt_only.decrypt(&sealed.iv, b"", &sealed.ciphertext, &sealed.tag), Err(KeyFault::Key));
    }

    #[test]
    fn an_iv_or_tag_of_another_length_is_the_callers_fault() {
        let key = key(&ring(), KeyUsage::BOTH);
        let sealed = key.encrypt(b"aad", b"text").unwrap();
        for (iv, tag) in [(&sealed.iv[..11], &sealed.tag[..]), (&sealed.iv[..], &sealed.tag[..12]), (&[0; 13], &sealed.tag[..]), (&[], &[])]
        {
            assert_eq!(key.decrypt(iv, b"aad", &sealed.ciphertext, tag), Err(KeyFault::Input));
        }
    }

    #[test]
    fn the_same_plaintext_never_gives_the_same_ciphertext() {
        let key = key(&ring(), KeyUsage::BOTH);
        let (one, two) = (key.encrypt(b"aad", b"text").unwrap(), key.encrypt(b"aad", b"text").unwrap());
        assert_ne!(one.iv, two.iv);
        assert_ne!(one.ciphertext, two.ciphertext);
    }

    /// NIST's AES-256-GCM known answer (GCM specification, test case 16), opened by a sealed key of that material.
    #[test]
    fn the_cipher_is_aes_256_gcm() {
        let seals = ring();
        let id = Uuid::from_u128(16);
        let material = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let sealed = seals.seal(&binding(id, aes()), &material).unwrap().into();
        let key =
            LocalKey::open(&seals, &LocalBlob { id, kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed }).unwrap();
        let ciphertext = hex(concat!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        ));
        let plaintext = hex(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let opened = key.decrypt(&hex("cafebabefacedbaddecaf888"), &aad, &ciphertext, &hex("76fc6ece0f4e1768cddf8853bb2d551b"));
        assert_eq!(*opened.unwrap(), plaintext);
    }

    /// Written by the version before this one.
    #[test]
    fn a_key_that_was_sealed_before_there_were_kinds_opens() {
        let seal = concat!(
            "holdfast-seal 1\nid 23ff6fd8-70db-45d4-800d-ad4fe7af854b\n",
            "key e6a34629fd1daecc3967df18928c260d90d84fce30d96bb85fbdaf2c106aaab3\n"
        );
        let seals = SealRing::new(Seal::from_text(seal).unwrap(), Vec::new());
        let sealed = hex(concat!(
            "0123ff6fd870db45d4800dad4fe7af854b13517df80c9df42c80a0bec9ef257503a4b08d199607558e28080462b494d2f6c97b79a706dcbf8b1a12",
            "6c3854c78614201556205f889b0a490a3a07"
        ));
        let NewLocalKey { kind, usage, unexportable } = aes();
        let blob = LocalBlob { id: Uuid::from_u128(0x0123_4567), kind, usage, unexportable, sealed: sealed.into() };
        check(&seals, &blob).unwrap();
        let (iv, tag) = (hex("5793a5a2cd301c9750457e8d"), hex("f3679efc42b930e11a3648b04a6b6610"));
        let opened = LocalKey::open(&seals, &blob).unwrap().decrypt(&iv, b"aad", &hex("ed71c885aba18df4aed72ad34fcb32e5f7f4ee97"), &tag);
        assert_eq!(opened.unwrap().as_slice(), b"written before kinds");
    }

    #[test]
    fn a_key_of_each_kind_opens_as_that_kind_alone() {
        let seals = ring();
        for kind in KeyKind::ALL {
            let blob = make(&seals, Uuid::from_u128(1), NewLocalKey { kind, ..aes() }).unwrap();
            check(&seals, &blob).unwrap();
            assert_eq!(LocalKey::open(&seals, &blob).is_ok(), kind == KeyKind::Aes256, "{kind}");
            for other in KeyKind::ALL.into_iter().filter(|other| *other != kind) {
                let refused = check(&seals, &LocalBlob { kind: other, ..blob.clone() });
                assert_eq!(refused, Err(OpenLocalError::Seal(OpenError::Refused)), "{kind} as {other}");
            }
            let wrong = seals.seal(&binding(blob.id, NewLocalKey { kind, ..aes() }), &[1; 7]).unwrap();
            assert_eq!(check(&seals, &LocalBlob { sealed: wrong.into(), ..blob }), Err(OpenLocalError::Material(kind)));
        }
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", key(&ring(), KeyUsage::BOTH)), "LocalKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_encrypted_decrypts_and_any_change_does_not(
            aad in prop::collection::vec(any::<u8>(), 0..64),
            plaintext in prop::collection::vec(any::<u8>(), 1..128),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            let key = key(&ring(), KeyUsage::BOTH);
            let sealed = key.encrypt(&aad, &plaintext).unwrap();
            let opened = key.decrypt(&sealed.iv, &aad, &sealed.ciphertext, &sealed.tag).unwrap();
            prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
            let mut all = [&sealed.iv[..], &sealed.tag[..], &aad[..], &sealed.ciphertext[..]].concat();
            let at = at.index(all.len());
            all[at] ^= 1 << bit;
            let (iv, rest) = all.split_at(12);
            let (tag, rest) = rest.split_at(16);
            let (bent_aad, bent_text) = rest.split_at(aad.len());
            prop_assert_eq!(key.decrypt(iv, bent_aad, bent_text, tag), Err(KeyFault::Input));
        }

        #[test]
        fn no_bytes_open_as_a_key(sealed in prop::collection::vec(any::<u8>(), 0..128)) {
            let blob = LocalBlob { id: Uuid::nil(), kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true, sealed: sealed.into() };
            prop_assert!(LocalKey::open(&ring(), &blob).is_err());
        }
    }
}
