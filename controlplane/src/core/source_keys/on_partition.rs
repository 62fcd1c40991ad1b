//! Keys that are made on a partition, and keys on it that become source keys.
//!
//! Always holds: a key that is being made has its entry first, as [`KeyProgress::Making`], and is made under the entry's id; so whoever
//! goes on with it, after a restart too, gets the same key, and none is made that nobody knows of.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    kinds::KeyKind,
    records::{PartitionKey, SourceKey},
};
use tokio::{sync::Notify, time::sleep};
use tracing::{info, warn};
use uuid::Uuid;

use super::{DEADLINE, ExistingKey, fit, usage, vault};
use crate::{
    access::{Manage, Permit, Read, Trail},
    clock::now_ns,
    core::{Core, CoreError, partitions, write::Plan},
    publish::{Done, KeyTask, ListedKey, TaskError, Work},
    store::{
        View,
        entry::{Entry, EntryChange, EntryName, KeyProgress, PartitionEntry, SourceKeyEntry, Stamps},
    },
};

/// A key that is to be made on a partition: AES-256 that never leaves the token and may all that external key stores need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitionKey {
    /// The partition's id, or a label that no other has.
    pub partition: String,
    /// The key's label and name; unique.
    pub label: String,
}

/// A key that lies on a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKeyOnToken {
    /// The key.
    pub key: ListedKey,
    /// The source key that it is, if it is one.
    pub source: Option<Uuid>,
}

impl Core {
    /// Begins to make a key on a partition; [`Core::source_key`] tells how far it is. The answer is the entry as it was at first.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the partition; `Invalid` or `Exists` for the label; `NoNode` where no connected data plane serves the
    /// partition; `Refused` where the data plane refuses at once: nothing is left of it then.
    pub async fn generate_partition_key(&self, permit: &Permit<Manage>, new: &NewPartitionKey) -> Result<SourceKeyEntry, CoreError> {
        let id = Uuid::new_v4();
        labelled(&new.label)?;
        let PartitionEntry { group, .. } = partitions::find(&self.view().await?, &new.partition)?;
        self.served(&group)?;
        let plan = |view: &View| {
            let PartitionEntry { id: partition, group, .. } = partitions::find(view, &new.partition)?;
            vault::unique(view, &new.label, id)?;
            let (cka_id, label) = (id.as_bytes().as_slice().into(), new.label.clone());
            let key = SourceKey::Partition(PartitionKey { group, cka_id, label });
            let entry = SourceKeyEntry {
                undeletable: false,
                partition: Some(partition),
                progress: KeyProgress::Making,
                ..SourceKeyEntry::new(id, new.label.clone(), key, Stamps::new(now_ns()))
            };
            Ok(Plan { changes: vec![EntryChange::put(Entry::SourceKey(entry.clone()))], answer: entry })
        };
        // Also where whoever asks goes away meanwhile.
        let _nudge = Nudge(&self.making);
        let (entry, _) = self.writer.change(permit.trail(), plan).await?;
        // Mostly it is done at once, and what the data plane refuses is told to whoever asked.
        match self.make_on_partition(&entry, FIRST_TRY).await {
            Ok(made) => self.end_making(permit.trail(), made).await?,
            Err(error) if error.may_pass() => {}
            Err(error) => {
                self.withdraw(permit.trail(), entry.id).await?;
                return Err(error);
            }
        }
        Ok(entry)
    }

    /// The secret keys that lie on a partition's group.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; those of asking a data plane.
    pub async fn partition_keys(&self, _permit: &Permit<Read>, partition: &str) -> Result<Vec<PartitionKeyOnToken>, CoreError> {
        let PartitionEntry { group, .. } = partitions::find(&self.view().await?, partition)?;
        let listed = self.listed(&group).await?;
        let known = self.view().await?.source_keys()?;
        Ok(listed.into_iter().map(|key| PartitionKeyOnToken { source: known_as(&known, &key.key), key }).collect())
    }

    /// Makes a source key of a key that lies on a partition already. It must be AES-256 that encrypts and decrypts; what uses it may ask
    /// for more.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the partition; `Invalid` for a key that is not there, is there twice or will not do; `Exists`; those of
    /// asking a data plane.
    pub async fn adopt_partition_key(
        &self,
        permit: &Permit<Manage>,
        partition: &str,
        existing: &ExistingKey,
    ) -> Result<SourceKeyEntry, CoreError> {
        let invalid = |detail| CoreError::Invalid { field: "key", detail };
        let PartitionEntry { group, .. } = partitions::find(&self.view().await?, partition)?;
        let mut named = self.listed(&group).await?.into_iter().filter(|listed| existing.names(&listed.key));
        let ListedKey { key, attributes } = match (named.next(), named.next()) {
            (Some(one), None) => one,
            (None, _) => return Err(invalid(format!("no key {existing} is on {group}"))),
            (Some(_), Some(_)) => return Err(invalid(format!("more than one key {existing} is on {group}"))),
        };
        fit::fit(&attributes).map_err(|lack| invalid(format!("the key {existing} on {group} will not do: {lack}")))?;
        // By all of its name, however it was asked for.
        let whole = ExistingKey::new(&key.cka_id, &key.label).map_err(|error| invalid(error.to_string()))?;
        let (id, name) = (whole.entry_id(&group), if key.label.is_empty() { whole.to_string() } else { key.label.clone() });
        let plan = |view: &View| {
            let partition = partitions::find(view, partition)?.id;
            if let Some(known) = known_as(&view.source_keys()?, &key) {
                return Err(CoreError::Exists { what: "source key", name: known.to_string() });
            }
            vault::unique(view, &name, id)?;
            let entry = SourceKeyEntry {
                undeletable: false,
                partition: Some(partition),
                ..SourceKeyEntry::new(id, name.clone(), SourceKey::Partition(key.clone()), Stamps::new(now_ns()))
            };
            Ok(Plan { changes: vec![EntryChange::put(Entry::SourceKey(entry.clone()))], answer: entry })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Goes on with keys whose making was begun, also before a restart, until it is stopped.
    pub(crate) async fn finish_keys(self: Arc<Self>) {
        loop {
            let left = match self.try_unfinished().await {
                Ok(left) => left,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "keys that are being made were not gone on with");
                    true
                }
            };
            // A node that serves the key may be there by then.
            if left { sleep(BETWEEN_TRIES).await } else { self.making.notified().await }
        }
    }

    /// Tries all of them once; whether any is left.
    async fn try_unfinished(&self) -> Result<bool, CoreError> {
        let permit = Permit::<Manage>::system("key generation");
        let making = |entry: &SourceKeyEntry| entry.progress == KeyProgress::Making;
        let unfinished: Vec<_> = self.view().await?.source_keys()?.into_iter().filter(making).collect();
        let mut left = false;
        for entry in unfinished {
            let made = match self.make_on_partition(&entry, DEADLINE).await {
                Ok(made) => made,
                Err(error) if error.may_pass() => {
                    left = true;
                    continue;
                }
                Err(error) => {
                    warn!(key = %entry.id, error = &error as &dyn std::error::Error, "a key was not made");
                    SourceKeyEntry { progress: KeyProgress::Failed(error.to_string()), ..entry }
                }
            };
            self.end_making(permit.trail(), made).await?;
        }
        Ok(left)
    }

    async fn make_on_partition(&self, entry: &SourceKeyEntry, deadline: Duration) -> Result<SourceKeyEntry, CoreError> {
        let SourceKey::Partition(PartitionKey { group, label, .. }) = &entry.key else {
            return Err(CoreError::Refused("local keys are not made by and by".into()));
        };
        let (usage, label) = (usage::sealed(entry.usage_mask), label.clone());
        let work = Work::Generate { kind: KeyKind::Aes256, usage, unexportable: true, label };
        let key = self.generated(KeyTask { id: entry.id, target: group.clone(), deadline, work }).await?;
        Ok(SourceKeyEntry { key, progress: KeyProgress::Ready, ..entry.clone() })
    }

    /// Commits how the making of a key ended, if somebody still waits for that.
    async fn end_making(&self, trail: &Trail, ended: SourceKeyEntry) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let Some(now) = view.source_key(ended.id)?.filter(|now| now.progress == KeyProgress::Making) else {
                return Ok(Plan { changes: Vec::new(), answer: () });
            };
            let (key, progress, stamps) = (ended.key.clone(), ended.progress.clone(), now.stamps.touched(now_ns()));
            let entry = SourceKeyEntry { key, progress, stamps, ..now };
            Ok(Plan { changes: vec![EntryChange::put(Entry::SourceKey(entry))], answer: () })
        };
        self.writer.change(trail, plan).await?;
        info!(key = %ended.id, "the making of a key on a partition has ended");
        Ok(())
    }

    async fn withdraw(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let making = view.source_key(id)?.is_some_and(|entry| entry.progress != KeyProgress::Ready);
            let changes = if making { vec![EntryChange::Delete(EntryName::SourceKey(id))] } else { Vec::new() };
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(trail, plan).await.map(drop)
    }

    async fn listed(&self, group: &str) -> Result<Vec<ListedKey>, CoreError> {
        let task = KeyTask { id: Uuid::new_v4(), target: group.to_owned(), deadline: DEADLINE, work: Work::List };
        match self.publisher.run(task).await? {
            Done::Listed(keys) => Ok(keys),
            Done::Generated(_) | Done::Attributes(_) | Done::HealthCiphertext(_) | Done::Resealed(_) | Done::Wrapped(_) => {
                Err(TaskError::Malformed.into())
            }
        }
    }

    /// Refuses what no connected data plane serves.
    fn served(&self, target: &str) -> Result<(), CoreError> {
        let nodes = self.publisher.nodes();
        let reports = nodes.iter().filter(|node| node.connected).filter_map(|node| node.report.as_ref());
        let served: std::collections::BTreeSet<_> = reports.flat_map(|report| report.targets.iter().cloned()).collect();
        if served.contains(target) {
            return Ok(());
        }
        Err(CoreError::NoNode { target: target.to_owned(), served: served.into_iter().collect() })
    }
}

/// Has [`Core::finish_keys`] look, once it drops.
struct Nudge<'a>(&'a Notify);

impl Drop for Nudge<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl ExistingKey {
    fn names(&self, key: &PartitionKey) -> bool {
        (self.cka_id.is_empty() || self.cka_id == key.cka_id) && (self.label.is_empty() || self.label == key.label)
    }
}

/// The source key that a key on a token is known as. One that is known by its label or id alone counts where that fits.
fn known_as(known: &[SourceKeyEntry], key: &PartitionKey) -> Option<Uuid> {
    let is = |entry: &&SourceKeyEntry| match &entry.key {
        SourceKey::Local(_) => false,
        SourceKey::Partition(named) => {
            let same_id = named.cka_id.is_empty() || named.cka_id == key.cka_id;
            let same_label = named.label.is_empty() || named.label == key.label;
            named.group == key.group && same_id && same_label
        }
    };
    known.iter().find(is).map(|entry| entry.id)
}

fn labelled(label: &str) -> Result<(), CoreError> {
    if label.is_empty() || label.len() > 256 || label.chars().any(char::is_control) {
        let detail = "must have 1 to 256 bytes, none of them control characters".into();
        return Err(CoreError::Invalid { field: "label", detail });
    }
    Ok(())
}

/// How long whoever asks for a key waits to hear that it is refused.
const FIRST_TRY: Duration = Duration::from_secs(2);
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
