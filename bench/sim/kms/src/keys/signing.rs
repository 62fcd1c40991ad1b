//! `Sign` and `Verify` with the key pair itself.
//!
//! Always holds: a digest is signed as it is, a message is hashed first; ECDSA signatures are DER (RFC 3279, section 2.2.3), the salt of
//! RSASSA-PSS is as long as the hash (RFC 8017).

use aws_lc_rs::{
    digest::{self, Digest},
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1_SIGNING,
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use serde::Deserialize;

use super::{
    material::Material,
    spec::{KeySpec, SigningAlgorithm},
};

/// AWS's `MessageType`, but for ML-DSA's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum MessageType {
    /// The message, which is hashed here.
    #[default]
    #[serde(rename = "RAW")]
    Raw,
    /// Its hash.
    #[serde(rename = "DIGEST")]
    Digest,
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSigned {
    /// The key is of another kind than the algorithm.
    #[error("the signing algorithm is not one of the key spec")]
    OtherSpec,
    /// The digest has another length than the algorithm's hash.
    #[error("the digest has another length than the signing algorithm's hash")]
    DigestLength,
    /// The library refused the key.
    #[error("the key does not sign")]
    Refused,
}

/// What signs and verifies, by algorithm and, for ECDSA, curve.
enum Scheme {
    Rsa { sign: &'static dyn RsaEncoding, verify: &'static dyn VerificationAlgorithm },
    Ecdsa { sign: &'static EcdsaSigningAlgorithm, verify: &'static dyn VerificationAlgorithm },
}

impl SigningAlgorithm {
    /// The digest that is signed.
    ///
    /// # Errors
    /// [`NotSigned::DigestLength`].
    pub(crate) fn digest(self, message: &[u8], of: MessageType) -> Result<Digest, NotSigned> {
        let hash = self.hash();
        match of {
            MessageType::Raw => Ok(digest::digest(hash, message)),
            MessageType::Digest => Digest::import_less_safe(message, hash).map_err(|_| NotSigned::DigestLength),
        }
    }

    /// Signs a digest of this algorithm.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub(crate) fn sign(self, key: &Material, digest: &Digest) -> Result<Vec<u8>, NotSigned> {
        match self.scheme(key.spec()).ok_or(NotSigned::OtherSpec)? {
            Scheme::Rsa { sign, .. } => {
                let pair = rsa::KeyPair::from_pkcs8(key.bytes()).map_err(|_| NotSigned::Refused)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(sign, digest, &mut signature).map_err(|_| NotSigned::Refused)?;
                Ok(signature)
            }
            Scheme::Ecdsa { sign, .. } => {
                let pair = EcdsaKeyPair::from_pkcs8(sign, key.bytes()).map_err(|_| NotSigned::Refused)?;
                let signature = pair.sign_digest(digest).map_err(|_| NotSigned::Refused)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    /// Whether `signature` is one of `digest` under the key.
    ///
    /// # Errors
    /// [`NotSigned`]: it can't be told.
    pub(crate) fn verify(self, key: &Material, digest: &Digest, signature: &[u8]) -> Result<bool, NotSigned> {
        Ok(match self.scheme(key.spec()).ok_or(NotSigned::OtherSpec)? {
            Scheme::Rsa { verify, .. } => {
                let pair = rsa::KeyPair::from_pkcs8(key.bytes()).map_err(|_| NotSigned::Refused)?;
                UnparsedPublicKey::new(verify, pair.public_key()).verify_digest(digest, signature).is_ok()
            }
            Scheme::Ecdsa { sign, verify } => {
                let pair = EcdsaKeyPair::from_pkcs8(sign, key.bytes()).map_err(|_| NotSigned::Refused)?;
                UnparsedPublicKey::new(verify, pair.public_key()).verify_digest(digest, signature).is_ok()
            }
        })
    }

    fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::Pkcs1Sha256 | Self::PssSha256 | Self::EcdsaSha256 => &digest::SHA256,
            Self::Pkcs1Sha384 | Self::PssSha384 | Self::EcdsaSha384 => &digest::SHA384,
            Self::Pkcs1Sha512 | Self::PssSha512 | Self::EcdsaSha512 => &digest::SHA512,
        }
    }

    fn scheme(self, spec: KeySpec) -> Option<Scheme> {
        if !spec.signing_algorithms().contains(&self) {
            return None;
        }
        Some(match self {
            Self::Pkcs1Sha256 => Scheme::Rsa { sign: &RSA_PKCS1_SHA256, verify: &RSA_PKCS1_2048_8192_SHA256 },
            Self::Pkcs1Sha384 => Scheme::Rsa { sign: &RSA_PKCS1_SHA384, verify: &RSA_PKCS1_2048_8192_SHA384 },
            Self::Pkcs1Sha512 => Scheme::Rsa { sign: &RSA_PKCS1_SHA512, verify: &RSA_PKCS1_2048_8192_SHA512 },
            Self::PssSha256 => Scheme::Rsa { sign: &RSA_PSS_SHA256, verify: &RSA_PSS_2048_8192_SHA256 },
            Self::PssSha384 => Scheme::Rsa { sign: &RSA_PSS_SHA384, verify: &RSA_PSS_2048_8192_SHA384 },
            Self::PssSha512 => Scheme::Rsa { sign: &RSA_PSS_SHA512, verify: &RSA_PSS_2048_8192_SHA512 },
            Self::EcdsaSha256 if spec == KeySpec::P256K1 => {
                Scheme::Ecdsa { sign: &ECDSA_P256K1_SHA256_ASN1_SIGNING, verify: &ECDSA_P256K1_SHA256_ASN1 }
            }
            Self::EcdsaSha256 => Scheme::Ecdsa { sign: &ECDSA_P256_SHA256_ASN1_SIGNING, verify: &ECDSA_P256_SHA256_ASN1 },
            Self::EcdsaSha384 => Scheme::Ecdsa { sign: &ECDSA_P384_SHA384_ASN1_SIGNING, verify: &ECDSA_P384_SHA384_ASN1 },
            Self::EcdsaSha512 => Scheme::Ecdsa { sign: &ECDSA_P521_SHA512_ASN1_SIGNING, verify: &ECDSA_P521_SHA512_ASN1 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_of_a_spec_signs_and_verifies_under_its_public_key() {
        for spec in [KeySpec::Rsa2048, KeySpec::P256, KeySpec::P384, KeySpec::P521, KeySpec::P256K1] {
            let key = Material::generate(spec).unwrap();
            let public = key.public_key().unwrap();
            for algorithm in spec.signing_algorithms() {
                let digest = algorithm.digest(b"message", MessageType::Raw).unwrap();
                let signature = algorithm.sign(&key, &digest).unwrap();
                assert!(algorithm.verify(&key, &digest, &signature).unwrap());
                let other = algorithm.digest(b"massage", MessageType::Raw).unwrap();
                assert!(!algorithm.verify(&key, &other, &signature).unwrap());
                let verify = match algorithm.scheme(spec).unwrap() {
                    Scheme::Rsa { verify, .. } | Scheme::Ecdsa { verify, .. } => verify,
                };
                assert!(UnparsedPublicKey::new(verify, &public).verify(b"message", &signature).is_ok(), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn a_digest_is_not_hashed_again() {
        let algorithm = SigningAlgorithm::EcdsaSha256;
        let raw = algorithm.digest(b"message", MessageType::Raw).unwrap();
        let given = algorithm.digest(raw.as_ref(), MessageType::Digest).unwrap();
        assert_eq!(given.as_ref(), raw.as_ref());
        assert_eq!(algorithm.digest(b"message", MessageType::Digest).err(), Some(NotSigned::DigestLength));
    }

    #[test]
    fn another_specs_algorithm_does_not_sign() {
        let key = Material::generate(KeySpec::P256).unwrap();
        let algorithm = SigningAlgorithm::PssSha256;
        let digest = algorithm.digest(b"message", MessageType::Raw).unwrap();
        assert_eq!(algorithm.sign(&key, &digest), Err(NotSigned::OtherSpec));
    }
}
