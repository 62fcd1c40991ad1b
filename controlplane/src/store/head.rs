//! Where a store stands: its revision, the nudge, the names that changed lately, and the lock between readers and writers.
//!
//! Always holds: the revision moves only after a write is durable, under the lock that readers share; a write that was begun is ended,
//! whoever stops waiting for it; after a failed write nothing is read or written any more.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use holdfast_proto::ids::{Revision, StoreId};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};

use super::{Broken, CommitError, CommitFuture, entry::EntryName};
use crate::clock::now_ms;

/// Where a store stands.
#[derive(Debug)]
pub struct Head {
    revision: watch::Sender<Revision>,
    lock: Arc<RwLock<()>>,
    log: Mutex<Log>,
    broken: AtomicBool,
}

/// What was committed since some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Names of all entries that were put or deleted.
    pub names: BTreeSet<EntryName>,
    /// When the newest of it was committed, milliseconds since 1970.
    pub committed_ms: u64,
}

impl Changed {
    /// The key stores to which any of it belongs.
    #[must_use]
    pub fn key_stores(&self) -> BTreeSet<StoreId> {
        self.names.iter().filter_map(EntryName::key_store).collect()
    }
}

impl Head {
    /// The revision of the last commit.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Tells when the revision moves: only a nudge, read afresh.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// What was committed after `revision`; none where memory does not reach back that far, so that everything must be read.
    #[must_use]
    pub fn changed_since(&self, revision: Revision) -> Option<Changed> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).since(revision)
    }

    pub(super) fn new(revision: Revision) -> Arc<Self> {
        let log = Log { start: revision, commits: VecDeque::new(), names: 0, newest_ms: now_ms() };
        let revision = watch::Sender::new(revision);
        Arc::new(Self { revision, lock: Arc::default(), log: Mutex::new(log), broken: AtomicBool::new(false) })
    }

    /// Keeps writers out while the guard lives.
    pub(super) async fn hold(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.lock).read_owned().await
    }

    pub(super) fn sound(&self) -> Result<(), Broken> {
        if self.broken.load(Ordering::Acquire) { Err(Broken) } else { Ok(()) }
    }

    /// Runs `write` as the one writer, if the store still stands at `expected`; its success moves the revision.
    pub(super) fn commit<W>(
        self: &Arc<Self>,
        expected: Revision,
        names: Vec<EntryName>,
        write: impl FnOnce(Revision) -> W + Send + 'static,
    ) -> CommitFuture
    where
        W: Future<Output = io::Result<()>> + Send + 'static,
    {
        let head = Arc::clone(self);
        // A task of its own: half a write must not be left behind when the caller goes away.
        let task = tokio::spawn(async move {
            let _alone = Arc::clone(&head.lock).write_owned().await;
            head.sound()?;
            let now = head.revision();
            if now != expected {
                return Err(CommitError::Conflict { now });
            }
            let next = now.next();
            // Out of order until the write has succeeded, so that a panic in it counts as a failure.
            head.broken.store(true, Ordering::Release);
            write(next).await.map_err(CommitError::Io)?;
            head.broken.store(false, Ordering::Release);
            head.log.lock().unwrap_or_else(PoisonError::into_inner).push(next, names);
            head.revision.send_replace(next);
            Ok(next)
        });
        Box::pin(async move { task.await.unwrap_or(Err(CommitError::Broken(Broken))) })
    }
}

#[derive(Debug)]
struct Log {
    /// Commits after this revision are in the log.
    start: Revision,
    commits: VecDeque<(Revision, Vec<EntryName>)>,
    names: usize,
    newest_ms: u64,
}

impl Log {
    fn push(&mut self, revision: Revision, names: Vec<EntryName>) {
        self.names += names.len();
        self.commits.push_back((revision, names));
        self.newest_ms = now_ms();
        while self.names > MOST_NAMES {
            let Some((revision, names)) = self.commits.pop_front() else { return };
            self.start = revision;
            self.names -= names.len();
        }
    }

    fn since(&self, revision: Revision) -> Option<Changed> {
        if revision < self.start {
            return None;
        }
        let first = self.commits.partition_point(|(at, _)| *at <= revision);
        let names = self.commits.range(first..).flat_map(|(_, names)| names.iter().cloned()).collect();
        Some(Changed { names, committed_ms: self.newest_ms })
    }
}

/// Names kept in the log, about 100 bytes each.
const MOST_NAMES: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use holdfast_proto::ids::KeyId;
    use uuid::Uuid;

    use super::*;

    fn name(number: u128) -> EntryName {
        EntryName::HyokKey(StoreId(Uuid::from_u128(9)), KeyId(Uuid::from_u128(number)))
    }

    #[test]
    fn the_log_tells_what_changed_after_a_revision_and_forgets_the_oldest() {
        let start = Revision { epoch: 1, counter: 0 };
        let mut log = Log { start, commits: VecDeque::new(), names: 0, newest_ms: 0 };
        log.push(start.next(), vec![name(1)]);
        log.push(start.next().next(), vec![name(2)]);
        assert_eq!(log.since(start).unwrap().names, [name(1), name(2)].into());
        assert_eq!(log.since(start.next()).unwrap().names, [name(2)].into());
        assert_eq!(log.since(start.next()).unwrap().key_stores(), [StoreId(Uuid::from_u128(9))].into());
        assert_eq!(log.since(Revision::default()), None);
        log.push(Revision { epoch: 1, counter: 3 }, vec![name(3); MOST_NAMES]);
        assert_eq!(log.since(start), None);
        assert_eq!(log.since(Revision { epoch: 1, counter: 2 }).unwrap().names, [name(3)].into());
    }
    #[tokio::test]
    async fn after_a_write_that_failed_or_panicked_nothing_is_written_or_read() {
        async fn fails() -> io::Result<()> {
            Err(io::Error::other("disk"))
        }
        async fn panics() -> io::Result<()> {
            panic!("on purpose")
        }
        let start = Revision { epoch: 1, counter: 0 };
        let (failed, panicked) = (Head::new(start), Head::new(start));
        assert!(matches!(failed.commit(start, vec![name(1)], |_| fails()).await, Err(CommitError::Io(_))));
        assert!(matches!(panicked.commit(start, vec![name(1)], |_| panics()).await, Err(CommitError::Broken(_))));
        for head in [failed, panicked] {
            assert_eq!(head.sound(), Err(Broken));
            assert_eq!((head.revision(), head.changed_since(start).unwrap().names), (start, BTreeSet::new()));
            let next = head.commit(start, Vec::new(), |_| async { Ok(()) }).await;
            assert!(matches!(next, Err(CommitError::Broken(Broken))));
        }
    }

    #[tokio::test]
    async fn a_conflict_does_not_so_much_as_begin_to_write() {
        let start = Revision { epoch: 1, counter: 5 };
        let head = Head::new(start);
        let lost = head.commit(Revision { epoch: 1, counter: 4 }, vec![name(1)], |_| async { Err(io::Error::other("written")) }).await;
        assert!(matches!(lost, Err(CommitError::Conflict { now }) if now == start));
        assert_eq!(head.sound(), Ok(()));
    }
}
