//! What the known Terraform provider does with linked objects, from its first apply to its last destroy, with its bodies to the letter
//! (contract §7, §8.4, §10).

use std::time::Duration;

use serde_json::{Value, json};

use super::site::{Linked, STORES, Store};
use crate::rest::{
    hyok_key,
    strict::{Job, KeyStore, decoded, listed},
    text,
};

#[test]
fn a_terraform_like_client_makes_a_linked_key_store_and_key_changes_them_and_takes_them_down() {
    let linked = Linked::start();
    let source = linked.source_key("tf-key");

    // Apply: a key store, linked, with its credential rotated by schedule, connected.
    let created = linked.rest().post(STORES, &linked.new_store("tf-store", &source, true));
    assert!(created["access_key_id"].is_string() && created["secret_access_key"].is_string());
    let path = format!("{STORES}/{}", text(&created, "/id"));
    let job = linked.rest().post("scheduler/job-configs", &credential_rotation("tf-job"));
    let job = text(&job, "/id").to_owned();
    let shown = linked.rest().post(&format!("{path}/enable-credential-rotation-job"), &json!({ "job_config_id": job }));
    assert_eq!(shown["labels"], json!({ "job_config_id": job }));
    let read = linked.rest().get(&path);
    let seen: KeyStore = decoded(&read);
    assert_eq!((seen.name.as_str(), seen.kms.as_str(), seen.region.as_str()), ("tf-store", "kms", "us-east-1"));
    let hosted = &seen.local_hosted_params;
    assert_eq!((hosted.blocked, hosted.linked_state, hosted.mtls_enabled, hosted.max_credentials), (false, true, false, 8));
    assert_eq!((hosted.health_check_key_id.as_ref(), hosted.source_key_tier.as_deref()), (Some(&source), Some("local")));
    assert_eq!(seen.aws_param.connection_state.as_deref(), Some("DISCONNECTED"));
    assert_eq!(seen.aws_param.xks_proxy_uri_endpoint.as_deref(), Some(linked.endpoint()));
    let in_aws = seen.aws_param.custom_key_store_id.clone().unwrap();
    assert!(in_aws.len() == 21 && in_aws.starts_with("cks-"), "{in_aws}");
    assert!(read["access_key_id"].is_null() && read["secret_access_key"].is_null() && seen.aws_param.key_store_password.is_none());
    let store = Store { id: seen.id, path, in_aws, source_key: source, created };
    assert_eq!(state_in_aws(&linked, &store), "DISCONNECTED");
    linked.connect(&store.path);
    assert_eq!(state_in_aws(&linked, &store), "CONNECTED");
    assert_eq!(linked.rest().get(&format!("{STORES}?connection_state=CONNECTED"))["total"], 1);

    let key = Key::apply(&linked, &store, &job);
    key.update(&linked);
    key.rotate(&linked);

    // Destroy. What has keys stays, connected or not.
    key.destroy(&linked);
    assert_refused(&linked, "DELETE", &store.path, "", 400..=409);
    linked.rest().act(&format!("{}/disconnect", store.path));
    linked.until_shown(&store.path, |shown| shown["aws_param"]["connection_state"] == "DISCONNECTED");
    assert_refused(&linked, "DELETE", &store.path, "", 400..=422);
    // AWS deletes the key after its seven days; then nothing holds the key store any more.
    linked.switches().advance(Duration::from_hours(8 * 24));
    let begun =
        linked.rest().post(&format!("{STORES}/synchronization-jobs"), &json!({ "kms": ["kms"], "regions": [], "synchronize_all": false }));
    let jobs = format!("{STORES}/synchronization-jobs/{}", text(&begun, "/id"));
    assert_eq!(linked.until_shown(&jobs, |job| job["overall_status"] != "in progress")["overall_status"], "completed");
    let shown = linked.rest().act(&format!("{}/disable-credential-rotation-job", store.path));
    assert!(shown.get("labels").is_none(), "{shown}");
    linked.rest().delete(&store.path);
    assert_eq!(linked.kms("DescribeCustomKeyStores", &json!({}))["CustomKeyStores"], json!([]));
    let answer = linked.rest().send("DELETE", &store.path, b"");
    assert!(answer.status == 404 && answer.text().contains("Resource not found"), "{} {}", answer.status, answer.text());
    linked.rest().delete(&format!("scheduler/job-configs/{job}"));
    linked.rest().delete("cckm/aws/kms/kms");
    linked.rest().delete("connectionmgmt/services/aws/connections/aws");
}

#[test]
fn what_was_made_unlinked_is_linked_later_and_keeps_its_names() {
    let linked = Linked::start();
    let source = linked.source_key("tf-key");
    let created = linked.rest().post(STORES, &linked.new_store("tf-store", &source, false));
    let id = text(&created, "/id").to_owned();
    let path = format!("{STORES}/{id}");
    let made = linked.rest().post("cckm/aws/create-hyok-key", &hyok_key(&id, &source, "made unlinked"));
    let key = format!("cckm/aws/keys/{}", text(&made, "/id"));
    let before = linked.rest().get(&path);
    assert_eq!(before["local_hosted_params"]["linked_state"], false);
    assert!(before["aws_param"]["custom_key_store_id"].is_null());
    linked.rest().act(&format!("{key}/block"));

    // None of this is for unlinked ones.
    let job = linked.rest().post("scheduler/job-configs", &credential_rotation("tf-job"));
    let rotation = json!({ "job_config_id": text(&job, "/id") }).to_string();
    assert_refused(&linked, "POST", &format!("{path}/enable-credential-rotation-job"), &rotation, 400..=409);
    assert_refused(&linked, "POST", &format!("{path}/connect"), r#"{"key_store_password":""}"#, 400..=409);
    assert_refused(&linked, "POST", &format!("{key}/link"), &link_of_key().to_string(), 400..=409);
    assert!(linked.switches().calls().iter().all(|call| !call.contains("Create")), "{:?}", linked.switches().calls());

    let link = link_of_store(linked.endpoint());
    let shown = linked.rest().post(&format!("{path}/link"), &link);
    assert_eq!((&shown["local_hosted_params"]["linked_state"], &shown["secret_access_key"]), (&json!(true), &Value::Null));
    assert_refused(&linked, "POST", &format!("{path}/link"), &link.to_string(), 400..=409);
    // Its key is linked once the key store is connected.
    assert_refused(&linked, "POST", &format!("{key}/link"), &link_of_key().to_string(), 400..=409);
    linked.connect(&path);
    let seen: KeyStore = decoded(&linked.rest().get(&path));
    assert_eq!(seen.aws_param.xks_proxy_uri_path.as_deref(), before["aws_param"]["xks_proxy_uri_path"].as_str());
    assert!(seen.local_hosted_params.linked_state && seen.aws_param.custom_key_store_id.is_some());

    // AWS has no key that does not answer; what it refuses leaves the key as it was.
    assert_refused(&linked, "POST", &format!("{key}/link"), &link_of_key().to_string(), 422..=422);
    let read = linked.rest().get(&key);
    assert_eq!((&read["linked_state"], &read["blocked"]), (&json!(false), &json!(true)));
    linked.rest().act(&format!("{key}/unblock"));
    let shown = linked.rest().post(&format!("{key}/link"), &link_of_key());
    assert_eq!((&shown["linked_state"], &shown["blocked"]), (&json!(true), &json!(false)));
    let read = linked.rest().get(&key);
    assert_eq!(read["aws_param"]["XksKeyConfiguration"], made["aws_param"]["XksKeyConfiguration"]);
    assert_eq!(read["aws_param"]["Alias"], json!(["alias/linked-later"]));
    assert_eq!((text(&read, "/aws_param/Description"), &read["aws_param"]["Tags"]), ("linked later", &tags(&[("owner", "nile")])));
    assert!(read["aws_param"]["Policy"].as_object().is_some_and(|policy| !policy.is_empty()), "{read}");

    let in_aws = text(&read, "/aws_param/KeyID");
    assert_eq!(linked.round_trip(in_aws), "aGVsbG8=");
    linked.rest().act(&format!("{key}/block"));
    let refused = linked.try_kms("Encrypt", &json!({ "KeyId": in_aws, "Plaintext": "aGVsbG8=" })).unwrap_err();
    assert_eq!(refused.name, "KMSInvalidStateException");
    linked.rest().act(&format!("{key}/unblock"));
    assert_eq!(linked.round_trip(in_aws), "aGVsbG8=");
    assert_refused(&linked, "DELETE", &key, "", 400..=409);
}

/// A linked HYOK key, and the job that rotates it.
struct Key {
    path: String,
    /// Its id in AWS.
    in_aws: String,
    job: String,
}

impl Key {
    /// Create, then what the create has no place for.
    fn apply(linked: &Linked, store: &Store, credential_job: &str) -> Self {
        let mut new = hyok_key(&store.id, &store.source_key, "what it is for");
        new["local_hosted_params"]["linked_state"] = true.into();
        new["aws_param"] =
            json!({ "Description": "what it is for", "Tags": tags(&[("owner", "nile"), ("stage", "test")]), "Alias": "first" });
        let made = linked.rest().post("cckm/aws/create-hyok-key", &new);
        let path = format!("cckm/aws/keys/{}", text(&made, "/id"));
        let job = linked.rest().post("scheduler/job-configs", &key_rotation("tf-key-job"));
        let job = text(&job, "/id").to_owned();
        assert_eq!(listed::<Job>(&linked.rest().get("scheduler/job-configs/?skip=0&limit=-1")).len(), 2);
        linked.rest().post(&format!("{path}/add-alias"), &json!({ "alias": "second" }));
        linked.rest().post(&format!("{path}/enable-rotation-job"), &rotation(&job));
        // A job of the other kind is refused, and changes nothing.
        let wrong = rotation(credential_job).to_string();
        assert_refused(linked, "POST", &format!("{path}/enable-rotation-job"), &wrong, 400..=409);
        linked.rest().act(&format!("{path}/disable"));

        let read = linked.rest().get(&path);
        assert_eq!((&read["linked_state"], &read["blocked"]), (&json!(true), &json!(false)));
        assert_eq!((text(&read, "/custom_key_store_id"), text(&read, "/key_source")), (store.id.as_str(), "local"));
        assert_eq!(read["labels"]["job_config_id"], job.as_str());
        assert!(read["labels"].as_object().unwrap().values().all(Value::is_string), "{read}");
        let aws = &read["aws_param"];
        for (member, value) in [
            ("Description", "what it is for"),
            ("KeyState", "Disabled"),
            ("Origin", "EXTERNAL_KEY_STORE"),
            ("CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"),
            ("KeyUsage", "ENCRYPT_DECRYPT"),
            ("KeyManager", "CUSTOMER"),
            ("CustomKeyStoreId", &store.in_aws),
        ] {
            assert_eq!(text(aws, &format!("/{member}")), value, "{member}");
        }
        assert_eq!((&aws["Enabled"], sorted(&aws["Alias"])), (&json!(false), vec!["alias/first", "alias/second"]));
        assert_eq!(aws["Tags"], tags(&[("owner", "nile"), ("stage", "test")]));
        assert!(aws["Policy"].as_object().is_some_and(|policy| !policy.is_empty()), "{read}");
        assert_eq!(read["aws_params"]["CustomKeyStoreId"], store.in_aws.as_str());
        let in_aws = text(aws, "/KeyID").to_owned();
        assert!(text(aws, "/Arn").ends_with(&format!("key/{in_aws}")), "{read}");
        for filter in [format!("keyid={in_aws}&region=us-east-1"), "alias=second".to_owned()] {
            assert_eq!(linked.rest().get(&format!("cckm/aws/keys?{filter}"))["total"], 1, "{filter}");
        }
        Self { path, in_aws, job }
    }

    /// In the client's order: enable first, then the rest, disable last.
    fn update(&self, linked: &Linked) {
        let act = |action: &str, body: &Value| linked.rest().post(&format!("{}/{action}", self.path), body);
        linked.rest().act(&format!("{}/block", self.path));
        linked.rest().act(&format!("{}/unblock", self.path));
        linked.rest().act(&format!("{}/enable", self.path));
        act("update-description", &json!({ "description": "another" }));
        let users = json!({
            "external_accounts": null, "key_admins": ["alice"], "key_admins_roles": null, "key_users": ["bob"], "key_users_roles": null,
            "Policy": null, "policytemplate": null,
        });
        let shown = act("policy", &users);
        assert_eq!(format!("cckm/aws/keys/{}", text(&shown, "/id")), self.path);
        act("add-alias", &json!({ "alias": "third" }));
        act("delete-alias", &json!({ "alias": "first" }));
        act("remove-tags", &json!({ "tags": ["stage"] }));
        act("add-tags", &json!({ "tags": [{ "tag_key": "stage", "tag_value": "live" }] }));
        let read = linked.rest().get(&self.path);
        let aws = &read["aws_param"];
        assert_eq!((text(aws, "/Description"), text(aws, "/KeyState")), ("another", "Enabled"));
        assert_eq!(sorted(&aws["Alias"]), ["alias/second", "alias/third"]);
        assert_eq!(aws["Tags"], tags(&[("owner", "nile"), ("stage", "live")]));
        assert_eq!(aws["Policy"]["Id"], "key-consolepolicy-3");
        let account = &linked.sim().settings().account_id;
        let arn = |user: &str| json!([format!("arn:aws:iam::{account}:user/{user}")]);
        assert_eq!((&read["key_admins"], &read["key_users"]), (&arn("alice"), &arn("bob")));

        // AWS has it all, and nothing of it was the data plane's.
        let described = linked.kms("DescribeKey", &json!({ "KeyId": "alias/third" }));
        assert_eq!(
            (text(&described, "/KeyMetadata/KeyId"), text(&described, "/KeyMetadata/Description")),
            (self.in_aws.as_str(), "another")
        );
        assert_eq!(linked.round_trip(&self.in_aws), "aGVsbG8=");
        linked.rest().act(&format!("{}/disable-rotation-job", self.path));
        assert!(linked.rest().get(&self.path)["labels"].as_object().is_none_or(serde_json::Map::is_empty));
    }

    /// A new version; what the old one sealed still opens.
    fn rotate(&self, linked: &Linked) {
        let before = linked.kms("Encrypt", &json!({ "KeyId": self.in_aws, "Plaintext": "aGVsbG8=" }));
        let next = linked.source_key("tf-key-2");
        linked.rest().post(&format!("{}/rotate", self.path), &json!({ "source_key_tier": "local", "source_key_id": next }));
        linked.until_shown(&format!("{}/versions?version=1", self.path), |page| page["resources"][0]["state"] == "active");
        let opened = linked.kms("Decrypt", &json!({ "CiphertextBlob": before["CiphertextBlob"] }));
        assert_eq!((&opened["Plaintext"], linked.round_trip(&self.in_aws).as_str()), (&json!("aGVsbG8="), "aGVsbG8="));
    }

    fn destroy(&self, linked: &Linked) {
        assert_refused(linked, "DELETE", &self.path, "", 400..=409);
        linked.rest().post(&format!("{}/schedule-deletion", self.path), &json!({ "days": 7 }));
        let read = linked.rest().get(&self.path);
        assert_eq!((text(&read, "/aws_param/KeyState"), &read["aws_param"]["Enabled"]), ("PendingDeletion", &json!(false)));
        assert!(read["deletion_date"].is_string(), "{read}");
        let again = linked.rest().send("POST", &format!("{}/schedule-deletion", self.path), br#"{"days":7}"#);
        assert!(again.status >= 400 && again.text().contains("is pending deletion"), "{} {}", again.status, again.text());
        let refused = linked.try_kms("Encrypt", &json!({ "KeyId": self.in_aws, "Plaintext": "aGVsbG8=" })).unwrap_err();
        assert_eq!(refused.name, "KMSInvalidStateException");
        linked.rest().delete(&format!("scheduler/job-configs/{}", self.job));
    }
}

/// The client's body for `link` of a key store (contract §7.5).
fn link_of_store(endpoint: &str) -> Value {
    json!({
        "id": "",
        "aws_param": {
            "cloud_hsm_cluster_id": "", "custom_key_store_type": "", "key_store_password": "", "trust_anchor_certificate": "",
            "xks_proxy_connectivity": "", "xks_proxy_uri_endpoint": endpoint, "xks_proxy_vpc_endpoint_service_name": "",
        },
        "kms": "", "name": "", "region": "", "enable_success_audit_event": false, "linked_state": false, "local_hosted_params": null,
        "key_store_password": "",
    })
}

/// And for `link` of a key (contract §10.4).
fn link_of_key() -> Value {
    json!({
        "aws_param": { "Description": "linked later", "Tags": tags(&[("owner", "nile")]), "Alias": "linked-later" },
        "BypassPolicyLockoutSafetyCheck": null,
    })
}

fn rotation(job: &str) -> Value {
    json!({
        "job_config_id": job, "auto_rotate_disable_encrypt": false, "auto_rotate_key_source": "local",
        "auto_rotate_disable_encrypt_on_all_accounts": false,
    })
}

fn credential_rotation(name: &str) -> Value {
    job(name, "cckm_xks_credential_rotation", &json!({ "cloud_name": "aws" }), &Value::Null)
}

fn key_rotation(name: &str) -> Value {
    let params = json!({ "cloud_name": "aws", "expiration": "", "expire_in": null, "aws_param": { "retain_alias": false } });
    job(name, "cckm_key_rotation", &Value::Null, &params)
}

fn job(name: &str, operation: &str, credential_rotation: &Value, key_rotation: &Value) -> Value {
    json!({
        "id": "", "name": name, "description": "", "operation": operation, "run_at": "0 9 * * fri", "run_on": "", "disabled": false,
        "start_date": "0001-01-01T00:00:00Z", "end_date": "0001-01-01T00:00:00Z",
        "cckm_xks_credential_rotation_params": credential_rotation, "cckm_key_rotation_params": key_rotation,
        "cckm_synchronization_params": null, "database_backup_params": null,
    })
}

fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect()
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut all: Vec<_> = list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect();
    all.sort_unstable();
    all
}

fn state_in_aws(linked: &Linked, store: &Store) -> String {
    let described = linked.kms("DescribeCustomKeyStores", &json!({ "CustomKeyStoreId": store.in_aws }));
    text(&described, "/CustomKeyStores/0/ConnectionState").to_owned()
}

fn assert_refused(linked: &Linked, method: &str, path: &str, body: &str, statuses: std::ops::RangeInclusive<u16>) {
    let answer = linked.rest().send(method, path, body.as_bytes());
    assert!(statuses.contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
}
