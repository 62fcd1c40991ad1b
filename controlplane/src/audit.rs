//! Who did what: one JSON line for each admin call, without secrets.
//!
//! Always holds: a line is written whole, after the call's outcome is known and before it is told; a call whose caller went away has its
//! line, too. A disk that fails does not stop admins: it is logged.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Audit(Mutex<File>);

/// What a line says, beside the time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// The caller's name; empty where the token was invalid.
    pub(crate) who: &'a str,
    /// The surface: `rest` or `grpc`.
    pub(crate) via: &'static str,
    /// Such as `key.block`.
    pub(crate) operation: &'static str,
    /// Id or name of what it was done to.
    pub(crate) target: &'a str,
    /// `ok`, the refusal's name, or [`ABANDONED`].
    pub(crate) outcome: &'static str,
}

/// A call that has begun. Its line is written when it ends, or when it is dropped because nobody waits for it any more.
pub(crate) struct Begun<'a> {
    audit: &'a Audit,
    record: Record<'a>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    record: &'a Record<'a>,
}

impl Audit {
    /// Appends to `dir`/`admin.jsonl`.
    ///
    /// # Errors
    /// Where the directory or file can't be made or opened.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let file = File::options().create(true).append(true).open(dir.join("admin.jsonl"))?;
        Ok(Self(Mutex::new(file)))
    }

    /// A call has begun; what it is recorded as, but for its outcome.
    pub(crate) fn begin<'a>(&'a self, record: Record<'a>) -> Begun<'a> {
        // Both go to a file, and a caller chose them, who at a login is anyone.
        let (who, target) = (short(record.who), short(record.target));
        Begun { audit: self, record: Record { who, target, ..record } }
    }

    fn write(&self, record: &Record<'_>) {
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let written = serde_json::to_vec(&Line { time, record }).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
        });
        if let Err(error) = written {
            tracing::error!(%error, operation = record.operation, "an admin call is missing in the audit file");
        }
    }
}

impl Begun<'_> {
    /// The call has ended so.
    pub(crate) fn end(mut self, outcome: &'static str) {
        self.record.outcome = outcome;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.audit.write(&self.record);
    }
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Bytes of a text that a caller chose.
const LONGEST_TEXT: usize = 256;

/// The outcome of a call whose caller went away: what was committed stays.
pub(crate) const ABANDONED: &str = "abandoned";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_one_line_of_json_added_to_those_before() {
        let dir = tempfile::tempdir().unwrap();
        for target in ["a\nb", "c"] {
            let audit = Audit::open(&dir.path().join("audit")).unwrap();
            let record = Record { who: "admin", via: "grpc", operation: "key.block", target, outcome: ABANDONED };
            audit.begin(record).end("ok");
            drop(audit.begin(record));
        }
        let text = fs::read_to_string(dir.path().join("audit/admin.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> = lines.iter().map(|l| [&l["target"], &l["outcome"]].map(|v| v.as_str().unwrap())).collect();
        assert_eq!(told, [["a\nb", "ok"], ["a\nb", "abandoned"], ["c", "ok"], ["c", "abandoned"]]);
        assert_eq!(lines[0]["who"], "admin");
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_a_caller_chose_is_cut_so_that_nobody_fills_the_disk_with_one_call() {
        let dir = tempfile::tempdir().unwrap();
        let (audit, long) = (Audit::open(dir.path()).unwrap(), "é".repeat(1 << 19));
        audit.begin(Record { who: &long, via: "rest", operation: "login", target: &long, outcome: ABANDONED }).end("ok");
        assert!(fs::metadata(dir.path().join("admin.jsonl")).unwrap().len() < 1_000);
    }
}
