//! Tokens that hang or make their own IVs: what AWS KMS is told, and when.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use holdfast_dataplane::{
    DataPlane, StartError,
    seals::{SealingKey, seal_on_partition},
    settings::KeySeal,
};
use holdfast_keys::pkcs11::{
    Groups,
    settings::{PartitionSettings, PinSource, Pkcs11Settings, TokenSelector},
};
use holdfast_proto::{
    records::{Change, Record, Version},
    seal::Seal,
    state::VersionState,
};
use serde_json::{Value, json};

use crate::{
    client::{Connection, Signer, decrypt, encrypt, path, plain},
    process::in_a_process,
    rig::Rig,
    softhsm::{HEALTH, LABEL, TOKEN, source},
};

/// A simulated token in this process.
struct Simulator {
    directory: PathBuf,
}

/// Runs `body` in a process with one simulated token; `iv` says who makes IVs.
fn with_simulator(test: &str, iv: &str, body: impl AsyncFnOnce(Simulator)) {
    let prepare = |directory: &Path| {
        let (pin, configuration) = (directory.join("pin"), directory.join("sim.toml"));
        fs::write(pin, "1234").unwrap();
        let token = format!("[[partition]]\nlabel = '{TOKEN}'\npin = '1234'\niv = '{iv}'\n");
        let keys = [HEALTH, LABEL].map(|label| format!("[[partition.key]]\nid = '01'\nlabel = '{label}'\n")).concat();
        fs::write(&configuration, format!("control = 'control'\n{token}{keys}")).unwrap();
        ("HOLDFAST_SIM_HSM", configuration)
    };
    in_a_process(test, prepare, async |directory| body(Simulator { directory }).await);
}

impl Simulator {
    /// A data plane whose only key, and whose health key, are on the token.
    async fn start(&self, in_flight: u32) -> Rig {
        let mut rig = Rig::with(
            |settings, _| settings.pkcs11 = Pkcs11Settings { partitions: vec![self.partition()], ..Pkcs11Settings::default() },
            |store| {
                store.health_key = source(HEALTH);
                store.in_flight = std::num::NonZeroU32::new(in_flight);
            },
        )
        .await;
        let version = Version { source: source(LABEL), ..rig.files.version(0, VersionState::Active) };
        rig.apply([Change::Upsert(Record::Version(version))]);
        rig
    }

    fn partition(&self) -> PartitionSettings {
        // `cargo test` builds the module beside the tests, under its plain name.
        let module = env::current_exe().unwrap().parent().unwrap().join("libholdfast_sim_hsm.so");
        let (token, pin) = (TokenSelector::Label(TOKEN.into()), PinSource::File(self.directory.join("pin")));
        PartitionSettings::new(TOKEN.into(), module, token, pin)
    }

    /// What the control socket answers.
    fn control(&self, command: &Value) -> Value {
        let mut stream = UnixStream::connect(self.directory.join("control")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn fault(&self, fault: &str, on: Option<&str>) {
        let mut command = json!({"partition": TOKEN, "fault": fault});
        if let Some(on) = on {
            command["on"] = on.into();
        }
        assert_eq!(self.control(&command), json!({"ok": true}));
    }

    /// Returns when a call hangs.
    async fn until_hanging(&self) {
        while self.control(&json!({"partition": TOKEN, "fault": "status"}))["hanging"] == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_hung_token_is_told_in_time_and_serves_on_once_it_answers() {
    with_simulator("simulated::a_hung_token_is_told_in_time_and_serves_on_once_it_answers", "caller", async |hsm| {
        let rig = hsm.start(0).await;
        let mut connection = Connection::warm(&rig).await;
        let encrypted = connection.call("encrypt", &encrypt(b"text", b"")).await;
        assert_eq!(connection.call("health", &plain("health")).await.status, 200);
        hsm.fault("hang", None);
        let late = (503, "DependencyTimeoutException".to_owned());
        // The first finds out, the others are told at once.
        for body in [encrypt(b"text", b""), encrypt(b"text", b"")] {
            let began = Instant::now();
            assert_eq!(connection.call("encrypt", &body).await.refusal(), late);
            assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
        }
        assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.refusal(), late);
        assert_eq!(connection.call("health", &plain("health")).await.refusal(), late);
        hsm.fault("clear", None);
        while connection.call("encrypt", &encrypt(b"text", b"")).await.status != 200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"")).await.bytes("plaintext"), b"text");
    });
}

#[test]
fn a_token_that_is_gone_is_the_key_managers_fault_until_it_is_back() {
    with_simulator("simulated::a_token_that_is_gone_is_the_key_managers_fault_until_it_is_back", "caller", async |hsm| {
        let rig = hsm.start(0).await;
        let mut connection = Connection::warm(&rig).await;
        let encrypted = connection.call("encrypt", &encrypt(b"text", b"")).await;
        assert_eq!(connection.call("health", &plain("health")).await.status, 200);
        hsm.fault("remove-token", None);
        for (operation, body) in [("encrypt", encrypt(b"text", b"")), ("decrypt", decrypt(&encrypted, b"")), ("health", plain("health"))] {
            assert_eq!(connection.call(operation, &body).await.refusal(), (500, "InternalException".into()), "{operation}");
        }
        hsm.fault("clear", None);
        while connection.call("decrypt", &decrypt(&encrypted, b"")).await.status != 200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.call("health", &plain("health")).await.status, 200);
    });
}

#[test]
fn a_token_that_is_gone_at_the_start_keeps_only_a_seal_from_opening() {
    with_simulator("simulated::a_token_that_is_gone_at_the_start_keeps_only_a_seal_from_opening", "caller", async |hsm| {
        let rig = hsm.start(0).await;
        let mut settings = rig.files.settings();
        settings.pkcs11 = Pkcs11Settings { partitions: vec![hsm.partition()], ..Pkcs11Settings::default() };
        let seal = Seal::from_text(&fs::read_to_string(settings.key_seals[0].file()).unwrap()).unwrap();
        rig.plane.drain(std::future::ready(())).await;

        let groups = Groups::start(Pkcs11Settings { state_dir: settings.state_dir.clone(), ..settings.pkcs11.clone() }).unwrap();
        let key = SealingKey { group: TOKEN.into(), label: LABEL.into() };
        let sealed = seal_on_partition(&groups, key, &seal, Instant::now() + Duration::from_secs(5)).await.unwrap();
        groups.stop();
        let file = hsm.directory.join("seal");
        fs::write(&file, sealed.to_text()).unwrap();
        let on_partition = KeySeal::OnPartition { file, group: TOKEN.into(), label: LABEL.into() };

        hsm.fault("remove-token", None);
        // Looked at, it is a fault; a start goes on without it.
        let wrong = DataPlane::check(&settings).await.unwrap_err();
        assert!(matches!(&wrong.0[..], [StartError::Pkcs11(fault)] if !fault.is_configuration()), "{wrong}");
        DataPlane::start(settings.clone()).await.unwrap().drain(std::future::ready(())).await;
        settings.key_seals = vec![on_partition];
        let wrong = DataPlane::start(settings).await.unwrap_err();
        assert!(matches!(&wrong.0[..], [StartError::SealOnPartition { .. }]), "{wrong}");
    });
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    with_simulator("simulated::a_client_that_goes_away_takes_its_request_along", "caller", async |hsm| {
        let rig = hsm.start(1).await;
        let (mut goes, mut stays) = (Connection::warm(&rig).await, Connection::warm(&rig).await);
        for connection in [&mut goes, &mut stays] {
            assert_eq!(connection.call("encrypt", &encrypt(b"text", b"")).await.status, 200);
        }
        hsm.fault("hang", Some("crypto"));
        goes.send(Signer::default().request(&path("encrypt"), &encrypt(b"text", b"").to_string())).await;
        hsm.until_hanging().await;
        // It is in flight, and the store lets no second one in.
        assert_eq!(stays.call("metadata", &plain("metadata")).await.refusal(), (429, "ThrottlingException".into()));
        drop(goes);
        while stays.call("metadata", &plain("metadata")).await.status == 429 {
            tokio::task::yield_now().await;
        }
        hsm.fault("clear", None);
        drop(stays);
        rig.plane.drain(std::future::ready(())).await;
        let aborted = rig.files.audit().lines().filter(|line| line.contains(r#""outcome":"aborted""#)).count();
        assert_eq!(aborted, 1, "{}", rig.files.audit());
    });
}

#[test]
fn an_iv_that_a_token_writes_back_goes_out_and_comes_back() {
    let test = "simulated::an_iv_that_a_token_writes_back_goes_out_and_comes_back";
    with_simulator(test, "token", async |hsm| ivs_of(&hsm, 12).await);
}

#[test]
fn an_iv_of_16_bytes_that_a_token_appends_goes_out_and_comes_back() {
    let test = "simulated::an_iv_of_16_bytes_that_a_token_appends_goes_out_and_comes_back";
    with_simulator(test, "appended", async |hsm| ivs_of(&hsm, 16).await);
}

async fn ivs_of(hsm: &Simulator, length: usize) {
    let rig = hsm.start(0).await;
    let mut connection = Connection::warm(&rig).await;
    let one = connection.call("encrypt", &encrypt(b"text", b"aad")).await;
    let two = connection.call("encrypt", &encrypt(b"", b"")).await;
    let [first, second] = [&one, &two].map(|answer| answer.bytes("initializationVector"));
    assert!(first != second && first.len() == length, "{first:?} {second:?}");
    assert_eq!(connection.call("decrypt", &decrypt(&one, b"aad")).await.bytes("plaintext"), b"text");
    assert_eq!(connection.call("decrypt", &decrypt(&two, b"")).await.bytes("plaintext"), b"");
}
