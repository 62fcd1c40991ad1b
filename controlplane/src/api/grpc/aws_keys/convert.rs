//! Between the admin protocol's keys in AWS and those of `core`. What comes in is checked here or there.

use holdfast_proto::admin as wire;
use uuid::Uuid;

use crate::{
    api::{
        error::Refusal,
        grpc::convert::{NS_PER_MS, document, said},
    },
    core::aws_keys::{AnyKey, GivenForAws, Material, PlacedKey, UploadSource, shown_tags},
    store::entry::{
        AwsKeyEntry, AwsKeyKind, ForAws, KeyInAws, KeyPolicy, MaterialEntry, MultiRegionInAws, PolicyContent, PolicyPeople, RotationInAws,
        Stamps, Tag, UploadedFrom,
    },
};

/// Which keys are listed.
pub(super) struct Wanted {
    pub(super) kms: Option<Uuid>,
    pub(super) region: Option<String>,
    pub(super) key_store: Option<Uuid>,
}

impl Wanted {
    pub(super) fn has(&self, key: &PlacedKey) -> bool {
        let Some(aws) = &key.aws else { return false };
        let store = key.hyok.as_ref().map(|hyok| hyok.key_store.id.0).or_else(|| key.key_store.as_ref().map(|store| store.id));
        self.kms.is_none_or(|kms| kms == aws.kms)
            && self.region.as_ref().is_none_or(|region| *region == aws.region)
            && (self.key_store.is_none() || self.key_store == store)
    }
}

/// A policy as it was said.
pub(super) struct SaidPolicy {
    /// None: nothing was said, or a template.
    pub(super) policy: Option<KeyPolicy>,
    pub(super) template: Option<String>,
    pub(super) bypass_lockout_check: bool,
}

/// At most one of the three ways to say it; a template is looked up by `core`.
pub(super) fn policy(given: wire::KeyPolicy) -> Result<SaidPolicy, Refusal> {
    let people = given.people.map(people).filter(|people| !people.is_empty());
    let document = document("policy.document", &given.document)?.filter(|document| !document.is_empty());
    let (policy, template) = match (document, people, said(given.template)) {
        (None, None, template) => (None, template),
        (Some(document), None, None) => (Some(KeyPolicy::Own(PolicyContent::Given(document))), None),
        (None, Some(people), None) => (Some(KeyPolicy::Own(PolicyContent::People(people))), None),
        (Some(_), Some(_), Some(_) | None) | (Some(_), None, Some(_)) | (None, Some(_), Some(_)) => {
            return Err(Refusal::invalid("policy", "give one of document, template and people"));
        }
    };
    Ok(SaidPolicy { policy, template, bypass_lockout_check: given.bypass_lockout_safety_check })
}

/// What AWS is to be told of a new key, and the template that its policy is to come from.
pub(in crate::api::grpc) fn for_aws(new: wire::NewAwsKey) -> Result<(ForAws, Option<String>), Refusal> {
    let said = policy(new.policy.unwrap_or_default())?;
    let for_aws = ForAws {
        description: new.description,
        alias: alias(&new.alias),
        tags: tags(new.tags),
        policy: said.policy.unwrap_or_default(),
        bypass_lockout_check: said.bypass_lockout_check,
    };
    Ok((for_aws, said.template))
}

/// The same of a key that is there, where what is not said is as it was.
pub(in crate::api::grpc) fn given_for_aws(new: wire::NewAwsKey) -> Result<GivenForAws, Refusal> {
    let (given_policy, mentioned) = (new.policy.is_some(), policy(new.policy.unwrap_or_default())?);
    Ok(GivenForAws {
        description: said(new.description),
        alias: Some(alias(&new.alias)).filter(|alias| !alias.is_empty()),
        tags: Some(tags(new.tags)).filter(|tags| !tags.is_empty()),
        policy: mentioned.policy,
        template: mentioned.template,
        bypass_lockout_check: given_policy.then_some(mentioned.bypass_lockout_check),
    })
}

/// Without its `alias/`.
pub(super) fn alias(text: &str) -> String {
    text.strip_prefix(ALIAS).unwrap_or(text).to_owned()
}

pub(super) fn tags(tags: Vec<wire::AwsTag>) -> Vec<Tag> {
    tags.into_iter().map(|wire::AwsTag { key, value }| Tag { key, value }).collect()
}

pub(super) fn source(source_key: String, valid_to_ms: u64) -> UploadSource {
    UploadSource { source_key, tier_as_sent: None, valid_to_ns: moment(valid_to_ms) }
}

/// Nanoseconds since 1970; 0 milliseconds are none.
pub(super) fn moment(ms: u64) -> Option<u64> {
    Some(ms).filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(NS_PER_MS))
}

pub(in crate::api::grpc) fn key(any: AnyKey) -> wire::AwsKey {
    let linked_state = any.linked();
    let AnyKey { hyok, aws, key_store, .. } = any;
    let Some(aws) = aws else {
        let id = hyok.as_ref().map(|hyok| hyok.key.id.to_string()).unwrap_or_default();
        return wire::AwsKey { id, kind: HYOK.into(), ..wire::AwsKey::default() };
    };
    let (store_id, store_name) = match (&hyok, &key_store) {
        (Some(hyok), _) => (hyok.key_store.id.to_string(), hyok.key_store.name.clone()),
        (None, Some(store)) => (store.id.to_string(), store.name.clone()),
        (None, None) => Default::default(),
    };
    let stamps = match &hyok {
        Some(hyok) => Stamps { updated_ns: hyok.key.stamps.updated_ns.max(aws.stamps.updated_ns), ..hyok.key.stamps },
        None => aws.stamps,
    };
    wire::AwsKey {
        linked_state,
        key_store_id: store_id,
        key_store_name: store_name,
        external_key_id: hyok.map(|hyok| hyok.key.external_id.to_string()).unwrap_or_default(),
        created_ms: stamps.created_ns / NS_PER_MS,
        updated_ms: stamps.updated_ns / NS_PER_MS,
        ..entry(aws)
    }
}

/// What is in the entry alone.
fn entry(aws: AwsKeyEntry) -> wire::AwsKey {
    let (kind, source) = match aws.kind {
        AwsKeyKind::Hyok { .. } => (HYOK, None),
        AwsKeyKind::External { .. } => ("external", None),
        AwsKeyKind::Native => ("native", None),
        AwsKeyKind::Imported { source } => ("imported", source),
        AwsKeyKind::CloudHsm { .. } => ("cloud-hsm", None),
    };
    let (source_key_id, source_key_name) = source_key(source);
    wire::AwsKey {
        id: aws.id.to_string(),
        kind: kind.into(),
        gone: aws.gone,
        failure: aws.failure.unwrap_or_default(),
        kms_id: aws.kms.to_string(),
        region: aws.region,
        source_key_id,
        source_key_name,
        rotation_job_id: aws.rotation_job.map(|job| job.job.to_string()).unwrap_or_default(),
        rotated_to: aws.rotated_to.map(|key| key.to_string()).unwrap_or_default(),
        rotated_ms: ms(aws.rotated_ns),
        synced_ms: aws.synced_ns / NS_PER_MS,
        ..aws.told.map(told).unwrap_or_default()
    }
}

/// As AWS told it.
fn told(told: KeyInAws) -> wire::AwsKey {
    let shown = shown_tags(&told).map(|tag| wire::AwsTag { key: tag.key.clone(), value: tag.value.clone() }).collect();
    let RotationInAws { enabled, period_days, next_ns } = told.rotation;
    wire::AwsKey {
        tags: shown,
        key_id: told.key_id,
        arn: told.arn,
        spec: told.spec,
        usage: told.usage,
        state: told.state,
        origin: told.origin,
        enabled: told.enabled,
        description: told.description,
        aliases: told.aliases.iter().map(|name| alias(name)).collect(),
        policy: if told.policy.is_empty() { String::new() } else { serde_json::Value::Object(told.policy).to_string() },
        deletion_ms: ms(told.deletion_ns),
        valid_to_ms: ms(told.valid_to_ns),
        auto_rotation_days: if enabled { period_days.unwrap_or(AWS_PERIOD) } else { 0 },
        next_rotation_ms: ms(next_ns),
        regions: told.multi_region.map(|MultiRegionInAws { replica, primary, replicas }| wire::AwsKeyRegions {
            is_replica: replica,
            primary: primary.region,
            replicas: replicas.into_iter().map(|replica| replica.region).collect(),
        }),
        ..wire::AwsKey::default()
    }
}

pub(super) fn material(Material { in_aws, known }: Material) -> wire::AwsKeyMaterial {
    let (source_key_id, source_key_name) = source_key(known.as_ref().and_then(|known| known.source.clone()));
    let known = |of: fn(&MaterialEntry) -> Option<String>| known.as_ref().and_then(of);
    wire::AwsKeyMaterial {
        key_material_id: in_aws.key_material_id.or_else(|| known(|known| known.key_material_id.clone())).unwrap_or_default(),
        description: in_aws.description.or_else(|| known(|known| known.description.clone())).unwrap_or_default(),
        state: in_aws.state.unwrap_or_default(),
        import_state: in_aws.import_state.unwrap_or_default(),
        rotation_type: in_aws.rotation_type.or_else(|| known(|known| known.rotation_type.clone())).unwrap_or_default(),
        rotated_ms: ms(in_aws.rotated_ns),
        valid_to_ms: ms(in_aws.valid_to_ns),
        source_key_id,
        source_key_name,
    }
}

fn source_key(source: Option<UploadedFrom>) -> (String, String) {
    source.map(|source| (source.source_key.to_string(), source.name)).unwrap_or_default()
}

fn people(given: wire::PolicyPeople) -> PolicyPeople {
    let wire::PolicyPeople { external_accounts, key_admins, key_admins_roles, key_users, key_users_roles } = given;
    PolicyPeople { external_accounts, key_admins, key_admins_roles, key_users, key_users_roles }
}

fn ms(ns: Option<u64>) -> u64 {
    ns.map_or(0, |ns| ns / NS_PER_MS)
}

/// What stands before an alias in AWS.
const ALIAS: &str = "alias/";
const HYOK: &str = "hyok";
/// Days (EnableKeyRotation API).
const AWS_PERIOD: u32 = 365;
