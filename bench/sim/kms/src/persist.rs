//! The state file: JSON, replaced whole, readable by its owner only.
//!
//! Always holds: a crash leaves the old file or the new one, never half of one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::{serve::SimError, state::State};

/// The state of the last run; a fresh one where there is no file yet.
///
/// # Errors
/// The file can't be read, or holds something else.
pub(crate) fn read(path: &Path) -> Result<State, SimError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|cause| SimError::StateFile { path: path.into(), cause: cause.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(cause) => Err(SimError::StateFile { path: path.into(), cause }),
    }
}

/// Writes the state.
///
/// # Errors
/// The file system refuses it.
pub(crate) fn write(path: &Path, state: &State) -> io::Result<()> {
    let text = serde_json::to_vec(state)?;
    let mut next = path.to_owned();
    next.as_mut_os_string().push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&text)?;
    fs::rename(&next, path)
}
