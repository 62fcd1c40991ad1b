//! What state of a key an operation demands.
//!
//! Always holds: every operation and state has its line. Source: AWS KMS developer guide, "Key states of AWS KMS keys".

use crate::{
    error::{AwsException, ErrorName},
    state::{Key, KeyState},
};

/// Operations that demand the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Cryptographic operations and `GetPublicKey`.
    Use,
    /// `EnableKey` and `DisableKey`.
    Enable,
    /// Tags, description and new targets of aliases.
    Change,
    /// `EnableKeyRotation`, `DisableKeyRotation`, `RotateKeyOnDemand`.
    Rotate,
    /// `ReplicateKey` and `UpdatePrimaryRegion`.
    Replicate,
    /// `GetParametersForImport` and `ImportKeyMaterial`.
    Import,
    /// `DeleteImportedKeyMaterial`.
    DropMaterial,
    /// `ScheduleKeyDeletion`.
    Delete,
    /// `CancelKeyDeletion`.
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    Disabled,
    Invalid,
}

impl Demand {
    /// Checks a key's state.
    ///
    /// # Errors
    /// `DisabledException` or `KMSInvalidStateException`, in AWS's words: `<arn> is pending deletion.`
    pub(crate) fn check(self, key: &Key) -> Result<(), AwsException> {
        self.check_state(key, key.state)
    }

    /// Checks a state that a key is shown in, which may be `Unavailable`.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn check_state(self, key: &Key, state: KeyState) -> Result<(), AwsException> {
        match self.verdict(state) {
            Verdict::Yes => Ok(()),
            Verdict::Disabled => Err(AwsException::new(ErrorName::Disabled, format!("{} is disabled.", key.arn))),
            Verdict::Invalid => {
                let is = if self == Self::Keep { "is not pending deletion" } else { words(state) };
                Err(AwsException::new(ErrorName::KmsInvalidState, format!("{} {is}.", key.arn)))
            }
        }
    }

    const fn verdict(self, state: KeyState) -> Verdict {
        use KeyState::{Creating, Disabled, Enabled, PendingDeletion, PendingImport, PendingReplicaDeletion, Unavailable, Updating};
        match (self, state) {
            (Self::Keep, PendingDeletion | PendingReplicaDeletion)
            | (Self::DropMaterial, Enabled | Disabled | PendingImport | Unavailable | PendingDeletion | PendingReplicaDeletion)
            | (Self::Use, Enabled | Updating)
            | (Self::Enable, Enabled | Disabled | Unavailable)
            | (Self::Change, Creating | Enabled | Disabled | PendingImport | Unavailable | Updating)
            | (Self::Rotate | Self::Replicate, Enabled)
            | (Self::Import, Enabled | Disabled | PendingImport)
            | (Self::Delete, Enabled | Disabled | PendingImport | Unavailable) => Verdict::Yes,
            (Self::Use | Self::Rotate | Self::Replicate, Disabled) => Verdict::Disabled,
            (Self::Keep, Creating | Enabled | Disabled | PendingImport | Unavailable | Updating)
            | (Self::DropMaterial, Creating | Updating)
            | (Self::Use, Creating | PendingDeletion | PendingImport | PendingReplicaDeletion | Unavailable)
            | (Self::Enable, Creating | PendingDeletion | PendingImport | PendingReplicaDeletion | Updating)
            | (Self::Change, PendingDeletion | PendingReplicaDeletion)
            | (
                Self::Rotate | Self::Replicate,
                Creating | PendingDeletion | PendingImport | PendingReplicaDeletion | Unavailable | Updating,
            )
            | (Self::Import, Creating | PendingDeletion | PendingReplicaDeletion | Unavailable | Updating)
            | (Self::Delete, Creating | PendingDeletion | PendingReplicaDeletion | Updating) => Verdict::Invalid,
        }
    }
}

const fn words(state: KeyState) -> &'static str {
    match state {
        KeyState::Creating => "is creating",
        KeyState::Enabled => "is enabled",
        KeyState::Disabled => "is disabled",
        KeyState::PendingDeletion => "is pending deletion",
        KeyState::PendingImport => "is pending import",
        KeyState::PendingReplicaDeletion => "is pending replica deletion",
        KeyState::Unavailable => "is unavailable",
        KeyState::Updating => "is updating",
    }
}
