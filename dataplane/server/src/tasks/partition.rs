//! Key tasks on the tokens of a partition group.

use std::{io, sync::Arc, time::Instant};

use holdfast_keys::{
    KeyFault,
    pkcs11::{
        Group, ToEncrypt,
        status::{KeyAttributes, TokenTaskError},
    },
};
use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, PartitionKey, SourceKey},
    sync::{self as wire, KeyTask, KeyTaskFailure, key_task::Task, key_task_result::Outcome},
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout_at,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    failure,
    local::{HEALTH_AAD, HEALTH_FORMAT, HEALTH_TEXT},
};

/// Does tasks whose target is a group.
pub(super) struct OnPartitions {
    group: Arc<Group>,
    /// Nothing else runs on it: whatever else ends, a task can end in its own time.
    runtime: Runtime,
}

impl OnPartitions {
    pub(super) fn new(group: Arc<Group>) -> io::Result<Self> {
        Ok(Self { group, runtime: Builder::new_current_thread().enable_time().build()? })
    }

    /// Does a task, or gives up at its deadline. Blocks meanwhile.
    pub(super) fn outcome(&self, task: &KeyTask, deadline: Instant) -> Outcome {
        let done = self.runtime.block_on(async { timeout_at(deadline.into(), self.run(task, deadline)).await });
        let late = |_| Err(failure(KeyTaskFailure::Deadline, "the partition did not finish by the task's deadline"));
        done.unwrap_or_else(late).unwrap_or_else(|failed| failed)
    }

    async fn run(&self, task: &KeyTask, deadline: Instant) -> Result<Outcome, Outcome> {
        match &task.task {
            Some(Task::Generate(generate)) => self.generate(&task.id, generate).await,
            Some(Task::Inspect(inspect)) => {
                let key = self.key(inspect.source.clone())?;
                Ok(Outcome::Attributes(attributes(&self.group.inspect(&key).await.map_err(|error| refused(&error))?)))
            }
            Some(Task::HealthCiphertext(make)) => {
                let key = self.group.key(&self.key(make.source.clone())?);
                let what = ToEncrypt { aad: HEALTH_AAD.to_vec(), plaintext: Zeroizing::new(HEALTH_TEXT.to_vec()), integrity: None };
                let sealed = key.encrypt(what, deadline).await.map_err(faulty)?.sealed;
                let format = if sealed.iv.len() == holdfast_keys::IV_LENGTH { HEALTH_FORMAT } else { HEALTH_FORMAT_LONG_IV };
                Ok(Outcome::HealthCiphertext([&[format][..], &sealed.iv, &sealed.tag, &sealed.ciphertext].concat()))
            }
            Some(Task::List(_)) => {
                let keys = self.group.list().await.map_err(|error| refused(&error))?;
                Ok(Outcome::Keys(wire::KeyList { keys: keys.iter().map(|key| self.listed(key)).collect() }))
            }
            Some(Task::Wrap(_)) => {
                Err(failure(KeyTaskFailure::Unsupported, "keys on partitions are not wrapped for upload; upload a local key"))
            }
            Some(Task::Reseal(_)) => Err(failure(KeyTaskFailure::Unsupported, "keys on partitions lie under no seal of ours")),
            None => Err(failure(KeyTaskFailure::Unsupported, "a task that this version does not know")),
        }
    }

    async fn generate(&self, id: &[u8], asked: &wire::GenerateKey) -> Result<Outcome, Outcome> {
        let refuse = |detail| failure(KeyTaskFailure::Refused, detail);
        let id = Uuid::from_slice(id).map_err(|_| refuse("a task id has 16 bytes"))?;
        if KeyKind::from_wire(&asked.kind) != Ok(KeyKind::Aes256) {
            return Err(failure(KeyTaskFailure::Unsupported, "partitions make AES-256 keys only"));
        }
        let usage = asked.usage.map(KeyUsage::from).ok_or_else(|| refuse("no usage was named"))?;
        let label = if asked.label.is_empty() { id.simple().to_string() } else { asked.label.clone() };
        let made = self.group.generate(id.as_bytes(), &label, usage).await.map_err(|error| refused(&error))?;
        // One that was there already has the label that it was made with.
        Ok(Outcome::Generated((&SourceKey::Partition(self.named(&made))).into()))
    }

    fn named(&self, key: &KeyAttributes) -> PartitionKey {
        PartitionKey { group: self.group.name().into(), cka_id: key.cka_id.as_slice().into(), label: key.label.clone() }
    }

    fn listed(&self, key: &KeyAttributes) -> wire::ListedKey {
        let PartitionKey { group, cka_id, label } = self.named(key);
        let named = wire::PartitionKey { group, cka_id: cka_id.into(), label };
        wire::ListedKey { key: Some(named), attributes: Some(attributes(key)) }
    }

    fn key(&self, source: Option<wire::SourceKey>) -> Result<PartitionKey, Outcome> {
        let source = source.ok_or_else(|| failure(KeyTaskFailure::Refused, "no source key was named"))?;
        match SourceKey::try_from(source) {
            Ok(SourceKey::Partition(key)) if key.group == self.group.name() => Ok(key),
            Ok(SourceKey::Partition(_) | SourceKey::Local(_)) => {
                Err(failure(KeyTaskFailure::Unsupported, "the source key is not of the task's group"))
            }
            Err(error) => Err(failure(KeyTaskFailure::Refused, &error.to_string())),
        }
    }
}

fn attributes(key: &KeyAttributes) -> wire::KeyAttributes {
    // What a token doesn't tell is not claimed.
    let unexportable = key.attributes.iter().any(|(name, set)| name == "CKA_EXTRACTABLE" && !set);
    let token = key.attributes.iter().map(|(name, value)| wire::TokenAttribute { name: name.clone(), value: *value });
    wire::KeyAttributes {
        algorithm: key.key_type.trim_start_matches("CKK_").into(),
        bits: key.bits.unwrap_or_default(),
        usage: Some(key.usage().into()),
        unexportable,
        token: token.collect(),
        curve: String::new(),
    }
}

fn refused(error: &TokenTaskError) -> Outcome {
    let blame = match error {
        TokenTaskError::Unavailable { .. } => KeyTaskFailure::Unavailable,
        TokenTaskError::Deadline { .. } => KeyTaskFailure::Deadline,
        TokenTaskError::Refused(_) => KeyTaskFailure::Refused,
    };
    failure(blame, &error.to_string())
}

fn faulty(fault: KeyFault) -> Outcome {
    let blame = match fault {
        KeyFault::Token | KeyFault::Full | KeyFault::SelfCheck => KeyTaskFailure::Unavailable,
        KeyFault::NotStarted | KeyFault::Late => KeyTaskFailure::Deadline,
        KeyFault::Input | KeyFault::Key | KeyFault::Missing => KeyTaskFailure::Refused,
    };
    failure(blame, &fault.to_string())
}

/// As [`HEALTH_FORMAT`], with an IV of 16 bytes: some tokens make their own.
const HEALTH_FORMAT_LONG_IV: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_does_not_tell_of_a_key_is_not_claimed() {
        let told = |attributes: &[(&str, bool)]| {
            let attributes = attributes.iter().map(|(name, set)| ((*name).to_owned(), *set)).collect();
            let key = KeyAttributes { label: "l".into(), cka_id: vec![1], key_type: "CKK_AES".into(), bits: Some(256), attributes };
            super::attributes(&key)
        };
        assert!(told(&[("CKA_EXTRACTABLE", false)]).unexportable);
        assert!(!told(&[("CKA_EXTRACTABLE", true)]).unexportable);
        let silent = told(&[]);
        assert_eq!((silent.unexportable, silent.algorithm.as_str(), silent.bits), (false, "AES", 256));
        assert_eq!(silent.usage, Some(KeyUsage { encrypt: false, decrypt: false }.into()));
    }

    #[test]
    fn a_token_that_is_not_there_is_for_another_node_and_a_refusal_is_for_none() {
        let blame = |outcome: Outcome| match outcome {
            Outcome::Error(error) => error.failure(),
            other => panic!("{other:?}"),
        };
        let partition = || "p".to_owned();
        let unavailable = TokenTaskError::Unavailable { partition: partition(), why: "gone".into() };
        assert_eq!(blame(refused(&unavailable)), KeyTaskFailure::Unavailable);
        assert_eq!(blame(refused(&TokenTaskError::Deadline { partition: partition() })), KeyTaskFailure::Deadline);
        assert_eq!(blame(refused(&TokenTaskError::Refused("no such key".into()))), KeyTaskFailure::Refused);
        assert_eq!(blame(faulty(KeyFault::Token)), KeyTaskFailure::Unavailable);
        assert_eq!(blame(faulty(KeyFault::Missing)), KeyTaskFailure::Refused);
    }
}
