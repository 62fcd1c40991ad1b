//! What a control plane is told when it starts. Plain values: the caller read them from a file or from flags.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    aws::AwsSettings,
    connections::{API_CAPS, ConnectionCaps, OPS_CAPS, SYNC_CAPS},
    publish::ROTATE_AT,
};

/// Everything that a control plane is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `init` made.
    pub data_dir: PathBuf,
    /// HTTPS: REST and gRPC for admins. Port 0 picks a free one, as for all addresses here.
    pub api_listen: SocketAddr,
    /// Mutual TLS: where data planes connect.
    pub sync_listen: SocketAddr,
    /// Plain HTTP for operators: `/livez`, `/readyz`, `/metrics`.
    pub ops_listen: Option<SocketAddr>,
    /// Certificate chain and key of the API, PEM; none: the one that `init` made, from the control plane's own CA.
    pub api_certificate: Option<ApiCertificate>,
    /// Control seals: the first seals, all open. Empty: the one in the data directory.
    pub control_seals: Vec<PathBuf>,
    /// Gets `admin.jsonl`; none: `audit` in the data directory.
    pub audit_dir: Option<PathBuf>,
    /// Where `database_backup` jobs write to; none: there can be no such jobs.
    pub backup_dir: Option<PathBuf>,
    /// Holds the passphrase of those backups; read for each.
    pub backup_passphrase_file: Option<PathBuf>,
    /// Encryptions under one version at which a local key rotates by itself.
    pub rotate_at: u64,
    /// How long a sign-in can be renewed without the password.
    pub renew_for: Duration,
    /// Connections that the API holds.
    pub api_connections: ConnectionCaps,
    /// Connections that the sync listener holds.
    pub sync_connections: ConnectionCaps,
    /// Connections that the ops port holds.
    pub ops_connections: ConnectionCaps,
    /// Where AWS is, for what is linked to it.
    pub aws: AwsSettings,
    /// Renders `/metrics`; none: it is empty. The recorder is the caller's, since there is one in a process.
    pub metrics: Option<Render>,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCertificate {
    /// The chain, end entity first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Renders metrics in Prometheus's text format.
#[derive(Clone)]
pub struct Render(pub Arc<dyn Fn() -> String + Send + Sync>);

impl Settings {
    /// Settings with everything but addresses at its default.
    #[must_use]
    pub const fn new(data_dir: PathBuf, api_listen: SocketAddr, sync_listen: SocketAddr) -> Self {
        Self {
            data_dir,
            api_listen,
            sync_listen,
            ops_listen: None,
            api_certificate: None,
            control_seals: Vec::new(),
            audit_dir: None,
            backup_dir: None,
            backup_passphrase_file: None,
            rotate_at: ROTATE_AT,
            renew_for: RENEW_FOR,
            api_connections: API_CAPS,
            sync_connections: SYNC_CAPS,
            ops_connections: OPS_CAPS,
            aws: AwsSettings::new(),
            metrics: None,
        }
    }
}

impl fmt::Debug for Render {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Render(..)")
    }
}

/// A week's work without typing the password again.
const RENEW_FOR: Duration = Duration::from_hours(7 * 24);
