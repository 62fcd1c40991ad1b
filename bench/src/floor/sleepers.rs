//! A stand-in for a device that takes its time: threads that sleep, each for one request at a time.
//!
//! It does for a request what a proxy in front of an HSM cannot do without: hand it to a thread that may wait, and be
//! told when that is done.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

/// Threads that sleep. They end when the last copy of this is dropped.
#[derive(Clone, Debug)]
pub struct Sleepers(Sender<oneshot::Sender<()>>);

impl Sleepers {
    /// Starts `threads` of them; each sleeps for `nap` at a time.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: usize, nap: Duration) -> io::Result<Self> {
        let (jobs, taken) = unbounded();
        for _ in 0..threads {
            let taken: Receiver<oneshot::Sender<()>> = taken.clone();
            thread::Builder::new().name("sleeper".into()).spawn(move || {
                for done in taken {
                    thread::sleep(nap);
                    // A client that is gone waits for nothing.
                    let _ = done.send(());
                }
            })?;
        }
        Ok(Self(jobs))
    }

    /// Waits until one of the threads has slept for this request.
    pub(super) async fn nap(&self) {
        let (done, woken) = oneshot::channel();
        // The threads live as long as this does.
        let _ = self.0.send(done);
        let _ = woken.await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn one_thread_sleeps_for_one_request_after_the_other() {
        let nap = Duration::from_millis(20);
        let sleepers = Sleepers::start(1, nap).unwrap();
        let begun = Instant::now();
        tokio::join!(sleepers.nap(), sleepers.nap());
        assert!(begun.elapsed() >= 2 * nap);
    }
}
