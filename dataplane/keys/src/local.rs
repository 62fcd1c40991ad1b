//! Software keys: AES-256, sealed under the key seal wherever they lie but in this process.
//!
//! Always holds: a blob opens only with the id, algorithm, usage and exportability that it was sealed with, so none of them can be
//! changed by whoever can write configuration but has no key seal. IVs are 96 random bits (NIST SP 800-38D section 8.2.2).

use std::{fmt, mem};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    rand,
};
use holdfast_proto::{
    records::{KeyUsage, LocalBlob},
    seal::{OpenError, SealFailed, SealRing},
};
use uuid::Uuid;
use zeroize::Zeroizing;

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
}

/// Why no key was generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The operating system gave no randomness.
    #[error("no randomness for a key")]
    Random,
    /// The key could not be sealed.
    #[error("the new key could not be sealed")]
    Seal(#[from] SealFailed),
}

impl LocalKey {
    /// Opens a sealed key.
    ///
    /// # Errors
    /// [`OpenLocalError`] says why this host can't serve the key.
    pub fn open(seals: &SealRing, blob: &LocalBlob) -> Result<Self, OpenLocalError> {
        let material = seals.open(&binding(blob.id, blob.usage, blob.unexportable), &blob.sealed)?;
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
    let mut material = Zeroizing::new([0; KEY_LENGTH]);
    rand::fill(material.as_mut()).map_err(|Unspecified| GenerateError::Random)?;
    let sealed = seals.seal(&binding(id, usage, unexportable), material.as_ref())?.into();
    Ok(LocalBlob { id, usage, unexportable, sealed })
}

/// What the seal binds beside the key: id, algorithm, usage, exportability. Changing this loses every local key.
fn binding(id: Uuid, usage: KeyUsage, unexportable: bool) -> [u8; BINDING_LENGTH] {
    let mut bound = [0; BINDING_LENGTH];
    let (purpose, rest) = bound.split_at_mut(PURPOSE.len());
    purpose.copy_from_slice(PURPOSE);
    let (name, flags) = rest.split_at_mut(16);
    name.copy_from_slice(id.as_bytes());
    flags.copy_from_slice(&[u8::from(usage.encrypt), u8::from(usage.decrypt), u8::from(unexportable)]);
    bound
}

/// Bytes of an AES-256 key.
pub const KEY_LENGTH: usize = 32;

/// The purpose names the algorithm as well.
const PURPOSE: &[u8] = b"holdfast local key 1 AES-256-GCM\0";
const BINDING_LENGTH: usize = PURPOSE.len() + 16 + 3;

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
            let sealed = seals.seal(&binding(id, KeyUsage::BOTH, true), &vec![1; length]).unwrap().into();
            let blob = LocalBlob { id, usage: KeyUsage::BOTH, unexportable: true, sealed };
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
        let hex = |digits: &str| -> Vec<u8> {
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
        };
        let seals = ring();
        let id = Uuid::from_u128(16);
        let material = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let sealed = seals.seal(&binding(id, KeyUsage::BOTH, true), &material).unwrap().into();
        let key = LocalKey::open(&seals, &LocalBlob { id, usage: KeyUsage::BOTH, unexportable: true, sealed }).unwrap();
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
            let blob = LocalBlob { id: Uuid::nil(), usage: KeyUsage::BOTH, unexportable: true, sealed: sealed.into() };
            prop_assert!(LocalKey::open(&ring(), &blob).is_err());
        }
    }
}
