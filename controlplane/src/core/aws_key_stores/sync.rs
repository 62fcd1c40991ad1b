//! What AWS told of a custom key store, at a synchronisation.
//!
//! Always holds: a store of AWS has one entry here, in the KMS container by which it was first known, however many containers are of its
//! account and have its region.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{idle, put};
use crate::{
    access::Trail,
    aws::stores::{Behind, StoreInAws},
    clock::now_ns,
    core::{Core, CoreError, kms_containers, write::Plan},
    store::{
        ReadError, View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, KmsContainerEntry, Stamps},
    },
};

impl Core {
    /// Puts what AWS told of a custom key store into its entry; one that was not known becomes one of another proxy, or one on a cluster.
    /// One whose container was deleted is taken into this one. None: it is being made from here, or was deleted from here just now, and is
    /// left to that.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] for a container that was deleted meanwhile, [`CoreError::State`] where it has the region no longer;
    /// [`CoreError`] of reading and writing.
    pub(crate) async fn sync_key_store(
        &self,
        trail: &Trail,
        container: &KmsContainerEntry,
        region: &str,
        told: &StoreInAws,
    ) -> Result<Option<AwsKeyStoreEntry>, CoreError> {
        let known = known(&self.view().await?, (container, region), told)?;
        // Whoever works on it knows better; what was listed before that is old.
        let _turn = match &known {
            Some(known) => Some(self.stores_at_work.turn(known.id).await),
            None => None,
        };
        if let Some(known) = known {
            let Some(now) = self.taken_in(trail, container.id, known.id).await? else { return Ok(None) };
            if outdated(&now, told) && idle(&now).is_ok() {
                self.find_out(trail, now.id).await?;
            }
            return Ok(self.view().await?.aws_key_store(known.id)?);
        }
        let id = Uuid::new_v4();
        let plan = |view: &View| {
            kms_containers::still(view, container.id, region)?;
            if let Some(before) = self::known(view, (container, region), told)? {
                return Ok(Plan { changes: Vec::new(), answer: Some(before) });
            }
            if is_being_made(view, (container, region), told)? {
                return Ok(Plan { changes: Vec::new(), answer: None });
            }
            let entry = new(id, (container.id, region), told);
            Ok(Plan { changes: vec![put(entry.clone())], answer: Some(entry) })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }

    /// A key store that is known, as it is now: in this container if its own is no more.
    async fn taken_in(&self, trail: &Trail, container: Uuid, id: Uuid) -> Result<Option<AwsKeyStoreEntry>, CoreError> {
        let plan = |view: &View| {
            let Some(before) = view.aws_key_store(id)? else { return Ok(Plan { changes: Vec::new(), answer: None }) };
            if view.kms_container(before.kms)?.is_some() {
                return Ok(Plan { changes: Vec::new(), answer: Some(before) });
            }
            let entry = AwsKeyStoreEntry { kms: container, stamps: before.stamps.touched(now_ns()), ..before };
            Ok(Plan { changes: vec![put(entry.clone())], answer: Some(entry) })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }
}

/// The entries of a region of a container's account, whichever container of that account they are in, or were before it was deleted.
fn in_region(view: &View, (container, region): (&KmsContainerEntry, &str)) -> Result<Vec<AwsKeyStoreEntry>, ReadError> {
    let others = view.kms_containers()?.into_iter().filter(|other| other.account_id != container.account_id);
    let others: BTreeSet<Uuid> = others.map(|other| other.id).collect();
    Ok(view.aws_key_stores()?.into_iter().filter(|entry| !others.contains(&entry.kms) && entry.region == region).collect())
}

/// The entry of a store, by AWS's id.
fn known(view: &View, place: (&KmsContainerEntry, &str), told: &StoreInAws) -> Result<Option<AwsKeyStoreEntry>, ReadError> {
    Ok(in_region(view, place)?.into_iter().find(|entry| entry.custom_key_store_id.as_deref() == Some(&told.id)))
}

fn is_being_made(view: &View, place: (&KmsContainerEntry, &str), told: &StoreInAws) -> Result<bool, ReadError> {
    Ok(in_region(view, place)?.iter().any(|entry| entry.custom_key_store_id.is_none() && entry.name == told.name))
}

/// AWS told something else than the entry says.
fn outdated(before: &AwsKeyStoreEntry, told: &StoreInAws) -> bool {
    let behind = match (&before.kind, &told.behind) {
        // With which of our credentials AWS signs is found out by looking.
        (AwsKeyStoreKind::Linked { .. }, Behind::Proxy { .. }) => true,
        (AwsKeyStoreKind::Remote { address, uri_path, access_key_id }, Behind::Proxy { address: a, uri_path: p, access_key_id: k }) => {
            (address, uri_path, access_key_id) != (a, p, k)
        }
        (AwsKeyStoreKind::CloudHsm { cluster_id, .. }, Behind::Cluster { id, .. }) => cluster_id != id,
        (AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. }, Behind::Cluster { .. })
        | (AwsKeyStoreKind::CloudHsm { .. }, Behind::Proxy { .. }) => false,
    };
    let error = told.error != before.connection_error;
    behind || before.gone || before.name != told.name || before.state != told.state || error
}

fn new(id: Uuid, (kms, region): (Uuid, &str), told: &StoreInAws) -> AwsKeyStoreEntry {
    let kind = match &told.behind {
        Behind::Proxy { address, uri_path, access_key_id } => {
            AwsKeyStoreKind::Remote { address: address.clone(), uri_path: uri_path.clone(), access_key_id: access_key_id.clone() }
        }
        Behind::Cluster { id, trust_anchor_certificate } => AwsKeyStoreKind::CloudHsm {
            cluster_id: id.clone(),
            trust_anchor_certificate: trust_anchor_certificate.clone(),
            linked_as_sent: true,
        },
    };
    let now = now_ns();
    let entry = AwsKeyStoreEntry::new((id, kms), region, (told.name.clone(), kind), Stamps::new(now));
    let custom_key_store_id = Some(told.id.clone());
    AwsKeyStoreEntry { custom_key_store_id, state: told.state, connection_error: told.error.clone(), synced_ns: now, ..entry }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aws::AwsSettings,
        publish::tests::estate::{Estate, kms_container},
        store::entry::{AddressEntry, Entry, EntryChange, KeyStoreStep},
    };

    const REGION: &str = "us-east-1";

    fn container(number: u128, account: &str) -> KmsContainerEntry {
        kms_container(Uuid::from_u128(number), account, &[REGION, "eu-west-1"])
    }

    fn told(id: &str, name: &str) -> StoreInAws {
        let behind = Behind::Proxy { address: AddressEntry::default(), uri_path: "/p".into(), access_key_id: None };
        StoreInAws { id: id.into(), name: name.into(), state: crate::store::entry::ConnectionState::Connected, error: None, behind }
    }

    #[tokio::test]
    async fn a_store_is_known_once_in_whichever_container_of_its_account_and_region() {
        let estate = Estate::new().await;
        let (one, two, other) = (container(1, "111111111111"), container(2, "111111111111"), container(3, "222222222222"));
        let kind = AwsKeyStoreKind::Linked { credential: None };
        let making = AwsKeyStoreEntry::new((Uuid::from_u128(9), one.id), REGION, ("new".into(), kind), Stamps::default());
        let making = AwsKeyStoreEntry { doing: Some(KeyStoreStep::Create), ..making };
        let containers = [&one, &two, &other].map(|container| EntryChange::put(Entry::KmsContainer(container.clone())));
        estate.commit(containers.into_iter().chain([put(making)]).collect()).await;
        let core = estate.core(AwsSettings::new()).await;
        let synced = async |container, region, (id, name)| {
            core.sync_key_store(&Trail::system("test"), container, region, &told(id, name)).await.unwrap()
        };
        let first = synced(&one, REGION, ("cks-1", "s")).await.unwrap();
        assert_eq!(synced(&two, REGION, ("cks-1", "s")).await.as_ref(), Some(&first));
        assert_eq!(synced(&two, REGION, ("cks-2", "new")).await, None, "it is being made by another container");
        for (container, region) in [(&other, REGION), (&two, "eu-west-1")] {
            let elsewhere = synced(container, region, ("cks-1", "s")).await.unwrap();
            assert_ne!(elsewhere.id, first.id, "another one, of another account or region");
        }
    }

    #[tokio::test]
    async fn a_store_of_a_container_that_is_no_more_gets_another_and_what_is_no_container_gets_none() {
        let estate = Estate::new().await;
        let (gone, here) = (container(1, "111111111111"), container(2, "111111111111"));
        let left = AwsKeyStoreEntry {
            custom_key_store_id: Some("cks-1".into()),
            ..new(Uuid::from_u128(9), (gone.id, REGION), &told("cks-1", "s"))
        };
        estate.commit(vec![EntryChange::put(Entry::KmsContainer(here.clone())), put(left.clone())]).await;
        let core = estate.core(AwsSettings::new()).await;
        let trail = Trail::system("test");
        let taken_in = core.sync_key_store(&trail, &here, REGION, &told("cks-1", "s")).await.unwrap().unwrap();
        assert_eq!((taken_in.id, taken_in.kms), (left.id, here.id));
        for (container, region) in [(&gone, REGION), (&here, "sa-east-1")] {
            core.sync_key_store(&trail, container, region, &told("cks-2", "t")).await.unwrap_err();
        }
        assert_eq!(core.view().await.unwrap().aws_key_stores().unwrap().len(), 1);
    }
}
