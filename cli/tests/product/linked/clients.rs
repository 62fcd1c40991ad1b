//! AWS's own clients drive the simulator, which calls the data plane: CLI, boto3, Encryption SDK.

use std::{fs, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    aws::Aws,
    site::{AWS_PATIENCE, KMS, Linked, PROXY_PATIENCE, STORES, Setup},
};
use crate::{
    hsm::softhsm::{self, SoftHsm},
    process::alone,
    rest::{hyok_key, key_store, on_partition::on_token, text},
};

#[test]
fn the_aws_cli_takes_an_external_key_store_from_creation_to_deletion() {
    let linked = Linked::start();
    let aws = Aws::of(&linked);
    let store = Unlinked::on_local_keys(&linked, "by-cli");
    let credential = format!("AccessKeyId={},RawSecretAccessKey={}", store.text("access_key_id"), store.text("secret_access_key"));
    let create = |credential: &str| {
        let mut arguments = vec!["create-custom-key-store", "--custom-key-store-name", "by-cli"];
        arguments.extend(["--custom-key-store-type", "EXTERNAL_KEY_STORE", "--xks-proxy-connectivity", "PUBLIC_ENDPOINT"]);
        arguments.extend(["--xks-proxy-uri-endpoint", linked.endpoint(), "--xks-proxy-uri-path", store.text("uri_path")]);
        arguments.extend(["--xks-proxy-authentication-credential", credential]);
        arguments.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // The proxy is asked already now.
    let wrong = create(&format!("AccessKeyId={},RawSecretAccessKey={}", store.text("access_key_id"), "0".repeat(64)));
    let said = aws.kms_fails(&wrong.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("(XksProxyIncorrectAuthenticationCredentialException)"), "{said}");
    let made = aws.kms(&create(&credential).iter().map(String::as_str).collect::<Vec<_>>());
    let in_aws = text(&made, "/CustomKeyStoreId");
    let state = || {
        text(&aws.kms(&["describe-custom-key-stores", "--custom-key-store-id", in_aws]), "/CustomKeyStores/0/ConnectionState").to_owned()
    };
    let create_key =
        ["create-key", "--origin", "EXTERNAL_KEY_STORE", "--custom-key-store-id", in_aws, "--xks-key-id", store.text("key_id")];
    assert_eq!(state(), "DISCONNECTED");
    assert!(aws.kms_fails(&create_key).contains("(CustomKeyStoreInvalidStateException)"));
    aws.kms(&["connect-custom-key-store", "--custom-key-store-id", in_aws]);
    linked.wait_until("the key store is connected", |_| state() == "CONNECTED");

    let key = aws.kms(&create_key);
    let key = text(&key, "/KeyMetadata/KeyId");
    aws.kms(&["create-alias", "--alias-name", "alias/by-cli", "--target-key-id", key]);
    let (plain, sealed) = (aws.path("plain"), aws.path("sealed"));
    fs::write(&plain, "a secret of ours").unwrap();
    let (plain, sealed_file) = (format!("fileb://{}", plain.display()), format!("fileb://{}", sealed.display()));
    let context = ["--encryption-context", "purpose=cli"];
    let answer = aws.kms(&[&["encrypt", "--key-id", "alias/by-cli", "--plaintext", &plain][..], &context].concat());
    fs::write(&sealed, BASE64_STANDARD.decode(text(&answer, "/CiphertextBlob")).unwrap()).unwrap();
    let decrypt = [&["decrypt", "--ciphertext-blob", &sealed_file][..], &context].concat();
    assert_eq!(text(&aws.kms(&decrypt), "/Plaintext"), BASE64_STANDARD.encode("a secret of ours"));
    assert!(aws.kms_fails(&["decrypt", "--ciphertext-blob", &sealed_file]).contains("(KMSInvalidStateException)"));
    let data_key = aws.kms(&["generate-data-key", "--key-id", key, "--key-spec", "AES_256"]);
    assert_eq!(BASE64_STANDARD.decode(text(&data_key, "/Plaintext")).unwrap().len(), 32);

    // Blocked at Holdfast, it is unusable in AWS, the key store or the key; unblocked, it works.
    for blocked in [store.path(), store.key_path()] {
        linked.rest().act(&format!("{blocked}/block"));
        assert!(aws.kms_fails(&decrypt).contains("(KMSInvalidStateException)"), "{blocked}");
        assert!(aws.kms_fails(&["generate-data-key", "--key-id", key, "--key-spec", "AES_256"]).contains("(KMSInvalidStateException)"));
        linked.rest().act(&format!("{blocked}/unblock"));
        assert_eq!(text(&aws.kms(&decrypt), "/Plaintext"), BASE64_STANDARD.encode("a secret of ours"), "{blocked}");
    }

    let delete = ["delete-custom-key-store", "--custom-key-store-id", in_aws];
    assert!(aws.kms_fails(&delete).contains("(CustomKeyStoreHasCMKsException)"));
    aws.kms(&["schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7"]);
    aws.kms(&["disconnect-custom-key-store", "--custom-key-store-id", in_aws]);
    linked.wait_until("the key store is disconnected", |_| state() == "DISCONNECTED");
    linked.switches().advance(std::time::Duration::from_hours(8 * 24));
    aws.kms(&delete);
    assert_eq!(aws.kms(&["describe-custom-key-stores"])["CustomKeyStores"], json!([]));
}

#[test]
fn boto3_uses_a_local_key_and_one_on_softhsm_and_moves_ciphertexts_between_them() {
    let (_hsm, linked) = beside_a_token("blue", PROXY_PATIENCE);
    let aws = Aws::of(&linked);
    let stores = [Unlinked::on_local_keys(&linked, "local"), Unlinked::on_a_token(&linked, "blue")];
    let asked: Value = stores.iter().map(|store| store.0.clone()).collect();
    let made: Value = serde_json::from_str(&aws.script::<&str>("walk.py", &[], &asked.to_string())).unwrap();
    assert_eq!(made.as_array().map(Vec::len), Some(2));

    // Blocked at Holdfast, either is unusable in AWS, by its key store or by itself; unblocked, it works.
    for (store, made) in stores.iter().zip(made.as_array().unwrap()) {
        let encrypt = json!({ "KeyId": made["key"], "Plaintext": "aGVsbG8=" });
        let decrypt = json!({ "CiphertextBlob": linked.kms("Encrypt", &encrypt)["CiphertextBlob"] });
        for blocked in [store.path(), store.key_path()] {
            linked.rest().act(&format!("{blocked}/block"));
            for (operation, body) in [("Encrypt", &encrypt), ("Decrypt", &decrypt)] {
                assert_eq!(linked.try_kms(operation, body).unwrap_err().name, "KMSInvalidStateException", "{operation} {blocked}");
            }
            linked.rest().act(&format!("{blocked}/unblock"));
            assert_eq!(linked.kms("Decrypt", &decrypt)["Plaintext"], "aGVsbG8=", "{blocked}");
        }
    }
}

#[test]
fn credentials_and_keys_are_rotated_under_load_without_a_failed_call_be_they_local_or_on_softhsm() {
    let _alone = alone();
    let (_hsm, linked) = beside_a_token("blue", AWS_PATIENCE);
    let source = linked.source_key("local");
    let store = linked.new_store("local", &source, true);
    rotated_under_load(&linked, (store, &source), |round| linked.source_key(&format!("local {round}")));
    let Token { partition, mut store, virtual_key } = Token::of(&linked, "blue");
    store["linked_state"] = true.into();
    rotated_under_load(&linked, (store, &virtual_key), |round| on_token(&mut linked.rest(), &partition, &format!("blue {round}")));
}

/// Makes a linked key store and a key in it, and rotates its credential and the key, to another source key each time, while boto3 uses it.
fn rotated_under_load(linked: &Linked, (new, source): (Value, &str), next: impl Fn(u32) -> String) {
    let tier = &new["local_hosted_params"]["source_key_tier"];
    let created = linked.rest().post(STORES, &new);
    let store = format!("{STORES}/{}", text(&created, "/id"));
    linked.connect(&store);
    let mut key = hyok_key(text(&created, "/id"), source, "");
    (key["local_hosted_params"]["linked_state"], key["local_hosted_params"]["source_key_tier"]) = (true.into(), tier.clone());
    let key = linked.rest().post("cckm/aws/create-hyok-key", &key);
    let path = format!("cckm/aws/keys/{}", text(&key, "/id"));
    let load = Aws::of(linked);
    let load = load.start("load.py", &[text(&key, "/aws_param/KeyID")]);
    let calls = || linked.switches().calls().iter().filter(|call| *call == "Decrypt").count();
    for round in 1..=3 {
        let before = calls();
        linked.wait_until("it was used in between", |_| calls() > before + 12);
        let rotated = linked.rest().act(&format!("{store}/rotate-credential"));
        assert_eq!(rotated["credential_count"], round + 1);
        let onto = json!({ "source_key_tier": tier, "source_key_id": next(round) });
        linked.rest().post(&format!("{path}/rotate"), &onto);
        linked.until_shown(&format!("{path}/versions?version={round}"), |page| page["resources"][0]["state"] == "active");
    }
    let ended = load.end();
    assert_eq!(ended["failures"], json!([]), "{tier}");
}

#[test]
fn the_aws_encryption_sdk_encrypts_and_decrypts_a_file() {
    let linked = Linked::start();
    let aws = Aws::of(&linked);
    let key = linked.linked_key(&linked.connected_store("files"), "files");
    let [plain, sealed, opened] = ["plain", "sealed", "opened"].map(|name| aws.path(name));
    let text_of_file: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&plain, &text_of_file).unwrap();
    let arguments = [text(&key, "/aws_param/Arn").as_ref(), plain.as_os_str(), sealed.as_os_str(), opened.as_os_str()];
    aws.script("encrypt_file.py", &arguments, "");
    assert_eq!(fs::read(&opened).unwrap(), text_of_file);
    let sealed = fs::read(&sealed).unwrap();
    assert!(sealed.len() > text_of_file.len() && !sealed.windows(64).any(|part| part == &text_of_file[..64]));
}

/// A rig whose data plane has a partition: a new SoftHSM token of this label.
fn beside_a_token(label: &str, proxy_patience: Duration) -> (SoftHsm, Linked) {
    let hsm = SoftHsm::with_tokens(&[label]);
    hsm.import(label, "holdfast-health", &[9; 32]);
    let partition = format!(
        "[[module]]\nname = \"soft\"\npath = {:?}\n[[partition]]\nname = {label:?}\nmodule = \"soft\"\ntoken_label = {label:?}\npin_file = {:?}\n",
        softhsm::MODULE,
        hsm.pin()
    );
    let linked =
        Linked::start_with(Setup { node_config: partition, environment: vec![hsm.environment()], proxy_patience, ..Setup::default() });
    (hsm, linked)
}

/// What a key store and its keys on a partition are made of.
struct Token {
    partition: String,
    /// The body of a new key store on it.
    store: Value,
    /// What a new key is made on.
    virtual_key: String,
}

impl Token {
    fn of(linked: &Linked, label: &str) -> Self {
        let named = json!({ "name": "hsm", "password": "a PIN", "partitions": [{ "partition_label": label }] });
        linked.rest().post("connectionmgmt/services/luna-network/connections", &named);
        let added = linked.rest().post("cckm/hsm/luna/add-partition", &json!({ "connection": "hsm" }));
        let partition = text(&added, "/id");
        let health = on_token(&mut linked.rest(), partition, "health");
        let source = on_token(&mut linked.rest(), partition, "source");
        let virtual_key = linked.rest().post("cckm/virtual/keys", &json!({ "source_key_id": source }));
        let mut store = key_store(label, KMS, &health);
        store["local_hosted_params"]["partition_id"] = partition.into();
        store["local_hosted_params"]["source_key_tier"] = "luna-hsm".into();
        store["aws_param"]["xks_proxy_uri_endpoint"] = linked.endpoint().into();
        Self { partition: partition.to_owned(), store, virtual_key: text(&virtual_key, "/id").to_owned() }
    }
}

/// A key store with a key that AWS has not heard of: what an AWS administrator is given.
struct Unlinked(Value);

impl Unlinked {
    fn on_local_keys(linked: &Linked, name: &str) -> Self {
        let source = linked.source_key(&format!("{name} key"));
        Self::new(linked, &linked.new_store(name, &source, false), &source)
    }

    /// On a partition of the data plane.
    fn on_a_token(linked: &Linked, label: &str) -> Self {
        let Token { store, virtual_key, .. } = Token::of(linked, label);
        Self::new(linked, &store, &virtual_key)
    }

    fn new(linked: &Linked, store: &Value, source: &str) -> Self {
        let created = linked.rest().post(STORES, store);
        let mut new = hyok_key(text(&created, "/id"), source, "");
        new["local_hosted_params"]["source_key_tier"] = store["local_hosted_params"]["source_key_tier"].clone();
        let key = linked.rest().post("cckm/aws/create-hyok-key", &new);
        linked.until_shown(&format!("cckm/aws/keys/{}/versions", text(&key, "/id")), |page| page["resources"][0]["state"] == "active");
        Self(json!({
            "name": created["name"],
            "id": created["id"],
            "endpoint": linked.endpoint(),
            "uri_path": created["aws_param"]["xks_proxy_uri_path"],
            "access_key_id": created["access_key_id"],
            "secret_access_key": created["secret_access_key"],
            "key": key["id"],
            "key_id": key["aws_param"]["XksKeyConfiguration"]["Id"],
        }))
    }

    fn text(&self, member: &str) -> &str {
        text(&self.0, &format!("/{member}"))
    }

    fn path(&self) -> String {
        format!("{STORES}/{}", self.text("id"))
    }

    fn key_path(&self) -> String {
        format!("cckm/aws/keys/{}", self.text("key"))
    }
}
