//! State rules, as pure functions: what may be done to a HYOK key, to a virtual key and to versions, in which state (the API's contract,
//! §17). Promotion is in `publish`, which knows what the nodes have.

use holdfast_proto::state::VersionState;
use uuid::Uuid;

use crate::store::entry::{Stamps, Tier, VersionEntry, VirtualKeyEntry};

/// Whether a key store or a HYOK key has its counterpart in AWS KMS, kept by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has none.
    Unlinked,
    /// It has one.
    Linked,
}

/// What is asked of a HYOK key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCommand {
    Block,
    Unblock,
    Rotate,
    Delete,
}

/// What is asked of a virtual key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VirtualKeyCommand {
    /// Let it be deleted, or no longer.
    SetDeletable,
    /// Let it back a HYOK key.
    Back,
    Delete,
}

/// Why a virtual key is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum VirtualKeyRefusal {
    /// It is silent, so there is none to whoever asks.
    #[error("virtual key not found")]
    Hidden,
    /// One virtual key backs one HYOK key.
    #[error("the virtual key backs a HYOK key")]
    Backs,
    /// Nobody allowed it.
    #[error("the virtual key is not deletable; make it deletable first")]
    Undeletable,
}

/// What a new version is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewVersion {
    pub(super) source: Uuid,
    pub(super) tag: [u8; 4],
    pub(super) now_ns: u64,
}

/// Whether a key may be made so in such a key store; else why not.
pub(super) const fn new_hyok_key(store: Link, key: Link) -> Result<(), &'static str> {
    match (store, key) {
        // In a linked store, what its link completes later.
        (Link::Unlinked | Link::Linked, Link::Unlinked) | (Link::Linked, Link::Linked) => Ok(()),
        (Link::Unlinked, Link::Linked) => Err("a linked key needs a key store that is linked, and this one is not; create it unlinked"),
    }
}

/// Whether that may be done to a HYOK key; else why not.
pub(super) const fn hyok_key(now: Link, command: KeyCommand) -> Result<(), &'static str> {
    match (now, command) {
        (Link::Unlinked | Link::Linked, KeyCommand::Block | KeyCommand::Unblock | KeyCommand::Rotate)
        | (Link::Unlinked, KeyCommand::Delete) => Ok(()),
        (Link::Linked, KeyCommand::Delete) => {
            Err("a linked key is not deleted here: schedule its deletion in AWS (schedule-deletion, `holdfast aws-key delete`)")
        }
    }
}

/// Whether that may be done to a virtual key.
pub(super) const fn virtual_key(now: &VirtualKeyEntry, command: VirtualKeyCommand) -> Result<(), VirtualKeyRefusal> {
    match (now.silent, now.backs.is_some(), now.deletable, command) {
        (true, _, _, VirtualKeyCommand::SetDeletable | VirtualKeyCommand::Back | VirtualKeyCommand::Delete) => {
            Err(VirtualKeyRefusal::Hidden)
        }
        (false, true, _, VirtualKeyCommand::Back | VirtualKeyCommand::Delete) => Err(VirtualKeyRefusal::Backs),
        (false, false, false, VirtualKeyCommand::Delete) => Err(VirtualKeyRefusal::Undeletable),
        (false, _, _, VirtualKeyCommand::SetDeletable)
        | (false, false, _, VirtualKeyCommand::Back)
        | (false, false, true, VirtualKeyCommand::Delete) => Ok(()),
    }
}

/// Whether a tier as clients spell it is the one that it is; nothing sent fits each. `luna-hsm` and `hsm-luna` are any partition group.
pub(super) fn tier_fits(tier: &Tier, sent: Option<&str>) -> bool {
    match (tier, sent) {
        (Tier::Local | Tier::Partition(_), None) | (Tier::Local, Some("local")) | (Tier::Partition(_), Some("luna-hsm" | "hsm-luna")) => {
            true
        }
        (Tier::Local | Tier::Partition(_), Some(_)) => false,
    }
}

/// The versions with one more, which is pending: also the first, since one node may have the key before another.
pub(super) fn with_version(versions: &[VersionEntry], made: NewVersion) -> Vec<VersionEntry> {
    let number = versions.iter().map(|v| v.number + 1).max().unwrap_or(0);
    let version = VersionEntry { number, tag: made.tag, state: VersionState::Pending, source: made.source, created_ns: made.now_ns };
    versions.iter().copied().chain([version]).collect()
}

/// The versions of a virtual key that is to back a HYOK key from now on. Under a key that no node has yet none may encrypt until all nodes
/// have it, so one that encrypted for an earlier key waits again.
pub(super) fn backed_anew(versions: &[VersionEntry]) -> Vec<VersionEntry> {
    let anew = |version: &VersionEntry| {
        let state = match version.state {
            VersionState::Active | VersionState::Pending => VersionState::Pending,
            VersionState::Retired => VersionState::Retired,
        };
        VersionEntry { state, ..*version }
    };
    versions.iter().map(anew).collect()
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
    use holdfast_proto::ids::{KeyId, StoreId};

    use super::*;
    use crate::store::entry::KeyPlaceEntry;

    fn versions(states: &[VersionState]) -> Vec<VersionEntry> {
        let version =
            |(number, state): (u32, &VersionState)| VersionEntry { number, tag: [0; 4], state: *state, source: Uuid::nil(), created_ns: 0 };
        (0..).zip(states).map(version).collect()
    }

    #[test]
    fn a_linked_key_needs_a_linked_store() {
        use Link::{Linked, Unlinked};
        for (store, key, allowed) in
            [(Unlinked, Unlinked, true), (Linked, Unlinked, true), (Unlinked, Linked, false), (Linked, Linked, true)]
        {
            assert_eq!(new_hyok_key(store, key).is_ok(), allowed, "{store:?} {key:?}");
        }
    }

    #[test]
    fn all_is_allowed_with_a_key_but_to_delete_a_linked_one() {
        use KeyCommand::{Block, Delete, Rotate, Unblock};
        for now in [Link::Unlinked, Link::Linked] {
            for command in [Block, Unblock, Rotate, Delete] {
                assert_eq!(hyok_key(now, command).is_ok(), (now, command) != (Link::Linked, Delete), "{now:?} {command:?}");
            }
        }
    }

    #[test]
    fn a_virtual_key_backs_one_key_at_most_and_goes_only_when_it_backs_none_and_may_go() {
        use VirtualKeyCommand::{Back, Delete, SetDeletable};
        use VirtualKeyRefusal::{Backs, Hidden, Undeletable};
        let place = KeyPlaceEntry { key: KeyId(Uuid::nil()), store: StoreId(Uuid::nil()) };
        let table = [
            // Silent, backs, deletable; to set deletable, to back, to delete.
            ((false, false, false), [Ok(()), Ok(()), Err(Undeletable)]),
            ((false, false, true), [Ok(()), Ok(()), Ok(())]),
            ((false, true, false), [Ok(()), Err(Backs), Err(Backs)]),
            ((false, true, true), [Ok(()), Err(Backs), Err(Backs)]),
            ((true, false, false), [Err(Hidden); 3]),
            ((true, false, true), [Err(Hidden); 3]),
            ((true, true, false), [Err(Hidden); 3]),
            ((true, true, true), [Err(Hidden); 3]),
        ];
        for ((silent, backs, deletable), answers) in table {
            let key = VirtualKeyEntry::silent(Uuid::nil(), backs.then_some(place), Stamps::default());
            let key = VirtualKeyEntry { silent, deletable, ..key };
            let told = [SetDeletable, Back, Delete].map(|command| virtual_key(&key, command));
            assert_eq!(told, answers, "{silent} {backs} {deletable}");
        }
    }

    #[test]
    fn a_tier_is_told_by_both_of_its_spellings_or_not_at_all() {
        let (local, group) = (Tier::Local, Tier::Partition("blue".into()));
        let table = [(None, true, true), (Some("local"), true, false), (Some("luna-hsm"), false, true), (Some("hsm-luna"), false, true)];
        for (sent, fits_local, fits_group) in table {
            assert_eq!((tier_fits(&local, sent), tier_fits(&group, sent)), (fits_local, fits_group), "{sent:?}");
        }
        for odd in ["", "blue", "Local"] {
            assert!(!tier_fits(&local, Some(odd)) && !tier_fits(&group, Some(odd)), "{odd}");
        }
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
    fn under_a_new_key_nothing_encrypts_before_all_nodes_have_it_and_what_is_retired_stays_so() {
        assert_eq!(backed_anew(&versions(&[Retired, Active, Pending])), versions(&[Retired, Pending, Pending]));
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
