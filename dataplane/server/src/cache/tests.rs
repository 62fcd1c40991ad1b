use std::io::{Read, Seek, SeekFrom};

use holdfast_proto::{ids::KeyId, records::Change};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::live::{
    CountName, RESERVED_AT_ONCE,
    tests::{Maker, at, path},
};

fn open(directory: &TempDir, maker: &Maker) -> Cache {
    Cache::open(directory.path().into(), Arc::clone(&maker.seals)).unwrap()
}

fn some_records(maker: &Maker, stores: u8) -> RecordSet {
    let changes = (0..stores).flat_map(|n| maker.store(n, 40)).collect::<Vec<Change>>();
    RecordSet::default().apply(changes).unwrap().0
}

fn restored(cache: &Cache, maker: &Maker) -> Live {
    let live = maker.live();
    cache.restore(&live);
    live
}

fn names(directory: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn bend(directory: &TempDir, name: &str, place: SeekFrom) {
    let mut file = OpenOptions::new().read(true).write(true).open(directory.path().join(name)).unwrap();
    let mut byte = [0];
    let place = SeekFrom::Start(file.seek(place).unwrap());
    file.read_exact(&mut byte).unwrap();
    file.seek(place).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

fn counted(n: u128, reserved: u64) -> Counted {
    Counted { name: CountName { key: KeyId(Uuid::from_u128(n)), version: 3, tag: [1, 2, 3, 4] }, reserved }
}

#[test]
fn a_restart_serves_what_was_written() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let records = some_records(&maker, 90);
    open(&directory, &maker).write_last_good(&records, at(7)).unwrap();
    // More than one piece, or this test would not show that they are put together.
    assert!(fs::metadata(directory.path().join(LAST_GOOD)).unwrap().len() > 2 * (256 << 10));
    let live = restored(&open(&directory, &maker), &maker);
    assert_eq!((live.load().revision, live.load().records.digest()), (at(7), records.digest()));
    assert!(live.load().store(path(89).as_str()).unwrap().keys["k39"].active.as_ref().unwrap().key.is_ok());
    assert_eq!(names(&directory), ["last-good", "lock"]);
}

#[test]
fn nothing_secret_is_readable_in_the_state_directory() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    open(&directory, &maker).write_last_good(&some_records(&maker, 1), at(7)).unwrap();
    let file = fs::read(directory.path().join(LAST_GOOD)).unwrap();
    for word in ["sssssss", "ABCDEFGHIJKLMNOP2345", "kms/xks", "us-east-1"] {
        assert!(!file.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    assert_eq!(fs::metadata(directory.path().join(LAST_GOOD)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_of_another_seal_waits_for_its_seal() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    open(&directory, &maker).write_last_good(&some_records(&maker, 3), at(7)).unwrap();
    let stranger = Maker::new();
    assert_eq!(restored(&open(&directory, &stranger), &stranger).load().revision, Revision::default());
    // The setting is mended.
    let again = maker.again();
    assert_eq!(restored(&open(&directory, &again), &again).load().revision, at(7));
}

#[test]
fn a_file_that_is_altered_anywhere_or_cut_is_kept_aside_and_not_used() {
    let maker = Maker::new();
    let records = some_records(&maker, 90);
    let spoil: [&dyn Fn(&TempDir) -> Maker; 6] = [
        &|d| (bend(d, LAST_GOOD, SeekFrom::Start(0)), maker.again()).1,
        &|d| (bend(d, LAST_GOOD, SeekFrom::Start(25)), maker.again()).1,
        &|d| (bend(d, LAST_GOOD, SeekFrom::Start(300_000)), maker.again()).1,
        &|d| (bend(d, LAST_GOOD, SeekFrom::End(-1)), maker.again()).1,
        &|d| (cut(d, 100), maker.again()).1,
        // Between two pieces: what is left opens, but its last piece doesn't say that it is the last.
        &|d| (cut_last_piece(d), maker.again()).1,
    ];
    for (case, spoil) in spoil.iter().enumerate() {
        let directory = TempDir::new().unwrap();
        open(&directory, &maker).write_last_good(&records, at(7)).unwrap();
        let reader = spoil(&directory);
        let live = restored(&open(&directory, &reader), &reader);
        assert_eq!(live.load().revision, Revision::default(), "case {case}");
        let names = names(&directory);
        assert!(names.len() == 2 && names[0].starts_with("last-good.unreadable-"), "case {case}: {names:?}");
    }
}

fn cut(directory: &TempDir, by: u64) {
    let file = OpenOptions::new().write(true).open(directory.path().join(LAST_GOOD)).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

fn cut_last_piece(directory: &TempDir) {
    let file = fs::read(directory.path().join(LAST_GOOD)).unwrap();
    let mut at = b"holdfast last-good 1\n".len() + 16;
    let mut ends = vec![at];
    while at < file.len() {
        at += 4 + usize::try_from(u32::from_be_bytes(file[at..at + 4].try_into().unwrap())).unwrap();
        ends.push(at);
    }
    cut(directory, (file.len() - ends[ends.len() - 2]) as u64);
}

#[test]
fn the_age_survives_a_restart() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let hour = Duration::from_secs(3600);
    let cache = open(&directory, &maker);
    let contents = last_good::Contents { revision: at(7), records: &some_records(&maker, 1), written_at: SystemTime::now() - 3 * hour };
    cache.replace(LAST_GOOD, |file| last_good::write(file, &maker.seals, &contents)).unwrap();
    let age = restored(&cache, &maker).age();
    assert!(age >= 3 * hour && age < 4 * hour, "{age:?}");
    // Of a snapshot that never got to the disk.
    cache.write_confirmed(at(8), SystemTime::now()).unwrap();
    assert!(restored(&cache, &maker).age() >= 3 * hour);
    cache.write_confirmed(at(7), SystemTime::now() - hour).unwrap();
    let age = restored(&cache, &maker).age();
    assert!(age >= hour && age < 2 * hour, "{age:?}");
}

#[test]
fn two_processes_can_t_share_a_state_directory() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let first = open(&directory, &maker);
    assert!(matches!(Cache::open(directory.path().into(), Arc::clone(&maker.seals)), Err(CacheError::InUse(_))));
    drop(first);
    open(&directory, &maker);
}

#[test]
fn a_write_that_fails_leaves_the_old_file() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let cache = open(&directory, &maker);
    let records = some_records(&maker, 1);
    cache.write_last_good(&records, at(7)).unwrap();
    let failed = cache.replace(LAST_GOOD, |file| {
        file.write_all(b"half")?;
        Err(io::Error::other("full"))
    });
    assert!(failed.is_err());
    assert_eq!(restored(&cache, &maker).load().revision, at(7));
}

#[test]
fn a_run_that_could_not_write_its_counts_is_charged_by_the_next() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let cache = open(&directory, &maker);
    cache.write_counts(&[counted(1, 17)], true).unwrap();
    // In the way of the counts: nothing can be written there.
    let obstacle = directory.path().join("counts.tmp");
    fs::create_dir(&obstacle).unwrap();
    assert_eq!(cache.resume_counts().count(counted(1, 0).name).used(), 17, "serving goes on");
    fs::remove_dir(&obstacle).unwrap();
    assert!(cache.resume_counts().count(counted(1, 0).name).used() >= RESERVED_AT_ONCE);
    assert!(!names(&directory).contains(&"counts.begun".to_owned()));
}

#[test]
fn counts_go_on_after_a_clean_end_and_by_the_block_after_a_crash() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let cache = open(&directory, &maker);
    let name = counted(1, 0).name;
    // A new node has used nothing.
    assert_eq!(cache.resume_counts().count(name).used(), 0);
    cache.write_last_good(&RecordSet::default(), at(1)).unwrap();
    cache.write_counts(&[counted(1, 17)], true).unwrap();
    let resumed = cache.resume_counts();
    assert_eq!((resumed.count(name).used(), resumed.count(counted(2, 0).name).used()), (17, 0));
    // That run did not say how it ended.
    let crashed = cache.resume_counts();
    assert_eq!(crashed.count(name).used(), 2 * RESERVED_AT_ONCE);
    assert_eq!(crashed.count(counted(2, 0).name).used(), RESERVED_AT_ONCE);
}

#[test]
fn altered_or_missing_counts_charge_a_block_to_every_version() {
    for spoil in [|d: &TempDir| bend(d, COUNTS, SeekFrom::Start(30)), |d: &TempDir| fs::remove_file(d.path().join(COUNTS)).unwrap()] {
        let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
        let cache = open(&directory, &maker);
        cache.write_last_good(&RecordSet::default(), at(1)).unwrap();
        cache.write_counts(&[counted(1, 5)], true).unwrap();
        spoil(&directory);
        assert_eq!(cache.resume_counts().count(counted(1, 0).name).used(), RESERVED_AT_ONCE);
    }
}

#[test]
fn counts_read_back_as_written() {
    let (directory, maker) = (TempDir::new().unwrap(), Maker::new());
    let cache = open(&directory, &maker);
    let counts = [counted(1, 5), counted(u128::MAX, u64::MAX)];
    for clean in [true, false] {
        cache.write_counts(&counts, clean).unwrap();
        let stored = cache.read(COUNTS, StoredCounts::read).unwrap();
        assert_eq!((stored.counts.as_slice(), stored.clean), (&counts[..], clean));
    }
}
