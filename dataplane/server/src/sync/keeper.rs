//! Writes to the state directory in the background.
//!
//! Holds: no request and no push waits for the disk; of several snapshots that wait, only the newest is written; what can't be
//! written is said in the log and tried again, and serving goes on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use holdfast_proto::ids::Revision;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{gauges, wear::Wear};
use crate::{
    cache::{Cache, CacheError},
    chain::chain,
    live::{Live, Snapshot},
};

/// Keeps counts and the snapshot's age on disk.
pub(super) struct Keeper {
    pub(super) live: Arc<Live>,
    pub(super) cache: Arc<Cache>,
}

/// Writes each new snapshot, and tells `durable`. Ends when nobody can install more and the last one is written.
pub(super) async fn write_last_good(cache: Arc<Cache>, mut snapshots: watch::Receiver<Arc<Snapshot>>, durable: watch::Sender<Revision>) {
    while snapshots.changed().await.is_ok() {
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let revision = snapshot.revision;
            let cache = Arc::clone(&cache);
            let written = spawn_blocking(move || cache.write_last_good(&snapshot.records, snapshot.revision));
            if succeeded(written.await, "last-good") {
                debug!(%revision, "last-good snapshot written");
                durable.send_replace(revision);
                break;
            }
            // A newer one, or nobody left to wait for, ends the pause.
            if let Ok(Err(_)) = timeout(PAUSE, snapshots.changed()).await {
                return;
            }
        }
    }
}

/// Writes counts and age for the last time.
pub(super) fn close(cache: &Cache, live: &Live, idle: bool) {
    let counts = if idle { live.ledger().close() } else { live.ledger().reserve() };
    if let Err(error) = cache.write_counts(&counts, idle) {
        said("counts", &chain(&error));
    }
    let (age, revision) = (live.age(), live.load().revision);
    if age < CONFIRM_EVERY
        && revision > Revision::default()
        && let Err(error) = cache.write_confirmed(revision, SystemTime::now() - age)
    {
        said("confirmed", &chain(&error));
    }
}

impl Keeper {
    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        gauges::snapshot(&self.live.load());
        let mut wear = Wear::default();
        let mut looked_at = None;
        let mut counts_not_before = Instant::now();
        let mut confirm_at = Instant::now() + CONFIRM_EVERY;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            gauges::age(&self.live);
            let now = Instant::now();
            if self.live.ledger().wants() && now >= counts_not_before {
                if !self.reserve().await {
                    counts_not_before = now + PAUSE;
                }
                // A count comes by here every half block.
                looked_at = None;
            }
            let revision = self.live.load().revision;
            if looked_at.replace(revision) != Some(revision) {
                wear.look(&self.live.load_full());
            }
            if now >= confirm_at && self.live.is_current() {
                confirm_at = now + CONFIRM_EVERY;
                self.confirm().await;
            }
        }
    }

    async fn reserve(&self) -> bool {
        let (live, cache) = (Arc::clone(&self.live), Arc::clone(&self.cache));
        let written = spawn_blocking(move || {
            let written = cache.write_counts(&live.ledger().reserve(), false);
            if written.is_err() {
                live.ledger().want();
            }
            written
        });
        succeeded(written.await, "counts")
    }

    async fn confirm(&self) {
        let (cache, revision) = (Arc::clone(&self.cache), self.live.load().revision);
        succeeded(spawn_blocking(move || cache.write_confirmed(revision, SystemTime::now())).await, "confirmed");
    }
}

fn succeeded(written: Result<Result<(), CacheError>, tokio::task::JoinError>, file: &'static str) -> bool {
    match written {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => said(file, &chain(&error)),
        Err(panic) => said(file, &chain(&panic)),
    }
    false
}

fn said(file: &'static str, error: &str) {
    gauges::write_failed(file);
    error!(file, error, "a state file was not written; serving goes on");
}

/// Counts are looked at this often. Half a block takes longer than that to use up, by far.
const LOOK: Duration = Duration::from_secs(1);

/// After a failed write.
const PAUSE: Duration = Duration::from_secs(10);

/// An age is right to this much after a restart that was not planned.
const CONFIRM_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::fs;

    use holdfast_proto::snapshot::RecordSet;
    use tempfile::TempDir;

    use super::*;
    use crate::live::{
        CountName, RESERVED_AT_ONCE,
        tests::{Maker, at, key_id},
    };

    /// A cache whose directory can be taken away under it.
    fn cache(maker: &Maker, directory: &TempDir) -> Arc<Cache> {
        Arc::new(Cache::open(directory.path().join("state"), Arc::clone(&maker.seals)).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_that_could_not_be_written_is_tried_again_and_only_the_newest_is() {
        let (maker, directory) = (Maker::new(), TempDir::new().unwrap());
        let cache = cache(&maker, &directory);
        let live = maker.live();
        fs::remove_dir_all(directory.path().join("state")).unwrap();
        let (installed, to_write) = watch::channel(live.load_full());
        let (durable_to, mut durable) = watch::channel(Revision::default());
        let writer = tokio::spawn(write_last_good(cache, to_write, durable_to));
        installed.send_replace(live.install(RecordSet::default(), at(1)));
        tokio::time::sleep(PAUSE * 3).await;
        assert_eq!(*durable.borrow(), Revision::default());
        fs::create_dir(directory.path().join("state")).unwrap();
        for counter in 2..5 {
            installed.send_replace(live.install(RecordSet::default(), at(counter)));
        }
        durable.changed().await.unwrap();
        assert_eq!(*durable.borrow_and_update(), at(4));
        drop(installed);
        writer.await.unwrap();
        assert!(!durable.has_changed().unwrap_or(false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_snapshot_is_written_before_the_writer_ends() {
        let (maker, directory) = (Maker::new(), TempDir::new().unwrap());
        let cache = cache(&maker, &directory);
        let live = maker.live();
        let (installed, to_write) = watch::channel(live.load_full());
        let (durable_to, durable) = watch::channel(Revision::default());
        installed.send_replace(live.install(RecordSet::default(), at(9)));
        drop(installed);
        write_last_good(cache, to_write, durable_to).await;
        assert_eq!(*durable.borrow(), at(9));
    }

    #[tokio::test(start_paused = true)]
    async fn encryption_goes_on_while_counts_can_t_be_written_and_they_are_when_they_can() {
        let (maker, directory) = (Maker::new(), TempDir::new().unwrap());
        let cache = cache(&maker, &directory);
        let live = Arc::new(maker.live());
        fs::remove_dir_all(directory.path().join("state")).unwrap();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(Keeper { live: Arc::clone(&live), cache: Arc::clone(&cache) }.run(stop.clone()));
        let name = CountName { key: key_id(1), version: 0, tag: [0; 4] };
        let count = live.ledger().count(name);
        count.take().unwrap();
        tokio::time::sleep(PAUSE * 3).await;
        assert!(live.ledger().wants());
        count.take().unwrap();
        fs::create_dir(directory.path().join("state")).unwrap();
        tokio::time::sleep(PAUSE + LOOK).await;
        assert!(!live.ledger().wants());
        stop.cancel();
        keeper.await.unwrap();
        // What was written, and a block for the end that was not clean.
        assert_eq!(cache.resume_counts().count(name).used(), 2 * RESERVED_AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmed_snapshot_is_noted_once_a_minute() {
        let (maker, directory) = (Maker::new(), TempDir::new().unwrap());
        let cache = cache(&maker, &directory);
        let live = Arc::new(maker.live());
        let noted = directory.path().join("state/confirmed");
        let keeper = tokio::spawn(Keeper { live: Arc::clone(&live), cache }.run(CancellationToken::new()));
        tokio::time::sleep(CONFIRM_EVERY * 2).await;
        assert!(!noted.exists(), "nobody has confirmed anything");
        live.mark_current();
        tokio::time::sleep(CONFIRM_EVERY + LOOK).await;
        assert!(noted.exists());
        keeper.abort();
    }
}
