//! Names of the metrics about configuration, in one place, and how they are set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_proto::sync::NackReason;
use metrics::{counter, gauge, histogram};

use crate::live::{Live, Snapshot};

/// Says what they mean. May be called more than once.
pub(crate) fn describe() {
    metrics::describe_gauge!(CONNECTED, "1 while the stream to the control plane is up.");
    metrics::describe_gauge!(EPOCH, "Epoch of the snapshot's revision: milliseconds since 1970.");
    metrics::describe_gauge!(COUNTER, "Counter of the snapshot's revision.");
    metrics::describe_gauge!(AGE, metrics::Unit::Seconds, "Since this node last knew that its snapshot is the newest.");
    metrics::describe_gauge!(UNUSABLE, "Key versions and health keys that this node can't serve.");
    metrics::describe_gauge!(ROTATION_DUE, "Keys on tokens whose active version has encrypted 2^31 times or more on this node.");
    metrics::describe_histogram!(PROPAGATION, metrics::Unit::Seconds, "From a change's commit on the control plane to its use here.");
    metrics::describe_counter!(PUSHES, "Pushes by what became of them: applied, or the reason of the nack.");
    metrics::describe_counter!(WRITE_FAILURES, "State files that could not be written; serving goes on.");
}

/// The stream is up, or down.
pub(super) fn connected(up: bool) {
    gauge!(CONNECTED).set(if up { 1.0 } else { 0.0 });
}

/// A push is in use.
pub(super) fn applied(snapshot: &Snapshot) {
    counter!(PUSHES, "outcome" => "applied").increment(1);
    self::snapshot(snapshot);
}

/// Measures how long changes take to a node that is there. One per stream, since the first push of a stream brings what was changed while
/// the node was away.
#[derive(Debug, Default)]
pub(super) struct Propagation {
    caught_up: bool,
}

impl Propagation {
    /// A push is in use that was committed then, milliseconds since 1970; none where that says nothing about the way here.
    pub(super) fn arrived(&mut self, committed_at_ms: Option<u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(took) = self.took(committed_at_ms.map(Duration::from_millis), now) {
            histogram!(PROPAGATION).record(took);
        }
    }

    fn took(&mut self, committed: Option<Duration>, now: Duration) -> Option<Duration> {
        let caught_up = std::mem::replace(&mut self.caught_up, true);
        committed.filter(|_| caught_up).map(|committed| now.saturating_sub(committed))
    }
}

/// A push was refused.
pub(super) fn refused(reason: NackReason) {
    let outcome = match reason {
        NackReason::Unspecified => "unspecified",
        NackReason::Undecodable => "undecodable",
        NackReason::Digest => "digest",
        NackReason::Revision => "revision",
        NackReason::Base => "base",
        NackReason::Duplicate => "duplicate",
        NackReason::Orphan => "orphan",
        NackReason::Sequence => "sequence",
    };
    counter!(PUSHES, "outcome" => outcome).increment(1);
}

/// A snapshot is in use.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
pub(super) fn snapshot(snapshot: &Snapshot) {
    gauge!(EPOCH).set(snapshot.revision.epoch as f64);
    gauge!(COUNTER).set(snapshot.revision.counter as f64);
    gauge!(UNUSABLE).set(snapshot.unusable().count() as f64);
}

/// How old the snapshot is by now.
pub(super) fn age(live: &Live) {
    gauge!(AGE).set(live.age().as_secs_f64());
}

/// So many keys on tokens should be rotated.
pub(super) fn rotation_due(keys: u32) {
    gauge!(ROTATION_DUE).set(keys);
}

/// A state file was not written.
pub(super) fn write_failed(file: &'static str) {
    counter!(WRITE_FAILURES, "file" => file).increment(1);
}

const CONNECTED: &str = "holdfast_sync_connected";
const EPOCH: &str = "holdfast_snapshot_epoch_milliseconds";
const COUNTER: &str = "holdfast_snapshot_counter";
const AGE: &str = "holdfast_snapshot_age_seconds";
const UNUSABLE: &str = "holdfast_unusable_keys";
pub(crate) const PROPAGATION: &str = "holdfast_propagation_seconds";
const ROTATION_DUE: &str = "holdfast_keys_due_for_rotation";
const PUSHES: &str = "holdfast_pushes_total";
const WRITE_FAILURES: &str = "holdfast_state_write_failures_total";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_while_the_node_was_away_is_not_measured() {
        let mut stream = Propagation::default();
        let seconds = Duration::from_secs;
        let pushes = [(Some(10), None), (Some(95), Some(5)), (None, None), (Some(99), Some(1)), (Some(101), Some(0))];
        for (committed, took) in pushes {
            assert_eq!(stream.took(committed.map(seconds), seconds(100)), took.map(seconds), "{committed:?}");
        }
    }
}
