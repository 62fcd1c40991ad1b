//! The four operations under keys on a token, and what else a node does with one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use holdfast_dataplane::{
    DataPlane, Settings,
    cache::Cache,
    live::{CountName, Counted, MOST_ENCRYPTIONS},
    seals::{SealOnPartition, SealingKey, seal_on_partition},
    settings::KeySeal,
    tasks::Tasks,
};
use holdfast_keys::pkcs11::settings::PinSource;
use holdfast_proto::{
    records::{Change, Key, KeyUsage, Legacy, LegacyFormat, PartitionKey, Record, SourceKey, Version},
    seal::Seal,
    state::VersionState,
    sync::{GenerateKey, InspectKey, KeyTask, KeyTaskResult, ListKeys, MakeHealthCiphertext, key_task::Task, key_task_result::Outcome},
};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    client::{Connection, altered, decrypt, encrypt, metadata_of_request, ops, plain},
    rig::{Files, KEY_ID, Rig, STORE, key},
    softhsm::{HEALTH, LABEL, Made, NewKey, SoftHsm, TOKEN, source, with_softhsm},
};

/// A data plane whose only key, and whose health key, are on the token.
async fn start(hsm: &SoftHsm) -> Rig {
    let mut rig = Rig::with(|settings, _| settings.pkcs11 = hsm.settings(), |store| store.health_key = source(HEALTH)).await;
    use_key(&mut rig, LABEL);
    rig
}

fn use_key(rig: &mut Rig, label: &str) {
    let version = Version { source: source(label), ..rig.files.version(0, VersionState::Active) };
    rig.apply([Change::Upsert(Record::Version(version))]);
}

fn is(status: u16, name: &str) -> (u16, String) {
    (status, name.into())
}

#[test]
fn what_a_tokens_key_encrypts_it_decrypts() {
    with_softhsm("tokens::what_a_tokens_key_encrypts_it_decrypts", async |hsm| {
        let rig = start(&hsm).await;
        let mut connection = Connection::warm(&rig).await;
        for plaintext in [&b""[..], b"x", &[7; 4_300]] {
            let aad = [9; 8_192];
            let encrypted = connection.call("encrypt", &encrypt(plaintext, &aad)).await;
            assert_eq!(encrypted.status, 200, "{encrypted:?}");
            assert_eq!(encrypted.bytes("ciphertext").len(), plaintext.len());
            let parts = ["ciphertextMetadata", "initializationVector", "ciphertext", "authenticationTag"].map(|part| encrypted.bytes(part));
            let hashed = [aad.to_vec(), parts.concat()].concat();
            assert_eq!(encrypted.bytes("ciphertextDataIntegrityValue"), digest(&SHA256, &hashed).as_ref());
            let decrypted = connection.call("decrypt", &decrypt(&encrypted, &aad)).await;
            assert_eq!((decrypted.status, decrypted.bytes("plaintext")), (200, plaintext.to_vec()));
            let mut without = encrypt(plaintext, b"");
            without.as_object_mut().unwrap().remove("ciphertextDataIntegrityValueAlgorithm");
            let encrypted = connection.call("encrypt", &without).await;
            assert_eq!(encrypted.json().get("ciphertextDataIntegrityValue"), None);
            assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.bytes("plaintext"), plaintext);
        }
        let encryptions = rig.records.store(STORE).unwrap().key(KEY_ID).unwrap().versions().next().map(|_| {
            let live = rig.plane.live().load_full();
            live.stores().next().unwrap().keys["k1"].active.as_ref().unwrap().count.used()
        });
        assert_eq!(encryptions, Some(6));
    });
}

#[test]
fn what_was_altered_does_not_decrypt_on_a_token() {
    with_softhsm("tokens::what_was_altered_does_not_decrypt_on_a_token", async |hsm| {
        let rig = start(&hsm).await;
        let mut connection = Connection::warm(&rig).await;
        let encrypted = connection.call("encrypt", &encrypt(b"text", b"aad")).await;
        let good = decrypt(&encrypted, b"aad");
        for one in altered(&encrypted) {
            let answer = connection.call("decrypt", &one).await;
            assert_eq!(answer.refusal(), is(400, "InvalidCiphertextException"), "{one}");
            // An altered ciphertext is nobody's fault but the caller's.
            assert_eq!(connection.call("decrypt", &good).await.bytes("plaintext"), b"text");
        }
    });
}

/// The request that decrypts what another proxy made.
fn taken_over(made: &Made, aad: Option<&[u8]>, metadata: Option<&[u8]>) -> Value {
    let mut request = json!({
        "requestMetadata": metadata_of_request(),
        "ciphertext": STANDARD.encode(&made.ciphertext),
        "initializationVector": STANDARD.encode(&made.iv),
        "authenticationTag": STANDARD.encode(&made.tag),
        "encryptionAlgorithm": "AES_GCM",
    });
    for (member, value) in [("additionalAuthenticatedData", aad), ("ciphertextMetadata", metadata)] {
        if let Some(value) = value {
            request[member] = STANDARD.encode(value).into();
        }
    }
    request
}

/// As the AWS sample proxy does it.
fn sample_formula(aad: Option<&[u8]>, metadata: Option<&[u8]>) -> Vec<u8> {
    let mut bound = u16::try_from(aad.map_or(0, <[u8]>::len)).unwrap().to_be_bytes().to_vec();
    bound.extend(aad.iter().flat_map(|aad| digest(&SHA256, aad).as_ref().to_vec()));
    bound.push(metadata.map_or(0, <[u8]>::len).try_into().unwrap());
    bound.extend(metadata.unwrap_or_default());
    bound
}

#[test]
fn a_replaced_proxys_ciphertexts_decrypt_on_the_tokens_own_key_with_ivs_of_both_lengths() {
    let name = "tokens::a_replaced_proxys_ciphertexts_decrypt_on_the_tokens_own_key_with_ivs_of_both_lengths";
    with_softhsm(name, async |hsm| {
        let mut cases = Vec::new();
        for iv in [&[1; 12][..], &[2; 16]] {
            for aad in [None, Some(&b""[..]), Some(b"project=nile")] {
                for metadata in [None, Some(&b"key_version=1"[..])] {
                    let sample = hsm.encrypt(LABEL, iv, &sample_formula(aad, metadata), b"from the sample");
                    let raw = [aad.unwrap_or_default(), metadata.unwrap_or_default()].concat();
                    let raw = hsm.encrypt(LABEL, iv, &raw, b"from another");
                    cases.push((LegacyFormat::AwsSample, taken_over(&sample, aad, metadata), b"from the sample".to_vec()));
                    cases.push((LegacyFormat::RawConcat, taken_over(&raw, aad, metadata), b"from another".to_vec()));
                }
            }
        }
        let mut rig = start(&hsm).await;
        let mut connection = Connection::warm(&rig).await;
        assert_eq!(connection.call("decrypt", &cases[0].1).await.refusal(), is(400, "InvalidCiphertextException"));
        for wanted in [LegacyFormat::AwsSample, LegacyFormat::RawConcat] {
            rig.apply([Change::Upsert(Record::Key(Key { legacy: Some(Legacy { format: wanted, version: 0 }), ..key() }))]);
            for (format, request, plaintext) in &cases {
                let answer = connection.call("decrypt", request).await;
                if *format == wanted {
                    assert_eq!((answer.status, answer.bytes("plaintext")), (200, plaintext.clone()), "{request}");
                } else {
                    assert_eq!(answer.refusal(), is(400, "InvalidCiphertextException"), "{request}");
                }
            }
            let ours = connection.call("encrypt", &encrypt(b"ours", b"")).await;
            assert_eq!(connection.call("decrypt", &decrypt(&ours, b"")).await.bytes("plaintext"), b"ours");
        }
    });
}

#[test]
fn what_the_token_allows_a_key_is_what_it_does_and_what_is_told_of_it() {
    with_softhsm("tokens::what_the_token_allows_a_key_is_what_it_does_and_what_is_told_of_it", async |hsm| {
        hsm.make(&NewKey { label: "encrypts", usage: KeyUsage { encrypt: true, decrypt: false } });
        hsm.make(&NewKey { label: "decrypts", usage: KeyUsage { encrypt: false, decrypt: true } });
        let made = hsm.encrypt("encrypts", &[1; 12], &sample_formula(None, None), b"text");
        let mut rig = start(&hsm).await;
        rig.apply([Change::Upsert(Record::Key(Key { legacy: Some(Legacy { format: LegacyFormat::AwsSample, version: 0 }), ..key() }))]);
        let mut connection = Connection::warm(&rig).await;
        let told = connection.call("metadata", &plain("metadata")).await;
        assert_eq!(told.json(), json!({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"}));
        for (label, usage) in [("encrypts", "ENCRYPT"), ("decrypts", "DECRYPT")] {
            use_key(&mut rig, label);
            let told = connection.call("metadata", &plain("metadata")).await;
            assert_eq!(told.json(), json!({"keySpec": "AES_256", "keyUsage": [usage], "keyStatus": "ENABLED"}));
            // Without a CDIV, for which a key has to decrypt.
            let mut without = encrypt(b"text", b"");
            without.as_object_mut().unwrap().remove("ciphertextDataIntegrityValueAlgorithm");
            let encrypted = connection.call("encrypt", &without).await;
            let decrypted = connection.call("decrypt", &taken_over(&made, None, None)).await;
            if label == "encrypts" {
                assert_eq!((encrypted.status, decrypted.refusal()), (200, is(400, "InvalidKeyUsageException")));
            } else {
                assert_eq!(encrypted.refusal(), is(400, "InvalidKeyUsageException"));
                // It may, but the ciphertext is another key's.
                assert_eq!(decrypted.refusal(), is(400, "InvalidCiphertextException"));
            }
        }
    });
}

#[test]
fn a_key_that_the_token_lacks_is_not_usable_and_holds_nothing_else_back() {
    with_softhsm("tokens::a_key_that_the_token_lacks_is_not_usable_and_holds_nothing_else_back", async |hsm| {
        let mut rig = start(&hsm).await;
        let mut connection = Connection::warm(&rig).await;
        let encrypted = connection.call("encrypt", &encrypt(b"text", b"")).await;
        use_key(&mut rig, "absent");
        for (operation, body) in
            [("encrypt", encrypt(b"text", b"")), ("decrypt", decrypt(&encrypted, b"")), ("metadata", plain("metadata"))]
        {
            assert_eq!(connection.call(operation, &body).await.refusal(), is(500, "InternalException"), "{operation}");
        }
        assert_eq!(connection.call("health", &plain("health")).await.status, 200);
        rig.apply([Change::Upsert(Record::Key(Key { blocked: true, ..key() }))]);
        assert_eq!(connection.call("metadata", &plain("metadata")).await.json()["keyStatus"], "DISABLED");
        rig.apply([Change::Upsert(Record::Key(key()))]);
        let elsewhere = SourceKey::Partition(PartitionKey { group: "elsewhere".into(), cka_id: Box::default(), label: LABEL.into() });
        let version = Version { source: elsewhere, ..rig.files.version(0, VersionState::Active) };
        rig.apply([Change::Upsert(Record::Version(version))]);
        assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), is(500, "InternalException"));
        use_key(&mut rig, LABEL);
        assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.bytes("plaintext"), b"text");
    });
}

#[test]
fn health_tells_of_the_token() {
    with_softhsm("tokens::health_tells_of_the_token", async |hsm| {
        let mut rig = start(&hsm).await;
        let mut connection = Connection::warm(&rig).await;
        let health = connection.call("health", &plain("health")).await.json();
        assert_eq!(health["ekmVendor"], "SoftHSM project", "{health}");
        let details = health["ekmFleetDetails"].as_array().unwrap();
        assert_eq!((details.len(), &details[0]["healthStatus"]), (1, &"ACTIVE".into()), "{health}");
        assert!(uuid::Uuid::parse_str(details[0]["id"].as_str().unwrap()).is_ok(), "{health}");
        assert!(details[0]["model"].as_str().unwrap().contains("SoftHSM v2"), "{health}");
        rig.alter(|store| store.health_key = source("absent"));
        assert_eq!(connection.call("health", &plain("health")).await.refusal(), is(500, "InternalException"));
    });
}

#[test]
fn a_seal_on_a_partition_opens_local_keys_after_a_restart() {
    with_softhsm("tokens::a_seal_on_a_partition_opens_local_keys_after_a_restart", async |hsm| {
        let rig = Rig::start().await;
        let mut settings = rig.files.settings();
        let seal = Seal::from_text(&std::fs::read_to_string(settings.key_seals[0].file()).unwrap()).unwrap();
        let groups = hsm.groups();
        let key = SealingKey { group: TOKEN.into(), label: LABEL.into() };
        let sealed = seal_on_partition(&groups, key, &seal, Instant::now() + Duration::from_secs(5)).await.unwrap();
        groups.stop();
        let file = hsm.path("seal");
        std::fs::write(&file, sealed.to_text()).unwrap();
        assert!(!sealed.to_text().contains(seal.to_text().lines().last().unwrap().trim_start_matches("key ")));
        let on_partition = |label: &str| KeySeal::OnPartition { file: file.clone(), group: TOKEN.into(), label: label.into() };

        settings.state_dir = rig.files.path("another state");
        settings.pkcs11 = hsm.settings();
        settings.key_seals = vec![on_partition(LABEL)];
        DataPlane::check(&settings).await.unwrap();
        let plane = DataPlane::start(settings.clone()).await.unwrap();
        // What was sealed under the file's seal opens.
        plane.live().install(rig.records.clone(), holdfast_proto::ids::Revision { epoch: 1, counter: 9 });
        assert_eq!(plane.live().load().unusable().count(), 0);
        plane.drain(std::future::ready(())).await;

        settings.key_seals = vec![on_partition(HEALTH)];
        let wrong = DataPlane::check(&settings).await.unwrap_err().to_string();
        assert!(wrong.contains("which is not the configured one"), "{wrong}");
        // Under the right name the wrong key.
        let stolen = sealed.to_text().replace(&format!("label {LABEL}"), &format!("label {HEALTH}"));
        assert!(SealOnPartition::from_text(&stolen).is_ok());
        std::fs::write(&file, stolen).unwrap();
        for wrong in [DataPlane::check(&settings).await.unwrap_err(), DataPlane::start(settings.clone()).await.unwrap_err()] {
            assert!(wrong.to_string().contains("cannot open the key seal"), "{wrong}");
            assert_eq!(wrong.0.len(), 1, "{wrong}");
        }
    });
}

#[test]
fn faults_of_tokens_are_listed_with_the_others() {
    with_softhsm("tokens::faults_of_tokens_are_listed_with_the_others", async |hsm| {
        let rig = Rig::start().await;
        let mut settings = rig.files.settings();
        settings.state_dir = rig.files.path("another state");
        settings.key_seals = vec![rig.files.path("absent").into()];
        settings.pkcs11 = hsm.settings();
        let mut second = settings.pkcs11.partitions[0].clone();
        second.name = "second".into();
        second.module = "/nowhere/module.so".into();
        second.pin = PinSource::Env("NO_SUCH_PIN".into());
        second.group = "local".into();
        settings.pkcs11.partitions.push(second);
        for errors in [DataPlane::check(&settings).await.unwrap_err(), DataPlane::start(settings.clone()).await.unwrap_err()] {
            let text = errors.to_string();
            for part in ["absent", "/nowhere/module.so", "taken by local keys"] {
                assert!(text.contains(part), "{part} is not in:\n{text}");
            }
        }
    });
}

/// Asks the node's tasks as the control plane does.
async fn ask(tasks: &Tasks, task: KeyTask) -> KeyTaskResult {
    let (reply, mut results) = unbounded_channel();
    tasks.run(task, reply);
    results.recv().await.unwrap()
}

fn task(id: u8, task: Task) -> KeyTask {
    KeyTask { id: vec![id; 16], deadline_ms: 5_000, target: TOKEN.into(), task: Some(task) }
}

#[test]
fn key_tasks_generate_list_and_inspect_on_a_token() {
    with_softhsm("tokens::key_tasks_generate_list_and_inspect_on_a_token", async |hsm| {
        let rig = start(&hsm).await;
        let groups = hsm.groups();
        let generate = |label: &str| {
            Task::Generate(GenerateKey { usage: Some(KeyUsage::BOTH.into()), unexportable: true, label: label.into(), kind: String::new() })
        };
        let start = || Tasks::start(Arc::clone(&rig.files.seals), &groups).unwrap();
        let tasks = start();
        let first = ask(&tasks, task(1, generate("made"))).await;
        let Some(Outcome::Generated(made)) = first.outcome.clone() else { panic!("{first:?}") };
        let SourceKey::Partition(named) = made.clone().try_into().unwrap() else { panic!("on the token") };
        assert_eq!(named, PartitionKey { group: TOKEN.into(), cka_id: [1; 16].into(), label: "made".into() });
        assert_eq!(ask(&tasks, task(1, generate("made"))).await, first);
        // Another thread, which remembers nothing, finds it by its id.
        assert_eq!(ask(&start(), task(1, generate("made"))).await, first);
        let unnamed = ask(&tasks, task(2, generate(""))).await;
        let Some(Outcome::Generated(unnamed)) = unnamed.outcome else { panic!("{unnamed:?}") };
        let SourceKey::Partition(unnamed) = unnamed.try_into().unwrap() else { panic!("on the token") };
        assert_eq!(unnamed.label, "02".repeat(16));

        let inspected = ask(&tasks, task(3, Task::Inspect(InspectKey { source: Some(made.clone()) }))).await;
        let Some(Outcome::Attributes(attributes)) = inspected.outcome else { panic!("{inspected:?}") };
        assert_eq!((attributes.algorithm.as_str(), attributes.bits, attributes.unexportable), ("AES", 256, true));
        assert_eq!(attributes.usage, Some(KeyUsage::BOTH.into()));
        let told = |name: &str| attributes.token.iter().find(|one| one.name == name).map(|one| one.value);
        assert_eq!((told("CKA_SENSITIVE"), told("CKA_EXTRACTABLE"), told("CKA_WRAP")), (Some(true), Some(false), Some(true)));

        let listed = ask(&tasks, task(4, Task::List(ListKeys {}))).await;
        let Some(Outcome::Keys(keys)) = listed.outcome else { panic!("{listed:?}") };
        let mut labels: Vec<_> = keys.keys.iter().map(|key| key.key.as_ref().unwrap().label.as_str()).collect();
        labels.sort_unstable();
        assert_eq!(labels, [unnamed.label.as_str(), HEALTH, LABEL, "made"]);

        let health = ask(&tasks, task(5, Task::HealthCiphertext(MakeHealthCiphertext { source: Some(made) }))).await;
        let Some(Outcome::HealthCiphertext(ciphertext)) = health.outcome else { panic!("{health:?}") };
        assert_eq!((ciphertext[0], ciphertext.len()), (1, 1 + 12 + 16 + b"holdfast is well".len()));
        let absent = Task::Inspect(InspectKey { source: Some((&source("absent")).into()) });
        let absent = ask(&tasks, task(6, absent)).await;
        assert!(matches!(absent.outcome, Some(Outcome::Error(_))), "{absent:?}");
    });
}

#[test]
fn a_tokens_key_that_encrypted_2_to_the_32_times_is_said_to_be_due_and_goes_on() {
    with_softhsm("tokens::a_tokens_key_that_encrypted_2_to_the_32_times_is_said_to_be_due_and_goes_on", async |hsm| {
        let settings = |settings: &mut Settings, files: &Files| {
            settings.pkcs11 = hsm.settings();
            let name = CountName { key: KEY_ID, version: 0, tag: files.version(0, VersionState::Active).tag };
            let before = Cache::open(settings.state_dir.clone(), Arc::clone(&files.seals)).unwrap();
            before.write_counts(&[Counted { name, reserved: MOST_ENCRYPTIONS }], true).unwrap();
        };
        let mut rig = Rig::with(settings, |_| ()).await;
        let mut connection = Connection::warm(&rig).await;
        // The same version as a local key.
        assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.refusal(), is(400, "InvalidStateException"));
        use_key(&mut rig, LABEL);
        let encrypted = connection.call("encrypt", &encrypt(b"text", b"")).await;
        assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.bytes("plaintext"), b"text");
        let addr = rig.plane.ops_addr().unwrap();
        while !ops(addr, "/metrics").await.1.contains("holdfast_keys_due_for_rotation 1\n") {
            tokio::task::yield_now().await;
        }
    });
}
