//! Keeps the newest build in front of the sessions: whenever the store moves, and on a timer whatever happened.
//!
//! Always holds: nothing is taken from a nudge but the occasion; an error leaves the last build standing and is logged once, until another
//! comes in its place.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    build::{BuildError, Builder},
    built::{Built, Recent},
};
use crate::store::Store;

/// What the sessions push: the newest build, and those before it.
#[derive(Clone, Debug)]
pub(super) struct Published {
    /// The newest build.
    pub(super) built: Arc<Built>,
    /// The last few, the newest among them.
    pub(super) recent: Recent,
}

/// Builds again and again.
pub(super) struct Reconciler {
    builder: Builder,
    nudge: watch::Receiver<holdfast_proto::ids::Revision>,
    published: watch::Sender<Published>,
    renew: Arc<Notify>,
}

impl Reconciler {
    /// Builds for the first time.
    ///
    /// # Errors
    /// [`BuildError`]: without a first build there is nothing to serve.
    pub(super) async fn start(store: &Arc<dyn Store>, mut builder: Builder, renew: Arc<Notify>) -> Result<Self, BuildError> {
        let nudge = store.head().watch();
        let built = builder.build().await?;
        let mut recent = Recent::default();
        recent.push(Arc::clone(&built));
        Ok(Self { builder, nudge, published: watch::Sender::new(Published { built, recent }), renew })
    }

    /// What is published, now and from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Goes on until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut timer = tokio::time::interval_at(Instant::now() + CHECK, CHECK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = None;
        loop {
            let checked = tokio::select! {
                () = stop.cancelled() => return,
                nudged = self.nudge.changed() => match nudged {
                    Ok(()) => Ok(()),
                    Err(_) => return,
                },
                () = self.renew.notified() => {
                    self.builder.renew().await;
                    Ok(())
                }
                _ = timer.tick() => self.builder.check().await,
            };
            let outcome = match checked {
                Ok(()) => self.publish().await,
                Err(error) => Err(error),
            };
            say_once(&mut failing, outcome);
        }
    }

    async fn publish(&mut self) -> Result<(), BuildError> {
        let begun = Instant::now();
        let built = self.builder.build().await?;
        if Arc::ptr_eq(&built, &self.published.borrow().built) {
            return Ok(());
        }
        metrics::histogram!("holdfast_publish_build_seconds").record(begun.elapsed().as_secs_f64());
        self.published.send_modify(|published| {
            if published.built.revision != built.revision {
                info!(revision = %built.revision, micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), "configuration built");
                published.recent.push(Arc::clone(&built));
            }
            published.built = built;
        });
        Ok(())
    }
}

/// Logs an error unless it was the last time's, too.
fn say_once(failing: &mut Option<String>, outcome: Result<(), BuildError>) {
    match outcome {
        Ok(()) => {
            if failing.take().is_some() {
                info!("the configuration is built again");
            }
        }
        Err(cause) => {
            metrics::counter!("holdfast_publish_failures_total").increment(1);
            let text = format!("{cause:?}");
            if failing.as_ref() != Some(&text) {
                error!(error = &cause as &dyn std::error::Error, "the configuration was not built; the last one stands");
            }
            *failing = Some(text);
        }
    }
}

/// How often the whole is compared (design §7.2).
const CHECK: Duration = Duration::from_secs(60);
