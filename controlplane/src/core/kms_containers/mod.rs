//! KMS containers: one AWS account in some regions, and who was allowed what in it.
//!
//! Always holds: a container's connection exists, and is not known to lead to another account; a region that a key store of it is in stays;
//! what goes on in a container when it is deleted leaves nothing behind (`still`); ACLs are served, not enforced.

mod acls;

use std::collections::BTreeSet;

use uuid::Uuid;

pub use self::acls::{AclChange, shown};
use super::{
    Core, CoreError,
    aws_connections::{self, assume_role},
    aws_names,
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    store::{
        ReadError, View,
        entry::{AssumeRole, AwsKeyStoreEntry, AwsKeyStoreKind, Entry, EntryChange, EntryName, KeyStoreEntry, KmsContainerEntry, Stamps},
    },
};

/// What a client says of a container. What is absent stays as it is; a new one needs all but the role.
#[derive(Clone, Debug, Default)]
pub struct GivenContainer {
    /// Unique, 1–256 characters. Never changes.
    pub name: Option<String>,
    /// 12 digits. Never changes.
    pub account_id: Option<String>,
    /// The connection's name or id.
    pub connection: Option<String>,
    /// In the client's order.
    pub regions: Option<Vec<String>>,
    /// A role to take on in this account.
    pub assume_role: AssumeRole,
}

impl Core {
    /// Keeps a new container.
    ///
    /// # Errors
    /// [`CoreError::Invalid`]; [`CoreError::NotFound`] for the connection; [`CoreError::Exists`] for the name; [`CoreError::State`] for a
    /// connection that is known to lead to another account.
    pub async fn create_kms_container(&self, permit: &Permit<Manage>, given: GivenContainer) -> Result<KmsContainerEntry, CoreError> {
        let id = Uuid::new_v4();
        let intended = new(&self.view().await?, id, &given)?;
        self.check_container(&intended).await?;
        let plan = |view: &View| {
            let entry = new(view, id, &given)?;
            if view.kms_containers()?.iter().any(|other| other.name == entry.name) {
                return Err(CoreError::Exists { what: "KMS container", name: entry.name });
            }
            Ok(put(entry))
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// All containers.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn kms_containers(&self, _permit: &Permit<Read>) -> Result<Vec<KmsContainerEntry>, CoreError> {
        Ok(self.view().await?.kms_containers()?)
    }

    /// A container by its id or name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn kms_container(&self, _permit: &Permit<Read>, wanted: &str) -> Result<KmsContainerEntry, CoreError> {
        find(&self.view().await?, wanted)
    }

    /// Changes a container's connection, regions or role.
    ///
    /// # Errors
    /// [`CoreError::NotFound`], also for the connection; [`CoreError::Invalid`], also for another name or account; [`CoreError::State`]
    /// where a key store is in a region that would go, or something goes on there, and where the connection leads to another account.
    pub async fn change_kms_container(
        &self,
        permit: &Permit<Manage>,
        wanted: &str,
        given: GivenContainer,
    ) -> Result<KmsContainerEntry, CoreError> {
        let plan = |view: &View| Ok(put(changed(view, find(view, wanted)?, &given)?));
        let (before, intended) = {
            let view = self.view().await?;
            (find(&view, wanted)?, plan(&view)?.answer)
        };
        if (before.connection, before.assume_role) != (intended.connection, intended.assume_role.clone()) {
            self.check_container(&intended).await?;
        }
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Allows and forbids actions in a container, one change after the other.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::Invalid`] for an unknown action, or where it is not one user or one group.
    pub async fn update_kms_acls(
        &self,
        permit: &Permit<Manage>,
        wanted: &str,
        changes: Vec<AclChange>,
    ) -> Result<KmsContainerEntry, CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            let acls = changes.iter().try_fold(entry.acls.clone(), acls::apply)?;
            let stamps = if acls == entry.acls { entry.stamps } else { entry.stamps.touched(now_ns()) };
            Ok(put(KmsContainerEntry { acls, stamps, ..entry }))
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Deletes a container, and what is known of other key stores and keys in AWS by it; in AWS they stay.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while a key store or policy template uses it, and while something in AWS is under way.
    pub async fn delete_kms_container(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            if let Some(store) = key_stores(view, entry.id)?.first() {
                return Err(CoreError::State(format!("the key store {} is in this KMS container", store.name)));
            }
            if let Some(template) = view.policy_templates()?.iter().find(|template| template.kms == Some(entry.id)) {
                return Err(CoreError::State(format!("the policy template {} is in this KMS container", template.name)));
            }
            let (stores, keys) = (view.aws_key_stores()?, view.aws_keys()?);
            let stores =
                stores.iter().filter(|store| store.kms == entry.id).map(|one| (one.doing.is_some(), EntryName::AwsKeyStore(one.id)));
            let keys = keys.iter().filter(|key| key.kms == entry.id).map(|one| (one.doing.is_some(), EntryName::AwsKey(one.id)));
            let (busy, known): (Vec<_>, Vec<_>) = stores.chain(keys).partition(|(busy, _)| *busy);
            if !busy.is_empty() {
                return Err(CoreError::State("something that was begun in AWS by this KMS container is under way".into()));
            }
            let names = known.into_iter().map(|(_, name)| name).chain([EntryName::KmsContainer(entry.id)]);
            Ok(Plan { changes: names.map(EntryChange::Delete).collect(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(())
    }
}

/// The containers of an account: what AWS has there is known here once, by any of them.
pub(super) fn of_account(view: &View, account_id: &str) -> Result<BTreeSet<Uuid>, ReadError> {
    Ok(view.kms_containers()?.into_iter().filter(|container| container.account_id == account_id).map(|container| container.id).collect())
}

/// A container by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<KmsContainerEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.kms_container(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.kms_containers()?.into_iter().find(|entry| entry.name == wanted).ok_or(CoreError::NotFound("KMS container"))
}

/// A container as it is now, with this region: others may have deleted or changed it since something was begun there.
pub(super) fn still(view: &View, id: Uuid, region: &str) -> Result<KmsContainerEntry, CoreError> {
    let found = view.kms_container(id)?.ok_or(CoreError::NotFound("KMS container"))?;
    if found.regions.iter().any(|one| one == region) {
        return Ok(found);
    }
    Err(CoreError::State(format!("the KMS container {} no longer has the region {region}", found.name)))
}

fn new(view: &View, id: Uuid, given: &GivenContainer) -> Result<KmsContainerEntry, CoreError> {
    let name = needed("name", given.name.as_ref())?;
    let account_id = needed("account_id", given.account_id.as_ref())?;
    let connection_as_sent = needed("connection", given.connection.as_ref())?;
    let regions = needed("regions", given.regions.as_ref())?;
    aws_names::name("name", &name)?;
    aws_names::account("account_id", &account_id)?;
    known(&regions)?;
    let connection = aws_connections::find(view, &connection_as_sent)?;
    Ok(KmsContainerEntry {
        id,
        name,
        account_id,
        regions,
        connection: connection.id,
        connection_as_sent,
        cloud: connection.cloud,
        assume_role: assume_role(AssumeRole::default(), &given.assume_role)?,
        acls: Vec::new(),
        stamps: Stamps::new(now_ns()),
    })
}

fn changed(view: &View, mut entry: KmsContainerEntry, given: &GivenContainer) -> Result<KmsContainerEntry, CoreError> {
    same("name", given.name.as_ref(), &entry.name)?;
    same("account_id", given.account_id.as_ref(), &entry.account_id)?;
    // Its name may have changed since, and would not be found.
    if let Some(sent) = given.connection.as_ref().filter(|sent| **sent != entry.connection_as_sent) {
        let connection = aws_connections::find(view, sent)?;
        (entry.connection, entry.cloud) = (connection.id, connection.cloud);
        entry.connection_as_sent.clone_from(sent);
    }
    if let Some(regions) = &given.regions {
        known(regions)?;
        if let Some(store) = key_stores(view, entry.id)?.iter().find(|store| !regions.contains(&store.region)) {
            let text = format!("the key store {} is in {}, which would no longer be in this KMS container", store.name, store.region);
            return Err(CoreError::State(text));
        }
        if let Some((what, region)) = held(view, entry.id)?.into_iter().find(|(_, region)| !regions.contains(region)) {
            return Err(CoreError::State(format!("{what} in {region}, which would no longer be in this KMS container")));
        }
        entry.regions.clone_from(regions);
    }
    entry.assume_role = assume_role(entry.assume_role, &given.assume_role)?;
    entry.stamps = entry.stamps.touched(now_ns());
    Ok(entry)
}

fn put(entry: KmsContainerEntry) -> Plan<KmsContainerEntry> {
    Plan { changes: vec![EntryChange::put(Entry::KmsContainer(entry.clone()))], answer: entry }
}

fn key_stores(view: &View, id: Uuid) -> Result<Vec<KeyStoreEntry>, ReadError> {
    Ok(view.key_stores()?.into_iter().filter(|store| store.kms == Some(id)).collect())
}

/// What keeps regions in a container besides its own key stores, and in which: key stores on clusters, and what something was begun with.
fn held(view: &View, id: Uuid) -> Result<Vec<(String, String)>, ReadError> {
    let on_cluster = |store: &AwsKeyStoreEntry| matches!(store.kind, AwsKeyStoreKind::CloudHsm { .. }) && !store.gone;
    let stores = view.aws_key_stores()?.into_iter().filter(|store| store.kms == id && (on_cluster(store) || store.doing.is_some()));
    let keys = view.aws_keys()?.into_iter().filter(|key| key.kms == id && key.doing.is_some());
    let stores = stores.map(|store| (format!("the key store {} is", store.name), store.region));
    Ok(stores.chain(keys.map(|key| (format!("something was begun with the key {}", key.id), key.region))).collect())
}

fn needed<T: Clone>(field: &'static str, given: Option<&T>) -> Result<T, CoreError> {
    given.cloned().ok_or_else(|| CoreError::Invalid { field, detail: "is missing".into() })
}

fn same(field: &'static str, given: Option<&String>, now: &str) -> Result<(), CoreError> {
    match given {
        Some(other) if other != now => Err(CoreError::Invalid { field, detail: "can't be changed".into() }),
        Some(_) | None => Ok(()),
    }
}

fn known(regions: &[String]) -> Result<(), CoreError> {
    let invalid = |detail: String| Err(CoreError::Invalid { field: "regions", detail });
    if regions.is_empty() {
        return invalid("must name at least one region".into());
    }
    let mut seen = BTreeSet::new();
    for region in regions {
        aws_names::region("regions", region)?;
        if !seen.insert(region) {
            return invalid(format!("{region} is there twice"));
        }
    }
    Ok(())
}
