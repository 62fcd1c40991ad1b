//! `ReplicateKey` and `UpdatePrimaryRegion`.
//!
//! Always holds: the keys of one set have the same id, spec, usage, origin and rotation, and one of them is the primary key; a replica of
//! a key with imported material starts without any.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{create::checked_description, demand::Demand, find, metadata, policy, tags};
use crate::{
    call::{Call, required},
    error::{AwsException, ErrorName},
    state::{Key, KeyMaterial, KeyState, Next, Origin, Role, Tag},
};

/// `ReplicateKey`: the replica is `Creating` for a moment.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn replicate(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        replica_region: Option<String>,
        policy: Option<String>,
        bypass_policy_lockout_safety_check: Option<bool>,
        description: Option<String>,
        tags: Option<Vec<Tag>>,
    }
    let input: Input = call.input(body)?;
    let name = required(input.key_id, "keyId")?;
    let there = checked_region(required(input.replica_region, "replicaRegion")?)?;
    let giver = policy::Giver { account: call.account(), may_lock_out: input.bypass_policy_lockout_safety_check.unwrap_or_default() };
    let policy = input.policy.map_or_else(|| Ok(policy::default(call.account())), |text| policy::taken(&text, giver))?;
    let tags = tags::taken(input.tags.unwrap_or_default())?;
    let description = checked_description(input.description.unwrap_or_default())?;
    let now_ms = call.now_ms();
    call.shared.change(|state| {
        let source = find::key(state.region(&call.region), call, &name)?.clone();
        primary(&source)?;
        Demand::Replicate.check(&source)?;
        if state.region(&there).keys.contains_key(&source.id) {
            let message = format!("A key with the id {} exists already in {there}.", source.id);
            return Err(AwsException::new(ErrorName::AlreadyExists, message));
        }
        let replica = Key {
            arn: format!("arn:aws:kms:{there}:{}:key/{}", call.account(), source.id),
            created_ms: now_ms,
            description,
            state: KeyState::Creating,
            policy,
            tags,
            deletion: None,
            materials: source.materials.iter().map(|kept| shared_material(&source, kept)).collect(),
            role: Some(Role::Replica),
            next: Some(Next {
                at_ms: now_ms.saturating_add(PASSING_MS),
                state: if source.origin == Origin::External { KeyState::PendingImport } else { KeyState::Enabled },
                role: Role::Replica,
            }),
            imports: Vec::new(),
            ..source
        };
        state.region(&there).keys.insert(replica.id.clone(), replica.clone());
        let mut answer = json!({
            "ReplicaKeyMetadata": metadata::metadata(state, &there, &replica),
            "ReplicaPolicy": policy::shown(&replica.policy),
        });
        if !replica.tags.is_empty() {
            answer["ReplicaTags"] = json!(replica.tags);
        }
        Ok(answer)
    })
}

/// `UpdatePrimaryRegion`: both keys are `Updating` for a moment, then their roles have changed; asked for once more meanwhile, it is under way.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn update_primary(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        primary_region: Option<String>,
    }
    let input: Input = call.input(body)?;
    let name = required(input.key_id, "keyId")?;
    let there = checked_region(required(input.primary_region, "primaryRegion")?)?;
    let at_ms = call.now_ms().saturating_add(PASSING_MS);
    call.shared.change(|state| {
        let before = find::key(state.region(&call.region), call, &name)?;
        primary(before)?;
        let (id, state_before) = (before.id.clone(), before.state);
        let asked_before = state.regions.get(&there).and_then(|region| region.keys.get(&id)?.next);
        if asked_before.is_some_and(|next| next.role == Role::Primary) {
            return Ok(json!({}));
        }
        Demand::Replicate.check(find::key(state.region(&call.region), call, &name)?)?;
        let after = state
            .region(&there)
            .keys
            .get_mut(&id)
            .filter(|key| key.role == Some(Role::Replica))
            .ok_or_else(|| AwsException::new(ErrorName::NotFound, format!("There is no replica of the key {id} in {there}.")))?;
        Demand::Replicate.check(after)?;
        after.next = Some(Next { at_ms, state: after.state, role: Role::Primary });
        after.state = KeyState::Updating;
        if let Some(before) = state.region(&call.region).keys.get_mut(&id) {
            before.next = Some(Next { at_ms, state: state_before, role: Role::Replica });
            before.state = KeyState::Updating;
        }
        Ok(json!({}))
    })
}

/// What a replica has of its primary key's material: the same, or for imported material its id only.
fn shared_material(source: &Key, kept: &KeyMaterial) -> KeyMaterial {
    match source.origin {
        Origin::External => KeyMaterial { material: None, expires_ms: None, ..kept.clone() },
        Origin::AwsKms | Origin::AwsCloudHsm | Origin::ExternalKeyStore => kept.clone(),
    }
}

fn primary(key: &Key) -> Result<(), AwsException> {
    if key.role == Some(Role::Primary) {
        return Ok(());
    }
    Err(AwsException::new(ErrorName::UnsupportedOperation, format!("{} is not a multi-region primary key.", key.arn)))
}

/// `([a-z]+-){2,3}\d+` (`RegionType`).
fn checked_region(name: String) -> Result<String, AwsException> {
    let mut parts: Vec<&str> = name.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    let fits = (2..=3).contains(&parts.len())
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && name.len() <= 32;
    if fits { Ok(name) } else { Err(AwsException::invalid(format!("Value '{name}' is no region: ^([a-z]+-){{2,3}}\\d+$"))) }
}

/// How long `Creating` and `Updating` last; AWS takes some seconds.
const PASSING_MS: i64 = 500;
