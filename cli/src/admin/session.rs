//! What `holdfast login` leaves for the verbs: a file for its owner alone.
//!
//! Always holds: it is written whole or not at all; the password is not in it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use holdfast_proto::admin::LoginResponse;
use serde::{Deserialize, Serialize};

use super::private_file::{self, PrivateFile};
use crate::failure::{Failure, Kind};

/// Who is signed in, and where.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    pub(super) server: String,
    /// PEM; none: the authorities of the system.
    pub(super) ca: Option<String>,
    pub(super) username: String,
    pub(super) refresh_token: String,
    pub(super) jwt: String,
    /// By the clock of this machine.
    pub(super) jwt_expires_ms: u64,
}

impl Session {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::of(Kind::SignIn, "not signed in"));
            }
            Err(cause) => return Err(Failure::file("read", file, &cause)),
        };
        let broken = |cause| Failure::of(Kind::SignIn, format!("{} is no session ({cause})", file.display()));
        serde_json::from_slice(&text).map_err(broken)
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_file::folder(folder)?;
        }
        let mut new = PrivateFile::in_place_of(file)?;
        new.write(&serde_json::to_vec_pretty(self).map_err(Failure::from_error)?)?;
        new.replace()
    }

    /// Takes what signing in or refreshing brought, which `asked` for it.
    pub(super) fn renew(&mut self, login: LoginResponse, asked: SystemTime) {
        self.jwt = login.jwt;
        self.refresh_token = login.refresh_token;
        self.jwt_expires_ms = millis(asked + Duration::from_secs(login.duration.into()));
    }

    /// Whether a call that starts now could meet its end.
    pub(super) fn is_stale(&self, now: SystemTime) -> bool {
        millis(now + MARGIN) >= self.jwt_expires_ms
    }
}

/// Where the session lies: as told, as the environment says, or the default.
pub(super) fn place(told: Option<&Path>) -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let place = told.map(Path::to_owned).or_else(|| set("HOLDFAST_SESSION")).or_else(|| {
        let config = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| Some(set("HOME")?.join(".config")));
        Some(config?.join("holdfast/session.json"))
    });
    place.ok_or_else(|| Failure::new("no place for the session: HOME is not set; --session FILE names one"))
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Waiting for nodes may take 5 s, and a passphrase is slow by design.
const MARGIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let begun = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let empty = String::new;
        let mut session = Session { server: empty(), ca: None, username: empty(), refresh_token: empty(), jwt: empty(), jwt_expires_ms: 0 };
        assert!(session.is_stale(begun));
        session.renew(LoginResponse { duration: 300, ..LoginResponse::default() }, begun);
        assert!(!session.is_stale(begun + Duration::from_secs(269)));
        assert!(session.is_stale(begun + Duration::from_secs(270)));
    }
}
