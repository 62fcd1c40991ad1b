//! Keys on partitions: made by and by, told with how far they are.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use data_encoding::HEXLOWER;
use holdfast_proto::records::{PartitionKey, SourceKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    asking::{Asking, Named},
    body::Payload,
    envelope::{Envelope, Told, timestamp},
    list::{Field, ListParams, Listing, Page, Value},
    openapi::Refusals,
};
use crate::{
    access::{Manage, Permit, Read},
    api::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    core::source_keys::{Among, NewPartitionKey, Wanted},
    store::entry::{KeyProgress, SourceKeyEntry},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, delete))
}

/// A key that is to be made: AES-256, never extractable, sensitive, allowed to encrypt, decrypt, wrap and unwrap.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = NewLunaKey)]
struct NewKey {
    /// Required: its label and name; unique.
    #[schema(max_length = 256)]
    label: Option<String>,
    /// Bits: 256, also when absent.
    size: Option<u32>,
    /// Required: id of the partition.
    partition_id: Option<String>,
    /// `CKM_AES_KEY_GEN`, also when absent.
    mechanism: Option<String>,
    /// By their PKCS#11 names, where any is given `CKA_ENCRYPT` and `CKA_DECRYPT` at least. The key has all of `CKA_SENSITIVE`, `CKA_ENCRYPT`,
    /// `CKA_DECRYPT`, `CKA_WRAP` and `CKA_UNWRAP`, whichever of them are given.
    attributes: Option<Vec<String>>,
}

/// A key on a partition.
#[derive(Serialize, ToSchema)]
#[schema(as = LunaKey)]
struct Key {
    #[serde(flatten)]
    envelope: Envelope,
    label: String,
    name: String,
    /// The added partition on which it was made or found.
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_id: Option<String>,
    /// The group that has it.
    group: String,
    /// `in_progress`, `AVAILABLE` or `FAILED`.
    status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Always `aes`.
    algorithm: &'static str,
    /// Bits.
    size: u32,
    /// `CKA_ID`, hexadecimal.
    cka_id: String,
}

/// Begins to make a key on a partition. Ask for the key to see when it is `AVAILABLE`.
#[utoipa::path(post, path = "/cckm/hsm/luna/keys", tag = "HSMs", request_body = NewKey, responses((status = 202, body = Key), Refusals))]
async fn create(State(api): State<Arc<Api>>, asking: Asking, Payload(body): Payload<NewKey>) -> Result<(StatusCode, Json<Key>), Refusal> {
    let call = Call::new("source_key.generate", body.as_ref().ok().and_then(|new| new.label.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let begun = core.generate_partition_key(&permit, &new_key(body?)?).await?;
        Ok((StatusCode::ACCEPTED, Json(key(begun, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists keys on partitions.
#[utoipa::path(
    get,
    path = "/cckm/hsm/luna/keys",
    tag = "HSMs",
    params(
        ListParams,
        ("id" = Option<String>, Query, description = "Its id"),
        ("label" = Option<String>, Query, description = "Its label"),
        ("name" = Option<String>, Query, description = "Its name"),
        ("partition_id" = Option<String>, Query, description = "The partition on which it was made"),
        ("group" = Option<String>, Query, description = "The group that has it"),
        ("status" = Option<String>, Query, description = "in_progress, AVAILABLE or FAILED"),
        ("cka_id" = Option<String>, Query, description = "CKA_ID, hexadecimal"),
    ),
    responses((status = 200, body = Page<Key>), Refusals)
)]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Key>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let keys = core.source_keys(&permit, Among::OnPartitions).await?;
        Ok(Json(listing.page(keys, &FIELDS)?.render(|entry| key(entry, Told::Read))))
    };
    api.rest(&asking, Call::new("source_key.list", ""), act).await
}

/// Tells of a key on a partition.
#[utoipa::path(get, path = "/cckm/hsm/luna/keys/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or unique name")), responses((status = 200, body = Key), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move { Ok(Json(key(core.source_key(&permit, on_partition(id)).await?, Told::Read))) };
    api.rest(&asking, Call::new("source_key.get", id), act).await
}

/// Forgets a key on a partition: not while something uses it. On its token it stays; delete it there with the vendor's tools.
#[utoipa::path(delete, path = "/cckm/hsm/luna/keys/{id}", tag = "HSMs", params(("id" = String, Path, description = "Its id or unique name")), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        core.delete_source_key(&permit, on_partition(id)).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("source_key.delete", id), act).await
}

fn new_key(new: NewKey) -> Result<NewPartitionKey, Refusal> {
    let invalid = |text: &str| Refusal::new(Kind::Invalid, text);
    let partition = new.partition_id.ok_or_else(|| invalid("partition_id: is required"))?;
    let label = new.label.ok_or_else(|| invalid("label: is required"))?;
    if !matches!(new.size, None | Some(0 | 256)) {
        return Err(invalid("size: keys on partitions are made with 256 bits"));
    }
    if !matches!(new.mechanism.as_deref(), None | Some("CKM_AES_KEY_GEN")) {
        return Err(invalid("mechanism: must be CKM_AES_KEY_GEN"));
    }
    let attributes = new.attributes.unwrap_or_default();
    if attributes.iter().any(|name| !ATTRIBUTES.contains(&name.as_str())) {
        return Err(invalid(&format!("attributes: a key on a partition is made with {}, and with nothing else", ATTRIBUTES.join(", "))));
    }
    let has = |wanted: &str| attributes.iter().any(|name| name == wanted);
    let enough = attributes.is_empty() || (has("CKA_ENCRYPT") && has("CKA_DECRYPT"));
    if !enough {
        return Err(invalid("attributes: must have CKA_ENCRYPT and CKA_DECRYPT"));
    }
    Ok(NewPartitionKey { partition, label })
}

fn key(entry: SourceKeyEntry, told: Told) -> Key {
    let status = status(&entry);
    let (group, cka_id, label) = named(&entry);
    Key {
        envelope: Envelope::new("cckm:luna-key", &entry.id, entry.stamps, told).of_application(),
        label,
        name: entry.name,
        partition_id: entry.partition.map(|id| id.to_string()),
        group,
        status,
        error: match entry.progress {
            KeyProgress::Failed(why) => Some(why),
            KeyProgress::Ready | KeyProgress::Making => None,
        },
        algorithm: "aes",
        size: 256,
        cka_id,
    }
}

const fn status(entry: &SourceKeyEntry) -> &'static str {
    match entry.progress {
        KeyProgress::Ready => "AVAILABLE",
        KeyProgress::Making => "in_progress",
        KeyProgress::Failed(_) => "FAILED",
    }
}

/// Group, `CKA_ID` and label.
fn named(entry: &SourceKeyEntry) -> (String, String, String) {
    match &entry.key {
        SourceKey::Partition(PartitionKey { group, cka_id, label }) => (group.clone(), HEXLOWER.encode(cka_id), label.clone()),
        SourceKey::Local(_) => Default::default(),
    }
}

const fn on_partition(name: &str) -> Wanted<'_> {
    Wanted { name, among: Among::OnPartitions }
}

/// What may be asked for; a key has all of it.
const ATTRIBUTES: [&str; 7] = ["CKA_TOKEN", "CKA_PRIVATE", "CKA_SENSITIVE", "CKA_ENCRYPT", "CKA_DECRYPT", "CKA_WRAP", "CKA_UNWRAP"];

const FIELDS: [Field<SourceKeyEntry>; 9] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field::new("label", |entry| vec![named(entry).2.into()]),
    Field::new("name", |entry| vec![entry.name.clone().into()]),
    Field::new("partition_id", |entry| entry.partition.map(|id| Value::Text(id.to_string())).into_iter().collect()),
    Field::new("group", |entry| vec![named(entry).0.into()]),
    Field::new("status", |entry| vec![status(entry).into()]),
    Field::new("cka_id", |entry| vec![named(entry).1.into()]),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
