//! Rotation: automatic and on demand, and the list of what was rotated.
//!
//! Always holds: material that was once current goes on decrypting; all keys of a multi-Region set rotate together, by their primary key.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    create,
    demand::Demand,
    find,
    metadata::key_id,
    page::{self, Paging},
    settle::{DAY_MS, judge_material},
    spec::Kind,
};
use crate::{
    call::{Call, required},
    clock::seconds,
    error::{AwsException, ErrorName},
    state::{Key, KeyMaterial, KeyState, MaterialState, Origin, Role, Rotated, Rotation, RotationType, State},
};

/// `EnableKeyRotation`, also with a new period for a key that rotates.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn enable(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        rotation_period_in_days: Option<i64>,
    }
    let input: Input = call.input(body)?;
    let period_days = input.rotation_period_in_days.unwrap_or(USUAL_DAYS);
    if !(LEAST_DAYS..=MOST_DAYS).contains(&period_days) {
        return Err(AwsException::out_of_range("rotationPeriodInDays", period_days, (LEAST_DAYS, MOST_DAYS)));
    }
    let next_ms = call.now_ms().saturating_add(period_days.saturating_mul(DAY_MS));
    set(call, body, Some(Rotation { period_days, next_ms }))
}

/// `DisableKeyRotation`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn disable(call: &Call, body: &Value) -> Result<Value, AwsException> {
    set(call, body, None)
}

/// `GetKeyRotationStatus`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn status(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = key_id(call, body)?;
    call.look(|region| {
        let key = find::key(region, call, &id)?;
        // Of a key that can't rotate by its spec AWS only says that it does not.
        if !rotates_by_origin(key) {
            return Err(unsupported(key));
        }
        let mut members = Map::new();
        members.insert("KeyId".into(), key.id.clone().into());
        let rotation = key.rotation.filter(|_| key.deletion.is_none());
        members.insert("KeyRotationEnabled".into(), rotation.is_some().into());
        if let Some(rotation) = rotation {
            members.insert("RotationPeriodInDays".into(), rotation.period_days.into());
            members.insert("NextRotationDate".into(), seconds(rotation.next_ms).into());
        }
        Ok(Value::Object(members))
    })
}

/// `RotateKeyOnDemand`, which is done when it answers.
///
/// # Errors
/// Those of the API reference; `KMSInvalidStateException` for a key with imported material of which none is pending rotation.
pub(crate) fn on_demand(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let name = key_id(call, body)?;
    let now_ms = call.now_ms();
    call.shared.change(|state| {
        let key = find::key(state.region(&call.region), call, &name)?;
        rotatable(key)?;
        primary(key)?;
        Demand::Rotate.check(key)?;
        if key.rotation.is_some_and(|rotation| rotation.next_ms.saturating_sub(now_ms) <= NEAR_MS) {
            let message = format!("{} is rotated automatically within the next 20 minutes.", key.arn);
            return Err(AwsException::new(ErrorName::Conflict, message));
        }
        let by_hand = |kept: &&KeyMaterial| kept.rotated.is_some_and(|rotated| rotated.by == RotationType::OnDemand);
        if key.materials.iter().filter(by_hand).count() >= MOST_ON_DEMAND {
            let message = format!(
                "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this \
                 key: {}",
                key.arn
            );
            return Err(AwsException::new(ErrorName::LimitExceeded, message));
        }
        let (id, arn, imported) = (key.id.clone(), key.arn.clone(), key.origin == Origin::External);
        let rotated = Rotated { at_ms: now_ms, by: RotationType::OnDemand };
        if imported {
            let pending = key.materials.iter().find(|kept| kept.state == MaterialState::PendingRotation && kept.material.is_some());
            let pending = pending.map(|kept| kept.id.clone()).ok_or_else(|| {
                let message = format!("No available key material pending rotation for the key: {arn}.");
                AwsException::new(ErrorName::KmsInvalidState, message)
            })?;
            for key in same_keys(state, &id) {
                retire_current(key);
                for kept in key.materials.iter_mut().filter(|kept| kept.id == pending) {
                    kept.state = MaterialState::Current;
                    kept.rotated = Some(rotated);
                }
                judge_material(key);
            }
        } else {
            let fresh = KeyMaterial { rotated: Some(rotated), ..create::first(&id, key.spec)? };
            same_keys(state, &id).for_each(|key| renew(key, fresh.clone()));
        }
        Ok(json!({"KeyId": arn}))
    })
}

/// `ListKeyRotations`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn list(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    enum Include {
        #[default]
        RotationsOnly,
        AllKeyMaterial,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        include_key_material: Option<Include>,
        #[serde(flatten)]
        paging: Paging,
    }
    let input: Input = call.input(body)?;
    let id = required(input.key_id, "keyId")?;
    let all = input.include_key_material.unwrap_or_default() == Include::AllKeyMaterial;
    call.look(|region| {
        let key = find::key(region, call, &id)?;
        rotatable(key)?;
        let kept = key.materials.iter().enumerate().filter(|(_, kept)| all || kept.rotated.is_some());
        let items = kept.map(|(index, kept)| (format!("{index:08}"), entry(key, kept)));
        page::answer("Rotations", items.collect(), &input.paging, page::Limits { most: 1000, usual: 100 })
    })
}

/// Whether a key rotates by itself now: not while it is disabled or pending deletion, and only as the primary key.
pub(super) fn rotates_now(key: &Key) -> bool {
    key.state == KeyState::Enabled && key.role != Some(Role::Replica)
}

/// What a key that was disabled has missed is one rotation, at once; its next period begins then.
pub(super) fn resume(key: &mut Key, now_ms: i64) {
    if let Some(rotation) = &mut key.rotation {
        rotation.next_ms = rotation.next_ms.max(now_ms);
    }
}

/// Rotates every key that is due.
///
/// # Errors
/// `KMSInternalException`: no material could be made.
pub(super) fn rotate_due(state: &mut State, now_ms: i64) -> Result<(), AwsException> {
    let keys = state.regions.values().flat_map(|region| region.keys.values()).filter(|key| rotates_now(key));
    let due = keys.filter_map(|key| key.rotation.filter(|rotation| rotation.next_ms <= now_ms).map(|rotation| (key, rotation)));
    let due: Vec<_> = due.map(|(key, rotation)| (key.id.clone(), key.spec, rotation)).collect();
    for (id, spec, mut rotation) in due {
        let period_ms = rotation.period_days.saturating_mul(DAY_MS);
        let kept_ms = period_ms.saturating_mul(MOST_CAUGHT_UP);
        rotation.next_ms = rotation.next_ms.max(now_ms.saturating_sub(kept_ms));
        while rotation.next_ms <= now_ms {
            let rotated = Rotated { at_ms: rotation.next_ms, by: RotationType::Automatic };
            let fresh = KeyMaterial { rotated: Some(rotated), ..create::first(&id, spec)? };
            same_keys(state, &id).for_each(|key| renew(key, fresh.clone()));
            rotation.next_ms = rotation.next_ms.saturating_add(period_ms);
        }
        same_keys(state, &id).for_each(|key| key.rotation = Some(rotation));
    }
    Ok(())
}

/// A key and all its replicas.
pub(super) fn same_keys<'s>(state: &'s mut State, id: &str) -> impl Iterator<Item = &'s mut Key> {
    state.regions.values_mut().filter_map(move |region| region.keys.get_mut(id))
}

fn set(call: &Call, body: &Value, rotation: Option<Rotation>) -> Result<Value, AwsException> {
    let name = key_id(call, body)?;
    call.shared.change(|state| {
        let key = find::key(state.region(&call.region), call, &name)?;
        rotatable(key)?;
        if key.origin == Origin::External {
            return Err(unsupported(key));
        }
        primary(key)?;
        Demand::SetRotation.check(key)?;
        let id = key.id.clone();
        same_keys(state, &id).for_each(|key| key.rotation = rotation);
        Ok(json!({}))
    })
}

fn renew(key: &mut Key, fresh: KeyMaterial) {
    retire_current(key);
    key.materials.push(fresh);
}

fn retire_current(key: &mut Key) {
    for kept in key.materials.iter_mut().filter(|kept| kept.state == MaterialState::Current) {
        kept.state = MaterialState::NonCurrent;
    }
}

/// Only symmetric keys outside of custom key stores can rotate in any way.
fn rotatable(key: &Key) -> Result<(), AwsException> {
    if key.spec.kind() == Kind::Symmetric && rotates_by_origin(key) { Ok(()) } else { Err(unsupported(key)) }
}

const fn rotates_by_origin(key: &Key) -> bool {
    matches!(key.origin, Origin::AwsKms | Origin::External)
}

fn primary(key: &Key) -> Result<(), AwsException> {
    if key.role != Some(Role::Replica) {
        return Ok(());
    }
    Err(AwsException::new(ErrorName::UnsupportedOperation, format!("{} is a replica key; its primary key rotates it.", key.arn)))
}

fn unsupported(key: &Key) -> AwsException {
    let message = format!("{} does not support this kind of rotation, by its key spec or origin.", key.arn);
    AwsException::new(ErrorName::UnsupportedOperation, message)
}

fn entry(key: &Key, kept: &KeyMaterial) -> Value {
    let mut members = Map::new();
    members.insert("KeyId".into(), key.id.clone().into());
    members.insert("KeyMaterialId".into(), kept.id.clone().into());
    members.insert("KeyMaterialState".into(), json!(kept.state));
    if let Some(rotated) = kept.rotated {
        members.insert("RotationDate".into(), seconds(rotated.at_ms).into());
        members.insert("RotationType".into(), json!(rotated.by));
    }
    if key.origin == Origin::External {
        members.insert("ImportState".into(), if kept.material.is_some() { "IMPORTED" } else { "PENDING_IMPORT" }.into());
        members.insert("KeyMaterialDescription".into(), kept.description.clone().into());
        if kept.material.is_some() {
            members.insert("ExpirationModel".into(), super::import::expiration_model(kept.expires_ms).into());
        }
        if let Some(at_ms) = kept.expires_ms.filter(|_| kept.material.is_some()) {
            members.insert("ValidTo".into(), seconds(at_ms).into());
        }
    }
    members.retain(|_, value| !value.is_null());
    Value::Object(members)
}

const LEAST_DAYS: i64 = 90;
/// So near to an automatic rotation no other is begun (`ConflictException`).
const NEAR_MS: i64 = 20 * 60_000;
/// How many missed rotations are made up for after a leap of the clock.
const MOST_CAUGHT_UP: i64 = 40;
const USUAL_DAYS: i64 = 365;
const MOST_DAYS: i64 = 2560;
/// AWS's quota, as its clients' model of KMS has it (`RotateKeyOnDemand`); pages of the developer guide may still say 10.
const MOST_ON_DEMAND: usize = 25;
