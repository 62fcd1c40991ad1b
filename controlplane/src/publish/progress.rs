//! Waiting for nodes: until they have applied a revision, until a key encrypts everywhere, until someone serves a target.

use std::{sync::Arc, time::Duration};

use holdfast_proto::ids::{KeyId, Revision};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{nodes::Nodes, reconcile::Published};
use crate::{clock::now_ms, names::NodeName};

/// What is published, and who has it.
#[derive(Clone)]
pub(super) struct Progress {
    pub(super) nodes: Arc<Nodes>,
    pub(super) published: watch::Receiver<Published>,
}

impl Progress {
    /// Waits until all connected nodes have applied the store's `revision`; gives the registered nodes that have not.
    pub(super) async fn applied(&self, revision: Revision, limit: Duration) -> Vec<NodeName> {
        let until = Instant::now() + limit;
        let mut published = self.published.clone();
        // What nodes are told: a commit that changed no record has no revision of its own.
        let built = timeout_at(until, published.wait_for(|published| published.built.covers >= revision)).await;
        // Not built in time: nobody can have it.
        let told = built.map_or(revision, |built| built.map_or(revision, |published| published.built.revision));
        let mut moved = self.nodes.moved();
        loop {
            moved.borrow_and_update();
            let behind = self.nodes.behind(told);
            let all_connected_have_it = behind.iter().all(|(_, connected)| !connected);
            if all_connected_have_it || !matches!(timeout_at(until, moved.changed()).await, Ok(Ok(()))) {
                return behind.into_iter().map(|(name, _)| name).collect();
            }
        }
    }

    /// Waits until every registered node that is not away holds the store's `revision` on disk; gives those that don't after `limit`.
    pub(super) async fn everywhere(&self, revision: Revision, limit: Duration) -> Vec<NodeName> {
        let until = Instant::now() + limit;
        let mut published = self.published.clone();
        let built = timeout_at(until, published.wait_for(|published| published.built.covers >= revision)).await;
        let told = built.map_or(revision, |built| built.map_or(revision, |published| published.built.revision));
        let mut moved = self.nodes.moved();
        loop {
            moved.borrow_and_update();
            let lacking = self.nodes.lacking(told);
            if lacking.is_empty() || !matches!(timeout_at(until, moved.changed()).await, Ok(Ok(()))) {
                return lacking;
            }
        }
    }

    /// Waits until the key has an active version and all connected nodes have that, at least one; whether they have.
    pub(super) async fn promoted(&self, key: KeyId, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut published = self.published.clone();
        let active = |published: &Published| {
            let key = published.built.set.stores().find_map(|store| store.key(key));
            key.is_some_and(|key| key.active().is_some())
        };
        let covers = match timeout_at(until, published.wait_for(active)).await {
            Ok(Ok(published)) => published.built.covers,
            Ok(Err(_)) | Err(_) => return false,
        };
        let mut moved = self.nodes.moved();
        loop {
            moved.borrow_and_update();
            let left = until.saturating_duration_since(Instant::now());
            let behind = self.applied(covers, left).await;
            if self.nodes.any_connected() && self.nodes.connected_of(&behind).is_empty() {
                return true;
            }
            // Nobody is connected yet, or somebody came in between.
            if !matches!(timeout_at(until, moved.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    /// Waits until a connected node serves `target`.
    pub(super) async fn target(&self, target: &str) {
        let mut moved = self.nodes.moved();
        while self.nodes.links(target).is_empty() {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Exports how long each configuration took from its commit until all connected nodes had applied it, until `stop`.
    pub(super) async fn measure(mut self, stop: CancellationToken) {
        let mut moved = self.nodes.moved();
        let mut measured = self.published.borrow().built.revision;
        loop {
            let (revision, committed_at_ms) = {
                let published = self.published.borrow_and_update();
                (published.built.revision, published.built.committed_at_ms)
            };
            moved.borrow_and_update();
            let done = self.nodes.any_connected() && self.nodes.behind(revision).iter().all(|(_, connected)| !connected);
            if done && revision > measured {
                measured = revision;
                let took = Duration::from_millis(now_ms().saturating_sub(committed_at_ms));
                metrics::histogram!("holdfast_publish_seconds").record(took.as_secs_f64());
            }
            let alive = tokio::select! {
                () = stop.cancelled() => return,
                alive = self.published.changed() => alive,
                alive = moved.changed() => alive,
            };
            if alive.is_err() {
                return;
            }
        }
    }
}
