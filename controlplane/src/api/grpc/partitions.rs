//! Partitions and the keys on them, over gRPC.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use holdfast_proto::admin::{self as wire, partitions_server::Partitions};
use tonic::{Request, Response, Status};

use super::{
    super::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    convert::{existing_key, texts},
    source_keys::source_key,
};
use crate::{
    access::{Manage, Permit, Read},
    core::{
        partitions::{AddPartition, PartitionView},
        source_keys::{NewPartitionKey, PartitionKeyOnToken},
    },
};

/// The service.
pub(super) struct PartitionsApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl Partitions for PartitionsApi {
    async fn list_partitions(
        &self,
        request: Request<wire::ListPartitionsRequest>,
    ) -> Result<Response<wire::ListPartitionsResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let partitions = core.partitions(&permit).await?.into_iter().map(partition).collect();
            Ok(wire::ListPartitionsResponse { partitions })
        };
        self.0.rpc(request, Call::new("partition.list", ""), act).await
    }

    async fn add_partition(&self, request: Request<wire::AddPartitionRequest>) -> Result<Response<wire::AddPartitionResponse>, Status> {
        let wire::AddPartitionRequest { partition, connection } = request.get_ref();
        let call = Call::new("partition.add", if partition.is_empty() { connection } else { partition });
        let core = &self.0.core;
        let act = |permit: Permit<Manage>, q: wire::AddPartitionRequest| async move {
            let wanted = match (q.partition.is_empty(), q.connection.is_empty()) {
                (false, true) => AddPartition::Named(q.partition),
                (true, false) => AddPartition::Connection(q.connection),
                (true, true) | (false, false) => {
                    return Err(Refusal::new(Kind::Invalid, "partition: name a partition or a connection, not both"));
                }
            };
            let added = core.add_partition(&permit, &wanted).await?;
            Ok(wire::AddPartitionResponse { partition: Some(self::partition(added)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn remove_partition(
        &self,
        request: Request<wire::RemovePartitionRequest>,
    ) -> Result<Response<wire::RemovePartitionResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("partition.remove", &request.get_ref().partition));
        let act = |permit: Permit<Manage>, q: wire::RemovePartitionRequest| async move {
            core.remove_partition(&permit, &q.partition).await?;
            Ok(wire::RemovePartitionResponse {})
        };
        self.0.rpc(request, call, act).await
    }

    async fn list_partition_keys(
        &self,
        request: Request<wire::ListPartitionKeysRequest>,
    ) -> Result<Response<wire::ListPartitionKeysResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("partition.list_keys", &request.get_ref().partition));
        let act = |permit: Permit<Read>, q: wire::ListPartitionKeysRequest| async move {
            let keys = core.partition_keys(&permit, &q.partition).await?.into_iter().map(key).collect();
            Ok(wire::ListPartitionKeysResponse { keys })
        };
        self.0.rpc(request, call, act).await
    }

    async fn generate_partition_key(
        &self,
        request: Request<wire::GeneratePartitionKeyRequest>,
    ) -> Result<Response<wire::GeneratePartitionKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("source_key.generate", &request.get_ref().label));
        let act = |permit: Permit<Manage>, q: wire::GeneratePartitionKeyRequest| async move {
            let wire::GeneratePartitionKeyRequest { partition, label } = q;
            let begun = core.generate_partition_key(&permit, &NewPartitionKey { partition, label }).await?;
            Ok(wire::GeneratePartitionKeyResponse { source_key: Some(source_key(&begun)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn adopt_partition_key(
        &self,
        request: Request<wire::AdoptPartitionKeyRequest>,
    ) -> Result<Response<wire::AdoptPartitionKeyResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("source_key.adopt", &request.get_ref().partition));
        let act = |permit: Permit<Manage>, q: wire::AdoptPartitionKeyRequest| async move {
            let named = q.key.ok_or_else(|| Refusal::new(Kind::Invalid, "key: name it by cka_id, label, or both"))?;
            let adopted = core.adopt_partition_key(&permit, &q.partition, &existing_key("key", &named)?).await?;
            Ok(wire::AdoptPartitionKeyResponse { source_key: Some(source_key(&adopted)) })
        };
        self.0.rpc(request, call, act).await
    }
}

fn partition(view: PartitionView) -> wire::Partition {
    wire::Partition {
        id: view.entry.id.to_string(),
        group: view.entry.group,
        label: view.entry.label,
        serial: view.entry.serial,
        connection_id: view.entry.connection.map(|id| id.to_string()).unwrap_or_default(),
        nodes: texts(view.nodes),
        created_ms: view.entry.stamps.created_ns / NS_PER_MS,
    }
}

fn key(on_token: PartitionKeyOnToken) -> wire::PartitionKey {
    let PartitionKeyOnToken { key, source } = on_token;
    wire::PartitionKey {
        cka_id: HEXLOWER.encode(&key.key.cka_id),
        label: key.key.label,
        algorithm: key.attributes.algorithm,
        size: key.attributes.bits,
        attributes: key.attributes.token.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect(),
        source_key_id: source.map(|id| id.to_string()).unwrap_or_default(),
    }
}

const NS_PER_MS: u64 = 1_000_000;
