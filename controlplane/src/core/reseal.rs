//! Bringing what lies under older seals under the first: secrets under the control seal here, local keys under the key seal by a data plane.
//!
//! Always holds: a commit rewrites a bounded number of entries, each as it is then; what was rewritten stays so, and a call that was cut
//! short is taken up by the next. Local keys move only to a seal that every registered node which is not away says it holds first, so
//! that none loses a key by it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proto::{
    records::{LocalBlob, SourceKey},
    seal::sealed_under,
};
use tracing::info;
use uuid::Uuid;

use super::{Core, CoreError, source_keys, write::Plan};
use crate::{
    access::{Administer, Permit},
    publish::{Done, KeyTask, TaskError, Work},
    store::{
        ReadError, View,
        entry::{Entry, EntryChange, EntryName, VirtualKeyEntry},
        seal::{ResealFailed, secrets},
    },
};

/// How much lies under a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealUse {
    /// What kind of seal.
    pub kind: SealKind,
    /// The seal.
    pub id: Uuid,
    /// Secrets or keys under it now; an old seal under which nothing lies may be removed.
    pub sealed: u64,
    /// Those of them that this call brought there.
    pub rewritten: u64,
    /// What is new is sealed under it.
    pub first: bool,
}

/// A kind of seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealKind {
    /// Of the control plane's secrets.
    Control,
    /// Of local keys; data planes hold it.
    Key,
}

impl SealKind {
    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Key => "key",
        }
    }
}

/// What lies where.
#[derive(Default)]
struct Census {
    /// Secrets by control seal.
    secrets: BTreeMap<Uuid, u64>,
    /// Entries with a secret that is not under the first control seal.
    old_secrets: Vec<EntryName>,
    /// Local keys by key seal.
    keys: BTreeMap<Uuid, Vec<Uuid>>,
    /// By source key, the key stores and HYOK keys that publish it.
    publish: BTreeMap<Uuid, Vec<EntryName>>,
}

impl Core {
    /// Rewrites all that lies under an older seal, and tells what lies under which then.
    ///
    /// # Errors
    /// [`CoreError::State`] where nodes don't agree on the first key seal, or one has not told it; [`CoreError::Unsealed`] for a secret
    /// that no loaded control seal opens; those of a key task and of a commit. What was rewritten until then stays.
    pub async fn reseal(&self, permit: &Permit<Administer>) -> Result<Vec<SealUse>, CoreError> {
        let before = self.census().await?;
        let mut rewritten_secrets = 0;
        for names in before.old_secrets.chunks(AT_ONCE) {
            rewritten_secrets += self.reseal_secrets(permit, names).await?;
        }
        let first_key_seal = if before.keys.is_empty() { None } else { Some(self.first_key_seal()?) };
        let old = before.keys.iter().filter(|(seal, _)| Some(**seal) != first_key_seal).flat_map(|(_, keys)| keys);
        let old: Vec<(Uuid, Vec<EntryName>)> = old.map(|key| (*key, before.publish.get(key).cloned().unwrap_or_default())).collect();
        let mut rewritten_keys = 0;
        for keys in old.chunks(AT_ONCE) {
            rewritten_keys += self.reseal_keys(permit, keys, first_key_seal).await?;
        }
        if rewritten_secrets + rewritten_keys > 0 {
            info!(secrets = rewritten_secrets, keys = rewritten_keys, "brought under the first seals");
        }
        let after = self.census().await?;
        let first_control_seal = self.seal.ids().first().copied();
        let control = seal_uses(SealKind::Control, (first_control_seal, rewritten_secrets), &after.secrets, before.secrets.into_keys());
        let keys = after.keys.into_iter().map(|(seal, keys)| (seal, u64::try_from(keys.len()).unwrap_or(u64::MAX))).collect();
        let keys = seal_uses(SealKind::Key, (first_key_seal, rewritten_keys), &keys, before.keys.into_keys());
        Ok([control, keys].concat())
    }

    async fn census(&self) -> Result<Census, CoreError> {
        let copy = self.view().await?.copy()?;
        let first = self.seal.ids().first().copied();
        let counted = tokio::task::spawn_blocking(move || {
            let mut census = Census::default();
            for raw in copy {
                census.count(serde_json::from_slice(&raw.value).map_err(ReadError::Decode)?, first);
            }
            Ok(census)
        });
        counted.await.unwrap_or_else(|_| Err(CoreError::State("counting was broken off".into())))
    }

    async fn reseal_secrets(&self, permit: &Permit<Administer>, names: &[EntryName]) -> Result<u64, CoreError> {
        let plan = |view: &View| {
            let (mut changes, mut rewritten) = (Vec::new(), 0);
            for name in names {
                // One that was deleted meanwhile needs no seal.
                let Some(mut entry) = view.entry(name)? else { continue };
                let mut changed = 0;
                for (of, secret) in secrets(&mut entry) {
                    changed += u64::from(self.seal.reseal(of, secret)?);
                }
                if changed > 0 {
                    rewritten += changed;
                    changes.push(EntryChange::put(entry));
                }
            }
            Ok(Plan { changes, answer: rewritten })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    async fn reseal_keys(
        &self,
        permit: &Permit<Administer>,
        keys: &[(Uuid, Vec<EntryName>)],
        first: Option<Uuid>,
    ) -> Result<u64, CoreError> {
        let view = self.view().await?;
        let mut blobs = Vec::new();
        for (id, publish) in keys {
            if let Some(SourceKey::Local(blob)) = view.source_key(*id)?.map(|source| source.key) {
                blobs.push(((*id, publish), blob));
            }
        }
        drop(view);
        let work = Work::Reseal(blobs.iter().map(|(_, blob)| blob.clone()).collect());
        let task = KeyTask { id: Uuid::new_v4(), target: LOCAL.into(), deadline: source_keys::DEADLINE, work };
        let resealed = match self.publisher.run(task).await? {
            Done::Resealed(resealed) => resealed,
            Done::Generated(_) | Done::Attributes(_) | Done::HealthCiphertext(_) | Done::Listed(_) | Done::Wrapped(_) => {
                return Err(CoreError::from(TaskError::Malformed));
            }
        };
        // The seal that all nodes hold, and no other, though the one that did it may have been configured anew.
        if resealed.iter().any(|blob| sealed_under(&blob.sealed) != first) {
            return Err(CoreError::State("the data plane's first key seal has changed meanwhile; try again".into()));
        }
        let resealed: Vec<_> = blobs.into_iter().zip(resealed).collect();
        let plan = |view: &View| {
            let (mut changes, mut publish, mut rewritten) = (Vec::new(), BTreeSet::new(), 0);
            for (((id, names), before), after) in &resealed {
                let Some(mut source) = view.source_key(*id)? else { continue };
                if source.key == SourceKey::Local(LocalBlob::clone(before)) {
                    source.key = SourceKey::Local(after.clone());
                    changes.push(EntryChange::put(Entry::SourceKey(source)));
                    publish.extend(names.iter());
                    rewritten += 1;
                }
            }
            // As they are: only a commit in which they are is published.
            for name in publish {
                changes.extend(view.entry(name)?.map(EntryChange::put));
            }
            Ok(Plan { changes, answer: rewritten })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// The seal that every node which counts holds first.
    fn first_key_seal(&self) -> Result<Uuid, CoreError> {
        let mut first: Option<(Uuid, String)> = None;
        for node in self.publisher.nodes().into_iter().filter(|node| !node.away) {
            let told = node.report.as_ref().and_then(|report| report.key_seals.first().copied());
            match (&first, told) {
                (_, None) => {
                    let text = format!(
                        "node {} has not told which key seals it holds: connect it, bring it up to this version, or forget it",
                        node.name
                    );
                    return Err(CoreError::State(text));
                }
                (None, Some(seal)) => first = Some((seal, node.name.to_string())),
                (Some((seal, _)), Some(told)) if *seal == told => {}
                (Some((seal, other)), Some(told)) => {
                    let text = format!(
                        "nodes seal under different key seals, {other} under {seal} and {} under {told}: make the same one the first on all nodes",
                        node.name
                    );
                    return Err(CoreError::State(text));
                }
            }
        }
        let no_node = || CoreError::NoNode { target: LOCAL.into(), served: Vec::new() };
        first.map(|(seal, _)| seal).ok_or_else(no_node)
    }
}

impl Census {
    fn count(&mut self, mut entry: Entry, first: Option<Uuid>) {
        if let Entry::SourceKey(source) = &entry
            && let SourceKey::Local(blob) = &source.key
        {
            self.keys.entry(sealed_under(&blob.sealed).unwrap_or_default()).or_default().push(source.id);
        }
        if let Entry::KeyStore(key_store) = &entry {
            self.publish.entry(key_store.health_key).or_default().push(entry.name());
        }
        if let Entry::VirtualKey(VirtualKeyEntry { backs: Some(place), versions, .. }) = &entry {
            for version in versions {
                self.publish.entry(version.source).or_default().push(EntryName::HyokKey(place.store, place.key));
            }
        }
        let name = entry.name();
        let mut is_old = false;
        for (_, secret) in secrets(&mut entry) {
            *self.secrets.entry(secret.seal().unwrap_or_default()).or_default() += 1;
            is_old |= secret.seal() != first;
        }
        if is_old {
            self.old_secrets.push(name);
        }
    }
}

/// Of each seal that something lies or lay under, and of the first.
fn seal_uses(
    kind: SealKind,
    (first, rewritten): (Option<Uuid>, u64),
    sealed: &BTreeMap<Uuid, u64>,
    before: impl Iterator<Item = Uuid>,
) -> Vec<SealUse> {
    let seals: BTreeSet<Uuid> = before.chain(sealed.keys().copied()).chain(first).collect();
    let of = |id| {
        let is_first = Some(id) == first;
        let rewritten = if is_first { rewritten } else { 0 };
        SealUse { kind, id, sealed: sealed.get(&id).copied().unwrap_or(0), rewritten, first: is_first }
    };
    seals.into_iter().map(of).collect()
}

impl From<ResealFailed> for CoreError {
    fn from(failed: ResealFailed) -> Self {
        match failed {
            ResealFailed::Unopened(unopened) => Self::Unsealed(unopened),
            ResealFailed::Seal(failed) => Self::Seal(failed),
        }
    }
}

/// The target that has local keys.
const LOCAL: &str = "local";
/// Entries rewritten in one commit, and keys in one task.
const AT_ONCE: usize = 256;
