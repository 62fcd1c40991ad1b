//! Making a data directory from a backup.
//!
//! Always holds: a directory that has anything in it is left as it is; a restore that fails leaves nothing behind; what is restored begins
//! a new epoch, greater than the backup's, so that nodes which have gone on since take the restored configuration (design §7.6).

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use holdfast_proto::{ids::Revision, seal::Seal, secret::Secret};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    backup::{BackupFault, Header, Opening, Record},
    clock::now_ms,
    files::{self, FileError},
    init::{self, InitError},
    pki::Authority,
    store::sled::{FORMAT, Load, OpenError},
};

/// How a backup is to be restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Host names and addresses of a new server certificate; empty: the one in the backup is kept.
    pub server_names: Vec<String>,
    /// The key seal to hand out to nodes that are enrolled from now on; none: it is given to each `node enroll`.
    pub key_seal: Option<PathBuf>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub header: Header,
    /// Where the restored configuration begins.
    pub revision: Revision,
    /// Control seal files, the first seals; more than one must be named in the settings.
    pub control_seals: Vec<PathBuf>,
}

/// Why nothing was restored. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory is one already, is not empty, or can't be written.
    #[error(transparent)]
    Directory(#[from] InitError),
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupFault),
    /// Its entries are of a later version.
    #[error("the backup's data is of format {found}; this version of Holdfast reads format {ours}")]
    StoreFormat {
        /// Of the backup.
        found: u32,
        /// Of this version.
        ours: u32,
    },
    /// The key seal that was given is none that the backup's keys need.
    #[error("key seal {given} opens none of the backup's keys: they are sealed under {}", list(.needed))]
    KeySeal {
        /// The file's.
        given: Uuid,
        /// The backup's.
        needed: Vec<Uuid>,
    },
}

/// Makes the data directory `dir` of what `source` holds. Blocks.
///
/// # Errors
/// [`RestoreError`]; `Directory(Open(Initialised))` where there is a data directory already.
pub fn restore(dir: &Path, source: impl Read, passphrase: &Secret, options: &RestoreOptions) -> Result<Restored, RestoreError> {
    match init::initialised(dir) {
        Ok(()) => return Err(InitError::from(OpenError::Initialised { dir: dir.into() }).into()),
        Err(OpenError::NotInitialised { .. }) => {}
        Err(unreadable) => return Err(InitError::from(unreadable).into()),
    }
    // What can be wrong with the backup's beginning or the options shows before the directory is touched.
    let opening = Opening::new(source, passphrase)?;
    let key_seal = options.key_seal.as_deref().map(|path| needed_key_seal(path, opening.header())).transpose()?;
    let was_there = dir.try_exists().map_err(|cause| InitError::from(FileError::Read { path: dir.into(), cause }))?;
    let begun = files::make_dir(dir).map_err(InitError::from).and_then(|()| init::begin(dir));
    let done = begun.map_err(RestoreError::from).and_then(|()| Restoring { dir, opening }.run(options, key_seal));
    if let Err(error) = &done {
        let ours = !matches!(error, RestoreError::Directory(InitError::Occupied { .. }));
        if ours && let Err(left) = init::undo(dir, was_there) {
            tracing::warn!(dir = %dir.display(), error = &left as &dyn std::error::Error, "what was begun here was not removed");
        }
    }
    done
}

struct Restoring<'a, R> {
    dir: &'a Path,
    opening: Opening<R>,
}

impl<R: Read> Restoring<'_, R> {
    fn run(self, options: &RestoreOptions, key_seal: Option<Zeroizing<String>>) -> Result<Restored, RestoreError> {
        let Self { dir, opening } = self;
        let header = opening.header().clone();
        if header.store_format > FORMAT {
            return Err(RestoreError::StoreFormat { found: header.store_format, ours: FORMAT });
        }
        files::take_over(dir).map_err(InitError::from)?;
        let revision = Revision { epoch: now_ms().max(header.revision.epoch.saturating_add(1)), counter: 0 };
        let (mut kept, mut control_seals) = (BTreeMap::new(), Vec::new());
        let mut load = Load::begin(dir).map_err(InitError::from)?;
        for record in opening {
            match record? {
                Record::File(name, text) => _ = kept.insert(name, text),
                Record::ControlSeal(text) => control_seals.push(text),
                Record::Entry(entry) if entry.key.first().is_some_and(|kind| *kind > 0) => load.put(entry).map_err(InitError::from)?,
                Record::Entry(_) => return Err(BackupFault::Malformed.into()),
            }
        }
        // All of it is read and in order.
        load.finish(header.store_format, revision).map_err(InitError::from)?;
        write_files(dir, &kept, &options.server_names)?;
        let control_seals = write_control_seals(dir, &control_seals)?;
        if let Some(text) = key_seal {
            files::write_secret(&dir.join(files::KEY_SEAL), &text).map_err(InitError::from)?;
        }
        init::complete(dir).map_err(InitError::from)?;
        Ok(Restored { header, revision, control_seals })
    }
}

/// Writes the files of a data directory, with another server certificate where it is to have other names.
fn write_files(dir: &Path, kept: &BTreeMap<String, Zeroizing<String>>, server_names: &[String]) -> Result<(), RestoreError> {
    let text = |name: &str| kept.get(name).ok_or(BackupFault::Malformed);
    let (ca, ca_key) = (text(files::CA)?, text(files::CA_KEY)?);
    let (server, server_key) = if server_names.is_empty() {
        (text(files::SERVER)?.clone(), text(files::SERVER_KEY)?.clone())
    } else {
        let issued = Authority::from_pem(ca, ca_key).and_then(|ca| ca.control_plane(server_names)).map_err(InitError::from)?;
        (Zeroizing::new(issued.certificate_pem), issued.key_pem)
    };
    let written = files::write_public(&dir.join(files::CA), ca)
        .and_then(|()| files::write_secret(&dir.join(files::CA_KEY), ca_key))
        .and_then(|()| files::write_public(&dir.join(files::SERVER), &server))
        .and_then(|()| files::write_secret(&dir.join(files::SERVER_KEY), &server_key));
    Ok(written.map_err(InitError::from)?)
}

fn write_control_seals(dir: &Path, texts: &[Zeroizing<String>]) -> Result<Vec<PathBuf>, RestoreError> {
    let mut paths = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        Seal::from_text(text).map_err(|_| BackupFault::Malformed)?;
        let path = dir.join(files::control_seal(number));
        files::write_secret(&path, text).map_err(InitError::from)?;
        paths.push(path);
    }
    if paths.is_empty() { Err(BackupFault::Malformed.into()) } else { Ok(paths) }
}

/// The text of a key seal that some of the backup's keys lie under.
fn needed_key_seal(path: &Path, header: &Header) -> Result<Zeroizing<String>, RestoreError> {
    let given = files::read_seals(path, &[]).map_err(InitError::from)?.id();
    if !header.key_seals.is_empty() && !header.key_seals.contains(&given) {
        return Err(RestoreError::KeySeal { given, needed: header.key_seals.clone() });
    }
    Ok(files::read(path).map_err(InitError::from)?)
}

fn list(seals: &[Uuid]) -> String {
    seals.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::Kdf;

    #[test]
    fn a_key_seal_that_opens_none_of_the_backup_s_keys_is_refused_and_those_that_do_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (path, seal) = (dir.path().join("key-seal"), Seal::generate().unwrap());
        files::write_secret(&path, &seal.to_text()).unwrap();
        let needing = |key_seals: &[Uuid]| Header {
            software: String::new(),
            store_format: FORMAT,
            revision: Revision::default(),
            created_ms: 0,
            control_seals: Vec::new(),
            key_seals: key_seals.into(),
            kdf: Kdf::draw().unwrap(),
        };
        let other = Uuid::from_u128(7);
        let refused = needed_key_seal(&path, &needing(&[other])).unwrap_err();
        assert!(refused.to_string().ends_with(&format!("sealed under {other}")), "{refused}");
        assert!(matches!(refused, RestoreError::KeySeal { given, needed } if given == seal.id() && needed == [other]));
        for needed in [&[][..], &[other, seal.id()]] {
            assert_eq!(needed_key_seal(&path, &needing(needed)).unwrap(), seal.to_text());
        }
    }
}
