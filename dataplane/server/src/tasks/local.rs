//! Key tasks on software keys: generate, inspect, and the health ciphertext; wrapping and resealing have files of their own. Each takes
//! microseconds, but for an RSA pair, which may take seconds.

use holdfast_keys::local::{self, LocalKey, NewLocalKey, OpenLocalError};
use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, LocalBlob, SourceKey},
    seal::{OpenError, SealRing},
    sync::{self as wire, KeyTask, KeyTaskFailure, key_task::Task, key_task_result::Outcome},
};
use uuid::Uuid;

use super::{failure, reseal, wrap};

/// Does a task whose target is `local`.
pub(super) fn outcome(task: &KeyTask, seals: &SealRing) -> Outcome {
    let done = match &task.task {
        Some(Task::Generate(generate)) => self::generate(&task.id, generate, seals),
        Some(Task::Inspect(inspect)) => self::inspect(inspect.source.clone(), seals),
        Some(Task::HealthCiphertext(make)) => open(make.source.clone(), seals).and_then(|key| health_ciphertext(&key)),
        Some(Task::Wrap(asked)) => wrap::outcome(asked, seals),
        Some(Task::Reseal(reseal)) => reseal::outcome(reseal, seals),
        Some(Task::List(_)) => Err(failure(KeyTaskFailure::Unsupported, "local keys are listed by the control plane, which has them all")),
        None => Err(failure(KeyTaskFailure::Unsupported, "a task that this version does not know")),
    };
    done.unwrap_or_else(|failed| failed)
}

fn generate(id: &[u8], asked: &wire::GenerateKey, seals: &SealRing) -> Result<Outcome, Outcome> {
    let refused = |detail| failure(KeyTaskFailure::Refused, detail);
    let id = Uuid::from_slice(id).map_err(|_| refused("a task id has 16 bytes"))?;
    let usage = asked.usage.map(KeyUsage::from).ok_or_else(|| refused("no usage was named"))?;
    let kind = KeyKind::from_wire(&asked.kind)
        .map_err(|_| failure(KeyTaskFailure::Unsupported, "a kind of key that this version does not know"))?;
    let blob = local::make(seals, id, NewLocalKey { kind, usage, unexportable: asked.unexportable });
    let blob = blob.map_err(|error| failure(KeyTaskFailure::Unavailable, &error.to_string()))?;
    Ok(Outcome::Generated((&SourceKey::Local(blob)).into()))
}

fn inspect(source: Option<wire::SourceKey>, seals: &SealRing) -> Result<Outcome, Outcome> {
    let blob = blob(source)?;
    local::check(seals, &blob).map_err(|error| unopened(&error))?;
    Ok(Outcome::Attributes(wire::KeyAttributes {
        algorithm: blob.kind.algorithm().into(),
        bits: blob.kind.bits(),
        usage: Some(blob.usage.into()),
        unexportable: blob.unexportable,
        token: Vec::new(),
        curve: blob.kind.curve().unwrap_or_default().into(),
    }))
}

fn health_ciphertext(key: &LocalKey) -> Result<Outcome, Outcome> {
    let sealed = key.encrypt(HEALTH_AAD, HEALTH_TEXT).map_err(|fault| failure(KeyTaskFailure::Refused, &fault.to_string()))?;
    Ok(Outcome::HealthCiphertext([&[HEALTH_FORMAT][..], &sealed.iv, &sealed.tag, &sealed.ciphertext].concat()))
}

fn open(source: Option<wire::SourceKey>, seals: &SealRing) -> Result<LocalKey, Outcome> {
    LocalKey::open(seals, &blob(source)?).map_err(|error| unopened(&error))
}

pub(super) fn blob(source: Option<wire::SourceKey>) -> Result<LocalBlob, Outcome> {
    let source = source.ok_or_else(|| failure(KeyTaskFailure::Refused, "no source key was named"))?;
    match SourceKey::try_from(source) {
        Ok(SourceKey::Local(blob)) => Ok(blob),
        Ok(SourceKey::Partition(_)) => Err(failure(KeyTaskFailure::Unsupported, "the source key is not a local one")),
        Err(error) => Err(failure(KeyTaskFailure::Refused, &error.to_string())),
    }
}

pub(super) fn unopened(error: &OpenLocalError) -> Outcome {
    failure(blame(*error), &crate::chain::chain(error))
}

/// Another node may have the seal that this one lacks; an altered blob opens nowhere.
const fn blame(error: OpenLocalError) -> KeyTaskFailure {
    match error {
        OpenLocalError::Seal(OpenError::UnknownSeal(_)) => KeyTaskFailure::Unavailable,
        OpenLocalError::Seal(OpenError::Malformed | OpenError::Refused)
        | OpenLocalError::Length(_)
        | OpenLocalError::Kind(_)
        | OpenLocalError::Material(_) => KeyTaskFailure::Refused,
    }
}

/// A health ciphertext is `0x01 ‖ IV (12) ‖ tag (16) ‖ ciphertext`.
pub(super) const HEALTH_FORMAT: u8 = 1;
pub(super) const HEALTH_AAD: &[u8] = b"holdfast health ciphertext 1";
pub(super) const HEALTH_TEXT: &[u8] = b"holdfast is well";
