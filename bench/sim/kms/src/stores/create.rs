//! `CreateCustomKeyStore`.
//!
//! Always holds: a store of a public endpoint is made only after its proxy answered a health request signed with its credential.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    free_name,
    members::{self, CredentialInput},
    probe,
};
use crate::{
    call::{Call, required},
    cloudhsm, draw,
    error::{AwsException, ErrorName},
    state::{Connection, Connectivity, External, Region, Store, StoreKind},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    custom_key_store_name: Option<String>,
    custom_key_store_type: Option<String>,
    cloud_hsm_cluster_id: Option<String>,
    key_store_password: Option<String>,
    trust_anchor_certificate: Option<String>,
    xks_proxy_connectivity: Option<String>,
    xks_proxy_uri_endpoint: Option<String>,
    xks_proxy_uri_path: Option<String>,
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    xks_proxy_vpc_endpoint_service_owner: Option<String>,
    xks_proxy_authentication_credential: Option<CredentialInput>,
}

/// `CreateCustomKeyStore`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn create(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let mut input: Input = call.input(body)?;
    let name = members::name(required(input.custom_key_store_name.take(), "customKeyStoreName")?)?;
    let kind = match input.custom_key_store_type.as_deref() {
        None | Some("AWS_CLOUDHSM") => input.cloud_hsm()?,
        Some("EXTERNAL_KEY_STORE") => input.external()?,
        Some(other) => {
            return Err(AwsException::invalid(format!(
                "1 validation error detected: Value '{other}' at 'customKeyStoreType' failed to satisfy constraint: Member must satisfy \
                 enum value set: [AWS_CLOUDHSM, EXTERNAL_KEY_STORE]"
            )));
        }
    };
    // Once before the proxy is asked, so that the error is the same whether or not it answers, and once more when all is decided.
    let now_ms = call.now_ms();
    call.change(|region| check(region, (&name, &kind), now_ms))?;
    if let StoreKind::External(external) = &kind
        && external.connectivity == Connectivity::PublicEndpoint
    {
        probe::health(call, "", external).await.map_err(|error| error.at_configuration())?;
    }
    let id = format!("cks-{}", &draw::hex::<9>()[..17]);
    let store = Store { id: id.clone(), name, created_ms: now_ms, connection: Connection::Disconnected, attempt: 0, kind };
    call.change(|region| {
        check(region, (&store.name, &store.kind), now_ms)?;
        region.stores.insert(store.id.clone(), store);
        Ok(())
    })?;
    Ok(json!({"CustomKeyStoreId": id}))
}

fn check(region: &mut Region, (name, kind): (&str, &StoreKind), now_ms: i64) -> Result<(), AwsException> {
    free_name(region, name, None)?;
    match kind {
        StoreKind::External(external) => free_proxy(region, external, None)?,
        StoreKind::CloudHsm { cluster_id, trust_anchor, .. } => {
            cloudhsm::fit_for_store(region, cluster_id, now_ms)?;
            cloudhsm::unused(region, cluster_id)?;
            cloudhsm::anchored(region, cluster_id, trust_anchor)?;
        }
    }
    if region.stores.len() >= MOST_STORES {
        return Err(AwsException::new(
            ErrorName::LimitExceeded,
            format!("An account has at most {MOST_STORES} custom key stores in a region."),
        ));
    }
    Ok(())
}

/// Fails if another store has the same address, or may not share an endpoint or VPC endpoint service with this one.
pub(super) fn free_proxy(region: &Region, wanted: &External, own: Option<&str>) -> Result<(), AwsException> {
    let others = region.stores.values().filter(|store| Some(store.id.as_str()) != own);
    let others = others.filter_map(|store| match &store.kind {
        StoreKind::External(external) => Some(external),
        StoreKind::CloudHsm { .. } => None,
    });
    for other in others {
        let same_endpoint = other.endpoint.eq_ignore_ascii_case(&wanted.endpoint);
        if same_endpoint && other.path == wanted.path {
            let text = "The concatenation of XksProxyUriEndpoint and XksProxyUriPath is in use by another external key store.";
            return Err(AwsException::new(ErrorName::XksProxyUriInUse, text));
        }
        let both_public = [other, wanted].iter().all(|proxy| proxy.connectivity == Connectivity::PublicEndpoint);
        if same_endpoint && !both_public {
            let text =
                "The XksProxyUriEndpoint is in use by an external key store, and one of the two is reached by a VPC endpoint service.";
            return Err(AwsException::new(ErrorName::XksProxyUriEndpointInUse, text));
        }
        if wanted.vpc_service.is_some() && other.vpc_service == wanted.vpc_service {
            let text = "The VPC endpoint service is in use by another external key store.";
            return Err(AwsException::new(ErrorName::XksProxyVpcEndpointServiceInUse, text));
        }
    }
    Ok(())
}

impl Input {
    fn cloud_hsm(self) -> Result<StoreKind, AwsException> {
        let foreign = [
            self.xks_proxy_connectivity.is_some(),
            self.xks_proxy_uri_endpoint.is_some(),
            self.xks_proxy_uri_path.is_some(),
            self.xks_proxy_vpc_endpoint_service_name.is_some(),
            self.xks_proxy_vpc_endpoint_service_owner.is_some(),
            self.xks_proxy_authentication_credential.is_some(),
        ];
        if foreign.contains(&true) {
            return Err(AwsException::invalid("XksProxy parameters are valid for external key stores only."));
        }
        Ok(StoreKind::CloudHsm {
            cluster_id: members::cluster_id(required(self.cloud_hsm_cluster_id, "cloudHsmClusterId")?)?,
            trust_anchor: members::trust_anchor(required(self.trust_anchor_certificate, "trustAnchorCertificate")?)?,
            password: members::password(required(self.key_store_password, "keyStorePassword")?)?,
        })
    }

    fn external(self) -> Result<StoreKind, AwsException> {
        if self.cloud_hsm_cluster_id.is_some() || self.key_store_password.is_some() || self.trust_anchor_certificate.is_some() {
            return Err(AwsException::invalid(
                "CloudHsmClusterId, KeyStorePassword and TrustAnchorCertificate are valid for CloudHSM key stores only.",
            ));
        }
        let connectivity = members::connectivity(&required(self.xks_proxy_connectivity, "xksProxyConnectivity")?)?;
        let vpc_owner = self.xks_proxy_vpc_endpoint_service_owner;
        let (vpc_service, vpc_owner) = match (connectivity, self.xks_proxy_vpc_endpoint_service_name) {
            (Connectivity::PublicEndpoint, None) if vpc_owner.is_none() => (None, None),
            (Connectivity::PublicEndpoint, _) => return Err(members::vpc_only()),
            (Connectivity::VpcEndpointService, name) => {
                let service = members::vpc_service(required(name, "xksProxyVpcEndpointServiceName")?)?;
                (Some(service), vpc_owner.map(members::vpc_owner).transpose()?)
            }
        };
        Ok(StoreKind::External(External {
            endpoint: members::endpoint(required(self.xks_proxy_uri_endpoint, "xksProxyUriEndpoint")?)?,
            path: members::path(required(self.xks_proxy_uri_path, "xksProxyUriPath")?)?,
            connectivity,
            vpc_service,
            vpc_owner,
            credential: required(self.xks_proxy_authentication_credential, "xksProxyAuthenticationCredential")?.check()?,
            previous: None,
        }))
    }
}

/// AWS's quota.
const MOST_STORES: usize = 10;
