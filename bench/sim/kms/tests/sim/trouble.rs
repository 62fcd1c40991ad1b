//! What is made of a proxy that is not well.

use std::time::Duration;

use holdfast_sim_kms::{ProxyFaults, Sim};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    proxy::{Mood, Proxy},
    rig::{self, PATIENCE, PATIENT, Rig, settled},
};

const PLAIN: &str = "aGVsbG8=";

#[tokio::test]
async fn each_trouble_has_its_error_at_create_its_code_at_connect_and_one_error_at_use() {
    let rig = Rig::start().await;
    let key = rig.key().await;
    let this =
        json!({"CustomKeyStoreId": rig.client.done("DescribeCustomKeyStores", &json!({})).await["CustomKeyStores"][0]["CustomKeyStoreId"]});
    let id = this["CustomKeyStoreId"].as_str().unwrap().to_owned();
    let mut other = rig.store("other");
    other["XksProxyUriPath"] = json!("/other/kms/xks/v1");
    let rows = [
        (Mood::Refusing(401, "AuthenticationFailedException"), "XksProxyIncorrectAuthenticationCredentialException", "INVALID_CREDENTIALS"),
        (Mood::Refusing(403, "AccessDeniedException"), "XksProxyInvalidConfigurationException", "XKS_PROXY_ACCESS_DENIED"),
        (Mood::Refusing(404, "InvalidUriPathException"), "XksProxyInvalidConfigurationException", "XKS_PROXY_INVALID_CONFIGURATION"),
        (Mood::Refusing(400, "InvalidStateException"), "XksProxyInvalidConfigurationException", "XKS_PROXY_INVALID_CONFIGURATION"),
        (Mood::Refusing(400, "ValidationException"), "XksProxyInvalidResponseException", "XKS_PROXY_INVALID_RESPONSE"),
        (Mood::Refusing(503, "DependencyTimeoutException"), "XksProxyUriUnreachableException", "XKS_PROXY_NOT_REACHABLE"),
        (Mood::Refusing(500, "TomorrowsException"), "XksProxyInvalidResponseException", "XKS_PROXY_INVALID_RESPONSE"),
        (Mood::Babbling, "XksProxyInvalidResponseException", "XKS_PROXY_INVALID_RESPONSE"),
        (Mood::Away, "XksProxyUriUnreachableException", "XKS_PROXY_NOT_REACHABLE"),
        (Mood::Silent, "XksProxyUriUnreachableException", "XKS_PROXY_TIMED_OUT"),
    ];
    for (mood, at_create, at_connect) in rows {
        rig.proxy.feel(mood);
        assert_eq!(rig.client.refused("CreateCustomKeyStore", &other).await, at_create, "{mood:?}");
        if mood != Mood::Away {
            let use_it = rig.client.refused("Encrypt", &json!({"KeyId": key, "Plaintext": PLAIN})).await;
            assert_eq!(use_it, "KMSInvalidStateException", "{mood:?}");
        }
        rig.client.done("DisconnectCustomKeyStore", &this).await;
        settled(&rig.client, &id).await;
        rig.client.done("ConnectCustomKeyStore", &this).await;
        assert_eq!(settled(&rig.client, &id).await["ConnectionErrorCode"], at_connect, "{mood:?}");
        rig.proxy.feel(Mood::Well);
        rig.client.done("DisconnectCustomKeyStore", &this).await;
        settled(&rig.client, &id).await;
        rig.client.done("ConnectCustomKeyStore", &this).await;
        assert_eq!(settled(&rig.client, &id).await["ConnectionState"], "CONNECTED", "{mood:?}");
    }
}

#[tokio::test]
async fn a_timeout_is_tried_once_more_and_an_error_is_not() {
    let rig = Rig::patient().await;
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    rig.proxy.seen();
    rig.proxy.feel(Mood::Silent);
    rig.client.refused("Encrypt", &encrypt).await;
    assert_eq!(rig.proxy.seen().len(), 2);
    rig.proxy.feel(Mood::Refusing(429, "ThrottlingException"));
    rig.client.refused("Encrypt", &encrypt).await;
    assert_eq!(rig.proxy.seen().len(), 1);
    rig.proxy.feel(Mood::Well);
    rig.sim.control().proxy(ProxyFaults { drop: 1, ..ProxyFaults::default() });
    rig.client.done("Encrypt", &encrypt).await;
    assert_eq!(rig.proxy.seen().len(), 1);
}

#[tokio::test]
async fn a_proxy_has_250_milliseconds_for_each_of_two_tries() {
    let rig = Rig::start().await;
    assert_eq!(rig.sim.settings().proxy_patience, Duration::from_millis(250));
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    for faults in
        [ProxyFaults { drop: 2, ..ProxyFaults::default() }, ProxyFaults { latency: Duration::from_millis(260), ..ProxyFaults::default() }]
    {
        rig.sim.control().proxy(faults);
        let refused = rig.client.kms("Encrypt", &encrypt).await;
        assert_eq!(refused.error(), "KMSInvalidStateException");
        assert!(refused.text.contains("did not respond in time"), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_ciphertext_that_its_integrity_value_or_length_gives_the_lie_is_not_taken() {
    let rig = Rig::start().await;
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    for mood in [Mood::Lying, Mood::Cutting] {
        rig.proxy.feel(mood);
        assert_eq!(rig.client.refused("Encrypt", &encrypt).await, "KMSInvalidStateException", "{mood:?}");
    }
    rig.proxy.feel(Mood::Well);
    rig.client.done("Encrypt", &encrypt).await;
}

#[tokio::test]
async fn a_bad_ciphertext_is_an_invalid_state_whichever_half_is_bad() {
    let rig = Rig::start().await;
    let key = rig.key().await;
    let blob = rig.client.done("Encrypt", &json!({"KeyId": key, "Plaintext": PLAIN})).await["CiphertextBlob"].clone();
    rig.proxy.feel(Mood::Refusing(400, "InvalidCiphertextException"));
    let outer = rig.client.kms("Decrypt", &json!({"CiphertextBlob": blob})).await;
    assert_eq!(outer.error(), "KMSInvalidStateException");
    assert!(outer.text.contains("specified ciphertext or additional authenticated data is corrupted"), "{}", outer.text);
    rig.proxy.feel(Mood::Well);
    let inner = rig.client.kms("Decrypt", &json!({"CiphertextBlob": blob, "EncryptionContext": {"a": "b"}})).await;
    assert_eq!(inner.error(), "KMSInvalidStateException");
    assert!(inner.text.contains("submitted for decryption"), "{}", inner.text);
    assert_eq!(rig.client.refused("Decrypt", &json!({"CiphertextBlob": PLAIN})).await, "InvalidCiphertextException");
    assert_eq!(rig.client.done("Decrypt", &json!({"CiphertextBlob": blob})).await["Plaintext"], PLAIN);
}

#[tokio::test]
async fn a_connected_proxy_is_asked_for_its_health_from_time_to_time() {
    let proxy = Proxy::start().await;
    let settings = holdfast_sim_kms::SimSettings { health_interval: Duration::from_millis(5), ..rig::settings(&proxy) };
    let sim = Sim::start(settings).await.unwrap();
    let client = rig::client(&sim);
    let this = client.done("CreateCustomKeyStore", &proxy.store("a")).await;
    client.done("ConnectCustomKeyStore", &this).await;
    let health = async |wanted: &str| {
        let asked = async || {
            let request = http::Request::get("/_sim/state").header("host", "x").body(String::new()).unwrap();
            client.send(request).await.unwrap().json()["stores"][0]["proxy_health"].clone()
        };
        let shown = async { while !asked().await.as_str().is_some_and(|health| health.contains(wanted)) {} };
        timeout(PATIENCE, shown).await.unwrap_or_else(|_| panic!("never {wanted}"));
    };
    health("well").await;
    assert!(proxy.seen().iter().any(|seen| seen.body["requestMetadata"]["kmsOperation"] == "KmsHealthCheck"));
    proxy.feel(Mood::Away);
    health("unhealthy").await;
}

#[tokio::test]
async fn an_external_key_backs_one_key_and_has_to_be_there_and_enabled() {
    let rig = Rig::start().await;
    let store = rig.connected().await;
    let create = json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "k"});
    rig.proxy.feel(Mood::Refusing(404, "KeyNotFoundException"));
    assert_eq!(rig.client.refused("CreateKey", &create).await, "XksKeyNotFoundException");
    rig.proxy.feel(Mood::Away);
    assert_eq!(rig.client.refused("CreateKey", &create).await, "XksKeyInvalidConfigurationException");
    rig.proxy.feel(Mood::Refusing(401, "AuthenticationFailedException"));
    assert_eq!(rig.client.refused("CreateKey", &create).await, "CustomKeyStoreInvalidStateException");
    rig.proxy.feel(Mood::Well);
    rig.client.done("CreateKey", &create).await;
    assert_eq!(rig.client.refused("CreateKey", &create).await, "XksKeyAlreadyInUseException");
}

#[tokio::test]
async fn a_proxy_gets_the_members_of_the_specification_and_never_the_plaintext() {
    let rig = Rig::patient().await;
    let key = rig.key().await;
    rig.proxy.seen();
    let context = json!({"b": "2", "a": "1"});
    let encrypt = json!({"KeyId": key, "Plaintext": PLAIN, "EncryptionContext": context});
    let made = rig.client.done("Encrypt", &encrypt).await;
    rig.client.done("Decrypt", &json!({"CiphertextBlob": made["CiphertextBlob"], "EncryptionContext": context})).await;
    let seen = rig.proxy.seen();
    assert_eq!(
        seen.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(),
        ["/kms/xks/v1/keys/external-key/encrypt", "/kms/xks/v1/keys/external-key/decrypt"]
    );
    assert!(seen.iter().all(|seen| seen.signature.is_ok()), "{seen:?}");
    let (encrypted, decrypted) = (&seen[0].body, &seen[1].body);
    let metadata = &encrypted["requestMetadata"];
    assert_eq!(metadata["kmsOperation"], "Encrypt");
    assert_eq!(metadata["kmsKeyArn"], made["KeyId"]);
    assert_eq!(metadata["awsPrincipalArn"], "arn:aws:iam::111122223333:user/simulator");
    assert!(metadata["kmsRequestId"].is_string() && metadata.get("kmsViaService").is_none());
    assert_eq!(encrypted["additionalAuthenticatedData"], "YT0xLGI9Mg==");
    assert_eq!(decrypted["additionalAuthenticatedData"], encrypted["additionalAuthenticatedData"]);
    assert_eq!(decrypted["ciphertextMetadata"], "AwMDAwMDAwMD");
    assert_ne!(encrypted["plaintext"], PLAIN);
    rig.sim.control().proxy(ProxyFaults { unknown_members: true, clock_skew: -200, ..ProxyFaults::default() });
    rig.client.done("Encrypt", &encrypt).await;
    let late = rig.proxy.seen().remove(0);
    assert!(late.body["aMemberOfTomorrow"].is_object() && late.body["requestMetadata"]["awsMemberOfTomorrow"].is_string());
    assert!(late.signature.is_ok_and(|off| (-230..=-170).contains(&off)));
}

#[tokio::test]
async fn connections_are_kept_and_one_that_was_closed_costs_nothing() {
    let rig = Rig::patient().await;
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    rig.client.done("Encrypt", &encrypt).await;
    rig.client.done("Encrypt", &encrypt).await;
    let seen = rig.proxy.seen();
    assert!(seen.windows(2).all(|pair| pair[0].connection == pair[1].connection), "{seen:?}");
    for _ in 0..3 {
        rig.proxy.leave().await;
        rig.client.done("Encrypt", &encrypt).await;
    }
    let connections: Vec<_> = rig.proxy.seen().iter().map(|seen| seen.connection).collect();
    assert!(connections.len() == 3 && connections.windows(2).all(|pair| pair[0] < pair[1]), "{connections:?}");
}

#[tokio::test]
async fn a_request_that_the_proxy_read_is_not_sent_again_when_it_hangs_up() {
    let rig = Rig::patient().await;
    let encrypt = json!({"KeyId": rig.key().await, "Plaintext": PLAIN});
    rig.client.done("Encrypt", &encrypt).await;
    rig.proxy.seen();
    rig.proxy.feel(Mood::HangingUp);
    // On a connection that was kept, and on a fresh one.
    for _ in 0..2 {
        let refused = rig.client.kms("Encrypt", &encrypt).await;
        assert!(refused.error() == "KMSInvalidStateException" && refused.text.contains("cannot communicate"), "{}", refused.text);
        assert_eq!(rig.proxy.seen().len(), 1);
    }
    rig.proxy.feel(Mood::Well);
    rig.client.done("Encrypt", &encrypt).await;
}

#[tokio::test]
async fn a_key_that_is_disabled_is_unavailable_all_the_same_while_its_store_is_not_connected() {
    let rig = Rig::start().await;
    let key = json!({"KeyId": rig.key().await});
    let state = async || rig.client.done("DescribeKey", &key).await["KeyMetadata"]["KeyState"].as_str().unwrap().to_owned();
    let store = rig.client.done("DescribeKey", &key).await["KeyMetadata"]["CustomKeyStoreId"].clone();
    let this = json!({"CustomKeyStoreId": store});
    rig.client.done("DisableKey", &key).await;
    assert_eq!(state().await, "Disabled");
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    settled(&rig.client, store.as_str().unwrap()).await;
    assert_eq!(state().await, "Unavailable");
    let encrypt = json!({"KeyId": key["KeyId"], "Plaintext": PLAIN});
    assert_eq!(rig.client.refused("Encrypt", &encrypt).await, "KMSInvalidStateException");
    rig.client.done("ConnectCustomKeyStore", &this).await;
    settled(&rig.client, store.as_str().unwrap()).await;
    assert_eq!(state().await, "Disabled");
    rig.client.done("DisconnectCustomKeyStore", &this).await;
    rig.client.done("ScheduleKeyDeletion", &json!({"KeyId": key["KeyId"], "PendingWindowInDays": 7})).await;
    assert_eq!(state().await, "PendingDeletion");
}

#[tokio::test]
async fn a_stale_credential_is_used_only_while_it_is_asked_for() {
    let rig = Rig::patient().await;
    let key = rig.key().await;
    let id = rig.client.done("DescribeKey", &json!({"KeyId": key})).await["KeyMetadata"]["CustomKeyStoreId"].clone();
    let new = json!({"AccessKeyId": "ZYXWVUTSRQPONMLK2345", "RawSecretAccessKey": "b".repeat(43)});
    let update = json!({"CustomKeyStoreId": id, "XksProxyAuthenticationCredential": new});
    rig.client.done("UpdateCustomKeyStore", &update).await;
    rig.proxy.seen();
    let encrypt = json!({"KeyId": key, "Plaintext": PLAIN});
    rig.client.done("Encrypt", &encrypt).await;
    assert!(rig.proxy.seen()[0].signature.as_ref().is_err_and(|header| header.contains("ZYXWVUTSRQPONMLK2345")));
    rig.sim.control().proxy(ProxyFaults { stale_credential: true, ..ProxyFaults::default() });
    rig.client.done("Encrypt", &encrypt).await;
    assert!(rig.proxy.seen()[0].signature.is_ok());
}

#[tokio::test]
async fn a_proxy_of_another_authority_or_that_wants_a_certificate_in_vain_has_the_wrong_tls() {
    let proxy = Proxy::start().await;
    let sim = Sim::start(rig::settings(&proxy)).await.unwrap();
    let client = rig::client(&sim);
    let strict = Proxy::asking_for(Some(sim.client_ca())).await;
    assert_eq!(client.refused("CreateCustomKeyStore", &strict.store("foreign")).await, "XksProxyInvalidConfigurationException");
    let sim = {
        let mut settings = rig::settings(&strict);
        settings.state_file = None;
        Sim::start(settings).await.unwrap()
    };
    let strict_for_this = Proxy::asking_for(Some(sim.client_ca())).await;
    assert_eq!(
        rig::client(&sim).refused("CreateCustomKeyStore", &strict_for_this.store("a")).await,
        "XksProxyInvalidConfigurationException"
    );
}

#[tokio::test]
async fn the_client_certificate_names_the_region_and_can_be_switched() {
    let (dir, first) = (tempfile::tempdir().unwrap(), Proxy::start().await);
    let mut settings = rig::settings(&first);
    settings.state_file = Some(dir.path().join("state.json"));
    let sim = Sim::start(settings.clone()).await.unwrap();
    let proxy = Proxy::asking_for(Some(sim.client_ca())).await;
    let ca = sim.client_ca().to_owned();
    sim.stop().await;
    settings.proxy_ca = Some(proxy.ca_pem.clone().into());
    let sim = Sim::start(settings).await.unwrap();
    assert_eq!(sim.client_ca(), ca);
    let client = rig::client(&sim);
    assert_eq!(client.refused("CreateCustomKeyStore", &proxy.store("a")).await, "XksProxyInvalidConfigurationException");
    sim.control().client_certificate(true);
    client.done("CreateCustomKeyStore", &proxy.store("a")).await;
    let shown = proxy.seen().remove(0).certificate.unwrap();
    let name = b"cks.kms.eu-central-1.amazonaws.com";
    assert!(shown.windows(name.len()).any(|part| part == name));
}

#[tokio::test]
async fn every_operation_that_goes_to_the_proxy_is_counted_and_throttled() {
    // One each second: of so many some come too early, however slow the machine is.
    let rig = Rig::start_with(|settings| (settings.proxy_patience, settings.requests_per_second) = (PATIENT, 1)).await;
    let key = rig.key().await;
    let blob = rig.client.done("Encrypt", &json!({"KeyId": key, "Plaintext": PLAIN})).await["CiphertextBlob"].clone();
    for (operation, body) in [
        ("Encrypt", json!({"KeyId": key, "Plaintext": PLAIN})),
        ("Decrypt", json!({"CiphertextBlob": blob})),
        ("GenerateDataKey", json!({"KeyId": key, "KeySpec": "AES_256"})),
        ("GenerateDataKeyWithoutPlaintext", json!({"KeyId": key, "KeySpec": "AES_256"})),
        ("ReEncrypt", json!({"CiphertextBlob": blob, "DestinationKeyId": key})),
    ] {
        let mut throttled = None;
        for _ in 0..50 {
            let answer = rig.client.kms(operation, &body).await;
            if answer.status != 200 {
                throttled = Some((answer.status.as_u16(), answer.error()));
                break;
            }
        }
        assert_eq!(throttled, Some((400, "ThrottlingException".into())), "{operation}");
    }
}
