//! What the known client decodes strictly (contract §2.4): a member of another type than here fails its apply, or crashes it.
//! Absent and null are fine where not said otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

type Text = Option<String>;
type Texts = Option<Vec<String>>;
type Flag = Option<bool>;

/// `value`, if the client could decode it.
pub(crate) fn decoded<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// The items of a list, each decoded.
pub(crate) fn listed<T: DeserializeOwned>(list: &Value) -> Vec<T> {
    let items = list["resources"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    assert!(list["total"].is_u64() && list["skip"].is_u64() && list["limit"].is_i64(), "{list}");
    items.iter().map(decoded).collect()
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyStore {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kms: String,
    pub(crate) region: String,
    pub(crate) enable_success_audit_event: bool,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) aws_param: AwsParam,
    pub(crate) local_hosted_params: LocalHosted,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their types are looked at")]
pub(crate) struct AwsParam {
    cloud_hsm_cluster_id: Text,
    pub(crate) connection_state: Text,
    pub(crate) custom_key_store_id: Text,
    custom_key_store_name: Text,
    pub(crate) custom_key_store_type: Text,
    pub(crate) key_store_password: Text,
    trust_anchor_certificate: Text,
    pub(crate) xks_proxy_connectivity: Text,
    pub(crate) xks_proxy_uri_endpoint: Text,
    pub(crate) xks_proxy_uri_path: Text,
    xks_proxy_vpc_endpoint_service_name: Text,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their types are looked at")]
pub(crate) struct LocalHosted {
    pub(crate) blocked: bool,
    pub(crate) linked_state: bool,
    pub(crate) mtls_enabled: bool,
    pub(crate) max_credentials: i64,
    pub(crate) health_check_ciphertext: Text,
    pub(crate) health_check_key_id: Text,
    partition_id: Text,
    partition_label: Text,
    source_container_id: Text,
    source_container_type: Text,
    pub(crate) source_key_tier: Text,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their types are looked at")]
pub(crate) struct Kms {
    id: String,
    account_id: String,
    pub(crate) connection: String,
    name: String,
    arn: String,
    status: String,
    auto_added: bool,
    pub(crate) regions: Vec<String>,
    acls: Option<Vec<Acl>>,
    assume_role_arn: Text,
    assume_role_external_id: Text,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their types are looked at")]
struct Acl {
    user_id: Text,
    group: Text,
    actions: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only their types are looked at")]
pub(crate) struct CmKey {
    id: String,
    uri: String,
    account: String,
    application: Text,
    dev_account: Text,
    created_at: String,
    updated_at: Text,
    name: String,
    usage_mask: i64,
    version: i64,
    algorithm: String,
    size: i64,
    format: Text,
    unexportable: bool,
    undeletable: bool,
    object_type: Text,
    activation_date: Text,
    deactivation_date: Text,
    archive_date: Text,
    destroy_date: Text,
    revocation_reason: Text,
    state: Text,
    uuid: Text,
    description: Text,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their types are looked at")]
pub(crate) struct Connection {
    id: String,
    name: String,
    application: Option<Never>,
    #[serde(rename = "devAccount")]
    dev_account: Option<Never>,
    iam_role_anywhere: Map<String, Value>,
    meta: Option<Map<String, Value>>,
    labels: Option<Map<String, Value>>,
    products: Texts,
    last_connection_ok: Flag,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their types are looked at")]
pub(crate) struct Job {
    id: String,
    name: String,
    operation: String,
    run_at: String,
    start_date: Text,
    end_date: Text,
    disabled: bool,
    job_config_params: JobParams,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only their types are looked at")]
struct JobParams {
    description: Text,
    backup_key: Text,
    scope: Text,
    connection: Text,
    #[serde(rename = "tiedToHSM")]
    tied_to_hsm: Flag,
    #[serde(rename = "do_scp")]
    do_scp: Flag,
    retention_count: Option<i64>,
    filters: Option<Vec<Value>>,
}

/// What must be absent or null.
#[derive(Debug, Deserialize)]
enum Never {}
