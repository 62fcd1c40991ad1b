//! A key store of tier `luna-hsm` by REST alone, on a SoftHSM token: from the partition to what KMS asks of its keys (contract §7, §11, §14).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    Rest, Site, connection, container, hyok_key, key_store,
    replay::{opened, sealed},
    text,
};
use crate::hsm::softhsm::SoftHsm;

#[test]
fn a_partition_s_key_store_is_made_by_rest_alone_and_answers_kms() {
    let hsm = SoftHsm::with_tokens(&["blue"]);
    let (name, value) = hsm.environment();
    let partition = ["--partition".to_owned(), hsm.spec("blue", "")];
    let Site { mut rest, handout, dev: _dev, folder: _folder } = Site::start_with(&partition, &[(name, &value)]);
    let rest = &mut rest;

    let named = json!({ "name": "hsm", "password": "a PIN", "partitions": [{ "partition_label": "blue" }] });
    let hsm_connection = rest.post("connectionmgmt/services/luna-network/connections", &named);
    let added = rest.post("cckm/hsm/luna/add-partition", &json!({ "connection": "hsm" }));
    let (partition, label) = (text(&added, "/id"), text(&added, "/partition_label"));
    assert_eq!((label, text(&added, "/connection_id")), ("blue", text(&hsm_connection, "/id")));
    assert_eq!(rest.get("cckm/hsm/luna/partitions?partition_label=blue")["total"], 1);
    let (health, source, next) =
        (on_token(rest, partition, "health"), on_token(rest, partition, "source"), on_token(rest, partition, "next"));

    let made = rest.post("cckm/virtual/keys", &json!({ "source_key_id": source }));
    let virtual_key = text(&made, "/id");
    assert_eq!((text(&made, "/partition_id"), text(&made, "/source_key_id")), (partition, source.as_str()));
    assert_eq!((text(&made, "/partition_label"), &made["deletable"], &made["version"]), ("blue", &json!(false), &json!(0)));

    rest.post("connectionmgmt/services/aws/connections", &connection("aws", "a secret of forty characters for a client"));
    rest.post("cckm/aws/kms", &container("kms", "aws"));
    let mut new = key_store("on-blue", "kms", &health);
    new["local_hosted_params"]["partition_id"] = partition.into();
    new["local_hosted_params"]["source_key_tier"] = "luna-hsm".into();
    let created = rest.post("cckm/aws/custom-key-stores", &new);
    let store = format!("cckm/aws/custom-key-stores/{}", text(&created, "/id"));
    let read = rest.get(&store);
    let hosted = |member: &str| text(&read, &format!("/local_hosted_params/{member}"));
    for (member, value) in [
        ("source_key_tier", "luna-hsm"),
        ("source_container_type", "hsm-luna"),
        ("source_container_id", partition),
        ("partition_id", partition),
        ("partition_label", "blue"),
        ("health_check_key_id", &health),
    ] {
        assert_eq!(hosted(member), value, "{member}");
    }
    assert!(!hosted("health_check_ciphertext").is_empty());
    for tier in ["luna-hsm", "hsm-luna"] {
        assert_eq!(rest.get(&format!("cckm/aws/custom-key-stores?name=on-blue&source_key_tier={tier}"))["total"], 1, "{tier}");
    }
    let answer = rest.send("POST", &format!("{store}/health"), b"");
    assert_eq!((answer.status, answer.text()), (200, ""));

    let mut new = hyok_key(text(&created, "/id"), virtual_key, "on blue");
    new["local_hosted_params"]["source_key_tier"] = "luna-hsm".into();
    let made = rest.post("cckm/aws/create-hyok-key", &new);
    let hyok = format!("cckm/aws/keys/{}", text(&made, "/id"));
    assert_eq!((text(&made, "/local_hosted_params/source_key_id"), text(&made, "/aws_param/KeyState")), (virtual_key, "Enabled"));
    assert_eq!((text(&made, "/key_source_container_id"), text(&made, "/key_source_container_name")), (partition, "blue"));
    // What AWS is told has neither the virtual key's id nor the source key's.
    assert_eq!(text(&made, "/aws_param/XksKeyConfiguration/Id"), text(&made, "/id"));
    active(rest, &hyok, 0);
    let mut xks = handout.clone();
    xks["xks"]["prefix"] = created["aws_param"]["xks_proxy_uri_path"].clone();
    xks["xks"]["key_id"] = made["aws_param"]["XksKeyConfiguration"]["Id"].clone();
    xks["xks"]["access_key_id"] = created["access_key_id"].clone();
    xks["xks"]["secret_access_key"] = created["secret_access_key"].clone();
    let first = sealed(&xks);
    assert_eq!(opened(&xks, &first), "aGVsbG8=");

    // A new version is on the raw source key; what the old one sealed still opens.
    rest.post(&format!("{hyok}/rotate"), &json!({ "source_key_tier": "luna-hsm", "source_key_id": next }));
    active(rest, &hyok, 1);
    assert_eq!(text(&rest.get(&format!("cckm/virtual/keys/{virtual_key}")), "/source_key_id"), next);
    assert_eq!((opened(&xks, &first), opened(&xks, &sealed(&xks))), ("aGVsbG8=".into(), "aGVsbG8=".into()));

    // Nothing that is in use goes; then all of it does, in order.
    let (virtual_key, partition) = (format!("cckm/virtual/keys/{virtual_key}"), format!("cckm/hsm/luna/partitions/{partition}"));
    let keys = [&health, &source, &next].map(|key| format!("cckm/hsm/luna/keys/{key}"));
    for used in keys.iter().chain([&virtual_key, &partition, &store]) {
        assert_eq!(rest.send("DELETE", used, b"").status, 409, "{used}");
    }
    rest.delete(&hyok);
    rest.delete(&store);
    assert_eq!(rest.send("DELETE", &virtual_key, b"").status, 409, "it is not deletable");
    rest.patch(&virtual_key, &json!({ "deletable": true }));
    rest.delete(&virtual_key);
    for key in &keys {
        rest.delete(key);
    }
}

/// The id of a new key, which is there.
pub(crate) fn on_token(rest: &mut Rest, partition: &str, label: &str) -> String {
    let attributes = ["CKA_SENSITIVE", "CKA_ENCRYPT", "CKA_DECRYPT", "CKA_WRAP", "CKA_UNWRAP"];
    let new = json!({ "label": label, "size": 256, "partition_id": partition, "mechanism": "CKM_AES_KEY_GEN", "attributes": attributes });
    let begun = rest.post("cckm/hsm/luna/keys", &new);
    let id = text(&begun, "/id").to_owned();
    let there = until(rest, &format!("cckm/hsm/luna/keys/{id}"), |key| key["status"] != "in_progress");
    assert_eq!((text(&there, "/status"), text(&there, "/algorithm"), &there["size"]), ("AVAILABLE", "aes", &json!(256)), "{there}");
    id
}

/// Waits until a version encrypts.
fn active(rest: &mut Rest, key: &str, version: u32) {
    until(rest, &format!("{key}/versions?version={version}"), |page| page["resources"][0]["state"] == "active");
}

/// What a path tells when it is as it should be, by asking again and again.
fn until(rest: &mut Rest, path: &str, good: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let told = rest.good("GET", path, b"");
        if good(&told) {
            return told;
        }
        assert!(Instant::now() < end, "{path}: {told}");
    }
}

/// Far longer than anything here should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
