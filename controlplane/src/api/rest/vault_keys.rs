//! Local source keys (contract §6): made on a data plane, never taken in.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use holdfast_proto::kinds::KeyKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
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
    core::source_keys::{Among, AskedKind, NewVaultKey, SourceKeyPatch, Wanted, blob, cm_id},
    store::entry::SourceKeyEntry,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

/// A key that is to be made. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct NewKey {
    /// Unique; absent: made of the key's id.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// In capitals or not. Absent: AES. Other algorithms are not made here.
    #[schema(examples("AES", "RSA", "EC", "hmac-sha256"))]
    algorithm: Option<String>,
    /// Bits. AES: 128, 192, 256 (the default); RSA: 2048 (the default), 3072, 4096; EC: 256 (the default), 384, 521.
    size: Option<u32>,
    /// Of an EC key.
    #[schema(examples("secp256r1", "secp384r1", "secp521r1", "secp256k1"))]
    curveid: Option<String>,
    /// Sum of Sign 1, Verify 2, Encrypt 4, Decrypt 8, Wrap 16, Unwrap 32, Export 64, MAC generate 128, MAC verify 256, and so on. Absent: what
    /// the algorithm is for. External key stores need 60.
    #[serde(rename = "usageMask")]
    usage_mask: Option<u32>,
    /// Never leaves the data planes, not even wrapped. Can't be changed later.
    unexportable: Option<bool>,
    /// Not deleted, whoever asks.
    undeletable: Option<bool>,
    description: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// Only `Active`.
    state: Option<String>,
    /// Refused: keys are generated on a data plane.
    material: Option<String>,
    /// Refused.
    #[serde(rename = "emptyMaterial")]
    empty_material: Option<bool>,
    /// Refused.
    xts: Option<bool>,
    /// Refused, as all dates that would end a key's use: nothing would come of them.
    #[serde(rename = "deactivationDate")]
    deactivation_date: Option<String>,
    #[serde(rename = "protectStopDate")]
    protect_stop_date: Option<String>,
    #[serde(rename = "destroyDate")]
    destroy_date: Option<String>,
    #[serde(rename = "archiveDate")]
    archive_date: Option<String>,
    #[serde(rename = "compromiseDate")]
    compromise_date: Option<String>,
}

/// What is to change; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct KeyPatch {
    /// Unique.
    #[schema(max_length = 256)]
    name: Option<String>,
    description: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// Taken back only while nothing uses the key.
    undeletable: Option<bool>,
    /// Only as it is: the key's seal binds it.
    unexportable: Option<bool>,
    /// The key's seal binds Encrypt and Decrypt; an unexportable key gains no bits.
    #[serde(rename = "usageMask")]
    usage_mask: Option<u32>,
}

/// A local source key.
#[derive(Serialize, ToSchema)]
struct Key {
    #[serde(flatten)]
    envelope: Envelope,
    name: String,
    /// AES, RSA, EC, or HMAC with its digest.
    algorithm: &'static str,
    /// Bits.
    size: u32,
    /// Of an EC key.
    #[serde(skip_serializing_if = "Option::is_none")]
    curveid: Option<&'static str>,
    #[serde(rename = "usageMask")]
    usage_mask: u32,
    unexportable: bool,
    undeletable: bool,
    /// Always 0: a new version is a new key.
    version: u32,
    #[serde(rename = "objectType")]
    object_type: &'static str,
    /// How its material is kept, sealed: `raw`, or `pkcs8` for a pair.
    format: &'static str,
    /// Always `Active`.
    state: &'static str,
    /// RFC 3339, UTC.
    #[serde(rename = "activationDate")]
    #[schema(format = DateTime)]
    activation_date: String,
    uuid: String,
    description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// Makes a key on a connected data plane. For health checks and HYOK keys: AES, 256 bits, unexportable, undeletable, usageMask 60.
#[utoipa::path(post, path = "/vault/keys2", tag = "Keys", request_body = NewKey, responses((status = 201, body = Key), Refusals))]
async fn create(State(api): State<Arc<Api>>, asking: Asking, Payload(body): Payload<NewKey>) -> Result<(StatusCode, Json<Key>), Refusal> {
    let call = Call::new("source_key.create", body.as_ref().ok().and_then(|new| new.name.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let made = core.create_source_key(&permit, new_key(body?)?).await?;
        Ok((StatusCode::CREATED, Json(key(&made, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists local keys.
#[utoipa::path(
    get,
    path = "/vault/keys2",
    tag = "Keys",
    params(
        ListParams,
        ("id" = Option<String>, Query, description = "Its id or UUID"),
        ("name" = Option<String>, Query, description = "Its name"),
        ("algorithm" = Option<String>, Query, description = "As AES, in capitals or not"),
        ("size" = Option<u32>, Query, description = "Bits"),
        ("curveid" = Option<String>, Query, description = "Of EC keys"),
        ("usageMask" = Option<u32>, Query, description = "Exactly this mask"),
        ("unexportable" = Option<bool>, Query, description = "Never leaves"),
        ("undeletable" = Option<bool>, Query, description = "Not deleted"),
        ("state" = Option<String>, Query, description = "Active"),
        ("objectType" = Option<String>, Query, description = "Symmetric Key or Private Key"),
        ("version" = Option<u32>, Query, description = "0"),
        ("uuid" = Option<String>, Query, description = "Its UUID"),
        ("description" = Option<String>, Query, description = "Its description"),
        ("createdAt" = Option<String>, Query, description = "When it was made"),
        ("updatedAt" = Option<String>, Query, description = "When it changed last"),
    ),
    responses((status = 200, body = Page<Key>), Refusals)
)]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Key>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let keys = core.source_keys(&permit, Among::Local).await?;
        Ok(Json(listing.page(keys, &FIELDS)?.render(|entry| key(&entry, Told::Read))))
    };
    api.rest(&asking, Call::new("source_key.list", ""), act).await
}

/// Tells of a key by its id or unique name.
#[utoipa::path(get, path = "/vault/keys2/{id}", tag = "Keys", params(("id" = String, Path, description = "Its id, UUID or unique name")), responses((status = 200, body = Key), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Read>| async move { Ok(Json(key(&core.source_key(&permit, local(id)).await?, Told::Read))) };
    api.rest(&asking, Call::new("source_key.get", id), act).await
}

/// Changes what is said of a key.
#[utoipa::path(patch, path = "/vault/keys2/{id}", tag = "Keys", params(("id" = String, Path, description = "Its id, UUID or unique name")), request_body = KeyPatch, responses((status = 200, body = Key), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<KeyPatch>,
) -> Result<Json<Key>, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        let KeyPatch { name, description, labels, undeletable, unexportable, usage_mask } = body?;
        let usage_mask = usage_mask.filter(|mask| *mask != 0);
        let patch = SourceKeyPatch { name, description, labels, undeletable, unexportable, usage_mask };
        Ok(Json(key(&core.update_source_key(&permit, local(id), patch).await?, Told::Change)))
    };
    api.rest(&asking, Call::new("source_key.update", id), act).await
}

/// Deletes a key: not an undeletable one, nor one that is in use.
#[utoipa::path(delete, path = "/vault/keys2/{id}", tag = "Keys", params(("id" = String, Path, description = "Its id, UUID or unique name")), responses((status = 204), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, id) = (&api.core, id.as_str());
    let act = |permit: Permit<Manage>| async move {
        core.delete_source_key(&permit, local(id)).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("source_key.delete", id), act).await
}

fn new_key(new: NewKey) -> Result<NewVaultKey, Refusal> {
    let refused = [
        ("material", new.material.is_some()),
        ("emptyMaterial", new.empty_material == Some(true)),
        ("xts", new.xts == Some(true)),
        ("deactivationDate", new.deactivation_date.is_some()),
        ("protectStopDate", new.protect_stop_date.is_some()),
        ("destroyDate", new.destroy_date.is_some()),
        ("archiveDate", new.archive_date.is_some()),
        ("compromiseDate", new.compromise_date.is_some()),
    ];
    if let Some((member, _)) = refused.into_iter().find(|(_, given)| *given) {
        let why = if member == "material" { "keys are generated on a data plane, not taken in" } else { "is not supported" };
        return Err(Refusal::new(Kind::Invalid, format!("{member}: {why}")));
    }
    if new.state.as_deref().is_some_and(|state| state != ACTIVE) {
        return Err(Refusal::new(Kind::Invalid, "state: keys are made Active, and no other state is supported"));
    }
    let asked = AskedKind {
        algorithm: new.algorithm.as_deref().unwrap_or_default(),
        size: new.size.unwrap_or_default(),
        curve: new.curveid.as_deref().unwrap_or_default(),
    };
    Ok(NewVaultKey {
        kind: asked.kind()?,
        name: new.name,
        usage_mask: new.usage_mask.filter(|mask| *mask != 0),
        unexportable: new.unexportable.unwrap_or_default(),
        undeletable: new.undeletable.unwrap_or_default(),
        description: new.description.unwrap_or_default(),
        labels: new.labels.unwrap_or_default(),
    })
}

fn key(entry: &SourceKeyEntry, told: Told) -> Key {
    let kind = kind(entry);
    Key {
        envelope: Envelope::new("vault:keys", &cm_id(entry.id), entry.stamps, told).of_application(),
        name: entry.name.clone(),
        algorithm: kind.algorithm(),
        size: kind.bits(),
        curveid: kind.curve(),
        usage_mask: entry.usage_mask,
        unexportable: blob(entry).is_some_and(|blob| blob.unexportable),
        undeletable: entry.undeletable,
        version: 0,
        object_type: object_type(kind),
        format: if is_pair(kind) { "pkcs8" } else { "raw" },
        state: ACTIVE,
        activation_date: timestamp(entry.stamps.created_ns, told),
        uuid: entry.id.to_string(),
        description: entry.description.clone(),
        labels: entry.labels.clone(),
    }
}

const fn local(name: &str) -> Wanted<'_> {
    Wanted { name, among: Among::Local }
}

fn kind(entry: &SourceKeyEntry) -> KeyKind {
    blob(entry).map_or_else(KeyKind::default, |blob| blob.kind)
}

const fn is_pair(kind: KeyKind) -> bool {
    match kind {
        KeyKind::Rsa2048
        | KeyKind::Rsa3072
        | KeyKind::Rsa4096
        | KeyKind::EcP256
        | KeyKind::EcP384
        | KeyKind::EcP521
        | KeyKind::EcSecp256k1 => true,
        KeyKind::Aes128
        | KeyKind::Aes192
        | KeyKind::Aes256
        | KeyKind::HmacSha1
        | KeyKind::HmacSha224
        | KeyKind::HmacSha256
        | KeyKind::HmacSha384
        | KeyKind::HmacSha512 => false,
    }
}

const fn object_type(kind: KeyKind) -> &'static str {
    if is_pair(kind) { "Private Key" } else { "Symmetric Key" }
}

/// An algorithm in whatever letters.
fn algorithm(text: &str) -> &str {
    let known = KeyKind::ALL.into_iter().map(KeyKind::algorithm).find(|known| known.eq_ignore_ascii_case(text));
    known.unwrap_or(text)
}

const ACTIVE: &str = "Active";

const FIELDS: [Field<SourceKeyEntry>; 15] = [
    Field::new("id", |entry| vec![cm_id(entry.id).into(), entry.id.to_string().into()]),
    Field::new("name", |entry| vec![entry.name.clone().into()]),
    Field { name: "algorithm", of: |entry| vec![kind(entry).algorithm().into()], spelled: algorithm },
    Field::new("size", |entry| vec![Value::Number(kind(entry).bits().into())]),
    Field::new("curveid", |entry| kind(entry).curve().map(Value::from).into_iter().collect()),
    Field::new("usageMask", |entry| vec![Value::Number(entry.usage_mask.into())]),
    Field::new("unexportable", |entry| vec![blob(entry).is_some_and(|blob| blob.unexportable).into()]),
    Field::new("undeletable", |entry| vec![entry.undeletable.into()]),
    Field::new("state", |_| vec![ACTIVE.into()]),
    Field::new("objectType", |entry| vec![object_type(kind(entry)).into()]),
    Field::new("version", |_| vec![Value::Number(0)]),
    Field::new("uuid", |entry| vec![entry.id.to_string().into()]),
    Field::new("description", |entry| vec![entry.description.clone().into()]),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
