//! What the known Terraform provider does from its first apply to its last destroy, with its bodies to the letter (contract §3–§11).

use serde_json::{Value, json};

use super::{
    Rest, Site, connection, container, hyok_key, key_store, source_key,
    strict::{CmKey, Connection, Job, KeyStore, Kms, decoded, listed},
    text,
};
use crate::client;

#[test]
fn a_terraform_like_client_makes_a_key_store_that_serves_at_once_and_takes_it_all_down_again() {
    let Site { mut rest, handout, dev: _dev, folder: _folder } = Site::start(&[]);
    let rest = &mut rest;

    let made = rest.post("connectionmgmt/services/aws/connections", &connection("tf-connection", SECRET));
    let connection_path = format!("connectionmgmt/services/aws/connections/{}", text(&made, "/id"));
    rest.get(&connection_path);
    let list = rest.get("connectionmgmt/services/aws/connections/?name=tf-connection&skip=0&limit=-1");
    assert_eq!(listed::<Connection>(&list).len(), 1);

    let kms = rest.post("cckm/aws/kms", &container("tf-kms", "tf-connection"));
    assert_eq!((text(&kms, "/connection"), &kms["regions"]), ("tf-connection", &json!(["us-east-1", "eu-west-1"])));
    let kms_path = format!("cckm/aws/kms/{}", text(&kms, "/id"));
    rest.get(&kms_path);
    let list = listed::<Kms>(&rest.get("cckm/aws/kms/?name=tf-kms"));
    assert_eq!((list[0].connection.as_str(), list[0].regions.len()), ("tf-connection", 2));

    let key = text(&rest.post("vault/keys2", &source_key("tf-key")), "/id").to_owned();
    assert!(key.len() == 64 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{key}");
    assert!(!listed::<CmKey>(&rest.get("vault/keys2/?skip=0&limit=-1")).is_empty());

    let new = key_store("tf-store", "tf-kms", &key);
    let created = rest.post("cckm/aws/custom-key-stores", &new);
    let store = format!("cckm/aws/custom-key-stores/{}", text(&created, "/id"));
    let read = rest.get(&store);
    let seen: KeyStore = decoded(&read);
    assert_eq!((seen.name.as_str(), seen.kms.as_str(), seen.region.as_str()), ("tf-store", "tf-kms", "us-east-1"));
    assert!(!seen.enable_success_audit_event && seen.labels.is_none());
    let hosted = &seen.local_hosted_params;
    assert_eq!((hosted.blocked, hosted.linked_state, hosted.mtls_enabled, hosted.max_credentials), (false, false, false, 8));
    assert_eq!((hosted.health_check_key_id.as_ref(), hosted.source_key_tier.as_deref()), (Some(&key), Some("local")));
    assert!(hosted.health_check_ciphertext.as_ref().is_some_and(|ciphertext| !ciphertext.is_empty()));
    let aws = &seen.aws_param;
    assert_eq!(aws.custom_key_store_type.as_deref(), Some("EXTERNAL_KEY_STORE"));
    assert_eq!(aws.xks_proxy_connectivity.as_deref(), Some("PUBLIC_ENDPOINT"));
    assert_eq!(aws.xks_proxy_uri_endpoint.as_deref(), Some("https://xks.example.com"));
    assert!(aws.key_store_password.is_none() && aws.custom_key_store_id.is_none());
    assert_ne!(aws.connection_state.as_deref(), Some("CONNECTED"));
    assert_eq!(aws.xks_proxy_uri_path.as_ref().unwrap(), &format!("/api/v1/cckm/aws/xks-proxy-endpoints/{}/kms/xks/v1", seen.id));

    let made = rest.post("cckm/aws/create-hyok-key", &hyok_key(&seen.id, &key, "what it is for"));
    let hyok = format!("cckm/aws/keys/{}", text(&made, "/id"));
    let read = rest.get(&hyok);
    assert_eq!((&read["linked_state"], &read["blocked"]), (&json!(false), &json!(false)));
    assert_eq!((text(&read, "/custom_key_store_id"), text(&read, "/key_source")), (seen.id.as_str(), "local"));
    assert_eq!((text(&read, "/aws_param/KeyState"), text(&read, "/aws_param/Description")), ("Enabled", "what it is for"));

    // The store answers what KMS asks at once, and not while it, or the key, is blocked.
    let mut xks = handout.clone();
    xks["xks"]["prefix"] = aws.xks_proxy_uri_path.clone().into();
    xks["xks"]["key_id"] = read["aws_param"]["XksKeyConfiguration"]["Id"].clone();
    xks["xks"]["access_key_id"] = created["access_key_id"].clone();
    xks["xks"]["secret_access_key"] = created["secret_access_key"].clone();
    let first = sealed(&xks);
    assert_eq!(opened(&xks, &first), "aGVsbG8=");
    for blocked in [&store, &hyok] {
        rest.act(&format!("{blocked}/block"));
        assert_eq!(is_blocked(&rest.get(blocked)), json!(true), "{blocked}");
        assert_refused(&xks);
        if *blocked == store {
            // Zero values in a change unblock nothing.
            rest.patch(&store, &zeros());
            let seen: KeyStore = decoded(&rest.get(&store));
            let hosted = &seen.local_hosted_params;
            assert!(hosted.blocked && hosted.mtls_enabled && seen.enable_success_audit_event);
            assert_eq!((seen.name.as_str(), hosted.max_credentials, seen.region.as_str()), ("tf-store-2", 8, "us-east-1"));
            assert_eq!((hosted.health_check_key_id.as_ref(), hosted.source_key_tier.as_deref()), (Some(&key), Some("local")));
            assert_refused(&xks);
            let back = json!({ "enable_success_audit_event": false, "local_hosted_params": { "mtls_enabled": false } });
            rest.patch(&store, &back);
        }
        rest.act(&format!("{blocked}/unblock"));
        assert_eq!(is_blocked(&rest.get(blocked)), json!(false), "{blocked}");
        assert_eq!(opened(&xks, &first), "aGVsbG8=");
    }

    // Old and new credential are both good.
    let rotated = rest.act(&format!("{store}/rotate-credential"));
    assert_eq!(rotated["credential_count"], 2);
    let mut again = xks.clone();
    again["xks"]["access_key_id"] = rotated["access_key_id"].clone();
    again["xks"]["secret_access_key"] = rotated["secret_access_key"].clone();
    assert_ne!(again, xks);
    assert_eq!((opened(&xks, &first), opened(&again, &first)), ("aGVsbG8=".into(), "aGVsbG8=".into()));
    assert_eq!(rest.get(&format!("{store}/credentials"))["total"], 2);

    // A new version; what the old one sealed still opens.
    let second = text(&rest.post("vault/keys2", &source_key("tf-key-2")), "/id").to_owned();
    rest.post(&format!("{hyok}/rotate"), &json!({ "source_key_tier": "local", "source_key_id": second }));
    assert_eq!(rest.get(&format!("{hyok}/versions"))["total"], 2);
    assert_eq!(opened(&xks, &first), "aGVsbG8=");
    let newer = sealed(&xks);
    assert_eq!(opened(&xks, &newer), "aGVsbG8=");

    let job = rest.post("scheduler/job-configs", &job());
    let job_path = format!("scheduler/job-configs/{}", text(&job, "/id"));
    rest.get(&job_path);
    assert_eq!(listed::<Job>(&rest.get("scheduler/job-configs/?skip=0&limit=-1")).len(), 1);

    // The other way round: nothing that is in use goes.
    assert_conflict(rest, &store);
    assert_conflict(rest, &kms_path);
    assert_conflict(rest, &connection_path);
    for gone in [&hyok, &store, &job_path] {
        rest.delete(gone);
        let answer = rest.send("GET", gone, b"");
        assert_eq!(answer.status, 404, "{gone}");
        assert!(answer.text().contains("NCERRResourceNotFound") && answer.text().contains("Resource not found"), "{}", answer.text());
    }
    for key in [key, second] {
        let path = format!("vault/keys2/{key}");
        let answer = rest.send("DELETE", &path, b"");
        assert!(answer.status >= 400 && answer.text().to_lowercase().contains("key is not deletable"), "{}", answer.text());
        rest.patch(&path, &json!({ "undeletable": false }));
        rest.delete(&path);
    }
    rest.delete(&kms_path);
    rest.delete(&connection_path);
    let stranger = client::ask(&xks, "encrypt", json!({ "plaintext": "aGVsbG8=", "encryptionAlgorithm": "AES_GCM" }));
    assert!(stranger["ciphertext"].is_null(), "{stranger}");
}

/// The known client's body for a change: everything that it does not change is zero (contract §7.4).
fn zeros() -> Value {
    json!({
        "id": "",
        "aws_param": {
            "cloud_hsm_cluster_id": "", "custom_key_store_type": "", "key_store_password": "", "trust_anchor_certificate": "",
            "xks_proxy_connectivity": "", "xks_proxy_uri_endpoint": "", "xks_proxy_vpc_endpoint_service_name": "",
        },
        "kms": "", "name": "tf-store-2", "region": "", "enable_success_audit_event": true, "linked_state": false,
        "local_hosted_params": {
            "blocked": false, "health_check_key_id": "", "max_credentials": 0, "mtls_enabled": true, "partition_id": "",
            "source_key_tier": "",
        },
        "key_store_password": "",
    })
}

fn job() -> Value {
    json!({
        "id": "", "name": "tf-job", "description": "", "operation": "cckm_xks_credential_rotation", "run_at": "0 9 * * fri", "run_on": "",
        "disabled": false, "start_date": "0001-01-01T00:00:00Z", "end_date": "0001-01-01T00:00:00Z",
        "cckm_xks_credential_rotation_params": { "cloud_name": "aws" }, "cckm_key_rotation_params": null,
        "cckm_synchronization_params": null, "database_backup_params": null,
    })
}

pub(super) fn sealed(xks: &Value) -> Value {
    let mut sealed = client::ask(xks, "encrypt", json!({ "plaintext": "aGVsbG8=", "encryptionAlgorithm": "AES_GCM" }));
    assert!(sealed["ciphertext"].is_string(), "{sealed}");
    sealed["encryptionAlgorithm"] = "AES_GCM".into();
    sealed
}

pub(super) fn opened(xks: &Value, sealed: &Value) -> String {
    let answer = client::ask(xks, "decrypt", sealed.clone());
    answer["plaintext"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn assert_refused(xks: &Value) {
    let answer = client::ask(xks, "encrypt", json!({ "plaintext": "aGVsbG8=", "encryptionAlgorithm": "AES_GCM" }));
    assert!(answer["errorName"].is_string() && answer["ciphertext"].is_null(), "{answer}");
}

fn is_blocked(object: &Value) -> Value {
    let hosted = &object["local_hosted_params"]["blocked"];
    if object["blocked"].is_null() { hosted.clone() } else { object["blocked"].clone() }
}

fn assert_conflict(rest: &mut Rest, path: &str) {
    let answer = rest.send("DELETE", path, b"");
    assert_eq!(answer.status, 409, "{path}: {}", answer.text());
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
