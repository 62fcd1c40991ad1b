//! What happens to keys by the clock alone: material expires, keys rotate and go, passing states end.
//!
//! Always holds: it runs before each call looks at keys, so that nobody sees a key that is overdue; without anything due it changes
//! nothing and writes nothing.

use super::rotation;
use crate::{
    error::AwsException,
    shared::Shared,
    state::{Deletion, Key, KeyState, Origin, Role, State},
};

/// Lets everything happen that is due now.
///
/// # Errors
/// As [`Shared::change`].
pub(crate) fn settle(shared: &Shared) -> Result<(), AwsException> {
    let now_ms = shared.clock.now_ms();
    if !shared.look(|state| due(state, now_ms)) {
        return Ok(());
    }
    shared.change(|state| {
        // Once more when a replica that went began the period of its primary key, which may be over, too.
        while due(state, now_ms) {
            state.regions.values_mut().flat_map(|region| region.keys.values_mut()).for_each(|key| settle_key(key, now_ms));
            rotation::rotate_due(state, now_ms)?;
            bury(state, now_ms);
        }
        Ok(())
    })
}

/// Sets the state that imported material leaves a key in: usable if none is missing that was ever current.
pub(super) fn judge_material(key: &mut Key) {
    if key.origin != Origin::External {
        return;
    }
    let whole = key.current().is_some() && key.materials.iter().all(|kept| kept.material.is_some() || !kept.state.was_current());
    match (key.state, whole) {
        (KeyState::PendingImport, true) => key.state = KeyState::Enabled,
        (KeyState::Enabled | KeyState::Disabled, false) => key.state = KeyState::PendingImport,
        (
            KeyState::PendingImport
            | KeyState::Enabled
            | KeyState::Disabled
            | KeyState::Creating
            | KeyState::PendingDeletion
            | KeyState::PendingReplicaDeletion
            | KeyState::Unavailable
            | KeyState::Updating,
            _,
        ) => {}
    }
}

fn due(state: &State, now_ms: i64) -> bool {
    state.regions.values().flat_map(|region| region.keys.values()).any(|key| {
        let times = [
            key.next.map(|next| next.at_ms),
            key.deletion.and_then(|deletion| deletion.at_ms),
            key.rotation.filter(|_| rotation::rotates_now(key)).map(|rotation| rotation.next_ms),
            key.materials.iter().filter(|kept| kept.material.is_some()).filter_map(|kept| kept.expires_ms).min(),
        ];
        times.into_iter().flatten().any(|at_ms| at_ms <= now_ms)
    })
}

fn settle_key(key: &mut Key, now_ms: i64) {
    if let Some(next) = key.next.filter(|next| next.at_ms <= now_ms) {
        key.state = next.state;
        key.role = Some(next.role);
        key.next = None;
    }
    for kept in &mut key.materials {
        if kept.expires_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            kept.material = None;
        }
    }
    judge_material(key);
}

/// Removes what is overdue, and starts the waiting period of a primary key whose last replica went.
fn bury(state: &mut State, now_ms: i64) {
    let mut last_gone_ms: Vec<(String, i64)> = Vec::new();
    for region in state.regions.values_mut() {
        region.keys.retain(|id, key| {
            let over = key.deletion.and_then(|deletion| deletion.at_ms).filter(|at_ms| *at_ms <= now_ms);
            if let (Some(at_ms), Some(Role::Replica)) = (over, key.role) {
                last_gone_ms.push((id.clone(), at_ms));
            }
            over.is_none()
        });
        region.aliases.retain(|_, alias| region.keys.contains_key(&alias.target));
    }
    for (id, gone_ms) in last_gone_ms {
        let replicas = state.regions.values().filter_map(|region| region.keys.get(&id)).filter(|key| key.role == Some(Role::Replica));
        if replicas.count() > 0 {
            continue;
        }
        for key in state.regions.values_mut().filter_map(|region| region.keys.get_mut(&id)) {
            if let (KeyState::PendingReplicaDeletion, Some(deletion)) = (key.state, key.deletion) {
                key.state = KeyState::PendingDeletion;
                key.deletion = Some(Deletion { at_ms: Some(gone_ms.saturating_add(deletion.days.saturating_mul(DAY_MS))), ..deletion });
            }
        }
    }
}

/// A day.
pub(super) const DAY_MS: i64 = 86_400_000;
