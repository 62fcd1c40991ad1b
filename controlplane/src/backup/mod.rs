//! A backup: everything that a control plane needs on a new machine, sealed under a passphrase; but no key seal, which is the data planes'.
//!
//! Form: `MAGIC ‖ u32be(length) ‖ header (JSON)`, then chunks as `u32be(length, with the top bit set on the last) ‖
//! AES-256-GCM(records)`. The key is Argon2id (RFC 9106) of the
//! passphrase under a salt that is drawn for each backup, so that chunk numbers can be nonces; the nonce of the last chunk says that it
//! is the last, and everything before the first chunk is the AAD of each.
//! Always holds: what is readable without the passphrase is what names seals, times and formats, and it can't be changed unseen; a file
//! that was cut, bent or sewn together from two does not open. `core` makes backups, `restore` reads them.

mod chunks;
mod header;
mod records;

use std::{io::Write, vec};

use holdfast_proto::{seal::SealFailed, secret::Secret};
use zeroize::Zeroizing;

use self::chunks::Sealing;
pub use self::{
    chunks::BackupFault,
    header::{Header, Kdf},
};
pub(crate) use self::{chunks::Opening, records::Record};

/// A backup on its way out: an iterator over the parts of the file.
pub struct Backup {
    header: Header,
    beginning: Option<Vec<u8>>,
    records: vec::IntoIter<Record>,
    filled: Zeroizing<Vec<u8>>,
    sealing: Option<Sealing>,
}

impl Backup {
    /// Derives the key, which is slow and takes memory by design: not on a request core.
    pub(crate) fn new(header: Header, records: Vec<Record>, passphrase: &Secret) -> Result<Self, SealFailed> {
        let beginning = header.to_bytes().ok_or(SealFailed)?;
        let key = header.kdf.derive(passphrase).ok_or(SealFailed)?;
        let sealing = Some(Sealing::new(&key, beginning.clone())?);
        Ok(Self { header, beginning: Some(beginning), records: records.into_iter(), filled: Zeroizing::default(), sealing })
    }

    /// What stands at its beginning, readable for all.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// A name for its file: when it was made, and of which revision.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Header { created_ms, revision, .. } = &self.header;
        format!("holdfast-{created_ms}-{}-{}.backup", revision.epoch, revision.counter)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The writer's, and one where a part can't be sealed.
    pub fn write_to(self, mut out: impl Write) -> std::io::Result<()> {
        for part in self {
            out.write_all(&part.map_err(std::io::Error::other)?)?;
        }
        out.flush()
    }
}

impl Iterator for Backup {
    type Item = Result<Vec<u8>, SealFailed>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(beginning) = self.beginning.take() {
            return Some(Ok(beginning));
        }
        let mut sealing = self.sealing.take()?;
        while self.filled.len() <= CHUNK {
            let Some(record) = self.records.next() else {
                return Some(sealing.seal(&self.filled, true));
            };
            record.write(&mut self.filled);
        }
        let rest = Zeroizing::new(self.filled.split_off(CHUNK));
        let sealed = sealing.seal(&self.filled, false);
        self.filled = rest;
        self.sealing = Some(sealing);
        Some(sealed)
    }
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Bytes of records in a chunk.
const CHUNK: usize = 256 << 10;

#[cfg(test)]
mod tests;
