//! Small files that outlive a restart, below `state_dir/pkcs11`.
//!
//! Holds: a reader sees the old file or the new one, whole; what was written is on the disk when the call comes back; only the owner may
//! read it. Writers of one file don't run side by side, but for `retry-login`, which removes it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process, thread,
};

/// Where the files of the state directory are.
pub(crate) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("pkcs11")
}

/// The file's content; none: there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the file, or makes it and its directory.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary(path, content)?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Makes the file, unless there is one: then that stands, and is the result.
pub(crate) fn make(path: &Path, content: &[u8]) -> io::Result<Vec<u8>> {
    if let Some(there) = read(path)? {
        return Ok(there);
    }
    let temporary = temporary(path, content)?;
    // Unlike a rename, a link does not replace what another process made meanwhile.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => {
            sync_parent(path)?;
            Ok(content.to_vec())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(error) => Err(error),
    }
}

/// Removes the file. False: there was none.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file beside `path` with this content, on the disk.
fn temporary(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{:?}.new", process::id(), thread::current().id()));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(temporary)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = directory(state.path()).join("file");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
    }

    #[test]
    fn a_file_that_is_there_is_not_made_again() {
        let state = tempfile::tempdir().unwrap();
        let path = directory(state.path()).join("key");
        assert_eq!(make(&path, b"first").unwrap(), b"first");
        assert_eq!(make(&path, b"second").unwrap(), b"first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
