//! HYOK keys.

use std::sync::Arc;

use holdfast_proto::{
    admin as wire,
    ids::{ExternalKeyId, KeyId, StoreId},
    records::LegacyFormat,
};
use tonic::{Request, Response, Status};

use super::{
    Refusal,
    aws_keys::{self, for_aws, given_for_aws},
    convert::{NS_PER_MS, existing_key, given, texts},
    id,
};
use crate::{
    access::{Manage, Permit, Read, Use},
    api::{Api, call::Call},
    core::{
        Core, CoreError,
        aws_keys::{AnyKey, PlacedKey},
        hyok_keys::{Link, NewHyokKey, SourceOf},
        rotation::Rotation,
    },
    store::entry::{ForAws, LegacyEntry, VersionEntry},
};

/// The service. What can be done to every key is in the audit file as of [`super::aws_keys::AwsKeysApi`], and as over REST.
pub(super) struct HyokKeysApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::hyok_keys_server::HyokKeys for HyokKeysApi {
    async fn list_hyok_keys(&self, request: Request<wire::ListHyokKeysRequest>) -> Result<Response<wire::ListHyokKeysResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.list", &request.get_ref().key_store_id));
        let act = |permit: Permit<Read>, q: wire::ListHyokKeysRequest| async move {
            let store = match given(&q.key_store_id) {
                Some(wanted) => Some(core.find_key_store(&permit, wanted).await?.id),
                None => None,
            };
            let is_wanted = |key: &PlacedKey| key.hyok.as_ref().is_some_and(|hyok| store.is_none_or(|store| store == hyok.key_store.id));
            let (keys, ()) = core.keys(&permit, |all| (all.into_iter().filter(is_wanted).collect(), ())).await?;
            Ok(wire::ListHyokKeysResponse { keys: keys.into_iter().filter_map(key).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn get_hyok_key(&self, request: Request<wire::GetHyokKeyRequest>) -> Result<Response<wire::GetHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetHyokKeyRequest| async move {
            let found = core.hyok_key(&permit, KeyId(id("id", &q.id)?)).await?;
            Ok(wire::GetHyokKeyResponse { key: shown(core, found.key.id).await? })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_hyok_key(&self, request: Request<wire::CreateHyokKeyRequest>) -> Result<Response<wire::CreateHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.create", &request.get_ref().key_store_id));
        let act = |permit: Permit<Manage>, q: wire::CreateHyokKeyRequest| async move {
            let wanted = given(&q.key_store_id).ok_or_else(|| Refusal::invalid("key_store_id", "is required"))?;
            let store = core.find_key_store(&permit, wanted).await?.id;
            let created = core.create_hyok_key(&permit, new_key(store, q)?).await?;
            Ok(wire::CreateHyokKeyResponse { key: shown(core, created.key.id).await? })
        };
        self.0.rpc(request, call, act).await
    }

    async fn block_hyok_key(&self, request: Request<wire::BlockHyokKeyRequest>) -> Result<Response<wire::BlockHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.block", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::BlockHyokKeyRequest| async move {
            let applied = core.set_hyok_key_blocked(&permit, KeyId(id("id", &q.id)?), true).await?;
            Ok(wire::BlockHyokKeyResponse { key: shown(core, applied.value.key.id).await?, pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn unblock_hyok_key(
        &self,
        request: Request<wire::UnblockHyokKeyRequest>,
    ) -> Result<Response<wire::UnblockHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.unblock", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::UnblockHyokKeyRequest| async move {
            let applied = core.set_hyok_key_blocked(&permit, KeyId(id("id", &q.id)?), false).await?;
            Ok(wire::UnblockHyokKeyResponse { key: shown(core, applied.value.key.id).await?, pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_hyok_key(&self, request: Request<wire::RotateHyokKeyRequest>) -> Result<Response<wire::RotateHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.rotate", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::RotateHyokKeyRequest| async move {
            let rotation = Rotation { source: source_of(q.source_key, &q.source_key_id)?, tier_as_sent: None };
            let rotated = core.rotate_key(&permit, KeyId(id("id", &q.id)?), rotation).await?;
            Ok(wire::RotateHyokKeyResponse { version: rotated.version })
        };
        self.0.rpc(request, call, act).await
    }

    async fn link_hyok_key(&self, request: Request<wire::LinkHyokKeyRequest>) -> Result<Response<wire::LinkHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("hyok_key.link", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::LinkHyokKeyRequest| async move {
            let linked = core.link_hyok_key(&permit, KeyId(id("id", &q.id)?), given_for_aws(q.for_aws.unwrap_or_default())?).await?;
            Ok(wire::LinkHyokKeyResponse { key: key(linked) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_hyok_key(&self, request: Request<wire::DeleteHyokKeyRequest>) -> Result<Response<wire::DeleteHyokKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteHyokKeyRequest| async move {
            let key = core.any_key(id("id", &q.id)?).await?;
            let hyok = key.hyok.ok_or(CoreError::NotFound("key"))?;
            let applied = core.delete_key(&permit, hyok.key.id.0).await?;
            Ok(wire::DeleteHyokKeyResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }
}

/// A key as it is now.
async fn shown(core: &Core, id: KeyId) -> Result<Option<wire::HyokKey>, CoreError> {
    Ok(key(core.any_key(id.0).await?))
}

/// None: it is no HYOK key of ours.
fn key(any: AnyKey) -> Option<wire::HyokKey> {
    let aws = any.aws.is_some().then(|| aws_keys::key(any.clone()));
    // It changed when it or what AWS has did.
    let in_aws_ns = any.aws.as_ref().map_or(0, |aws| aws.stamps.updated_ns);
    let backed = any.hyok?;
    let versions = backed.virtual_key.key.versions.iter().map(version);
    Some(wire::HyokKey {
        id: backed.key.id.to_string(),
        key_store_id: backed.key.store.to_string(),
        external_key_id: backed.key.external_id.to_string(),
        name: backed.key.name,
        blocked: backed.key.blocked,
        versions: versions.collect(),
        legacy_format: legacy_format(backed.key.legacy.map(|legacy| legacy.format)).into(),
        legacy_version: backed.key.legacy.map_or(0, |legacy| legacy.version),
        virtual_key_id: backed.key.virtual_key.to_string(),
        description: backed.key.for_aws.description,
        created_ms: backed.key.stamps.created_ns / NS_PER_MS,
        updated_ms: backed.key.stamps.updated_ns.max(in_aws_ns) / NS_PER_MS,
        aws,
    })
}

pub(super) fn version(version: &VersionEntry) -> wire::KeyVersion {
    wire::KeyVersion { number: version.number, state: version.state.as_str().into(), created_ms: version.created_ns / NS_PER_MS }
}

fn new_key(store: StoreId, q: wire::CreateHyokKeyRequest) -> Result<NewHyokKey, Refusal> {
    let format = match q.legacy_format.as_str() {
        "" | "none" => None,
        "aws-sample" => Some(LegacyFormat::AwsSample),
        "raw-concat" => Some(LegacyFormat::RawConcat),
        _ => return Err(Refusal::invalid("legacy_format", "must be none, aws-sample or raw-concat")),
    };
    let (said, template) = for_aws(q.for_aws.unwrap_or_default())?;
    Ok(NewHyokKey {
        external_id: given(&q.external_key_id)
            .map(ExternalKeyId::try_from)
            .transpose()
            .map_err(|e| Refusal::invalid("external_key_id", e))?,
        legacy: format.map(|format| LegacyEntry { format, version: 0 }),
        blocked: q.blocked,
        source: source_of(q.source_key, &q.source_key_id)?,
        link: if q.linked_state { Link::Linked } else { Link::Unlinked },
        for_aws: ForAws { description: given(&q.description).map_or(said.description, ToOwned::to_owned), ..said },
        template,
        ..NewHyokKey::new(store, q.name)
    })
}

fn source_of(on_token: Option<wire::ExistingKey>, named: &str) -> Result<SourceOf, Refusal> {
    match (on_token, given(named)) {
        (None, None) => Ok(SourceOf::New),
        (Some(key), None) => Ok(SourceOf::OnToken(existing_key("source_key", &key)?)),
        (None, Some(named)) => Ok(SourceOf::Named(named.into())),
        (Some(_), Some(_)) => Err(Refusal::invalid("source_key_id", "must not come together with source_key")),
    }
}

const fn legacy_format(format: Option<LegacyFormat>) -> &'static str {
    match format {
        None => "none",
        Some(LegacyFormat::AwsSample) => "aws-sample",
        Some(LegacyFormat::RawConcat) => "raw-concat",
    }
}
