//! Taking over from another proxy: ciphertexts that the AWS sample proxy's formula made under a token's key open here, under the same
//! external key id, path and credential.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use holdfast_proto::admin::{CreateHyokKeyRequest, CreateKeyStoreRequest, ExistingKey};
use serde_json::{Value, json};

use super::{rig::Dev, softhsm::SoftHsm};
use crate::{admin::Admin, client::ask};

#[test]
fn ciphertexts_of_the_aws_sample_proxy_open_under_the_same_names() {
    let hsm = SoftHsm::with_tokens(&["taken"]);
    hsm.import("taken", "foo", &MATERIAL);
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("taken", "")]);
    let handout = dev.handout();
    let api = &handout["api"];
    let port = api["url"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    let store = CreateKeyStoreRequest {
        name: "taken over".into(),
        region: "us-east-1".into(),
        tier: "taken".into(),
        uri_path: PATH.into(),
        access_key_id: ACCESS_KEY.into(),
        secret_access_key: SECRET.into(),
        health_check_key: Some(ExistingKey { label: "holdfast-health".into(), ..Default::default() }),
        ..Default::default()
    };
    let key = CreateHyokKeyRequest {
        name: "foo".into(),
        external_key_id: "foo".into(),
        legacy_format: "aws-sample".into(),
        source_key: Some(ExistingKey { label: "foo".into(), ..Default::default() }),
        ..Default::default()
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async { Admin::sign_in(port, api).await.take_over(store, key).await });

    let mut before = handout.clone();
    for (field, value) in [("prefix", PATH), ("access_key_id", ACCESS_KEY), ("secret_access_key", SECRET), ("key_id", "foo")] {
        before["xks"][field] = value.into();
    }
    for (aad, metadata) in
        [(Some(&b"project=nile"[..]), &b"key_version=1"[..]), (Some(b"project=nile"), b""), (None, b"key_version=1"), (None, b"")]
    {
        let sealed = of_the_sample(aad, metadata, b"a data key");
        assert_eq!(ask(&before, "decrypt", sealed.clone())["plaintext"], BASE64_STANDARD.encode("a data key"), "{aad:?} {metadata:?}");
        // The AAD still binds.
        let mut bent = sealed;
        bent["additionalAuthenticatedData"] = BASE64_STANDARD.encode("project=thames").into();
        assert_eq!(ask(&before, "decrypt", bent)["errorName"], "InvalidCiphertextException");
    }
    // What is encrypted from now on is ours.
    let mut fresh = ask(&before, "encrypt", json!({ "plaintext": "aGVsbG8=", "encryptionAlgorithm": "AES_GCM" }));
    fresh["encryptionAlgorithm"] = "AES_GCM".into();
    assert_eq!(ask(&before, "decrypt", fresh)["plaintext"], "aGVsbG8=");
}

/// The body of a Decrypt: AES-GCM's AAD is `u16be(len AAD) ‖ SHA-256(AAD) if present ‖ u8(len metadata) ‖ metadata` (design §6).
fn of_the_sample(aad: Option<&[u8]>, metadata: &[u8], plaintext: &[u8]) -> Value {
    let mut bound = u16::try_from(aad.map_or(0, <[u8]>::len)).unwrap().to_be_bytes().to_vec();
    if let Some(aad) = aad {
        bound.extend_from_slice(digest::digest(&digest::SHA256, aad).as_ref());
    }
    bound.push(u8::try_from(metadata.len()).unwrap());
    bound.extend_from_slice(metadata);
    let iv = [7; 12];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &MATERIAL).unwrap());
    let mut text = plaintext.to_vec();
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::from(bound), &mut text).unwrap();
    let mut body = json!({
        "ciphertext": BASE64_STANDARD.encode(text),
        "initializationVector": BASE64_STANDARD.encode(iv),
        "authenticationTag": BASE64_STANDARD.encode(tag.as_ref()),
        "encryptionAlgorithm": "AES_GCM",
    });
    if let Some(aad) = aad {
        body["additionalAuthenticatedData"] = BASE64_STANDARD.encode(aad).into();
    }
    if !metadata.is_empty() {
        body["ciphertextMetadata"] = BASE64_STANDARD.encode(metadata).into();
    }
    body
}

const MATERIAL: [u8; 32] = [0x5a; 32];
const PATH: &str = "/old/kms/xks/v1";
const ACCESS_KEY: &str = "AKIAOLDPROXYOLDPROXY";
/// 32 random bytes, base64.
const SECRET: &str = "3l5Zg8bN0vJm1kQx9eRtYpLwHsUaCdFi2oTz6nBqVGc=";
