//! Who did what, and what became of it: one JSON line for each admin call and for each commit of the control plane's own, without secrets.
//!
//! Always holds: a line is written whole, after the call's outcome is known and before it is told; a call whose caller went away has its
//! line, too, with what it had changed. A disk that fails does not stop admins: it is logged.

mod changes;
mod shown;

use std::{
    fs::{self, File},
    io::{self, Write},
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub use self::changes::Changes;
use crate::access::{Trail, Who};

/// Where lines go. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Mutex<File>>);

/// The surface that a call came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// REST.
    Rest,
    /// gRPC.
    Grpc,
    /// None: the control plane did it by itself.
    System,
}

/// What a line says, beside the time, the outcome and the changes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// The caller's name; empty where the token was invalid.
    pub(crate) who: &'a str,
    /// The surface.
    pub(crate) via: Via,
    /// The caller's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<IpAddr>,
    /// Such as `hyok_key.block`; the same for the same act, whatever the surface.
    pub(crate) operation: &'static str,
    /// Id or name of what it was done to.
    pub(crate) target: &'a str,
}

/// A call that has begun. Its line is written when it ends, or when it is dropped because nobody waits for it any more.
pub(crate) struct Begun<'a> {
    audit: &'a Audit,
    record: Record<'a>,
    outcome: &'static str,
    trail: Option<Trail>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    record: &'a Record<'a>,
    outcome: &'static str,
    #[serde(flatten)]
    changes: &'a Changes,
}

impl Audit {
    /// Appends to `dir`/`admin.jsonl`.
    ///
    /// # Errors
    /// Where the directory or file can't be made or opened.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let file = File::options().create(true).append(true).open(dir.join("admin.jsonl"))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// A call has begun; what it is recorded as, but for its outcome. What `trail` has by its end is in the line.
    pub(crate) fn begin<'a>(&'a self, record: Record<'a>, trail: Option<Trail>) -> Begun<'a> {
        // Both go to a file, and a caller chose them, who at a login is anyone.
        let (who, target) = (short(record.who), short(record.target));
        Begun { audit: self, record: Record { who, target, ..record }, outcome: ABANDONED, trail }
    }

    /// The control plane changed something by itself, for a reason of its own.
    pub(crate) fn system(&self, reason: &'static str, changes: &Changes) {
        let who = Who::System(reason).to_string();
        self.write(&Record { who: &who, via: Via::System, peer: None, operation: reason, target: "" }, "ok", changes);
    }

    fn write(&self, record: &Record<'_>, outcome: &'static str, changes: &Changes) {
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let line = Line { time, record, outcome, changes };
        let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
        });
        if let Err(error) = written {
            tracing::error!(%error, operation = record.operation, "an admin call is missing in the audit file");
        }
    }
}

#[cfg(test)]
impl Audit {
    /// Of a test that looks at no line.
    pub(crate) fn unread() -> Self {
        Self(Arc::new(Mutex::new(File::options().append(true).open("/dev/null").unwrap())))
    }
}

impl Begun<'_> {
    /// The call has ended so.
    pub(crate) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let changes = self.trail.as_ref().map(Trail::taken).unwrap_or_default();
        self.audit.write(&self.record, self.outcome, &changes);
    }
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Bytes of a text that a caller chose.
const LONGEST_TEXT: usize = 256;

/// The outcome of a call whose caller went away: what was committed stays.
const ABANDONED: &str = "abandoned";

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str) -> Record<'_> {
        Record { who: "admin", via: Via::Grpc, peer: Some([127, 0, 0, 1].into()), operation: "key.block", target }
    }

    #[test]
    fn each_call_is_one_line_of_json_added_to_those_before() {
        let dir = tempfile::tempdir().unwrap();
        for target in ["a\nb", "c"] {
            let audit = Audit::open(&dir.path().join("audit")).unwrap();
            audit.begin(record(target), None).end("ok");
            drop(audit.begin(record(target), None));
        }
        let text = fs::read_to_string(dir.path().join("audit/admin.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> = lines.iter().map(|l| [&l["target"], &l["outcome"]].map(|v| v.as_str().unwrap())).collect();
        assert_eq!(told, [["a\nb", "ok"], ["a\nb", "abandoned"], ["c", "ok"], ["c", "abandoned"]]);
        assert_eq!((&lines[0]["who"], &lines[0]["via"], &lines[0]["peer"]), (&"admin".into(), &"grpc".into(), &"127.0.0.1".into()));
        assert_eq!(lines[0].get("changes"), None);
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_a_caller_chose_is_cut_so_that_nobody_fills_the_disk_with_one_call() {
        let dir = tempfile::tempdir().unwrap();
        let (audit, long) = (Audit::open(dir.path()).unwrap(), "é".repeat(1 << 19));
        audit.begin(Record { who: &long, ..record(&long) }, None).end("ok");
        assert!(fs::metadata(dir.path().join("admin.jsonl")).unwrap().len() < 1_000);
    }
}
