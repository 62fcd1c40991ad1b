//! The last-good snapshot as a file: sealed in pieces, so that neither writing nor reading holds a second copy of it in memory.
//!
//! `holdfast last-good 1\n ‖ file id (16) ‖ pieces`, each piece `length (4, big-endian) ‖ sealed`. A piece is sealed for its file, its
//! place and whether it is the last, so that pieces can't be left out, moved or mixed. The first holds revision, time and digest,
//! the others encoded changes; the last may be empty.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Write},
    time::SystemTime,
};

use aws_lc_rs::rand;
use holdfast_proto::{
    ids::Revision,
    records::{Change, Record},
    seal::SealRing,
    snapshot::{Digest, RecordSet},
    sync as wire,
};
use prost::Message;
use zeroize::Zeroizing;

use super::{LastGood, Unreadable, millis, time};

/// What is written.
pub(super) struct Contents<'a> {
    pub(super) revision: Revision,
    pub(super) records: &'a RecordSet,
    pub(super) written_at: SystemTime,
}

pub(super) fn write(file: &mut impl Write, seals: &SealRing, contents: &Contents<'_>) -> io::Result<()> {
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(io::Error::other)?;
    file.write_all(MAGIC)?;
    file.write_all(&id)?;
    let mut out = Pieces { file, seals, id, place: 0 };
    out.put(&head(contents), false)?;
    // Secrets pass through here: wiped, and never grown, since growing leaves a copy behind.
    let mut piece = Zeroizing::new(Vec::with_capacity(PIECE + MAX_CHANGE));
    for store in contents.records.stores() {
        put_change(&mut out, &mut piece, Record::Store(store.header().clone()))?;
        for credential in store.credentials() {
            put_change(&mut out, &mut piece, Record::Credential(credential.clone()))?;
        }
        for key in store.keys() {
            put_change(&mut out, &mut piece, Record::Key(key.key().clone()))?;
            for version in key.versions() {
                put_change(&mut out, &mut piece, Record::Version(version.clone()))?;
            }
        }
    }
    out.put(&piece, true)
}

pub(super) fn read(file: File, seals: &SealRing) -> Result<LastGood, Unreadable> {
    let mut file = BufReader::with_capacity(PIECE, file);
    let mut magic = [0; MAGIC.len()];
    let mut id = [0; 16];
    read_exact(&mut file, &mut magic)?;
    if magic != MAGIC {
        return Err(Unreadable::Format);
    }
    read_exact(&mut file, &mut id)?;
    let mut pieces = Pieces { file, seals, id, place: 0 };
    let (head, _) = pieces.next()?;
    let (revision, written_at, digest) = parse_head(&head)?;
    let mut changes = Changes { pieces, piece: Zeroizing::default(), at: 0, last: false, fault: None };
    let applied = RecordSet::default().apply(changes.by_ref());
    // First: what stopped the changes is why the records don't fit together.
    if let Some(fault) = changes.fault {
        return Err(fault);
    }
    let records = applied?.0;
    if records.digest() != digest {
        return Err(Unreadable::Checksum);
    }
    Ok(LastGood { revision, records, written_at })
}

struct Pieces<'a, F> {
    file: F,
    seals: &'a SealRing,
    id: [u8; 16],
    place: u64,
}

/// Changes as they are read; ends at the first fault, and keeps it.
struct Changes<'a> {
    pieces: Pieces<'a, BufReader<File>>,
    piece: Zeroizing<Vec<u8>>,
    at: usize,
    last: bool,
    fault: Option<Unreadable>,
}

impl<F: Write> Pieces<'_, &mut F> {
    fn put(&mut self, piece: &[u8], last: bool) -> io::Result<()> {
        let sealed = self.seals.seal(&self.aad(last), piece).map_err(io::Error::other)?;
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(&sealed)?;
        self.place += 1;
        Ok(())
    }
}

impl Pieces<'_, BufReader<File>> {
    /// The next piece, and whether it is the last.
    fn next(&mut self) -> Result<(Zeroizing<Vec<u8>>, bool), Unreadable> {
        let mut length = [0; 4];
        read_exact(&mut self.file, &mut length)?;
        let length = u64::from(u32::from_be_bytes(length));
        let mut sealed = Vec::new();
        self.file.by_ref().take(length).read_to_end(&mut sealed)?;
        // Nothing after it: only the last can be.
        let last = io::BufRead::fill_buf(&mut self.file)?.is_empty();
        let piece = self.seals.open(&self.aad(last), &sealed)?;
        self.place += 1;
        Ok((piece, last))
    }
}

impl<F> Pieces<'_, F> {
    fn aad(&self, last: bool) -> Vec<u8> {
        [PURPOSE, &self.id, &self.place.to_be_bytes(), &[u8::from(last)]].concat()
    }
}

impl Iterator for Changes<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        self.read_one().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            None
        })
    }
}

impl Changes<'_> {
    fn read_one(&mut self) -> Result<Option<Change>, Unreadable> {
        if self.fault.is_some() {
            return Ok(None);
        }
        while self.at == self.piece.len() {
            if self.last {
                return Ok(None);
            }
            (self.piece, self.last) = self.pieces.next()?;
            self.at = 0;
        }
        let mut rest = &self.piece[self.at..];
        let change = wire::Change::decode_length_delimited(&mut rest)?;
        self.at = self.piece.len() - rest.len();
        Ok(Some(change.try_into()?))
    }
}

fn put_change<F: Write>(out: &mut Pieces<'_, &mut F>, piece: &mut Zeroizing<Vec<u8>>, record: Record) -> io::Result<()> {
    let change = wire::Change::from(&Change::Upsert(record));
    change.encode_length_delimited(&mut **piece).map_err(io::Error::other)?;
    if piece.len() >= PIECE {
        out.put(piece, false)?;
        piece.clear();
    }
    Ok(())
}

fn head(contents: &Contents<'_>) -> Vec<u8> {
    let Revision { epoch, counter } = contents.revision;
    let numbers = [epoch, counter, millis(contents.written_at)].map(u64::to_be_bytes);
    [numbers.as_flattened(), &contents.records.digest()].concat()
}

fn parse_head(head: &[u8]) -> Result<(Revision, SystemTime, Digest), Unreadable> {
    let (numbers, digest) = head.split_at_checked(24).ok_or(Unreadable::Format)?;
    let ([epoch, counter, written_at], []) = numbers.as_chunks::<8>() else {
        return Err(Unreadable::Format);
    };
    let revision = Revision { epoch: u64::from_be_bytes(*epoch), counter: u64::from_be_bytes(*counter) };
    let digest = digest.try_into().map_err(|_| Unreadable::Format)?;
    Ok((revision, time(u64::from_be_bytes(*written_at)), digest))
}

fn read_exact(file: &mut impl Read, into: &mut [u8]) -> Result<(), Unreadable> {
    file.read_exact(into).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Unreadable::Short,
        _ => Unreadable::Io(error),
    })
}

const MAGIC: &[u8] = b"holdfast last-good 1\n";
const PURPOSE: &[u8] = b"holdfast last-good 1 piece\0";

/// A piece is sealed when it has this many bytes.
const PIECE: usize = 256 << 10;

/// No record is larger; the buffer of a piece has room for one more.
const MAX_CHANGE: usize = 16 << 10;
