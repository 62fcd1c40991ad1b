//! AWS accounts (contract §4).

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{asking::Asking, body::Payload, openapi::Refusals};
use crate::{
    access::{Permit, Read},
    api::{Api, call::Call, error::Refusal},
    store::entry::AssumeRole,
};

/// This file's paths.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Which account. Members that are not described here are ignored.
#[derive(Deserialize, ToSchema)]
struct AwsAccountQuery {
    /// The connection's name or id.
    connection: String,
    /// A role to take on. Where this and the next are sent the wrong way round, they are told apart by their form.
    assume_role_arn: Option<String>,
    /// What the role's trust policy asks for.
    assume_role_external_id: Option<String>,
}

/// An AWS account.
#[derive(Serialize, ToSchema)]
struct AwsAccount {
    /// As AWS told it.
    #[schema(pattern = "^[0-9]{12}$", examples("123456789012"))]
    account_id: String,
    /// The regions of its AWS partition, always in the same order: first those that every account has, then those that must be switched
    /// on. Whether they are is not looked at.
    regions: Vec<&'static str>,
}

/// Asks AWS to which account a connection leads.
#[utoipa::path(post, path = "/cckm/aws/accounts", tag = "KMS containers", request_body = AwsAccountQuery,
    responses((status = 200, body = AwsAccount), Refusals))]
async fn show(State(api): State<Arc<Api>>, asking: Asking, Payload(body): Payload<AwsAccountQuery>) -> Result<Json<AwsAccount>, Refusal> {
    let call = Call::new("aws_account.show", body.as_ref().ok().map(|body| body.connection.clone()).unwrap_or_default());
    let core = &api.core;
    let act = |permit: Permit<Read>| async move {
        let AwsAccountQuery { connection, assume_role_arn, assume_role_external_id } = body?;
        let role = AssumeRole { arn: assume_role_arn, external_id: assume_role_external_id };
        let account = core.aws_account(&permit, &connection, role).await?;
        Ok(Json(AwsAccount { account_id: account.id, regions: account.regions }))
    };
    api.rest(&asking, call, act).await
}
