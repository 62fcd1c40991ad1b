//! Decoded payloads: never printed, and wiped where they are secret.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

/// A plaintext: wiped when dropped, never printed, not cloned.
#[derive(PartialEq, Eq)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Takes bytes into care.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

/// A ciphertext or AAD: public to whoever holds the request, and yet too long to print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// At most `N` bytes, kept in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Short<N> {
    /// No bytes.
    pub(super) const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn copy(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { bytes, len: from.len() })
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Short({} bytes)", self.len)
    }
}

/// Text that is not base64 (RFC 4648 §4, padded, no stray bits).
pub(super) struct NotBase64;

/// Decodes a secret. The text is wiped too where unescaping had copied it.
pub(super) fn plaintext(text: Cow<'_, str>) -> Result<Plaintext, NotBase64> {
    // One allocation that fits, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room(&text)));
    let decoded = STANDARD.decode_vec(text.as_bytes(), &mut bytes);
    if let Cow::Owned(mut text) = text {
        text.zeroize();
    }
    match decoded {
        Ok(()) => Ok(Plaintext(bytes)),
        Err(_) => Err(NotBase64),
    }
}

/// Decodes what is not secret.
pub(super) fn payload(text: &str) -> Result<Payload, NotBase64> {
    let mut bytes = Vec::with_capacity(room(text));
    match STANDARD.decode_vec(text, &mut bytes) {
        Ok(()) => Ok(Payload(bytes)),
        Err(_) => Err(NotBase64),
    }
}

/// Decodes without allocating what may have `N` bytes; `None` when it is base64 of more.
pub(super) fn short<const N: usize>(text: &str) -> Result<Option<Short<N>>, NotBase64> {
    let mut bytes = [0; SHORT_BYTES];
    if text.len() > SHORT_TEXT {
        return payload(text).map(|bytes| Short::copy(bytes.as_bytes()));
    }
    match STANDARD.decode_slice(text, &mut bytes) {
        Ok(len) => Ok(bytes.get(..len).and_then(Short::copy)),
        Err(_) => Err(NotBase64),
    }
}

const fn room(text: &str) -> usize {
    text.len().div_ceil(4) * 3
}

/// Longer than any short field may be, encoded and decoded.
const SHORT_TEXT: usize = 64;
const SHORT_BYTES: usize = 48;
