//! AWS connections (contract §3). No answer has a secret in it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use holdfast_proto::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Map;
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
    api::{Api, call::Call, error::Refusal},
    core::aws_connections::{GivenConnection, GivenRoleAnywhere},
    store::entry::{AssumeRole, AwsConnectionEntry, ConnectionUsedEntry, RoleAnywhereEntry},
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

/// A connection, as far as it is given. Members that are not described here are ignored.
#[derive(Default, Deserialize, ToSchema)]
struct AwsConnectionBody {
    /// Unique. A new connection needs one.
    #[schema(max_length = 256)]
    name: Option<String>,
    description: Option<String>,
    /// Goes with `secret_access_key`; absent with it: what the host has.
    access_key_id: Option<String>,
    /// Never told again.
    secret_access_key: Option<String>,
    #[schema(examples("arn:aws:iam::123456789012:role/kms"))]
    assume_role_arn: Option<String>,
    assume_role_external_id: Option<String>,
    #[schema(examples("eu-west-1"))]
    aws_region: Option<String>,
    /// `legacy`, the default, or `regional`.
    aws_sts_regional_endpoints: Option<String>,
    /// `aws`, the default, `aws-us-gov` or `aws-cn`.
    cloud_name: Option<String>,
    /// Takes `iam_role_anywhere` instead of an access key.
    is_role_anywhere: Option<bool>,
    iam_role_anywhere: Option<RoleAnywhereBody>,
    labels: Option<BTreeMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    meta: Option<Map<String, serde_json::Value>>,
    #[schema(examples(json!(["cckm"])))]
    products: Option<Vec<String>>,
}

/// A certificate that stands for a role (IAM Roles Anywhere).
#[derive(Default, Deserialize, ToSchema)]
struct RoleAnywhereBody {
    anywhere_role_arn: Option<String>,
    /// PEM.
    certificate: Option<String>,
    profile_arn: Option<String>,
    trust_anchor_arn: Option<String>,
    /// PEM. Never told again.
    private_key: Option<String>,
}

/// A connection.
#[derive(Serialize, ToSchema)]
struct AwsConnection {
    #[serde(flatten)]
    envelope: Envelope,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Always `cloud`.
    category: &'static str,
    /// Always `aws`.
    service: &'static str,
    resource_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assume_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assume_role_external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_region: Option<String>,
    aws_sts_regional_endpoints: &'static str,
    cloud_name: &'static str,
    is_role_anywhere: bool,
    /// Empty in lists, whose readers know no more of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iam_role_anywhere: Option<RoleAnywhere>,
    labels: BTreeMap<String, String>,
    #[schema(value_type = Object)]
    meta: Map<String, serde_json::Value>,
    products: Vec<String>,
    /// Whether AWS let it in when it was last used for a lookup of its account or by a synchronization; absent: it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_connection_ok: Option<bool>,
    /// Why AWS did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_connection_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_connection_at: Option<String>,
}

/// A certificate that stands for a role.
#[derive(Default, Serialize, ToSchema)]
struct RoleAnywhere {
    #[serde(skip_serializing_if = "Option::is_none")]
    anywhere_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_anchor_arn: Option<String>,
}

/// Keeps a connection. Nothing asks AWS whether it works.
#[utoipa::path(post, path = "/connectionmgmt/services/aws/connections", tag = "AWS connections", request_body = AwsConnectionBody,
    responses((status = 201, body = AwsConnection), Refusals))]
async fn create(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<AwsConnectionBody>,
) -> Result<(StatusCode, Json<AwsConnection>), Refusal> {
    let call = Call::new("aws_connection.create", body.as_ref().ok().and_then(|body| body.name.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Manage>| async move {
        let made = core.create_aws_connection(&permit, given(body?)).await?;
        Ok((StatusCode::CREATED, Json(connection(made, None, Told::Change))))
    };
    api.rest(&asking, call, act).await
}

/// Lists connections. `application` and `devAccount` are left out here, and `iam_role_anywhere` is empty.
#[utoipa::path(get, path = "/connectionmgmt/services/aws/connections", tag = "AWS connections",
    params(ListParams, ("id" = Option<String>, Query), ("name" = Option<String>, Query), ("cloud_name" = Option<String>, Query),
        ("category" = Option<String>, Query), ("service" = Option<String>, Query), ("products" = Option<String>, Query),
        ("aws_region" = Option<String>, Query), ("createdAt" = Option<String>, Query), ("updatedAt" = Option<String>, Query)),
    responses((status = 200, body = Page<AwsConnection>), Refusals))]
async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<AwsConnection>>, Refusal> {
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let page = listing.page(core.aws_connections(&permit).await?, &FIELDS)?;
        let mut used = core.connections_used(&permit).await?;
        Ok(Json(page.render(|entry| {
            let used = used.remove(&entry.id);
            item(entry, used)
        })))
    };
    api.rest(&asking, Call::new("aws_connection.list", ""), act).await
}

/// Tells a connection.
#[utoipa::path(get, path = "/connectionmgmt/services/aws/connections/{id}", tag = "AWS connections",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = AwsConnection), Refusals))]
async fn get(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<Json<AwsConnection>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Read>| async move {
        let found = core.aws_connection(&permit, wanted).await?;
        let used = core.connections_used(&permit).await?.remove(&found.id);
        Ok(Json(connection(found, used, Told::Read)))
    };
    api.rest(&asking, Call::new("aws_connection.get", &id), act).await
}

/// Changes what is given of a connection.
#[utoipa::path(patch, path = "/connectionmgmt/services/aws/connections/{id}", tag = "AWS connections", request_body = AwsConnectionBody,
    params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = AwsConnection), Refusals))]
async fn update(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Named(id): Named,
    Payload(body): Payload<AwsConnectionBody>,
) -> Result<Json<AwsConnection>, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        let changed = core.change_aws_connection(&permit, wanted, given(body?)).await?;
        let used = core.connections_used(&permit).await?.remove(&changed.id);
        Ok(Json(connection(changed, used, Told::Change)))
    };
    api.rest(&asking, Call::new("aws_connection.update", &id), act).await
}

/// Deletes a connection that no KMS container uses.
#[utoipa::path(delete, path = "/connectionmgmt/services/aws/connections/{id}", tag = "AWS connections",
    params(("id" = String, Path, description = "Its id or name")), responses((status = 204, description = "It is gone."), Refusals))]
async fn delete(State(api): State<Arc<Api>>, asking: Asking, Named(id): Named) -> Result<StatusCode, Refusal> {
    let (core, wanted) = (&api.core, &id);
    let act = |permit: Permit<Manage>| async move {
        core.delete_aws_connection(&permit, wanted).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    api.rest(&asking, Call::new("aws_connection.delete", &id), act).await
}

fn given(body: AwsConnectionBody) -> GivenConnection {
    let anywhere = body.iam_role_anywhere.unwrap_or_default();
    GivenConnection {
        name: body.name,
        description: body.description,
        access_key_id: body.access_key_id,
        secret_access_key: body.secret_access_key.map(Secret::new),
        assume_role: AssumeRole { arn: body.assume_role_arn, external_id: body.assume_role_external_id },
        region: body.aws_region,
        sts_endpoints: body.aws_sts_regional_endpoints,
        cloud: body.cloud_name,
        is_role_anywhere: body.is_role_anywhere.unwrap_or_default(),
        role_anywhere: GivenRoleAnywhere {
            role_arn: anywhere.anywhere_role_arn,
            certificate: anywhere.certificate,
            profile_arn: anywhere.profile_arn,
            trust_anchor_arn: anywhere.trust_anchor_arn,
            private_key: anywhere.private_key.map(Secret::new),
        },
        labels: body.labels,
        meta: body.meta,
        products: body.products,
    }
}

fn connection(entry: AwsConnectionEntry, used: Option<ConnectionUsedEntry>, told: Told) -> AwsConnection {
    let envelope = Envelope::new(KIND, &entry.id, entry.stamps, told);
    let iam_role_anywhere = entry.role_anywhere.clone().map(role_anywhere);
    AwsConnection { envelope: envelope.of_application(), iam_role_anywhere, ..item_told(entry, used, told) }
}

/// As lists tell it: existing clients can't read more (contract D24).
fn item(entry: AwsConnectionEntry, used: Option<ConnectionUsedEntry>) -> AwsConnection {
    item_told(entry, used, Told::Read)
}

fn item_told(entry: AwsConnectionEntry, used: Option<ConnectionUsedEntry>, told: Told) -> AwsConnection {
    AwsConnection {
        envelope: Envelope::new(KIND, &entry.id, entry.stamps, told),
        name: entry.name,
        description: entry.description,
        category: CATEGORY,
        service: SERVICE,
        resource_url: format!("/api/v1/connectionmgmt/services/aws/connections/{}", entry.id),
        access_key_id: entry.access_key_id,
        assume_role_arn: entry.assume_role.arn,
        assume_role_external_id: entry.assume_role.external_id,
        aws_region: entry.region,
        aws_sts_regional_endpoints: entry.sts_endpoints.as_str(),
        cloud_name: entry.cloud.as_str(),
        is_role_anywhere: entry.role_anywhere.is_some(),
        iam_role_anywhere: Some(RoleAnywhere::default()),
        labels: entry.labels,
        meta: entry.meta,
        products: entry.products,
        last_connection_ok: used.as_ref().map(|used| used.failure.is_none()),
        last_connection_at: used.as_ref().map(|used| timestamp(used.at_ns, Told::Read)),
        last_connection_error: used.and_then(|used| used.failure),
    }
}

fn role_anywhere(entry: RoleAnywhereEntry) -> RoleAnywhere {
    RoleAnywhere {
        anywhere_role_arn: Some(entry.role_arn),
        certificate: Some(entry.certificate),
        profile_arn: Some(entry.profile_arn),
        trust_anchor_arn: Some(entry.trust_anchor_arn),
    }
}

const KIND: &str = "connectionmgmt:connections";
const CATEGORY: &str = "cloud";
const SERVICE: &str = "aws";
const FIELDS: [Field<AwsConnectionEntry>; 9] = [
    Field::new("id", |entry| vec![entry.id.to_string().into()]),
    Field::new("name", |entry| vec![entry.name.as_str().into()]),
    Field::new("cloud_name", |entry| vec![entry.cloud.as_str().into()]),
    Field::new("category", |_| vec![CATEGORY.into()]),
    Field::new("service", |_| vec![SERVICE.into()]),
    Field::new("products", |entry| entry.products.iter().map(|product| product.as_str().into()).collect()),
    Field::new("aws_region", |entry| entry.region.as_deref().map(Value::from).into_iter().collect()),
    Field::new("createdAt", |entry| vec![timestamp(entry.stamps.created_ns, Told::Read).into()]),
    Field::new("updatedAt", |entry| vec![timestamp(entry.stamps.updated_ns, Told::Read).into()]),
];
