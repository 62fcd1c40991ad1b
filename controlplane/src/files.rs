//! The files of a data directory, and how files with secrets are written and read.
//!
//! Always holds: a file with a secret has mode 0600 from its first byte, and is on disk before the next step; none is overwritten.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use holdfast_proto::seal::{BadSealText, Seal, SealRing};
use zeroize::Zeroizing;

/// A file or folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It can't be written.
    #[error("can't write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is no seal.
    #[error("can't use {}", path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: BadSealText,
    },
}

/// Makes a folder that only its owner may look into.
pub(crate) fn make_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|cause| FileError::Write { path: path.into(), cause })
}

/// Lets only its owner look into a folder that someone else made. One that is another user's, such as a volume that was mounted for
/// us, stays as it is: what is secret in it has mode 0600 anyway.
pub(crate) fn take_over(path: &Path) -> Result<(), FileError> {
    match fs::set_permissions(path, Permissions::from_mode(0o700)) {
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(dir = %path.display(), "this folder is another user's: others may be able to look into it");
            Ok(())
        }
        done => done.map_err(|cause| FileError::Write { path: path.into(), cause }),
    }
}

/// Writes a file that may be seen.
pub(crate) fn write_public(path: &Path, text: &str) -> Result<(), FileError> {
    write(path, text, 0o644)
}

/// Writes a file that holds a secret.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), FileError> {
    write(path, text, 0o600)
}

/// Reads a text file; it may hold a secret.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, FileError> {
    fs::read_to_string(path).map(Zeroizing::new).map_err(|cause| FileError::Read { path: path.into(), cause })
}

/// Reads seals into a ring: `first` seals, all open.
pub(crate) fn read_seals(first: &Path, others: &[PathBuf]) -> Result<SealRing, FileError> {
    let seal = |path: &Path| Seal::from_text(&read(path)?).map_err(|cause| FileError::Seal { path: path.into(), cause });
    Ok(SealRing::new(seal(first)?, others.iter().map(|path| seal(path)).collect::<Result<_, _>>()?))
}

/// The name of a control seal's file: the first seals, and has the name that is looked for.
pub(crate) fn control_seal(number: usize) -> String {
    if number == 0 { CONTROL_SEAL.into() } else { format!("{CONTROL_SEAL}-{}", number + 1) }
}

/// Whether [`control_seal`] may have made the name, for another than the first.
pub(crate) fn is_further_control_seal(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix(CONTROL_SEAL)?.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
            // Half a file would be taken for the whole by the next try.
            _ = fs::remove_file(path);
            return Err(error);
        }
        // The name is on disk once its folder is.
        path.parent().map_or(Ok(()), |dir| File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all())
    };
    write().map_err(|cause| FileError::Write { path: path.into(), cause })
}

/// What a backup has of a data directory, beside the store and the control seals.
pub(crate) const BACKED_UP: [&str; 4] = [CA, CA_KEY, SERVER, SERVER_KEY];

/// The authority's certificate.
pub(crate) const CA: &str = "ca.crt";
/// The authority's key.
pub(crate) const CA_KEY: &str = "ca.key";
/// The server's certificate, for the API and for nodes.
pub(crate) const SERVER: &str = "server.crt";
/// Its key.
pub(crate) const SERVER_KEY: &str = "server.key";
/// Protects the control plane's secrets.
pub(crate) const CONTROL_SEAL: &str = "control-seal";
/// Protects local key material. Handed to data planes, never opened here.
pub(crate) const KEY_SEAL: &str = "key-seal";
/// A node's certificate.
pub(crate) const NODE: &str = "node.crt";
/// Its key.
pub(crate) const NODE_KEY: &str = "node.key";
/// A server certificate for a node's XKS listener, to try things out.
pub(crate) const XKS: &str = "xks.crt";
/// Its key.
pub(crate) const XKS_KEY: &str = "xks.key";
/// A node's configuration.
pub(crate) const DATAPLANE_TOML: &str = "dataplane.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_owners_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_secret(&path, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_secret(&path, "two").is_err());
        assert_eq!(read(&path).unwrap().as_str(), "one");
    }

    #[test]
    fn what_is_no_seal_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control-seal");
        assert!(matches!(read_seals(&path, &[]), Err(FileError::Read { .. })));
        write_secret(&path, "nonsense").unwrap();
        let refused = read_seals(&path, &[]).unwrap_err();
        assert!(refused.to_string().ends_with("control-seal"));
    }
}
