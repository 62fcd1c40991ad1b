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
    metrics::describe_histogram!(PROPAGATION, metrics::Unit::Seconds, "From a change's commit on the control plane to its use here.");
    metrics::describe_counter!(PUSHES, "Pushes by what became of them: applied, or the reason of the nack.");
    metrics::describe_counter!(WRITE_FAILURES, "State files that could not be written; serving goes on.");
}

/// The stream is up, or down.
pub(super) fn connected(up: bool) {
    gauge!(CONNECTED).set(if up { 1.0 } else { 0.0 });
}

/// A push is in use.
pub(super) fn applied(snapshot: &Snapshot, committed_at_ms: u64) {
    counter!(PUSHES, "outcome" => "applied").increment(1);
    self::snapshot(snapshot);
    if committed_at_ms > 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        histogram!(PROPAGATION).record(now.saturating_sub(Duration::from_millis(committed_at_ms)));
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
const PUSHES: &str = "holdfast_pushes_total";
const WRITE_FAILURES: &str = "holdfast_state_write_failures_total";
