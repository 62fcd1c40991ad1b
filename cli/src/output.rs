//! Standard output, for what a command was asked to print: lines, tables of plain columns, JSON. Logs and warnings go to standard error.

use std::io;

use serde::Serialize;

use crate::failure::Failure;

/// Prints a line. A reader that went away is no fault of the command's; else what can't be written is told, since it may be a secret that
/// is shown once.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    written(&mut io::stdout().lock(), text)
}

/// Says something that is no failure, on standard error.
pub(crate) fn warning(text: &str) {
    eprintln!("holdfast: warning: {text}");
}

/// For programs.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(Failure::from_error)
}

/// Columns as wide as what is in them; the first row is the head. Control characters don't reach the terminal.
pub(crate) fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.as_ref().iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn written(out: &mut impl io::Write, text: &str) -> Result<(), Failure> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the answer can't be written to standard output: {cause}; what was asked for is done")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Names are other people's text: an escape sequence in one must not draw on the terminal.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_written_is_told_unless_nobody_reads_it() {
        struct Breaks(io::ErrorKind);
        impl io::Write for Breaks {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(written(&mut Breaks(io::ErrorKind::BrokenPipe), "a").is_ok());
        let failure = written(&mut Breaks(io::ErrorKind::StorageFull), "a").unwrap_err();
        assert!(failure.to_string().contains("standard output"), "{failure}");
        let mut all = Vec::new();
        written(&mut all, "a").unwrap();
        assert_eq!(all, b"a\n");
    }

    #[test]
    fn columns_line_up_and_escapes_are_shown_as_a_mark() {
        let rows = [["NAME", "STATE"], ["a\u{1b}[2Jb", "up"]].map(|row| row.map(ToOwned::to_owned));
        assert_eq!(table(&rows), "NAME    STATE\na?[2Jb  up");
    }
}
