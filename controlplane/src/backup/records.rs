//! What a backup is made of: files of the data directory, control seals, and entries.
//!
//! Form: `kind ‖ u32be(length of name) ‖ u32be(length of value) ‖ name ‖ value`.

use zeroize::Zeroizing;

use super::BackupFault;
use crate::store::RawEntry;

/// One thing in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A file of the data directory: its name and its text.
    File(String, Zeroizing<String>),
    /// The text of a control seal; the first seals.
    ControlSeal(Zeroizing<String>),
    /// An entry of the store.
    Entry(RawEntry),
}

impl Record {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (kind, name, value) = match self {
            Self::File(name, text) => (FILE, name.as_bytes(), text.as_bytes()),
            Self::ControlSeal(text) => (CONTROL_SEAL, &[][..], text.as_bytes()),
            Self::Entry(RawEntry { key, value }) => (ENTRY, key.as_ref(), value.as_ref()),
        };
        out.push(kind);
        // An entry is far from four gigabytes.
        for part in [name, value] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }

    /// The record at the beginning of `bytes`, with its length; none where there is only a part of one.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, BackupFault> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
        let length = |at: usize| head[at..at + 4].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let (name, value) = (length(1), length(5));
        if name.max(value) > LONGEST {
            return Err(BackupFault::Malformed);
        }
        let Some((name, rest)) = rest.split_at_checked(name) else { return Ok(None) };
        let Some((value, _)) = rest.split_at_checked(value) else { return Ok(None) };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| BackupFault::Malformed);
        let record = match head[0] {
            FILE => Self::File(text(name)?, Zeroizing::new(text(value)?)),
            CONTROL_SEAL => Self::ControlSeal(Zeroizing::new(text(value)?)),
            ENTRY => Self::Entry(RawEntry { key: name.into(), value: value.into() }),
            _ => return Err(BackupFault::Malformed),
        };
        Ok(Some((record, HEAD + name.len() + value.len())))
    }
}

const HEAD: usize = 9;
const FILE: u8 = 1;
const CONTROL_SEAL: u8 = 2;
const ENTRY: u8 = 3;
/// Bytes of a name or a value.
const LONGEST: usize = 64 << 20;
