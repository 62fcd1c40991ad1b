//! Virtual keys: stable ids over numbered versions, each on a source key.
//!
//! Always holds: one virtual key backs one HYOK key at most; a silent one, made for a HYOK key, is not told of, changed or deleted on its
//! own; all its versions are on one tier.

use uuid::Uuid;

use super::{
    Core, CoreError,
    draw::tag,
    source_keys,
    state::{NewVersion, VirtualKeyCommand, VirtualKeyRefusal, tier_fits, virtual_key, with_version},
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    store::{
        View,
        entry::{Entry, EntryChange, EntryName, PartitionEntry, SourceKeyEntry, Stamps, Tier, VersionEntry, VirtualKeyEntry},
    },
};

/// A virtual key that is to be.
#[derive(Clone, Debug, Default)]
pub struct NewVirtualKey {
    /// What admins call it; empty: nothing.
    pub name: String,
    /// The source key that becomes version 0: id or unique name.
    pub source_key: String,
    /// The tier that the source key is said to be on, as it was spelt; none: nothing was said.
    pub tier_as_sent: Option<String>,
    /// It may be deleted.
    pub deletable: bool,
}

/// A virtual key with what its versions are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    /// The virtual key.
    pub key: VirtualKeyEntry,
    /// Its versions, from 0; at least one.
    pub versions: Vec<VersionOnSource>,
}

/// A version and its source key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionOnSource {
    /// The version.
    pub version: VersionEntry,
    /// Its source key.
    pub source: SourceKeyEntry,
    /// The added partition that the source key is on, if it is on one.
    pub partition: Option<PartitionEntry>,
}

impl Core {
    /// Makes a virtual key on a source key, which a connected data plane looks at.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] for the source key, [`CoreError::Invalid`] for one that will not do, and those of asking a data plane.
    pub async fn create_virtual_key(&self, permit: &Permit<Manage>, new: NewVirtualKey) -> Result<VirtualKey, CoreError> {
        if new.name.chars().count() > LONGEST_NAME {
            return Err(CoreError::Invalid { field: "name", detail: format!("must have at most {LONGEST_NAME} characters") });
        }
        let source = source_keys::find(&self.view().await?, &new.source_key)?;
        on_tier(&source.tier(), new.tier_as_sent.as_deref())?;
        self.fit_for_xks(permit, "source_key_id", &source).await?;
        let stamps = Stamps::new(now_ns());
        let versions = with_version(&[], NewVersion { source: source.id, tag: tag()?, now_ns: stamps.created_ns });
        let key = VirtualKeyEntry {
            id: Uuid::new_v4(),
            name: new.name,
            silent: false,
            deletable: new.deletable,
            tier_as_sent: new.tier_as_sent,
            backs: None,
            versions,
            stamps,
        };
        let plan = |view: &View| {
            // It may have gone meanwhile.
            view.source_key(source.id)?.ok_or(CoreError::NotFound("source key"))?;
            Ok(Plan { changes: vec![EntryChange::put(Entry::VirtualKey(key.clone()))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        with_sources(&self.view().await?, key)
    }

    /// All virtual keys that are not silent.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn virtual_keys(&self, _permit: &Permit<Read>) -> Result<Vec<VirtualKey>, CoreError> {
        let view = self.view().await?;
        view.virtual_keys()?.into_iter().filter(|key| !key.silent).map(|key| with_sources(&view, key)).collect()
    }

    /// One virtual key; a silent one too.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn virtual_key(&self, _permit: &Permit<Read>, id: Uuid) -> Result<VirtualKey, CoreError> {
        let view = self.view().await?;
        let key = view.virtual_key(id)?.ok_or(NOT_FOUND)?;
        with_sources(&view, key)
    }

    /// Lets a virtual key be deleted, or no longer.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn set_virtual_key_deletable(&self, permit: &Permit<Manage>, id: Uuid, deletable: bool) -> Result<VirtualKey, CoreError> {
        let plan = |view: &View| {
            let mut key = view.virtual_key(id)?.ok_or(NOT_FOUND)?;
            virtual_key(&key, VirtualKeyCommand::SetDeletable)?;
            if key.deletable == deletable {
                return Ok(Plan { changes: Vec::new(), answer: key });
            }
            key.deletable = deletable;
            key.stamps = key.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::VirtualKey(key.clone()))], answer: key })
        };
        let (key, _) = self.writer.change(permit.trail(), plan).await?;
        with_sources(&self.view().await?, key)
    }

    /// Deletes a virtual key that may be deleted and backs no HYOK key. Its source keys stay.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`].
    pub async fn delete_virtual_key(&self, permit: &Permit<Manage>, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let key = view.virtual_key(id)?.ok_or(NOT_FOUND)?;
            virtual_key(&key, VirtualKeyCommand::Delete)?;
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::VirtualKey(id))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }
}

/// A virtual key by its id; a silent one is not found.
pub(super) fn find(view: &View, id: &str) -> Result<VirtualKeyEntry, CoreError> {
    let found = Uuid::try_parse(id).ok().map(|id| view.virtual_key(id)).transpose()?.flatten();
    found.filter(|key| !key.silent).ok_or(NOT_FOUND)
}

/// A virtual key with what its versions are on.
pub(super) fn with_sources(view: &View, key: VirtualKeyEntry) -> Result<VirtualKey, CoreError> {
    let versions = key.versions.iter().map(|version| on_source(view, *version)).collect::<Result<_, _>>()?;
    Ok(VirtualKey { key, versions })
}

/// Refuses a tier as it was sent that isn't the one that it is.
pub(super) fn on_tier(tier: &Tier, sent: Option<&str>) -> Result<(), CoreError> {
    if tier_fits(tier, sent) {
        return Ok(());
    }
    let detail = match tier {
        Tier::Local => "must be local, which is where the key is".into(),
        Tier::Partition(group) => format!("must be luna-hsm (or hsm-luna): the key is on the partition group {group}"),
    };
    Err(CoreError::Invalid { field: "source_key_tier", detail })
}

fn on_source(view: &View, version: VersionEntry) -> Result<VersionOnSource, CoreError> {
    let source = view.source_key(version.source)?.ok_or(CoreError::NotFound("source key"))?;
    let partition = source.partition.map(|id| view.partition(id)).transpose()?.flatten();
    Ok(VersionOnSource { version, source, partition })
}

impl VirtualKey {
    /// Its newest version.
    #[must_use]
    pub fn newest(&self) -> Option<&VersionOnSource> {
        self.versions.last()
    }
}

impl From<VirtualKeyRefusal> for CoreError {
    fn from(refusal: VirtualKeyRefusal) -> Self {
        match refusal {
            VirtualKeyRefusal::Hidden => NOT_FOUND,
            VirtualKeyRefusal::Backs | VirtualKeyRefusal::Undeletable => Self::State(refusal.to_string()),
        }
    }
}

const NOT_FOUND: CoreError = CoreError::NotFound("virtual key");

/// Characters.
const LONGEST_NAME: usize = 256;
