//! Threads for what no request waits for: taking a configuration over, writing it to disk, dropping the one before.
//!
//! Holds: such work runs on no thread that answers requests, and at a lower priority, so that on a busy machine a push of 100,000 keys
//! takes longer rather than the requests beside it (measured by `bench/benches/scale.rs`).

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::debug;

/// A runtime whose threads, those for blocking work included, yield to the ones that answer requests. What runs on it ends when it drops.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    /// Taken when this drops.
    runtime: Option<Runtime>,
}

impl Background {
    /// Starts the runtime.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("holdfast-sync")
            .enable_all()
            .on_thread_start(yield_to_requests)
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// To spawn on.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Not waited for: this may be dropped where blocking is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the calling thread's priority: on Linux a nice value belongs to a thread.
pub(crate) fn yield_to_requests() {
    let lowered = getpriority_process(None).and_then(|now| setpriority_process(None, now.saturating_add(NICER)));
    if let Err(error) = lowered {
        debug!(%error, "a background thread runs at the priority of requests");
    }
}

/// About a tenth of the share of a thread that answers (`sched(7)`: a factor of 1.25 a step).
const NICER: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_threads_have_a_lower_priority_and_leave_the_others_alone() {
        let before = getpriority_process(None).unwrap();
        let background = Background::start().unwrap();
        let on = |task: tokio::task::JoinHandle<i32>| background.handle().block_on(task).unwrap();
        let worker = on(background.handle().spawn(async { getpriority_process(None).unwrap() }));
        let blocking = on(background.handle().spawn_blocking(|| getpriority_process(None).unwrap()));
        let lowered = (before + NICER).min(19);
        assert_eq!((worker, blocking), (lowered, lowered));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
