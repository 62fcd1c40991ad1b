//! What a node keeps on disk: the last-good snapshot, when it was last confirmed, and the encryption counts.
//!
//! Holds: a file is replaced whole or not at all (temporary file, fsync, rename, fsync of the directory); one process uses a state
//! directory; a file whose content can't be used is kept aside under another name, one that the disk doesn't give stays where it is;
//! either is said in the log, and never a reason not to start.

mod counts;
mod last_good;

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, BufWriter, ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use holdfast_proto::{
    ids::Revision,
    seal::{OpenError, SealRing},
    snapshot::RecordSet,
};
use tracing::{error, info, warn};

use self::counts::StoredCounts;
use crate::{
    chain::chain,
    live::{Counted, Ledger, Live},
};

/// What a node keeps in its state directory.
#[derive(Debug)]
pub struct Cache {
    directory: StateDir,
    seals: Arc<SealRing>,
}

/// A state directory, in use by this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked for as long as this lives.
    _lock: File,
}

/// Why the state directory can't be used, or something could not be written to it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory can't be made or opened.
    #[error("cannot use the state directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another process has it.
    #[error("another data plane uses the state directory {0}")]
    InUse(PathBuf),
    /// A file was not written; what was there before still is.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The configuration that this node held when it stopped.
#[derive(Debug)]
struct LastGood {
    revision: Revision,
    records: RecordSet,
    written_at: SystemTime,
}

/// Why a file of ours could not be read back.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the file can't be read")]
    Io(#[from] io::Error),
    #[error("the file is cut short")]
    Short,
    #[error("the file has another format")]
    Format,
    #[error("a part of the file does not open")]
    Seal(#[from] OpenError),
    #[error("a part of the file does not decode")]
    Decode(#[from] prost::DecodeError),
    #[error("a record does not decode")]
    Record(#[from] holdfast_proto::records::Undecodable),
    #[error("the records don't fit together")]
    Rejected(#[from] holdfast_proto::snapshot::Reject),
    #[error("the checksum is wrong")]
    Checksum,
}

impl StateDir {
    /// Makes the directory where it is missing, and takes it for this process.
    ///
    /// # Errors
    /// [`CacheError`] where it can't be used or another process uses it.
    pub fn open(path: PathBuf) -> Result<Self, CacheError> {
        let failed = |cause| CacheError::Directory { path: path.clone(), cause };
        if !path.is_dir() {
            fs::create_dir_all(&path).map_err(failed)?;
            fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let lock = private().truncate(false).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(CacheError::InUse(path)),
            Err(TryLockError::Error(cause)) => Err(CacheError::Directory { path, cause }),
        }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Cache {
    /// Keeps what is sealed in `directory`.
    #[must_use]
    pub const fn new(directory: StateDir, seals: Arc<SealRing>) -> Self {
        Self { directory, seals }
    }

    /// Takes a directory for this process, and keeps what is sealed in it.
    ///
    /// # Errors
    /// See [`StateDir::open`].
    pub fn open(directory: PathBuf, seals: Arc<SealRing>) -> Result<Self, CacheError> {
        Ok(Self::new(StateDir::open(directory)?, seals))
    }

    /// The counts of the run before. From now on, until [`Cache::write_counts`] says otherwise, this run counts as not ended cleanly.
    #[must_use]
    pub fn resume_counts(&self) -> Ledger {
        let fresh = !self.directory.join(LAST_GOOD).exists();
        let stored = match self.read(COUNTS, StoredCounts::read) {
            Some(stored) => stored,
            None => match self.read(BEGUN, StoredCounts::read) {
                Some(stored) => StoredCounts { clean: false, ..stored },
                None => StoredCounts { counts: Vec::new(), clean: fresh },
            },
        };
        if !stored.clean {
            warn!("the last run did not end cleanly: encryptions that may have been made are counted by the block");
        }
        let ledger = Ledger::resume(stored.counts, stored.clean);
        if let Err(error) = self.write_counts(&ledger.reserve(), false) {
            error!(error = chain(&error), "encryption counts not written; serving goes on");
            // The next start must see that this run began; a name can be changed where nothing can be written. Where even that
            // fails, or there is no file yet, the margin between rotation and limit is what is left.
            let _ = fs::rename(self.directory.join(COUNTS), self.directory.join(BEGUN));
            ledger.want();
        }
        ledger
    }

    /// Installs the last-good snapshot, if there is one, with its age.
    pub fn restore(&self, live: &Live) {
        let Some(last_good) = self.read(LAST_GOOD, |file| last_good::read(file, &self.seals)) else {
            return;
        };
        // A confirmation of a snapshot that never got to the disk says nothing about this one.
        let confirmed = self.read(CONFIRMED, |file| self.read_confirmed(file)).filter(|(revision, _)| *revision == last_good.revision);
        live.mark_confirmed_at(confirmed.map_or(last_good.written_at, |(_, at)| at.max(last_good.written_at)));
        let snapshot = live.install(last_good.records, last_good.revision);
        let unusable = snapshot.unusable().count();
        info!(revision = %snapshot.revision, stores = snapshot.stores().count(), unusable, "serving the last-good snapshot");
    }

    /// Writes the last-good snapshot. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`CacheError::Write`]; the file before it still stands.
    pub fn write_last_good(&self, records: &RecordSet, revision: Revision) -> Result<(), CacheError> {
        let now = SystemTime::now();
        self.replace(LAST_GOOD, |file| last_good::write(file, &self.seals, &last_good::Contents { revision, records, written_at: now }))
    }

    /// Writes encryption counts. `clean`: nothing encrypts any more, and these are what was really used.
    ///
    /// # Errors
    /// [`CacheError::Write`]; the file before it still stands.
    pub fn write_counts(&self, counts: &[Counted], clean: bool) -> Result<(), CacheError> {
        self.replace(COUNTS, |file| counts::write(file, counts, clean))?;
        // Older than what was just written; most often it isn't there.
        let _ = fs::remove_file(self.directory.join(BEGUN));
        Ok(())
    }

    /// Remembers that the snapshot of `revision` was the newest at `at`, so that its age survives a restart.
    ///
    /// # Errors
    /// [`CacheError::Write`].
    pub fn write_confirmed(&self, revision: Revision, at: SystemTime) -> Result<(), CacheError> {
        self.replace(CONFIRMED, |file| {
            let numbers = [revision.epoch, revision.counter, millis(at)].map(u64::to_be_bytes);
            let sealed = self.seals.seal(CONFIRMED_AAD, numbers.as_flattened()).map_err(io::Error::other)?;
            file.write_all(&sealed)
        })
    }

    fn read_confirmed(&self, file: File) -> Result<(Revision, SystemTime), Unreadable> {
        let mut sealed = Vec::new();
        file.take(MAX_CONFIRMED).read_to_end(&mut sealed)?;
        let numbers = self.seals.open(CONFIRMED_AAD, &sealed)?;
        let ([epoch, counter, at], []) = numbers.as_chunks::<8>() else {
            return Err(Unreadable::Format);
        };
        let revision = Revision { epoch: u64::from_be_bytes(*epoch), counter: u64::from_be_bytes(*counter) };
        Ok((revision, time(u64::from_be_bytes(*at))))
    }

    /// What a file holds; none where there is no file, or none that can be read. One with the wrong content is kept aside. One that the
    /// disk doesn't give, or that is under a seal that isn't loaded, may be whole: it stays until it is written anew, for another start.
    fn read<T>(&self, name: &str, read: impl FnOnce(File) -> Result<T, Unreadable>) -> Option<T> {
        let path = self.directory.join(name);
        let cause = match File::open(&path).map_err(Unreadable::from).and_then(read) {
            Ok(found) => return Some(found),
            Err(Unreadable::Io(error)) if error.kind() == ErrorKind::NotFound => return None,
            Err(cause @ (Unreadable::Io(_) | Unreadable::Seal(OpenError::UnknownSeal(_)))) => {
                error!(file = %path.display(), error = chain(&cause), "a state file can't be read; going on without it");
                return None;
            }
            Err(cause) => cause,
        };
        let aside = self.directory.join(&format!("{name}.unreadable-{}", millis(SystemTime::now())));
        let kept = fs::rename(&path, &aside);
        error!(
            file = %path.display(), kept_as = %aside.display(), kept = kept.is_ok(), error = chain(&cause),
            "a state file can't be used; going on without it"
        );
        None
    }

    fn replace(&self, name: &str, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), CacheError> {
        let path = self.directory.join(name);
        self.try_replace(&path, write).map_err(|cause| CacheError::Write { path, cause })
    }

    fn try_replace(&self, path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file = BufWriter::with_capacity(BUFFER, private().truncate(true).open(&temporary)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(&self.directory.path)?.sync_all()
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Milliseconds since 1970.
fn millis(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The time of some milliseconds since 1970; 1970 where the clock has no such time.
fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

const LAST_GOOD: &str = "last-good";
const COUNTS: &str = "counts";
/// The counts of a clean end, once a run has begun that could not write its own.
const BEGUN: &str = "counts.begun";
const CONFIRMED: &str = "confirmed";
const CONFIRMED_AAD: &[u8] = b"holdfast confirmed 1";
const MAX_CONFIRMED: u64 = 1 << 10;
const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod files_that_the_disk_does_not_give {
    use holdfast_proto::seal::Seal;

    use super::*;

    #[test]
    fn a_file_that_could_not_be_read_stays_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let seals = Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new()));
        let cache = Cache::open(directory.path().into(), seals).unwrap();
        // A folder opens, but reading it fails, for root as well.
        fs::create_dir(directory.path().join(LAST_GOOD)).unwrap();
        assert!(cache.read(LAST_GOOD, |file| last_good::read(file, &cache.seals)).is_none());
        fs::write(directory.path().join(COUNTS), "nonsense").unwrap();
        assert!(cache.read(COUNTS, StoredCounts::read).is_none());
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!((names.len(), names[1].as_str(), names[2].as_str()), (3, "last-good", "lock"), "{names:?}");
        assert!(names[0].starts_with("counts.unreadable-"), "{names:?}");
    }
}
