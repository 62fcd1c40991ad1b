//! What keeps a partition from starting, in words for operators.
//!
//! Holds: each fault names its partition and says what mends it. Configuration faults stop start-up, all of them listed; token faults mark
//! the partition down and start (design §5). Plain values, so that a partition in a process of its own can report them.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("partition {partition:?}: {problem}")]
pub struct Pkcs11Fault {
    /// The partition's configured name.
    pub partition: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Problem {
    /// Two partitions of a host have one name.
    #[error("another partition has the same name; give each its own")]
    NameTwice,
    /// Two partitions of a host are one token.
    #[error("partition {other:?} is the same token; a token can be one partition only")]
    SameToken {
        /// The other.
        other: String,
    },
    /// No such row.
    #[error("no vendor is called {vendor:?}; known are {}", known.join(", "))]
    UnknownVendor {
        /// What the settings say.
        vendor: String,
        /// What they can say.
        known: Vec<String>,
    },
    /// The module is not there.
    #[error("the module {} can't be opened ({why}); correct its path or install it", path.display())]
    ModuleMissing {
        /// Its configured path.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The file is no PKCS#11 module, or does not initialise.
    #[error("the module {} does not work: {why}", path.display())]
    ModuleBroken {
        /// Its configured path.
        path: PathBuf,
        /// What it does instead.
        why: String,
    },
    /// The module never had this token.
    #[error("the module has no token {token}; it has {}", list(existing))]
    NoSuchToken {
        /// How the settings name it.
        token: String,
        /// The tokens that there are.
        existing: Vec<String>,
    },
    /// More than one token is named so.
    #[error("the module has more than one token {token}; name it by serial number or slot: it has {}", list(existing))]
    TokenTwice {
        /// How the settings name it.
        token: String,
        /// The tokens that there are.
        existing: Vec<String>,
    },
    /// There is no PIN where it should be.
    #[error("{0}")]
    PinSource(String),
    /// The token refused the PIN earlier: it was not tried again.
    #[error(
        "the token refused this PIN earlier ({why}), so it was not tried again; change the PIN, or run `holdfast partition retry-login`"
    )]
    PinRefusedBefore {
        /// What the token answered.
        why: String,
    },
    /// The token refused the PIN now.
    #[error("the token refused the PIN ({why}); it is not tried again until it changes or `holdfast partition retry-login`")]
    PinRefused {
        /// What the token answered.
        why: String,
    },
    /// The state directory can't be used.
    #[error("the state directory {} can't be used ({why}); it must be writable", path.display())]
    StateDir {
        /// Where.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The token can't do what requests need.
    #[error("the token lacks {}", mechanisms.join(" and "))]
    NoMechanism {
        /// What it lacks.
        mechanisms: Vec<String>,
    },
    /// The key for health checks and canaries is missing.
    #[error("the token has no key labelled {label:?} for health checks; make it: `holdfast partition generate --label {label}`")]
    HealthKeyMissing {
        /// The label.
        label: String,
    },
    /// The key for health checks can't serve.
    #[error("the key labelled {label:?}, for health checks, {why}; it must be AES-256, with CKA_ENCRYPT and CKA_DECRYPT")]
    HealthKeyWrong {
        /// The label.
        label: String,
        /// What it is instead.
        why: String,
    },
    /// Two keys have the label of the key for health checks.
    #[error("the token has more than one key labelled {label:?}, the one for health checks; one of them must go or be renamed")]
    HealthKeyTwice {
        /// The label.
        label: String,
    },
    /// The process of an isolated partition can't be started.
    #[error("cannot start {} for it: {why}", program.display())]
    Keyhost {
        /// What was to be run.
        program: PathBuf,
        /// What failed.
        why: String,
    },
    /// The token can't be reached, or failed.
    #[error("the token can't be used now: {why}")]
    Unreachable {
        /// What failed.
        why: String,
    },
    /// The token did not answer in time.
    #[error("the token did not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
}

impl Pkcs11Fault {
    /// Of this partition.
    pub(crate) fn new(partition: &str, problem: Problem) -> Self {
        Self { partition: partition.into(), problem }
    }

    /// Someone has to change something on this host or on the token; a token fault may pass by itself.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self.problem {
            Problem::NameTwice
            | Problem::SameToken { .. }
            | Problem::UnknownVendor { .. }
            | Problem::ModuleMissing { .. }
            | Problem::ModuleBroken { .. }
            | Problem::NoSuchToken { .. }
            | Problem::TokenTwice { .. }
            | Problem::PinSource(_)
            | Problem::PinRefusedBefore { .. }
            | Problem::PinRefused { .. }
            | Problem::StateDir { .. }
            | Problem::NoMechanism { .. }
            | Problem::HealthKeyMissing { .. }
            | Problem::HealthKeyWrong { .. }
            | Problem::HealthKeyTwice { .. }
            | Problem::Keyhost { .. } => true,
            Problem::Unreachable { .. } | Problem::Timeout(_) => false,
        }
    }
}

fn list(tokens: &[String]) -> String {
    if tokens.is_empty() { "none".into() } else { tokens.join("; ") }
}
