//! `DescribeCustomKeyStores`: all, or one by id or name, a page at a time.
//!
//! Always holds: secrets and passwords are never shown; pages follow the ids, so that a store made or deleted between two pages moves no
//! other.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    call::Call,
    clock::seconds,
    error::{AwsException, ErrorName},
    state::{Connection, Connectivity, Region, Store, StoreKind},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    custom_key_store_id: Option<String>,
    custom_key_store_name: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// `DescribeCustomKeyStores`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn describe(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let (input, account): (Input, _) = (call.input(body)?, call.account());
    call.look(|region| match (&input.custom_key_store_id, &input.custom_key_store_name) {
        (Some(_), Some(_)) => Err(AwsException::invalid("CustomKeyStoreId and CustomKeyStoreName can't be given both.")),
        (Some(id), None) => one(account, super::find(region, id)?),
        (None, Some(name)) => {
            let found = region.stores.values().find(|store| store.name == *name);
            one(account, found.ok_or_else(|| super::not_found(name))?)
        }
        (None, None) => page(account, region, &input),
    })
}

fn one(account: &str, store: &Store) -> Result<Value, AwsException> {
    Ok(json!({"CustomKeyStores": [entry(account, store)], "Truncated": false}))
}

fn page(account: &str, region: &Region, input: &Input) -> Result<Value, AwsException> {
    let limit = match input.limit {
        None => 100,
        Some(limit @ 1..=1000) => usize::try_from(limit).unwrap_or(1000),
        Some(other) => {
            return Err(AwsException::out_of_range("limit", other, (1, 1000)));
        }
    };
    let after = match input.marker.as_deref() {
        None => "",
        Some(marker) => marker
            .strip_prefix(MARKER)
            .ok_or_else(|| AwsException::new(ErrorName::InvalidMarker, "The marker is none that an earlier answer had."))?,
    };
    let mut rest = region.stores.values().skip_while(|store| store.id.as_str() <= after);
    let entries: Vec<_> = rest.by_ref().take(limit).collect();
    let mut answer = Map::new();
    let truncated = rest.next().is_some();
    if let (true, Some(last)) = (truncated, entries.last()) {
        answer.insert("NextMarker".into(), format!("{MARKER}{}", last.id).into());
    }
    answer.insert("CustomKeyStores".into(), entries.into_iter().map(|store| entry(account, store)).collect());
    answer.insert("Truncated".into(), truncated.into());
    Ok(answer.into())
}

fn entry(account: &str, store: &Store) -> Value {
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    put("CustomKeyStoreId", store.id.as_str().into());
    put("CustomKeyStoreName", store.name.as_str().into());
    put("CreationDate", seconds(store.created_ms).into());
    put("ConnectionState", store.connection.name().into());
    if let Connection::Failed(code) = &store.connection {
        put("ConnectionErrorCode", code.as_str().into());
    }
    match &store.kind {
        StoreKind::CloudHsm { cluster_id, trust_anchor, .. } => {
            put("CustomKeyStoreType", "AWS_CLOUDHSM".into());
            put("CloudHsmClusterId", cluster_id.as_str().into());
            put("TrustAnchorCertificate", trust_anchor.as_str().into());
        }
        StoreKind::External(external) => {
            put("CustomKeyStoreType", "EXTERNAL_KEY_STORE".into());
            let mut proxy = json!({
                "AccessKeyId": external.credential.access_key_id,
                "Connectivity": connectivity(external.connectivity),
                "UriEndpoint": external.endpoint,
                "UriPath": external.path,
            });
            if let Some(service) = &external.vpc_service {
                proxy["VpcEndpointServiceName"] = service.as_str().into();
                proxy["VpcEndpointServiceOwner"] = external.vpc_owner.as_deref().unwrap_or(account).into();
            }
            put("XksProxyConfiguration", proxy);
        }
    }
    entry.into()
}

const fn connectivity(connectivity: Connectivity) -> &'static str {
    match connectivity {
        Connectivity::PublicEndpoint => "PUBLIC_ENDPOINT",
        Connectivity::VpcEndpointService => "VPC_ENDPOINT_SERVICE",
    }
}

const MARKER: &str = "after:";
