//! A SoftHSM token for one test, in a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use holdfast_keys::pkcs11::{
    Groups,
    settings::{PartitionSettings, PinSource, Pkcs11Settings, TokenSelector},
};
use holdfast_proto::records::{KeyUsage, PartitionKey, SourceKey};

use crate::process::in_a_process;

/// The tokens of a test.
pub(crate) struct SoftHsm {
    directory: PathBuf,
}

/// A key to be made on a token.
pub(crate) struct NewKey {
    pub(crate) label: &'static str,
    pub(crate) usage: KeyUsage,
}

/// What another client of the token made.
pub(crate) struct Made {
    pub(crate) iv: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

/// Label of the token, and name of its partition and its group.
pub(crate) const TOKEN: &str = "one";
/// Label of its health key.
pub(crate) const HEALTH: &str = "holdfast-health";
/// Label of its key for all else.
pub(crate) const LABEL: &str = "key";

/// Runs `body` in a process with a token. `test` is the test's own path within this binary.
pub(crate) fn with_softhsm(test: &str, body: impl AsyncFnOnce(SoftHsm)) {
    let prepare = |directory: &Path| {
        let (tokens, configuration) = (directory.join("tokens"), directory.join("softhsm2.conf"));
        fs::create_dir(&tokens).unwrap();
        fs::write(directory.join("pin"), format!("{PIN}\n")).unwrap();
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&configuration, text).unwrap();
        ("SOFTHSM2_CONF", configuration)
    };
    in_a_process(test, prepare, async |directory| {
        let hsm = SoftHsm { directory };
        hsm.initialise(TOKEN);
        for label in [HEALTH, LABEL] {
            hsm.make(&NewKey { label, usage: KeyUsage::BOTH });
        }
        body(hsm).await;
    });
}

impl SoftHsm {
    /// A partition on the token, in a group of the same name.
    pub(crate) fn settings(&self) -> Pkcs11Settings {
        let partition = PartitionSettings::new(
            TOKEN.into(),
            MODULE.into(),
            TokenSelector::Label(TOKEN.into()),
            PinSource::File(self.directory.join("pin")),
        );
        Pkcs11Settings { partitions: vec![partition], ..Pkcs11Settings::default() }
    }

    /// The same, started by itself.
    pub(crate) fn groups(&self) -> Arc<Groups> {
        let settings = Pkcs11Settings { state_dir: self.directory.join("state"), ..self.settings() };
        Groups::start(settings).unwrap()
    }

    pub(crate) fn make(&self, key: &NewKey) {
        self.on_token(TOKEN, |session| make(session, key));
    }

    /// AES-256-GCM under a key, as any other client of the token does it.
    pub(crate) fn encrypt(&self, label: &str, iv: &[u8], aad: &[u8], plaintext: &[u8]) -> Made {
        let mut ciphertext = self.on_token(TOKEN, |session| {
            let mut iv = iv.to_vec();
            let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, aad, 128.into()).unwrap());
            session.encrypt(&mechanism, find(session, label), plaintext).unwrap()
        });
        let tag = ciphertext.split_off(plaintext.len());
        Made { iv: iv.to_vec(), ciphertext, tag }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn initialise(&self, label: &str) {
        let mut tool = Command::new("softhsm2-util");
        tool.args(["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN]);
        assert!(tool.output().unwrap().status.success());
    }

    /// The module is finalised afterwards: not while a data plane runs.
    fn on_token<T>(&self, label: &str, work: impl FnOnce(&Session) -> T) -> T {
        let context = Pkcs11::new(Path::new(MODULE)).unwrap();
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        let slots = context.get_slots_with_token().unwrap();
        let labelled = |slot| context.get_token_info(slot).unwrap().label().trim_end() == label;
        let slot = slots.into_iter().find(|slot| labelled(*slot)).unwrap();
        let session = context.open_rw_session(slot).unwrap();
        session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
        let done = work(&session);
        drop(session);
        context.finalize().unwrap();
        done
    }
}

/// A key of the token, as records name it.
pub(crate) fn source(label: &str) -> SourceKey {
    SourceKey::Partition(PartitionKey { group: TOKEN.into(), cka_id: Box::default(), label: label.into() })
}

fn make(session: &Session, key: &NewKey) {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(32.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(key.usage.encrypt),
        Attribute::Decrypt(key.usage.decrypt),
        Attribute::Label(key.label.into()),
        Attribute::Id(key.label.into()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
}

fn find(session: &Session, label: &str) -> ObjectHandle {
    session.find_objects(&[Attribute::Label(label.into())]).unwrap()[0]
}

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "a PIN of the user";
