//! Keys whose material AWS makes, their rotation, and their replicas.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    site::Linked,
    upload::{exportable, native, upload},
};
use crate::rest::{hyok_key, text};

#[test]
fn a_native_key_of_any_spec_is_made_with_its_policy_tags_and_alias_and_works() {
    let linked = Linked::start();
    for (number, (spec, usage, key_type)) in [
        ("", "", "symmetric"),
        ("RSA_2048", "SIGN_VERIFY", "asymmetric"),
        ("ECC_NIST_P256", "", "asymmetric"),
        ("HMAC_512", "GENERATE_VERIFY_MAC", "symmetric"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = native(spec, usage);
        body["aws_param"]["Alias"] = format!("native-{number}").into();
        body["aws_param"]["Description"] = "made by AWS".into();
        body["aws_param"]["Tags"] = json!([{ "TagKey": "owner", "TagValue": "nile" }]);
        body["key_admins"] = json!(["alice"]);
        let made = linked.rest().post("cckm/aws/keys", &body);
        let aws = &made["aws_param"];
        let shown_spec = if spec.is_empty() { "SYMMETRIC_DEFAULT" } else { spec };
        assert_eq!((text(aws, "/CustomerMasterKeySpec"), text(aws, "/Origin")), (shown_spec, "AWS_KMS"));
        assert_eq!((text(&made, "/key_material_origin"), text(&made, "/key_type")), ("native", key_type), "{made}");
        assert_eq!((&made["linked_state"], text(aws, "/KeyState")), (&json!(true), "Enabled"));
        assert_eq!((&aws["Alias"], &aws["Tags"]), (&json!([format!("alias/native-{number}")]), &body["aws_param"]["Tags"]));
        assert_eq!(text(aws, "/Policy/Id"), "key-consolepolicy-3");
        assert_eq!(made["key_admins"].as_array().unwrap().len(), 1);
        // As the known client finds it again (contract §8.1).
        let found = linked.rest().get(&format!("cckm/aws/keys?keyid={}&region=us-east-1", text(aws, "/KeyID")));
        assert_eq!((&found["total"], &found["resources"][0]["id"]), (&json!(1), &made["id"]));
        let told = linked.kms("DescribeKey", &json!({ "KeyId": format!("alias/native-{number}") }));
        assert_eq!(told["KeyMetadata"]["KeyId"], aws["KeyID"]);
    }
    // An alias is one key's, and what AWS refuses leaves nothing behind.
    let mut taken = native("", "");
    taken["aws_param"]["Alias"] = "native-0".into();
    let answer = linked.rest().send("POST", "cckm/aws/keys", taken.to_string().as_bytes());
    assert_eq!(answer.status, 409, "{}", answer.text());
    linked.switches().refuse("CreateKey", "UnsupportedOperationException", 1);
    let refused = linked.rest().send("POST", "cckm/aws/keys", native("", "").to_string().as_bytes());
    assert!(refused.status == 422 && refused.text().contains("UnsupportedOperationException"), "{} {}", refused.status, refused.text());
    assert_eq!(linked.rest().get("cckm/aws/keys?origin=AWS_KMS")["total"], 4);
    let bad = linked.rest().send("POST", "cckm/aws/keys", native("HMAC_512", "SIGN_VERIFY").to_string().as_bytes());
    assert!(bad.status == 400 && bad.text().contains("KeyUsage"), "{} {}", bad.status, bad.text());
}

#[test]
fn a_native_key_is_rotated_by_aws_in_time_on_demand_and_by_a_new_key() {
    let linked = Linked::start();
    let mut body = native("", "");
    body["aws_param"]["Alias"] = "rotated".into();
    let made = linked.rest().post("cckm/aws/keys", &body);
    let (path, key) = (format!("cckm/aws/keys/{}", text(&made, "/id")), text(&made, "/aws_param/KeyID").to_owned());
    let sealed = linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }))["CiphertextBlob"].clone();

    let shown = linked.rest().post(&format!("{path}/enable-auto-rotation"), &json!({ "rotation_period_in_days": 90 }));
    assert_eq!((&shown["aws_param"]["KeyRotationEnabled"], &shown["aws_param"]["RotationPeriodInDays"]), (&json!(true), &json!(90)));
    for days in [89, 2561] {
        let body = json!({ "rotation_period_in_days": days }).to_string();
        let refused = linked.rest().send("POST", &format!("{path}/enable-auto-rotation"), body.as_bytes());
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    let shown = linked.rest().act(&format!("{path}/disable-auto-rotation"));
    assert_eq!(shown["aws_param"]["KeyRotationEnabled"], false);

    let shown = linked.rest().act(&format!("{path}/rotate-material"));
    assert_eq!((text(&shown, "/aws_param/KeyID"), text(&shown, "/region")), (key.as_str(), "us-east-1"));
    let rotations = linked.rest().get(&format!("{path}/rotations?"));
    let states: Vec<_> = rotations["resources"].as_array().unwrap().iter().map(|item| text(item, "/aws_param/KeyMaterialState")).collect();
    assert_eq!((states, &rotations["total"]), (vec!["NON_CURRENT", "CURRENT"], &json!(2)));
    assert_eq!(text(&rotations, "/resources/1/aws_param/RotationType"), "ON_DEMAND");
    assert_eq!(text(&rotations, "/resources/1/key_material_origin"), "native");

    let new = linked.rest().post(&format!("{path}/rotate"), &json!({ "retain_alias": false }));
    assert_eq!((&new["aws_param"]["Alias"], text(&new, "/aws_param/Origin")), (&json!(["alias/rotated"]), "AWS_KMS"));
    let old = linked.rest().get(&path);
    assert_eq!((text(&old, "/rotated_to"), &old["aws_param"]["Enabled"]), (text(&new, "/id"), &json!(true)));
    assert_eq!(linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed }))["Plaintext"], "aGVsbG8=");
    let encrypted = linked.kms("Encrypt", &json!({ "KeyId": "alias/rotated", "Plaintext": "aGVsbG8=" }));
    assert!(text(&encrypted, "/KeyId").ends_with(text(&new, "/aws_param/KeyID")));
    // What AWS does not do it says itself.
    let mac = linked.rest().post("cckm/aws/keys", &native("HMAC_256", ""));
    let refused = linked.rest().send("POST", &format!("cckm/aws/keys/{}/rotate-material", text(&mac, "/id")), b"");
    assert!(refused.status == 422 && refused.text().contains("UnsupportedOperationException"), "{} {}", refused.status, refused.text());
}

#[test]
fn a_multi_region_key_is_replicated_with_its_material_and_its_primary_region_moves() {
    let linked = Linked::start();
    let source = exportable(&linked, "aes", ("AES", 256, ""));
    for uploaded in [false, true] {
        let (path, mut body) = if uploaded { ("cckm/aws/upload-key", upload(&source, "", "")) } else { ("cckm/aws/keys", native("", "")) };
        body["aws_param"]["MultiRegion"] = true.into();
        let primary = linked.rest().post(path, &body);
        let path = format!("cckm/aws/keys/{}", text(&primary, "/id"));
        assert_eq!(text(&primary, "/aws_param/MultiRegionConfiguration/MultiRegionKeyType"), "PRIMARY");

        let replica = linked.rest().post(&format!("{path}/replicate-key"), &replicate("eu-west-1", &format!("replica-{uploaded}")));
        assert_eq!((text(&replica, "/region"), text(&replica, "/aws_param/KeyID")), ("eu-west-1", text(&primary, "/aws_param/KeyID")));
        let replica_path = format!("cckm/aws/keys/{}", text(&replica, "/id"));
        let whole = linked.until_shown(&replica_path, |shown| {
            shown["aws_param"]["KeyState"] == "Enabled" && shown["aws_param"]["Alias"] == json!([format!("alias/replica-{uploaded}")])
        });
        assert_eq!(text(&whole, "/aws_param/MultiRegionConfiguration/MultiRegionKeyType"), "REPLICA");
        let key = text(&primary, "/aws_param/KeyID");
        let sealed = linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }))["CiphertextBlob"].clone();
        let opened = linked.kms_in("eu-west-1").call("Decrypt", &json!({ "CiphertextBlob": sealed, "KeyId": key })).unwrap();
        assert_eq!(opened["Plaintext"], "aGVsbG8=");

        linked.rest().post(&format!("{path}/update-primary-region"), &json!({ "PrimaryRegion": "eu-west-1" }));
        for path in [&path, &replica_path] {
            linked.until_shown(path, |shown| shown["aws_param"]["MultiRegionConfiguration"]["PrimaryKey"]["Region"] == "eu-west-1");
        }
    }
    let single = linked.rest().post("cckm/aws/keys", &native("", ""));
    let path = format!("cckm/aws/keys/{}", text(&single, "/id"));
    let refused = linked.rest().send("POST", &format!("{path}/replicate-key"), replicate("eu-west-1", "").to_string().as_bytes());
    assert_eq!(refused.status, 409, "{}", refused.text());
}

#[test]
fn a_rotation_job_is_named_in_the_labels_and_only_of_keys_in_aws_and_only_one_that_rotates_keys() {
    let linked = Linked::start();
    let rotation = linked.rest().post("scheduler/job-configs", &job("rotate", "cckm_key_rotation", "0 9 * * fri"));
    let other = linked.rest().post("scheduler/job-configs", &job("other", "cckm_xks_credential_rotation", "0 9 * * fri"));
    let enable = |id: &str, source: Value| {
        json!({
            "job_config_id": id, "auto_rotate_disable_encrypt": false, "auto_rotate_key_source": source,
            "auto_rotate_disable_encrypt_on_all_accounts": false,
        })
    };
    let key = linked.rest().post("cckm/aws/keys", &native("", ""));
    let path = format!("cckm/aws/keys/{}", text(&key, "/id"));
    let shown = linked.rest().post(&format!("{path}/enable-rotation-job"), &enable(text(&rotation, "/id"), json!("ciphertrust")));
    assert_eq!(shown["labels"], json!({ "job_config_id": rotation["id"], "auto_rotate_key_source": "ciphertrust" }));
    let wrong = enable(text(&other, "/id"), Value::Null).to_string();
    assert_eq!(linked.rest().send("POST", &format!("{path}/enable-rotation-job"), wrong.as_bytes()).status, 400);
    let mut both = enable(text(&rotation, "/id"), Value::Null);
    (both["auto_rotate_disable_encrypt"], both["auto_rotate_disable_encrypt_on_all_accounts"]) = (true.into(), true.into());
    let both = linked.rest().send("POST", &format!("{path}/enable-rotation-job"), both.to_string().as_bytes());
    assert!(both.status == 400 && both.text().contains("auto_rotate_disable_encrypt_on_all_accounts"), "{}", both.text());
    let shown = linked.rest().act(&format!("{path}/disable-rotation-job"));
    assert!(shown["labels"].is_null(), "{shown}");

    let source = linked.source_key("health");
    let store = linked.rest().post("cckm/aws/custom-key-stores", &linked.new_store("unlinked", &source, false));
    let hyok = linked.rest().post("cckm/aws/create-hyok-key", &hyok_key(text(&store, "/id"), &source, ""));
    let path = format!("cckm/aws/keys/{}", text(&hyok, "/id"));
    let refused = linked.rest().send(
        "POST",
        &format!("{path}/enable-rotation-job"),
        enable(text(&rotation, "/id"), json!("local")).to_string().as_bytes(),
    );
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(linked.rest().get(&path)["labels"].is_null());
}

#[test]
fn a_job_rotates_keys_to_new_ones_and_to_new_material() {
    let linked = Linked::start();
    exportable(&linked, "aes", ("AES", 256, ""));
    let mut body = upload("aes", "", "");
    body["aws_param"]["Alias"] = "by-job".into();
    let replaced = linked.rest().post("cckm/aws/upload-key", &body);
    let renewed = linked.rest().post("cckm/aws/keys", &native("", ""));
    let made_by_aws = linked.rest().post("cckm/aws/keys", &native("", ""));
    let mut new_key = job("new keys", "cckm_key_rotation", "* * * * *");
    new_key["cckm_key_rotation_params"]["aws_param"]["retain_alias"] = true.into();
    let mut new_material = job("new material", "cckm_key_rotation", "* * * * *");
    new_material["cckm_key_rotation_params"]["aws_param"]["rotate_material"] = true.into();
    let mut new_source = job("new sources", "cckm_key_rotation", "* * * * *");
    new_source["cckm_key_rotation_params"]["expiration"] = "44d".into();
    let made = linked.rest().post("scheduler/job-configs", &new_source);
    let enable = json!({
        "job_config_id": made["id"], "auto_rotate_key_source": "ciphertrust", "auto_rotate_disable_encrypt_on_all_accounts": true,
    });
    linked.rest().post(&format!("cckm/aws/keys/{}/enable-rotation-job", text(&made_by_aws, "/id")), &enable);
    for (key, new_job) in [(&replaced, new_key), (&renewed, new_material)] {
        let made = linked.rest().post("scheduler/job-configs", &new_job);
        let enable = json!({ "job_config_id": made["id"], "auto_rotate_disable_encrypt": true, "auto_rotate_key_source": "local" });
        linked.rest().post(&format!("cckm/aws/keys/{}/enable-rotation-job", text(key, "/id")), &enable);
    }
    let path = format!("cckm/aws/keys/{}", text(&replaced, "/id"));
    let old = linked.until_shown_within(&path, NEXT_RUN, |shown| shown["rotated_to"].is_string());
    assert_eq!((text(&old, "/aws_param/KeyState"), &old["labels"]), ("Disabled", &Value::Null));
    let new = linked.rest().get(&format!("cckm/aws/keys/{}", text(&old, "/rotated_to")));
    assert_eq!((&new["aws_param"]["Alias"], text(&new, "/aws_param/KeyState")), (&json!(["alias/by-job"]), "Enabled"));
    assert!(new["labels"]["job_config_id"].is_string(), "the job goes on with the new key");
    let path = format!("cckm/aws/keys/{}", text(&made_by_aws, "/id"));
    let old = linked.until_shown_within(&path, NEXT_RUN, |shown| shown["rotated_to"].is_string());
    assert_eq!((text(&old, "/aws_param/Origin"), text(&old, "/aws_param/KeyState")), ("AWS_KMS", "Disabled"));
    let new = linked.rest().get(&format!("cckm/aws/keys/{}", text(&old, "/rotated_to")));
    assert_eq!((text(&new, "/aws_param/Origin"), text(&new, "/key_material_origin")), ("EXTERNAL", "cckm"));
    assert_eq!(text(&new, "/aws_param/ExpirationModel"), "KEY_MATERIAL_EXPIRES");
    let path = format!("cckm/aws/keys/{}", text(&renewed, "/id"));
    linked.until_shown_within(&path, NEXT_RUN, |shown| shown["rotated_at"].is_string());
    assert_ne!(linked.rest().get(&format!("{path}/rotations"))["total"], 1);
}

/// The known client's body (contract §8.4).
pub(super) fn replicate(region: &str, alias: &str) -> Value {
    let mut body = native("", "");
    body["replica_region"] = region.into();
    (body["kms"], body["tags"], body["region"]) = ("".into(), Value::Null, "".into());
    body["aws_param"]["Alias"] = alias.into();
    body
}

/// The known client's body (contract §13).
fn job(name: &str, operation: &str, run_at: &str) -> Value {
    let mut body = json!({
        "name": name, "description": "", "operation": operation, "run_at": run_at, "run_on": "", "disabled": false,
        "start_date": "0001-01-01T00:00:00Z", "end_date": "0001-01-01T00:00:00Z",
    });
    body[format!("{operation}_params")] = match operation {
        "cckm_key_rotation" => {
            json!({ "cloud_name": "aws", "expiration": null, "expire_in": null, "aws_param": { "retain_alias": false } })
        }
        _ => json!({ "cloud_name": "aws" }),
    };
    body
}

/// Until the next minute, and what a job takes then.
const NEXT_RUN: Duration = Duration::from_secs(150);
