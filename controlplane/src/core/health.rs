//! Health of key stores, as anyone may ask for it: the health key works on a data plane that serves it.
//!
//! Always holds: nobody can have the data planes work by asking: a key store is looked at twice a second at most by this process, which
//! is the *node* of the API's contract (§7.5).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use holdfast_proto::ids::StoreId;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Core, CoreError,
    key_stores::{self, Operation, allowed, standing},
};
use crate::{
    publish::{Done, KeyTask, TaskError, Work},
    store::entry::Tier,
};

/// When each key store was looked at lately.
#[derive(Debug, Default)]
pub(super) struct HealthChecks(Mutex<HashMap<StoreId, [Option<Instant>; AT_ONCE]>>);

impl Core {
    /// Uses the health key of a key store, by id or name. Needs no permit: it tells nothing else.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::TooMany`] above two a second; [`CoreError::State`] while it is blocked; those of asking a
    /// data plane.
    pub async fn check_health(&self, wanted: &str) -> Result<(), CoreError> {
        let (key_store, source) = {
            let view = self.view().await?;
            let key_store = key_stores::find(&view, wanted)?;
            allowed(Operation::CheckHealth, standing(&view, &key_store)?)?;
            let source = view.source_key(key_store.health_key)?.ok_or(CoreError::NotFound("health key"))?;
            (key_store, source)
        };
        if !self.health_checks.admit(key_store.id, Instant::now()) {
            return Err(CoreError::TooMany("the health of a key store is checked twice a second at most"));
        }
        let target = match key_store.tier {
            Tier::Local => "local".to_owned(),
            Tier::Partition(group) => group,
        };
        let task = KeyTask { id: Uuid::new_v4(), target, deadline: DEADLINE, work: Work::HealthCiphertext(source.key) };
        match self.publisher.run(task).await? {
            Done::HealthCiphertext(_) => Ok(()),
            Done::Generated(_) | Done::Attributes(_) | Done::Listed(_) | Done::Resealed(_) | Done::Wrapped(_) => {
                Err(TaskError::Malformed.into())
            }
        }
    }
}

impl HealthChecks {
    /// Whether one more look is allowed now; then it counts.
    fn admit(&self, store: StoreId, now: Instant) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.len() >= MOST_REMEMBERED {
            lately.retain(|_, looks| looks.iter().flatten().any(|at| now.saturating_duration_since(*at) < WINDOW));
        }
        let looks = lately.entry(store).or_default();
        let free = looks.iter_mut().find(|look| look.is_none_or(|at| now.saturating_duration_since(at) >= WINDOW));
        free.map(|look| *look = Some(now)).is_some()
    }
}

/// The API's contract, §7.5: two a second.
const AT_ONCE: usize = 2;
const WINDOW: Duration = Duration::from_secs(1);
/// Key stores whose last look is remembered before old ones are forgotten.
const MOST_REMEMBERED: usize = 1_024;
const DEADLINE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_store_is_looked_at_twice_a_second_and_no_other_pays_for_that() {
        let (checks, begin) = (HealthChecks::default(), Instant::now());
        let store = |n| StoreId(Uuid::from_u128(n));
        let at = |millis| begin + Duration::from_millis(millis);
        let told = [0, 400, 500, 999, 1_000, 1_399, 1_400, 1_500].map(|millis| checks.admit(store(1), at(millis)));
        assert_eq!(told, [true, true, false, false, true, false, true, false]);
        assert!(checks.admit(store(2), at(1_500)));
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let (checks, begin) = (HealthChecks::default(), Instant::now());
        for n in 0..10_000 {
            assert!(checks.admit(StoreId(Uuid::from_u128(n)), begin + Duration::from_secs(n as u64)));
        }
        assert!(checks.0.lock().unwrap().len() <= MOST_REMEMBERED);
    }
}
