//! What AWS told of a custom key store, at a synchronisation.

use uuid::Uuid;

use super::{idle, put};
use crate::{
    access::Trail,
    aws::stores::{Behind, StoreInAws},
    core::{Core, CoreError, draw::now_ns, write::Plan},
    store::{
        ReadError, View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, KmsContainerEntry, Stamps},
    },
};

impl Core {
    /// Puts what AWS told of a custom key store into its entry; one that was not known becomes one of another proxy, or one on a cluster.
    /// None: it is being made from here, and is left to that.
    ///
    /// # Errors
    /// [`CoreError`] of reading and writing.
    pub(crate) async fn sync_key_store(
        &self,
        trail: &Trail,
        container: &KmsContainerEntry,
        region: &str,
        told: &StoreInAws,
    ) -> Result<Option<AwsKeyStoreEntry>, CoreError> {
        let known = known(&self.view().await?, (container.id, region), told)?;
        // Whoever works on it knows better; what was listed before that is old.
        let _turn = match &known {
            Some(known) => Some(self.stores_at_work.turn(known.id).await),
            None => None,
        };
        if let Some(before) = known.filter(|before| outdated(before, told) && idle(before).is_ok()) {
            self.find_out(trail, before.id, false).await?;
            return Ok(self.view().await?.aws_key_store(before.id)?);
        }
        let id = Uuid::new_v4();
        let plan = |view: &View| {
            if let Some(before) = self::known(view, (container.id, region), told)? {
                return Ok(Plan { changes: Vec::new(), answer: Some(before) });
            }
            if is_being_made(view, (container.id, region), told)? {
                return Ok(Plan { changes: Vec::new(), answer: None });
            }
            let entry = new(id, (container.id, region), told);
            Ok(Plan { changes: vec![put(entry.clone())], answer: Some(entry) })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }
}

fn in_region(view: &View, (kms, region): (Uuid, &str)) -> Result<Vec<AwsKeyStoreEntry>, ReadError> {
    Ok(view.aws_key_stores()?.into_iter().filter(|entry| entry.kms == kms && entry.region == region).collect())
}

/// The entry of a store, by AWS's id.
fn known(view: &View, place: (Uuid, &str), told: &StoreInAws) -> Result<Option<AwsKeyStoreEntry>, ReadError> {
    Ok(in_region(view, place)?.into_iter().find(|entry| entry.custom_key_store_id.as_deref() == Some(&told.id)))
}

fn is_being_made(view: &View, place: (Uuid, &str), told: &StoreInAws) -> Result<bool, ReadError> {
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
