//! CloudHSM clusters that no custom key store uses (contract §7.9), in AWS's own members (DescribeClusters API).

use std::sync::Arc;

use aws_sdk_cloudhsmv2::types::{Cluster, Hsm};
use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::request::ClustersBody;
use crate::{
    access::{Permit, Read},
    api::{
        Api,
        call::Call,
        error::Refusal,
        rest::{asking::Asking, body::Payload, openapi::Refusals},
    },
};

/// This file's path.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(unused))
}

/// CloudHSM clusters.
#[derive(Serialize, ToSchema)]
struct UnusedClusters {
    total: usize,
    detailed_status: String,
    /// As AWS tells of them.
    #[schema(value_type = Vec<Object>)]
    resources: Vec<Map<String, Value>>,
}

/// Lists the CloudHSM clusters of an account and region that no custom key store there uses, as AWS tells now.
#[utoipa::path(post, path = "/cckm/aws/custom-key-stores/get-unused-cloudhsm-clusters", tag = "Key stores", request_body = ClustersBody,
    responses((status = 200, body = UnusedClusters), Refusals))]
async fn unused(
    State(api): State<Arc<Api>>,
    asking: Asking,
    Payload(body): Payload<ClustersBody>,
) -> Result<Json<UnusedClusters>, Refusal> {
    let api = &api;
    let act = |permit: Permit<Read>| async move {
        let (kms, region) = body?.place()?;
        let clusters = api.core.unused_clusters(&permit, &kms, &region).await?;
        let resources: Vec<_> = clusters.iter().map(cluster).collect();
        let detailed_status = format!("{region}: {} unused CloudHSM clusters", resources.len());
        Ok(UnusedClusters { total: resources.len(), detailed_status, resources })
    };
    api.rest(&asking, Call::new("key_store.unused_clusters", ""), act).await.map(Json)
}

fn cluster(of: &Cluster) -> Map<String, Value> {
    let retention = of.backup_retention_policy.as_ref().map(|policy| {
        present([("Type", policy.r#type.as_ref().map(|kind| kind.as_str().into())), ("Value", policy.value.clone().map(Value::from))])
    });
    let certificates = of.certificates.as_ref().map(|pem| {
        present([
            ("ClusterCsr", pem.cluster_csr.clone().map(Value::from)),
            ("HsmCertificate", pem.hsm_certificate.clone().map(Value::from)),
            ("AwsHardwareCertificate", pem.aws_hardware_certificate.clone().map(Value::from)),
            ("ManufacturerHardwareCertificate", pem.manufacturer_hardware_certificate.clone().map(Value::from)),
            ("ClusterCertificate", pem.cluster_certificate.clone().map(Value::from)),
        ])
    });
    let tags = of.tag_list.as_ref().map(|tags| tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect());
    present([
        ("BackupPolicy", of.backup_policy.as_ref().map(|policy| policy.as_str().into())),
        ("BackupRetentionPolicy", retention.map(Value::Object)),
        ("Certificates", certificates.map(Value::Object)),
        ("ClusterId", of.cluster_id.clone().map(Value::from)),
        ("CreateTimestamp", of.create_timestamp.map(|at| at.as_secs_f64().into())),
        ("HsmType", of.hsm_type.clone().map(Value::from)),
        ("Hsms", of.hsms.as_ref().map(|hsms| hsms.iter().map(hsm).collect())),
        ("PreCoPassword", of.pre_co_password.clone().map(Value::from)),
        ("SecurityGroup", of.security_group.clone().map(Value::from)),
        ("SourceBackupId", of.source_backup_id.clone().map(Value::from)),
        ("State", of.state.as_ref().map(|state| state.as_str().into())),
        ("StateMessage", of.state_message.clone().map(Value::from)),
        ("SubnetMapping", of.subnet_mapping.as_ref().map(|subnets| json!(subnets))),
        ("TagList", tags),
        ("VpcId", of.vpc_id.clone().map(Value::from)),
    ])
}

fn hsm(of: &Hsm) -> Map<String, Value> {
    present([
        ("AvailabilityZone", of.availability_zone.clone().map(Value::from)),
        ("ClusterId", of.cluster_id.clone().map(Value::from)),
        ("SubnetId", of.subnet_id.clone().map(Value::from)),
        ("EniId", of.eni_id.clone().map(Value::from)),
        ("EniIp", of.eni_ip.clone().map(Value::from)),
        ("HsmId", Some(of.hsm_id.clone().into())),
        ("State", of.state.as_ref().map(|state| state.as_str().into())),
        ("StateMessage", of.state_message.clone().map(Value::from)),
    ])
}

/// What AWS leaves out is left out.
fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_told_in_the_members_that_aws_has_for_it() {
        let hsm = Hsm::builder().hsm_id("hsm-1").eni_ip("10.0.0.1").build().unwrap();
        let told = cluster(&Cluster::builder().cluster_id("cluster-1").state("ACTIVE".into()).hsms(hsm).build());
        let told = Value::Object(told);
        assert_eq!(told, json!({ "ClusterId": "cluster-1", "State": "ACTIVE", "Hsms": [{ "HsmId": "hsm-1", "EniIp": "10.0.0.1" }] }));
    }
}
