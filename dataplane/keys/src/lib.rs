//! Key sources: where source keys live and what they can be asked. No HTTP, no runtime.
//!
//! [`local`] holds software keys: AES-256, sealed wherever they lie but in this process. [`pkcs11`] reaches keys on PKCS#11 tokens,
//! in groups of partitions. Every source answers with the same two shapes, [`Sealed`] and [`KeyFault`], so that whoever serves a
//! request need not know which source did the work.

#[cfg(test)]
#[path = "../tests/pkcs11/fixture.rs"]
mod fixture;
mod iv;
pub mod local;
pub mod pkcs11;

// The fixture of tests is compiled outside this crate, too.
#[cfg(test)]
extern crate self as holdfast_keys;

pub use iv::{BadIvLength, Iv};

/// What an encryption gives: AES-256-GCM with a 96-bit IV and a 128-bit tag (XKS proxy API specification, Encrypt).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The IV, drawn for this encryption.
    pub iv: Iv,
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
    /// The key source's: no randomness, the cipher failed, or every member of the group is down.
    #[error("the key source failed")]
    Token,
    /// The queues of the key source are full.
    #[error("the key source is at its capacity")]
    Full,
    /// It waited for the key source until its deadline and was not started.
    #[error("the key source did not come to it in time")]
    NotStarted,
    /// It was started and not answered by its deadline, or every member of the group is suspect.
    #[error("the key source did not answer in time")]
    Late,
    /// No member of the group can serve the key: it is not there, is there twice, is no AES-256 key, or was excluded.
    #[error("the key source has no such key")]
    Missing,
    /// What was encrypted did not decrypt to the plaintext, twice.
    #[error("the ciphertext failed its integrity check")]
    SelfCheck,
}

/// Bytes of an IV that is drawn here (NIST SP 800-38D section 8.2.2).
pub const IV_LENGTH: usize = 12;

/// Bytes of an authentication tag.
pub const TAG_LENGTH: usize = 16;
