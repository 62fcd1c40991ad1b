//! What must never be seen: plaintext and secrets, in log, audit, metrics and `Debug`.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use holdfast_proto::records::{Change, Record};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    client::{Connection, Signer, decrypt, encrypt, ops, path},
    rig::{ACCESS_KEY, Rig, SECRET, credential},
};

const PLAINTEXT: &[u8] = b"Plaintext that nobody but its owner may see";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_plaintext_and_no_secret_is_ever_shown() {
    let log = Log::default();
    // While there is one subscriber only, what a thread of another test logs first is switched off for this one as well (tracing-core
    // asks the thread that comes first, which has none). A second one makes it ask both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    // On this thread alone, where all of the data plane runs too.
    let _logging = tracing::subscriber::set_default(
        tracing_subscriber::fmt().json().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).finish(),
    );
    let mut rig = Rig::with(|_, _| (), |header| header.success_audit = true).await;
    let mut connection = Connection::open(&rig).await;
    let encrypted = connection.call("encrypt", &encrypt(PLAINTEXT, b"aad")).await;
    assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"aad")).await.bytes("plaintext"), PLAINTEXT);
    assert_eq!(connection.call("decrypt", &decrypt(&encrypted, b"other")).await.status, 400);
    let mut wrong = encrypt(PLAINTEXT, b"aad");
    wrong["encryptionAlgorithm"] = STANDARD.encode(PLAINTEXT).into();
    assert_eq!(connection.call("encrypt", &wrong).await.status, 501);
    wrong["plaintext"] = String::from_utf8(PLAINTEXT.to_vec()).unwrap().into();
    assert_eq!(connection.call("encrypt", &wrong).await.status, 400);
    connection
        .send(Signer { secret: "x".repeat(43), ..Signer::default() }.request(&path("encrypt"), &encrypt(PLAINTEXT, b"").to_string()))
        .await;
    assert_eq!(connection.receive().await.unwrap().status, 401);
    rig.apply([Change::Upsert(Record::Credential(credential(ACCESS_KEY, SECRET)))]);

    let metrics = ops(rig.plane.ops_addr().unwrap(), "/metrics").await.1;
    let debug = format!("{:?}\n{:?}\n{:?}\n{:#?}", rig.plane, rig.plane.live(), rig.records, rig.plane.live().load_full());
    let seal = std::fs::read_to_string(rig.files.path("seal")).unwrap();
    let seal_key = seal.lines().find_map(|line| line.strip_prefix("key ")).unwrap();
    rig.plane.drain(std::future::pending()).await;
    let audit = rig.files.audit();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // They say what they should, or finding nothing in them would prove nothing.
    for (what, text) in [("log", &log), ("audit", &audit)] {
        for part in ["4112f4d6-db54-4af4-ae30-c55a22a8dfae", "arn:aws:iam::123456789012:user/Alice", "Decrypt", "invalid_ciphertext"] {
            assert!(text.contains(part), "{part} is not in the {what}:\n{text}");
        }
    }
    assert_eq!(audit.lines().count(), 6, "{audit}");
    assert!(metrics.contains(r#"outcome="InvalidCiphertextException""#), "{metrics}");
    assert!(debug.contains(ACCESS_KEY));

    let plaintext = String::from_utf8(PLAINTEXT.to_vec()).unwrap();
    let hidden =
        [&plaintext, &STANDARD.encode(PLAINTEXT), &format!("{PLAINTEXT:?}"), SECRET, &format!("{:?}", SECRET.as_bytes()), seal_key];
    for (what, text) in [("log", &log), ("audit", &audit), ("metrics", &metrics), ("debug", &debug)] {
        for secret in hidden {
            assert!(!text.contains(secret), "{secret} is in the {what}");
        }
    }
}
