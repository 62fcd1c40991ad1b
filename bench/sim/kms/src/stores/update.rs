//! `UpdateCustomKeyStore`.
//!
//! Always holds: a store's name, and an external one's credential and path, can change while it is CONNECTED; everything else only while it
//! is DISCONNECTED; a changed proxy is asked for its health before the change is kept; only the given members change, so that of two calls
//! at once neither undoes the other.

use serde::Deserialize;
use serde_json::Value;

use super::{
    create::free_proxy,
    empty, find_mut, free_name,
    members::{self, CredentialInput},
    probe, wrong_state,
};
use crate::{
    call::{Call, required},
    cloudhsm,
    error::AwsException,
    state::{Connection, Connectivity, External, Region, Store, StoreKind},
};

#[derive(Clone, Deserialize)]
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
    xks_proxy_vpc_endpoint_service_owner: Option<String>,
    xks_proxy_authentication_credential: Option<CredentialInput>,
}

/// `UpdateCustomKeyStore`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn update(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let mut input: Input = call.input(body)?;
    let id = required(input.custom_key_store_id.take(), "customKeyStoreId")?;
    let now_ms = call.now_ms();
    // Once to learn which proxy to ask, and once more on what is there then.
    let planned = call.change(|region| input.clone().planned(region, &id, now_ms))?;
    if let Some(proxy) = planned.to_ask() {
        probe::health(call, &id, proxy).await.map_err(|error| error.at_configuration())?;
    }
    call.change(|region| {
        let Planned { name, kind, .. } = input.planned(region, &id, now_ms)?;
        let store = find_mut(region, &id)?;
        (store.name, store.kind) = (name, kind);
        Ok(empty())
    })
}

/// What a store is to become.
struct Planned {
    name: String,
    kind: StoreKind,
    /// Whether its proxy has to show first that it is well.
    asks: bool,
}

impl Planned {
    const fn to_ask(&self) -> Option<&External> {
        match &self.kind {
            StoreKind::External(external) if self.asks => Some(external),
            StoreKind::External(_) | StoreKind::CloudHsm { .. } => None,
        }
    }
}

impl Input {
    /// The store as it is now, with what is given changed. Changes nothing itself, except that a region's clusters are made when they are
    /// first asked for.
    fn planned(mut self, region: &mut Region, id: &str, now_ms: i64) -> Result<Planned, AwsException> {
        let store = find_mut(region, id)?.clone();
        let name = self.new_custom_key_store_name.take().map(members::name).transpose()?;
        if let Some(name) = &name {
            free_name(region, name, Some(id))?;
        }
        let name = name.unwrap_or_else(|| store.name.clone());
        match &store.kind {
            StoreKind::CloudHsm { .. } => Ok(Planned { name, kind: self.cloud_hsm(region, &store, now_ms)?, asks: false }),
            StoreKind::External(now) => {
                let wanted = self.external(&store, now)?;
                free_proxy(region, &wanted, Some(id))?;
                let same = wanted.endpoint == now.endpoint && wanted.path == now.path && wanted.credential == now.credential;
                let reached = wanted.connectivity == Connectivity::PublicEndpoint || store.connection == Connection::Connected;
                Ok(Planned { name, kind: StoreKind::External(wanted), asks: !same && reached })
            }
        }
    }

    fn cloud_hsm(self, region: &mut Region, old: &Store, now_ms: i64) -> Result<StoreKind, AwsException> {
        let foreign = self.xks_proxy_connectivity.is_some()
            || self.xks_proxy_uri_endpoint.is_some()
            || self.xks_proxy_uri_path.is_some()
            || self.xks_proxy_vpc_endpoint_service_name.is_some()
            || self.xks_proxy_vpc_endpoint_service_owner.is_some()
            || self.xks_proxy_authentication_credential.is_some();
        if foreign {
            return Err(AwsException::invalid("XksProxy parameters are valid for external key stores only."));
        }
        let elsewhere = self.cloud_hsm_cluster_id.is_some() || self.key_store_password.is_some();
        only_where_allowed(old, elsewhere)?;
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
            || self.xks_proxy_vpc_endpoint_service_name.is_some()
            || self.xks_proxy_vpc_endpoint_service_owner.is_some();
        only_where_allowed(old, elsewhere)?;
        let connectivity = self.xks_proxy_connectivity.map_or(Ok(now.connectivity), |name| members::connectivity(&name))?;
        if connectivity != now.connectivity && self.xks_proxy_uri_endpoint.is_none() {
            return Err(AwsException::invalid("With XksProxyConnectivity, XksProxyUriEndpoint has to change, too."));
        }
        let named = self.xks_proxy_vpc_endpoint_service_name.filter(|name| !name.is_empty());
        let owner = self.xks_proxy_vpc_endpoint_service_owner.filter(|owner| !owner.is_empty());
        let (vpc_service, vpc_owner) = match connectivity {
            Connectivity::PublicEndpoint if named.is_none() && owner.is_none() => (None, None),
            Connectivity::PublicEndpoint => return Err(members::vpc_only()),
            Connectivity::VpcEndpointService => {
                let service = named.map(members::vpc_service).transpose()?.or_else(|| now.vpc_service.clone());
                let owner = owner.map(members::vpc_owner).transpose()?.or_else(|| now.vpc_owner.clone());
                (Some(required(service, "xksProxyVpcEndpointServiceName")?), owner)
            }
        };
        let credential = self.xks_proxy_authentication_credential.map(CredentialInput::check).transpose()?;
        let changed = credential.as_ref().is_some_and(|new| *new != now.credential);
        Ok(External {
            endpoint: self.xks_proxy_uri_endpoint.map(members::endpoint).transpose()?.unwrap_or_else(|| now.endpoint.clone()),
            path: self.xks_proxy_uri_path.map(members::path).transpose()?.unwrap_or_else(|| now.path.clone()),
            connectivity,
            vpc_service,
            vpc_owner,
            previous: if changed { Some(now.credential.clone()) } else { now.previous.clone() },
            credential: credential.unwrap_or_else(|| now.credential.clone()),
        })
    }
}

/// Fails if the store's connection does not allow this change: `elsewhere` is one that leads to another place.
fn only_where_allowed(store: &Store, elsewhere: bool) -> Result<(), AwsException> {
    match store.connection {
        Connection::Disconnected => Ok(()),
        Connection::Connected if !elsewhere => Ok(()),
        Connection::Connected | Connection::Connecting | Connection::Disconnecting | Connection::Failed(_) => Err(wrong_state(store)),
    }
}
