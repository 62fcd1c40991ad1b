//! CloudHSM v2: the account's clusters, a handful in each region, made when they are first asked for.
//!
//! Always holds: a cluster never changes; the certificate that `DescribeClusters` shows as `ClusterCertificate` is also the trust anchor
//! (in AWS it is signed by it), and every cluster's `kmsuser` has the password [`KMS_USER_PASSWORD`].

use std::collections::BTreeMap;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    call::Call,
    clock::seconds,
    draw,
    error::{AwsException, ErrorName},
    state::{Cluster, Password, Region, StoreKind},
};

/// Answers a call of CloudHSM v2.
///
/// # Errors
/// What the operation fails with.
pub(crate) fn answer(call: &Call, body: &Value) -> Result<Value, AwsException> {
    match call.operation.as_str() {
        "DescribeClusters" => describe(call, body),
        other => Err(AwsException::new(ErrorName::UnknownOperation, format!("{other} is not simulated."))),
    }
}

/// Fails unless the cluster can be a key store's: there, active, and with two HSMs.
///
/// # Errors
/// `CloudHsmClusterNotFoundException`, `CloudHsmClusterNotActiveException`, `CloudHsmClusterInvalidConfigurationException`.
pub(crate) fn fit_for_store(region: &mut Region, id: &str, now_ms: i64) -> Result<(), AwsException> {
    let cluster = clusters(region, now_ms)?.iter().find(|cluster| cluster.id == id);
    let cluster = cluster.ok_or_else(|| refused(ErrorName::CloudHsmClusterNotFound, id, "does not exist"))?;
    if cluster.state != ACTIVE {
        return Err(refused(ErrorName::CloudHsmClusterNotActive, id, "is not active"));
    }
    if cluster.hsms < 2 {
        return Err(refused(ErrorName::CloudHsmClusterInvalidConfiguration, id, "has fewer than two HSMs"));
    }
    Ok(())
}

/// Fails if a key store uses the cluster, or one with the same certificate.
///
/// # Errors
/// `CloudHsmClusterInUseException`.
pub(crate) fn unused(region: &Region, id: &str) -> Result<(), AwsException> {
    let anchor = region.clusters.iter().find(|cluster| cluster.id == id).map(|cluster| &cluster.trust_anchor);
    let used = region.stores.values().any(|store| match &store.kind {
        StoreKind::CloudHsm { cluster_id, .. } => {
            region.clusters.iter().any(|cluster| cluster.id == *cluster_id && Some(&cluster.trust_anchor) == anchor)
        }
        StoreKind::External(_) => false,
    });
    if used { Err(refused(ErrorName::CloudHsmClusterInUse, id, "is in use by a key store")) } else { Ok(()) }
}

/// Fails unless `pem` is the cluster's trust anchor.
///
/// # Errors
/// `IncorrectTrustAnchorException`.
pub(crate) fn anchored(region: &Region, id: &str, pem: &str) -> Result<(), AwsException> {
    let cluster = region.clusters.iter().find(|cluster| cluster.id == id);
    let same = cluster.is_some_and(|cluster| der(&cluster.trust_anchor).is_some_and(|known| der(pem) == Some(known)));
    if same { Ok(()) } else { Err(refused(ErrorName::IncorrectTrustAnchor, id, "has another trust anchor")) }
}

/// Fails unless the cluster shares its certificate with the one that a store has.
///
/// # Errors
/// `CloudHsmClusterNotRelatedException`.
pub(crate) fn related(region: &Region, id: &str, trust_anchor: &str) -> Result<(), AwsException> {
    anchored(region, id, trust_anchor).map_err(|_| refused(ErrorName::CloudHsmClusterNotRelated, id, "has another certificate"))
}

/// The `ConnectionErrorCode` that connecting to the cluster ends with.
pub(crate) fn connection_error(region: &Region, id: &str, password: &Password) -> Option<&'static str> {
    match region.clusters.iter().find(|cluster| cluster.id == id) {
        None => Some("CLUSTER_NOT_FOUND"),
        Some(cluster) if cluster.hsms == 0 => Some("INSUFFICIENT_CLOUDHSM_HSMS"),
        Some(cluster) if cluster.kms_user_password != *password => Some("INVALID_CREDENTIALS"),
        Some(_) => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    #[serde(default)]
    filters: BTreeMap<String, Vec<String>>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

fn describe(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: Input = call.input(body)?;
    let invalid = |text: &str| AwsException::new(ErrorName::CloudHsmInvalidRequest, text);
    if input.filters.keys().any(|name| !["clusterIds", "vpcIds", "states"].contains(&name.as_str())) {
        return Err(invalid("Filters are clusterIds, vpcIds and states."));
    }
    let limit = match input.max_results {
        None => MOST_RESULTS,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=MOST_RESULTS).contains(limit))
            .ok_or_else(|| invalid("MaxResults is 1 to 25."))?,
    };
    let now_ms = call.now_ms();
    let all = call.change(|region| clusters(region, now_ms).map(<[Cluster]>::to_vec))?;
    let wanted = |name: &str, value: &str| input.filters.get(name).is_none_or(|values| values.iter().any(|one| one == value));
    let mut found: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(at, cluster)| wanted("clusterIds", &cluster.id) && wanted("states", &cluster.state) && wanted("vpcIds", &vpc(*at)))
        .collect();
    if let Some(token) = &input.next_token {
        let at = found.iter().position(|(_, cluster)| cluster.id == *token).ok_or_else(|| invalid("NextToken is none of ours."))?;
        found.drain(..at);
    }
    let mut answer = Map::new();
    if let Some((_, next)) = found.get(limit) {
        answer.insert("NextToken".into(), next.id.as_str().into());
    }
    answer.insert("Clusters".into(), found.iter().take(limit).map(|(at, cluster)| entry(&call.region, *at, cluster)).collect());
    Ok(answer.into())
}

fn entry(region: &str, at: usize, cluster: &Cluster) -> Value {
    let zone = |n: usize| format!("{region}{}", ["a", "b", "c"][n % 3]);
    let subnet = |n: usize| format!("subnet-0{at}{n}00000000000000");
    let hsms: Vec<_> = (0..cluster.hsms)
        .map(|n| {
            json!({
                "AvailabilityZone": zone(n), "ClusterId": cluster.id, "SubnetId": subnet(n), "EniId": format!("eni-0{at}{n}00000000000000"),
                "EniIp": format!("10.0.{at}.{}", n + 10), "HsmId": format!("hsm-{}{}", &cluster.id["cluster-".len()..], n + 2), "HsmType": HSM_TYPE, "State": "ACTIVE",
            })
        })
        .collect();
    let mut entry = json!({
        "BackupPolicy": "DEFAULT",
        "BackupRetentionPolicy": {"Type": "DAYS", "Value": "90"},
        "ClusterId": cluster.id,
        "CreateTimestamp": seconds(cluster.created_ms),
        "Hsms": hsms,
        "HsmType": HSM_TYPE,
        "Mode": "FIPS",
        "NetworkType": "IPV4",
        "SecurityGroup": format!("sg-0{at}00000000000000a"),
        "State": cluster.state,
        "SubnetMapping": {zone(0): subnet(0), zone(1): subnet(1)},
        "TagList": [],
        "VpcId": vpc(at),
    });
    if cluster.state == ACTIVE {
        entry["Certificates"] = json!({"ClusterCertificate": cluster.trust_anchor});
    }
    entry
}

/// The region's clusters: two fit for a key store and related, one fit, one with a single HSM, one not initialised.
fn clusters(region: &mut Region, now_ms: i64) -> Result<&[Cluster], AwsException> {
    if region.clusters.is_empty() {
        let shared = trust_anchor()?;
        let rows = [(ACTIVE, 2, shared.clone()), (ACTIVE, 2, shared), (ACTIVE, 2, trust_anchor()?), (ACTIVE, 1, trust_anchor()?)];
        let rows = rows.into_iter().chain([("UNINITIALIZED", 0, trust_anchor()?)]);
        region.clusters = rows
            .map(|(state, hsms, trust_anchor)| Cluster {
                id: format!("cluster-{}", draw::lower_base32::<7>()),
                state: state.into(),
                created_ms: now_ms,
                hsms,
                trust_anchor,
                kms_user_password: Password(KMS_USER_PASSWORD.into()),
            })
            .collect();
    }
    Ok(&region.clusters)
}

fn trust_anchor() -> Result<String, AwsException> {
    let made = || {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("customerCA {}", draw::hex::<4>()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok::<_, rcgen::Error>(params.self_signed(&KeyPair::generate()?)?.pem())
    };
    made().map_err(|error| AwsException::new(ErrorName::KmsInternal, format!("A cluster's certificate was not made: {error}.")))
}

fn der(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

fn vpc(at: usize) -> String {
    format!("vpc-0{at}0000000000000a")
}

fn refused(name: ErrorName, id: &str, what: &str) -> AwsException {
    AwsException::new(name, format!("The CloudHSM cluster {id} {what}."))
}

const ACTIVE: &str = "ACTIVE";
const HSM_TYPE: &str = "hsm1.medium";
/// As AWS's model has it (`ClustersMaxSize`).
const MOST_RESULTS: usize = 25;
/// What the `kmsuser` of every cluster logs in with.
const KMS_USER_PASSWORD: &str = "kmsuser-password";
