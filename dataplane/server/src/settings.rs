//! What a data plane is told when it starts. Plain values: the caller read them from a file or from flags.
//! Paths are not opened here; `DataPlane::start` does, and lists everything that is wrong at once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub use holdfast_keys::pkcs11::settings::Pkcs11Settings;

/// Everything that a data plane is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where AWS KMS connects to; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// Plain HTTP for operators: `/livez`, `/readyz`, `/ping`, `/metrics`.
    pub ops: Option<SocketAddr>,
    /// The control plane; without one the node serves what it is given by hand.
    pub sync: Option<SyncSettings>,
    /// Holds the last-good snapshot and the encryption counts.
    pub state_dir: PathBuf,
    /// Key seals: the first seals, all open.
    pub key_seals: Vec<KeySeal>,
    /// PKCS#11 tokens of this host. Without a state directory of their own they use [`Settings::state_dir`].
    pub pkcs11: Pkcs11Settings,
    /// Gets the audit files; none: no audit.
    pub audit_dir: Option<PathBuf>,
    /// How long a drain goes on accepting after it said that it is not ready.
    pub drain_delay: Duration,
    /// Connections at once, over all listeners.
    pub max_connections: usize,
    /// Connections at once from one address before their first authenticated request.
    pub per_peer: usize,
    /// Requests in flight at once for a key store that names no number of its own.
    pub in_flight: u32,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a request's head may take from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may idle before its first authenticated request.
    pub stranger_timeout: Duration,
    /// How long a connection may idle after it.
    pub idle_timeout: Duration,
}

/// Where a key seal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySeal {
    /// A seal file.
    File(PathBuf),
    /// A seal file that is itself encrypted, under a key of a partition group: see [`crate::seals`].
    OnPartition {
        /// The file.
        file: PathBuf,
        /// The group of partitions.
        group: String,
        /// `CKA_LABEL` of the AES-256 key there.
        label: String,
    },
}

/// One address that AWS KMS connects to.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Where to listen; port 0 picks a free one.
    pub addr: SocketAddr,
    /// Chosen by SNI; none or an unknown name gets the first. At least one.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// PEM files with the roots that sign client certificates. Needed unless off.
    pub client_ca: Vec<PathBuf>,
    /// Common names that clients may have; each holds `<region>` once.
    pub client_cn_patterns: Vec<String>,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, end entity first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Whether a listener asks for client certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Doesn't ask.
    #[default]
    Off,
    /// Asks. A client may have none; the one that it presents must be good.
    Request,
    /// Asks, and ends the handshake of a client that has none.
    Require,
}

/// How to reach the control plane.
#[derive(Clone, Debug)]
pub struct SyncSettings {
    /// `https://host:port`.
    pub endpoint: String,
    /// The name in the control plane's certificate.
    pub server_name: String,
    /// This node's certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The control plane's CA, PEM.
    pub ca: PathBuf,
}

impl Settings {
    /// Settings with every number at its default, no listener and no seal yet.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            listeners: Vec::new(),
            ops: None,
            sync: None,
            state_dir,
            key_seals: Vec::new(),
            pkcs11: Pkcs11Settings::default(),
            audit_dir: None,
            drain_delay: Duration::ZERO,
            max_connections: MAX_CONNECTIONS,
            per_peer: PER_PEER,
            in_flight: IN_FLIGHT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            header_timeout: HEADER_TIMEOUT,
            stranger_timeout: STRANGER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

impl KeySeal {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::File(file) | Self::OnPartition { file, .. } => file,
        }
    }
}

impl From<PathBuf> for KeySeal {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

impl ListenerSettings {
    /// A listener without client certificates.
    #[must_use]
    pub fn new(addr: SocketAddr, certificates: Vec<CertificateFiles>) -> Self {
        Self {
            addr,
            certificates,
            client_certificates: ClientCertificates::Off,
            client_ca: Vec::new(),
            client_cn_patterns: vec![CLIENT_CN_PATTERN.into()],
        }
    }

    /// A listener on a free port of the loopback interface.
    #[must_use]
    pub fn loopback(certificate: CertificateFiles) -> Self {
        Self::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), vec![certificate])
    }
}

impl ClientCertificates {
    /// The word in configuration files and node status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Request => "request",
            Self::Require => "require",
        }
    }
}

/// Stands for an AWS region in [`ListenerSettings::client_cn_patterns`].
pub const REGION: &str = "<region>";

/// The common name that AWS KMS presents (XKS, mutual TLS).
pub const CLIENT_CN_PATTERN: &str = "cks.kms.<region>.amazonaws.com";

/// Default of [`Settings::max_connections`] (design §4).
pub const MAX_CONNECTIONS: usize = 50_000;

/// Default of [`Settings::per_peer`] (design §4).
pub const PER_PEER: usize = 1_024;

/// Default of [`Settings::in_flight`]: at the XKS deadline of 250 ms, over twice the default quota of 1,800 requests per second.
pub const IN_FLIGHT: u32 = 1_024;

/// Default of [`Settings::handshake_timeout`]. KMS itself gives up after 250 ms.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Default of [`Settings::header_timeout`] (design §4).
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(1);

/// Default of [`Settings::stranger_timeout`].
pub const STRANGER_TIMEOUT: Duration = Duration::from_secs(30);

/// Default of [`Settings::idle_timeout`]: over the 350 s after which AWS's network load balancers forget a connection,
/// so that it is never we who close one that KMS is about to use.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(900);
