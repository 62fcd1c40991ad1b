//! Standard output, for what a command was asked to print. Logs go to standard error.

use std::io::Write;

/// Prints a line. A reader that went away is no fault of the command's.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
