//! Keys in AWS KMS, of every kind. What is done to them is answered with the key as AWS then told it.

mod convert;

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::convert::{Wanted, alias, material, moment, policy, source, tags};
pub(super) use self::convert::{for_aws, given_for_aws, key};
use super::{
    Refusal,
    convert::{given, said, texts},
};
use crate::{
    access::{Manage, Permit, Read, Use},
    api::{Api, call::Call},
    core::{
        CoreError,
        aws_keys::{KeyAction, NewAwsKey, NewImport, NewKeyRotation, NewReplica, PlacedKey, RotateNow},
    },
    store::entry::KeyRotationJobEntry,
};

/// The service.
pub(super) struct AwsKeysApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::aws_keys_server::AwsKeys for AwsKeysApi {
    async fn list_aws_keys(&self, request: Request<wire::ListAwsKeysRequest>) -> Result<Response<wire::ListAwsKeysResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.list", ""));
        let act = |permit: Permit<Read>, q: wire::ListAwsKeysRequest| async move {
            let wanted = Wanted {
                kms: match given(&q.kms) {
                    Some(kms) => Some(core.kms_container(&permit, kms).await?.id),
                    None => None,
                },
                region: said(q.region),
                key_store: match given(&q.key_store) {
                    Some(store) => Some(core.find_any_key_store(&permit, store).await?.key_store.id()),
                    None => None,
                },
            };
            let choose = |all: Vec<PlacedKey>| (all.into_iter().filter(|key| wanted.has(key)).collect(), ());
            let (keys, ()) = core.keys(&permit, choose).await?;
            Ok(wire::ListAwsKeysResponse { keys: keys.into_iter().map(key).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn get_aws_key(&self, request: Request<wire::GetAwsKeyRequest>) -> Result<Response<wire::GetAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetAwsKeyRequest| async move {
            let done = core.key(&permit, key_id(&q.id)?).await?;
            Ok(wire::GetAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_aws_key(&self, request: Request<wire::CreateAwsKeyRequest>) -> Result<Response<wire::CreateAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.create", &request.get_ref().kms));
        let act = |permit: Permit<Manage>, q: wire::CreateAwsKeyRequest| async move {
            let (for_aws, template) = for_aws(q.key.unwrap_or_default())?;
            let (spec, usage) = (said(q.spec), said(q.usage));
            let new = NewAwsKey { kms: q.kms, region: q.region, spec, usage, multi_region: q.multi_region, for_aws, template };
            let done = core.create_native_key(&permit, new, q.without_material).await?;
            Ok(wire::CreateAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn upload_aws_key(&self, request: Request<wire::UploadAwsKeyRequest>) -> Result<Response<wire::UploadAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.upload", &request.get_ref().source_key_id));
        let act = |permit: Permit<Manage>, q: wire::UploadAwsKeyRequest| async move {
            let (for_aws, template) = for_aws(q.key.unwrap_or_default())?;
            let (spec, usage) = (said(q.spec), said(q.usage));
            let new = NewAwsKey { kms: q.kms, region: q.region, spec, usage, multi_region: q.multi_region, for_aws, template };
            let done = core.upload_key(&permit, new, source(q.source_key_id, q.valid_to_ms)).await?;
            Ok(wire::UploadAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_cloud_hsm_key(
        &self,
        request: Request<wire::CreateCloudHsmKeyRequest>,
    ) -> Result<Response<wire::CreateCloudHsmKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.create", &request.get_ref().key_store));
        let act = |permit: Permit<Manage>, q: wire::CreateCloudHsmKeyRequest| async move {
            let store = core.find_any_key_store(&permit, &q.key_store).await?.key_store.id().to_string();
            let done = core.create_cloud_hsm_key(&permit, &store, for_aws(q.key.unwrap_or_default())?).await?;
            Ok(wire::CreateCloudHsmKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn enable_aws_key(&self, request: Request<wire::EnableAwsKeyRequest>) -> Result<Response<wire::EnableAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.enable", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::EnableAwsKeyRequest| async move {
            let done = core.set_aws_key_enabled(&permit, key_id(&q.id)?, true).await?;
            Ok(wire::EnableAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn disable_aws_key(&self, request: Request<wire::DisableAwsKeyRequest>) -> Result<Response<wire::DisableAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.disable", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::DisableAwsKeyRequest| async move {
            let done = core.set_aws_key_enabled(&permit, key_id(&q.id)?, false).await?;
            Ok(wire::DisableAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn add_aws_key_alias(
        &self,
        request: Request<wire::AddAwsKeyAliasRequest>,
    ) -> Result<Response<wire::AddAwsKeyAliasResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.add_alias", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::AddAwsKeyAliasRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::AddAlias(alias(&q.alias))).await?;
            Ok(wire::AddAwsKeyAliasResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_aws_key_alias(
        &self,
        request: Request<wire::DeleteAwsKeyAliasRequest>,
    ) -> Result<Response<wire::DeleteAwsKeyAliasResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.delete_alias", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteAwsKeyAliasRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::DeleteAlias(alias(&q.alias))).await?;
            Ok(wire::DeleteAwsKeyAliasResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn add_aws_key_tags(
        &self,
        request: Request<wire::AddAwsKeyTagsRequest>,
    ) -> Result<Response<wire::AddAwsKeyTagsResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.add_tags", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::AddAwsKeyTagsRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::AddTags(tags(q.tags))).await?;
            Ok(wire::AddAwsKeyTagsResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn remove_aws_key_tags(
        &self,
        request: Request<wire::RemoveAwsKeyTagsRequest>,
    ) -> Result<Response<wire::RemoveAwsKeyTagsResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.remove_tags", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::RemoveAwsKeyTagsRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::RemoveTags(q.tags)).await?;
            Ok(wire::RemoveAwsKeyTagsResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn set_aws_key_description(
        &self,
        request: Request<wire::SetAwsKeyDescriptionRequest>,
    ) -> Result<Response<wire::SetAwsKeyDescriptionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.update_description", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::SetAwsKeyDescriptionRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::Describe(q.description)).await?;
            Ok(wire::SetAwsKeyDescriptionResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn set_aws_key_policy(
        &self,
        request: Request<wire::SetAwsKeyPolicyRequest>,
    ) -> Result<Response<wire::SetAwsKeyPolicyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.policy", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::SetAwsKeyPolicyRequest| async move {
            let said = policy(q.policy.unwrap_or_default())?;
            let given = (said.policy.unwrap_or_default(), said.template, said.bypass_lockout_check);
            let done = core.set_key_policy(&permit, key_id(&q.id)?, given).await?;
            Ok(wire::SetAwsKeyPolicyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn schedule_aws_key_deletion(
        &self,
        request: Request<wire::ScheduleAwsKeyDeletionRequest>,
    ) -> Result<Response<wire::ScheduleAwsKeyDeletionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.schedule_deletion", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::ScheduleAwsKeyDeletionRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::ScheduleDeletion(q.days)).await?;
            Ok(wire::ScheduleAwsKeyDeletionResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn cancel_aws_key_deletion(
        &self,
        request: Request<wire::CancelAwsKeyDeletionRequest>,
    ) -> Result<Response<wire::CancelAwsKeyDeletionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.cancel_deletion", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::CancelAwsKeyDeletionRequest| async move {
            let done = core.change_aws_key(&permit, key_id(&q.id)?, KeyAction::CancelDeletion).await?;
            Ok(wire::CancelAwsKeyDeletionResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_aws_key(&self, request: Request<wire::DeleteAwsKeyRequest>) -> Result<Response<wire::DeleteAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteAwsKeyRequest| async move {
            let applied = core.forget_key(&permit, key_id(&q.id)?).await?;
            Ok(wire::DeleteAwsKeyResponse { pending_nodes: texts(applied.pending) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn import_aws_key_material(
        &self,
        request: Request<wire::ImportAwsKeyMaterialRequest>,
    ) -> Result<Response<wire::ImportAwsKeyMaterialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.import_material", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::ImportAwsKeyMaterialRequest| async move {
            let new = NewImport {
                source: source(q.source_key_id, q.valid_to_ms),
                new_material: q.new_material,
                description: said(q.description),
                key_material_id: said(q.key_material_id),
            };
            let done = core.import_key_material(&permit, key_id(&q.id)?, new).await?;
            Ok(wire::ImportAwsKeyMaterialResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_aws_key_material(
        &self,
        request: Request<wire::DeleteAwsKeyMaterialRequest>,
    ) -> Result<Response<wire::DeleteAwsKeyMaterialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.delete_material", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeleteAwsKeyMaterialRequest| async move {
            let done = core.delete_key_material(&permit, key_id(&q.id)?, said(q.key_material_id)).await?;
            Ok(wire::DeleteAwsKeyMaterialResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_aws_key_material(
        &self,
        request: Request<wire::RotateAwsKeyMaterialRequest>,
    ) -> Result<Response<wire::RotateAwsKeyMaterialResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.rotate_material", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::RotateAwsKeyMaterialRequest| async move {
            let done = core.rotate_key_material(&permit, key_id(&q.id)?).await?;
            Ok(wire::RotateAwsKeyMaterialResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn rotate_aws_key(&self, request: Request<wire::RotateAwsKeyRequest>) -> Result<Response<wire::RotateAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.rotate", &request.get_ref().id));
        let act = |permit: Permit<Use>, q: wire::RotateAwsKeyRequest| async move {
            let how = NewKeyRotation {
                source: None,
                material: None,
                valid_to_ns: moment(q.valid_to_ms),
                description: said(q.description),
                disable: q.disable,
                retain_alias: q.retain_alias,
            };
            let now = RotateNow { source: said(q.source_key_id), tier_as_sent: None, how };
            let done = core.rotate_any_key(&permit, key_id(&q.id)?, now).await?;
            Ok(wire::RotateAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn list_aws_key_rotations(
        &self,
        request: Request<wire::ListAwsKeyRotationsRequest>,
    ) -> Result<Response<wire::ListAwsKeyRotationsResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.rotations", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::ListAwsKeyRotationsRequest| async move {
            let (_, all) = core.key_rotations(&permit, key_id(&q.id)?).await?;
            Ok(wire::ListAwsKeyRotationsResponse { materials: all.into_iter().map(material).collect() })
        };
        self.0.rpc(request, call, act).await
    }

    async fn replicate_aws_key(
        &self,
        request: Request<wire::ReplicateAwsKeyRequest>,
    ) -> Result<Response<wire::ReplicateAwsKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.replicate", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::ReplicateAwsKeyRequest| async move {
            let (for_aws, template) = for_aws(q.key.unwrap_or_default())?;
            let new = NewReplica { region: q.region, for_aws, template, valid_to_ns: moment(q.valid_to_ms) };
            let done = core.replicate_key(&permit, key_id(&q.id)?, new).await?;
            Ok(wire::ReplicateAwsKeyResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn set_aws_key_primary_region(
        &self,
        request: Request<wire::SetAwsKeyPrimaryRegionRequest>,
    ) -> Result<Response<wire::SetAwsKeyPrimaryRegionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.update_primary_region", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::SetAwsKeyPrimaryRegionRequest| async move {
            let done = core.update_primary_region(&permit, key_id(&q.id)?, &q.region).await?;
            Ok(wire::SetAwsKeyPrimaryRegionResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn enable_aws_key_auto_rotation(
        &self,
        request: Request<wire::EnableAwsKeyAutoRotationRequest>,
    ) -> Result<Response<wire::EnableAwsKeyAutoRotationResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.enable_auto_rotation", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::EnableAwsKeyAutoRotationRequest| async move {
            let done = core.enable_auto_rotation(&permit, key_id(&q.id)?, Some(q.days).filter(|days| *days != 0)).await?;
            Ok(wire::EnableAwsKeyAutoRotationResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn disable_aws_key_auto_rotation(
        &self,
        request: Request<wire::DisableAwsKeyAutoRotationRequest>,
    ) -> Result<Response<wire::DisableAwsKeyAutoRotationResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.disable_auto_rotation", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DisableAwsKeyAutoRotationRequest| async move {
            let done = core.disable_auto_rotation(&permit, key_id(&q.id)?).await?;
            Ok(wire::DisableAwsKeyAutoRotationResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn enable_aws_key_rotation_job(
        &self,
        request: Request<wire::EnableAwsKeyRotationJobRequest>,
    ) -> Result<Response<wire::EnableAwsKeyRotationJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.enable_rotation_job", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::EnableAwsKeyRotationJobRequest| async move {
            let job = KeyRotationJobEntry {
                job: Uuid::try_parse(&q.job_id)
                    .map_err(|_| CoreError::Invalid { field: "job_id", detail: "there is no such job".into() })?,
                key_source: said(q.key_source),
                disable_encrypt: q.disable,
                disable_encrypt_on_all_accounts: false,
            };
            let done = core.enable_key_rotation_job(&permit, key_id(&q.id)?, job).await?;
            Ok(wire::EnableAwsKeyRotationJobResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn disable_aws_key_rotation_job(
        &self,
        request: Request<wire::DisableAwsKeyRotationJobRequest>,
    ) -> Result<Response<wire::DisableAwsKeyRotationJobResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("aws_key.disable_rotation_job", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DisableAwsKeyRotationJobRequest| async move {
            let done = core.disable_key_rotation_job(&permit, key_id(&q.id)?).await?;
            Ok(wire::DisableAwsKeyRotationJobResponse { key: Some(key(done)) })
        };
        self.0.rpc(request, call, act).await
    }
}

/// What is no id names nothing.
fn key_id(text: &str) -> Result<Uuid, Refusal> {
    Ok(Uuid::try_parse(text).map_err(|_| CoreError::NotFound("key"))?)
}
