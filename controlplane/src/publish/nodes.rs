//! The registered nodes, as this process knows them: connected or not, what each has acknowledged, when it was last heard of.
//!
//! Always holds: a node has one link at most, and only that link's words count; what a node acknowledged survives its stream, so that a
//! node which lost it still holds promotions up until it is *away*. A node is away when it was not heard of for [`AWAY_AFTER`] of this
//! process's life: the time in which no control plane ran is not held against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use holdfast_proto::{
    ids::{KeyId, Revision},
    sync as wire,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{error, info};

use super::{
    session::{Acked, Refused, Standing},
    view::{Configuration, NodeReport, NodeView, UnusableKey, unusable},
};
use crate::{
    clock::now_ms,
    names::NodeName,
    store::entry::{Fingerprint, NodeEntry, NodeSeenEntry},
};

/// All registered nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    known: Mutex<Known>,
    moved: watch::Sender<u64>,
    ready: watch::Sender<u32>,
}

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<NodeName, Node>,
    links: u64,
}

#[derive(Debug)]
struct Node {
    fingerprint: Fingerprint,
    enrolled_ms: u64,
    applied: Option<Revision>,
    durable: Option<Revision>,
    seen: Instant,
    seen_ms: Option<u64>,
    noted: Option<NodeSeenEntry>,
    away: bool,
    refused: Option<Refused>,
    standing: Standing,
    unusable: Vec<UnusableKey>,
    report: Option<NodeReport>,
    link: Option<Link>,
}

/// A stream to a node.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Tells the streams of this process apart.
    pub(super) id: LinkId,
    /// What is sent here goes out, beside what the session sends.
    pub(super) out: Out,
    /// Ends the stream when cancelled, and is cancelled when the stream has ended.
    pub(super) end: CancellationToken,
    /// Has a refused push offered again.
    pub(super) again: Arc<Notify>,
    /// Has everything sent.
    pub(super) resync: Arc<Notify>,
}

/// Where messages to a node go.
pub(super) type Out = mpsc::Sender<Result<wire::ControlMessage, Status>>;

/// Tells the streams of this process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LinkId(u64);

/// Whose link it is: what each message of a stream is booked under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) name: NodeName,
    pub(super) id: LinkId,
}

/// The link's node was forgotten, or has a newer link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was replaced by a newer one, or the node was forgotten")]
pub(super) struct Unlinked;

impl Nodes {
    /// The nodes that the store knows.
    pub(super) fn new(entries: Vec<NodeEntry>, seen: Vec<NodeSeenEntry>, now: Instant) -> Self {
        let nodes = Self { known: Mutex::default(), moved: watch::Sender::new(0), ready: watch::Sender::new(0) };
        let mut known = nodes.lock();
        for entry in entries {
            known.nodes.insert(entry.name.clone(), Node::new(&entry, now));
        }
        for note in seen {
            if let Some(node) = known.nodes.get_mut(&note.name) {
                node.durable = Some(note.durable).filter(|durable| *durable > Revision::default());
                node.seen_ms = Some(note.seen_ms);
                node.noted = Some(note);
            }
        }
        drop(known);
        nodes
    }

    /// A node's stream has begun; an older one of the same node ends. Gives the link, and what the node refused last.
    pub(super) fn connect(&self, entry: &NodeEntry, out: Out, end: CancellationToken) -> (Linked, Link, Option<Refused>) {
        let mut known = self.lock();
        known.links += 1;
        let link = Link { id: LinkId(known.links), out, end, again: Arc::default(), resync: Arc::default() };
        let now = Instant::now();
        let node = known.nodes.entry(entry.name.clone()).or_insert_with(|| Node::new(entry, now));
        (node.fingerprint, node.enrolled_ms, node.standing) = (entry.fingerprint, entry.enrolled_ms, Standing::Greeting);
        node.hear(&entry.name, now);
        if let Some(replaced) = node.link.replace(link.clone()) {
            replaced.end.cancel();
        }
        let refused = node.refused.clone();
        self.settle(known);
        (Linked { name: entry.name.clone(), id: link.id }, link, refused)
    }

    /// A stream has ended.
    pub(super) fn disconnect(&self, linked: &Linked) {
        let gone = self.update(linked, |node| {
            node.link = None;
            node.standing = Standing::Greeting;
        });
        // Replaced or forgotten: nothing of it was left.
        _ = gone;
    }

    /// The node was forgotten: its stream ends and nothing waits for it any more. Whether it was there.
    pub(super) fn forget(&self, name: &NodeName) -> bool {
        let mut known = self.lock();
        let gone = known.nodes.remove(name);
        if let Some(link) = gone.as_ref().and_then(|node| node.link.as_ref()) {
            link.end.cancel();
        }
        self.settle(known);
        gone.is_some()
    }

    /// A stream that had begun is of a node that was forgotten. As [`Nodes::forget`], but a newer stream of that name, enrolled anew, stays.
    pub(super) fn revoke(&self, linked: &Linked) {
        let mut known = self.lock();
        if known.nodes.get(&linked.name).and_then(|node| node.link.as_ref()).is_some_and(|link| link.id == linked.id) {
            known.nodes.remove(&linked.name);
        }
        self.settle(known);
    }

    /// A Hello, and what it acknowledges.
    pub(super) fn hello(&self, linked: &Linked, hello: &wire::Hello, acked: Option<&Acked>) -> Result<(), Unlinked> {
        self.update(linked, |node| {
            node.report.get_or_insert_default().hello(hello);
            node.book(acked);
        })
    }

    /// An acknowledgement.
    pub(super) fn acked(&self, linked: &Linked, acked: Option<&Acked>, keys: &[wire::UnusableKey]) -> Result<(), Unlinked> {
        self.update(linked, |node| {
            node.book(acked);
            node.unusable = unusable(keys);
        })
    }

    /// A node's report on itself.
    pub(super) fn status(&self, linked: &Linked, status: &wire::NodeStatus) -> Result<(), Unlinked> {
        self.update(linked, |node| node.report.get_or_insert_default().status(status))
    }

    /// Where the session stands now.
    pub(super) fn standing(&self, linked: &Linked, standing: Standing, refused: Option<&Refused>) -> Result<(), Unlinked> {
        self.update(linked, |node| {
            node.standing = standing;
            node.refused = refused.cloned();
        })
    }

    /// Has everything sent to a node. Whether it is connected.
    pub(super) fn resync(&self, name: &NodeName) -> bool {
        let known = self.lock();
        let link = known.nodes.get(name).and_then(|node| node.link.as_ref());
        link.inspect(|link| link.resync.notify_one()).is_some()
    }

    /// Has refused pushes offered again.
    pub(super) fn offer_again(&self) {
        let known = self.lock();
        known.nodes.values().filter_map(|node| node.link.as_ref()).for_each(|link| link.again.notify_one());
    }

    /// The links of connected nodes that report `target`.
    pub(super) fn links(&self, target: &str) -> Vec<(NodeName, Link)> {
        let serves = |node: &Node| node.report.as_ref().is_some_and(|report| report.targets.contains(target));
        let known = self.lock();
        let nodes = known.nodes.iter().filter(|(_, node)| serves(node));
        nodes.filter_map(|(name, node)| Some((name.clone(), node.link.clone()?))).collect()
    }

    /// What connected nodes report that they serve, each once.
    pub(super) fn targets(&self) -> Vec<String> {
        let known = self.lock();
        let connected = known.nodes.values().filter(|node| node.link.is_some()).filter_map(|node| node.report.as_ref());
        let targets: BTreeSet<_> = connected.flat_map(|report| &report.targets).collect();
        targets.into_iter().cloned().collect()
    }

    /// Registered nodes that have not applied `revision`, each with whether it is connected. What a node that is not connected would find
    /// after a restart is what counts for it.
    pub(super) fn behind(&self, revision: Revision) -> Vec<(NodeName, bool)> {
        let known = self.lock();
        let holds = |node: &Node| if node.link.is_some() { node.applied } else { node.durable };
        let behind = known.nodes.iter().filter(|(_, node)| holds(node).is_none_or(|held| held < revision));
        behind.map(|(name, node)| (name.clone(), node.link.is_some())).collect()
    }

    /// Those of `names` that are connected.
    pub(super) fn connected_of<'a>(&self, names: &'a [NodeName]) -> Vec<&'a NodeName> {
        let known = self.lock();
        names.iter().filter(|name| known.nodes.get(*name).is_some_and(|node| node.link.is_some())).collect()
    }

    /// Whether any node is connected.
    pub(super) fn any_connected(&self) -> bool {
        self.lock().nodes.values().any(|node| node.link.is_some())
    }

    /// The revision that every node which is not away holds on disk; none while there is no such node, or one that holds nothing known.
    pub(super) fn durable_everywhere(&self) -> Option<Revision> {
        let known = self.lock();
        known.nodes.values().filter(|node| !node.away).map(|node| node.durable).min().flatten()
    }

    /// The registered nodes that are not away and don't hold `revision` on disk.
    pub(super) fn lacking(&self, revision: Revision) -> Vec<NodeName> {
        let known = self.lock();
        let lacking = known.nodes.iter().filter(|(_, node)| !node.away && node.durable.is_none_or(|held| held < revision));
        lacking.map(|(name, _)| name.clone()).collect()
    }

    /// What each node that is not away can't serve: keys and versions, for each such node that said so.
    pub(super) fn unusable(&self) -> Vec<BTreeSet<(KeyId, u32)>> {
        let known = self.lock();
        let lacking = known.nodes.values().filter(|node| !node.away && !node.unusable.is_empty());
        lacking.map(|node| node.unusable.iter().filter_map(|one| Some((one.key?, one.version))).collect()).collect()
    }

    /// Finds out who is away by `now`, tells it once, and gives what should be noted of the nodes for the next start.
    pub(super) fn look_round(&self, now: Instant) -> Vec<NodeSeenEntry> {
        let mut known = self.lock();
        let mut notes = Vec::new();
        for (name, node) in &mut known.nodes {
            if !node.away && now.saturating_duration_since(node.seen) >= AWAY_AFTER {
                node.away = true;
                error!(node = %name, "node is away: not heard of for ten minutes; rotations no longer wait for it");
            }
            let note = node.seen_ms.map(|seen_ms| NodeSeenEntry { name: name.clone(), seen_ms, durable: node.durable.unwrap_or_default() });
            let worth = |note: &NodeSeenEntry| {
                let noted = node.noted.as_ref();
                noted.is_none_or(|noted| note.durable != noted.durable || note.seen_ms >= noted.seen_ms + NOTE_EVERY_MS)
            };
            if let Some(note) = note.filter(worth) {
                node.noted = Some(note.clone());
                notes.push(note);
            }
        }
        self.settle(known);
        notes
    }

    /// All registered nodes, for people.
    pub(super) fn views(&self) -> Vec<NodeView> {
        self.lock().nodes.iter().map(|(name, node)| node.view(name)).collect()
    }

    /// Moves whenever anything of the above may have.
    pub(super) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// How many connected nodes report ready.
    pub(super) fn ready(&self) -> watch::Receiver<u32> {
        self.ready.subscribe()
    }

    fn update(&self, linked: &Linked, change: impl FnOnce(&mut Node)) -> Result<(), Unlinked> {
        let mut known = self.lock();
        let node = known.nodes.get_mut(&linked.name).ok_or(Unlinked)?;
        if node.link.as_ref().is_none_or(|link| link.id != linked.id) {
            return Err(Unlinked);
        }
        node.hear(&linked.name, Instant::now());
        change(node);
        self.settle(known);
        Ok(())
    }

    /// Tells everyone who waits, after each change.
    fn settle(&self, known: MutexGuard<'_, Known>) {
        let count = |which: fn(&Node) -> bool| u32::try_from(known.nodes.values().filter(|node| which(node)).count()).unwrap_or(u32::MAX);
        let ready = count(|node| node.link.is_some() && node.report.as_ref().is_some_and(|report| report.ready));
        metrics::gauge!("holdfast_nodes", "state" => "connected").set(count(|node| node.link.is_some()));
        metrics::gauge!("holdfast_nodes", "state" => "ready").set(ready);
        metrics::gauge!("holdfast_nodes", "state" => "away").set(count(|node| node.away));
        metrics::gauge!("holdfast_nodes", "state" => "refusing").set(count(|node| matches!(node.standing, Standing::Refused(_))));
        let unusable: usize = known.nodes.values().map(|node| node.unusable.len()).sum();
        metrics::gauge!("holdfast_unusable_keys").set(u32::try_from(unusable).unwrap_or(u32::MAX));
        drop(known);
        self.ready.send_if_modified(|told| std::mem::replace(told, ready) != ready);
        self.moved.send_modify(|moves| *moves = moves.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    const fn new(entry: &NodeEntry, now: Instant) -> Self {
        Self {
            fingerprint: entry.fingerprint,
            enrolled_ms: entry.enrolled_ms,
            applied: None,
            durable: None,
            seen: now,
            seen_ms: None,
            noted: None,
            away: false,
            refused: None,
            standing: Standing::Greeting,
            unusable: Vec::new(),
            report: None,
            link: None,
        }
    }

    fn hear(&mut self, name: &NodeName, now: Instant) {
        if std::mem::take(&mut self.away) {
            info!(node = %name, "node is back");
        }
        self.seen = now;
        self.seen_ms = Some(now_ms());
    }

    /// What is not of a known configuration says nothing of ours.
    fn book(&mut self, acked: Option<&Acked>) {
        (self.applied, self.durable) = acked.map_or((None, None), |acked| (Some(acked.applied), acked.durable));
    }

    fn view(&self, name: &NodeName) -> NodeView {
        NodeView {
            name: name.clone(),
            fingerprint: self.fingerprint,
            enrolled_ms: self.enrolled_ms,
            connected: self.link.is_some(),
            away: self.away,
            last_seen_ms: self.seen_ms,
            applied: self.applied,
            durable: self.durable,
            configuration: Configuration::from(self.standing.clone()),
            unusable: self.unusable.clone(),
            report: self.report.clone(),
        }
    }
}

/// A node that was not heard of for so long is away (design §7.5).
pub(super) const AWAY_AFTER: Duration = Duration::from_secs(600);

/// A node's last sign of life is written down no more often.
const NOTE_EVERY_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
