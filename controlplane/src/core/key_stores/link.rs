//! Key stores and their counterparts in AWS: made with the key store, or later.
//!
//! Always holds: AWS is told of a key store only when the connected data planes serve it, since AWS tries it at once; of one that AWS does
//! not take no counterpart is left.

use holdfast_proto::ids::{CredentialId, Revision, StoreId};
use uuid::Uuid;

use super::{Address, Operation, allowed, container, found, standing};
use crate::{
    access::{Manage, Permit, Trail},
    aws::stores::{self, ProxyForAws},
    clock::now_ns,
    core::{
        APPLIED_WITHIN, Applied, Core, CoreError,
        aws_key_stores::{begun, idle, put},
        credentials,
        write::Plan,
    },
    names::NodeName,
    store::{
        View,
        entry::{AddressEntry, AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, Entry, EntryChange, KeyStoreEntry, KeyStoreStep, Stamps},
    },
};

impl Core {
    /// Has AWS make the counterpart of a key store that was unlinked, or whose counterpart AWS has no more, with its newest credential.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for one that is linked or not served from here; [`CoreError::Invalid`] for the address
    /// or where it is in no KMS container; [`CoreError::Unavailable`] and [`CoreError::NotEverywhere`] where data planes don't serve it;
    /// what AWS refuses. It stays unlinked then.
    pub async fn link_key_store(&self, permit: &Permit<Manage>, id: StoreId, address: Address) -> Result<Applied<()>, CoreError> {
        let _turn = self.stores_at_work.turn(id.0).await;
        let plan = |view: &View| {
            let before = found(view, id)?;
            allowed(Operation::Link, standing(view, &before)?)?;
            // AWS had one that it has no more.
            let had = view.aws_key_store(id.0)?;
            had.as_ref().map_or(Ok(()), idle)?;
            let after = KeyStoreEntry { address: address.after(&before.address)?, ..before.clone() };
            self.linkable(&after.address, after.kms.is_some())?;
            let kms = after.kms.ok_or_else(no_container)?;
            container(view, &kms.to_string(), &after.region)?;
            let credential = credentials::newest(view, id)?.ok_or(CoreError::NotFound("credential"))?;
            let made = counterpart(&after, kms, (credential.id, KeyStoreStep::Link));
            let rotation_job = had.and_then(|had| had.rotation_job);
            let mut changes = vec![put(AwsKeyStoreEntry { before: Some(as_it_was(&before)), rotation_job, ..made })];
            if after.address != before.address {
                changes.push(EntryChange::put(Entry::KeyStore(KeyStoreEntry { stamps: before.stamps.touched(now_ns()), ..after })));
            }
            Ok(Plan { changes, answer: () })
        };
        let ((), revision) = self.writer.change(permit.trail(), plan).await?;
        let revision = self.make_counterpart(permit.trail(), id, revision).await?;
        Ok(self.applied((), revision).await)
    }

    /// Refuses what AWS would not find a key store at.
    pub(super) fn linkable(&self, address: &AddressEntry, in_container: bool) -> Result<(), CoreError> {
        if !in_container {
            return Err(no_container());
        }
        findable(address, self.aws.kms_is_elsewhere())
    }

    /// Has AWS make the counterpart that was begun; `revision` has the key store.
    pub(super) async fn make_counterpart(&self, trail: &Trail, id: StoreId, revision: Revision) -> Result<Revision, CoreError> {
        let proxy = match self.on_connected(revision, "the key store").await {
            Ok(()) => self.proxy_for_aws(id).await,
            Err(late) => Err(late),
        };
        let (entry, proxy) = match proxy {
            Ok(both) => both,
            Err(error) => {
                self.undo(trail, id.0, &error).await?;
                return Err(error);
            }
        };
        let kms = self.kms_or_undo(trail, &entry).await?;
        let asked = self.ask_of_store(id.0, stores::create_for_proxy(&kms, proxy)).await.map(Some);
        self.settle(trail, id.0, asked).await
    }

    /// Waits until all connected data planes, one at least, have applied `revision`; those that are not connected AWS can't reach, either.
    pub(in crate::core) async fn on_connected(&self, revision: Revision, what: &'static str) -> Result<(), CoreError> {
        let pending = self.publisher.applied(revision, APPLIED_WITHIN).await;
        let connected: Vec<NodeName> = self.publisher.nodes().into_iter().filter(|node| node.connected).map(|node| node.name).collect();
        if connected.is_empty() {
            let text = "none is connected, and AWS would try the key store at once";
            return Err(CoreError::Unavailable(text.into()));
        }
        let nodes: Vec<_> = connected.into_iter().filter(|node| pending.contains(node)).collect();
        if nodes.is_empty() { Ok(()) } else { Err(CoreError::NotEverywhere { what, nodes }) }
    }

    /// All that AWS is told of a key store.
    async fn proxy_for_aws(&self, id: StoreId) -> Result<(AwsKeyStoreEntry, ProxyForAws), CoreError> {
        let view = self.view().await?;
        let (here, entry) = (found(&view, id)?, crate::core::aws_key_stores::found(&view, id.0)?);
        let credential = match entry.kind {
            AwsKeyStoreKind::Linked { credential: Some(credential) } => view.credential(id, CredentialId(credential))?,
            AwsKeyStoreKind::Linked { credential: None } | AwsKeyStoreKind::Remote { .. } | AwsKeyStoreKind::CloudHsm { .. } => None,
        };
        let credential = credential.ok_or(CoreError::NotFound("credential"))?;
        let secret = self.seal.open_credential(&credential).map_err(CoreError::Unsealed)?;
        let proxy = ProxyForAws {
            name: Some(here.name),
            address: Some(here.address),
            uri_path: Some(here.uri_path.to_string()),
            credential: Some((credential.access_key_id, secret)),
        };
        Ok((entry, proxy))
    }
}

/// The counterpart of a key store, with its making begun.
pub(super) fn counterpart(here: &KeyStoreEntry, kms: Uuid, (credential, step): (CredentialId, KeyStoreStep)) -> AwsKeyStoreEntry {
    let kind = AwsKeyStoreKind::Linked { credential: Some(credential.0) };
    let entry = AwsKeyStoreEntry::new((here.id.0, kms), &here.region, (here.name.clone(), kind), Stamps::new(now_ns()));
    begun(&entry, step)
}

/// What a change that AWS does not take is taken back to.
pub(super) fn as_it_was(before: &KeyStoreEntry) -> BeforeEntry {
    BeforeEntry::Linked { name: before.name.clone(), address: before.address.clone(), uri_path: before.uri_path.clone() }
}

/// Whether KMS finds anything there: AWS itself calls port 443 only.
fn findable(address: &AddressEntry, elsewhere: bool) -> Result<(), CoreError> {
    let endpoint = address.endpoint.as_deref().ok_or_else(|| CoreError::invalid(ENDPOINT, "is required of a linked key store"))?;
    let host = endpoint.strip_prefix("https://").unwrap_or(endpoint);
    if host.contains(':') && !elsewhere {
        return Err(CoreError::invalid(ENDPOINT, "must have no port: AWS KMS calls port 443 only"));
    }
    Ok(())
}

fn no_container() -> CoreError {
    CoreError::invalid(
        "kms",
        "is required of a linked key store, and given when it is made: the KMS container says by which connection AWS is asked",
    )
}

const ENDPOINT: &str = "xks_proxy_uri_endpoint";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_for_a_kms_that_is_not_at_aws_and_nothing_is_linked_without_an_endpoint() {
        let found = |endpoint: Option<&str>, elsewhere| {
            let address = AddressEntry { endpoint: endpoint.map(str::to_owned), ..AddressEntry::default() };
            findable(&address, elsewhere).is_ok()
        };
        for (endpoint, at_aws, elsewhere) in
            [(Some("https://xks.example.com"), true, true), (Some("https://xks.example.com:8443"), false, true), (None, false, false)]
        {
            assert_eq!((found(endpoint, false), found(endpoint, true)), (at_aws, elsewhere), "{endpoint:?}");
        }
    }
}
