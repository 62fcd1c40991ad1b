//! The audit trail: one JSON line for each failure, and for each success of key stores that ask.
//!
//! Owns the files: `audit-YYYY-MM-DD.jsonl` (UTC) in a directory, mode 0600, appended to by one thread. Holds: the request path only
//! puts a record into a bounded queue; what does not fit there or can't be written is counted, never waited for; strangers, who did not
//! authenticate, fill at most half of it, so that a flood of theirs takes no place from records of KMS. No payload: what a record can
//! hold is in [`Record`].

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::error;

use crate::{chain::chain, metrics::Metrics};

/// Where records go. Dropping it writes out what is queued.
#[derive(Debug)]
pub(crate) struct Audit {
    /// None once it drops.
    queue: Option<Queue>,
    thread: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
}

/// One request, as the audit trail has it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// When the answer was ready; RFC 3339, UTC.
    #[serde(serialize_with = "rfc3339")]
    pub(crate) time: SystemTime,
    /// `kmsRequestId` as the body has it. Not to be trusted in records of requests that did not authenticate.
    pub(crate) kms_request_id: Option<Box<str>>,
    /// The key store's name; none where the path names no store.
    pub(crate) store: Option<Box<str>>,
    /// The key store's id.
    pub(crate) store_id: Option<uuid::Uuid>,
    /// The external key id in the path.
    pub(crate) external_key_id: Option<Box<str>>,
    /// `awsPrincipalArn`, like `kmsRequestId`.
    pub(crate) aws_principal_arn: Option<Box<str>>,
    /// `kmsKeyArn`, like `kmsRequestId`.
    pub(crate) kms_key_arn: Option<Box<str>>,
    /// `kmsOperation`, like `kmsRequestId`.
    pub(crate) kms_operation: Option<Box<str>>,
    /// `awsSourceVpc`, like `kmsRequestId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aws_source_vpc: Option<Box<str>>,
    /// `awsSourceVpce`, like `kmsRequestId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aws_source_vpce: Option<Box<str>>,
    /// `kmsViaService`, like `kmsRequestId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_via_service: Option<Box<str>>,
    /// What was asked of us; none for a path that isn't one of this API.
    pub(crate) operation: Option<&'static str>,
    /// `ok`, `refused` or `aborted`: the client was gone before its answer.
    pub(crate) outcome: &'static str,
    /// The refusal as the client saw it.
    pub(crate) error_name: Option<&'static str>,
    /// The refusal, more finely.
    pub(crate) reason: Option<&'static str>,
    /// Whose signature verified.
    pub(crate) access_key_id: Option<Box<str>>,
    /// Where the connection comes from.
    pub(crate) peer: std::net::IpAddr,
    /// From the head to the answer.
    pub(crate) micros: u64,
}

/// Why there is no audit trail.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file can't be made in the directory.
    #[error("cannot write audit files in {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The thread was not started.
    #[error("cannot start the audit thread")]
    Thread(#[source] io::Error),
}

impl Audit {
    /// Opens today's file and starts the thread; without a directory there is no audit.
    ///
    /// # Errors
    /// [`AuditError`].
    pub(crate) fn start(directory: Option<&Path>, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let Some(directory) = directory else { return Ok(Self { queue: None, thread: None, metrics }) };
        let files = Files::open(directory).map_err(|cause| AuditError::Directory { directory: directory.into(), cause })?;
        let (queue, records) = queue();
        let writer = Writer { files, metrics: Arc::clone(&metrics) };
        let thread = thread::Builder::new().name("holdfast-audit".into()).spawn(move || writer.run(&records));
        Ok(Self { queue: Some(queue), thread: Some(thread.map_err(AuditError::Thread)?), metrics })
    }

    /// Whether anybody reads what is written.
    pub(crate) const fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues a record.
    pub(crate) fn write(&self, record: Record) {
        if let Some(queue) = &self.queue
            && !queue.put(record)
        {
            self.metrics.audit_dropped();
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed.
            let _ = thread.join();
        }
    }
}

/// Where records wait.
#[derive(Debug)]
struct Queue {
    records: SyncSender<Record>,
    /// How many of those that wait are of strangers.
    strangers: Arc<AtomicUsize>,
}

/// The end that records are taken from.
struct Queued {
    records: Receiver<Record>,
    strangers: Arc<AtomicUsize>,
}

fn queue() -> (Queue, Queued) {
    let (sender, receiver) = sync_channel(QUEUED);
    let strangers = Arc::<AtomicUsize>::default();
    (Queue { records: sender, strangers: Arc::clone(&strangers) }, Queued { records: receiver, strangers })
}

impl Queue {
    /// False where there is no place for it.
    fn put(&self, record: Record) -> bool {
        if record.access_key_id.is_some() {
            return self.records.try_send(record).is_ok();
        }
        if self.strangers.fetch_add(1, Ordering::Relaxed) < STRANGERS && self.records.try_send(record).is_ok() {
            return true;
        }
        self.strangers.fetch_sub(1, Ordering::Relaxed);
        false
    }
}

impl Queued {
    fn try_next(&self) -> Result<Record, TryRecvError> {
        self.records.try_recv().inspect(|record| self.taken(record))
    }

    fn next(&self, within: Duration) -> Result<Record, RecvTimeoutError> {
        self.records.recv_timeout(within).inspect(|record| self.taken(record))
    }

    fn taken(&self, record: &Record) {
        if record.access_key_id.is_none() {
            self.strangers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

struct Writer {
    files: Files,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(mut self, records: &Queued) {
        // Flushed when the queue is empty, so that a reader sees a record soon and a flood costs one write for many.
        loop {
            let record = match records.try_next() {
                Ok(record) => record,
                Err(_) => {
                    self.settle(0, Files::flush);
                    match records.next(IDLE) {
                        Ok(record) => record,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            };
            self.settle(1, |files| files.append(&record));
        }
    }

    fn settle(&mut self, lost: u32, write: impl FnOnce(&mut Files) -> io::Result<()>) {
        if let Err(cause) = write(&mut self.files) {
            (0..lost).for_each(|_| self.metrics.audit_dropped());
            if !std::mem::replace(&mut self.files.failing, true) {
                error!(error = %chain(&cause), "audit records are being lost");
            }
        } else if lost > 0 {
            self.files.failing = false;
        }
    }
}

struct Files {
    directory: PathBuf,
    day: Date,
    file: BufWriter<File>,
    /// Said once, until a record is written again.
    failing: bool,
}

impl Files {
    fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let day = OffsetDateTime::now_utc().date();
        Ok(Self { directory: directory.into(), day, file: BufWriter::new(open(directory, day)?), failing: false })
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let day = OffsetDateTime::from(record.time).date();
        // Only onwards: a record from before midnight that comes late stays in the new file.
        if day > self.day {
            self.file.flush()?;
            self.file = BufWriter::new(open(&self.directory, day)?);
            self.day = day;
        }
        // In one piece, so that a disk that is full takes all of a line or nothing.
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(directory: &Path, day: Date) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(format!("audit-{day}.jsonl")))
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = OffsetDateTime::from(*time).format(&Rfc3339).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&text)
}

/// Records that wait for the disk: a second of them at 8,000 failures per second.
const QUEUED: usize = 8_192;
/// How many of them may be of strangers.
const STRANGERS: usize = QUEUED / 2;
const IDLE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn record(time: SystemTime) -> Record {
        Record {
            time,
            kms_request_id: Some("id \"1\"\n".into()),
            store: None,
            store_id: None,
            external_key_id: None,
            aws_principal_arn: None,
            kms_key_arn: None,
            kms_operation: None,
            aws_source_vpc: None,
            aws_source_vpce: None,
            kms_via_service: None,
            operation: Some("Encrypt"),
            outcome: "ok",
            error_name: None,
            reason: None,
            access_key_id: None,
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
            micros: 7,
        }
    }

    #[test]
    fn what_was_queued_is_on_disk_when_the_audit_ends() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::start(Some(directory.path()), Arc::new(Metrics::register())).unwrap();
        let now = SystemTime::now();
        for _ in 0..100 {
            audit.write(record(now));
        }
        drop(audit);
        let path = directory.path().join(format!("audit-{}.jsonl", OffsetDateTime::from(now).date()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 100);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((line["kmsRequestId"].as_str(), line["micros"].as_u64()), (Some("id \"1\"\n"), Some(7)));
        }
    }

    #[test]
    fn strangers_fill_half_of_the_queue_and_leave_the_rest() {
        let (queue, queued) = queue();
        let stranger = || record(SystemTime::UNIX_EPOCH);
        let known = || Record { access_key_id: Some("A".into()), ..stranger() };
        assert_eq!((0..QUEUED).filter(|_| queue.put(stranger())).count(), STRANGERS);
        assert_eq!((0..QUEUED).filter(|_| queue.put(known())).count(), QUEUED - STRANGERS);
        // Whoever comes first gets a place that became free.
        assert!(queued.try_next().unwrap().access_key_id.is_none());
        assert!(queue.put(known()) && !queue.put(stranger()));
        while queued.try_next().is_ok() {}
        assert_eq!((0..QUEUED).filter(|_| queue.put(stranger())).count(), STRANGERS);
    }

    #[test]
    fn a_new_day_is_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::open(directory.path()).unwrap();
        let now = SystemTime::now();
        let tomorrow = now + Duration::from_secs(86_400);
        files.append(&record(now)).unwrap();
        files.append(&record(tomorrow)).unwrap();
        files.append(&record(now)).unwrap();
        files.flush().unwrap();
        let lines = |time: SystemTime| {
            let name = format!("audit-{}.jsonl", OffsetDateTime::from(time).date());
            std::fs::read_to_string(directory.path().join(name)).unwrap().lines().count()
        };
        assert_eq!((lines(now), lines(tomorrow)), (1, 2));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_said_at_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Audit::start(Some(file.path()), Arc::new(Metrics::register())), Err(AuditError::Directory { .. })));
    }
}
