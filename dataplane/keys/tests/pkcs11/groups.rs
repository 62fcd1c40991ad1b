//! Groups of partitions on real modules: one key on several tokens, or what only has its name.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_keys::{
    KeyFault,
    pkcs11::{
        Group, GroupKey, Groups, HealthState, Pkcs11Fault, ToDecrypt, ToEncrypt, TokenSealed,
        settings::{Isolation, Pkcs11Settings},
        start::Problem,
        status::{Condition, TokenTaskError},
    },
};
use holdfast_proto::records::{KeyUsage, PartitionKey};
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use crate::fixture::{PIN, Tokens, on_simulator, on_softhsm};

/// All labels as one group.
fn settings(tokens: &Tokens, labels: &[&str]) -> Pkcs11Settings {
    let partitions = labels.iter().map(|label| {
        let mut partition = tokens.partition(label);
        partition.group = "pair".into();
        partition
    });
    Pkcs11Settings { partitions: partitions.collect(), state_dir: tokens.state_dir(), keyhost: Vec::new() }
}

/// Imports 32 equal bytes as a key.
fn import(tokens: &Tokens, token: &str, label: &str, byte: u8) {
    let file = tokens.path("material");
    fs::write(&file, [byte; 32]).unwrap();
    let id = format!("{:02x}", label.len());
    let output = Command::new("softhsm2-util")
        .args(["--import", file.to_str().unwrap(), "--aes", "--token", token, "--label", label, "--id", &id, "--pin", PIN])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn start(settings: Pkcs11Settings) -> (Arc<Groups>, Arc<Group>) {
    let groups = Groups::start(settings).unwrap();
    let group = Arc::clone(groups.group("pair").unwrap());
    (groups, group)
}

fn key(group: &Arc<Group>, label: &str) -> Arc<GroupKey> {
    group.key(&PartitionKey { group: "pair".into(), cka_id: Box::default(), label: label.into() })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

async fn encrypt(key: &GroupKey) -> Result<TokenSealed, KeyFault> {
    let what = ToEncrypt { aad: b"aad".to_vec(), plaintext: Zeroizing::new(b"text".to_vec()), integrity: Some(b"aad".to_vec()) };
    key.encrypt(what, soon()).await
}

async fn decrypt(key: &GroupKey, sealed: TokenSealed) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    let sealed = sealed.sealed;
    key.decrypt(ToDecrypt { iv: sealed.iv.to_vec(), aad: b"aad".to_vec(), ciphertext: sealed.ciphertext, tag: sealed.tag }, soon()).await
}

/// Encrypts and decrypts, many times; every answer is right.
async fn serves(key: &GroupKey) {
    for _ in 0..20 {
        let sealed = encrypt(key).await.unwrap();
        assert_eq!(decrypt(key, sealed).await.unwrap().as_slice(), b"text");
    }
}

/// The same beside faults, on a machine that may be busy: no wrong answer, no late one, hardly any failure.
async fn goes_on(key: &GroupKey) {
    let mut failed = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        match encrypt(key).await {
            Ok(sealed) => match decrypt(key, sealed).await {
                Ok(text) => assert_eq!(text.as_slice(), b"text"),
                Err(fault) => failed.push(fault),
            },
            Err(fault) => failed.push(fault),
        }
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
    // One of the two works: what fails can only be late.
    let late = failed.iter().all(|fault| matches!(fault, KeyFault::Late | KeyFault::NotStarted));
    assert!(late && failed.len() <= 2, "{failed:?}");
}

#[test]
fn tokens_with_one_key_serve_as_one() {
    on_softhsm(&["one", "two"], |tokens| {
        for token in ["one", "two"] {
            import(tokens, token, "holdfast-health", 1);
            import(tokens, token, "data", 2);
        }
        assert_eq!(Groups::check(&settings(tokens, &["one", "two"])), []);
        let (groups, group) = start(settings(tokens, &["one", "two"]));
        assert_eq!(groups.names(), ["pair"]);
        assert_eq!(group.vendor(), "SoftHSM project");
        runtime().block_on(async {
            let data = key(&group, "data");
            serves(&data).await;
            assert_eq!(data.usage(soon()).await, Ok(KeyUsage { encrypt: true, decrypt: true }));
            let mut forged = encrypt(&data).await.unwrap();
            forged.sealed.tag[0] ^= 1;
            assert_eq!(decrypt(&data, forged).await.unwrap_err(), KeyFault::Input);
            assert_eq!(encrypt(&key(&group, "none")).await.unwrap_err(), KeyFault::Missing);
            let health = key(&group, "holdfast-health").health(soon()).await;
            assert_eq!(health.len(), 2);
            assert!(health.iter().all(|member| member.state != HealthState::Unavailable && member.model.starts_with("SoftHSM v2 2.6 ")));
            let refused = group.generate(&[7], "new", KeyUsage { encrypt: true, decrypt: true }).await;
            assert!(matches!(refused, Err(TokenTaskError::Refused(_))), "{refused:?}");
            assert_eq!(group.list().await.unwrap().len(), 2);
        });
        assert!(groups.status().iter().all(|status| status.condition == Condition::Up && status.excluded.is_empty()));
        groups.stop();
    });
}

#[test]
fn a_token_whose_key_only_has_the_label_is_excluded_and_reported() {
    on_softhsm(&["one", "two"], |tokens| {
        for (token, byte) in [("one", 1), ("two", 2)] {
            import(tokens, token, "holdfast-health", byte);
            import(tokens, token, "same", 3);
            import(tokens, token, "data", byte);
        }
        let (groups, group) = start(settings(tokens, &["one", "two"]));
        let excluded = || groups.status().into_iter().map(|status| status.excluded).collect::<Vec<_>>();
        // At once, before anybody asks for anything.
        assert_eq!(excluded(), [vec![], vec!["\"holdfast-health\" (id )".to_owned()]]);
        runtime().block_on(async {
            for label in ["data", "same"] {
                serves(&key(&group, label)).await;
            }
            let health = key(&group, "holdfast-health").health(soon()).await;
            assert_eq!(health[1].state, HealthState::Degraded);
            // A key is known to differ once its turn came on that token.
            let data = key(&group, "data");
            let met = async {
                while excluded()[1] != ["\"data\" (id )", "\"holdfast-health\" (id )"] {
                    serves(&data).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), met).await.unwrap();
        });
        assert!(excluded()[0].is_empty());
    });
}

#[test]
fn a_wrong_key_stays_excluded_over_a_restart_in_which_the_right_one_is_away() {
    let one = format!("label = \"one\"\npin = {PIN:?}\n[[partition.key]]\nid = \"01\"\nlabel = \"holdfast-health\"\nseed = \"right\"\n");
    let two = one.replace("one", "two").replace("right", "wrong");
    on_simulator(&format!("control = \"control\"\n[[partition]]\n{one}[[partition]]\n{two}"), |tokens| {
        let (groups, group) = start(settings(tokens, &["one", "two"]));
        let sealed = runtime().block_on(encrypt(&key(&group, "holdfast-health"))).unwrap();
        groups.stop();
        drop((groups, group));

        order(tokens, r#"{"partition":"one","fault":"remove-token"}"#);
        let checked = Groups::check(&settings(tokens, &["one", "two"]));
        assert!(matches!(checked.as_slice(), [away] if away.partition == "one" && !away.is_configuration()), "{checked:?}");
        let (groups, group) = start(settings(tokens, &["one", "two"]));
        let status = groups.status();
        assert!(matches!(status[0].condition, Condition::Down(_)), "{status:?}");
        assert_eq!(status[1].excluded, ["\"holdfast-health\" (id )"]);
        let health = key(&group, "holdfast-health");
        runtime().block_on(async {
            assert_eq!(decrypt(&health, sealed.clone()).await.unwrap_err(), KeyFault::Token);
            assert_eq!(encrypt(&health).await.unwrap_err(), KeyFault::Token);
            order(tokens, r#"{"partition":"one","fault":"clear"}"#);
            // It is connected anew by itself.
            until(|| groups.status()[0].condition.is_up()).await;
            assert_eq!(decrypt(&health, sealed).await.unwrap().as_slice(), b"text");
        });
    });
}

#[test]
fn a_proof_that_no_token_passes_gives_way_to_one_that_all_do() {
    on_softhsm(&["one", "two"], |tokens| {
        for token in ["one", "two"] {
            import(tokens, token, "holdfast-health", 1);
        }
        let file = tokens.state_dir().join("pkcs11/proofs-pair.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let earlier = format!(
            r#"{{"proofs":[{{"key":{{"cka_id":[],"label":"holdfast-health"}},"proof":{{"iv":{:?},"ciphertext":{:?},"tag":{:?}}}}}]}}"#,
            [1; 12], [2; 32], [3; 16]
        );
        fs::write(&file, &earlier).unwrap();
        let (groups, group) = start(settings(tokens, &["one", "two"]));
        let health = key(&group, "holdfast-health");
        runtime().block_on(async {
            until(|| groups.status().iter().all(|status| status.excluded.is_empty())).await;
            serves(&health).await;
        });
        groups.stop();
        let later = fs::read_to_string(&file).unwrap();
        assert!(later.contains("holdfast-health") && later != earlier);
        assert!(!file.with_extension("json.unusable").exists(), "it was not read");
    });
}

#[test]
fn while_one_of_two_hangs_or_fails_requests_are_served() {
    let one = format!("label = \"one\"\npin = {PIN:?}\n[[partition.key]]\nid = \"01\"\nlabel = \"holdfast-health\"\nseed = \"right\"\n");
    let two = one.replace("one", "two");
    on_simulator(&format!("control = \"control\"\n[[partition]]\n{one}[[partition]]\n{two}"), |tokens| {
        let (_groups, group) = start(settings(tokens, &["one", "two"]));
        let health = key(&group, "holdfast-health");
        let faults = [
            r#"{"partition":"one","fault":"hang","on":"crypto"}"#,
            r#"{"partition":"two","fault":"slow","ms":500,"on":"crypto"}"#,
            r#"{"partition":"one","fault":"error","rv":"CKR_DEVICE_ERROR"}"#,
            r#"{"partition":"two","fault":"lose-sessions"}"#,
            r#"{"partition":"one","fault":"reuse-handles"}"#,
        ];
        runtime().block_on(async {
            for fault in faults {
                order(tokens, fault);
                goes_on(&health).await;
                order(tokens, r#"{"partition":"one","fault":"clear"}"#);
                order(tokens, r#"{"partition":"two","fault":"clear"}"#);
                until(|| group.conditions().iter().all(Condition::is_up)).await;
                goes_on(&health).await;
            }
        });
    });
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_nothing_runs() {
    on_softhsm(&["one", "two", "three"], |tokens| {
        import(tokens, "one", "holdfast-health", 1);
        let mut wrong = settings(tokens, &["one", "two", "three", "one"]);
        fs::write(tokens.path("pin-three"), "not it").unwrap();
        wrong.partitions[3].name = "again".into();
        wrong.partitions.push(wrong.partitions[1].clone());
        let problems = |faults: &[Pkcs11Fault]| -> Vec<String> {
            let mut told: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.partition, word(&fault.problem))).collect();
            told.sort();
            told
        };
        let checked = Groups::check(&wrong);
        assert!(checked.iter().all(Pkcs11Fault::is_configuration));
        let told = problems(&checked);
        for expected in ["again SameToken", "two NameTwice", "two HealthKeyMissing", "three PinRefused"] {
            assert!(told.iter().any(|told| told == expected), "{expected}: {told:?}");
        }
        let faults = Groups::start(wrong).err().unwrap();
        let told = problems(&faults);
        for expected in ["again SameToken", "two NameTwice", "two HealthKeyMissing", "three PinRefusedBefore"] {
            assert!(told.iter().any(|told| told == expected), "{expected}: {told:?}");
        }
    });
}

#[test]
fn with_no_partitions_there_are_no_groups() {
    let groups = Groups::start(Pkcs11Settings::default()).unwrap();
    assert!(groups.names().is_empty() && groups.status().is_empty() && groups.group("pair").is_none());
    assert_eq!(Groups::check(&Pkcs11Settings::default()), []);
    assert_eq!(Isolation::default(), Isolation::None);
}

/// The name of the variant.
fn word(problem: &Problem) -> String {
    format!("{problem:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Looks again and again.
async fn until(is_so: impl Fn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let so = async {
        while !is_so() {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), so).await.unwrap();
}

fn order(tokens: &Tokens, command: &str) {
    let mut control = UnixStream::connect(tokens.path("control")).unwrap();
    writeln!(control, "{command}").unwrap();
    let mut answer = String::new();
    BufReader::new(control).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim_end(), "{\"ok\":true}", "{command}");
}
