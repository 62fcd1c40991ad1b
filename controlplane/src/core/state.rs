//! State rules, as pure functions. Promotion is in `publish`, which knows what the nodes have.

use holdfast_proto::state::VersionState;
use uuid::Uuid;

use crate::store::entry::{Stamps, VersionEntry};

/// What a new version is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewVersion {
    pub(super) source: Uuid,
    pub(super) tag: [u8; 4],
    pub(super) now_ns: u64,
}

/// The versions with one more, which is pending: also the first, since one node may have the key before another.
pub(super) fn with_version(versions: &[VersionEntry], made: NewVersion) -> Vec<VersionEntry> {
    let number = versions.iter().map(|v| v.number + 1).max().unwrap_or(0);
    let version = VersionEntry { number, tag: made.tag, state: VersionState::Pending, source: made.source, created_ns: made.now_ns };
    versions.iter().copied().chain([version]).collect()
}

/// Whether a key is to be rotated because `version` of it wore out: it still encrypts, and no newer one is on its way.
pub(super) fn wants_rotation(versions: &[VersionEntry], version: u32) -> bool {
    let encrypts = versions.iter().any(|v| v.number == version && v.state == VersionState::Active);
    encrypts && versions.iter().all(|v| v.number <= version)
}

impl Stamps {
    /// Of something made now.
    pub(super) const fn new(now_ns: u64) -> Self {
        Self { created_ns: now_ns, updated_ns: now_ns }
    }

    /// Of something changed now; time never goes back.
    pub(super) fn touched(self, now_ns: u64) -> Self {
        Self { created_ns: self.created_ns, updated_ns: now_ns.max(self.updated_ns) }
    }
}

#[cfg(test)]
mod tests {
    use VersionState::{Active, Pending, Retired};

    use super::*;

    fn versions(states: &[VersionState]) -> Vec<VersionEntry> {
        let version =
            |(number, state): (u32, &VersionState)| VersionEntry { number, tag: [0; 4], state: *state, source: Uuid::nil(), created_ns: 0 };
        (0..).zip(states).map(version).collect()
    }

    #[test]
    fn a_new_version_is_pending_has_the_next_number_and_changes_no_other() {
        let made = NewVersion { source: Uuid::from_u128(1), tag: [1, 2, 3, 4], now_ns: 5 };
        for before in [&[][..], &[Active], &[Retired, Active, Pending]] {
            let before = versions(before);
            let after = with_version(&before, made);
            let (new, old) = after.split_last().unwrap();
            assert_eq!(old, before);
            assert_eq!((new.number as usize, new.state, new.tag, new.source), (before.len(), Pending, made.tag, made.source));
        }
    }

    #[test]
    fn only_the_version_that_encrypts_wears_out_and_only_once() {
        assert!(wants_rotation(&versions(&[Retired, Active]), 1));
        for (states, version) in [(&[Active, Pending][..], 0), (&[Retired, Active], 0), (&[Pending], 0), (&[Active], 1), (&[], 0)] {
            assert!(!wants_rotation(&versions(states), version), "{states:?} {version}");
        }
    }

    #[test]
    fn stamps_never_go_back() {
        assert_eq!(Stamps::new(5).touched(3), Stamps { created_ns: 5, updated_ns: 5 });
        assert_eq!(Stamps::new(5).touched(9), Stamps { created_ns: 5, updated_ns: 9 });
    }
}
