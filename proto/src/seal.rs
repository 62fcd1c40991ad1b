//! Seals: AES-256-GCM keys that protect what lies on disk. The control plane's *control seal* and the data planes' *key seal*
//! are both of this form, and are never the same key.
//!
//! A sealed blob carries its seal's id, so that several seals may be loaded: the first of a ring seals, all of them open.
//! Form: `0x01 ‖ seal id (16) ‖ nonce (12, random) ‖ ciphertext ‖ tag (16)`; the caller's AAD binds what the blob is for.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    rand,
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// One seal.
pub struct Seal {
    id: Uuid,
    key: LessSafeKey,
    material: Zeroizing<[u8; 32]>,
}

/// Seals that are loaded: the first seals, all open. Never empty.
#[derive(Debug)]
pub struct SealRing {
    first: Seal,
    others: Vec<Seal>,
}

/// The text of a seal file does not hold a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a seal file: expected the lines `{HEADER}`, `id UUID` and `key 64-hex-digits`")]
pub struct BadSealText;

/// Why a blob could not be sealed: the operating system gave no randomness, or the blob is too large for AES-GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealing failed")]
pub struct SealFailed;

/// Why a blob was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or another format.
    #[error("not a sealed blob")]
    Malformed,
    /// Sealed under a seal that isn't loaded.
    #[error("sealed under seal {0}, which is not loaded")]
    UnknownSeal(Uuid),
    /// Altered, or sealed for something else.
    #[error("the seal does not verify")]
    Refused,
}

impl Seal {
    /// A fresh seal from the operating system's generator.
    ///
    /// # Errors
    /// [`SealFailed`] where the generator fails.
    pub fn generate() -> Result<Self, SealFailed> {
        let mut material = Zeroizing::new([0; 32]);
        let mut id = [0; 16];
        rand::fill(material.as_mut()).and_then(|()| rand::fill(&mut id)).map_err(|Unspecified| SealFailed)?;
        Self::new(uuid::Builder::from_random_bytes(id).into_uuid(), material).ok_or(SealFailed)
    }

    /// Reads what [`Seal::to_text`] wrote.
    ///
    /// # Errors
    /// [`BadSealText`] where the text has another form.
    pub fn from_text(text: &str) -> Result<Self, BadSealText> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let (Some(HEADER), Some(id), Some(key), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
            return Err(BadSealText);
        };
        let id = id.strip_prefix("id ").and_then(|id| Uuid::try_parse(id).ok()).ok_or(BadSealText)?;
        let material = key.strip_prefix("key ").and_then(unhex).ok_or(BadSealText)?;
        Self::new(id, material).ok_or(BadSealText)
    }

    /// The text of a seal file. Whoever has it has the key: mode 0600, and a copy in a safe place.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new(String::with_capacity(192));
        text.push_str(&format!("{HEADER}\nid {}\nkey ", self.id));
        for byte in self.material.iter() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text.push('\n');
        text
    }

    /// The seal's id, in front of each blob it sealed.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    fn new(id: Uuid, material: Zeroizing<[u8; 32]>) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, material.as_ref()).ok()?);
        Some(Self { id, key, material })
    }
}

impl SealRing {
    /// A ring whose `first` seals and all of which open.
    #[must_use]
    pub const fn new(first: Seal, others: Vec<Seal>) -> Self {
        Self { first, others }
    }

    /// The id of the seal that seals.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.first.id
    }

    /// Seals `plaintext`, bound to `aad`.
    ///
    /// # Errors
    /// [`SealFailed`].
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealFailed> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|Unspecified| SealFailed)?;
        let mut blob = Vec::with_capacity(OVERHEAD + plaintext.len());
        blob.push(FORMAT);
        blob.extend_from_slice(self.first.id.as_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(plaintext);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.first.key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut blob[PREFIX..]);
        blob.extend_from_slice(tag.map_err(|Unspecified| SealFailed)?.as_ref());
        Ok(blob)
    }

    /// Opens what a seal of this ring sealed under the same `aad`.
    ///
    /// # Errors
    /// [`OpenError`] says which of three ways it failed.
    pub fn open(&self, aad: &[u8], blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if blob.len() < OVERHEAD || blob[0] != FORMAT {
            return Err(OpenError::Malformed);
        }
        let (prefix, sealed) = blob.split_at(PREFIX);
        let (id, nonce) = prefix[1..].split_at(16);
        let id = Uuid::from_slice(id).map_err(|_| OpenError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|Unspecified| OpenError::Malformed)?;
        let seal = self.seals().find(|seal| seal.id == id).ok_or(OpenError::UnknownSeal(id))?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let length = seal.key.open_in_place(nonce, Aad::from(aad), &mut opened).map_err(|Unspecified| OpenError::Refused)?.len();
        opened.truncate(length);
        Ok(opened)
    }

    /// All seals, the one that seals first.
    pub fn seals(&self) -> impl Iterator<Item = &Seal> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// The id of the seal that a blob lies under; none where it is no sealed blob.
#[must_use]
pub fn sealed_under(blob: &[u8]) -> Option<Uuid> {
    if blob.len() < OVERHEAD || blob[0] != FORMAT {
        return None;
    }
    Uuid::from_slice(&blob[1..17]).ok()
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({})", self.id)
    }
}

fn unhex(digits: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = digits.as_bytes();
    let mut out = Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(out)
}

const HEADER: &str = "holdfast-seal 1";
const FORMAT: u8 = 1;
const PREFIX: usize = 1 + 16 + NONCE_LEN;
const OVERHEAD: usize = PREFIX + 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(seals: Vec<Seal>) -> SealRing {
        let mut seals = seals.into_iter();
        SealRing::new(seals.next().unwrap(), seals.collect())
    }

    #[test]
    fn a_blob_opens_only_under_its_own_aad_and_seal() {
        let seals = ring(vec![Seal::generate().unwrap()]);
        let blob = seals.seal(b"aad", b"secret").unwrap();
        assert_eq!((sealed_under(&blob), sealed_under(&blob[1..]), sealed_under(b"")), (Some(seals.id()), None, None));
        assert_eq!(seals.open(b"aad", &blob).unwrap().as_slice(), b"secret");
        assert_eq!(seals.open(b"other", &blob).unwrap_err(), OpenError::Refused);
        let stranger = ring(vec![Seal::generate().unwrap()]);
        assert_eq!(stranger.open(b"aad", &blob).unwrap_err(), OpenError::UnknownSeal(seals.id()));
        for at in 0..blob.len() {
            let mut bent = blob.clone();
            bent[at] ^= 1;
            assert!(seals.open(b"aad", &bent).is_err(), "byte {at}");
            assert!(seals.open(b"aad", &blob[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn an_old_seal_in_the_ring_still_opens() {
        let old = Seal::generate().unwrap();
        let again = Seal::from_text(&old.to_text()).unwrap();
        let blob = ring(vec![old]).seal(b"", b"kept").unwrap();
        let both = ring(vec![Seal::generate().unwrap(), again]);
        assert_eq!(both.open(b"", &blob).unwrap().as_slice(), b"kept");
    }

    #[test]
    fn what_is_not_a_seal_file_is_refused_and_no_seal_prints_its_key() {
        let seal = Seal::generate().unwrap();
        let text = seal.to_text();
        assert!(Seal::from_text(&text[..text.len() - 2]).is_err());
        assert!(Seal::from_text("").is_err());
        assert!(Seal::from_text(&format!("{}more\n", text.as_str())).is_err());
        assert_eq!(format!("{seal:?}"), format!("Seal({})", seal.id()));
    }
}
