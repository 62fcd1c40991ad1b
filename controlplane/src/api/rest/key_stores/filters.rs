//! What lists of key stores are filtered and sorted by (contract §7.3), with all spellings (D4, D7, D21).

use super::object::{CLOUD, EXTERNAL, KIND, LUNA, tier};
use crate::{
    api::rest::{
        envelope::{Told, timestamp},
        list::{Field, Value},
    },
    core::key_stores::KeyStoreDetails,
    store::entry::Tier,
};

/// Members that only linked key stores have are absent.
pub(super) const FIELDS: [Field<KeyStoreDetails>; 18] = [
    Field::new("id", |one| vec![one.entry.id.to_string().into()]),
    Field::new("name", |one| vec![one.entry.name.as_str().into()]),
    Field::new("kms", |one| {
        let name = one.kms.as_ref().map(|kms| kms.name.as_str().into());
        name.into_iter().chain(one.entry.kms.map(|id| id.to_string().into())).collect()
    }),
    Field::new("kms_id", |one| one.entry.kms.map(|id| id.to_string().into()).into_iter().collect()),
    Field::new("region", |one| vec![one.entry.region.as_str().into()]),
    Field::new("cloud_name", |_| vec![CLOUD.into()]),
    Field::new("type", |_| vec![KIND.into()]),
    Field::new("blocked", |one| vec![one.entry.blocked.into()]),
    Field::new("linked_state", |_| vec![false.into()]),
    Field::new("xks_proxy_connectivity", |one| vec![one.entry.address.connectivity.as_str().into()]),
    Field::new("connection_state", |_| Vec::new()),
    Field { name: "source_key_tier", of: |one| vec![common_tier(one)], spelled: |text| if text == "hsm-luna" { LUNA } else { text } },
    Field { name: "custom_key_store_type", of: |_| vec![EXTERNAL.into()], spelled: store_type },
    Field::new("custom_key_store_id", |_| Vec::new()),
    Field::new("credential_version", |one| vec![u64::from(one.entry.credential_version).into()]),
    Field::new("enable_success_audit_event", |one| vec![one.entry.success_audit.into()]),
    Field::new("createdAt", |one| vec![timestamp(one.entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |one| vec![timestamp(one.entry.stamps.updated_ns, Told::Read).into()]),
];

fn common_tier(one: &KeyStoreDetails) -> Value {
    match one.entry.tier {
        Tier::Local => tier(&one.entry).into(),
        Tier::Partition(_) => LUNA.into(),
    }
}

fn store_type(text: &str) -> &str {
    match text {
        "CLOUD_HSM" | "CloudHSM" => "AWS_CLOUDHSM",
        other => other,
    }
}
