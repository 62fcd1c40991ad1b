//! Custom key stores as AWS KMS has them, and what is asked of it about them (CreateCustomKeyStore API and its kin).
//!
//! Always holds: a password is sent on and never kept; what AWS tells is read leniently, since only its names and states matter here; AWS is
//! asked to make or change a key store once, so that what it refuses it has not done.

use aws_sdk_kms::{
    Client,
    operation::{
        create_custom_key_store::builders::CreateCustomKeyStoreFluentBuilder,
        update_custom_key_store::builders::UpdateCustomKeyStoreFluentBuilder,
    },
    types::{
        CustomKeyStoreType, CustomKeyStoresListEntry, XksProxyAuthenticationCredentialType, XksProxyConfigurationType,
        XksProxyConnectivityType,
    },
};
use holdfast_proto::{ids::AccessKeyId, secret::Secret};

use super::{AwsError, AwsFault, once, unless_throttled};
use crate::store::entry::{AddressEntry, ConnectionState, Connectivity};

/// A custom key store as AWS told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInAws {
    /// As in `cks-` and 17 digits.
    pub id: String,
    /// Unique in its account and region.
    pub name: String,
    /// ConnectionState.
    pub state: ConnectionState,
    /// ConnectionErrorCode, with [`ConnectionState::Failed`].
    pub error: Option<String>,
    /// What stands behind it.
    pub behind: Behind,
}

/// What stands behind a custom key store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// An external key store proxy.
    Proxy {
        /// Where it is.
        address: AddressEntry,
        /// Its path prefix.
        uri_path: String,
        /// With which AWS signs.
        access_key_id: Option<String>,
    },
    /// An AWS CloudHSM cluster.
    Cluster {
        /// The cluster.
        id: String,
        /// PEM.
        trust_anchor_certificate: String,
    },
}

/// A proxy that AWS is told of. What is absent stays as it is; a new key store needs all.
#[derive(Clone, Debug, Default)]
pub struct ProxyForAws {
    /// The key store's name.
    pub name: Option<String>,
    /// Where it is.
    pub address: Option<AddressEntry>,
    /// Its path prefix.
    pub uri_path: Option<String>,
    /// With which AWS is to sign.
    pub credential: Option<(AccessKeyId, Secret)>,
}

/// A CloudHSM cluster that AWS is told of. What is absent stays as it is; a new key store needs all.
#[derive(Clone, Debug, Default)]
pub struct ClusterForAws {
    /// The key store's name.
    pub name: Option<String>,
    /// The cluster.
    pub cluster_id: Option<String>,
    /// Of its crypto user `kmsuser`.
    pub password: Option<Secret>,
    /// PEM; never changes.
    pub trust_anchor_certificate: Option<String>,
}

/// All custom key stores of an account and region, page by page.
///
/// # Errors
/// [`AwsError`], as for all calls here.
pub async fn list(kms: &Client) -> Result<Vec<StoreInAws>, AwsError> {
    let mut pages = kms.describe_custom_key_stores().into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(AwsError::of(DESCRIBE))?;
        all.extend(page.custom_key_stores.unwrap_or_default().into_iter().filter_map(read));
    }
    Ok(all)
}

/// The custom key store with an id, or of a name; none: AWS has it not.
///
/// # Errors
/// [`AwsError`].
pub async fn describe(kms: &Client, name_or_id: &str) -> Result<Option<StoreInAws>, AwsError> {
    let asked = kms.describe_custom_key_stores();
    let asked = if is_id(name_or_id) { asked.custom_key_store_id(name_or_id) } else { asked.custom_key_store_name(name_or_id) };
    match asked.send().await.map_err(AwsError::of(DESCRIBE)) {
        Ok(answer) => Ok(answer.custom_key_stores.unwrap_or_default().into_iter().find_map(read)),
        Err(error) if error.is(NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// CreateCustomKeyStore for a proxy, which AWS tries at once; gives the id.
///
/// # Errors
/// [`AwsError`].
pub async fn create_for_proxy(kms: &Client, proxy: ProxyForAws) -> Result<String, AwsError> {
    let address = proxy.address.unwrap_or_default();
    let asked = kms
        .create_custom_key_store()
        .custom_key_store_type(CustomKeyStoreType::ExternalKeyStore)
        .set_custom_key_store_name(proxy.name)
        .set_xks_proxy_uri_endpoint(address.endpoint)
        .set_xks_proxy_uri_path(proxy.uri_path)
        .set_xks_proxy_authentication_credential(proxy.credential.map(credential).transpose()?)
        .xks_proxy_connectivity(way(address.connectivity))
        .set_xks_proxy_vpc_endpoint_service_name(address.vpc_service);
    create(asked).await
}

/// CreateCustomKeyStore for a CloudHSM cluster; gives the id.
///
/// # Errors
/// [`AwsError`].
pub async fn create_for_cluster(kms: &Client, cluster: ClusterForAws) -> Result<String, AwsError> {
    let asked = kms
        .create_custom_key_store()
        .custom_key_store_type(CustomKeyStoreType::AwsCloudhsm)
        .set_custom_key_store_name(cluster.name)
        .set_cloud_hsm_cluster_id(cluster.cluster_id)
        .set_key_store_password(cluster.password.map(|password| password.expose().to_owned()))
        .set_trust_anchor_certificate(cluster.trust_anchor_certificate);
    create(asked).await
}

/// UpdateCustomKeyStore for a proxy: all that is told, or nothing.
///
/// # Errors
/// [`AwsError`].
pub async fn update_proxy(kms: &Client, id: &str, proxy: ProxyForAws) -> Result<(), AwsError> {
    let asked = kms
        .update_custom_key_store()
        .custom_key_store_id(id)
        .set_new_custom_key_store_name(proxy.name)
        .set_xks_proxy_uri_path(proxy.uri_path)
        .set_xks_proxy_authentication_credential(proxy.credential.map(credential).transpose()?);
    let asked = match proxy.address {
        Some(address) => asked
            .set_xks_proxy_uri_endpoint(address.endpoint)
            .xks_proxy_connectivity(way(address.connectivity))
            .set_xks_proxy_vpc_endpoint_service_name(address.vpc_service),
        None => asked,
    };
    update(asked).await
}

/// UpdateCustomKeyStore for a CloudHSM cluster: all that is told, or nothing.
///
/// # Errors
/// [`AwsError`].
pub async fn update_cluster(kms: &Client, id: &str, cluster: ClusterForAws) -> Result<(), AwsError> {
    let asked = kms
        .update_custom_key_store()
        .custom_key_store_id(id)
        .set_new_custom_key_store_name(cluster.name)
        .set_cloud_hsm_cluster_id(cluster.cluster_id)
        .set_key_store_password(cluster.password.map(|password| password.expose().to_owned()));
    update(asked).await
}

/// ConnectCustomKeyStore, which AWS goes about in its own time.
///
/// # Errors
/// [`AwsError`].
pub async fn connect(kms: &Client, id: &str) -> Result<(), AwsError> {
    kms.connect_custom_key_store().custom_key_store_id(id).send().await.map(drop).map_err(AwsError::of("KMS ConnectCustomKeyStore"))
}

/// DisconnectCustomKeyStore.
///
/// # Errors
/// [`AwsError`].
pub async fn disconnect(kms: &Client, id: &str) -> Result<(), AwsError> {
    kms.disconnect_custom_key_store().custom_key_store_id(id).send().await.map(drop).map_err(AwsError::of("KMS DisconnectCustomKeyStore"))
}

/// DeleteCustomKeyStore; one that AWS has no more is no error.
///
/// # Errors
/// [`AwsError`].
pub async fn delete(kms: &Client, id: &str) -> Result<(), AwsError> {
    match kms.delete_custom_key_store().custom_key_store_id(id).send().await.map_err(AwsError::of("KMS DeleteCustomKeyStore")) {
        Ok(_) => Ok(()),
        Err(error) if error.is(NOT_FOUND) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The CloudHSM clusters of an account and region, page by page.
///
/// # Errors
/// [`AwsError`].
pub async fn clusters(cloud_hsm: &aws_sdk_cloudhsmv2::Client) -> Result<Vec<aws_sdk_cloudhsmv2::types::Cluster>, AwsError> {
    let mut pages = cloud_hsm.describe_clusters().into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        all.extend(page.map_err(AwsError::of("CloudHSM DescribeClusters"))?.clusters.unwrap_or_default());
    }
    Ok(all)
}

async fn create(asked: CreateCustomKeyStoreFluentBuilder) -> Result<String, AwsError> {
    let ask = || {
        let asked = asked.clone().customize().config_override(once());
        async move { asked.send().await.map_err(AwsError::of(CREATE)) }
    };
    unless_throttled(ask).await?.custom_key_store_id.ok_or_else(|| unread(CREATE))
}

async fn update(asked: UpdateCustomKeyStoreFluentBuilder) -> Result<(), AwsError> {
    let ask = || {
        let asked = asked.clone().customize().config_override(once());
        async move { asked.send().await.map(drop).map_err(AwsError::of(UPDATE)) }
    };
    unless_throttled(ask).await
}

/// One without an id or a state is none that could be named or used.
fn read(told: CustomKeyStoresListEntry) -> Option<StoreInAws> {
    let behind = match told.xks_proxy_configuration {
        Some(proxy) => proxy_of(proxy),
        None => Behind::Cluster {
            id: told.cloud_hsm_cluster_id.unwrap_or_default(),
            trust_anchor_certificate: told.trust_anchor_certificate.unwrap_or_default(),
        },
    };
    let state = state(told.connection_state.as_ref().map_or("", |state| state.as_str()));
    let error = told.connection_error_code.map(|code| code.as_str().to_owned()).filter(|_| state == ConnectionState::Failed);
    Some(StoreInAws { id: told.custom_key_store_id?, name: told.custom_key_store_name.unwrap_or_default(), state, error, behind })
}

fn proxy_of(proxy: XksProxyConfigurationType) -> Behind {
    let connectivity = match proxy.connectivity {
        Some(XksProxyConnectivityType::VpcEndpointService) => Connectivity::Vpc,
        Some(_) | None => Connectivity::Public,
    };
    Behind::Proxy {
        address: AddressEntry { endpoint: proxy.uri_endpoint, connectivity, vpc_service: proxy.vpc_endpoint_service_name },
        uri_path: proxy.uri_path.unwrap_or_default(),
        access_key_id: proxy.access_key_id,
    }
}

/// A state that is not known here is one in which AWS can't reach it.
fn state(text: &str) -> ConnectionState {
    match text {
        "CONNECTED" => ConnectionState::Connected,
        "CONNECTING" => ConnectionState::Connecting,
        "DISCONNECTING" => ConnectionState::Disconnecting,
        "FAILED" => ConnectionState::Failed,
        _ => ConnectionState::Disconnected,
    }
}

const fn way(connectivity: Connectivity) -> XksProxyConnectivityType {
    match connectivity {
        Connectivity::Public => XksProxyConnectivityType::PublicEndpoint,
        Connectivity::Vpc => XksProxyConnectivityType::VpcEndpointService,
    }
}

fn credential((access_key_id, secret): (AccessKeyId, Secret)) -> Result<XksProxyAuthenticationCredentialType, AwsError> {
    let both =
        XksProxyAuthenticationCredentialType::builder().access_key_id(access_key_id.to_string()).raw_secret_access_key(secret.expose());
    both.build().map_err(|_| unread(UPDATE))
}

/// AWS's ids: `cks-` and hexadecimal digits, which are no names that people give.
fn is_id(text: &str) -> bool {
    text.strip_prefix("cks-").is_some_and(|rest| rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// An answer without what the API promises.
fn unread(call: &'static str) -> AwsError {
    AwsError {
        call,
        fault: AwsFault::Unreached,
        code: None,
        message: "the answer does not have what belongs there".into(),
        request_id: None,
    }
}

const DESCRIBE: &str = "KMS DescribeCustomKeyStores";
const CREATE: &str = "KMS CreateCustomKeyStore";
const UPDATE: &str = "KMS UpdateCustomKeyStore";
const NOT_FOUND: &str = "CustomKeyStoreNotFoundException";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_without_a_proxy_is_on_a_cluster_and_an_error_is_told_of_a_failed_one_only() {
        let told = |state: &str, proxy: Option<XksProxyConfigurationType>| {
            let told = CustomKeyStoresListEntry::builder()
                .custom_key_store_id("cks-0123456789abcdef0")
                .custom_key_store_name("name")
                .cloud_hsm_cluster_id("cluster-1")
                .connection_state(state.into())
                .connection_error_code("INTERNAL_ERROR".into())
                .set_xks_proxy_configuration(proxy);
            read(told.build()).unwrap()
        };
        let cluster = told("FAILED", None);
        assert_eq!((cluster.state, cluster.error.as_deref()), (ConnectionState::Failed, Some("INTERNAL_ERROR")));
        assert!(matches!(cluster.behind, Behind::Cluster { id, .. } if id == "cluster-1"));
        let proxy = XksProxyConfigurationType::builder().connectivity("VPC_ENDPOINT_SERVICE".into()).uri_path("/kms/xks/v1").build();
        let proxy = told("CONNECTED", Some(proxy));
        assert_eq!((proxy.state, proxy.error), (ConnectionState::Connected, None));
        let Behind::Proxy { address, uri_path, .. } = proxy.behind else { panic!("no proxy") };
        assert_eq!((address.connectivity, uri_path.as_str()), (Connectivity::Vpc, "/kms/xks/v1"));
    }

    #[test]
    fn every_state_is_read_as_it_is_written() {
        use ConnectionState::{Connected, Connecting, Disconnected, Disconnecting, Failed};
        for one in [Connected, Connecting, Disconnected, Disconnecting, Failed] {
            assert_eq!(state(one.as_str()), one);
        }
    }

    #[test]
    fn a_name_that_looks_like_an_id_is_none_unless_it_is_one_to_the_letter() {
        assert!(is_id("cks-0123456789abcdef0"));
        for name in ["cks-1", "cks-0123456789abcdefg", "store", "0123456789abcdef0"] {
            assert!(!is_id(name), "{name}");
        }
    }
}
