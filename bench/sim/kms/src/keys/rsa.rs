//! `Encrypt` and `Decrypt` with an RSA key pair: RSAES-OAEP (RFC 8017).
//!
//! Always holds: hash and mask generation use the same hash, the label is empty; the ciphertext carries nothing else, so that whoever
//! decrypts names key and algorithm.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};

use super::{material::Material, spec::EncryptionAlgorithm};

/// Why an RSA key pair did not encrypt or decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDone {
    /// The plaintext is longer than the key and the hash allow.
    #[error("at most {0} bytes can be encrypted with this key and algorithm")]
    TooLong(usize),
    /// The ciphertext is not one of this key and algorithm.
    #[error("the ciphertext does not decrypt")]
    NotOurs,
    /// The library refused the key, or it is no RSA key.
    #[error("the key does not encrypt")]
    Refused,
}

/// Encrypts.
///
/// # Errors
/// [`NotDone::TooLong`], [`NotDone::Refused`].
pub(crate) fn encrypt(key: &Material, algorithm: EncryptionAlgorithm, plaintext: &[u8]) -> Result<Vec<u8>, NotDone> {
    let oaep = oaep(algorithm)?;
    let private = PrivateDecryptingKey::from_pkcs8(key.bytes()).map_err(|_| NotDone::Refused)?;
    let public = OaepPublicEncryptingKey::new(private.public_key()).map_err(|_| NotDone::Refused)?;
    let longest = public.max_plaintext_size(oaep);
    if plaintext.len() > longest {
        return Err(NotDone::TooLong(longest));
    }
    let mut room = vec![0; public.ciphertext_size()];
    Ok(public.encrypt(oaep, plaintext, &mut room, None).map_err(|_| NotDone::Refused)?.to_vec())
}

/// Decrypts.
///
/// # Errors
/// [`NotDone::NotOurs`], [`NotDone::Refused`].
pub(crate) fn decrypt(key: &Material, algorithm: EncryptionAlgorithm, ciphertext: &[u8]) -> Result<Vec<u8>, NotDone> {
    let oaep = oaep(algorithm)?;
    let private = PrivateDecryptingKey::from_pkcs8(key.bytes()).map_err(|_| NotDone::Refused)?;
    let private = OaepPrivateDecryptingKey::new(private).map_err(|_| NotDone::Refused)?;
    let mut room = vec![0; private.min_output_size()];
    Ok(private.decrypt(oaep, ciphertext, &mut room, None).map_err(|_| NotDone::NotOurs)?.to_vec())
}

fn oaep(algorithm: EncryptionAlgorithm) -> Result<&'static OaepAlgorithm, NotDone> {
    match algorithm {
        EncryptionAlgorithm::OaepSha1 => Ok(&OAEP_SHA1_MGF1SHA1),
        EncryptionAlgorithm::OaepSha256 => Ok(&OAEP_SHA256_MGF1SHA256),
        EncryptionAlgorithm::SymmetricDefault => Err(NotDone::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::spec::KeySpec;

    #[test]
    fn a_key_pair_encrypts_up_to_the_length_that_aws_states() {
        let key = Material::generate(KeySpec::Rsa2048).unwrap();
        for (algorithm, longest) in [(EncryptionAlgorithm::OaepSha1, 214), (EncryptionAlgorithm::OaepSha256, 190)] {
            let plaintext = vec![7; longest];
            let ciphertext = encrypt(&key, algorithm, &plaintext).unwrap();
            assert_eq!(decrypt(&key, algorithm, &ciphertext).unwrap(), plaintext);
            assert_eq!(encrypt(&key, algorithm, &vec![7; longest + 1]), Err(NotDone::TooLong(longest)));
        }
    }

    #[test]
    fn the_other_algorithm_does_not_decrypt() {
        let key = Material::generate(KeySpec::Rsa2048).unwrap();
        let ciphertext = encrypt(&key, EncryptionAlgorithm::OaepSha1, b"plain").unwrap();
        assert_eq!(decrypt(&key, EncryptionAlgorithm::OaepSha256, &ciphertext), Err(NotDone::NotOurs));
    }
}
