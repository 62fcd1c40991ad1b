//! The two configuration files. `deploy/docs/configuration.md` documents every setting; a test compares.

pub(crate) mod controlplane;
pub(crate) mod dataplane;
mod pkcs11;
mod reader;

use crate::logging::{Format, LEVELS, LogSettings};
use reader::{ConfigError, Section, Source};

/// The section `[log]`, the same in both files.
fn log(root: &Section<'_>) -> LogSettings {
    let section = root.section("log");
    let format = section.choice("format", &[("text", Format::Text), ("json", Format::Json)]);
    let level = section.choice("level", &LEVELS);
    section.finish();
    LogSettings { format: format.unwrap_or_default(), level }
}

/// The settings that a reader names as known when it meets `odd` ones.
#[cfg(test)]
fn known_settings(odd: &str, read: impl FnOnce(&std::path::Path) -> ConfigError) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.toml");
    std::fs::write(&file, odd).unwrap();
    let ConfigError::Faults { faults } = read(&file) else { panic!("not a list of faults") };
    let known = faults.iter().filter_map(|fault| fault.split_once("known here: "));
    known.flat_map(|(_, names)| names.split(", ")).map(ToOwned::to_owned).collect()
}
