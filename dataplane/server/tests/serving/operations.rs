//! The four operations, whole.

use aws_lc_rs::digest::{SHA256, digest};
use holdfast_proto::{
    records::{Change, Key, KeyUsage, Legacy, LegacyFormat, Record, Version},
    state::VersionState,
};
use serde_json::json;

use crate::{
    client::{Connection, Signer, altered, decrypt, encrypt, path, plain},
    rig::{ACCESS_KEY, KEY_ID, Rig, STORE, credential, key, without_credential},
};

#[tokio::test]
async fn what_is_encrypted_decrypts() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    for plaintext in [&b""[..], b"x", &[7; 4_300]] {
        let aad = [9; 8_192];
        let encrypted = connection.call("encrypt", &encrypt(plaintext, &aad)).await;
        assert_eq!(encrypted.status, 200, "{encrypted:?}");
        assert_eq!(encrypted.header("content-type"), Some("application/json"));
        assert_eq!(encrypted.bytes("ciphertext").len(), plaintext.len());
        let parts = ["ciphertextMetadata", "initializationVector", "ciphertext", "authenticationTag"].map(|part| encrypted.bytes(part));
        let hashed = [aad.to_vec(), parts.concat()].concat();
        assert_eq!(encrypted.bytes("ciphertextDataIntegrityValue"), digest(&SHA256, &hashed).as_ref());
        let decrypted = connection.call("decrypt", &decrypt(&encrypted, &aad)).await;
        assert_eq!((decrypted.status, decrypted.bytes("plaintext")), (200, plaintext.to_vec()));
    }
}

#[tokio::test]
async fn what_was_altered_does_not_decrypt() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let encrypted = connection.call("encrypt", &encrypt(b"text", b"aad")).await;
    let good = decrypt(&encrypted, b"aad");
    for one in altered(&encrypted) {
        assert_eq!(connection.call("decrypt", &one).await.refusal(), (400, "InvalidCiphertextException".into()), "{one}");
    }
    assert_eq!(connection.call("decrypt", &good).await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_encrypts_anew_and_decrypts_the_old() {
    let mut rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let old = connection.call("encrypt", &encrypt(b"old", b"")).await;
    let next = rig.files.version(1, VersionState::Pending);
    rig.apply([Change::Upsert(Record::Version(next.clone()))]);
    let before = connection.call("encrypt", &encrypt(b"before", b"")).await;
    assert_eq!(before.bytes("ciphertextMetadata"), old.bytes("ciphertextMetadata"));
    let first = rig.records.store(STORE).unwrap().key(KEY_ID).unwrap().versions().next().unwrap().clone();
    let retired = Version { state: VersionState::Retired, ..first };
    rig.apply([retired, Version { state: VersionState::Active, ..next }].map(|version| Change::Upsert(Record::Version(version))));
    let new = connection.call("encrypt", &encrypt(b"new", b"")).await;
    assert_eq!(new.bytes("ciphertextMetadata"), [1, 0, 0, 0, 1, 7, 7, 7, 7]);
    for (answer, plaintext) in [(&old, "old"), (&before, "before"), (&new, "new")] {
        assert_eq!(connection.call("decrypt", &decrypt(answer, b"")).await.bytes("plaintext"), plaintext.as_bytes());
    }
}

#[tokio::test]
async fn a_key_without_an_active_version_is_not_enabled_and_does_not_encrypt() {
    let mut rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let encrypted = connection.call("encrypt", &encrypt(b"text", b"")).await;
    let version = rig.records.store(STORE).unwrap().key(KEY_ID).unwrap().versions().next().unwrap().clone();
    rig.apply([Change::Upsert(Record::Version(Version { state: VersionState::Retired, ..version }))]);
    assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), (500, "InternalException".into()));
    assert_eq!(connection.call("metadata", &plain("metadata")).await.refusal(), (500, "InternalException".into()));
    assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.status, 200);
    rig.apply([Change::Upsert(Record::Key(Key { blocked: true, ..key() }))]);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.json()["keyStatus"], "DISABLED");
}

#[tokio::test]
async fn a_replaced_proxys_ciphertext_decrypts_in_its_format_only() {
    let mut rig = Rig::start().await;
    let old = rig.files.source(KeyUsage::BOTH);
    let holdfast_proto::records::SourceKey::Local(blob) = &old else { unreachable!() };
    let local = holdfast_keys::local::LocalKey::open(&rig.files.seals, blob).unwrap();
    // As the replaced proxy made it: AAD and metadata simply one after the other.
    let sealed = local.encrypt(b"aad-theirs", b"text").unwrap();
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let request = json!({
        "requestMetadata": crate::client::metadata_of_request(),
        "ciphertext": encode(&sealed.ciphertext),
        "initializationVector": encode(&sealed.iv),
        "authenticationTag": encode(&sealed.tag),
        "ciphertextMetadata": encode(b"-theirs"),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": encode(b"aad"),
    });
    let version = Version { source: old, ..rig.files.version(5, VersionState::Retired) };
    rig.apply([Change::Upsert(Record::Version(version))]);
    let mut connection = Connection::open(&rig).await;
    assert_eq!(connection.call("decrypt", &request).await.refusal().0, 400);
    for (format, status) in [(LegacyFormat::RawConcat, 200), (LegacyFormat::AwsSample, 400)] {
        let legacy = Key { legacy: Some(Legacy { format, version: 5 }), ..key() };
        rig.apply([Change::Upsert(Record::Key(legacy))]);
        assert_eq!(connection.call("decrypt", &request).await.status, status);
        let ours = connection.call("encrypt", &encrypt(b"ours", b"")).await;
        assert_eq!(connection.call("decrypt", &decrypt(&ours, b"")).await.bytes("plaintext"), b"ours");
    }
}

#[tokio::test]
async fn metadata_and_health_tell_what_they_should() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let metadata = connection.call("metadata", &plain("metadata")).await;
    assert_eq!(metadata.json(), json!({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"}));
    let health = connection.call("health", &plain("health")).await.json();
    assert_eq!(health["xksProxyFleetSize"], 1);
    assert_eq!(health["ekmVendor"], "Holdfast");
    assert_eq!(health["ekmFleetDetails"][0]["healthStatus"], "ACTIVE");
    assert_eq!(connection.call("health", &json!({})).await.refusal(), (400, "ValidationException".into()));
}

#[tokio::test]
async fn a_blocked_store_or_key_is_disabled_and_does_nothing() {
    let mut rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let encrypted = connection.call("encrypt", &encrypt(b"text", b"")).await;
    let invalid = (400, "InvalidStateException".to_owned());
    let blocked_key = Key { blocked: true, ..key() };
    rig.apply([Change::Upsert(Record::Key(blocked_key))]);
    assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), invalid);
    assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.refusal(), invalid);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.json()["keyStatus"], "DISABLED");
    assert_eq!(connection.call("health", &plain("health")).await.status, 200);
    rig.apply([Change::Upsert(Record::Key(key()))]);
    rig.alter(|header| header.blocked = true);
    assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), invalid);
    assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.refusal(), invalid);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.json()["keyStatus"], "DISABLED");
    assert_eq!(connection.call("health", &plain("health")).await.refusal(), invalid);
    rig.alter(|header| header.blocked = false);
    assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.bytes("plaintext"), b"text");
}

#[tokio::test]
async fn a_keys_usage_decides_what_it_does() {
    let mut rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let decrypts = KeyUsage { encrypt: false, decrypt: true };
    let version = Version { source: rig.files.source(decrypts), ..rig.files.version(0, VersionState::Active) };
    rig.apply([Change::Upsert(Record::Version(version))]);
    assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), (400, "InvalidKeyUsageException".into()));
    assert_eq!(connection.call("metadata", &plain("metadata")).await.json()["keyUsage"], json!(["DECRYPT"]));
}

#[tokio::test]
async fn a_key_that_this_node_cannot_open_is_not_enabled_and_holds_nothing_else_back() {
    let mut rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let stranger = holdfast_proto::seal::SealRing::new(holdfast_proto::seal::Seal::generate().unwrap(), Vec::new());
    let blob = holdfast_keys::local::generate(&stranger, uuid::Uuid::new_v4(), KeyUsage::BOTH, true).unwrap();
    let version = Version { source: holdfast_proto::records::SourceKey::Local(blob), ..rig.files.version(0, VersionState::Active) };
    rig.apply([Change::Upsert(Record::Version(version))]);
    assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), (500, "InternalException".into()));
    assert_eq!(connection.call("metadata", &plain("metadata")).await.refusal(), (500, "InternalException".into()));
    assert_eq!(connection.call("health", &plain("health")).await.status, 200);
    rig.alter(|header| header.blocked = true);
    assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), (400, "InvalidStateException".into()));
    assert_eq!(connection.call("metadata", &plain("metadata")).await.json()["keyStatus"], "DISABLED");
}

#[tokio::test]
async fn a_request_that_does_not_authenticate_learns_nothing() {
    let mut rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let body = plain("metadata").to_string();
    let path = path("metadata");
    let mut answers = Vec::new();
    for signer in [
        Signer { access_key: "AAAAAAAAAAAAAAAAAAAA".into(), ..Signer::default() },
        Signer { secret: "x".repeat(43), ..Signer::default() },
        Signer { region: "eu-west-1".into(), ..Signer::default() },
        Signer { at: std::time::SystemTime::now() - std::time::Duration::from_secs(301), ..Signer::default() },
    ] {
        connection.send(signer.request(&path, &body)).await;
        let answer = connection.receive().await.unwrap();
        assert_eq!(answer.refusal(), (401, "AuthenticationFailedException".into()));
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);

    let other = "ZZZZZZZZZZZZZZZZZZZZ";
    rig.apply([Change::Upsert(Record::Credential(credential(other, "another secret, of forty-three characters!!")))]);
    let second = Signer { access_key: other.into(), secret: "another secret, of forty-three characters!!".into(), ..Signer::default() };
    connection.send(second.request(&path, &body)).await;
    assert_eq!(connection.receive().await.unwrap().status, 200);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
    rig.apply([without_credential(ACCESS_KEY)]);
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 401);
    connection.send(second.request(&path, &body)).await;
    assert_eq!(connection.receive().await.unwrap().status, 200);
}

#[tokio::test]
async fn another_path_another_key_another_method() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let body = plain("x").to_string();
    for (path, status, name) in [
        ("/elsewhere/kms/xks/v1/health", 404, "InvalidUriPathException"),
        ("/p1/kms/xks/v1/keys/k1/encrypt?x=y", 404, "InvalidUriPathException"),
        ("/p1/kms/xks/v1/keys/k%31/encrypt", 404, "InvalidUriPathException"),
        ("/p1/kms/xks/v1/keys/../encrypt", 404, "InvalidUriPathException"),
        ("/", 404, "InvalidUriPathException"),
        ("/p1/kms/xks/v1/keys/k2/metadata", 404, "KeyNotFoundException"),
    ] {
        connection.send(Signer::default().request(path, &body)).await;
        assert_eq!(connection.receive().await.unwrap().refusal(), (status, name.into()), "{path}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        connection.send(format!("{method} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", path("encrypt"))).await;
        let answer = connection.receive().await.unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    }
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn a_request_refused_for_one_member_is_audited_with_the_others() {
    let rig = Rig::start().await;
    let mut connection = Connection::open(&rig).await;
    let mut mistyped = plain("metadata");
    mistyped["requestMetadata"]["awsPrincipalArn"] = 7.into();
    assert_eq!(connection.call("metadata", &mistyped).await.refusal(), (400, "ValidationException".into()));
    rig.plane.drain(std::future::ready(())).await;
    let audit: serde_json::Value = serde_json::from_str(rig.files.audit().trim()).unwrap();
    assert_eq!(audit["kmsRequestId"], "4112f4d6-db54-4af4-ae30-c55a22a8dfae");
    assert_eq!((&audit["kmsOperation"], &audit["awsPrincipalArn"]), (&"Encrypt".into(), &serde_json::Value::Null));
}
