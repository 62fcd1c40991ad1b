//! What a host is told of its PKCS#11 tokens. Plain values: the caller read them from a file or from flags.
//! Nothing is opened here; `Groups::start` does, and lists everything that is wrong at once.

use std::{fmt, num::NonZeroU32, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// All partitions of a host.
#[derive(Clone, Debug, Default)]
pub struct Pkcs11Settings {
    /// In the order of the configuration: among members of a group that differ, the first is right.
    pub partitions: Vec<PartitionSettings>,
    /// Keeps what outlives a restart: refused PINs, partitions seen, proofs of keys. Made when missing.
    pub state_dir: PathBuf,
    /// How to run `holdfast keyhost` for partitions with a process of their own: program and first arguments.
    pub keyhost: Vec<PathBuf>,
}

/// One partition: a token reached through a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSettings {
    /// What errors, logs and metrics call it; unique on this host.
    pub name: String,
    /// Its id in health answers; none: UUIDv5 of manufacturer and serial number.
    pub id: Option<Uuid>,
    /// Partitions with the same keys have the same group.
    pub group: String,
    /// The module's shared library.
    pub module: PathBuf,
    /// Which of the module's tokens.
    pub token: TokenSelector,
    /// Where the user PIN is.
    pub pin: PinSource,
    /// Sessions that work, beside the one that keeps the login; none: 32, or one less than the token allows where that is fewer.
    pub sessions: Option<NonZeroU32>,
    /// How long slow things may take.
    pub timeouts: Timeouts,
    /// A row of the vendor table; none: picked by the token's manufacturer.
    pub vendor: Option<String>,
    /// Where the module's code runs.
    pub isolation: Isolation,
    /// Label of the AES-256 key that health checks and canaries use.
    pub health_key: String,
}

/// Exactly one way to name a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenSelector {
    /// `CK_TOKEN_INFO.label`, without its padding.
    Label(String),
    /// `CK_TOKEN_INFO.serialNumber`, without its padding.
    Serial(String),
    /// A slot id.
    Slot(u64),
}

/// Where a PIN comes from. It is read anew for each login, never kept; one newline at its end is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinSource {
    /// A file.
    File(PathBuf),
    /// A file in the directory that `CREDENTIALS_DIRECTORY` names (systemd `LoadCredential=`).
    Credential(String),
    /// An environment variable.
    Env(String),
}

/// Where a module's code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// In this process.
    #[default]
    None,
    /// In a process of the partition's own, which can be killed.
    Process,
}

/// How long slow things may take. Requests have deadlines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Loading, login and opening the first session, at start and at each reconnection.
    pub open: Duration,
    /// A key task.
    pub task: Duration,
}

impl PartitionSettings {
    /// A partition with everything at its default, in a group of its own name.
    #[must_use]
    pub fn new(name: String, module: PathBuf, token: TokenSelector, pin: PinSource) -> Self {
        Self {
            id: None,
            group: name.clone(),
            name,
            module,
            token,
            pin,
            sessions: None,
            timeouts: Timeouts::default(),
            vendor: None,
            isolation: Isolation::None,
            health_key: HEALTH_KEY.into(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { open: Duration::from_secs(10), task: Duration::from_secs(10) }
    }
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "labelled {label:?}"),
            Self::Serial(serial) => write!(f, "with serial number {serial:?}"),
            Self::Slot(slot) => write!(f, "in slot {slot}"),
        }
    }
}

impl Isolation {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
        }
    }
}

/// Default of [`PartitionSettings::health_key`].
pub const HEALTH_KEY: &str = "holdfast-health";

/// Default of [`PartitionSettings::sessions`], where the token allows one more.
pub const SESSIONS: u32 = 32;
