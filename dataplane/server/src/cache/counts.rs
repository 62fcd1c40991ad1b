//! The file of encryption counts. Nothing secret is in it; a checksum finds what the disk has altered.
//!
//! `holdfast counts 1\n ‖ clean (1) ‖ n × (key id (16) ‖ version (4) ‖ tag (4) ‖ reserved (8)) ‖ SHA-256 (32)`, big-endian.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use holdfast_proto::ids::KeyId;
use uuid::Uuid;

use super::Unreadable;
use crate::live::{CountName, Counted};

/// What the file says.
pub(super) struct StoredCounts {
    pub(super) counts: Vec<Counted>,
    /// The run that wrote it ended as it should.
    pub(super) clean: bool,
}

impl StoredCounts {
    pub(super) fn read(mut file: File) -> Result<Self, Unreadable> {
        let mut all = Vec::new();
        file.read_to_end(&mut all)?;
        let at = all.len().checked_sub(32).ok_or(Unreadable::Short)?;
        let (body, checksum) = all.split_at(at);
        if digest(&SHA256, body).as_ref() != checksum {
            return Err(Unreadable::Checksum);
        }
        let body = body.strip_prefix(MAGIC).ok_or(Unreadable::Format)?;
        let (&clean, entries) = body.split_first().ok_or(Unreadable::Short)?;
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(Unreadable::Format);
        }
        Ok(Self { counts: entries.iter().map(decode).collect(), clean: clean == 1 })
    }
}

pub(super) fn write(file: &mut impl Write, counts: &[Counted], clean: bool) -> io::Result<()> {
    let mut checksum = Context::new(&SHA256);
    let mut put = |bytes: &[u8]| {
        checksum.update(bytes);
        file.write_all(bytes)
    };
    put(MAGIC)?;
    put(&[u8::from(clean)])?;
    for counted in counts {
        put(&encode(counted))?;
    }
    file.write_all(checksum.finish().as_ref())
}

fn encode(counted: &Counted) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..16].copy_from_slice(counted.name.key.0.as_bytes());
    entry[16..20].copy_from_slice(&counted.name.version.to_be_bytes());
    entry[20..24].copy_from_slice(&counted.name.tag);
    entry[24..].copy_from_slice(&counted.reserved.to_be_bytes());
    entry
}

fn decode(entry: &[u8; ENTRY]) -> Counted {
    let (mut key, mut version, mut tag, mut reserved) = ([0; 16], [0; 4], [0; 4], [0; 8]);
    key.copy_from_slice(&entry[..16]);
    version.copy_from_slice(&entry[16..20]);
    tag.copy_from_slice(&entry[20..24]);
    reserved.copy_from_slice(&entry[24..]);
    let name = CountName { key: KeyId(Uuid::from_bytes(key)), version: u32::from_be_bytes(version), tag };
    Counted { name, reserved: u64::from_be_bytes(reserved) }
}

const MAGIC: &[u8] = b"holdfast counts 1\n";
const ENTRY: usize = 16 + 4 + 4 + 8;
