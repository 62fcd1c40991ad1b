//! Who works on which object in AWS: one at a time for each, be it a call or the task that finishes what was left.
//!
//! Always holds: a turn that ends without its work being done, because it failed or its call was given up, is told to whoever waits in
//! [`AtWork::left`], who looks at what there is to finish; so is one of an object that someone asked to have looked at meanwhile.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, OwnedMutexGuard};
use uuid::Uuid;

/// The objects that are worked on.
#[derive(Debug, Default)]
pub(super) struct AtWork {
    objects: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>,
    left: Arc<Notify>,
    /// Those that someone asked to have looked at.
    asked: Arc<Mutex<BTreeSet<Uuid>>>,
}

/// The right to work on an object.
#[derive(Debug)]
pub(super) struct Turn {
    id: Uuid,
    held: Option<OwnedMutexGuard<()>>,
    objects: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>,
    left: Arc<Notify>,
    asked: Arc<Mutex<BTreeSet<Uuid>>>,
    done: bool,
}

impl AtWork {
    /// Waits until nobody else works on the object.
    pub(super) async fn turn(&self, id: Uuid) -> Turn {
        let held = self.object(id).lock_owned().await;
        self.made(id, held)
    }

    /// The right to work on the object, if nobody else does.
    pub(super) fn try_turn(&self, id: Uuid) -> Option<Turn> {
        let held = self.object(id).try_lock_owned().ok()?;
        Some(self.made(id, held))
    }

    /// Waits until work was left undone.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// There is something to look at.
    pub(super) fn nudge(&self) {
        self.left.notify_one();
    }

    /// Asks whoever waits in [`AtWork::left`] to look at an object as soon as nobody works on it.
    pub(super) fn ask_to_look(&self, id: Uuid) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.left.notify_one();
    }

    /// The objects that someone asked to have looked at, until their look is begun by [`AtWork::look_begun`].
    pub(super) fn asked(&self) -> BTreeSet<Uuid> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked for up to now is done with the look that begins; whether anyone asked.
    pub(super) fn look_begun(&self, id: Uuid) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    fn object(&self, id: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.objects.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
    }

    fn made(&self, id: Uuid, held: OwnedMutexGuard<()>) -> Turn {
        let (objects, left, asked) = (Arc::clone(&self.objects), Arc::clone(&self.left), Arc::clone(&self.asked));
        Turn { id, held: Some(held), objects, left, asked, done: false }
    }
}

impl Turn {
    /// Nothing is left to do.
    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.held.take());
        // None waits for it, as whoever does has a share in it.
        if objects.get(&self.id).is_some_and(|object| Arc::strong_count(object) == 1) {
            objects.remove(&self.id);
        }
        drop(objects);
        if !self.done || self.asked.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.id) {
            self.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_works_on_an_object_at_a_time_and_none_is_remembered_after() {
        let (work, id) = (Arc::new(AtWork::default()), Uuid::from_u128(1));
        let turn = work.turn(id).await;
        assert!(work.try_turn(id).is_none());
        work.try_turn(Uuid::from_u128(2)).unwrap().done();
        let next = tokio::spawn({
            let work = Arc::clone(&work);
            async move { work.turn(id).await.done() }
        });
        turn.done();
        next.await.unwrap();
        assert!(work.objects.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn work_that_is_given_up_is_told_of_and_work_that_is_done_is_not() {
        let work = AtWork::default();
        work.turn(Uuid::nil()).await.done();
        let told = tokio::select! { biased; () = work.left() => true, () = std::future::ready(()) => false };
        assert!(!told);
        drop(work.turn(Uuid::nil()).await);
        work.left().await;
    }

    #[tokio::test]
    async fn whoever_asks_for_a_look_at_what_is_worked_on_is_heard_when_that_is_over() {
        let (work, id) = (AtWork::default(), Uuid::nil());
        let turn = work.turn(id).await;
        work.ask_to_look(id);
        work.left().await;
        turn.done();
        work.left().await;
        assert_eq!(work.asked(), BTreeSet::from([id]));
        assert!(work.look_begun(id) && !work.look_begun(id));
        work.turn(id).await.done();
        let told = tokio::select! { biased; () = work.left() => true, () = std::future::ready(()) => false };
        assert!(work.asked().is_empty() && !told);
    }
}
