//! The data directory of `holdfast dev`. Owns its layout and its format mark; holds: a directory that is not ours, or of another version, is
//! left as it is.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// A directory that is ours to use.
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Opens `path`, or makes it where there is none; an empty directory will do.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|cause| Failure::file("make the data directory", path, &cause))?;
        let path = path.canonicalize().map_err(|cause| Failure::file("find the data directory", path, &cause))?;
        let mark = path.join("format");
        match fs::read_to_string(&mark) {
            Ok(text) if text == FORMAT => {}
            Ok(text) => {
                let dir = path.display();
                return Err(Failure::new(format!(
                    "{dir} was made by another version of holdfast dev (its format is {:?}, this one reads {:?}): use that version, or another --data-dir",
                    text.trim(),
                    FORMAT.trim(),
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_occupied(&path)? {
                    let dir = path.display();
                    return Err(Failure::new(format!(
                        "{dir} holds other things: --data-dir must be an empty directory, or one that holdfast dev made"
                    )));
                }
                // Whole or not at all: half a mark would be that of another version.
                let unfinished = path.join(UNFINISHED);
                let written = fs::write(&unfinished, FORMAT).and_then(|()| fs::rename(&unfinished, &mark));
                written.map_err(|cause| Failure::file("write", &mark, &cause))?;
            }
            Err(cause) => return Err(Failure::file("read", &mark, &cause)),
        }
        Ok(Self(path))
    }

    /// The control plane's data directory.
    pub(crate) fn control_plane(&self) -> PathBuf {
        self.0.join("controlplane")
    }

    /// What `node enroll` wrote for the data plane.
    pub(crate) fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// What the simulator of AWS KMS keeps.
    pub(crate) fn kms_sim(&self) -> PathBuf {
        self.0.join("kms-sim")
    }

    /// What programs read.
    pub(crate) fn handout(&self) -> PathBuf {
        self.0.join("dev.json")
    }
}

fn is_occupied(path: &Path) -> Result<bool, Failure> {
    let failed = |cause| Failure::file("read the data directory", path, &cause);
    for entry in fs::read_dir(path).map_err(failed)? {
        if entry.map_err(failed)?.file_name() != UNFINISHED {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a first start that was cut short may have left.
const UNFINISHED: &str = "format.new";
const FORMAT: &str = "holdfast-dev 1\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_that_was_cut_short_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(UNFINISHED), "hold").unwrap();
        for _ in 0..2 {
            DataDir::open(folder.path()).map_err(|failure| failure.to_string()).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.path().join("format")).unwrap(), FORMAT);
        assert!(!folder.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(DataDir::open(folder.path()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
