//! An initialization vector as the XKS protocol allows it: 12 or 16 bytes.

use std::{fmt, ops::Deref};

use crate::IV_LENGTH;

/// An IV of at most [`Iv::MOST`] bytes. Tokens that make their own choose the length; elsewhere it is [`IV_LENGTH`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Iv {
    bytes: [u8; Self::MOST],
    length: u8,
}

/// A token gave an IV that no XKS response can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an IV of {0} bytes, where XKS allows 12 or 16")]
pub struct BadIvLength(pub usize);

impl Iv {
    /// Most bytes (XKS proxy API specification, `initializationVector`).
    pub const MOST: usize = 16;
}

impl TryFrom<&[u8]> for Iv {
    type Error = BadIvLength;

    fn try_from(bytes: &[u8]) -> Result<Self, BadIvLength> {
        let length = match bytes.len() {
            IV_LENGTH => 12,
            Self::MOST => 16,
            other => return Err(BadIvLength(other)),
        };
        let mut iv = Self { bytes: [0; Self::MOST], length };
        for (to, from) in iv.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(iv)
    }
}

impl From<[u8; IV_LENGTH]> for Iv {
    fn from(drawn: [u8; IV_LENGTH]) -> Self {
        let mut bytes = [0; Self::MOST];
        let (head, _) = bytes.split_at_mut(IV_LENGTH);
        head.copy_from_slice(&drawn);
        Self { bytes, length: 12 }
    }
}

impl Deref for Iv {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iv_has_12_or_16_bytes_and_gives_them_back() {
        let bytes: Vec<u8> = (1..=17).collect();
        for length in 0..=17 {
            let given = Iv::try_from(&bytes[..length]);
            match length {
                12 | 16 => assert_eq!(&*given.unwrap(), &bytes[..length]),
                _ => assert_eq!(given.unwrap_err(), BadIvLength(length)),
            }
        }
        assert_eq!(&*Iv::from([7; 12]), [7; 12]);
    }
}
