//! What keys and their versions can be filtered and sorted by (contract §8.1). A filter on what only a linked key has fits no unlinked one.

use super::answer::{CLOUD, KEY_STATE, MATERIAL_ORIGIN, ORIGIN, source_id};
use crate::{
    api::rest::{
        envelope::{Told, timestamp},
        list::{Field, Value},
    },
    core::{hyok_keys::Placed, virtual_keys::VersionOnSource},
    store::entry::Tier,
};

/// Of a key.
pub(super) const KEY: [Field<Placed>; 28] = [
    Field::new("id", |placed| vec![placed.key.id.to_string().into()]),
    Field::new("external_key_id", |placed| vec![placed.key.external_id.as_str().into()]),
    Field::new("keyid", |_| Vec::new()),
    Field::new("arn", |_| Vec::new()),
    Field::new("alias", |_| Vec::new()),
    Field::new("tags", |_| Vec::new()),
    Field::new("job_config_id", |_| Vec::new()),
    Field::new("cckm_policy_template_id", |_| Vec::new()),
    Field::new("region", |placed| vec![placed.key_store.region.as_str().into()]),
    Field::new("kms", |placed| placed.kms.iter().flat_map(|kms| [kms.name.as_str().into(), kms.id.to_string().into()]).collect()),
    Field::new("kms_id", |placed| placed.key_store.kms.iter().map(|id| id.to_string().into()).collect()),
    Field::new("cloud_name", |_| vec![CLOUD.into()]),
    Field::new("custom_key_store_id", |placed| vec![placed.key.store.to_string().into()]),
    Field::new("custom_key_store_name", |placed| vec![placed.key_store.name.as_str().into()]),
    Field {
        name: "key_source",
        of: |placed| {
            vec![match placed.key_store.tier {
                Tier::Local => "local".into(),
                Tier::Partition(_) => "hsm-luna".into(),
            }]
        },
        spelled: |text| if text == "luna-hsm" { "hsm-luna" } else { text },
    },
    Field::new("key_material_origin", |_| vec![MATERIAL_ORIGIN.into()]),
    Field::new("origin", |_| vec![ORIGIN.into()]),
    Field::new("keystate", |_| vec![KEY_STATE.into()]),
    Field::new("keyusage", |_| vec!["ENCRYPT_DECRYPT".into()]),
    Field::new("CustomerMasterKeySpec", |_| vec!["SYMMETRIC_DEFAULT".into()]),
    Field::new("enabled", |_| vec![true.into()]),
    Field::new("blocked", |placed| vec![placed.key.blocked.into()]),
    Field::new("linked_state", |_| vec![false.into()]),
    Field::new("gone", |_| vec![false.into()]),
    Field::new("multi_region", |_| vec![false.into()]),
    Field::new("rotation_job_enabled", |_| vec![false.into()]),
    Field::new("createdAt", |placed| vec![timestamp(placed.key.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |placed| vec![timestamp(placed.key.stamps.updated_ns, Told::Read).into()]),
];

/// Of a version.
pub(super) const VERSION: [Field<VersionOnSource>; 4] = [
    Field::new("version", |on| vec![Value::Number(on.version.number.into())]),
    Field::new("source_key_id", |on| vec![source_id(&on.source).into()]),
    Field::new("state", |on| vec![on.version.state.as_str().into()]),
    Field::new("createdAt", |on| vec![timestamp(on.version.created_ns, Told::Read).into()]),
];
