//! What can be wrong with the configuration of partitions, and with their tokens, before the first request.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something is wrong with a partition. The text names it and says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Pkcs11Fault {
    /// Two partitions have one name.
    #[error("two partitions are named {partition:?}: give each a name of its own")]
    NameTwice {
        /// The name.
        partition: String,
    },
    /// `isolation = "process"`, and that process can't be started.
    #[error("partition {partition}: cannot start {} for it: {why}", program.display())]
    Keyhost {
        /// The partition.
        partition: String,
        /// What was to be run.
        program: PathBuf,
        /// What failed.
        why: String,
    },
    /// The token does not answer, or not as it should.
    #[error("partition {partition}: the token can't be reached: {why}")]
    Unreachable {
        /// The partition.
        partition: String,
        /// What failed.
        why: String,
    },
}

impl Pkcs11Fault {
    /// Only a person can mend it. Otherwise the partition is down until its token comes back.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::NameTwice { .. } | Self::Keyhost { .. } => true,
            Self::Unreachable { .. } => false,
        }
    }
}
