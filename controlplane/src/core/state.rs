//! State rules, as pure functions.

use holdfast_proto::state::{VersionCommand, VersionState};
use uuid::Uuid;

use crate::store::entry::{Stamps, VersionEntry};

/// A version that can't be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPromoted {
    /// There is none of that number.
    #[error("there is no version {0}")]
    Unknown(u32),
    /// It is active or retired already.
    #[error("version {number} is {}", state.as_str())]
    State { number: u32, state: VersionState },
}

/// The versions with one more: active where it is the first, else pending.
pub(super) fn with_version(versions: &[VersionEntry], made: NewVersion) -> Vec<VersionEntry> {
    let number = versions.iter().map(|v| v.number + 1).max().unwrap_or(0);
    let state = if versions.is_empty() { VersionState::Active } else { VersionState::Pending };
    let version = VersionEntry { number, tag: made.tag, state, source: made.source, created_ns: made.now_ns };
    versions.iter().copied().chain([version]).collect()
}

/// What a new version is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewVersion {
    pub(super) source: Uuid,
    pub(super) tag: [u8; 4],
    pub(super) now_ns: u64,
}

/// The versions once `number` encrypts: what was active and what was pending before it retires.
pub(super) fn promoted(versions: &[VersionEntry], number: u32) -> Result<Vec<VersionEntry>, NotPromoted> {
    let version = versions.iter().find(|v| v.number == number).ok_or(NotPromoted::Unknown(number))?;
    let active = version.state.step(VersionCommand::Activate).ok_or(NotPromoted::State { number, state: version.state })?;
    let next = |v: &VersionEntry| {
        let state = match v.state {
            _ if v.number == number => active,
            // A pending version above this one waits for its own turn.
            VersionState::Pending if v.number > number => VersionState::Pending,
            VersionState::Pending | VersionState::Active | VersionState::Retired => {
                v.state.step(VersionCommand::Retire).unwrap_or(v.state)
            }
        };
        VersionEntry { state, ..*v }
    };
    Ok(versions.iter().map(next).collect())
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
            |(number, state): (usize, &VersionState)| VersionEntry { number: number as u32, tag: [0; 4], state: *state, source: Uuid::nil(), created_ns: 0 };
        states.iter().enumerate().map(version).collect()
    }

    fn states(versions: &[VersionEntry]) -> Vec<VersionState> {
        versions.iter().map(|v| v.state).collect()
    }

    #[test]
    fn promotion_retires_what_was_before_and_leaves_what_comes_after() {
        let table = [
            (&[Active, Pending][..], 1, Ok(vec![Retired, Active])),
            (&[Retired, Active, Pending, Pending], 3, Ok(vec![Retired, Retired, Retired, Active])),
            (&[Active, Pending, Pending], 1, Ok(vec![Retired, Active, Pending])),
            (&[Active, Pending], 0, Err(NotPromoted::State { number: 0, state: Active })),
            (&[Retired, Active], 0, Err(NotPromoted::State { number: 0, state: Retired })),
            (&[Active], 1, Err(NotPromoted::Unknown(1))),
        ];
        for (before, number, after) in table {
            assert_eq!(promoted(&versions(before), number).map(|v| states(&v)), after, "{before:?} {number}");
        }
    }

    #[test]
    fn in_no_reachable_state_are_two_versions_active() {
        let made = NewVersion { source: Uuid::nil(), tag: [0; 4], now_ns: 0 };
        let mut reached = vec![with_version(&[], made)];
        for _ in 0..4 {
            let mut next = Vec::new();
            for state in &reached {
                next.push(with_version(state, made));
                next.extend((0..4).filter_map(|number| promoted(state, number).ok()));
            }
            for state in &next {
                assert_eq!(state.iter().filter(|v| v.state == Active).count(), 1, "{state:?}");
                assert!(state.iter().enumerate().all(|(at, v)| v.number as usize == at));
            }
            reached.extend(next);
        }
    }

    #[test]
    fn stamps_never_go_back() {
        assert_eq!(Stamps::new(5).touched(3), Stamps { created_ns: 5, updated_ns: 5 });
        assert_eq!(Stamps::new(5).touched(9), Stamps { created_ns: 5, updated_ns: 9 });
    }
}
