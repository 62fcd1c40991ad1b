//! Key sources: where source keys live and what they can be asked. No HTTP, no runtime.
//!
//! [`local`] holds software keys: AES-256, sealed wherever they lie but in this process. Every source answers with the same
//! two shapes, [`Sealed`] and [`KeyFault`], so that whoever serves a request need not know which source did the work.

pub mod local;

/// What an encryption gives: AES-256-GCM with a 96-bit IV and a 128-bit tag (XKS proxy API specification, Encrypt).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The IV, drawn for this encryption.
    pub iv: [u8; IV_LENGTH],
    /// As long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// The authentication tag.
    pub tag: [u8; TAG_LENGTH],
}

/// Whose fault it is that a key didn't do what it was asked (design §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The caller's: the IV or tag has a wrong length, or the ciphertext does not verify.
    #[error("the ciphertext does not verify")]
    Input,
    /// The key's: its usage does not allow this.
    #[error("the key's usage does not allow this")]
    Key,
    /// The key source's: no randomness, or the cipher failed.
    #[error("the key source failed")]
    Token,
}

/// Bytes of an IV.
pub const IV_LENGTH: usize = 12;

/// Bytes of an authentication tag.
pub const TAG_LENGTH: usize = 16;
