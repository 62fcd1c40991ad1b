//! Source keys: what really encrypts. They are made by a connected data plane, never here; or they are on a partition already, and a
//! connected data plane looks at them.
//!
//! Always holds: a key that is on a partition has one entry, whose id follows from its name, however often it is taken over; a key that
//! was made has the id of the task that made it, so that a repeat gives the same key.

mod cm_id;
mod existing;
mod find;
mod fit;
mod kind;
mod on_partition;
pub mod usage;
mod vault;

use std::time::Duration;

use holdfast_proto::{
    kinds::KeyKind,
    records::{KeyUsage, PartitionKey, SourceKey},
};
use tracing::warn;
use uuid::Uuid;

pub use self::{
    cm_id::{cm_id, parse_cm_id},
    existing::{BadKeyName, ExistingKey},
    find::{Among, Wanted},
    kind::AskedKind,
    on_partition::{NewPartitionKey, PartitionKeyOnToken},
    vault::{NewVaultKey, SourceKeyPatch, blob},
};
pub(super) use self::{
    find::{find, in_use},
    vault::{described, unique},
};
use super::{Core, CoreError};
use crate::{
    access::{Permit, Read, Right},
    clock::now_ns,
    publish::{Done, KeyAttributes, KeyTask, TaskError, Work},
    store::{
        ReadError, View,
        entry::{SourceKeyEntry, Stamps, Tier},
    },
};

/// A source key for external key stores that is to be made.
#[derive(Clone, Debug)]
pub struct NewSourceKey {
    /// What admins call it.
    pub name: String,
    /// Where it is to live.
    pub tier: Tier,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Never wrapped for export. HYOK and health keys always are.
    pub unexportable: bool,
}

impl Core {
    /// All source keys of these.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn source_keys(&self, _permit: &Permit<Read>, among: Among) -> Result<Vec<SourceKeyEntry>, CoreError> {
        Ok(self.view().await?.source_keys()?.into_iter().filter(|entry| among.has(entry)).collect())
    }

    /// Has a key made. Whoever asks commits the entry; the same `id` again gives the same key.
    pub(super) async fn make_source_key<R: Right>(
        &self,
        _permit: &Permit<R>,
        id: Uuid,
        new: NewSourceKey,
    ) -> Result<SourceKeyEntry, CoreError> {
        let (kind, label) = (KeyKind::Aes256, String::new());
        let work = Work::Generate { kind, usage: new.usage, unexportable: new.unexportable, label };
        let task = KeyTask { id, target: target(&new.tier).to_owned(), deadline: DEADLINE, work };
        let key = self.generated(task).await?;
        Ok(SourceKeyEntry::new(id, new.name, key, Stamps::new(now_ns())))
    }

    /// Has a key looked at that is on a partition already. Whoever asks commits the entry, by [`entry`]; `field` is what admins call it.
    pub(super) async fn existing_source_key<R: Right>(
        &self,
        _permit: &Permit<R>,
        tier: &Tier,
        (field, existing): (&'static str, &ExistingKey),
    ) -> Result<SourceKeyEntry, CoreError> {
        let invalid = |detail| CoreError::Invalid { field, detail };
        let group = match tier {
            Tier::Local => return Err(invalid("only a partition group has keys of its own; keys of tier local are made".into())),
            Tier::Partition(group) => group,
        };
        let (cka_id, label) = (existing.cka_id.clone(), existing.label.clone());
        let key = SourceKey::Partition(PartitionKey { group: group.clone(), cka_id, label });
        let entry = SourceKeyEntry::new(existing.entry_id(group), existing.to_string(), key, Stamps::new(now_ns()));
        let told = self.told_of(&entry).await?;
        fit::fit(&told).map_err(|lack| invalid(format!("the key {existing} on {group} will not do: {lack}")))?;
        if !told.unexportable {
            warn!(key = %existing, group, "a key that can be extracted from its partition becomes a source key");
        }
        Ok(entry)
    }

    /// Refuses a key that may not serve external key stores (the API's contract, §7.2), for checks of health or for customers; a data plane
    /// looks at it. `field` is what clients call it.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] with all that is wrong with it; those of asking a data plane.
    pub(super) async fn fit_for_xks<R: Right>(
        &self,
        _permit: &Permit<R>,
        field: &'static str,
        entry: &SourceKeyEntry,
    ) -> Result<(), CoreError> {
        let told = self.told_of(entry).await?;
        let lacks = fit::lacks(entry, &told);
        if lacks.is_empty() {
            return Ok(());
        }
        let detail = format!("the key {:?} can't serve an external key store: {}", entry.name, lacks.join("; "));
        Err(CoreError::Invalid { field, detail })
    }

    /// Has a key encrypt something, to see that it works: what key stores show as their health check ciphertext.
    ///
    /// # Errors
    /// Those of asking a data plane.
    pub(super) async fn health_ciphertext<R: Right>(&self, _permit: &Permit<R>, entry: &SourceKeyEntry) -> Result<Vec<u8>, CoreError> {
        match self.publisher.run(on(entry, Work::HealthCiphertext(entry.key.clone()))).await? {
            Done::HealthCiphertext(ciphertext) => Ok(ciphertext),
            Done::Generated(_) | Done::Attributes(_) | Done::Listed(_) | Done::Resealed(_) | Done::Wrapped(_) => {
                Err(TaskError::Malformed.into())
            }
        }
    }

    /// Has a data plane look at a key, to see that one is there that opens it.
    ///
    /// # Errors
    /// Those of asking a data plane.
    pub(super) async fn inspected(&self, entry: &SourceKeyEntry) -> Result<(), CoreError> {
        self.told_of(entry).await.map(drop)
    }

    /// A key's material, wrapped for ImportKeyMaterial under this public key by this algorithm of AWS.
    ///
    /// # Errors
    /// [`CoreError::Refused`] for a key that is unexportable; those of asking a data plane.
    pub(super) async fn wrapped(
        &self,
        entry: &SourceKeyEntry,
        (public_key, algorithm): (Vec<u8>, &'static str),
    ) -> Result<Vec<u8>, CoreError> {
        match self.publisher.run(on(entry, Work::Wrap { source: entry.key.clone(), public_key, algorithm })).await? {
            Done::Wrapped(wrapped) => Ok(wrapped),
            Done::Generated(_) | Done::Attributes(_) | Done::HealthCiphertext(_) | Done::Listed(_) | Done::Resealed(_) => {
                Err(TaskError::Malformed.into())
            }
        }
    }

    async fn generated(&self, task: KeyTask) -> Result<SourceKey, CoreError> {
        match self.publisher.run(task).await? {
            Done::Generated(key) => Ok(key),
            Done::Attributes(_) | Done::HealthCiphertext(_) | Done::Listed(_) | Done::Resealed(_) | Done::Wrapped(_) => {
                Err(TaskError::Malformed.into())
            }
        }
    }

    async fn told_of(&self, entry: &SourceKeyEntry) -> Result<KeyAttributes, CoreError> {
        match self.publisher.run(on(entry, Work::Inspect(entry.key.clone()))).await? {
            Done::Attributes(told) => Ok(told),
            Done::Generated(_) | Done::HealthCiphertext(_) | Done::Listed(_) | Done::Resealed(_) | Done::Wrapped(_) => {
                Err(TaskError::Malformed.into())
            }
        }
    }
}

/// The entry to commit: one that is there by that id already stays as it is.
pub(super) fn entry(view: &View, entry: &SourceKeyEntry) -> Result<SourceKeyEntry, ReadError> {
    Ok(view.source_key(entry.id)?.unwrap_or_else(|| entry.clone()))
}

impl From<TaskError> for CoreError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::NoNode { target, served } => Self::NoNode { target, served },
            TaskError::Deadline => Self::Deadline,
            TaskError::Unavailable { detail } => Self::Unavailable(detail),
            TaskError::Refused { .. } | TaskError::Unsupported { .. } | TaskError::Malformed => Self::Refused(error.to_string()),
        }
    }
}

/// Work on a key that is there, under an id of its own: asking twice is no harm.
fn on(entry: &SourceKeyEntry, work: Work) -> KeyTask {
    KeyTask { id: Uuid::new_v4(), target: target(&entry.tier()).to_owned(), deadline: DEADLINE, work }
}

/// What key tasks call a tier.
fn target(tier: &Tier) -> &str {
    match tier {
        Tier::Local => "local",
        Tier::Partition(group) => group,
    }
}

/// For a key on an HSM, too.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
