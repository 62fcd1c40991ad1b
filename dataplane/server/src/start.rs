//! What a start needs, looked at whole: files, tokens, addresses.
//!
//! Holds: all that is wrong is listed, not just the first thing; a key seal that is on a partition is opened here, before anything that
//! needs it. Called by [`DataPlane`](crate::DataPlane).

use std::{
    fmt,
    fs::File,
    io,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_keys::pkcs11::{
    Groups, Pkcs11Fault,
    settings::{PartitionSettings, Pkcs11Settings},
};
use holdfast_proto::seal::{BadSealText, Seal, SealRing};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinError, spawn_blocking},
};
use zeroize::Zeroizing;

use crate::{
    audit::{Audit, AuditError},
    cache::{Cache, CacheError, StateDir},
    chain::chain,
    listen,
    metrics::{self, Exporter, InstallError, Metrics},
    seals::{BadSealOnPartition, SealOnPartition, SealOnPartitionError, SealingKey},
    settings::{KeySeal, ListenerSettings, Settings},
    tasks::LOCAL,
    tls::{Tls, TlsError},
};

/// Everything that keeps a data plane from starting.
#[derive(Debug)]
pub struct StartErrors(pub Vec<StartError>);

/// One thing that keeps a data plane from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No listener is configured.
    #[error("no listener is configured")]
    NoListener,
    /// No seal is configured.
    #[error("no key seal is configured")]
    NoSeal,
    /// A seal file that can't be read.
    #[error("cannot read the key seal {}", path.display())]
    SealFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file that holds no seal.
    #[error("{} holds no key seal", path.display())]
    SealText {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: BadSealText,
    },
    /// A file that holds no seal on a partition.
    #[error("{} holds no key seal on a partition", path.display())]
    SealOnPartitionText {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: BadSealOnPartition,
    },
    /// A seal on a partition, encrypted under another key than the configured one.
    #[error("the key seal {} is for key {:?} of group {:?}, which is not the configured one", path.display(), key.label, key.group)]
    SealOfAnotherKey {
        /// The file.
        path: PathBuf,
        /// What the file says.
        key: SealingKey,
    },
    /// A seal on a partition that does not open. Local keys and the last-good snapshot are under it.
    #[error("cannot open the key seal {} by key {:?} of partition group {:?}", path.display(), key.label, key.group)]
    SealOnPartition {
        /// The file.
        path: PathBuf,
        /// What decrypts it.
        key: SealingKey,
        /// Why it did not.
        #[source]
        cause: SealOnPartitionError,
    },
    /// A partition: a fault of its configuration or, for a check, of its token.
    #[error(transparent)]
    Pkcs11(Pkcs11Fault),
    /// A partition group that can't be told from local keys.
    #[error("partition {0} is in group \"local\": that name is taken by local keys")]
    GroupName(String),
    /// Opening the tokens panicked.
    #[error("opening the tokens failed")]
    Tokens(#[source] JoinError),
    /// A file of the sync stream.
    #[error("cannot read {} for the sync stream", path.display())]
    SyncFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A folder that is something else.
    #[error("{} is not a folder", path.display())]
    NotFolder {
        /// What is there.
        path: PathBuf,
    },
    /// A listener's TLS.
    #[error("listener {addr}")]
    Tls {
        /// The listener.
        addr: SocketAddr,
        /// Why.
        #[source]
        cause: Box<TlsError>,
    },
    /// An address that can't be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The directory for what is kept between runs.
    #[error("no state directory")]
    State(#[source] CacheError),
    /// The audit trail.
    #[error("no audit trail")]
    Audit(#[source] AuditError),
    /// The metrics recorder.
    #[error("no metrics")]
    Metrics(#[source] InstallError),
    /// A thread that was not started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// All that can be wrong, right.
pub(crate) struct Checked {
    pub(crate) cache: Cache,
    pub(crate) seals: Arc<SealRing>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) listeners: Vec<(Arc<Tls>, TcpListener)>,
    pub(crate) ops: Option<TcpListener>,
    pub(crate) audit: Audit,
    pub(crate) exporter: Exporter,
    pub(crate) metrics: Arc<Metrics>,
}

impl Checked {
    /// Looks at everything, and takes it.
    pub(crate) async fn of(settings: &Settings) -> Result<Self, StartErrors> {
        let mut wrong = Vec::new();
        // First, since handles registered before it would do nothing.
        let exporter = kept(metrics::install().map_err(StartError::Metrics), &mut wrong);
        let metrics = Arc::new(Metrics::register());
        let Files { seals, tls } = Files::look_at(settings, &mut wrong);
        // Before the tokens, which keep theirs in it too.
        let state = kept(StateDir::open(settings.state_dir.clone()).map_err(StartError::State), &mut wrong);
        let mut sockets = Vec::new();
        for (asked, tls) in settings.listeners.iter().zip(tls) {
            sockets.extend(tls.zip(kept(bind(asked.addr), &mut wrong)));
        }
        let ops = settings.ops.and_then(|addr| kept(bind(addr), &mut wrong));
        let audit = Audit::start(settings.audit_dir.as_deref(), Arc::clone(&metrics)).map_err(StartError::Audit);
        let audit = kept(audit, &mut wrong);
        let groups = start_groups(pkcs11(settings), &mut wrong).await;
        let seals = ring(seals, groups.as_deref(), &mut wrong).await;
        // Last: tokens may have taken their time, and nobody is to wait for one that listens and doesn't answer.
        let mut listeners = Vec::new();
        let mut ops_listener = None;
        if wrong.is_empty() {
            for (tls, socket) in sockets {
                listeners.extend(kept(open(socket), &mut wrong).map(|listener| (tls, listener)));
            }
            ops_listener = ops.and_then(|socket| kept(open(socket), &mut wrong));
        }
        match (exporter, seals, state, audit, groups) {
            (Some(exporter), Some(seals), Some(state), Some(audit), Some(groups)) if wrong.is_empty() => {
                let seals = Arc::new(seals);
                let cache = Cache::new(state, Arc::clone(&seals));
                Ok(Self { cache, seals, groups, listeners, ops: ops_listener, audit, exporter, metrics })
            }
            _ => Err(StartErrors(wrong)),
        }
    }
}

/// Looks at everything that a start would look at, tokens that can't be reached included, and takes nothing.
pub(crate) async fn check(settings: &Settings) -> Result<(), StartErrors> {
    let mut wrong = Vec::new();
    let Files { seals, .. } = Files::look_at(settings, &mut wrong);
    let pkcs11 = pkcs11(settings);
    let asked = pkcs11.clone();
    let faults = kept(spawn_blocking(move || Groups::check(&asked)).await.map_err(StartError::Tokens), &mut wrong);
    let reachable = faults.as_ref().is_some_and(Vec::is_empty);
    wrong.extend(faults.into_iter().flatten().map(StartError::Pkcs11));
    // A seal on a partition is known to open only once it did.
    if reachable && seals.iter().any(|seal| matches!(seal, SealFile::OnPartition { .. })) {
        // A running data plane may be using the other sessions.
        let one_session = |partition| PartitionSettings { sessions: Some(NonZeroU32::MIN), ..partition };
        let partitions = pkcs11.partitions.into_iter().map(one_session).collect();
        let groups = start_groups(Pkcs11Settings { partitions, ..pkcs11 }, &mut wrong).await;
        ring(seals, groups.as_deref(), &mut wrong).await;
    }
    if wrong.is_empty() { Ok(()) } else { Err(StartErrors(wrong)) }
}

/// What the settings name on disk.
struct Files {
    /// Those that could be read.
    seals: Vec<SealFile>,
    /// For each listener, where it can be had.
    tls: Vec<Option<Arc<Tls>>>,
}

/// What a seal file holds.
enum SealFile {
    Seal(Seal),
    OnPartition { path: PathBuf, seal: SealOnPartition },
}

impl Files {
    fn look_at(settings: &Settings, wrong: &mut Vec<StartError>) -> Self {
        if settings.key_seals.is_empty() {
            wrong.push(StartError::NoSeal);
        }
        let seals = settings.key_seals.iter().filter_map(|seal| kept(seal_file(seal), wrong)).collect();
        if settings.listeners.is_empty() {
            wrong.push(StartError::NoListener);
        }
        let tls = settings.listeners.iter().map(|listener| tls(listener, wrong)).collect();
        for path in settings.sync.iter().flat_map(|sync| [&sync.certificate, &sync.key, &sync.ca]) {
            kept(File::open(path).map_err(|cause| StartError::SyncFile { path: path.clone(), cause }), wrong);
        }
        // Made by the start when missing.
        for path in settings.audit_dir.iter().chain([&settings.state_dir]).filter(|path| path.exists() && !path.is_dir()) {
            wrong.push(StartError::NotFolder { path: path.clone() });
        }
        let taken = settings.pkcs11.partitions.iter().filter(|partition| partition.group == LOCAL);
        wrong.extend(taken.map(|partition| StartError::GroupName(partition.name.clone())));
        Self { seals, tls }
    }
}

fn tls(settings: &ListenerSettings, wrong: &mut Vec<StartError>) -> Option<Arc<Tls>> {
    let addr = settings.addr;
    let loaded = Tls::load(settings);
    loaded
        .map_err(|causes| wrong.extend(causes.into_iter().map(|cause| StartError::Tls { addr, cause: Box::new(cause) })))
        .map(Arc::new)
        .ok()
}

fn seal_file(seal: &KeySeal) -> Result<SealFile, StartError> {
    let path = seal.file();
    match seal {
        KeySeal::File(_) => {
            Seal::from_text(&text(path)?).map(SealFile::Seal).map_err(|cause| StartError::SealText { path: path.into(), cause })
        }
        KeySeal::OnPartition { group, label, .. } => {
            let seal = SealOnPartition::from_text(&text(path)?);
            let seal = seal.map_err(|cause| StartError::SealOnPartitionText { path: path.into(), cause })?;
            if (&seal.key().group, &seal.key().label) != (group, label) {
                return Err(StartError::SealOfAnotherKey { path: path.into(), key: seal.key().clone() });
            }
            Ok(SealFile::OnPartition { path: path.into(), seal })
        }
    }
}

fn text(path: &Path) -> Result<Zeroizing<String>, StartError> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|cause| StartError::SealFile { path: path.into(), cause })
}

/// The seals, those on partitions opened. Without `groups` it is they that are at fault, which was said.
async fn ring(files: Vec<SealFile>, groups: Option<&Groups>, wrong: &mut Vec<StartError>) -> Option<SealRing> {
    let mut seals = Vec::with_capacity(files.len());
    for file in files {
        match file {
            SealFile::Seal(seal) => seals.push(seal),
            SealFile::OnPartition { path, seal } => {
                let opened = seal.open(groups?, Instant::now() + OPEN_SEAL).await;
                let failed = |cause| StartError::SealOnPartition { path, key: seal.key().clone(), cause };
                seals.extend(kept(opened.map_err(failed), wrong));
            }
        }
    }
    let mut seals = seals.into_iter();
    Some(SealRing::new(seals.next()?, seals.collect()))
}

/// The tokens' settings, with the node's state directory where they have none of their own.
fn pkcs11(settings: &Settings) -> Pkcs11Settings {
    let mut pkcs11 = settings.pkcs11.clone();
    if pkcs11.state_dir.as_os_str().is_empty() {
        pkcs11.state_dir.clone_from(&settings.state_dir);
    }
    pkcs11
}

/// Opens the tokens, which takes as long as the slowest of them, on a thread that may block.
async fn start_groups(settings: Pkcs11Settings, wrong: &mut Vec<StartError>) -> Option<Arc<Groups>> {
    match kept(spawn_blocking(move || Groups::start(settings)).await.map_err(StartError::Tokens), wrong)? {
        Ok(groups) => Some(groups),
        Err(faults) => {
            wrong.extend(faults.into_iter().map(StartError::Pkcs11));
            None
        }
    }
}

fn bind(addr: SocketAddr) -> Result<(SocketAddr, TcpSocket), StartError> {
    let socket = listen::bind(addr).map_err(|cause| StartError::Listen { addr, cause })?;
    Ok((addr, socket))
}

fn open((addr, socket): (SocketAddr, TcpSocket)) -> Result<TcpListener, StartError> {
    listen::open(socket).map_err(|cause| StartError::Listen { addr, cause })
}

fn kept<T>(tried: Result<T, StartError>, wrong: &mut Vec<StartError>) -> Option<T> {
    tried.map_err(|error| wrong.push(error)).ok()
}

impl fmt::Display for StartErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let line = chain(error);
            if at == 0 { f.write_str(&line)? } else { write!(f, "\n{line}")? }
        }
        Ok(())
    }
}

impl std::error::Error for StartErrors {}

/// For one seal. The partition is up by then, or known to be down.
const OPEN_SEAL: Duration = Duration::from_secs(10);
