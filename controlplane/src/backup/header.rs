//! What stands at the beginning of a backup, readable without the passphrase.

use std::io::Read;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{error::Unspecified, rand};
use data_encoding::BASE64;
use holdfast_proto::{ids::Revision, seal::SealFailed, secret::Secret};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::chunks::{BackupFault, read_exact};
use crate::store::encoding::RevisionDef;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of Holdfast that wrote it.
    pub software: String,
    /// The format of the entries in it.
    pub store_format: u32,
    /// The configuration's revision.
    #[serde(with = "RevisionDef")]
    pub revision: Revision,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// The control seals, which are in it; the first seals.
    pub control_seals: Vec<Uuid>,
    /// The key seals of the local keys in it: the data planes must hold them, they are not in it.
    pub key_seals: Vec<Uuid>,
    /// How the passphrase becomes the key.
    pub kdf: Kdf,
}

/// Argon2id (RFC 9106), version 0x13, with a key of 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kdf {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Base64 (RFC 4648 §4).
    pub salt: String,
}

impl Header {
    /// Reads it from the beginning of a backup.
    ///
    /// # Errors
    /// [`BackupFault`] where this is no backup that this version can read.
    pub fn read(source: &mut impl Read) -> Result<Self, BackupFault> {
        Self::read_with_bytes(source).map(|(header, _)| header)
    }

    pub(super) fn read_with_bytes(source: &mut impl Read) -> Result<(Self, Vec<u8>), BackupFault> {
        let mut bytes = vec![0; MAGIC.len() + 4];
        let magic = read_exact(source, &mut bytes).and(bytes.strip_prefix(FAMILY).ok_or(BackupFault::NotABackup));
        let magic = magic.map_err(|fault| if let BackupFault::Cut = fault { BackupFault::NotABackup } else { fault })?;
        if !bytes.starts_with(MAGIC) {
            let digits: String = magic.iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
            return Err(if digits.is_empty() { BackupFault::NotABackup } else { BackupFault::Newer { format: digits } });
        }
        let (_, length) = bytes.split_at(MAGIC.len());
        let length = <[u8; 4]>::try_from(length).map_or(u32::MAX, u32::from_be_bytes);
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or(BackupFault::NotABackup)?;
        let begun = bytes.len();
        bytes.resize(begun + length, 0);
        read_exact(source, &mut bytes[begun..])?;
        let header = serde_json::from_slice(&bytes[begun..]).map_err(|_| BackupFault::NotABackup)?;
        Ok((header, bytes))
    }

    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(self).ok().filter(|json| json.len() <= LONGEST)?;
        let length = u32::try_from(json.len()).ok()?;
        Some([MAGIC, &length.to_be_bytes(), &json].concat())
    }
}

impl Kdf {
    /// The second recommended choice of RFC 9106 §4 (64 MiB, 3 passes, 4 lanes) under a fresh salt.
    ///
    /// # Errors
    /// [`SealFailed`] without randomness.
    pub fn draw() -> Result<Self, SealFailed> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|Unspecified| SealFailed)?;
        Ok(Self { memory_kib: 64 << 10, passes: 3, lanes: 4, salt: BASE64.encode(&salt) })
    }

    /// The key. None where the parameters can't be, or would take more than anybody would have written.
    pub(super) fn derive(&self, passphrase: &Secret) -> Option<Zeroizing<[u8; 32]>> {
        if self.memory_kib > MOST_MEMORY_KIB || self.passes > MOST_PASSES || self.lanes > MOST_LANES {
            return None;
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let salt = BASE64.decode(self.salt.as_bytes()).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(passphrase.expose().as_bytes(), &salt, key.as_mut()).ok()?;
        Some(key)
    }
}

/// With the format's number.
pub(super) const MAGIC: &[u8] = b"holdfast-backup 1\n";
/// Of all formats.
const FAMILY: &[u8] = b"holdfast-backup ";
/// Bytes of a header: thousands of seals.
const LONGEST: usize = 1 << 20;
/// What a file that somebody else made may take: 1 GiB and a minute.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 64;
