//! Why a command failed, as the lines that a person reads. `main` prints them once and exits with 1.

use std::{error::Error, fmt, io, path::Path};

/// One fault a line.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// One line, or a line for each of several faults.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// An error with its chain of causes.
    pub(crate) fn from_error(error: impl Error) -> Self {
        Self::new(chain(&error))
    }

    /// Several errors, a line each.
    pub(crate) fn from_errors<'e, E: Error + 'e>(errors: impl IntoIterator<Item = &'e E>) -> Self {
        Self::new(errors.into_iter().map(|error| chain(error)).collect::<Vec<_>>().join("\n"))
    }

    /// A file that could not be read, written, or made.
    pub(crate) fn file(what: &str, file: &Path, cause: &io::Error) -> Self {
        Self::new(format!("cannot {what} {}: {cause}", file.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, line) in self.0.lines().enumerate() {
            let separator = if nth == 0 { "" } else { "\n" };
            write!(f, "{separator}holdfast: {line}")?;
        }
        Ok(())
    }
}

/// `error: cause: its cause`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
