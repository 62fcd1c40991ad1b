//! The files that backup jobs leave in `backup_dir`.
//!
//! Always holds: a file with a backup's name is whole and on disk; older ones go only after a newer one is there. A name has the job's
//! name for people, and its id and the time at which it was due, so that the folder itself says what was done.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use time::{OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

use crate::{
    files::{self, FileError},
    settings::Settings,
};

/// Where backup jobs put their backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPlace {
    /// The folder.
    pub dir: PathBuf,
    /// Holds the passphrase; what is blank at its end is not part of it.
    pub passphrase_file: PathBuf,
}

impl BackupPlace {
    /// What the settings say; none where they don't say both.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let (dir, passphrase_file) = settings.backup_dir.clone().zip(settings.backup_passphrase_file.clone())?;
        Some(Self { dir, passphrase_file })
    }

    /// Makes the folder, and sees to it that the passphrase can be read when it is needed.
    pub(crate) fn prepare(&self) -> Result<(), FileError> {
        files::make_dir(&self.dir)?;
        files::read(&self.passphrase_file).map(drop)
    }
}

/// A backup that was not made, or old ones that were not removed.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} {}", path.display())]
pub struct BackupFault {
    what: &'static str,
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// A backup's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The job that made it.
    pub(super) job: Uuid,
    /// The time at which it was due, in whole seconds.
    pub(super) due: OffsetDateTime,
    path: PathBuf,
}

/// The backups in a folder.
#[derive(Clone, Debug)]
pub(super) struct Folder<'a>(pub(super) &'a Path);

impl Folder<'_> {
    /// All backups of jobs.
    pub(super) fn kept(&self) -> Result<Vec<Kept>, BackupFault> {
        let fail = |cause| fault("read", self.0, cause);
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.0).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let named = path.file_name().and_then(|name| name.to_str()).and_then(parse);
            kept.extend(named.map(|(job, due)| Kept { job, due, path: path.clone() }));
        }
        Ok(kept)
    }

    /// The newest backup's time of each job.
    pub(super) fn newest(&self) -> Result<BTreeMap<Uuid, OffsetDateTime>, BackupFault> {
        let mut newest = BTreeMap::new();
        for Kept { job, due, .. } in self.kept()? {
            let known = newest.entry(job).or_insert(due);
            *known = due.max(*known);
        }
        Ok(newest)
    }

    /// Writes the backup of a job; `fill` writes what is in it.
    pub(super) fn write(
        &self,
        name: &str,
        (job, due): (Uuid, OffsetDateTime),
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<PathBuf, BackupFault> {
        let path = self.0.join(file_name(name, job, due));
        let part = path.with_extension("part");
        let write = || -> io::Result<()> {
            // What an earlier try left behind.
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
            let filled = fill(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&part, &path));
            if filled.is_err() {
                _ = fs::remove_file(&part);
            }
            filled?;
            // The name is on disk once its folder is.
            File::open(self.0)?.sync_all()
        };
        write().map_err(|cause| fault("write", &path, cause))?;
        Ok(path)
    }

    /// Removes a job's oldest backups, so that `keep` remain; 0: none is removed.
    pub(super) fn prune(&self, job: Uuid, keep: u32) -> Result<(), BackupFault> {
        let Some(keep) = usize::try_from(keep).ok().filter(|keep| *keep > 0) else { return Ok(()) };
        let mut kept: Vec<_> = self.kept()?.into_iter().filter(|one| one.job == job).collect();
        kept.sort_by_key(|one| std::cmp::Reverse(one.due));
        for old in kept.into_iter().skip(keep) {
            fs::remove_file(&old.path).map_err(|cause| fault("remove", &old.path, cause))?;
        }
        Ok(())
    }
}

fn fault(what: &'static str, path: &Path, cause: io::Error) -> BackupFault {
    BackupFault { what, path: path.into(), cause }
}

fn file_name(name: &str, job: Uuid, due: OffsetDateTime) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.chars().take(LONGEST_NAME).map(plain).collect();
    format!("{name}-{job}-{}{EXTENSION}", due.format(TIME).unwrap_or_default())
}

fn parse(file_name: &str) -> Option<(Uuid, OffsetDateTime)> {
    let rest = file_name.strip_suffix(EXTENSION)?;
    let (rest, time) = rest.rsplit_once('-')?;
    let due = PrimitiveDateTime::parse(time, TIME).ok()?.assume_utc();
    let id = rest.get(rest.len().checked_sub(UUID_LENGTH)?..)?;
    Some((Uuid::try_parse(id).ok()?, due))
}

const EXTENSION: &str = ".backup";
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
/// With its hyphens.
const UUID_LENGTH: usize = 36;
/// Characters of a job's name in a file's.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use time::{Duration, macros::datetime};

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const JOB: Uuid = Uuid::from_u128(7);

    fn texts(dir: &Path) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    fn write(folder: &Folder<'_>, job: Uuid, due: OffsetDateTime, text: &str) -> Result<PathBuf, BackupFault> {
        folder.write("nightly", (job, due), |file| file.write_all(text.as_bytes()))
    }

    #[test]
    fn a_file_s_name_says_whose_it_is_and_when_it_was_due() {
        for name in ["nightly", "a/../b-ü *", "", &"x".repeat(300)] {
            let file = file_name(name, JOB, NOON);
            assert!(!file.contains(['/', '*', ' ']) && file.len() < 200, "{file}");
            assert_eq!(parse(&file), Some((JOB, NOON)), "{file}");
        }
        for other in ["", ".backup", "holdfast-1-2-3.backup", "20261122T120000Z.backup", "nightly-7-20261122T120000Z.backup"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_as_many_as_are_wanted_are_kept_and_other_jobs_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path());
        fs::write(dir.path().join("by hand"), "0").unwrap();
        for day in 0..4 {
            write(&folder, JOB, NOON + Duration::days(day), &format!("{}", day + 1)).unwrap();
        }
        write(&folder, Uuid::from_u128(8), NOON, "other").unwrap();
        assert_eq!(folder.newest().unwrap()[&JOB], NOON + Duration::days(3));
        folder.prune(JOB, 0).unwrap();
        assert_eq!(folder.kept().unwrap().len(), 5);
        folder.prune(JOB, 2).unwrap();
        assert_eq!(texts(dir.path()), ["0", "3", "4", "other"]);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_and_what_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path());
        let failed = folder.write("nightly", (JOB, NOON), |file| file.write_all(b"half").and(Err(io::Error::other("full"))));
        assert!(failed.is_err() && texts(dir.path()).is_empty());
        fs::write(dir.path().join(file_name("nightly", JOB, NOON)).with_extension("part"), "half").unwrap();
        assert!(folder.kept().unwrap().is_empty());
        write(&folder, JOB, NOON, "whole").unwrap();
        assert_eq!(texts(dir.path()), ["whole"]);
    }
}
