//! The list of cases, and how one is run.
//!
//! Holds: a case has a time limit; one that panics or hangs is a failed case and nothing more.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::answer::{Stop, Verdict, one_line};
use crate::report::{Case, LeftOut};
use crate::suite::Suite;

/// A case ends with a note for the table, or with the reason why it did not pass.
type Running = Pin<Box<dyn Future<Output = Verdict<String>> + Send>>;

/// A case that can be run.
pub(crate) struct Planned {
    pub(crate) name: String,
    limit: Duration,
    start: Box<dyn FnOnce(Arc<Suite>) -> Running + Send>,
}

/// Cases in the order in which they will be asked.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) cases: Vec<Planned>,
}

/// What became of a case.
pub(crate) enum Outcome {
    Asked(Case),
    LeftOut(LeftOut),
}

impl Plan {
    /// Adds a case.
    pub(crate) fn case<F, Fut>(&mut self, name: impl Into<String>, run: F)
    where
        F: FnOnce(Arc<Suite>) -> Fut + Send + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        self.add(name.into(), LIMIT, |suite| {
            let running = run(suite);
            Box::pin(async { running.await.map(|()| String::new()) })
        });
    }

    /// Adds a case that measures: it may take longer, and says what it found.
    pub(crate) fn measured<F, Fut>(&mut self, name: &str, limit: Duration, run: F)
    where
        F: FnOnce(Arc<Suite>) -> Fut + Send + 'static,
        Fut: Future<Output = Verdict<String>> + Send + 'static,
    {
        self.add(name.into(), limit, |suite| Box::pin(run(suite)));
    }

    fn add(&mut self, name: String, limit: Duration, start: impl FnOnce(Arc<Suite>) -> Running + Send + 'static) {
        self.cases.push(Planned { name, limit, start: Box::new(start) });
    }
}

impl Planned {
    /// Runs the case to its end, whatever that is.
    pub(crate) async fn run(self, suite: Arc<Suite>) -> Outcome {
        let Self { name, limit, start } = self;
        // A task of its own, so that a panic ends the case and not the run.
        let mut task = tokio::spawn(async move { start(suite).await });
        let verdict = match timeout(limit, &mut task).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Err(Stop::wrong("a verdict", format!("a broken case: {error}"))),
            Err(_) => {
                task.abort();
                Err(Stop::wrong(format!("an end within {} s", limit.as_secs()), "none"))
            }
        };
        let (ok, detail) = match verdict {
            Ok(note) => (true, note),
            Err(Stop::LeftOut(reason)) => return Outcome::LeftOut(LeftOut { name, reason }),
            Err(wrong @ Stop::Wrong { .. }) => (false, one_line(&wrong.to_string())),
        };
        Outcome::Asked(Case { name, ok, detail })
    }
}

/// What a case has unless it says otherwise.
const LIMIT: Duration = Duration::from_secs(5);
