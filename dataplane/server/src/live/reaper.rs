//! Drops replaced snapshots on a thread of its own.
//!
//! Holds: a replaced snapshot is dropped here, once no request holds it any more. Then the signing keys of the credentials that it
//! took along are purged again, since a request that still held it may have derived one after the first purge.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use holdfast_proto::ids::CredentialId;

use super::snapshot::Snapshot;
use crate::{background, signing::SigningKeys};

/// The thread; it ends when this drops.
pub(super) struct Reaper(Sender<Replaced>);

struct Replaced {
    snapshot: Arc<Snapshot>,
    dropped: Vec<CredentialId>,
}

impl Reaper {
    /// Starts the thread.
    pub(super) fn start(signing: Arc<SigningKeys>) -> io::Result<Self> {
        let (sender, replaced) = mpsc::channel();
        thread::Builder::new().name("holdfast-reaper".into()).spawn(move || {
            background::yield_to_requests();
            run(&replaced, &signing);
        })?;
        Ok(Self(sender))
    }

    /// Takes a replaced snapshot over, with the credentials that went with it.
    pub(super) fn bury(&self, snapshot: Arc<Snapshot>, dropped: Vec<CredentialId>) {
        // Without the thread, which only a panic in a destructor could end, it is dropped here: by the installer.
        let _ = self.0.send(Replaced { snapshot, dropped });
    }
}

fn run(replaced: &Receiver<Replaced>, signing: &SigningKeys) {
    let mut waiting: Vec<Replaced> = Vec::new();
    loop {
        let next = if waiting.is_empty() { replaced.recv().map_err(RecvTimeoutError::from) } else { replaced.recv_timeout(LOOK_AGAIN) };
        match next {
            Ok(one) => waiting.push(one),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // The last reference is ours: no request can take another, since the snapshot is out of the swap.
        for free in waiting.extract_if(.., |one| Arc::strong_count(&one.snapshot) == 1) {
            signing.purge(&free.dropped);
        }
    }
}

/// Requests end within 200 ms; nobody waits for the memory.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
