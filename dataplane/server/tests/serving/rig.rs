//! A data plane with one key store, and the certificates that its clients need.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_dataplane::{
    DataPlane, Settings,
    settings::{CertificateFiles, ListenerSettings},
};
use holdfast_keys::local;
use holdfast_proto::{
    ids::{AccessKeyId, CredentialId, ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    records::{Change, Credential, Key, KeyUsage, Record, RecordName, SourceKey, StoreHeader, Version},
    seal::{Seal, SealRing},
    secret::Secret,
    snapshot::RecordSet,
    state::VersionState,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use uuid::Uuid;

/// A data plane that serves [`PATH`].
pub(crate) struct Rig {
    pub(crate) plane: DataPlane,
    pub(crate) records: RecordSet,
    pub(crate) files: Files,
    revision: Revision,
}

/// Everything on disk.
pub(crate) struct Files {
    pub(crate) directory: TempDir,
    pub(crate) seals: Arc<SealRing>,
    pub(crate) ca: Authority,
}

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: rcgen::Certificate,
}

/// A certificate that an authority signs.
pub(crate) struct Subject<'s> {
    pub(crate) common_names: &'s [&'s str],
    pub(crate) dns_names: &'s [&'s str],
    /// Years from which and until it is good.
    pub(crate) years: (i32, i32),
}

/// A certificate and its key, PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) const PATH: &str = "/p1/kms/xks/v1";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCESS_KEY: &str = "ABCDEFGHIJKLMNOP2345";
pub(crate) const SECRET: &str = "TheSecretThatMustNeverBeSeenAnywhereAtAll43+";
pub(crate) const KEY: &str = "k1";
pub(crate) const STORE: StoreId = StoreId(Uuid::from_bytes([1; 16]));
pub(crate) const KEY_ID: KeyId = KeyId(Uuid::from_bytes([2; 16]));

impl Rig {
    /// A data plane with the usual store.
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| (), |_| ()).await
    }

    /// A data plane with changed settings and a changed store.
    pub(crate) async fn with(settings: impl FnOnce(&mut Settings, &Files), store: impl FnOnce(&mut StoreHeader)) -> Self {
        let files = Files::new();
        let mut asked = files.settings();
        settings(&mut asked, &files);
        let plane = DataPlane::start(asked).await.unwrap();
        let mut header = files.header();
        store(&mut header);
        let records = [
            Record::Store(header),
            Record::Credential(credential(ACCESS_KEY, SECRET)),
            Record::Key(key()),
            Record::Version(files.version(0, VersionState::Active)),
        ];
        let mut rig = Self { plane, records: RecordSet::default(), files, revision: Revision { epoch: 1, counter: 0 } };
        rig.apply(records.map(Change::Upsert));
        rig
    }

    /// Pushes changes.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.records = self.records.apply(changes).unwrap().0;
        self.revision = self.revision.next();
        self.plane.live().install(self.records.clone(), self.revision);
    }

    /// Pushes a change of the store's header.
    pub(crate) fn alter(&mut self, change: impl FnOnce(&mut StoreHeader)) {
        let mut header = self.records.store(STORE).unwrap().header().clone();
        change(&mut header);
        self.apply([Change::Upsert(Record::Store(header))]);
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.plane.xks_addrs()[0]
    }
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let seal = Seal::generate().unwrap();
        fs::write(directory.path().join("seal"), seal.to_text().as_bytes()).unwrap();
        let files = Self { directory, seals: Arc::new(SealRing::new(seal, Vec::new())), ca: Authority::new() };
        files.write_pair("server", &files.ca.sign(&Subject::server(&["localhost"])));
        fs::write(files.path("ca.pem"), files.ca.certificate.pem()).unwrap();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `name.pem` and `name.key`, each by renaming, as tools that renew certificates do.
    pub(crate) fn write_pair(&self, name: &str, signed: &Signed) {
        replace(&self.path(&format!("{name}.key")), &signed.key);
        replace(&self.path(&format!("{name}.pem")), &signed.certificate);
    }

    pub(crate) fn pair(&self, name: &str) -> CertificateFiles {
        CertificateFiles { chain: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) }
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.path("state"));
        settings.listeners.push(ListenerSettings::loopback(self.pair("server")));
        settings.ops = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        settings.key_seals.push(self.path("seal").into());
        settings.audit_dir = Some(self.path("audit"));
        settings
    }

    fn header(&self) -> StoreHeader {
        StoreHeader {
            id: STORE,
            // A name of its own: all tests share one metrics recorder.
            name: format!("store-{}", Uuid::new_v4().simple()),
            uri_path: UriPath::try_from(PATH).unwrap(),
            region: REGION.into(),
            blocked: false,
            mtls_enabled: false,
            success_audit: false,
            quota: None,
            in_flight: None,
            max_snapshot_age: None,
            health_key: self.source(KeyUsage::BOTH),
        }
    }

    pub(crate) fn version(&self, number: u32, state: VersionState) -> Version {
        Version { store: STORE, key: KEY_ID, number, tag: [7; 4], state, source: self.source(KeyUsage::BOTH) }
    }

    pub(crate) fn source(&self, usage: KeyUsage) -> SourceKey {
        SourceKey::Local(local::generate(&self.seals, Uuid::new_v4(), usage, true).unwrap())
    }

    /// All audit files, one after the other.
    pub(crate) fn audit(&self) -> String {
        let files = fs::read_dir(self.path("audit")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("CA {}", Uuid::new_v4()));
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn sign(&self, subject: &Subject<'_>) -> Signed {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = subject.dns_names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // `DistinguishedName` keeps one of a kind: a second common name goes in by its OID.
        for (at, name) in subject.common_names.iter().enumerate() {
            let kind = if at == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
            params.distinguished_name.push(kind, *name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(subject.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(subject.years.1, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl<'s> Subject<'s> {
    pub(crate) fn server(dns_names: &'s [&'s str]) -> Self {
        Self { common_names: &["server"], dns_names, years: (2020, 2100) }
    }

    pub(crate) fn client(common_names: &'s [&'s str]) -> Self {
        Self { common_names, dns_names: &[], years: (2020, 2100) }
    }
}

impl Signed {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

pub(crate) fn credential(access_key: &str, secret: &str) -> Credential {
    Credential {
        id: CredentialId(Uuid::new_v5(&Uuid::NAMESPACE_OID, access_key.as_bytes())),
        store: STORE,
        access_key_id: AccessKeyId::try_from(access_key).unwrap(),
        secret: Secret::new(secret.into()),
        generation: 1,
    }
}

pub(crate) fn key() -> Key {
    Key { id: KEY_ID, store: STORE, external_id: ExternalKeyId::try_from(KEY).unwrap(), blocked: false, legacy: None }
}

pub(crate) fn without_credential(access_key: &str) -> Change {
    Change::Delete(RecordName::Credential(STORE, credential(access_key, SECRET).id))
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}
