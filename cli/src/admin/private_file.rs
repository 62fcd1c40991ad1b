//! Files with secrets in them: for their owner alone, whole or not there, never in the place of another.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

use crate::failure::Failure;

/// A file that is being written beside its place. Dropped, it leaves nothing.
pub(crate) struct PrivateFile {
    unfinished: NamedTempFile,
    place: PathBuf,
}

impl PrivateFile {
    /// Fails where the place is taken or can't be written to, before anything was made that would have to go there.
    pub(crate) fn new(place: &Path) -> Result<Self, Failure> {
        if place.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("{} is there already, and is not overwritten", place.display())));
        }
        Self::in_place_of(place)
    }

    /// As [`PrivateFile::new`], for [`PrivateFile::replace`].
    pub(super) fn in_place_of(place: &Path) -> Result<Self, Failure> {
        let folder = match place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let unfinished = Builder::new().prefix(".holdfast-").tempfile_in(folder);
        Ok(Self { unfinished: unfinished.map_err(|cause| Failure::file("write", place, &cause))?, place: place.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.unfinished.write_all(bytes).map_err(|cause| Failure::file("write", &self.place, &cause))
    }

    /// Puts it in its place, which must still be free.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { unfinished, place } = self;
        let done = unfinished.as_file().sync_all().and_then(|()| Ok(unfinished.persist_noclobber(&place)?));
        done.map(|_| ()).map_err(|cause| Failure::file("write", &place, &cause))
    }

    /// Puts it in its place, whatever is there.
    pub(super) fn replace(self) -> Result<(), Failure> {
        let Self { unfinished, place } = self;
        let done = unfinished.as_file().sync_all().and_then(|()| Ok(unfinished.persist(&place)?));
        done.map(|_| ()).map_err(|cause| Failure::file("write", &place, &cause))
    }
}

/// Makes a folder and those above it, for their owner alone.
pub(super) fn folder(path: &Path) -> Result<(), Failure> {
    let made: io::Result<()> = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| Failure::file("make", path, &cause))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("secret");
        let mut file = PrivateFile::new(&place).map_err(|failure| failure.to_string()).unwrap();
        file.write(b"one").map_err(|failure| failure.to_string()).unwrap();
        assert!(!place.exists());
        let rival = PrivateFile::new(&place).map_err(|failure| failure.to_string()).unwrap();
        file.finish().map_err(|failure| failure.to_string()).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(rival.finish().is_err());
        assert!(PrivateFile::new(&place).is_err());
        assert_eq!(fs::read(&place).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "an unfinished file stayed");
    }
}
