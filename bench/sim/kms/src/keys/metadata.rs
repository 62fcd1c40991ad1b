//! `KeyMetadata`, and the operations that answer it or a part of it: `DescribeKey`, `ListKeys`.
//!
//! Always holds: a member is there only when AWS has it, by the API reference of `KeyMetadata`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    find,
    page::{self, Paging},
    spec::{KeyUsage, Kind},
};
use crate::{
    call::{Call, required},
    clock::seconds,
    error::AwsException,
    state::{Connection, Key, KeyState, MaterialState, Origin, Region, Role, State, StoreKind},
};

/// `DescribeKey`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn describe(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = key_id(call, body)?;
    call.shared.look(|state| {
        let nothing = Region::default();
        let region = state.regions.get(&call.region).unwrap_or(&nothing);
        let key = find::key_or_alias(region, call, &id)?;
        Ok(json!({"KeyMetadata": metadata(state, &call.region, key)}))
    })
}

/// `ListKeys`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn list(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let paging: Paging = call.input(body)?;
    call.look(|region| {
        let keys = region.keys.values().map(|key| (key.id.clone(), json!({"KeyId": key.id, "KeyArn": key.arn})));
        page::answer("Keys", keys.collect(), &paging, page::Limits { most: 1000, usual: 100 })
    })
}

/// The one member of the calls that take nothing but a key.
///
/// # Errors
/// `ValidationException`: it is not there.
pub(super) fn key_id(call: &Call, body: &Value) -> Result<String, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
    }
    let input: Input = call.input(body)?;
    required(input.key_id, "keyId")
}

/// The state that clients see: a key in a custom key store that is not connected is unavailable, unless it is pending deletion.
pub(crate) fn shown_state(region: &Region, key: &Key) -> KeyState {
    let store = key.store_id.as_ref().map(|id| region.stores.get(id));
    let connected = store.is_none_or(|store| store.is_some_and(|store| store.connection == Connection::Connected));
    match key.state {
        KeyState::Enabled | KeyState::Disabled if !connected => KeyState::Unavailable,
        state @ (KeyState::Enabled
        | KeyState::Disabled
        | KeyState::Creating
        | KeyState::PendingDeletion
        | KeyState::PendingImport
        | KeyState::PendingReplicaDeletion
        | KeyState::Unavailable
        | KeyState::Updating) => state,
    }
}

/// `KeyMetadata` of a key in the region of this name.
pub(super) fn metadata(state: &State, region_name: &str, key: &Key) -> Value {
    let nothing = Region::default();
    let region = state.regions.get(region_name).unwrap_or(&nothing);
    let shown = shown_state(region, key);
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("AWSAccountId", account(&key.arn).into());
    put("KeyId", key.id.clone().into());
    put("Arn", key.arn.clone().into());
    put("CreationDate", seconds(key.created_ms).into());
    put("Enabled", (shown == KeyState::Enabled).into());
    put("Description", key.description.clone().into());
    put("KeyUsage", json!(key.usage));
    put("KeyState", json!(shown));
    put("Origin", json!(key.origin));
    put("KeyManager", "CUSTOMER".into());
    put("CustomerMasterKeySpec", json!(key.spec));
    put("KeySpec", json!(key.spec));
    match key.usage {
        KeyUsage::EncryptDecrypt => put("EncryptionAlgorithms", json!(key.spec.encryption_algorithms())),
        KeyUsage::SignVerify => put("SigningAlgorithms", json!(key.spec.signing_algorithms())),
        KeyUsage::GenerateVerifyMac => put("MacAlgorithms", json!(key.spec.mac_algorithms())),
    };
    match (shown, key.deletion) {
        (KeyState::PendingReplicaDeletion, Some(deletion)) => {
            put("PendingDeletionWindowInDays", deletion.days.into());
        }
        (_, Some(at_ms)) => {
            put("DeletionDate", at_ms.at_ms.map(seconds).into());
        }
        (_, None) => {}
    }
    // Material that waits for its rotation does not belong to the key yet.
    let imported = || key.materials.iter().filter(|kept| kept.material.is_some() && kept.state.was_current());
    if key.origin == Origin::External && imported().next().is_some() {
        let first = imported().filter_map(|kept| kept.expires_ms).min();
        put("ExpirationModel", super::import::expiration_model(first).into());
        if let Some(at_ms) = first {
            put("ValidTo", seconds(at_ms).into());
        }
    }
    put("MultiRegion", key.role.is_some().into());
    if let Some(role) = key.role {
        put("MultiRegionConfiguration", multi_region(state, role, &key.id));
    }
    if let Some(id) = &key.store_id {
        put("CustomKeyStoreId", id.clone().into());
        if let Some(StoreKind::CloudHsm { cluster_id, .. }) = region.stores.get(id).map(|store| &store.kind) {
            put("CloudHsmClusterId", cluster_id.clone().into());
        }
    }
    if let Some(id) = &key.xks_key_id {
        put("XksKeyConfiguration", json!({"Id": id}));
    }
    let rotates = matches!(key.origin, Origin::AwsKms | Origin::External) && key.spec.kind() == Kind::Symmetric;
    // It is told while the material is away, and not of a replica that is still being made.
    let current = key.materials.iter().find(|kept| kept.state == MaterialState::Current);
    if let Some(kept) = current.filter(|_| rotates && shown != KeyState::Creating) {
        put("CurrentKeyMaterialId", kept.id.clone().into());
    }
    Value::Object(members)
}

fn multi_region(state: &State, role: Role, id: &str) -> Value {
    let of = |wanted: Role| {
        let keys = state.regions.iter().filter_map(|(name, region)| Some((name, region.keys.get(id)?)));
        keys.filter(move |(_, key)| key.role == Some(wanted)).map(|(name, key)| json!({"Arn": key.arn, "Region": name}))
    };
    json!({
        "MultiRegionKeyType": role,
        "PrimaryKey": of(Role::Primary).next(),
        "ReplicaKeys": of(Role::Replica).collect::<Vec<_>>(),
    })
}

fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}
