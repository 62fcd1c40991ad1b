//! Keys whose material is uploaded to AWS: proved by using them there.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::site::{KMS, Linked};
use crate::rest::text;

/// Source key (`algorithm`, `size`, `curveid`), AWS's spec, KeyUsage; empty: left to what follows from the rest.
const SPECS: [(&str, u32, &str, &str, &str); 13] = [
    ("AES", 256, "", "SYMMETRIC_DEFAULT", ""),
    ("RSA", 2048, "", "RSA_2048", "ENCRYPT_DECRYPT"),
    ("RSA", 2048, "", "RSA_2048", "SIGN_VERIFY"),
    ("RSA", 3072, "", "RSA_3072", "SIGN_VERIFY"),
    ("RSA", 4096, "", "RSA_4096", "ENCRYPT_DECRYPT"),
    ("EC", 256, "secp256r1", "ECC_NIST_P256", ""),
    ("EC", 384, "secp384r1", "ECC_NIST_P384", ""),
    ("EC", 521, "secp521r1", "ECC_NIST_P521", ""),
    ("EC", 256, "secp256k1", "ECC_SECG_P256K1", ""),
    ("hmac-sha224", 224, "", "HMAC_224", ""),
    ("hmac-sha256", 256, "", "HMAC_256", ""),
    ("hmac-sha384", 384, "", "HMAC_384", ""),
    ("hmac-sha512", 512, "", "HMAC_512", ""),
];

#[test]
fn a_key_of_each_spec_is_uploaded_and_works_in_aws_as_the_same_key() {
    let linked = Linked::start();
    for (number, (algorithm, size, curve, spec, usage)) in SPECS.into_iter().enumerate() {
        let name = format!("source {number}");
        let source = exportable(&linked, &name, (algorithm, size, curve));
        // By its name, with all that is said; then by its id, with what can be left out.
        let mut body = upload(&name, spec, usage);
        body["aws_param"]["Alias"] = format!("uploaded-{number}").into();
        let one = linked.rest().post("cckm/aws/upload-key", &body);
        let other = linked.rest().post("cckm/aws/upload-key", &upload(&source, "", usage));
        for made in [&one, &other] {
            let aws = &made["aws_param"];
            assert_eq!((text(aws, "/CustomerMasterKeySpec"), text(aws, "/Origin")), (spec, "EXTERNAL"), "{made}");
            assert_eq!((text(aws, "/KeyState"), &aws["Enabled"]), ("Enabled", &json!(true)), "{made}");
            assert_eq!(text(aws, "/ExpirationModel"), "KEY_MATERIAL_DOES_NOT_EXPIRE");
            assert_eq!((text(made, "/key_material_origin"), text(made, "/key_source")), ("cckm", "local"));
            assert_eq!((text(made, "/local_key_id"), text(made, "/local_key_name")), (source.as_str(), name.as_str()));
        }
        assert_eq!(one["aws_param"]["Alias"], json!([format!("alias/uploaded-{number}")]));
        let read = linked.rest().get(&format!("cckm/aws/keys/{}", text(&one, "/id")));
        assert_eq!(text(&read, "/aws_param/KeyID"), text(&one, "/aws_param/KeyID"));
        works_as_the_same(&linked, (text(&one, "/aws_param/KeyID"), text(&other, "/aws_param/KeyID")), text(&read, "/aws_param/KeyUsage"));
    }
}

#[test]
fn what_does_not_fit_the_source_key_is_refused_and_nothing_is_made_in_aws() {
    let linked = Linked::start();
    for (name, kind) in
        [("aes", ("AES", 256, "")), ("short", ("AES", 128, "")), ("rsa", ("RSA", 2048, "")), ("old", ("hmac-sha1", 160, ""))]
    {
        exportable(&linked, name, kind);
    }
    let kept = linked.source_key("kept");
    let mut late = upload("aes", "", "");
    (late["key_expiration"], late["aws_param"]["ValidTo"]) = (true.into(), "2020-01-31T12:00:00Z".into());
    let mut timeless = upload("aes", "", "");
    timeless["KeyExpiration"] = true.into();
    let mut on_hsm = upload("aes", "", "");
    on_hsm["source_key_tier"] = "luna-hsm".into();
    let mut elsewhere = upload("aes", "", "");
    elsewhere["region"] = "ap-south-1".into();
    let table = [
        (upload("aes", "RSA_2048", ""), 400, "CustomerMasterKeySpec"),
        (upload("aes", "", "SIGN_VERIFY"), 400, "KeyUsage"),
        (upload("rsa", "RSA_2048", ""), 400, "KeyUsage"),
        (upload("rsa", "RSA_3072", "SIGN_VERIFY"), 400, "CustomerMasterKeySpec"),
        (upload("short", "", ""), 400, "AWS KMS has no keys of kind aes-128"),
        (upload("old", "", ""), 400, "AWS KMS has no keys of kind hmac-sha1"),
        (upload(&kept, "", ""), 400, "unexportable"),
        (upload("none", "", ""), 400, "there is no such source key"),
        (late, 400, "ValidTo"),
        (timeless, 400, "ValidTo"),
        (on_hsm, 400, "source_key_tier"),
        (elsewhere, 400, "region"),
    ];
    for (body, status, words) in table {
        let answer = linked.rest().send("POST", "cckm/aws/upload-key", body.to_string().as_bytes());
        assert!(answer.status == status && answer.text().contains(words), "{body}: {} {}", answer.status, answer.text());
    }
    assert_eq!(linked.kms("ListKeys", &json!({}))["Keys"], json!([]));
    assert_eq!(linked.rest().get("cckm/aws/keys?region=us-east-1&key_material_origin=cckm&origin=EXTERNAL")["total"], 0);
}

#[test]
fn an_uploaded_key_has_its_policy_tags_and_alias_and_its_material_expires_and_is_imported_again() {
    let linked = Linked::start();
    let (source, other) = (exportable(&linked, "aes", ("AES", 256, "")), exportable(&linked, "another", ("AES", 256, "")));
    let valid_to = days_from_now(30);
    let mut body = upload("aes", "", "");
    body["key_users"] = json!(["alice"]);
    body["aws_param"]["Alias"] = "alias/team/uploaded".into();
    body["aws_param"]["Description"] = "uploaded".into();
    body["aws_param"]["Tags"] = json!([{ "TagKey": "owner", "TagValue": "nile" }]);
    body["aws_param"]["ValidTo"] = valid_to.as_str().into();
    body["KeyExpiration"] = true.into();
    let made = linked.rest().post("cckm/aws/upload-key", &body);
    let (path, key) = (format!("cckm/aws/keys/{}", text(&made, "/id")), text(&made, "/aws_param/KeyID").to_owned());
    let aws = &made["aws_param"];
    assert_eq!((text(aws, "/ExpirationModel"), text(aws, "/Description")), ("KEY_MATERIAL_EXPIRES", "uploaded"));
    assert!(text(aws, "/ValidTo").starts_with(valid_to.trim_end_matches('Z')), "{aws}");
    assert_eq!((&aws["Alias"], &aws["Tags"]), (&json!(["alias/team/uploaded"]), &json!([{ "TagKey": "owner", "TagValue": "nile" }])));
    assert_eq!(
        made["key_users"],
        json!(["arn:aws:iam::000000000000:user/alice".replace("000000000000", &linked.sim().settings().account_id)])
    );

    let sealed = linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }))["CiphertextBlob"].clone();
    linked.switches().advance(Duration::from_hours(31 * 24));
    assert_eq!(linked.try_kms("Decrypt", &json!({ "CiphertextBlob": sealed })).unwrap_err().name, "KMSInvalidStateException");

    // Other material is AWS's to refuse; the same opens what was encrypted before. It never expires now.
    let import = |source: &str| import(source, json!({})).to_string();
    let refused = linked.rest().send("POST", &format!("{path}/import-material"), import(&other).as_bytes());
    assert!(refused.status == 422 && refused.text().contains("IncorrectKeyMaterialException"), "{} {}", refused.status, refused.text());
    let shown = linked.rest().get(&path);
    assert_eq!(text(&shown, "/aws_param/KeyState"), "PendingImport");
    let shown = linked.rest().good("POST", &format!("{path}/import-material"), import(&source).as_bytes());
    assert_eq!(
        (text(&shown, "/aws_param/KeyState"), text(&shown, "/aws_param/ExpirationModel")),
        ("Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE")
    );
    assert_eq!(linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed }))["Plaintext"], "aGVsbG8=");
}

#[test]
fn imported_material_is_deleted_and_the_key_works_again_with_the_same() {
    let linked = Linked::start();
    let source = exportable(&linked, "aes", ("AES", 256, ""));
    let made = linked.rest().post("cckm/aws/upload-key", &upload(&source, "", ""));
    let (path, key) = (format!("cckm/aws/keys/{}", text(&made, "/id")), text(&made, "/aws_param/KeyID"));
    let sealed = linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }))["CiphertextBlob"].clone();
    let without = linked.rest().act(&format!("{path}/delete-material"));
    assert_eq!((&without["id"], text(&without, "/aws_param/KeyState")), (&made["id"], "PendingImport"));
    assert_eq!(linked.try_kms("Decrypt", &json!({ "CiphertextBlob": sealed })).unwrap_err().name, "KMSInvalidStateException");
    linked.rest().post(&format!("{path}/import-material"), &import(&source, json!({})));
    assert_eq!(linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed }))["Plaintext"], "aGVsbG8=");
    let native = linked.rest().post("cckm/aws/keys", &native("", ""));
    let refused = linked.rest().send("POST", &format!("cckm/aws/keys/{}/delete-material", text(&native, "/id")), b"");
    assert_eq!(refused.status, 409, "{}", refused.text());
}

#[test]
fn an_empty_key_gets_its_material_later_and_then_new_material_that_takes_over_by_rotation() {
    let linked = Linked::start();
    let (first, second) = (exportable(&linked, "first", ("AES", 256, "")), exportable(&linked, "second", ("AES", 256, "")));
    let mut body = native("SYMMETRIC_DEFAULT", "");
    body["aws_param"]["Origin"] = "EXTERNAL".into();
    let made = linked.rest().post("cckm/aws/keys", &body);
    assert_eq!((text(&made, "/aws_param/KeyState"), text(&made, "/aws_param/Origin")), ("PendingImport", "EXTERNAL"));
    let (path, key) = (format!("cckm/aws/keys/{}", text(&made, "/id")), text(&made, "/aws_param/KeyID").to_owned());
    let shown = linked.rest().post(&format!("{path}/import-material"), &import(&first, json!({ "import_type": "NEW_KEY_MATERIAL" })));
    assert_eq!((text(&shown, "/aws_param/KeyState"), text(&shown, "/local_key_id")), ("Enabled", first.as_str()));
    let sealed = linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }))["CiphertextBlob"].clone();

    let more = json!({ "import_type": "NEW_KEY_MATERIAL", "key_material_description": "the second", "key_material_id": null });
    let shown = linked.rest().post(&format!("{path}/import-material"), &import(&second, more));
    assert_eq!(text(&shown, "/local_key_id"), first, "what waits for its rotation does not encrypt");
    assert_eq!(materials(&linked, &path), [("first", "CURRENT"), ("second", "PENDING_ROTATION")].map(owned).into());
    let shown = linked.rest().act(&format!("{path}/rotate-material"));
    assert_eq!(text(&shown, "/local_key_id"), second);
    assert_eq!(materials(&linked, &path), [("first", "NON_CURRENT"), ("second", "CURRENT")].map(owned).into());
    // Nothing waits: new material is made, uploaded and takes over.
    let shown = linked.rest().act(&format!("{path}/rotate-material"));
    assert!(text(&shown, "/local_key_name").starts_with("second-rotated-"), "{shown}");
    let all = materials(&linked, &path);
    assert_eq!(all.values().filter(|state| *state == "CURRENT").count(), 1);
    assert_eq!((all.len(), all["second"].as_str()), (3, "NON_CURRENT"));
    assert_eq!(linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed }))["Plaintext"], "aGVsbG8=");
    let rotations = linked.rest().get(&format!("{path}/rotations?"));
    for item in rotations["resources"].as_array().unwrap() {
        let members = item.as_object().unwrap();
        let within = members["aws_param"].as_object().unwrap();
        assert!(members.iter().all(|(name, value)| value.is_string() || name == "aws_param"), "{item}");
        assert!(within.values().all(Value::is_string), "{item}");
    }
}

#[test]
fn an_uploaded_key_is_replaced_by_one_of_new_material_that_takes_its_alias() {
    let linked = Linked::start();
    exportable(&linked, "mac", ("hmac-sha256", 256, ""));
    let mut body = upload("mac", "", "");
    body["aws_param"]["Alias"] = "mac".into();
    let old = linked.rest().post("cckm/aws/upload-key", &body);
    let path = format!("cckm/aws/keys/{}", text(&old, "/id"));
    let new = linked.rest().post(&format!("{path}/rotate"), &json!({ "disable_encrypt": true, "retain_alias": true }));
    assert_ne!(text(&new, "/id"), text(&old, "/id"));
    assert_eq!(new["aws_param"]["Alias"], json!(["alias/mac"]));
    assert!(text(&new, "/local_key_name").starts_with("mac-rotated-"), "{new}");
    let shown = linked.rest().get(&path);
    assert_eq!((text(&shown, "/rotated_to"), text(&shown, "/aws_param/KeyState")), (text(&new, "/id"), "Disabled"));
    let retained = text(&shown, "/aws_param/Alias/0");
    assert!(retained.starts_with("alias/mac-rotated-"), "{retained}");
    let mac = json!({ "KeyId": "alias/mac", "Message": "aGVsbG8=", "MacAlgorithm": "HMAC_SHA_256" });
    let made = linked.kms("GenerateMac", &mac);
    assert!(text(&made, "/KeyId").ends_with(text(&new, "/aws_param/KeyID")), "{made}");
    let again = linked.rest().send("POST", &format!("{path}/rotate"), b"");
    assert_eq!(again.status, 409, "{}", again.text());
}

/// Makes an exportable key; its id.
pub(super) fn exportable(linked: &Linked, name: &str, (algorithm, size, curve): (&str, u32, &str)) -> String {
    let new = json!({ "name": name, "algorithm": algorithm, "size": size, "curveid": curve, "unexportable": false });
    text(&linked.rest().post("vault/keys2", &new), "/id").to_owned()
}

/// The known client's body (contract §8.3).
pub(super) fn upload(source: &str, spec: &str, usage: &str) -> Value {
    json!({
        "kms": KMS, "region": "us-east-1", "external_accounts": null, "key_admins": null, "key_admins_roles": null, "key_users": null,
        "key_users_roles": null, "policytemplate": null, "source_key_identifier": source, "source_key_tier": "local",
        "key_expiration": false,
        "aws_param": {
            "Alias": "", "BypassPolicyLockoutSafetyCheck": false, "CustomerMasterKeySpec": spec, "Description": "", "KeyUsage": usage,
            "MultiRegion": false, "Policy": null, "Tags": null, "Origin": "", "ValidTo": "",
        },
    })
}

/// The known client's body (contract §8.2).
pub(super) fn native(spec: &str, usage: &str) -> Value {
    let mut body = upload("", spec, usage);
    for member in ["source_key_identifier", "source_key_tier", "key_expiration"] {
        body.as_object_mut().unwrap().remove(member);
    }
    body
}

/// The known client's body (contract §8.4), with more members.
pub(super) fn import(source: &str, more: Value) -> Value {
    let mut body = json!({ "source_key_identifier": source, "source_key_tier": "local", "key_expiration": false, "valid_to": "" });
    let Value::Object(more) = more else { panic!("an object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

/// Source key name → state of the material.
pub(super) fn materials(linked: &Linked, path: &str) -> BTreeMap<String, String> {
    let all = linked.rest().get(&format!("{path}/rotations?"));
    let all = all["resources"].as_array().unwrap();
    all.iter().map(|item| (text(item, "/source_key_name").into(), text(item, "/aws_param/KeyMaterialState").into())).collect()
}

fn owned((name, state): (&str, &str)) -> (String, String) {
    (name.into(), state.into())
}

/// What one of two keys in AWS does, the other undoes or confirms, as far as AWS lets two keys be compared.
fn works_as_the_same(linked: &Linked, (one, other): (&str, &str), usage: &str) {
    let message = "aGVsbG8=";
    match usage {
        "GENERATE_VERIFY_MAC" => {
            let algorithm = linked.kms("DescribeKey", &json!({ "KeyId": one }))["KeyMetadata"]["MacAlgorithms"][0].clone();
            let mac = linked.kms("GenerateMac", &json!({ "KeyId": one, "Message": message, "MacAlgorithm": algorithm }))["Mac"].clone();
            let verify = json!({ "KeyId": other, "Message": message, "MacAlgorithm": algorithm, "Mac": mac });
            assert_eq!(linked.kms("VerifyMac", &verify)["MacValid"], true);
        }
        "SIGN_VERIFY" => {
            let (a, b) = (public_key(linked, one), public_key(linked, other));
            assert_eq!(a["PublicKey"], b["PublicKey"]);
            let algorithm = a["SigningAlgorithms"][0].clone();
            let sign = json!({ "KeyId": one, "Message": message, "MessageType": "RAW", "SigningAlgorithm": algorithm });
            let signature = linked.kms("Sign", &sign)["Signature"].clone();
            let verify =
                json!({ "KeyId": other, "Message": message, "MessageType": "RAW", "SigningAlgorithm": algorithm, "Signature": signature });
            assert_eq!(linked.kms("Verify", &verify)["SignatureValid"], true);
        }
        "ENCRYPT_DECRYPT" => {
            let spec = linked.kms("DescribeKey", &json!({ "KeyId": one }))["KeyMetadata"]["KeySpec"].clone();
            // A symmetric ciphertext names its key, so that no other opens it.
            let (other, algorithm) = if spec == "SYMMETRIC_DEFAULT" { (one, "SYMMETRIC_DEFAULT") } else { (other, "RSAES_OAEP_SHA_256") };
            let encrypt = json!({ "KeyId": one, "Plaintext": message, "EncryptionAlgorithm": algorithm });
            let sealed = linked.kms("Encrypt", &encrypt)["CiphertextBlob"].clone();
            let decrypt = json!({ "KeyId": other, "CiphertextBlob": sealed, "EncryptionAlgorithm": algorithm });
            assert_eq!(linked.kms("Decrypt", &decrypt)["Plaintext"], message);
        }
        usage => panic!("{usage}"),
    }
}

fn public_key(linked: &Linked, key: &str) -> Value {
    linked.kms("GetPublicKey", &json!({ "KeyId": key }))
}

/// RFC 3339, whole seconds.
pub(super) fn days_from_now(days: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(now).unwrap() + days * 86_400).unwrap();
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}
