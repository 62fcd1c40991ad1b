//! Which token a partition was, when it was seen last.
//!
//! Holds: a token that was never seen and is not found is a mistake in the configuration; one that was seen is a token that is gone. By
//! this `retry-login` knows a partition's id without touching the token.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    durable,
    settings::{PartitionSettings, TokenSelector},
    status::TokenFacts,
};

/// What is kept of a partition.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    token: TokenSelector,
    pub(crate) facts: TokenFacts,
    /// Where it was.
    #[serde(default)]
    pub(crate) slot: Option<u64>,
}

/// The token of this partition, if it was ever seen by its present selector. A file that can't be read is as good as none.
pub(crate) fn read(settings: &PartitionSettings, state_dir: &Path) -> Option<Seen> {
    let content = durable::read(&path(settings, state_dir)).ok()??;
    serde_json::from_slice(&content).ok().filter(|seen: &Seen| seen.token == settings.token)
}

/// Keeps that the token was seen. Writes only what is new.
pub(crate) fn keep(settings: &PartitionSettings, state_dir: &Path, facts: &TokenFacts, slot: u64) -> io::Result<()> {
    let seen = Seen { token: settings.token.clone(), facts: facts.clone(), slot: Some(slot) };
    if read(settings, state_dir).as_ref() == Some(&seen) {
        return Ok(());
    }
    durable::write(&path(settings, state_dir), &serde_json::to_vec(&seen)?)
}

/// The id that `retry-login` needs.
pub(crate) fn id(settings: &PartitionSettings, state_dir: &Path) -> Option<Uuid> {
    settings.id.or_else(|| read(settings, state_dir).map(|seen| seen.facts.id))
}

/// Names are free text, file names are not: other bytes than letters, digits, `-` and `_` become `%` and two digits.
fn path(settings: &PartitionSettings, state_dir: &Path) -> PathBuf {
    let mut name = String::from("seen-");
    for byte in settings.name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    durable::directory(state_dir).join(name + ".json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkcs11::settings::PinSource;

    fn settings(name: &str) -> PartitionSettings {
        PartitionSettings::new(name.into(), "/module".into(), TokenSelector::Slot(1), PinSource::Env("PIN".into()))
    }

    #[test]
    fn every_name_has_a_file_of_its_own_below_the_state_directory() {
        let names = ["one", "One", "a b", "a%20b", "..", "../one", "é", ""];
        let paths: std::collections::BTreeSet<_> = names.map(|name| path(&settings(name), Path::new("/state"))).into();
        assert_eq!(paths.len(), names.len());
        assert!(paths.iter().all(|path| path.parent() == Some(Path::new("/state/pkcs11"))), "{paths:?}");
    }

    #[test]
    fn a_token_was_seen_by_the_selector_that_found_it() {
        let state = tempfile::tempdir().unwrap();
        let found = settings("one");
        let text = |text: &str| text.to_owned();
        let facts = TokenFacts {
            id: Uuid::from_u128(7),
            label: text("label"),
            manufacturer: text("maker"),
            model: text("model"),
            firmware: text("1.0"),
            serial: text("1"),
        };
        assert_eq!(id(&found, state.path()), None);
        keep(&found, state.path(), &facts, 1).unwrap();
        assert_eq!(read(&found, state.path()).unwrap().facts, facts);
        assert_eq!(id(&found, state.path()), Some(facts.id));
        let other = PartitionSettings { token: TokenSelector::Slot(2), ..found };
        assert_eq!(read(&other, state.path()), None);
    }
}
