//! States of a key version, as pure transitions.

/// What a version may be used for (design §6): pending and retired versions decrypt only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VersionState {
    /// Made, and on its way to the nodes. Decrypts only.
    Pending,
    /// Encrypts and decrypts. At most one version of a key is active.
    Active,
    /// Replaced. Decrypts only.
    Retired,
}

/// What is asked of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionCommand {
    /// Every node can decrypt with it: let it encrypt.
    Activate,
    /// A newer one encrypts.
    Retire,
}

impl VersionState {
    /// The state after `command`, or none where it isn't allowed.
    ///
    /// A pending version may retire at once: a newer pending one was activated over it.
    #[must_use]
    pub const fn step(self, command: VersionCommand) -> Option<Self> {
        match (self, command) {
            (Self::Pending, VersionCommand::Activate) => Some(Self::Active),
            (Self::Pending | Self::Active, VersionCommand::Retire) => Some(Self::Retired),
            (Self::Active | Self::Retired, VersionCommand::Activate) | (Self::Retired, VersionCommand::Retire) => None,
        }
    }

    /// Text for operators and the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{VersionCommand::*, VersionState::*};

    #[test]
    fn every_pair_of_state_and_command_has_its_answer() {
        let table = [
            (Pending, Activate, Some(Active)),
            (Pending, Retire, Some(Retired)),
            (Active, Activate, None),
            (Active, Retire, Some(Retired)),
            (Retired, Activate, None),
            (Retired, Retire, None),
        ];
        for (now, command, next) in table {
            assert_eq!(now.step(command), next, "{now:?} {command:?}");
        }
    }
}
