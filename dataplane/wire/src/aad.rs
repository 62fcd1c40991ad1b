//! The bytes that bind a ciphertext to its surroundings: AAD for AES-GCM, the CDIV, our metadata.
//!
//! Owns: XKS 1.0.3's encodings of both, the nine bytes that we put into `ciphertextMetadata`, and the
//! encodings of proxies that are being replaced. Holds: two different (AAD, metadata) pairs never
//! encode alike in [`gcm_aad`], since each part is preceded by its length. Called by Encrypt and Decrypt.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// AAD or metadata that its length prefix can't describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("associated data is over 65,535 bytes, or ciphertext metadata over 255")]
pub struct TooLong;

/// Appends the AAD that AES-GCM gets whenever a ciphertext carries metadata (XKS, `ciphertextMetadata`):
/// `u16be(len AAD) ‖ AAD ‖ u8(len metadata) ‖ metadata`. Absent parts are empty.
///
/// # Errors
/// [`TooLong`] when a length does not fit its prefix; `out` is then as it was.
pub fn gcm_aad(aad: &[u8], metadata: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let lengths = Lengths::of(aad, metadata)?;
    out.reserve(3 + aad.len() + metadata.len());
    out.extend_from_slice(&lengths.aad);
    out.extend_from_slice(aad);
    out.push(lengths.metadata);
    out.extend_from_slice(metadata);
    Ok(())
}

/// What the ciphertext data integrity value is computed over, each part as decoded from base64.
#[derive(Clone, Copy, Debug)]
pub struct CdivParts<'a> {
    /// `additionalAuthenticatedData`; empty when absent.
    pub aad: &'a [u8],
    /// `ciphertextMetadata`; empty when absent.
    pub metadata: &'a [u8],
    /// `initializationVector`.
    pub iv: &'a [u8],
    /// `ciphertext`.
    pub ciphertext: &'a [u8],
    /// `authenticationTag`.
    pub tag: &'a [u8],
}

/// The ciphertext data integrity value before base64: SHA-256 over the plain concatenation of the parts
/// (XKS, `ciphertextDataIntegrityValue`).
#[must_use]
pub fn cdiv(parts: &CdivParts<'_>) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    for part in [parts.aad, parts.metadata, parts.iv, parts.ciphertext, parts.tag] {
        hash.update(part);
    }
    sized(hash.finish().as_ref())
}

/// What we write into `ciphertextMetadata`: which version of a virtual key encrypted.
/// On the wire `0x01 ‖ version (u32, big-endian) ‖ tag`, 9 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CiphertextMetadata {
    /// The version's number.
    pub version: u32,
    /// Four random bytes drawn when the version was made: tells a re-used number after a restore.
    pub tag: [u8; 4],
}

/// `ciphertextMetadata` that is not ours. Over Decrypt this is `InvalidCiphertextException`, unless the
/// key reads a legacy format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ciphertext metadata is not of this proxy")]
pub struct ForeignMetadata;

impl CiphertextMetadata {
    /// Length on the wire, in bytes.
    pub const BYTES: usize = 9;

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(self) -> [u8; Self::BYTES] {
        let [v0, v1, v2, v3] = self.version.to_be_bytes();
        let [t0, t1, t2, t3] = self.tag;
        [FORMAT, v0, v1, v2, v3, t0, t1, t2, t3]
    }

    /// Reads the bytes on the wire.
    ///
    /// # Errors
    /// [`ForeignMetadata`] for any other length or first byte.
    pub const fn parse(bytes: &[u8]) -> Result<Self, ForeignMetadata> {
        match *bytes {
            [FORMAT, v0, v1, v2, v3, t0, t1, t2, t3] => Ok(Self { version: u32::from_be_bytes([v0, v1, v2, v3]), tag: [t0, t1, t2, t3] }),
            _ => Err(ForeignMetadata),
        }
    }
}

/// How a proxy that is being replaced built its AAD. For Decrypt only: we never encrypt so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegacyFormat {
    /// The AWS sample proxy: `u16be(len AAD) ‖ SHA-256(AAD) if present ‖ u8(len metadata) ‖ metadata`,
    /// where the length is that of the AAD itself.
    AwsSample,
    /// `AAD ‖ metadata`.
    RawConcat,
}

impl LegacyFormat {
    /// Appends the AAD that the replaced proxy gave to AES-GCM. `aad` is `None` when the request has no
    /// `additionalAuthenticatedData`; one that is there but empty differs, in [`Self::AwsSample`].
    ///
    /// # Errors
    /// [`TooLong`] when a length does not fit its prefix; `out` is then as it was.
    pub fn aad(self, aad: Option<&[u8]>, metadata: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        let plain = aad.unwrap_or_default();
        match self {
            Self::AwsSample => {
                let lengths = Lengths::of(plain, metadata)?;
                out.extend_from_slice(&lengths.aad);
                if let Some(aad) = aad {
                    out.extend_from_slice(digest(&SHA256, aad).as_ref());
                }
                out.push(lengths.metadata);
            }
            Self::RawConcat => out.extend_from_slice(plain),
        }
        out.extend_from_slice(metadata);
        Ok(())
    }
}

struct Lengths {
    aad: [u8; 2],
    metadata: u8,
}

impl Lengths {
    fn of(aad: &[u8], metadata: &[u8]) -> Result<Self, TooLong> {
        Ok(Self {
            aad: u16::try_from(aad.len()).map_err(|_| TooLong)?.to_be_bytes(),
            metadata: u8::try_from(metadata.len()).map_err(|_| TooLong)?,
        })
    }
}

/// A SHA-256 digest as an array. A digest of another length can't come here; it would be cut or padded.
pub(crate) fn sized(digest: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    out
}

/// The first byte of our metadata: its format, so that a later one can differ.
const FORMAT: u8 = 0x01;
