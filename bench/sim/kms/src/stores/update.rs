//! `UpdateCustomKeyStore`.
//!
//! Always holds: an external store's name, credential and path can change while it is CONNECTED; everything else, and all of a CloudHSM
//! store, only while it is DISCONNECTED; a changed proxy is asked for its health before the change is kept.

use serde::Deserialize;
use serde_json::Value;

use super::{
    create::free_proxy,
    empty, find, find_mut, free_name,
    members::{self, CredentialInput},
    probe, wrong_state,
};
use crate::{
    call::{Call, required},
    cloudhsm,
    error::AwsException,
    state::{Connection, Connectivity, External, Region, Store, StoreKind},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    custom_key_store_id: Option<String>,
    new_custom_key_store_name: Option<String>,
    cloud_hsm_cluster_id: Option<String>,
    key_store_password: Option<String>,
    xks_proxy_connectivity: Option<String>,
    xks_proxy_uri_endpoint: Option<String>,
    xks_proxy_uri_path: Option<String>,
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    xks_proxy_authentication_credential: Option<CredentialInput>,
}

/// `UpdateCustomKeyStore`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn update(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let mut input: Input = call.input(body)?;
    let id = required(input.custom_key_store_id.take(), "customKeyStoreId")?;
    let old = call.look(|region| find(region, &id).cloned())?;
    let name = input.new_custom_key_store_name.take().map(members::name).transpose()?;
    let free = |region: &Region| name.as_deref().map_or(Ok(()), |name| free_name(region, name, Some(&id)));
    call.look(free)?;
    let now_ms = call.now_ms();
    let kind = match &old.kind {
        StoreKind::CloudHsm { .. } => call.change(|region| input.cloud_hsm(region, &old, now_ms))?,
        StoreKind::External(external) => {
            let wanted = input.external(&old, external)?;
            call.look(|region| free_proxy(region, &wanted, Some(&id)))?;
            let same = wanted.endpoint == external.endpoint && wanted.path == external.path && wanted.credential == external.credential;
            let reached = wanted.connectivity == Connectivity::PublicEndpoint || old.connection == Connection::Connected;
            if !same && reached {
                probe::health(call, &id, &wanted).await.map_err(|error| error.at_configuration())?;
            }
            StoreKind::External(wanted)
        }
    };
    call.change(|region| {
        free(region)?;
        if let StoreKind::External(wanted) = &kind {
            free_proxy(region, wanted, Some(&id))?;
        }
        let store = find_mut(region, &id)?;
        if store.connection != old.connection {
            return Err(wrong_state(store));
        }
        store.kind = kind;
        store.name = name.clone().unwrap_or_else(|| store.name.clone());
        Ok(empty())
    })
}

impl Input {
    fn cloud_hsm(self, region: &mut Region, old: &Store, now_ms: i64) -> Result<StoreKind, AwsException> {
        let foreign = self.xks_proxy_connectivity.is_some()
            || self.xks_proxy_uri_endpoint.is_some()
            || self.xks_proxy_uri_path.is_some()
            || self.xks_proxy_vpc_endpoint_service_name.is_some()
            || self.xks_proxy_authentication_credential.is_some();
        if foreign {
            return Err(AwsException::invalid("XksProxy parameters are valid for external key stores only."));
        }
        if old.connection != Connection::Disconnected {
            return Err(wrong_state(old));
        }
        let mut kind = old.kind.clone();
        if let StoreKind::CloudHsm { cluster_id, trust_anchor, password } = &mut kind {
            if let Some(other) = self.cloud_hsm_cluster_id.map(members::cluster_id).transpose()?
                && other != *cluster_id
            {
                cloudhsm::fit_for_store(region, &other, now_ms)?;
                cloudhsm::related(region, &other, trust_anchor)?;
                *cluster_id = other;
            }
            if let Some(other) = self.key_store_password.map(members::password).transpose()? {
                *password = other;
            }
        }
        Ok(kind)
    }

    fn external(self, old: &Store, now: &External) -> Result<External, AwsException> {
        if self.cloud_hsm_cluster_id.is_some() || self.key_store_password.is_some() {
            return Err(AwsException::invalid("CloudHsmClusterId and KeyStorePassword are valid for CloudHSM key stores only."));
        }
        let elsewhere = self.xks_proxy_connectivity.is_some()
            || self.xks_proxy_uri_endpoint.is_some()
            || self.xks_proxy_vpc_endpoint_service_name.is_some();
        match old.connection {
            Connection::Disconnected => {}
            Connection::Connected if !elsewhere => {}
            Connection::Connected | Connection::Connecting | Connection::Disconnecting | Connection::Failed(_) => {
                return Err(wrong_state(old));
            }
        }
        let connectivity = self.xks_proxy_connectivity.map_or(Ok(now.connectivity), |name| members::connectivity(&name))?;
        if connectivity != now.connectivity && self.xks_proxy_uri_endpoint.is_none() {
            return Err(AwsException::invalid("With XksProxyConnectivity, XksProxyUriEndpoint has to change, too."));
        }
        let named = self.xks_proxy_vpc_endpoint_service_name.filter(|name| !name.is_empty());
        let vpc_service = match (connectivity, named) {
            (Connectivity::PublicEndpoint, None) => None,
            (Connectivity::PublicEndpoint, Some(_)) => {
                return Err(AwsException::invalid("XksProxyVpcEndpointServiceName is valid with VPC_ENDPOINT_SERVICE only."));
            }
            (Connectivity::VpcEndpointService, Some(name)) => Some(members::vpc_service(name)?),
            (Connectivity::VpcEndpointService, None) => Some(required(now.vpc_service.clone(), "xksProxyVpcEndpointServiceName")?),
        };
        let credential = self.xks_proxy_authentication_credential.map(CredentialInput::check).transpose()?;
        let changed = credential.as_ref().is_some_and(|new| *new != now.credential);
        Ok(External {
            endpoint: self.xks_proxy_uri_endpoint.map(members::endpoint).transpose()?.unwrap_or_else(|| now.endpoint.clone()),
            path: self.xks_proxy_uri_path.map(members::path).transpose()?.unwrap_or_else(|| now.path.clone()),
            connectivity,
            vpc_service,
            previous: if changed { Some(now.credential.clone()) } else { now.previous.clone() },
            credential: credential.unwrap_or_else(|| now.credential.clone()),
        })
    }
}
