//! Keys that a scheduled job rotates.

use uuid::Uuid;

use super::{
    AnyKey, NOT_FOUND, in_aws,
    successor::{NewKeyRotation, NewMaterial, made_by},
    upload::{UploadSource, source_of},
};
use crate::{
    access::{Manage, Permit, Use},
    clock::now_ns,
    core::{Core, CoreError, hyok_keys::SourceOf, rotation::Rotation, state::tier_fits, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, Entry, EntryChange, JobParams, KeyRotationJobEntry, KeyRotationParams, Tier},
    },
};
use holdfast_proto::ids::KeyId;

/// How a key is rotated now.
#[derive(Clone, Debug, Default)]
pub struct RotateNow {
    /// The new source key (of tier `luna-hsm`, any name of a key on the partition); none: one is made.
    pub source: Option<String>,
    /// The tier that it is said to be on, as it was spelt.
    pub tier_as_sent: Option<String>,
    /// The rest matters for keys that are replaced by new ones.
    pub how: NewKeyRotation,
}

impl Core {
    /// Has a job rotate a key from now on; another one than before, if there was one.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound` for the key or the job; `State` for a key that AWS has not; `Invalid` for a job that rotates no keys, for a
    /// key source that the key can't have, and where it is said in both ways that old keys are disabled.
    pub async fn enable_key_rotation_job(&self, permit: &Permit<Manage>, id: Uuid, job: KeyRotationJobEntry) -> Result<AnyKey, CoreError> {
        if job.disable_encrypt && job.disable_encrypt_on_all_accounts {
            let field = "auto_rotate_disable_encrypt_on_all_accounts";
            return Err(CoreError::invalid(field, "can't be given together with auto_rotate_disable_encrypt"));
        }
        let plan = |view: &View| {
            let (mut entry, _) = in_aws(view, id)?;
            let config = view.job_config(job.job)?.ok_or_else(|| CoreError::invalid("job_config_id", "there is no such job"))?;
            let JobParams::KeyRotation(_) = config.params else {
                return Err(CoreError::invalid("job_config_id", "must be of a job whose operation is cckm_key_rotation"));
            };
            rotatable(view, &entry, job.key_source.as_deref())?;
            if entry.rotation_job.as_ref() == Some(&job) {
                return Ok(Plan { changes: Vec::new(), answer: () });
            }
            entry.rotation_job = Some(job.clone());
            Ok(put(entry))
        };
        self.writer.change(permit.trail(), plan).await?;
        self.any_key(id).await
    }

    /// Has no job rotate a key any more.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for a key that AWS has not.
    pub async fn disable_key_rotation_job(&self, permit: &Permit<Manage>, id: Uuid) -> Result<AnyKey, CoreError> {
        let plan = |view: &View| {
            let (mut entry, _) = in_aws(view, id)?;
            if entry.rotation_job.take().is_none() {
                return Ok(Plan { changes: Vec::new(), answer: () });
            }
            Ok(put(entry))
        };
        self.writer.change(permit.trail(), plan).await?;
        self.any_key(id).await
    }

    /// Rotates a key: a HYOK key gets a new version, another is replaced by a new key, which is what is answered.
    ///
    /// # Errors
    /// As [`Core::rotate_key`] and those of making keys in AWS; `Invalid` for a tier that new material can't come from, and for an expiry of
    /// material that AWS makes.
    pub async fn rotate_any_key(&self, permit: &Permit<Use>, id: Uuid, now: RotateNow) -> Result<AnyKey, CoreError> {
        let AnyKey { hyok, aws, .. } = self.any_key(id).await?;
        if hyok.is_some() {
            let source = now.source.map_or(SourceOf::New, SourceOf::Named);
            self.rotate_key(permit, KeyId(id), Rotation { source, tier_as_sent: now.tier_as_sent }).await?;
            return self.any_key(id).await;
        }
        let material = aws.map_or(Ok(None), |aws| material_for(&aws.kind, &now))?;
        let valid_to_ns = now.how.valid_to_ns;
        let source = now.source.map(|source_key| UploadSource { source_key, tier_as_sent: now.tier_as_sent, valid_to_ns });
        let successor = self.rotate_to_new_key(permit, id, NewKeyRotation { source, material, ..now.how }).await?;
        self.any_key(successor).await
    }

    /// Rotates a key as its job says, if it is due by that; whether it was.
    ///
    /// # Errors
    /// As [`Core::rotate_any_key`] and [`Core::rotate_key_material`]; `NotFound` for a job that is gone.
    pub async fn rotate_key_by_job(&self, permit: &Permit<Use>, id: Uuid) -> Result<bool, CoreError> {
        let (entry, job, params) = {
            let view = self.view().await?;
            let entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
            let Some(job) = entry.rotation_job.clone() else { return Ok(false) };
            let config = view.job_config(job.job)?.ok_or(CoreError::NotFound("job configuration"))?;
            let JobParams::KeyRotation(params) = config.params else { return Ok(false) };
            (entry, job, params)
        };
        if !is_due(&entry, &params, now_ns()) {
            return Ok(false);
        }
        let valid_to_ns = params.expiration.as_deref().and_then(period_ns).map(|period| now_ns().saturating_add(period));
        let material = job.key_source.as_deref().and_then(new_material);
        let now = RotateNow {
            how: NewKeyRotation {
                // A job may be of keys of both kinds.
                valid_to_ns: valid_to_ns.filter(|_| made_by(&entry.kind, material) == NewMaterial::Here),
                // AWS disables a key for every account.
                disable: job.disable_encrypt || job.disable_encrypt_on_all_accounts,
                material,
                retain_alias: params.retain_alias,
                ..NewKeyRotation::default()
            },
            ..RotateNow::default()
        };
        match (&entry.kind, params.rotate_material) {
            (AwsKeyKind::Hyok { .. }, _) | (_, None | Some(false)) => self.rotate_any_key(permit, id, now).await.map(drop)?,
            (_, Some(true)) => self.rotate_material(permit, id, valid_to_ns).await?,
        }
        Ok(true)
    }
}

/// Refuses what no job rotates, and a key source that the key can't have.
fn rotatable(view: &View, entry: &AwsKeyEntry, key_source: Option<&str>) -> Result<(), CoreError> {
    let (fits, sources) = match &entry.kind {
        AwsKeyKind::Hyok { store } => {
            let tier = view.key_store(holdfast_proto::ids::StoreId(*store))?.ok_or(CoreError::NotFound("key store"))?.tier;
            let sources = match &tier {
                Tier::Local => "must be local: the tier of the key's key store",
                Tier::Partition(_) => "must be luna-hsm: the tier of the key's key store",
            };
            (tier_fits(&tier, key_source), sources)
        }
        AwsKeyKind::Native | AwsKeyKind::Imported { .. } => {
            let fits = key_source.is_none_or(|source| new_material(source).is_some());
            (fits, "must be local (or ciphertrust), which is made here and uploaded, or native, which AWS makes")
        }
        AwsKeyKind::CloudHsm { .. } | AwsKeyKind::External { .. } => {
            return Err(CoreError::State("keys whose material lies with someone else are not rotated from here".into()));
        }
    };
    if fits { Ok(()) } else { Err(CoreError::invalid("auto_rotate_key_source", sources)) }
}

/// `auto_rotate_key_source` of native and uploaded keys, as clients spell it.
fn new_material(key_source: &str) -> Option<NewMaterial> {
    match key_source {
        "ciphertrust" | "local" => Some(NewMaterial::Here),
        "native" => Some(NewMaterial::ByAws),
        _ => None,
    }
}

/// Where a new key's material is to come from that nobody named; none: where the old one's was.
fn material_for(kind: &AwsKeyKind, now: &RotateNow) -> Result<Option<NewMaterial>, CoreError> {
    if now.source.is_some() {
        return Ok(None);
    }
    let material = match now.tier_as_sent.as_deref() {
        None => now.how.material,
        Some(tier) => {
            let detail = "must be local, where a source key is made, or native; material of a partition does not leave it";
            Some(new_material(tier).ok_or_else(|| CoreError::invalid("source_key_tier", detail))?)
        }
    };
    if now.how.valid_to_ns.is_some() && made_by(kind, material) == NewMaterial::ByAws {
        return Err(CoreError::invalid("valid_to", "is of material that is uploaded; what AWS makes does not expire"));
    }
    Ok(material)
}

/// Whether a key is to be rotated by what the job says of expiry and age.
fn is_due(entry: &AwsKeyEntry, params: &KeyRotationParams, now_ns: u64) -> bool {
    let expires = entry.in_aws().and_then(|told| told.valid_to_ns).or_else(|| source_of(entry)?.valid_to_ns);
    let within = params.expire_in.as_deref().and_then(period_ns);
    let expiring = within.is_none_or(|within| expires.is_some_and(|at| at <= now_ns.saturating_add(within)));
    let age = params.rotation_after.as_deref().and_then(period_ns);
    let since = entry.rotated_ns.or_else(|| Some(entry.in_aws()?.created_ns)).unwrap_or(entry.stamps.created_ns);
    expiring && age.is_none_or(|age| since.saturating_add(age) <= now_ns)
}

/// Days (`44d`) or hours (`22h`), in nanoseconds.
fn period_ns(text: &str) -> Option<u64> {
    let (number, hours) = text.strip_suffix('d').map(|days| (days, 24)).or_else(|| Some((text.strip_suffix('h')?, 1)))?;
    Some(number.parse::<u64>().ok()?.saturating_mul(hours).saturating_mul(3_600_000_000_000))
}

fn put(mut entry: AwsKeyEntry) -> Plan<()> {
    entry.stamps = entry.stamps.touched(now_ns());
    Plan { changes: vec![EntryChange::put(Entry::AwsKey(Box::new(entry)))], answer: () }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::aws_keys::Place,
        store::entry::{ForAws, KeyInAws},
    };

    const DAY: u64 = 86_400_000_000_000;

    #[test]
    fn new_material_comes_from_where_it_is_said_and_expires_only_if_it_is_uploaded() {
        use NewMaterial::{ByAws, Here};
        let asked = |kind: &AwsKeyKind, (source, tier): (Option<&str>, Option<&str>), valid_to_ns| {
            let how = NewKeyRotation { valid_to_ns, ..NewKeyRotation::default() };
            let now = RotateNow { source: source.map(str::to_owned), tier_as_sent: tier.map(str::to_owned), how };
            material_for(kind, &now).map_err(|refused| refused.to_string())
        };
        let uploaded = AwsKeyKind::Imported { source: None };
        for (kind, tier, expected) in [
            (&uploaded, None, None),
            (&uploaded, Some("native"), Some(ByAws)),
            (&AwsKeyKind::Native, None, None),
            (&AwsKeyKind::Native, Some("local"), Some(Here)),
        ] {
            assert_eq!(asked(kind, (None, tier), None), Ok(expected), "{kind:?} {tier:?}");
            let expires = tier == Some("local") || (kind == &uploaded && tier.is_none());
            assert_eq!(asked(kind, (None, tier), Some(DAY)).is_ok(), expires, "{kind:?} {tier:?}");
        }
        for tier in ["luna-hsm", "moon"] {
            assert!(asked(&uploaded, (None, Some(tier)), None).unwrap_err().starts_with("source_key_tier: "), "{tier}");
        }
        assert!(asked(&AwsKeyKind::Native, (None, None), Some(DAY)).unwrap_err().starts_with("valid_to: "));
        // Of a source key that is named the upload looks at the tier.
        assert_eq!(asked(&AwsKeyKind::Native, (Some("k"), Some("moon")), Some(DAY)), Ok(None));
    }

    #[test]
    fn a_key_is_due_by_its_age_and_its_expiry_where_the_job_names_them() {
        let key = |valid_to_ns, rotated_ns| {
            let place = Place { kms: Uuid::nil(), region: "r" };
            let told = KeyInAws { created_ns: DAY, valid_to_ns, ..KeyInAws::default() };
            let entry = AwsKeyEntry::new(Uuid::nil(), place, AwsKeyKind::Native, ForAws::default());
            AwsKeyEntry { told: Some(told), rotated_ns, ..entry }
        };
        let job = |expire_in: Option<&str>, rotation_after: Option<&str>| KeyRotationParams {
            expire_in: expire_in.map(str::to_owned),
            rotation_after: rotation_after.map(str::to_owned),
            ..KeyRotationParams::default()
        };
        let table = [
            (key(None, None), job(None, None), true),
            (key(None, None), job(Some("44d"), None), false),
            (key(Some(20 * DAY), None), job(Some("10d"), None), true),
            (key(Some(21 * DAY), None), job(Some("240h"), None), false),
            (key(None, None), job(None, Some("9d")), true),
            (key(None, None), job(None, Some("10d")), false),
            (key(None, Some(9 * DAY)), job(None, Some("24h")), true),
            (key(None, Some(9 * DAY)), job(None, Some("2d")), false),
        ];
        for (key, job, due) in table {
            assert_eq!(is_due(&key, &job, 10 * DAY), due, "{job:?} {:?}", key.told);
        }
    }
}
