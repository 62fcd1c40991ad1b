//! Multi-region keys: replicas, and which of a set is the primary key.
//!
//! Always holds: a replica is made by KMS in its primary key's region; one whose material is imported gets the same material as its primary
//! key as soon as AWS takes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use uuid::Uuid;

use super::{
    AnyKey, Place,
    describe::{look_at_known, put_told},
    in_aws,
    native::in_region,
    settled,
    steps::may_come,
};
use crate::{
    access::{Manage, Permit, Trail},
    aws::{AwsError, once, unless_throttled},
    core::{Core, CoreError},
    store::entry::{AwsKeyEntry, AwsKeyKind, ForAws, KeyInAws, KeyStep, MultiRegionInAws, NewKeySpec, RotationInAws, UploadedFrom},
};

/// A replica that is to be made.
#[derive(Clone, Debug)]
pub struct NewReplica {
    /// Where.
    pub region: String,
    /// What AWS is to be told of it.
    pub for_aws: ForAws,
    /// The policy template (id or name) for that; none: what `for_aws` says.
    pub template: Option<String>,
    /// When its material expires, nanoseconds since 1970, where that is imported; none: never.
    pub valid_to_ns: Option<u64>,
}

impl Core {
    /// Makes a replica of a multi-region primary key in another region.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that is no multi-region primary key; `Invalid` for the region; `Aws`.
    pub async fn replicate_key(&self, permit: &Permit<Manage>, id: Uuid, new: NewReplica) -> Result<AnyKey, CoreError> {
        let trail = permit.trail();
        let entry = {
            let view = self.view().await?;
            let (primary, told) = in_aws(&view, id)?;
            match &told.multi_region {
                Some(MultiRegionInAws { replica: false, .. }) => {}
                Some(MultiRegionInAws { primary, .. }) => {
                    return Err(CoreError::State(format!("the key is a replica itself; replicate its primary key in {}", primary.region)));
                }
                None => return Err(CoreError::State("the key is not a multi-region key; that is said when a key is made".into())),
            }
            let container = view.kms_container(primary.kms)?.ok_or(CoreError::NotFound("KMS container"))?;
            in_region("replica_region", &container, &new.region)?;
            let kind = replica_kind(&primary.kind, new.valid_to_ns);
            let for_aws = settled(&view, new.for_aws, new.template.as_deref())?;
            let spec = NewKeySpec { spec: told.spec, usage: told.usage, multi_region: true, replica_of: Some(id) };
            let place = Place { kms: primary.kms, region: &new.region };
            AwsKeyEntry { spec, ..AwsKeyEntry::new(Uuid::new_v4(), place, kind, for_aws) }
        };
        let replica = entry.id;
        self.create_in_aws(trail, entry).await?;
        // What is left to do is done when AWS is ready for it.
        self.keys_at_work.nudge();
        self.any_key(replica).await
    }

    /// Makes the key of a set that is in `region` its primary key, and the one that was a replica.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that is no multi-region key; `Invalid` for a region that has none of the set; `Aws`.
    pub async fn update_primary_region(&self, permit: &Permit<Manage>, id: Uuid, region: &str) -> Result<AnyKey, CoreError> {
        let trail = permit.trail();
        let turn = self.keys_at_work.turn(id).await;
        let (kms, set) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            let Some(set) = told.multi_region else { return Err(CoreError::State("the key is not a multi-region key".into())) };
            if set.primary.region != region && set.replicas.iter().all(|replica| replica.region != region) {
                return Err(CoreError::invalid("PrimaryRegion", format!("the key has no replica in {region}")));
            }
            (self.kms_of(&view, &AwsKeyEntry { region: set.primary.region.clone(), ..entry })?, set)
        };
        if set.primary.region != region {
            self.begin(trail, id, &KeyStep::Change).await?;
            // AWS refuses what it is doing already.
            let ask = || async {
                let asked = kms.update_primary_region().key_id(&set.primary.arn).primary_region(region).customize();
                asked.config_override(once()).send().await.map(drop).map_err(AwsError::of("KMS UpdatePrimaryRegion"))
            };
            let done = unless_throttled(ask).await;
            self.changed(trail, (id, turn), done).await?;
            let arns: Vec<_> = iter::once(set.primary).chain(set.replicas).map(|member| member.arn).collect();
            for other in self.members(&arns).await?.into_iter().filter(|other| *other != id) {
                self.look_at_other(other, self.refresh_aws_key(trail, other)).await;
            }
            // AWS takes a while, and is asked again until it has moved it.
            self.keys_at_work.nudge();
        } else {
            turn.done();
        }
        self.any_key(id).await
    }

    /// Looks at a key, and changes its entry by what AWS tells. Where AWS tells another set than was known, the others of it are looked at
    /// first, so that none is left behind.
    ///
    /// # Errors
    /// As [`Core::refresh_aws_key`].
    pub(super) async fn look_with_set(
        &self,
        trail: &Trail,
        id: Uuid,
        change: &(dyn Fn(&mut AwsKeyEntry, Option<&KeyInAws>) + Send + Sync),
    ) -> Result<AwsKeyEntry, CoreError> {
        let (kms, known) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            (self.kms_of(&view, &entry)?, told)
        };
        let told = look_at_known(&kms, &known).await?;
        if let Some(told) = told.as_ref().filter(|told| of_set(told) != of_set(&known)) {
            let sets = [&known, told].into_iter().filter_map(|told| told.multi_region.as_ref());
            let arns: Vec<_> = sets.flat_map(|set| iter::once(&set.primary).chain(&set.replicas)).map(|key| key.arn.clone()).collect();
            for other in self.members(&arns).await?.into_iter().filter(|other| *other != id) {
                self.look_at_other(other, self.refresh_aws_key(trail, other)).await;
            }
        }
        self.keep_told(trail, id, &|entry| change(entry, told.as_ref())).await
    }

    /// Looks at the primary key of a replica that was made, and at the rest of the set.
    pub(super) async fn look_at_primary(&self, trail: &Trail, primary: Uuid) {
        self.look_at_other(primary, self.look_with_set(trail, primary, &put_told)).await;
    }

    /// Looks at another key of a set, in its turn. Whoever calls this may have the turn of one of the set, so that this waits for none: a
    /// key that someone works on is looked at once that is over.
    async fn look_at_other(&self, other: Uuid, look: impl Future<Output = Result<AwsKeyEntry, CoreError>>) {
        let Some(turn) = self.keys_at_work.try_turn(other) else {
            self.keys_at_work.ask_to_look(other);
            return;
        };
        let looked = look.await;
        turn.done();
        if let Err(error) = looked {
            // A region that is away keeps no key of another from being changed.
            tracing::warn!(error = &error as &dyn std::error::Error, key = %other, "another key of a set can't be looked at in AWS now");
            if may_come(&error) {
                self.keys_at_work.ask_to_look(other);
            }
        }
    }

    /// The keys here with these ARNs.
    async fn members(&self, arns: &[String]) -> Result<Vec<Uuid>, CoreError> {
        let by_arn: BTreeMap<_, _> =
            self.view().await?.aws_keys()?.into_iter().filter_map(|key| Some((key.in_aws()?.arn.clone(), key.id))).collect();
        Ok(arns.iter().filter_map(|arn| by_arn.get(arn).copied()).collect::<BTreeSet<_>>().into_iter().collect())
    }
}

/// What the keys of a set have in common, and where they are (KMS Developer Guide, shared properties of multi-Region keys).
fn of_set(told: &KeyInAws) -> Option<(&MultiRegionInAws, Option<&str>, &RotationInAws)> {
    told.multi_region.as_ref().map(|set| (set, told.key_material_id.as_deref(), &told.rotation))
}

/// A replica has its primary key's material: from the same source key, where that is known.
fn replica_kind(primary: &AwsKeyKind, valid_to_ns: Option<u64>) -> AwsKeyKind {
    match primary {
        AwsKeyKind::Imported { source } => {
            AwsKeyKind::Imported { source: source.as_ref().map(|source| UploadedFrom { valid_to_ns, ..source.arrived() }) }
        }
        other @ (AwsKeyKind::Native | AwsKeyKind::CloudHsm { .. } | AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. }) => other.clone(),
    }
}
