//! Tasks that run as long as the control plane.
//!
//! Always holds: a task that panics is in the log. One that reads what it needs from the store is begun again, later each time while it
//! goes on so; without any other the control plane is broken, and whoever runs it is told, to end it.

use std::{any::Any, time::Duration};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs tasks until the control plane stops.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Goes with a task that can't be begun again, and speaks up when it ends too soon.
#[derive(Debug)]
pub(crate) struct Needed {
    /// What the task does.
    pub(crate) task: &'static str,
    /// Its end is the right one from then on.
    pub(crate) stop: CancellationToken,
    /// Set by an end before that.
    pub(crate) broken: CancellationToken,
}

/// The pauses before a task is begun again that panics, longer each time.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Option<Duration>);

impl Upkeep {
    /// Runs a task, and again after each panic; one that ends by itself has done what it should.
    pub(crate) fn keep<F>(&self, task: &'static str, mut begin: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { tasks, stop } = self.clone();
        self.tasks.spawn(async move {
            let mut pauses = Pauses::default();
            loop {
                let began = Instant::now();
                let Err(ended) = tasks.spawn(stop.clone().run_until_cancelled_owned(begin())).await else { return };
                let Ok(panic) = ended.try_into_panic() else { return };
                let wait = pauses.broken(task, (&*panic, began.elapsed()));
                if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    return;
                }
            }
        });
    }
}

impl Needed {
    /// Runs the task.
    pub(crate) async fn run(self, task: impl Future<Output = ()>) {
        task.await;
    }
}

impl Drop for Needed {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.task, "a task without which the control plane is of no use has ended");
            self.broken.cancel();
        }
    }
}

impl Pauses {
    /// A task panicked after so long: how long to wait before it is begun again.
    pub(crate) fn broken(&mut self, task: &'static str, (panic, lasted): (&(dyn Any + Send), Duration)) -> Duration {
        let wait = self.0.map_or(FIRST_PAUSE, |before| next(before, lasted));
        self.0 = Some(wait);
        metrics::counter!("holdfast_tasks_broken_total", "task" => task).increment(1);
        tracing::error!(task, panic = said(panic), again_in = ?wait, "a task of the control plane broke down; it is begun again");
        wait
    }
}

/// How long a task that lasted so long waits, after the pause before.
fn next(pause: Duration, lasted: Duration) -> Duration {
    if lasted >= STABLE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("nothing")
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A task that ran so long has got over what broke it before.
const STABLE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn upkeep() -> Upkeep {
        Upkeep { tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_begun_again_until_it_ends() {
        let upkeep = upkeep();
        let (begun, mut began) = mpsc::unbounded_channel();
        let mut runs = 0;
        upkeep.keep("test", move || {
            runs += 1;
            begun.send(runs).unwrap();
            async move { assert!(runs == 2, "on purpose") }
        });
        upkeep.tasks.close();
        upkeep.tasks.wait().await;
        assert_eq!((began.recv().await, began.recv().await, began.recv().await), (Some(1), Some(2), None));
    }

    #[test]
    fn what_breaks_down_again_and_again_waits_longer_and_longer_until_it_has_lasted() {
        let mut pause = FIRST_PAUSE;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pauses.push(pause.as_secs());
            pause = next(pause, Duration::ZERO);
        }
        assert_eq!((&pauses[..4], pauses[11]), (&[1, 2, 4, 8][..], 300));
        assert_eq!(next(pause, STABLE), FIRST_PAUSE);
    }

    #[tokio::test]
    async fn nothing_runs_once_it_stopped() {
        let upkeep = upkeep();
        let (alive, mut ended) = mpsc::channel::<()>(1);
        upkeep.keep("test", move || {
            let alive = alive.clone();
            async move {
                std::future::pending::<()>().await;
                drop(alive);
            }
        });
        tokio::task::yield_now().await;
        upkeep.stop.cancel();
        upkeep.tasks.close();
        upkeep.tasks.wait().await;
        assert_eq!(ended.recv().await, None);
    }

    #[tokio::test]
    async fn an_end_or_a_panic_of_what_is_needed_breaks_the_control_plane_before_it_stops_and_not_after() {
        for (stopped, panics) in [(false, false), (false, true), (true, false), (true, true)] {
            let (stop, broken) = (CancellationToken::new(), CancellationToken::new());
            if stopped {
                stop.cancel();
            }
            let needed = Needed { task: "test", stop, broken: broken.clone() };
            let ended = tokio::spawn(needed.run(async move { assert!(!panics) })).await;
            assert_eq!((ended.is_err(), broken.is_cancelled()), (panics, !stopped));
        }
    }
}
