//! What a source key may be used for, in the bits of KMIP's cryptographic usage mask (KMIP 1.4 section 9.1.3.3.1), as clients write it.

use holdfast_proto::{kinds::KeyKind, records::KeyUsage};

/// Sign.
pub const SIGN: u32 = 1;
/// Verify a signature.
pub const VERIFY: u32 = 2;
/// Encrypt.
pub const ENCRYPT: u32 = 4;
/// Decrypt.
pub const DECRYPT: u32 = 8;
/// Wrap another key.
pub const WRAP: u32 = 16;
/// Unwrap another key.
pub const UNWRAP: u32 = 32;
/// Leave wrapped.
pub const EXPORT: u32 = 64;
/// Make a MAC.
pub const MAC_GENERATE: u32 = 128;
/// Verify a MAC.
pub const MAC_VERIFY: u32 = 256;

/// What a key for external key stores must be allowed.
pub const FOR_XKS: u32 = ENCRYPT | DECRYPT | WRAP | UNWRAP;

/// All bits that mean something: 24 of them.
pub const ALL: u32 = 0x00ff_ffff;

/// What a key of this kind may be used for where nobody said.
#[must_use]
pub const fn by_default(kind: KeyKind) -> u32 {
    match kind {
        KeyKind::Aes128 | KeyKind::Aes192 | KeyKind::Aes256 => FOR_XKS,
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => SIGN | VERIFY | FOR_XKS,
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::EcP521 | KeyKind::EcSecp256k1 => SIGN | VERIFY,
        KeyKind::HmacSha1 | KeyKind::HmacSha224 | KeyKind::HmacSha256 | KeyKind::HmacSha384 | KeyKind::HmacSha512 => {
            MAC_GENERATE | MAC_VERIFY
        }
    }
}

/// The part of a mask that a key's seal binds.
#[must_use]
pub const fn sealed(mask: u32) -> KeyUsage {
    KeyUsage { encrypt: mask & ENCRYPT != 0, decrypt: mask & DECRYPT != 0 }
}

/// The names of the bits of [`FOR_XKS`] that a mask lacks.
pub(super) fn lacking(mask: u32) -> Vec<&'static str> {
    let named = [(ENCRYPT, "Encrypt"), (DECRYPT, "Decrypt"), (WRAP, "Wrap"), (UNWRAP, "Unwrap")];
    named.into_iter().filter(|(bit, _)| mask & bit == 0).map(|(_, name)| name).collect()
}
