//! Rotation of a key's material: by AWS in time, on demand, and with material that is uploaded; and the list of what it has had.

use aws_sdk_kms::Client;
use uuid::Uuid;

use super::{
    AnyKey, in_aws,
    material::{importing, materials, rotate_on_demand, settle_source},
    steps::idle,
};
use crate::{
    access::{Manage, Permit, Read, Right, Trail, Use},
    aws::{AwsError, import::MaterialInAws},
    clock::now_ns,
    core::{Core, CoreError},
    store::entry::{AwsKeyEntry, AwsKeyKind, ImportEntry, KeyInAws, KeyStep, MaterialEntry},
};

/// Material that a key has or had: as AWS lists it, and what is known of it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// As AWS lists it; all of it empty where AWS lists none.
    pub in_aws: MaterialInAws,
    /// Where it was uploaded from here.
    pub known: Option<MaterialEntry>,
}

impl Core {
    /// Has AWS rotate a key's material from now on, every so many days (AWS's default: 365).
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that AWS has not; `Invalid` for the period; `Aws`.
    pub async fn enable_auto_rotation(&self, permit: &Permit<Manage>, id: Uuid, period_days: Option<u32>) -> Result<AnyKey, CoreError> {
        if period_days.is_some_and(|days| !PERIOD.contains(&days)) {
            let detail = format!("must be {} to {}", PERIOD.start(), PERIOD.end());
            return Err(CoreError::invalid("rotation_period_in_days", detail));
        }
        let period = period_days.and_then(|days| i32::try_from(days).ok());
        let act = async |kms: Client, told: KeyInAws| {
            let asked = kms.enable_key_rotation().key_id(told.key_id).set_rotation_period_in_days(period);
            asked.send().await.map(drop).map_err(AwsError::of("KMS EnableKeyRotation"))
        };
        self.change_in_aws(permit.trail(), id, (|_: &AwsKeyEntry| Ok(()), act)).await?;
        self.any_key(id).await
    }

    /// Has AWS rotate a key's material no longer.
    ///
    /// # Errors
    /// As [`Core::enable_auto_rotation`].
    pub async fn disable_auto_rotation(&self, permit: &Permit<Manage>, id: Uuid) -> Result<AnyKey, CoreError> {
        let act = async |kms: Client, told: KeyInAws| {
            kms.disable_key_rotation().key_id(told.key_id).send().await.map(drop).map_err(AwsError::of("KMS DisableKeyRotation"))
        };
        self.change_in_aws(permit.trail(), id, (|_: &AwsKeyEntry| Ok(()), act)).await?;
        self.any_key(id).await
    }

    /// Rotates a key's material now, the key staying what it is: AWS makes new material, or what was imported last takes over. Where none
    /// waits, new material is made here and uploaded.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key whose material is not rotated so; those of making and uploading a key; `Aws`.
    pub async fn rotate_key_material(&self, permit: &Permit<Use>, id: Uuid) -> Result<AnyKey, CoreError> {
        self.rotate_material(permit, id, None).await?;
        self.any_key(id).await
    }

    /// As [`Core::rotate_key_material`]; new material expires then.
    pub(super) async fn rotate_material<R: Right>(&self, permit: &Permit<R>, id: Uuid, valid_to_ns: Option<u64>) -> Result<(), CoreError> {
        let trail = permit.trail();
        let (entry, told) = in_aws(&self.view().await?, id)?;
        match &entry.kind {
            AwsKeyKind::Native => {}
            AwsKeyKind::Imported { .. } if self.waits(&entry).await? => {}
            AwsKeyKind::Imported { .. } => return self.rotate_to_new_material(trail, (&entry, &told), valid_to_ns).await,
            AwsKeyKind::Hyok { .. } | AwsKeyKind::CloudHsm { .. } | AwsKeyKind::External { .. } => {
                let text = "AWS rotates no material of keys in custom key stores; a HYOK key gets a new version by rotate";
                return Err(CoreError::State(text.into()));
            }
        }
        let act = async |kms: Client, told: KeyInAws| rotate_on_demand(&kms, &told.key_id).await;
        self.change_in_aws(trail, id, (|_: &AwsKeyEntry| Ok(()), act)).await?;
        let now_ns = now_ns();
        let rotated = |entry: &mut AwsKeyEntry| {
            entry.rotated_ns = Some(now_ns);
            settle_source(entry, None);
        };
        self.keep_told(trail, id, &rotated).await.map(drop)
    }

    /// What material a key has and had, the oldest first. AWS lists that of symmetric keys; of others it is known here what was uploaded.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `Aws`.
    pub async fn key_rotations(&self, _permit: &Permit<Read>, id: Uuid) -> Result<(AnyKey, Vec<Material>), CoreError> {
        let key = self.any_key(id).await?;
        let Some(entry) = key.aws.as_ref() else { return Ok((key, Vec::new())) };
        let listed = match entry.in_aws() {
            Some(told) => {
                let kms = self.kms_of(&self.view().await?, entry)?;
                materials(&kms, told).await?
            }
            None => Vec::new(),
        };
        let all = joined(listed, &entry.rotations);
        Ok((key, all))
    }

    /// Whether imported material waits for its rotation.
    async fn waits(&self, entry: &AwsKeyEntry) -> Result<bool, CoreError> {
        let told = importing(entry)?;
        let kms = self.kms_of(&self.view().await?, entry)?;
        Ok(materials(&kms, told).await?.iter().any(|material| material.state.as_deref() == Some(PENDING)))
    }

    async fn rotate_to_new_material(
        &self,
        trail: &Trail,
        (entry, told): (&AwsKeyEntry, &KeyInAws),
        valid_to_ns: Option<u64>,
    ) -> Result<(), CoreError> {
        if told.spec != SYMMETRIC {
            return Err(CoreError::State("AWS takes new material for symmetric keys only; rotate the key to a new one instead".into()));
        }
        if entry.spec.replica_of.is_some() || told.multi_region.as_ref().is_some_and(|set| set.replica) {
            return Err(CoreError::State("new material goes to the primary key of the set first".into()));
        }
        if told.multi_region.as_ref().is_some_and(|set| !set.replicas.is_empty()) {
            let text =
                "AWS rotates a key with replicas once each of them has the new material; import it into all by import-material first";
            return Err(CoreError::State(text.into()));
        }
        // Before a source key is made in vain.
        idle(entry)?;
        let turn = self.keys_at_work.turn(entry.id).await;
        let before = self.materials_before(entry).await?;
        let (source, from) = self.successor_source(entry, valid_to_ns).await?;
        let import = ImportEntry { from, new_material: Some(true), description: None, key_material_id: None, before, rotate: true };
        self.begin_with(trail, entry.id, (&KeyStep::Import(import), Some(&source))).await?;
        let done = self.finish_import(trail, entry.id).await;
        self.ended(trail, (entry.id, turn), done).await
    }
}

/// AWS's list with what is known here of each; what AWS does not list comes last.
fn joined(listed: Vec<MaterialInAws>, known: &[MaterialEntry]) -> Vec<Material> {
    let mut rest: Vec<&MaterialEntry> = known.iter().collect();
    let mut all: Vec<Material> = listed
        .into_iter()
        .map(|in_aws| {
            let at = rest.iter().position(|known| in_aws.key_material_id.is_some() && known.key_material_id == in_aws.key_material_id);
            Material { in_aws, known: at.map(|at| rest.remove(at).clone()) }
        })
        .collect();
    all.extend(rest.into_iter().map(|known| Material { in_aws: MaterialInAws::default(), known: Some(known.clone()) }));
    all
}

const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
/// KeyMaterialState of imported material that waits for its rotation.
const PENDING: &str = "PENDING_ROTATION";
/// EnableKeyRotation API, RotationPeriodInDays.
const PERIOD: std::ops::RangeInclusive<u32> = 90..=2560;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entry::Stamps;

    #[test]
    fn what_aws_lists_is_joined_with_what_is_known_and_nothing_is_lost() {
        let listed = |id: &str| MaterialInAws { key_material_id: Some(id.into()), ..MaterialInAws::default() };
        let known = |id: Option<&str>| MaterialEntry {
            id: Uuid::nil(),
            source: None,
            key_material_id: id.map(str::to_owned),
            description: None,
            rotation_type: None,
            stamps: Stamps::default(),
        };
        let all = joined(vec![listed("a"), listed("b")], &[known(Some("b")), known(None)]);
        let shape: Vec<_> = all.iter().map(|m| (m.in_aws.key_material_id.as_deref(), m.known.is_some())).collect();
        assert_eq!(shape, [(Some("a"), false), (Some("b"), true), (None, true)]);
    }
}
