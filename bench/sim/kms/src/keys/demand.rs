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
    /// `EnableKeyRotation` and `DisableKeyRotation`.
    SetRotation,
    /// `RotateKeyOnDemand`.
    Rotate,
    /// `ReplicateKey`, and `UpdatePrimaryRegion` to another region than the one under way.
    Replicate,
    /// `GetParametersForImport`.
    PrepareImport,
    /// `ImportKeyMaterial`.
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
            | (Self::Use | Self::SetRotation, Enabled | Updating)
            | (Self::Enable, Enabled | Disabled | Unavailable)
            | (Self::Change, Creating | Enabled | Disabled | PendingImport | Unavailable | Updating)
            | (Self::Rotate | Self::Replicate, Enabled)
            | (Self::PrepareImport, Enabled | Disabled | PendingImport)
            | (Self::Import, Enabled | Disabled | PendingImport | Updating)
            | (Self::Delete, Creating | Enabled | Disabled | PendingImport | Unavailable) => Verdict::Yes,
            (Self::Use | Self::SetRotation | Self::Rotate | Self::Replicate, Disabled) => Verdict::Disabled,
            (Self::Keep, Creating | Enabled | Disabled | PendingImport | Unavailable | Updating)
            | (Self::DropMaterial, Creating | Updating)
            | (Self::Use | Self::SetRotation, Creating | PendingDeletion | PendingImport | PendingReplicaDeletion | Unavailable)
            | (Self::Enable, Creating | PendingDeletion | PendingImport | PendingReplicaDeletion | Updating)
            | (Self::Change, PendingDeletion | PendingReplicaDeletion)
            | (
                Self::Rotate | Self::Replicate,
                Creating | PendingDeletion | PendingImport | PendingReplicaDeletion | Unavailable | Updating,
            )
            | (Self::PrepareImport, Creating | PendingDeletion | PendingReplicaDeletion | Unavailable | Updating)
            | (Self::Import, Creating | PendingDeletion | PendingReplicaDeletion | Unavailable)
            | (Self::Delete, PendingDeletion | PendingReplicaDeletion | Updating) => Verdict::Invalid,
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

#[cfg(test)]
mod tests {
    use super::*;

    // The developer guide's table, "Key states of AWS KMS keys". Columns: Enabled, Disabled, pending (replica) deletion, pending import,
    // Unavailable, Creating, Updating. Letters: succeeds, fails as Disabled, fails as Invalid; - where the table has nothing to say.
    const TABLE: [(Demand, &str); 11] = [
        (Demand::Keep, "iisiiii"),
        (Demand::DropMaterial, "ssss-ii"),
        (Demand::Use, "sdiiiis"),
        (Demand::Enable, "ssiisii"),
        (Demand::Change, "ssissss"),
        (Demand::SetRotation, "sdi--is"),
        (Demand::Replicate, "sdii-ii"),
        (Demand::PrepareImport, "ssis-ii"),
        (Demand::Import, "ssis-is"),
        (Demand::Delete, "ssisssi"),
        // Of a rotation on demand the table does not tell; this is the simulator's reading.
        (Demand::Rotate, "sdiiiii"),
    ];

    #[test]
    fn each_operation_demands_the_states_of_the_developer_guides_table() {
        let columns = [
            &[KeyState::Enabled][..],
            &[KeyState::Disabled],
            &[KeyState::PendingDeletion, KeyState::PendingReplicaDeletion],
            &[KeyState::PendingImport],
            &[KeyState::Unavailable],
            &[KeyState::Creating],
            &[KeyState::Updating],
        ];
        for (demand, row) in TABLE {
            for (states, wanted) in columns.iter().zip(row.chars()) {
                for state in *states {
                    let verdict = demand.verdict(*state);
                    let told = match verdict {
                        Verdict::Yes => 's',
                        Verdict::Disabled => 'd',
                        Verdict::Invalid => 'i',
                    };
                    assert!(wanted == '-' || wanted == told, "{demand:?} of a key that is {state:?}: {verdict:?}");
                }
            }
        }
    }
}
