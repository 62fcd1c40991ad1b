//! Where load goes: one XKS proxy, one key of it and the credential that opens it.
//!
//! Read once from the JSON that `holdfast dev` writes (its `xks` member) or from such an object alone.
//! Holds: a `Target` has a usable TLS configuration; its secret never prints.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::{ClientConfig, Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::{RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::pinned::Recognising;

/// One XKS proxy, one external key and one SigV4 credential.
#[derive(Clone, Debug)]
pub struct Target {
    host: String,
    port: u16,
    prefix: String,
    key_id: String,
    credential: Credential,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    /// The address that the first connection reached, shared by all copies.
    address: Arc<OnceLock<SocketAddr>>,
}

impl Target {
    /// Reads a target file.
    ///
    /// # Errors
    /// When the file or the CA file it names cannot be read, or says something else than a target.
    pub fn read(path: &Path) -> Result<Self, TargetError> {
        let text = std::fs::read_to_string(path).map_err(|cause| TargetError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads the first partition's target from a `dev.json`.
    ///
    /// # Errors
    /// As [`Self::read`], and when the file tells of no partition.
    pub fn read_partition(path: &Path) -> Result<Self, TargetError> {
        let text = std::fs::read_to_string(path).map_err(|cause| TargetError::Unreadable { path: path.to_owned(), cause })?;
        let Partitions { partitions } = serde_json::from_str(&text)?;
        let first = partitions.into_iter().next().ok_or(TargetError::NoPartition)?;
        Self::of(first.xks, path.parent().unwrap_or(Path::new(".")))
    }

    /// Makes a target of JSON text: an `xks` object, or an object with an `xks` member.
    /// A relative `ca` is looked for in `folder`.
    ///
    /// # Errors
    /// When the text is no target, or its CA file cannot be read.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, TargetError> {
        let file = match serde_json::from_str::<Whole>(text)? {
            Whole { xks: Some(inner) } => inner,
            Whole { xks: None } => serde_json::from_str::<File>(text)?,
        };
        Self::of(file, folder)
    }

    fn of(file: File, folder: &Path) -> Result<Self, TargetError> {
        let roots = read_roots(&folder.join(&file.ca))?;
        let name = ServerName::try_from(file.host.clone())?;
        Ok(Self {
            name,
            tls: client_config(roots)?,
            address: Arc::default(),
            host: file.host,
            port: file.port,
            prefix: file.prefix,
            key_id: file.key_id,
            credential: Credential { access_key_id: file.access_key_id, secret: file.secret_access_key, region: file.region },
        })
    }

    /// The host to connect to, also the name its certificate must carry.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What the `Host` header says: the port is left out when it is the one of HTTPS (RFC 9110 §7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// The path up to and with `/kms/xks/v1`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The external key id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Opens a TCP connection. The host is looked up once only: a lookup costs more than a connection.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        if let Some(address) = self.address.get() {
            return TcpStream::connect(address).await;
        }
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Another connection may have been first, and is as good.
        let _ = self.address.set(stream.peer_addr()?);
        Ok(stream)
    }

    pub(crate) const fn credential(&self) -> &Credential {
        &self.credential
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

/// A SigV4 credential and the region it signs for.
#[derive(Clone)]
pub struct Credential {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: String,
    /// The AWS region in the scope.
    pub region: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Why a target file is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Not the JSON of a target.
    #[error("not a target: it takes host, port, prefix, access_key_id, secret_access_key, key_id, region and ca")]
    Json(#[from] serde_json::Error),
    /// A `dev.json` without partitions.
    #[error("it tells of no partition")]
    NoPartition,
    /// The host is neither a DNS name nor an address.
    #[error("host is not a DNS name or IP address")]
    Host(#[from] InvalidDnsNameError),
    /// The CA file holds no usable certificate.
    #[error("cannot use the certificates in {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: rustls_pki_types::pem::Error,
    },
    /// rustls refuses a certificate of the CA file, or its own configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// No verifier can be made of the CA file's certificates.
    #[error("the CA file's certificates cannot verify anything")]
    Verifier(#[from] VerifierBuilderError),
}

/// Reads as any JSON object; only its `xks` member, if any, matters.
#[derive(Deserialize)]
struct Whole {
    xks: Option<File>,
}

/// Reads as any `dev.json`.
#[derive(Deserialize)]
struct Partitions {
    #[serde(default)]
    partitions: Vec<Partition>,
}

/// A group of partitions.
#[derive(Deserialize)]
struct Partition {
    xks: File,
}

#[derive(Deserialize)]
struct File {
    host: String,
    port: u16,
    prefix: String,
    access_key_id: String,
    secret_access_key: String,
    key_id: String,
    region: String,
    ca: PathBuf,
}

fn read_roots(path: &Path) -> Result<RootCertStore, TargetError> {
    let refused = |cause| TargetError::Ca { path: path.to_owned(), cause };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(refused)? {
        roots.add(certificate.map_err(refused)?)?;
    }
    if roots.is_empty() {
        return Err(refused(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(roots)
}

/// Resumption is off: a "new connection" must always mean a whole handshake.
fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, TargetError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Recognising::new(verifier.build()?)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    fn folder_with_ca() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        folder
    }

    const OBJECT: &str = r#"{"host":"localhost","port":8443,"prefix":"/a/kms/xks/v1","access_key_id":"AKIA",
        "secret_access_key":"hush","key_id":"k","region":"us-east-1","ca":"ca.pem"}"#;

    #[test]
    fn both_shapes_of_a_target_file_read_alike() {
        let folder = folder_with_ca();
        let whole = format!(r#"{{"api":{{"url":"x"}},"xks":{OBJECT}}}"#);
        for text in [OBJECT, &whole] {
            let target = Target::parse(text, folder.path()).unwrap();
            assert_eq!(target.authority(), "localhost:8443");
            assert_eq!(target.prefix(), "/a/kms/xks/v1");
        }
    }

    #[test]
    fn the_first_partition_has_a_target_of_its_own() {
        let folder = folder_with_ca();
        let file = folder.path().join("dev.json");
        let write = |partitions: &str| std::fs::write(&file, format!(r#"{{"xks":{OBJECT}{partitions}}}"#)).unwrap();
        let other = OBJECT.replace("/a/", "/b/");
        write(&format!(r#","partitions":[{{"group":"g","labels":["t"],"xks":{other}}}]"#));
        assert_eq!(Target::read_partition(&file).unwrap().prefix(), "/b/kms/xks/v1");
        assert_eq!(Target::read(&file).unwrap().prefix(), "/a/kms/xks/v1");
        for none in ["", r#","partitions":[]"#] {
            write(none);
            assert!(matches!(Target::read_partition(&file), Err(TargetError::NoPartition)));
        }
    }

    #[test]
    fn a_target_never_prints_its_secret() {
        let folder = folder_with_ca();
        let target = Target::parse(OBJECT, folder.path()).unwrap();
        assert!(!format!("{target:?}").contains("hush"));
    }

    #[tokio::test]
    async fn only_the_certificate_of_the_ca_file_is_taken() {
        let floor = crate::floor::Floor::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let folder = folder_with_ca();
        let text = floor.target(Path::new("ca.pem")).to_string();
        let other = Target::parse(&text, folder.path()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), floor.certificate()).unwrap();
        let right = Target::parse(&text, folder.path()).unwrap();
        tokio::spawn(floor.serve());
        let patience = std::time::Duration::from_secs(5);
        assert!(Connection::open(&other, patience).await.is_err());
        assert!(Connection::open(&right, patience).await.is_ok());
        assert!(Connection::open(&right, patience).await.is_ok());
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "").unwrap();
        assert!(matches!(Target::parse(OBJECT, folder.path()), Err(TargetError::Ca { .. })));
    }
}
