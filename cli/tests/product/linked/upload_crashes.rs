//! A control plane that dies at any step of an upload or of a rotation to a new key finds its way when it is back: what AWS has made is
//! finished, what it has not is withdrawn.

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    site::Linked,
    upload::{exportable, upload},
};
use crate::rest::text;

#[test]
fn an_upload_that_was_cut_off_is_finished_or_withdrawn() {
    let mut linked = Linked::start();
    exportable(&linked, "aes", ("AES", 256, ""));
    for (operation, when, made) in [
        ("CreateKey", When::Before, false),
        ("CreateKey", When::After, true),
        ("CreateAlias", When::Before, true),
        ("CreateAlias", When::After, true),
        ("GetParametersForImport", When::Before, true),
        ("GetParametersForImport", When::After, true),
        ("ImportKeyMaterial", When::Before, true),
        ("ImportKeyMaterial", When::After, true),
    ] {
        let alias = format!("cut-{}-{when:?}", operation.to_lowercase()).to_lowercase();
        let mut body = upload("aes", "", "");
        body["aws_param"]["Alias"] = alias.as_str().into();
        linked.crash((operation, when), ("POST", "cckm/aws/upload-key", &body));
        let shown = settled(&linked, |key| key["aws_param"]["Alias"] == json!([format!("alias/{alias}")]) || !made);
        if made {
            let key = shown.iter().find(|key| key["aws_param"]["Alias"] == json!([format!("alias/{alias}")])).unwrap();
            assert_eq!((text(key, "/key_material_origin"), text(key, "/local_key_name")), ("cckm", "aes"));
            let encrypt = json!({ "KeyId": format!("alias/{alias}"), "Plaintext": "aGVsbG8=" });
            assert!(text(&linked.kms("Encrypt", &encrypt), "/KeyId").ends_with(text(key, "/aws_param/KeyID")), "{operation} {when:?}");
        }
        // Nothing is left in AWS that is not known here.
        assert_eq!(linked.kms("ListKeys", &json!({}))["Keys"].as_array().unwrap().len(), shown.len(), "{operation} {when:?}");
    }
}

#[test]
fn a_rotation_that_was_cut_off_is_finished_or_withdrawn() {
    let mut linked = Linked::start();
    exportable(&linked, "mac", ("hmac-sha256", 256, ""));
    for (operation, when, rotated) in [
        ("CreateKey", When::Before, false),
        ("CreateKey", When::After, true),
        ("ImportKeyMaterial", When::After, true),
        ("UpdateAlias", When::Before, true),
        ("UpdateAlias", When::After, true),
        ("DisableKey", When::After, true),
    ] {
        let alias = format!("cut-{operation}-{when:?}").to_lowercase();
        let mut body = upload("mac", "", "");
        body["aws_param"]["Alias"] = alias.as_str().into();
        let old = linked.rest().post("cckm/aws/upload-key", &body);
        let path = format!("cckm/aws/keys/{}", text(&old, "/id"));
        let how = json!({ "disable_encrypt": true, "retain_alias": true });
        linked.crash((operation, when), ("POST", &format!("{path}/rotate"), &how));
        let mac = json!({ "KeyId": format!("alias/{alias}"), "Message": "aGVsbG8=", "MacAlgorithm": "HMAC_SHA_256" });
        if rotated {
            let old = linked.until_shown(&path, |shown| shown["rotated_to"].is_string());
            assert_eq!(text(&old, "/aws_param/KeyState"), "Disabled");
            let new = linked.rest().get(&format!("cckm/aws/keys/{}", text(&old, "/rotated_to")));
            assert_eq!(new["aws_param"]["Alias"], json!([format!("alias/{alias}")]));
            assert!(text(&linked.kms("GenerateMac", &mac), "/KeyId").ends_with(text(&new, "/aws_param/KeyID")));
        } else {
            linked.until_shown(&path, |shown| shown["failure"].is_string());
            assert!(text(&linked.kms("GenerateMac", &mac), "/KeyId").ends_with(text(&old, "/aws_param/KeyID")));
        }
    }
}

#[test]
fn an_import_that_is_refused_by_aws_leaves_no_key_that_works_and_frees_nothing_twice() {
    let linked = Linked::start();
    exportable(&linked, "aes", ("AES", 256, ""));
    linked.switches().refuse("ImportKeyMaterial", "InvalidCiphertextException", 1);
    let refused = linked.rest().send("POST", "cckm/aws/upload-key", upload("aes", "", "").to_string().as_bytes());
    assert!(refused.status == 422 && refused.text().contains("InvalidCiphertextException"), "{} {}", refused.status, refused.text());
    let keys = linked.kms("ListKeys", &json!({}))["Keys"].clone();
    let left = linked.kms("DescribeKey", &json!({ "KeyId": keys[0]["KeyId"] }));
    assert_eq!((keys.as_array().unwrap().len(), text(&left, "/KeyMetadata/KeyState")), (1, "PendingDeletion"));
    assert_eq!(linked.rest().get("cckm/aws/keys?origin=EXTERNAL")["total"], 0);
}

/// The keys of origin EXTERNAL once nothing is left to do with them, and one is as it should be.
fn settled(linked: &Linked, good: impl Fn(&Value) -> bool) -> Vec<Value> {
    let path = "cckm/aws/keys?origin=EXTERNAL&limit=-1";
    let whole = |key: &Value| key["aws_param"]["KeyState"] == "Enabled";
    let all = |page: &Value| page["resources"].as_array().cloned().unwrap_or_default();
    let page = linked.until_shown(path, |page| {
        let keys = all(page);
        keys.iter().all(whole) && (keys.iter().any(&good) || keys.is_empty() && good(&Value::Null))
    });
    all(&page)
}
