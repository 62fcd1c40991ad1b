//! The key task that brings local keys under this node's first key seal.

use holdfast_keys::local::{self, ResealError};
use holdfast_proto::{
    records::{LocalBlob, SourceKey},
    seal::SealRing,
    sync::{self as wire, KeyTaskFailure, key_task_result::Outcome, source_key::Body},
};

use super::{failure, local::unopened};

/// All of them, or none.
pub(super) fn outcome(task: &wire::ResealKeys, seals: &SealRing) -> Result<Outcome, Outcome> {
    let keys = task.keys.iter().map(|key| resealed(key, seals)).collect::<Result<_, _>>()?;
    Ok(Outcome::Resealed(wire::ResealedKeys { keys }))
}

fn resealed(key: &wire::LocalKey, seals: &SealRing) -> Result<wire::LocalKey, Outcome> {
    let refused = |detail: &str| failure(KeyTaskFailure::Refused, detail);
    let source = SourceKey::try_from(wire::SourceKey { body: Some(Body::Local(key.clone())) });
    let Ok(SourceKey::Local(blob)) = source else { return Err(refused("that is no local key")) };
    let blob = local::reseal(seals, &blob).map_err(|error| match error {
        ResealError::Open(error) => named(&blob, unopened(&error)),
        ResealError::Seal(_) => failure(KeyTaskFailure::Unavailable, &error.to_string()),
    })?;
    match wire::SourceKey::from(&SourceKey::Local(blob)).body {
        Some(Body::Local(key)) => Ok(key),
        Some(Body::Partition(_)) | None => Err(refused("that is no local key")),
    }
}

/// Which of many it was.
fn named(blob: &LocalBlob, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Error(error) => failure(error.failure(), &format!("key {}: {}", blob.id, error.detail)),
        other => other,
    }
}
