//! A token's user PIN: read for each login, never kept, never shown.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use tracing::warn;
use zeroize::Zeroizing;

use super::settings::PinSource;

/// A PIN. It never prints and is wiped when it drops.
pub(crate) struct Pin(Zeroizing<Vec<u8>>);

/// Why there is no PIN.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// The file can't be read.
    #[error("cannot read the PIN file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// `CREDENTIALS_DIRECTORY` is not set: the service was not started by systemd with `LoadCredential=`.
    #[error("CREDENTIALS_DIRECTORY is not set, so there is no credential {0:?}")]
    NoCredentials(String),
    /// A credential's name is the name of a file.
    #[error("{0:?} is no name of a credential")]
    CredentialName(String),
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// There is nothing in it.
    #[error("the PIN is empty")]
    Empty,
    /// That can't be a PIN.
    #[error("the PIN has more than {MOST} bytes")]
    Long,
}

impl Pin {
    /// Reads it from where it is now. One newline at its end is not part of it.
    pub(crate) fn read(source: &PinSource) -> Result<Self, PinError> {
        let pin = match source {
            PinSource::File(path) => from_file(path)?,
            PinSource::Credential(name) => from_file(&credential(name)?)?,
            PinSource::Env(name) => {
                let value = env::var_os(name).ok_or_else(|| PinError::Env(name.clone()))?;
                Zeroizing::new(value.as_bytes().to_vec())
            }
        };
        Self::checked(pin)
    }

    /// For `C_Login` and the memory of refused PINs.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn checked(mut pin: Zeroizing<Vec<u8>>) -> Result<Self, PinError> {
        if pin.last() == Some(&b'\n') {
            pin.pop();
        }
        match pin.len() {
            0 => Err(PinError::Empty),
            1..=MOST => Ok(Self(pin)),
            _ => Err(PinError::Long),
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Says in the log that others than its owner can read a PIN file. Once at start is enough: a PIN is read often.
pub(crate) fn warn_of_readers(partition: &str, source: &PinSource) {
    // systemd sees to credentials, and an environment has no mode.
    if let PinSource::File(path) = source
        && fs::metadata(path).is_ok_and(|file| file.mode() & 0o077 != 0)
    {
        warn!(partition, file = %path.display(), "the PIN file can be read by others than its owner; make its mode 0600");
    }
}

fn credential(name: &str) -> Result<PathBuf, PinError> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(PinError::CredentialName(name.into()));
    }
    let directory = env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| PinError::NoCredentials(name.into()))?;
    Ok(Path::new(&directory).join(name))
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PinError> {
    let failed = |cause| PinError::File { path: path.to_owned(), cause };
    let mut file = File::open(path).map_err(failed)?;
    // All the room at once: a vector that grows leaves copies behind. One byte more than allowed tells a longer one.
    let mut pin = Zeroizing::new(vec![0; MOST + 2]);
    let mut length = 0;
    loop {
        match file.read(pin.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    pin.truncate(length);
    Ok(pin)
}

/// Longer than any token takes.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Pin, PinError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, content).unwrap();
        Pin::read(&PinSource::File(path))
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_pin() {
        for (content, pin) in
            [("1234", "1234"), ("1234\n", "1234"), ("1234\n\n", "1234\n"), (" 1234 ", " 1234 "), ("user:pass\n", "user:pass")]
        {
            assert_eq!(read(content.as_bytes()).unwrap().bytes(), pin.as_bytes());
        }
    }

    #[test]
    fn an_empty_or_endless_pin_is_refused() {
        assert!(matches!(read(b"").unwrap_err(), PinError::Empty));
        assert!(matches!(read(b"\n").unwrap_err(), PinError::Empty));
        assert!(read(&[b'1'; MOST]).is_ok());
        assert!(matches!(read(&[b'1'; MOST + 1]).unwrap_err(), PinError::Long));
        assert!(matches!(Pin::read(&PinSource::File("/dev/zero".into())).unwrap_err(), PinError::Long));
    }

    #[test]
    fn a_pin_does_not_print_and_what_is_missing_is_named() {
        assert_eq!(format!("{:?}", read(b"1234").unwrap()), "Pin(..)");
        let missing = Pin::read(&PinSource::File("/nonexistent/pin".into())).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/pin"), "{missing}");
        let variable = Pin::read(&PinSource::Env("HOLDFAST_NO_SUCH_PIN".into())).unwrap_err();
        assert!(variable.to_string().contains("HOLDFAST_NO_SUCH_PIN"), "{variable}");
        for name in ["", "../pin", "a/b"] {
            assert!(matches!(Pin::read(&PinSource::Credential(name.into())).unwrap_err(), PinError::CredentialName(_)));
        }
    }
}
