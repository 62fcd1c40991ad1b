//! One thread for what groups do beside requests: it has members that come up prove the health key, refreshes health checks, settles
//! disputes about proofs, and writes proofs.
//!
//! Holds: it takes no input. A nudge makes it look earlier; it finds what there is to do by itself, so that a lost nudge costs a
//! second at most.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};

use super::{group::Group, health::REFRESH_EACH, key::GroupKey};

/// The thread.
pub(super) struct Keeper {
    stop: Arc<AtomicBool>,
    nudge: Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it, for the groups of these keys: the health key of each. `nudges` is the other end of what the groups have.
    pub(super) fn start(health_keys: Vec<Arc<GroupKey>>, nudge: Sender<()>, nudges: Receiver<()>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let keep = move || {
            while !stopped.load(Ordering::Acquire) {
                // Nudged or not, it looks at everything.
                let _ = nudges.recv_timeout(EACH);
                health_keys.iter().for_each(|key| round(key));
            }
            // What came in since it looked.
            health_keys.iter().for_each(|key| key.group.book().save());
        };
        let thread = thread::Builder::new().name("pkcs11-keeper".into()).spawn(keep)?;
        Ok(Self { stop, nudge, thread })
    }

    /// Has it write what is left, and waits for its end: a round that waits for a token ends when the partitions do.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        // A full channel has a nudge already.
        let _ = self.nudge.try_send(());
        // It does not panic; if it did, that was said.
        let _ = self.thread.join();
    }
}

fn round(health_key: &GroupKey) {
    let group: &Group = &health_key.group;
    health_key.establish();
    group.accused().iter().for_each(|key| key.challenge());
    let watched = group.watched();
    // Spread over the time that they have, so that a token never gets all checks at once.
    let at_once = watched.len().div_ceil(ROUNDS);
    watched.iter().filter(|key| key.is_due()).take(at_once).for_each(|key| key.refresh());
    group.book().save();
}

/// How often it looks without a nudge.
const EACH: Duration = Duration::from_secs(1);

/// Rounds in which all checks are to be refreshed: fewer than there are, since a round can take longer.
const ROUNDS: usize = (REFRESH_EACH.as_secs() / 2) as usize;
