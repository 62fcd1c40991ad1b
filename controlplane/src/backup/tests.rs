//! A backup's form: what opens, and what does not.

use holdfast_proto::ids::Revision;
use uuid::Uuid;

use super::*;
use crate::store::RawEntry;

fn header() -> Header {
    // As little as Argon2 allows, since its cost is not what is tested.
    let kdf = Kdf { memory_kib: 32, passes: 1, lanes: 4, ..Kdf::draw().unwrap() };
    Header {
        software: "0".into(),
        store_format: 2,
        revision: Revision { epoch: 5, counter: 6 },
        created_ms: 7,
        control_seals: vec![Uuid::from_u128(1)],
        key_seals: vec![Uuid::from_u128(2)],
        kdf,
    }
}

fn records(entries: usize) -> Vec<Record> {
    let entry = |n: usize| Record::Entry(RawEntry { key: n.to_be_bytes().into(), value: vec![7; n % 300].into() });
    let beside = [Record::File("ca.crt".into(), Zeroizing::new("PEM".into())), Record::ControlSeal(Zeroizing::new("seal".into()))];
    beside.into_iter().chain((0..entries).map(entry)).collect()
}

fn file(entries: usize) -> Vec<u8> {
    let mut file = Vec::new();
    Backup::new(header(), records(entries), &secret("correct horse")).unwrap().write_to(&mut file).unwrap();
    file
}

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn open(file: &[u8], passphrase: &str) -> Result<Vec<Record>, BackupFault> {
    Opening::new(file, &secret(passphrase))?.collect()
}

#[test]
fn what_was_put_in_comes_out_in_its_order_whether_it_is_one_chunk_or_many() {
    for entries in [0, 1, 5_000] {
        let file = file(entries);
        assert_eq!(open(&file, "correct horse").unwrap(), records(entries));
        assert_eq!(Header::read(&mut file.as_slice()).unwrap().revision, Revision { epoch: 5, counter: 6 });
    }
    assert!(file(5_000).len() > 2 * CHUNK);
}

#[test]
fn a_chunk_that_is_filled_to_the_brim_is_followed_by_another() {
    let value = |length: usize| vec![Record::Entry(RawEntry { key: [].into(), value: vec![1; length].into() })];
    for length in [CHUNK - 10, CHUNK - 9, CHUNK - 8, 2 * CHUNK - 9, 5 * CHUNK] {
        let mut file = Vec::new();
        Backup::new(header(), value(length), &secret("p")).unwrap().write_to(&mut file).unwrap();
        assert_eq!(open(&file, "p").unwrap(), value(length), "{length}");
    }
}

#[test]
fn nothing_in_it_is_readable_but_its_header() {
    let file = file(10);
    let text = String::from_utf8_lossy(&file);
    assert!(text.starts_with("holdfast-backup 1\n") && text.contains(&Uuid::from_u128(2).to_string()));
    assert!(!text.contains("PEM") && !text.contains("ca.crt") && !text.contains("seal\n"));
}

#[test]
fn a_wrong_passphrase_and_every_changed_byte_and_length_are_told() {
    let file = file(3);
    assert!(matches!(open(&file, "wrong horse"), Err(BackupFault::Passphrase)));
    for at in 0..file.len() {
        let mut bent = file.clone();
        bent[at] ^= 1;
        assert!(open(&bent, "correct horse").is_err(), "byte {at}");
        assert!(open(&file[..at], "correct horse").is_err(), "length {at}");
    }
    assert!(open(&[file.as_slice(), b"x"].concat(), "correct horse").is_err());
}

#[test]
fn a_chunk_that_is_lost_repeated_swapped_or_of_another_backup_is_told() {
    let (file, other) = (file(5_000), file(5_000));
    let chunks = |file: &[u8]| {
        let (_, beginning) = Header::read_with_bytes(&mut &file[..]).unwrap();
        let mut rest = &file[beginning.len()..];
        let mut chunks = vec![beginning];
        while let Some((head, body)) = rest.split_at_checked(4) {
            let length = (u32::from_be_bytes(head.try_into().unwrap()) & 0x7fff_ffff) as usize;
            chunks.push(rest[..4 + length].to_vec());
            rest = &body[length..];
        }
        chunks
    };
    let parts = chunks(&file);
    assert!(parts.len() > 3);
    let told = |parts: &[&[u8]]| open(&parts.concat(), "correct horse").unwrap_err();
    let all: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert!(matches!(told(&all[..all.len() - 1]), BackupFault::Cut));
    assert!(matches!(told(&[all[0], all[2]]), BackupFault::Passphrase));
    assert!(matches!(told(&[all[0], all[1], all[1], all[2]]), BackupFault::Altered { part: 2 }));
    assert!(matches!(told(&[all[0], all[1], all[all.len() - 1]]), BackupFault::Altered { part: 2 }));
    assert!(matches!(told(&[all[0], all[1], &chunks(&other)[2]]), BackupFault::Altered { part: 2 }));
}

#[test]
fn what_is_no_backup_or_of_a_later_version_is_named() {
    for other in [&b""[..], b"holdfast", b"\x7fELF and so on, long enough to be one", b"holdfast-backup x and so on and on"] {
        assert!(matches!(open(other, "p"), Err(BackupFault::NotABackup)));
    }
    let later = b"holdfast-backup 12\n and whatever will be in it";
    assert!(matches!(open(later, "p"), Err(BackupFault::Newer { format }) if format == "12"));
}

#[test]
fn a_header_that_asks_for_more_than_anybody_has_is_not_followed() {
    let kdf = header().kdf;
    for greedy in [
        Kdf { memory_kib: 1 << 21, ..kdf.clone() },
        Kdf { passes: 1 << 20, ..kdf.clone() },
        Kdf { lanes: 1 << 20, ..kdf.clone() },
        Kdf { salt: "%".into(), ..kdf },
    ] {
        assert!(greedy.derive(&secret("p")).is_none());
    }
}
