//! Custom key stores on AWS CloudHSM clusters. All of them are in AWS; here is what AWS told.

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{begun, found, idle, put};
use crate::{
    access::{Manage, Permit},
    aws::stores::{self, ClusterForAws},
    clock::now_ns,
    core::{
        Core, CoreError,
        key_stores::{Operation, allowed, aws_standing, container, free_name, nameable},
        write::Plan,
    },
    store::{
        View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, KeyStoreStep, Stamps},
    },
};

/// A key store on a CloudHSM cluster that is to be.
#[derive(Clone, Debug)]
pub struct NewCloudHsmStore {
    /// Unique, 1–256 characters.
    pub name: String,
    /// Its KMS container, by id or name.
    pub kms: String,
    /// One of the container's.
    pub region: String,
    /// The cluster.
    pub cluster_id: String,
    /// Of the cluster's crypto user `kmsuser`; passed on to AWS and not kept.
    pub password: Secret,
    /// The cluster's trust anchor, PEM.
    pub trust_anchor_certificate: String,
    /// `linked_state` as the client sent it, and wants it back.
    pub linked_as_sent: bool,
}

/// What is to change of a key store on a cluster; none: it stays.
#[derive(Clone, Debug, Default)]
pub struct CloudHsmPatch {
    /// Unique, 1–256 characters.
    pub name: Option<String>,
    /// A cluster of the same backup (UpdateCustomKeyStore API).
    pub cluster_id: Option<String>,
    /// The password that the cluster has now; passed on and not kept.
    pub password: Option<Secret>,
    /// What clients send along and can't change.
    pub fixed: FixedOnCluster,
}

/// Members that can't be changed: refused unless they are as they are, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedOnCluster {
    /// The KMS container, by id or name.
    pub kms: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// `AWS_CLOUDHSM`.
    pub store_type: Option<String>,
}

impl Core {
    /// Has AWS make a key store on a CloudHSM cluster.
    ///
    /// # Errors
    /// [`CoreError::Invalid`]; [`CoreError::Exists`] for the name; what AWS refuses.
    pub async fn create_cloud_hsm_store(&self, permit: &Permit<Manage>, new: NewCloudHsmStore) -> Result<AwsKeyStoreEntry, CoreError> {
        nameable(&new.name)?;
        let id = Uuid::new_v4();
        let _turn = self.stores_at_work.turn(id).await;
        let plan = |view: &View| {
            free_name(view, &new.name, id)?;
            let kms = container(view, &new.kms, &new.region)?.id;
            let kind = AwsKeyStoreKind::CloudHsm {
                cluster_id: new.cluster_id.clone(),
                trust_anchor_certificate: new.trust_anchor_certificate.clone(),
                linked_as_sent: new.linked_as_sent,
            };
            let entry = AwsKeyStoreEntry::new((id, kms), &new.region, (new.name.clone(), kind), Stamps::new(now_ns()));
            let entry = begun(&entry, KeyStoreStep::Create);
            Ok(Plan { changes: vec![put(entry.clone())], answer: entry })
        };
        let (entry, _) = self.writer.change(permit.trail(), plan).await?;
        let kms = self.kms_or_undo(permit.trail(), &entry).await?;
        let cluster = ClusterForAws {
            name: Some(new.name),
            cluster_id: Some(new.cluster_id),
            password: Some(new.password),
            trust_anchor_certificate: Some(new.trust_anchor_certificate),
        };
        let asked = self.ask_of_store(id, stores::create_for_cluster(&kms, cluster)).await.map(Some);
        self.settle(permit.trail(), id, asked).await?;
        found(&self.view().await?, id)
    }

    /// Has AWS change a key store on a CloudHSM cluster; what it refuses stays as it is here, too.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for another kind of key store; [`CoreError::Invalid`] for a member that can't be changed;
    /// [`CoreError::Exists`] for the name; what AWS refuses: the key store must be disconnected.
    pub async fn update_cloud_hsm_store(
        &self,
        permit: &Permit<Manage>,
        id: Uuid,
        patch: CloudHsmPatch,
    ) -> Result<AwsKeyStoreEntry, CoreError> {
        if let Some(name) = &patch.name {
            nameable(name)?;
        }
        let _turn = self.stores_at_work.turn(id).await;
        let plan = |view: &View| {
            let entry = found(view, id)?;
            allowed(Operation::Update, aws_standing(view, &entry)?)?;
            let AwsKeyStoreKind::CloudHsm { cluster_id, .. } = &entry.kind else {
                return Err(CoreError::State("the key store is not on a CloudHSM cluster".into()));
            };
            unchanged(view, &entry, &patch.fixed)?;
            idle(&entry)?;
            let name = patch.name.clone().filter(|name| *name != entry.name);
            let cluster = patch.cluster_id.clone().filter(|cluster| cluster != cluster_id);
            if name.is_none() && cluster.is_none() && patch.password.is_none() {
                return Ok(Plan { changes: Vec::new(), answer: None });
            }
            if let Some(name) = &name {
                free_name(view, name, id)?;
            }
            let aws_id = entry.custom_key_store_id.clone().ok_or_else(|| CoreError::State("AWS does not have the key store yet".into()))?;
            let before = BeforeEntry::CloudHsm { name: entry.name.clone(), cluster_id: cluster_id.clone() };
            let mut changed = AwsKeyStoreEntry { before: Some(before), ..begun(&entry, KeyStoreStep::Update) };
            if let (Some(new), AwsKeyStoreKind::CloudHsm { cluster_id, .. }) = (&cluster, &mut changed.kind) {
                cluster_id.clone_from(new);
            }
            changed.name = name.clone().unwrap_or(changed.name);
            let told = ClusterForAws { name, cluster_id: cluster, password: patch.password.clone(), trust_anchor_certificate: None };
            Ok(Plan { changes: vec![put(changed.clone())], answer: Some((changed, aws_id, told)) })
        };
        if let (Some((entry, aws_id, told)), _) = self.writer.change(permit.trail(), plan).await? {
            let kms = self.kms_or_undo(permit.trail(), &entry).await?;
            let asked = self.ask_of_store(id, stores::update_cluster(&kms, &aws_id, told)).await.map(|()| None);
            // Whether AWS took a password can't be seen.
            let unseen = asked.as_ref().err().filter(|error| error.may_be_done() && patch.password.is_some()).cloned();
            self.settle(permit.trail(), id, asked).await?;
            if let Some(error) = unseen {
                return Err(error.into());
            }
        }
        found(&self.view().await?, id)
    }
}

/// Refuses members that can't be changed and differ.
fn unchanged(view: &View, now: &AwsKeyStoreEntry, fixed: &FixedOnCluster) -> Result<(), CoreError> {
    let kms = view.kms_container(now.kms)?;
    let is_kms = |told: &String| kms.as_ref().is_some_and(|kms| kms.name == *told || kms.id.to_string() == *told);
    let differing = [
        ("kms", fixed.kms.as_ref().is_some_and(|told| !is_kms(told))),
        ("region", fixed.region.as_ref().is_some_and(|told| *told != now.region)),
        ("custom_key_store_type", fixed.store_type.as_ref().is_some_and(|told| !ON_CLUSTER.contains(&told.as_str()))),
    ];
    match differing.into_iter().find(|(_, differs)| *differs) {
        Some((field, _)) => Err(CoreError::invalid(field, "can't be changed by an update")),
        None => Ok(()),
    }
}

/// AWS's spelling, one of older clients, and that of a key store's `type` (contract, D7).
const ON_CLUSTER: [&str; 3] = ["AWS_CLOUDHSM", "CLOUD_HSM", "CloudHSM"];
