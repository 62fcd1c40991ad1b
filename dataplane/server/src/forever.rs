//! Tasks that run until the data plane stops.
//! Holds: one that ends before, as by a panic, is said in the log; where nothing answers without it, the node is not ready from then on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tracing::error;

use crate::drain::{Drain, Phase};

/// Goes with such a task and speaks up when it drops too soon.
#[derive(Debug)]
pub(crate) struct Forever {
    /// What the task does.
    pub(crate) task: &'static str,
    /// Its end is the right one from [`Phase::Closing`] on.
    pub(crate) drain: Arc<Drain>,
    /// Set by an end before that, where the node can't go without the task.
    pub(crate) broken: Option<Arc<AtomicBool>>,
}

impl Forever {
    /// Runs the task.
    pub(crate) async fn run(self, task: impl Future<Output = ()>) {
        task.await;
    }
}

impl Drop for Forever {
    fn drop(&mut self) {
        if self.drain.phase() < Phase::Closing {
            let serving = self.broken.is_none();
            error!(task = self.task, serving, "a task that runs as long as the data plane has ended; restart it");
            if let Some(broken) = &self.broken {
                broken.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_or_a_panic_before_the_drain_breaks_the_node_and_one_after_it_does_not() {
        let drain = Arc::<Drain>::default();
        for (phase, breaks) in [(Phase::Serving, true), (Phase::Leaving, true), (Phase::Closing, false), (Phase::Closed, false)] {
            drain.advance(phase);
            for panics in [false, true] {
                let broken = Arc::<AtomicBool>::default();
                let forever = Forever { task: "test", drain: Arc::clone(&drain), broken: Some(Arc::clone(&broken)) };
                let ended = tokio::spawn(forever.run(async move { assert!(!panics) })).await;
                assert_eq!((ended.is_err(), broken.load(Ordering::Relaxed)), (panics, breaks), "{phase:?}");
            }
        }
    }
}
