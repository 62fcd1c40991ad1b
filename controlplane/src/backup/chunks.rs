//! Chunks of a backup: sealed one after the other, and opened in that order only.

use std::io::{self, Read};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
};
use holdfast_proto::{seal::SealFailed, secret::Secret};
use zeroize::Zeroizing;

use super::{CHUNK, Header, Record};

/// Why a backup was not read.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// Something else, or its beginning is damaged.
    #[error("this is not a Holdfast backup")]
    NotABackup,
    /// Written by a later version.
    #[error("this backup is of format {format}, which a later version of Holdfast wrote; this version reads format 1")]
    Newer {
        /// Its format.
        format: String,
    },
    /// Its first part does not open.
    #[error("the passphrase is wrong, or the backup was altered at its beginning")]
    Passphrase,
    /// A later part does not open.
    #[error("the backup was altered: part {part} does not open")]
    Altered {
        /// Counted from 1.
        part: u64,
    },
    /// It ends too early.
    #[error("the backup is cut short")]
    Cut,
    /// It opens, and makes no sense.
    #[error("the backup holds what no backup holds")]
    Malformed,
    /// The file can't be read.
    #[error("the backup can't be read")]
    Read(#[source] io::Error),
}

/// Seals chunks.
pub(super) struct Sealing {
    key: LessSafeKey,
    aad: Vec<u8>,
    number: u64,
}

/// A backup that is being read: an iterator over its records, which ends after the first fault.
pub(crate) struct Opening<R> {
    source: R,
    header: Header,
    key: LessSafeKey,
    aad: Vec<u8>,
    number: u64,
    opened: Zeroizing<Vec<u8>>,
    used: usize,
    ended: bool,
}

impl Sealing {
    pub(super) fn new(key: &Zeroizing<[u8; 32]>, aad: Vec<u8>) -> Result<Self, SealFailed> {
        Ok(Self { key: cipher(key).ok_or(SealFailed)?, aad, number: 0 })
    }

    /// The next chunk, with its length in front.
    pub(super) fn seal(&mut self, records: &[u8], is_last: bool) -> Result<Vec<u8>, SealFailed> {
        let mut out = Vec::with_capacity(4 + records.len() + TAG);
        let length = u32::try_from(records.len() + TAG).ok().filter(|length| length & LAST == 0).ok_or(SealFailed)?;
        out.extend_from_slice(&(length | if is_last { LAST } else { 0 }).to_be_bytes());
        out.extend_from_slice(records);
        let nonce = nonce(self.number, is_last);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&self.aad), &mut out[4..]);
        out.extend_from_slice(tag.map_err(|Unspecified| SealFailed)?.as_ref());
        self.number += 1;
        Ok(out)
    }
}

impl<R: Read> Opening<R> {
    /// Reads the beginning and opens the first chunk, so that a wrong passphrase is told before anything else is done. Slow by design.
    pub(crate) fn new(mut source: R, passphrase: &Secret) -> Result<Self, BackupFault> {
        let (header, aad) = Header::read_with_bytes(&mut source)?;
        let key = header.kdf.derive(passphrase).and_then(|key| cipher(&key)).ok_or(BackupFault::NotABackup)?;
        let mut opening = Self { source, header, key, aad, number: 0, opened: Zeroizing::default(), used: 0, ended: false };
        opening.open_next()?;
        Ok(opening)
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// Opens the next chunk behind what is left of those before.
    fn open_next(&mut self) -> Result<(), BackupFault> {
        let mut head = [0; 4];
        read_exact(&mut self.source, &mut head)?;
        let head = u32::from_be_bytes(head);
        let (length, is_last) = (usize::try_from(head & !LAST).unwrap_or(usize::MAX), head & LAST != 0);
        let part = self.number + 1;
        let altered = || if part == 1 { BackupFault::Passphrase } else { BackupFault::Altered { part } };
        if !(TAG..=LONGEST).contains(&length) {
            return Err(altered());
        }
        let mut opened = Zeroizing::new(vec![0; length]);
        read_exact(&mut self.source, &mut opened)?;
        let nonce = nonce(self.number, is_last);
        let length = self.key.open_in_place(nonce, Aad::from(&self.aad), &mut opened).map_err(|Unspecified| altered())?.len();
        opened.truncate(length);
        if is_last && self.source.read(&mut [0]).map_err(BackupFault::Read)? > 0 {
            return Err(BackupFault::Altered { part: part + 1 });
        }
        self.number += 1;
        self.ended = is_last;
        let mut rest = Zeroizing::new(self.opened.split_off(self.used));
        rest.extend_from_slice(&opened);
        (self.opened, self.used) = (rest, 0);
        Ok(())
    }

    fn record(&mut self) -> Result<Option<Record>, BackupFault> {
        loop {
            if let Some((record, length)) = Record::read(&self.opened[self.used..])? {
                self.used += length;
                return Ok(Some(record));
            }
            match (self.ended, self.used == self.opened.len()) {
                (true, true) => return Ok(None),
                (true, false) => return Err(BackupFault::Malformed),
                (false, _) => self.open_next()?,
            }
        }
    }
}

impl<R: Read> Iterator for Opening<R> {
    type Item = Result<Record, BackupFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.record().transpose();
        if let Some(Err(_)) = next {
            (self.ended, self.used) = (true, self.opened.len());
        }
        next
    }
}

pub(super) fn read_exact(source: &mut impl Read, into: &mut [u8]) -> Result<(), BackupFault> {
    source.read_exact(into).map_err(|cause| match cause.kind() {
        io::ErrorKind::UnexpectedEof => BackupFault::Cut,
        _ => BackupFault::Read(cause),
    })
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key.as_ref()).ok().map(LessSafeKey::new)
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

const TAG: usize = 16;
/// Marks the last chunk's length; the nonce says the same.
const LAST: u32 = 1 << 31;
/// Bytes of a chunk that is taken.
const LONGEST: usize = CHUNK + (4 << 20);
