//! The material that a key has and had, as this API tells it (contract §8.4, §2.4).
//!
//! Always holds: every member is a text or absent, as known clients read it strictly.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answer::material_origin, aws_param::aws_time};
use crate::{
    api::rest::{
        envelope::{Envelope, Told},
        list::{Field, Value},
    },
    core::{
        aws_keys::{AnyKey, Material},
        source_keys::cm_id,
    },
    store::entry::Stamps,
};

/// Material of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MaterialRotation)]
pub(super) struct KeyRotation {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(skip)]
    id: Uuid,
    /// The KMS container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_id: Option<String>,
    /// The tier that it was uploaded from.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_source: Option<String>,
    key_material_origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_key_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_key_name: Option<String>,
    aws_param: KeyRotationInAws,
}

/// As AWS lists it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct KeyRotationInAws {
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    import_state: Option<String>,
    /// AWS's id of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
}

impl KeyRotation {
    pub(super) fn all(key: &AnyKey, materials: Vec<Material>) -> Vec<Self> {
        materials.into_iter().enumerate().filter_map(|(at, material)| Self::of(key, (at, material))).collect()
    }

    fn of(key: &AnyKey, (at, material): (usize, Material)) -> Option<Self> {
        let entry = key.aws.as_ref()?;
        let Material { in_aws, known } = material;
        // What was not uploaded from here has no record; its name in AWS, or its place, tells it from the others.
        let name = in_aws.key_material_id.clone().unwrap_or_else(|| at.to_string());
        let id = known.as_ref().map_or_else(|| Uuid::new_v5(&entry.id, name.as_bytes()), |known| known.id);
        let since = in_aws.rotated_ns.unwrap_or(entry.stamps.created_ns);
        let stamps = known.as_ref().map_or(Stamps { created_ns: since, updated_ns: since }, |known| known.stamps);
        let source = known.as_ref().and_then(|known| known.source.as_ref());
        Some(Self {
            envelope: Envelope::new("cckm:aws-key-rotation", &id, stamps, Told::Read),
            id,
            kms_id: Some(entry.kms.to_string()),
            key_source: source.map(|source| source.tier_as_sent.clone().unwrap_or_else(|| "local".into())),
            key_material_origin: if source.is_some() { "cckm" } else { material_origin(key.hyok.is_some(), Some(entry)) },
            source_key_identifier: source.map(|source| cm_id(source.source_key)),
            source_key_name: source.map(|source| source.name.clone()),
            aws_param: KeyRotationInAws {
                expiration_model: in_aws.expiration_model,
                import_state: in_aws.import_state,
                key_id: entry.told.as_ref().map(|told| told.key_id.clone()),
                key_material_description: in_aws.description.or_else(|| known.as_ref()?.description.clone()),
                key_material_id: in_aws.key_material_id.or_else(|| known.as_ref()?.key_material_id.clone()),
                key_material_state: in_aws.state,
                rotation_date: in_aws.rotated_ns.map(aws_time),
                rotation_type: in_aws.rotation_type.or_else(|| known.as_ref()?.rotation_type.clone()),
                valid_to: in_aws.valid_to_ns.or_else(|| known.as_ref()?.source.as_ref()?.valid_to_ns).map(aws_time),
            },
        })
    }
}

fn text(of: Option<&String>) -> Vec<Value> {
    of.map(|text| Value::Text(text.clone())).into_iter().collect()
}

/// What is filtered and sorted by.
pub(super) const FIELDS: [Field<KeyRotation>; 3] = [
    Field::new("id", |one| vec![Value::Text(one.id.to_string())]),
    Field::new("key_material_id", |one| text(one.aws_param.key_material_id.as_ref())),
    Field::new("source_key_name", |one| text(one.source_key_name.as_ref())),
];
