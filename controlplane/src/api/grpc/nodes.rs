//! Data planes.

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};

use super::convert::node;
use crate::{
    access::{Administer, Permit, Read},
    api::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    names::NodeName,
};

/// The service.
pub(super) struct NodesApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::nodes_server::Nodes for NodesApi {
    async fn list_nodes(&self, request: Request<wire::ListNodesRequest>) -> Result<Response<wire::ListNodesResponse>, Status> {
        let core = &self.0.core;
        let act = async |permit: Permit<Read>| Ok(wire::ListNodesResponse { nodes: core.nodes(&permit).iter().map(node).collect() });
        self.0.rpc(request, Call::new("node.list", ""), |permit, _| act(permit)).await
    }

    async fn resync_node(&self, request: Request<wire::ResyncNodeRequest>) -> Result<Response<wire::ResyncNodeResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("node.resync", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::ResyncNodeRequest| async move {
            core.resync_node(&permit, &node_name(&q.name)?)?;
            Ok(wire::ResyncNodeResponse {})
        };
        self.0.rpc(request, call, act).await
    }

    async fn forget_node(&self, request: Request<wire::ForgetNodeRequest>) -> Result<Response<wire::ForgetNodeResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("node.forget", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::ForgetNodeRequest| async move {
            let name = node_name(&q.name)?;
            let registered = core.forget_node(&permit, &name).await?;
            tracing::info!(node = %name, registered, "node forgotten");
            Ok(wire::ForgetNodeResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

fn node_name(text: &str) -> Result<NodeName, Refusal> {
    NodeName::try_from(text).map_err(|e| Refusal::new(Kind::Invalid, e.to_string()))
}
