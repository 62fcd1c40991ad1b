//! Reloads every listener's files on SIGHUP and when one of them changes.
//! Holds: a change is only a nudge, all files are read afresh; what can't be loaded is said and changes nothing.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::sleep,
};
use tracing::{error, info, warn};

use super::{Reloaded, Tls, TlsError};
use crate::chain::chain;

/// What asks for a reload. Listening already, so that no signal and no change from here on is missed.
pub(crate) struct Reloads {
    listeners: Vec<Arc<Tls>>,
    hangups: Option<Signal>,
    nudges: mpsc::Receiver<()>,
    /// Dropping it would end the watch.
    _watcher: Option<RecommendedWatcher>,
}

impl Reloads {
    /// Listens for SIGHUP, which would end the process otherwise, and watches the files.
    pub(crate) fn watch(listeners: Vec<Arc<Tls>>) -> Self {
        let hangups = signal(SignalKind::hangup()).map_err(|error| warn!(%error, "SIGHUP will not reload certificates")).ok();
        let (nudge, nudges) = mpsc::channel(1);
        // For what changed since the files were read.
        let _ = nudge.try_send(());
        let watcher = watch(&listeners, nudge);
        Self { listeners, hangups, nudges, _watcher: watcher }
    }

    /// Reloads until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let asked = tokio::select! {
                Some(()) = async { self.hangups.as_mut()?.recv().await } => true,
                Some(()) = self.nudges.recv() => false,
                else => return,
            };
            if !asked {
                // A certificate and its key are two files: wait for the second.
                sleep(SETTLE).await;
                while self.nudges.try_recv().is_ok() {}
            }
            for tls in &self.listeners {
                report(tls.reload(asked));
            }
        }
    }
}

fn report(outcome: Result<Reloaded, Vec<TlsError>>) {
    match outcome {
        Ok(Reloaded::Unchanged) => {}
        Ok(Reloaded::Swapped) => info!("certificates reloaded"),
        Err(errors) => {
            for error in errors {
                error!(error = %chain(&error), "certificates not reloaded; the old ones stay");
            }
        }
    }
}

/// Directories rather than files, since files are replaced by renaming.
fn watch(listeners: &[Arc<Tls>], nudge: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            // Full: there is a nudge already.
            let _ = nudge.try_send(());
        }
    };
    let unwatched = |error: notify::Error| warn!(%error, "certificate files are not watched; SIGHUP reloads them");
    let mut watcher = notify::recommended_watcher(on_event).map_err(unwatched).ok()?;
    let directories: BTreeSet<PathBuf> = listeners.iter().flat_map(|tls| tls.directories()).map(PathBuf::from).collect();
    for directory in directories {
        let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            unwatched(error);
        }
    }
    Some(watcher)
}

const SETTLE: Duration = Duration::from_millis(200);
