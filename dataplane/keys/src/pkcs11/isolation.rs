//! A partition whose code runs in a process of its own, which can be killed (design §5).
//!
//! The same partition code runs in the child; here is what stands for it in the parent: `supervisor` (its life), `dispatcher` and
//! `reader` (one thread each, to and from the child), `slots` (the jobs that it has). The child is `child`; both speak `frame`.
//!
//! Holds: whatever the child does, nothing here waits for it, and everything that it was asked for is answered; a crash or a deadlock
//! in a module costs the child alone, and a few seconds of this partition.

use std::{path::PathBuf, sync::Arc, thread};

use crossbeam_channel::{Receiver, bounded};

use self::supervisor::Supervisor;
use super::{
    Pkcs11Fault,
    front::{Front, Order},
    settings::PartitionSettings,
    start::Problem,
};

mod child;
mod dispatcher;
mod frame;
mod life;
mod members;
mod process;
mod reader;
mod slots;
mod supervisor;
mod tasks;
#[cfg(test)]
mod tests;

pub use self::child::{KeyhostError, keyhost};

/// A partition, and how to run its process.
pub(crate) struct Host {
    pub(crate) settings: PartitionSettings,
    pub(crate) state_dir: PathBuf,
    /// Program and first arguments.
    pub(crate) keyhost: Vec<PathBuf>,
}

/// Starts a partition in a process of its own, as `Partition::start` does in this one: comes back when the token was opened, or could
/// not be; in the latter case it is down, and connected once it can be.
///
/// # Errors
/// What is wrong with the configuration.
pub(crate) fn start(host: Host, front: Arc<Front>, orders: Receiver<Order>) -> Result<(), Vec<Pkcs11Fault>> {
    let (started, result) = bounded(1);
    let (partition, program) = (host.settings.name.clone(), host.keyhost.first().cloned().unwrap_or_default());
    let fault = |why: String| vec![Pkcs11Fault::new(&partition, Problem::Keyhost { program, why })];
    let supervisor = Supervisor::new(host, front, started);
    // A child is killed with the thread that started it, and this one outlives its children.
    match thread::Builder::new().name("keyhost".into()).spawn(move || supervisor.run(&orders)) {
        Err(error) => Err(fault(error.to_string())),
        Ok(_) => result.recv().unwrap_or_else(|_| Err(fault("its supervisor ended".into()))),
    }
}
