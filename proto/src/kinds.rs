//! Kinds of local keys, as the seal, the store and the stream name them.
//!
//! Always holds: a kind's name never changes its meaning: the seal of a key binds it.

use std::fmt;

/// What a local key is. Only [`KeyKind::Aes256`] encrypts for AWS KMS's external key stores; the others are made to be uploaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// AES (FIPS 197).
    Aes128,
    /// AES (FIPS 197).
    Aes192,
    /// AES (FIPS 197).
    #[default]
    Aes256,
    /// RSA (RFC 8017), public exponent 65537.
    Rsa2048,
    /// RSA (RFC 8017), public exponent 65537.
    Rsa3072,
    /// RSA (RFC 8017), public exponent 65537.
    Rsa4096,
    /// NIST's curve P-256 (SP 800-186).
    EcP256,
    /// NIST's curve P-384 (SP 800-186).
    EcP384,
    /// NIST's curve P-521 (SP 800-186).
    EcP521,
    /// The curve secp256k1 (SEC 2).
    EcSecp256k1,
    /// For HMAC with SHA-1 (RFC 2104), as long as its digest.
    HmacSha1,
    /// For HMAC with SHA-224, as long as its digest.
    HmacSha224,
    /// For HMAC with SHA-256, as long as its digest.
    HmacSha256,
    /// For HMAC with SHA-384, as long as its digest.
    HmacSha384,
    /// For HMAC with SHA-512, as long as its digest.
    HmacSha512,
}

/// No kind of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such kind of key")]
pub struct UnknownKind;

impl KeyKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Aes128,
        Self::Aes192,
        Self::Aes256,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EcP256,
        Self::EcP384,
        Self::EcP521,
        Self::EcSecp256k1,
        Self::HmacSha1,
        Self::HmacSha224,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
    ];

    /// Its one name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes128 => "aes-128",
            Self::Aes192 => "aes-192",
            Self::Aes256 => "aes-256",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::EcSecp256k1 => "ec-secp256k1",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha224 => "hmac-sha224",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// As the stream names it: AES-256, which all were before kinds were told, by nothing.
    #[must_use]
    pub fn to_wire(self) -> String {
        if self == Self::Aes256 { String::new() } else { self.as_str().to_owned() }
    }

    /// Reads what [`KeyKind::to_wire`] wrote.
    ///
    /// # Errors
    /// [`UnknownKind`].
    pub fn from_wire(name: &str) -> Result<Self, UnknownKind> {
        if name.is_empty() { Ok(Self::Aes256) } else { Self::try_from(name) }
    }

    /// The algorithm, as people write it.
    #[must_use]
    pub const fn algorithm(self) -> &'static str {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => "AES",
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => "RSA",
            Self::EcP256 | Self::EcP384 | Self::EcP521 | Self::EcSecp256k1 => "EC",
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha224 => "HMAC-SHA224",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha384 => "HMAC-SHA384",
            Self::HmacSha512 => "HMAC-SHA512",
        }
    }

    /// Its size: of an RSA modulus or a curve's field where it is a pair.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Aes128 => 128,
            Self::HmacSha1 => 160,
            Self::Aes192 => 192,
            Self::HmacSha224 => 224,
            Self::Aes256 | Self::EcP256 | Self::EcSecp256k1 | Self::HmacSha256 => 256,
            Self::EcP384 | Self::HmacSha384 => 384,
            Self::HmacSha512 => 512,
            Self::EcP521 => 521,
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::Rsa4096 => 4096,
        }
    }

    /// The curve, by its SEC 2 name.
    #[must_use]
    pub const fn curve(self) -> Option<&'static str> {
        match self {
            Self::EcP256 => Some("secp256r1"),
            Self::EcP384 => Some("secp384r1"),
            Self::EcP521 => Some("secp521r1"),
            Self::EcSecp256k1 => Some("secp256k1"),
            Self::Aes128
            | Self::Aes192
            | Self::Aes256
            | Self::Rsa2048
            | Self::Rsa3072
            | Self::Rsa4096
            | Self::HmacSha1
            | Self::HmacSha224
            | Self::HmacSha256
            | Self::HmacSha384
            | Self::HmacSha512 => None,
        }
    }
}

impl TryFrom<&str> for KeyKind {
    type Error = UnknownKind;

    fn try_from(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(UnknownKind)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_alone() {
        for kind in KeyKind::ALL {
            assert_eq!(KeyKind::try_from(kind.as_str()), Ok(kind));
            assert_eq!(KeyKind::from_wire(&kind.to_wire()), Ok(kind));
        }
        assert_eq!(KeyKind::try_from("AES-256"), Err(UnknownKind));
        assert_eq!(KeyKind::from_wire(""), Ok(KeyKind::Aes256));
    }
}
