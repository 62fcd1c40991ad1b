//! What lists of key stores are filtered and sorted by (contract §7.3), with all spellings (D4, D7, D21).

use super::object::{CLOUD, EXTERNAL, LUNA, ON_CLUSTER, kind, tier};
use crate::{
    api::rest::{
        envelope::{Told, timestamp},
        list::{Field, Value},
    },
    core::key_stores::{AnyKeyStore, KeyStoreDetails},
    store::entry::{AddressEntry, AwsKeyStoreEntry, AwsKeyStoreKind, KeyStoreEntry, Tier},
};

/// Members that only linked key stores have are absent of others.
pub(super) const FIELDS: [Field<KeyStoreDetails>; 18] = [
    Field::new("id", |one| vec![one.key_store.id().to_string().into()]),
    Field::new("name", |one| {
        let here = here(one).map(|entry| entry.name.as_str());
        let aws = one.key_store.aws();
        let told = aws.map(|aws| aws.name.as_str()).filter(|name| Some(*name) != here);
        let id = aws.and_then(|aws| aws.custom_key_store_id.as_deref());
        here.into_iter().chain(told).chain(id).map(Value::from).collect()
    }),
    Field::new("kms", |one| {
        let name = one.kms.as_ref().map(|kms| kms.name.as_str().into());
        name.into_iter().chain(kms_id(one)).collect()
    }),
    Field::new("kms_id", |one| kms_id(one).into_iter().collect()),
    Field::new("region", |one| vec![region(&one.key_store).into()]),
    Field::new("cloud_name", |_| vec![CLOUD.into()]),
    Field {
        name: "type",
        of: |one| vec![kind(&one.key_store).into()],
        spelled: |text| if text == "CLOUD_HSM" { "CloudHSM" } else { text },
    },
    Field::new("blocked", |one| vec![here(one).is_some_and(|entry| entry.blocked).into()]),
    Field::new("linked_state", |one| vec![linked(&one.key_store).into()]),
    Field::new("xks_proxy_connectivity", |one| address(&one.key_store).map(|at| at.connectivity.as_str().into()).into_iter().collect()),
    Field::new("connection_state", |one| {
        let told = one.key_store.aws().filter(|aws| aws.custom_key_store_id.is_some());
        told.map(|aws| aws.state.as_str().into()).into_iter().collect()
    }),
    Field {
        name: "source_key_tier",
        of: |one| here(one).map(common_tier).into_iter().collect(),
        spelled: |text| if text == "hsm-luna" { LUNA } else { text },
    },
    Field { name: "custom_key_store_type", of: |one| vec![store_type(&one.key_store).into()], spelled: spelled_type },
    Field::new("custom_key_store_id", |one| {
        one.key_store.aws().and_then(|aws| aws.custom_key_store_id.as_deref()).map(Value::from).into_iter().collect()
    }),
    Field::new("credential_version", |one| vec![u64::from(here(one).map_or(0, |entry| entry.credential_version)).into()]),
    Field::new("enable_success_audit_event", |one| vec![here(one).is_some_and(|entry| entry.success_audit).into()]),
    Field::new("createdAt", |one| vec![timestamp(one.key_store.stamps().created_ns, Told::Read).into()]),
    Field::new("updatedAt", |one| vec![timestamp(one.key_store.stamps().updated_ns, Told::Read).into()]),
];

const fn here(one: &KeyStoreDetails) -> Option<&KeyStoreEntry> {
    match &one.key_store {
        AnyKeyStore::Here { entry, .. } => Some(entry),
        AnyKeyStore::There(_) => None,
    }
}

fn kms_id(one: &KeyStoreDetails) -> Option<Value> {
    let id = match &one.key_store {
        AnyKeyStore::Here { entry, .. } => entry.kms,
        AnyKeyStore::There(entry) => Some(entry.kms),
    };
    id.map(|id| id.to_string().into())
}

fn region(key_store: &AnyKeyStore) -> &str {
    match key_store {
        AnyKeyStore::Here { entry, .. } => &entry.region,
        AnyKeyStore::There(entry) => &entry.region,
    }
}

const fn linked(key_store: &AnyKeyStore) -> bool {
    match key_store {
        AnyKeyStore::Here { aws, .. } => aws.is_some(),
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::CloudHsm { linked_as_sent, .. }, .. }) => *linked_as_sent,
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. }, .. }) => true,
    }
}

const fn address(key_store: &AnyKeyStore) -> Option<&AddressEntry> {
    match key_store {
        AnyKeyStore::Here { entry, .. } => Some(&entry.address),
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::Remote { address, .. }, .. }) => Some(address),
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::CloudHsm { .. }, .. }) => None,
    }
}

const fn store_type(key_store: &AnyKeyStore) -> &'static str {
    match key_store {
        AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::CloudHsm { .. }, .. }) => ON_CLUSTER,
        AnyKeyStore::Here { .. }
        | AnyKeyStore::There(AwsKeyStoreEntry { kind: AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. }, .. }) => EXTERNAL,
    }
}

fn common_tier(entry: &KeyStoreEntry) -> Value {
    match entry.tier {
        Tier::Local => tier(entry).into(),
        Tier::Partition(_) => LUNA.into(),
    }
}

fn spelled_type(text: &str) -> &str {
    match text {
        "CLOUD_HSM" | "CloudHSM" => ON_CLUSTER,
        other => other,
    }
}
