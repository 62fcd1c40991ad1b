//! Encryption and decryption with a key's own material: all but keys in external key stores.
//!
//! Always holds: a symmetric ciphertext names the material that made it, so that it decrypts after rotations; what it authenticates is
//! the key's id (the same in every region of a multi-Region key) and the encryption context. An RSA ciphertext is nothing but that.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::HEXLOWER;

use super::{
    material::Material,
    rsa::{self, NotDone},
    spec::{EncryptionAlgorithm, Kind},
};
use crate::{
    draw,
    error::{AwsException, ErrorName},
    state::Key,
};

/// An encryption context, sorted.
pub(crate) type Context = BTreeMap<String, String>;

/// What is to be encrypted or decrypted, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Native<'a> {
    pub(crate) algorithm: EncryptionAlgorithm,
    /// Plaintext, or ciphertext.
    pub(crate) text: &'a [u8],
    pub(crate) context: &'a Context,
    /// As AWS names it, for what is told of a key of another usage.
    pub(crate) operation: &'a str,
}

/// The other text, and the `KeyMaterialId` that AWS names for a symmetric key.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) text: Vec<u8>,
    pub(crate) material_id: Option<String>,
}

/// Encrypts with the current material. The key's state was checked before.
///
/// # Errors
/// `InvalidKeyUsageException`, `ValidationException`, and `KMSInvalidStateException` if there is no material.
pub(crate) fn encrypt(key: &Key, native: &Native<'_>) -> Result<Done, AwsException> {
    checked(key, native)?;
    let (kept, material) = key.current().ok_or_else(|| gone(key))?;
    if key.spec.kind() == Kind::Asymmetric {
        let text = rsa::encrypt(material, native.algorithm, native.text).map_err(|error| not_done(key, native, error))?;
        return Ok(Done { text, material_id: None });
    }
    let iv = draw::bytes::<NONCE_LEN>();
    let mut text = native.text.to_vec();
    cipher(material)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::from(authenticated(key, native)), &mut text)
        .map_err(|_| internal())?;
    let id = HEXLOWER.decode(kept.id.as_bytes()).map_err(|_| internal())?;
    Ok(Done { text: [&id, &iv[..], &text].concat(), material_id: Some(kept.id.clone()) })
}

/// Decrypts with the material that the ciphertext names. The key's state was checked before.
///
/// # Errors
/// `InvalidCiphertextException`, and as [`encrypt`].
pub(crate) fn decrypt(key: &Key, native: &Native<'_>) -> Result<Done, AwsException> {
    checked(key, native)?;
    if key.spec.kind() == Kind::Asymmetric {
        let (_, material) = key.current().ok_or_else(|| gone(key))?;
        let text = rsa::decrypt(material, native.algorithm, native.text).map_err(|error| not_done(key, native, error))?;
        return Ok(Done { text, material_id: None });
    }
    let (id, rest) = native.text.split_first_chunk::<MATERIAL_ID_LEN>().ok_or_else(invalid)?;
    let (iv, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(invalid)?;
    let id = HEXLOWER.encode(id);
    let kept = key.materials.iter().find(|kept| kept.id == id).ok_or_else(invalid)?;
    let material = kept.material.as_ref().ok_or_else(|| gone(key))?;
    let mut text = sealed.to_vec();
    let opened = cipher(material)?
        .open_in_place(Nonce::assume_unique_for_key(*iv), Aad::from(authenticated(key, native)), &mut text)
        .map_err(|_| invalid())?;
    Ok(Done { text: opened.to_vec(), material_id: Some(id) })
}

/// Checks that the key is for encryption and with this algorithm and context.
///
/// # Errors
/// `InvalidKeyUsageException`, `ValidationException`.
pub(crate) fn checked(key: &Key, native: &Native<'_>) -> Result<(), AwsException> {
    let (spec, algorithm) = (key.spec, native.algorithm);
    if !spec.allows(super::spec::KeyUsage::EncryptDecrypt) || key.usage != super::spec::KeyUsage::EncryptDecrypt {
        let message = format!("{} key usage is {} which is not valid for {}.", key.arn, key.usage.name(), native.operation);
        return Err(AwsException::new(ErrorName::InvalidKeyUsage, message));
    }
    if !spec.encryption_algorithms().contains(&algorithm) {
        let message = format!("Algorithm {} is incompatible with key spec {}.", algorithm.name(), spec.name());
        return Err(AwsException::new(ErrorName::InvalidKeyUsage, message));
    }
    if spec.kind() == Kind::Asymmetric && !native.context.is_empty() {
        return Err(AwsException::invalid("An encryption context is not valid for an asymmetric KMS key."));
    }
    Ok(())
}

/// Each length and each text, so that no two keys and contexts are authenticated alike.
fn authenticated(key: &Key, native: &Native<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pairs = native.context.iter().flat_map(|(name, value)| [name, value]);
    for text in std::iter::once(&key.id).chain(pairs) {
        bytes.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn cipher(material: &Material) -> Result<LessSafeKey, AwsException> {
    UnboundKey::new(&AES_256_GCM, material.bytes()).map(LessSafeKey::new).map_err(|_| internal())
}

fn not_done(key: &Key, native: &Native<'_>, error: NotDone) -> AwsException {
    match error {
        NotDone::TooLong(longest) => AwsException::invalid(format!(
            "Algorithm {} and key spec {} cannot encrypt data larger than {longest} bytes.",
            native.algorithm.name(),
            key.spec.name()
        )),
        NotDone::NotOurs => invalid(),
        NotDone::Refused => internal(),
    }
}

fn gone(key: &Key) -> AwsException {
    AwsException::new(ErrorName::KmsInvalidState, format!("{} is pending import.", key.arn))
}

fn invalid() -> AwsException {
    AwsException::new(ErrorName::InvalidCiphertext, "")
}

fn internal() -> AwsException {
    AwsException::new(ErrorName::KmsInternal, "The key material could not be used.")
}

const MATERIAL_ID_LEN: usize = 32;
