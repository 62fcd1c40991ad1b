//! What a partition tells of itself.

use holdfast_proto::records::KeyUsage;
use serde::{Deserialize, Serialize};

/// How a partition is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// It was not connected yet.
    Starting,
    /// It takes work.
    Up,
    /// A call is overdue: it takes no work until a canary comes back in time.
    Suspect,
    /// The token failed or is gone; it is being connected again. The text says what failed.
    Down(String),
    /// The token refused the PIN, or refused it earlier: nothing is tried until the PIN changes or `partition retry-login`.
    PinRefused(String),
    /// More calls hang than may be given up on: unless one comes back, only a restart helps, of this process or, isolated, of the child.
    Exhausted,
}

/// What a token says of itself (`CK_TOKEN_INFO`), without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// The configured id, else UUIDv5 of manufacturer and serial number.
    pub id: uuid::Uuid,
    /// `label`.
    pub label: String,
    /// `manufacturerID`.
    pub manufacturer: String,
    /// `model`.
    pub model: String,
    /// `firmwareVersion`, `major.minor`.
    pub firmware: String,
    /// `serialNumber`.
    pub serial: String,
}

/// A partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The configured name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// How it is.
    pub condition: Condition,
    /// None while the token was never seen.
    pub facts: Option<TokenFacts>,
    /// Sessions that work.
    pub sessions: u32,
    /// Jobs that wait.
    pub queued: u32,
    /// Jobs that a session works on.
    pub in_use: u32,
    /// Moves with each new connection: object handles of another generation are void.
    pub generation: u64,
    /// Sessions given up on since the start, each in a call that did not come back.
    pub leaked: u32,
    /// Keys that it may not serve: their material differs from that of an earlier member of the group.
    pub excluded: Vec<String>,
}

/// A key as the token describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttributes {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`.
    pub cka_id: Vec<u8>,
    /// `CKK_AES` and its like.
    pub key_type: String,
    /// Size in bits; none where the token does not tell.
    pub bits: Option<u32>,
    /// Attributes by their PKCS#11 names, as in `("CKA_SENSITIVE", true)`, in a fixed order; those that the token does not tell are not there.
    pub attributes: Vec<(String, bool)>,
}

/// Work on a token beside requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TokenTask {
    /// All secret keys.
    List,
    /// One key.
    Inspect(super::handles::KeyName),
    /// An AES-256 key; one that is there by that `CKA_ID` already is the result.
    Generate(NewKey),
}

/// A key to be generated on a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewKey {
    pub(crate) cka_id: Box<[u8]>,
    pub(crate) label: String,
    pub(crate) encrypt: bool,
    pub(crate) decrypt: bool,
}

/// A [`TokenTask`] that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TokenTaskDone {
    Keys(Vec<KeyAttributes>),
    Key(KeyAttributes),
}

/// Why a token's task was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TokenTaskError {
    /// The partition is not up, or failed at it: another one may do it.
    #[error("partition {partition} is not available: {why}")]
    Unavailable {
        /// The partition, or the group.
        partition: String,
        /// Why.
        why: String,
    },
    /// The token did not finish in time.
    #[error("partition {partition} did not finish in time")]
    Deadline {
        /// The partition.
        partition: String,
    },
    /// It can't be done.
    #[error("{0}")]
    Refused(String),
}

impl Condition {
    /// It takes work.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }

    /// A word for people and for metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down(_) => "down",
            Self::PinRefused(_) => "pin refused",
            Self::Exhausted => "exhausted",
        }
    }
}

impl KeyAttributes {
    /// An attribute by its PKCS#11 name; one that the token does not tell is false.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(known, set)| known == name && *set)
    }

    /// `CKA_ENCRYPT` and `CKA_DECRYPT`.
    #[must_use]
    pub fn usage(&self) -> KeyUsage {
        KeyUsage { encrypt: self.has("CKA_ENCRYPT"), decrypt: self.has("CKA_DECRYPT") }
    }
}
