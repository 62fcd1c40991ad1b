//! Where REST tells each member of gRPC's messages.

use serde_json::{Value, json};

use super::{Told, renamed, time_of};
use crate::rest::text;

pub(super) const KEY_STORE: [(&str, Told); 31] = [
    ("id", Told::At("/id")),
    ("name", Told::At("/name")),
    ("uri_path", Told::At("/aws_param/xks_proxy_uri_path")),
    ("region", Told::At("/region")),
    ("tier", Told::At("/local_hosted_params/source_key_tier")),
    ("blocked", Told::At("/local_hosted_params/blocked")),
    ("mtls_enabled", Told::At("/local_hosted_params/mtls_enabled")),
    ("success_audit", Told::At("/enable_success_audit_event")),
    ("quota", Told::Nowhere),
    ("in_flight", Told::Nowhere),
    ("max_snapshot_age_seconds", Told::Nowhere),
    ("max_credentials", Told::At("/local_hosted_params/max_credentials")),
    ("kms_id", Told::At("/kms_id")),
    ("xks_proxy_uri_endpoint", Told::At("/aws_param/xks_proxy_uri_endpoint")),
    ("xks_proxy_connectivity", Told::At("/aws_param/xks_proxy_connectivity")),
    ("xks_proxy_vpc_endpoint_service_name", Told::At("/aws_param/xks_proxy_vpc_endpoint_service_name")),
    ("health_check_key_id", Told::At("/local_hosted_params/health_check_key_id")),
    ("retire_unused_after_seconds", Told::At("/local_hosted_params/retire_unused_after")),
    ("credential_version", Told::At("/credential_version")),
    ("created_ms", Told::Time("/createdAt")),
    ("updated_ms", Told::Time("/updatedAt")),
    ("kind", Told::By(|shown| text(shown, "/type").to_uppercase().into())),
    ("linked_state", Told::At("/local_hosted_params/linked_state")),
    ("custom_key_store_id", Told::At("/aws_param/custom_key_store_id")),
    ("connection_state", Told::At("/aws_param/connection_state")),
    ("connection_error_code", Told::At("/aws_param/connection_error_code")),
    ("gone", Told::At("/gone")),
    ("failure", Told::At("/failure")),
    ("credential_rotation_job_id", Told::At("/labels/job_config_id")),
    ("cloud_hsm_cluster_id", Told::At("/aws_param/cloud_hsm_cluster_id")),
    ("trust_anchor_certificate", Told::At("/aws_param/trust_anchor_certificate")),
];

pub(super) const AWS_KEY: [(&str, Told); 34] = [
    ("id", Told::At("/id")),
    // REST tells it by origin and key store.
    ("kind", Told::Nowhere),
    ("linked_state", Told::At("/linked_state")),
    ("gone", Told::At("/gone")),
    ("failure", Told::At("/failure")),
    ("kms_id", Told::At("/kms_id")),
    ("region", Told::At("/region")),
    ("key_store_id", Told::At("/custom_key_store_id")),
    ("key_store_name", Told::At("/custom_key_store_name")),
    ("key_id", Told::At("/aws_param/KeyID")),
    ("arn", Told::At("/aws_param/Arn")),
    ("spec", Told::At("/aws_param/CustomerMasterKeySpec")),
    ("usage", Told::At("/aws_param/KeyUsage")),
    ("state", Told::At("/aws_param/KeyState")),
    ("origin", Told::At("/aws_param/Origin")),
    ("enabled", Told::At("/aws_param/Enabled")),
    ("description", Told::At("/aws_param/Description")),
    (
        "aliases",
        Told::By(|shown| {
            let aliases = shown["aws_param"]["Alias"].as_array().into_iter().flatten().filter_map(Value::as_str);
            aliases.map(|alias| alias.strip_prefix("alias/").unwrap().to_owned()).collect()
        }),
    ),
    ("tags", Told::By(|shown| renamed(&shown["aws_param"]["Tags"], &[("key", "TagKey"), ("value", "TagValue")]))),
    ("policy", Told::By(|shown| shown["aws_param"]["Policy"].to_string().into())),
    ("deletion_ms", Told::Time("/deletion_date")),
    ("valid_to_ms", Told::Time("/aws_param/ValidTo")),
    ("auto_rotation_days", Told::At("/aws_param/RotationPeriodInDays")),
    ("next_rotation_ms", Told::Time("/aws_param/NextRotationDate")),
    (
        "regions",
        Told::By(|shown| {
            let Some(set) = shown.pointer("/aws_param/MultiRegionConfiguration") else { return Value::Null };
            let replicas: Vec<_> = set["ReplicaKeys"].as_array().unwrap().iter().map(|replica| replica["Region"].clone()).collect();
            json!({ "is_replica": set["MultiRegionKeyType"] == "REPLICA", "primary": set["PrimaryKey"]["Region"], "replicas": replicas })
        }),
    ),
    // REST tells the vendor's form of it, and of HYOK keys as well.
    ("source_key_id", Told::Nowhere),
    ("source_key_name", Told::By(|shown| if shown["locally_hosted"] == true { Value::Null } else { shown["local_key_name"].clone() })),
    ("external_key_id", Told::At("/aws_param/XksKeyConfiguration/Id")),
    ("rotation_job_id", Told::At("/labels/job_config_id")),
    ("rotated_to", Told::At("/rotated_to")),
    ("rotated_ms", Told::Time("/rotated_at")),
    ("synced_ms", Told::Time("/synced_at")),
    ("created_ms", Told::Time("/createdAt")),
    ("updated_ms", Told::Time("/updatedAt")),
];

pub(super) const HYOK_KEY: [(&str, Told); 13] = [
    ("id", Told::At("/id")),
    ("key_store_id", Told::At("/custom_key_store_id")),
    ("external_key_id", Told::At("/aws_param/XksKeyConfiguration/Id")),
    ("name", Told::Nowhere),
    ("blocked", Told::At("/blocked")),
    (
        "versions",
        Told::By(|shown| {
            let version =
                |one: &Value| json!({ "number": one["version"], "state": one["state"], "created_ms": time_of(&one["createdAt"]) });
            shown["versions"].as_array().unwrap().iter().map(version).collect()
        }),
    ),
    ("legacy_format", Told::By(|shown| shown.get("legacy_format").cloned().unwrap_or_else(|| "none".into()))),
    ("legacy_version", Told::At("/legacy_version")),
    // Of tier local nobody is told it over REST.
    ("virtual_key_id", Told::Nowhere),
    ("description", Told::At("/aws_param/Description")),
    ("created_ms", Told::Time("/createdAt")),
    ("updated_ms", Told::Time("/updatedAt")),
    // Compared by itself.
    ("aws", Told::Nowhere),
];

pub(super) const ACCOUNT: [(&str, Told); 2] = [("account_id", Told::At("/account_id")), ("regions", Told::At("/regions"))];

pub(super) const SYNCHRONIZATION: [(&str, Told); 9] = [
    ("id", Told::At("/id")),
    ("status", Told::By(|shown| text(shown, "/overall_status").replace(' ', "-").into())),
    (
        "detail",
        Told::By(|shown| {
            let told = shown["detailed_status"].as_object().into_iter().flatten();
            told.map(|(place, status)| json!({ "place": place, "status": status })).collect()
        }),
    ),
    ("kms", Told::At("/kms")),
    ("regions", Told::At("/regions")),
    ("synchronize_all", Told::At("/synchronize_all")),
    ("abort", Told::At("/abort")),
    ("created_ms", Told::Time("/createdAt")),
    ("updated_ms", Told::Time("/updatedAt")),
];

pub(super) const CONNECTED: [(&str, Told); 13] = [
    ("id", Told::At("/id")),
    ("name", Told::At("/name")),
    ("description", Told::At("/description")),
    ("access_key_id", Told::At("/access_key_id")),
    ("assume_role_arn", Told::At("/assume_role_arn")),
    ("assume_role_external_id", Told::At("/assume_role_external_id")),
    ("region", Told::At("/aws_region")),
    ("sts_endpoints", Told::At("/aws_sts_regional_endpoints")),
    ("cloud_name", Told::At("/cloud_name")),
    ("role_anywhere", Told::At("/iam_role_anywhere")),
    ("created_ms", Told::Time("/createdAt")),
    ("updated_ms", Told::Time("/updatedAt")),
    (
        "last_connection",
        Told::By(|shown| {
            let failure = shown.get("last_connection_error").cloned().unwrap_or_else(|| "".into());
            assert_eq!(shown["last_connection_ok"], failure == "");
            json!({ "at_ms": time_of(&shown["last_connection_at"]), "failure": failure })
        }),
    ),
];

pub(super) const JOB: [(&str, Told); 15] = [
    ("id", Told::At("/id")),
    ("name", Told::At("/name")),
    ("description", Told::At("/description")),
    ("operation", Told::At("/operation")),
    ("run_at", Told::At("/run_at")),
    ("run_on", Told::At("/run_on")),
    ("disabled", Told::At("/disabled")),
    ("start_date", Told::At("/start_date")),
    ("end_date", Told::At("/end_date")),
    (
        "key_rotation",
        Told::By(|shown| {
            if shown["operation"] != "cckm_key_rotation" {
                return Value::Null;
            }
            let params = &shown["job_config_params"];
            let period = |name: &str| params.get(name).cloned().unwrap_or_else(|| "".into());
            json!({
                "expiration": period("expiration"), "expire_in": period("expire_in"), "rotation_after": period("rotation_after"),
                "retain_alias": params["aws_param"]["retain_alias"], "rotate_material": params["aws_param"]["rotate_material"],
            })
        }),
    ),
    (
        "synchronization",
        Told::By(|shown| {
            let params = &shown["job_config_params"];
            let all = params.get("synchronize_all");
            all.map_or(Value::Null, |all| json!({ "kms": params["kms"], "synchronize_all": all }))
        }),
    ),
    ("backup", Told::Nowhere),
    ("created_ms", Told::Time("/createdAt")),
    ("updated_ms", Told::Time("/updatedAt")),
    (
        "last_run",
        Told::By(|shown| {
            let Some(ran) = shown.get("last_run") else { return Value::Null };
            let failure = ran.get("failure").cloned().unwrap_or_else(|| "".into());
            let is_final = ran.get("is_final").cloned().unwrap_or_else(|| false.into());
            json!({ "due_ms": time_of(&ran["due"]), "ended_ms": time_of(&ran["ended"]), "failure": failure, "is_final": is_final })
        }),
    ),
];
