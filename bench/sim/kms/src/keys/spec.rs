//! What a KMS key is for: its spec, its usage, and the algorithms that follow from the two.
//!
//! Always holds: every name is AWS's own, and the tables are full, so that a new spec does not compile until each of them knows it.
//! Source: AWS KMS API reference, `CreateKey` and `KeyMetadata`.

use serde::{Deserialize, Serialize};

/// AWS's `KeySpec`, but for those that only China has, Ed25519 and ML-DSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeySpec {
    #[serde(rename = "SYMMETRIC_DEFAULT")]
    SymmetricDefault,
    #[serde(rename = "RSA_2048")]
    Rsa2048,
    #[serde(rename = "RSA_3072")]
    Rsa3072,
    #[serde(rename = "RSA_4096")]
    Rsa4096,
    #[serde(rename = "ECC_NIST_P256")]
    P256,
    #[serde(rename = "ECC_NIST_P384")]
    P384,
    #[serde(rename = "ECC_NIST_P521")]
    P521,
    #[serde(rename = "ECC_SECG_P256K1")]
    P256K1,
    #[serde(rename = "HMAC_224")]
    Hmac224,
    #[serde(rename = "HMAC_256")]
    Hmac256,
    #[serde(rename = "HMAC_384")]
    Hmac384,
    #[serde(rename = "HMAC_512")]
    Hmac512,
}

/// AWS's `KeyUsage`; key agreement is not simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyUsage {
    #[serde(rename = "ENCRYPT_DECRYPT")]
    EncryptDecrypt,
    #[serde(rename = "SIGN_VERIFY")]
    SignVerify,
    #[serde(rename = "GENERATE_VERIFY_MAC")]
    GenerateVerifyMac,
}

/// What material a spec has; aliases may move only between keys of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One AES-256 key.
    Symmetric,
    /// An RSA or elliptic curve key pair.
    Asymmetric,
    /// An HMAC key.
    Hmac,
}

/// AWS's `EncryptionAlgorithmSpec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EncryptionAlgorithm {
    #[serde(rename = "SYMMETRIC_DEFAULT")]
    SymmetricDefault,
    #[serde(rename = "RSAES_OAEP_SHA_1")]
    OaepSha1,
    #[serde(rename = "RSAES_OAEP_SHA_256")]
    OaepSha256,
}

/// AWS's `SigningAlgorithmSpec` of RSA and ECDSA keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SigningAlgorithm {
    #[serde(rename = "RSASSA_PKCS1_V1_5_SHA_256")]
    Pkcs1Sha256,
    #[serde(rename = "RSASSA_PKCS1_V1_5_SHA_384")]
    Pkcs1Sha384,
    #[serde(rename = "RSASSA_PKCS1_V1_5_SHA_512")]
    Pkcs1Sha512,
    #[serde(rename = "RSASSA_PSS_SHA_256")]
    PssSha256,
    #[serde(rename = "RSASSA_PSS_SHA_384")]
    PssSha384,
    #[serde(rename = "RSASSA_PSS_SHA_512")]
    PssSha512,
    #[serde(rename = "ECDSA_SHA_256")]
    EcdsaSha256,
    #[serde(rename = "ECDSA_SHA_384")]
    EcdsaSha384,
    #[serde(rename = "ECDSA_SHA_512")]
    EcdsaSha512,
}

/// AWS's `MacAlgorithmSpec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MacAlgorithm {
    #[serde(rename = "HMAC_SHA_224")]
    Sha224,
    #[serde(rename = "HMAC_SHA_256")]
    Sha256,
    #[serde(rename = "HMAC_SHA_384")]
    Sha384,
    #[serde(rename = "HMAC_SHA_512")]
    Sha512,
}

impl KeySpec {
    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "SYMMETRIC_DEFAULT",
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::P256 => "ECC_NIST_P256",
            Self::P384 => "ECC_NIST_P384",
            Self::P521 => "ECC_NIST_P521",
            Self::P256K1 => "ECC_SECG_P256K1",
            Self::Hmac224 => "HMAC_224",
            Self::Hmac256 => "HMAC_256",
            Self::Hmac384 => "HMAC_384",
            Self::Hmac512 => "HMAC_512",
        }
    }

    /// What material it has.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::SymmetricDefault => Kind::Symmetric,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 | Self::P256 | Self::P384 | Self::P521 | Self::P256K1 => Kind::Asymmetric,
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => Kind::Hmac,
        }
    }

    /// Whether AWS lets such a key be for `usage`.
    pub(crate) const fn allows(self, usage: KeyUsage) -> bool {
        match self {
            Self::SymmetricDefault => matches!(usage, KeyUsage::EncryptDecrypt),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => matches!(usage, KeyUsage::EncryptDecrypt | KeyUsage::SignVerify),
            Self::P256 | Self::P384 | Self::P521 | Self::P256K1 => matches!(usage, KeyUsage::SignVerify),
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => matches!(usage, KeyUsage::GenerateVerifyMac),
        }
    }

    /// With what a key for [`KeyUsage::EncryptDecrypt`] encrypts.
    pub(crate) const fn encryption_algorithms(self) -> &'static [EncryptionAlgorithm] {
        match self {
            Self::SymmetricDefault => &[EncryptionAlgorithm::SymmetricDefault],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[EncryptionAlgorithm::OaepSha1, EncryptionAlgorithm::OaepSha256],
            Self::P256 | Self::P384 | Self::P521 | Self::P256K1 | Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[],
        }
    }

    /// With what a key for [`KeyUsage::SignVerify`] signs.
    pub(crate) const fn signing_algorithms(self) -> &'static [SigningAlgorithm] {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                SigningAlgorithm::Pkcs1Sha256,
                SigningAlgorithm::Pkcs1Sha384,
                SigningAlgorithm::Pkcs1Sha512,
                SigningAlgorithm::PssSha256,
                SigningAlgorithm::PssSha384,
                SigningAlgorithm::PssSha512,
            ],
            Self::P256 | Self::P256K1 => &[SigningAlgorithm::EcdsaSha256],
            Self::P384 => &[SigningAlgorithm::EcdsaSha384],
            Self::P521 => &[SigningAlgorithm::EcdsaSha512],
            Self::SymmetricDefault | Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[],
        }
    }

    /// With what a key for [`KeyUsage::GenerateVerifyMac`] makes MACs.
    pub(crate) const fn mac_algorithms(self) -> &'static [MacAlgorithm] {
        match self {
            Self::Hmac224 => &[MacAlgorithm::Sha224],
            Self::Hmac256 => &[MacAlgorithm::Sha256],
            Self::Hmac384 => &[MacAlgorithm::Sha384],
            Self::Hmac512 => &[MacAlgorithm::Sha512],
            Self::SymmetricDefault
            | Self::Rsa2048
            | Self::Rsa3072
            | Self::Rsa4096
            | Self::P256
            | Self::P384
            | Self::P521
            | Self::P256K1 => &[],
        }
    }
}

impl KeyUsage {
    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "ENCRYPT_DECRYPT",
            Self::SignVerify => "SIGN_VERIFY",
            Self::GenerateVerifyMac => "GENERATE_VERIFY_MAC",
        }
    }
}

impl EncryptionAlgorithm {
    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "SYMMETRIC_DEFAULT",
            Self::OaepSha1 => "RSAES_OAEP_SHA_1",
            Self::OaepSha256 => "RSAES_OAEP_SHA_256",
        }
    }
}
