//! The two configuration files. `deploy/docs/configuration.md` documents every setting; a test compares.

pub(crate) mod controlplane;
pub(crate) mod dataplane;
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
