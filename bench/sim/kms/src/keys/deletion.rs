//! `ScheduleKeyDeletion` and `CancelKeyDeletion`.
//!
//! Always holds: a key goes only when its waiting period is over by the simulator's clock; a primary key's period begins when the last of
//! its replicas is gone.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    demand::Demand,
    find,
    metadata::key_id,
    settle::{DAY_MS, judge_material},
};
use crate::{
    call::{Call, required},
    clock::seconds,
    error::AwsException,
    state::{Deletion, KeyState, Role},
};

/// `ScheduleKeyDeletion`.
///
/// # Errors
/// Those of the API reference; `KMSInvalidStateException` with `<arn> is pending deletion.` if it is.
pub(crate) fn schedule(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        pending_window_in_days: Option<i64>,
    }
    let input: Input = call.input(body)?;
    let name = required(input.key_id, "keyId")?;
    let days = input.pending_window_in_days.unwrap_or(MOST_DAYS);
    if !(LEAST_DAYS..=MOST_DAYS).contains(&days) {
        return Err(AwsException::out_of_range("pendingWindowInDays", days, (LEAST_DAYS, MOST_DAYS)));
    }
    let now_ms = call.now_ms();
    call.shared.change(|state| {
        let id = find::key(state.region(&call.region), call, &name)?.id.clone();
        let mut set = state.regions.values().filter_map(|region| region.keys.get(&id));
        let replicas = set.any(|key| key.role == Some(Role::Replica));
        let key = find::key_mut(state.region(&call.region), call, &name)?;
        Demand::Delete.check(key)?;
        let waits = replicas && key.role == Some(Role::Primary);
        let at_ms = (!waits).then(|| now_ms.saturating_add(days.saturating_mul(DAY_MS)));
        key.state = if waits { KeyState::PendingReplicaDeletion } else { KeyState::PendingDeletion };
        key.deletion = Some(Deletion { days, at_ms });
        // A replica that was still being made stays as it is.
        key.next = None;
        let mut members = Map::new();
        members.insert("KeyId".into(), key.arn.clone().into());
        members.insert("KeyState".into(), json!(key.state));
        members.insert("PendingWindowInDays".into(), days.into());
        if let Some(at_ms) = at_ms {
            members.insert("DeletionDate".into(), seconds(at_ms).into());
        }
        Ok(Value::Object(members))
    })
}

/// `CancelKeyDeletion`: the key is disabled then, or pending import if its material is gone.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn cancel(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = key_id(call, body)?;
    call.change(|region| {
        let key = find::key_mut(region, call, &id)?;
        Demand::Keep.check(key)?;
        key.state = KeyState::Disabled;
        key.deletion = None;
        judge_material(key);
        Ok(json!({"KeyId": key.arn}))
    })
}

const LEAST_DAYS: i64 = 7;
const MOST_DAYS: i64 = 30;
