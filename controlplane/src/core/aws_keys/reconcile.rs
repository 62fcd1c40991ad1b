//! Keeps keys in step with AWS: finishes what a crash or a failure left, and follows what AWS does by itself.
//!
//! Always holds: it takes no input, and reads what there is afresh each time; it never works on a key that someone works on, and on a few at
//! once, so that one for which AWS hangs keeps no other waiting; what fails is tried again, later each time.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    describe::put_told,
    pace::{LONGEST_PAUSE, Pace},
    steps::may_come,
};
use crate::{
    access::Trail,
    clock::now_ns,
    core::{Core, CoreError, at_work::Turn},
    store::entry::KeyStep,
};

impl Core {
    /// Keeps finishing and following keys in AWS.
    pub(crate) async fn keep_following_aws_keys(self: Arc<Self>) {
        let (mut pace, mut looks) = (Pace::default(), JoinSet::new());
        let (mut due, mut next, mut afresh) = (VecDeque::new(), Instant::now(), true);
        loop {
            if afresh {
                (due, next) = match self.due_keys(&mut pace).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "keys in AWS were not looked at; tried again later");
                        (VecDeque::new(), Instant::now() + LONGEST_PAUSE)
                    }
                };
            }
            while looks.len() < LOOKS_AT_ONCE
                && let Some(id) = due.pop_front()
            {
                self.begin_look(id, (&mut pace, &mut looks));
            }
            afresh = tokio::select! {
                () = self.keys_at_work.left() => true,
                Some(ended) = looks.join_next_with_id() => {
                    let task = ended.map_or_else(|broken| broken.id(), |(task, ())| task);
                    pace.tried(task, Instant::now());
                    // Something may have been waiting for it.
                    due.is_empty()
                }
                () = tokio::time::sleep_until(next.into()) => true,
            };
        }
    }

    /// The keys whose time has come, and when that of the next one comes.
    async fn due_keys(&self, pace: &mut Pace) -> Result<(VecDeque<Uuid>, Instant), CoreError> {
        let (keys, key_stores) = {
            let view = self.view().await?;
            (view.aws_keys()?, view.aws_key_stores()?)
        };
        let begun = keys.iter().filter(|key| key.doing.is_some()).map(|key| key.stamps.updated_ns);
        tell_of_begun("key", begun);
        let begun = key_stores.iter().filter(|store| store.doing.is_some()).map(|store| store.stamps.updated_ns);
        tell_of_begun("key-store", begun);
        Ok(pace.due((&keys, &self.keys_at_work.asked()), Instant::now()))
    }

    fn begin_look(self: &Arc<Self>, id: Uuid, (pace, looks): (&mut Pace, &mut JoinSet<()>)) {
        // Whoever works on it finishes it, or tells that it is left.
        let Some(turn) = self.keys_at_work.try_turn(id) else {
            pace.put_off(id, Instant::now());
            return;
        };
        let asked = self.keys_at_work.look_begun(id);
        let core = Arc::clone(self);
        let look = looks.spawn(async move {
            let Err(error) = core.take_up(id, turn).await else { return };
            tracing::warn!(error = &error as &dyn std::error::Error, key = %id, "a key is not in step with AWS; tried again later");
            if asked && may_come(&error) {
                core.keys_at_work.ask_to_look(id);
            }
            if let Err(error) = core.stands_still(&trail(), id, &error).await {
                tracing::warn!(error = &error as &dyn std::error::Error, key = %id, "why a step stands still was not written down");
            }
        });
        pace.begun(id, look.id());
    }

    pub(super) async fn take_up(&self, id: Uuid, turn: Turn) -> Result<(), CoreError> {
        let trail = trail();
        let Some(entry) = self.view().await?.aws_key(id)? else {
            turn.done();
            return Ok(());
        };
        let taken = match (&entry.doing, &entry.told) {
            (Some(KeyStep::Create | KeyStep::Link), _) | (Some(KeyStep::Import(_)), None) => {
                // It ends its turn itself.
                return self.finish_creation(&trail, id, turn).await;
            }
            (Some(KeyStep::SetPolicy { policy, bypass_lockout_check }), _) => {
                let put = self.put_policy(&trail, id, (policy, *bypass_lockout_check)).await;
                self.taken_up(&trail, id, put).await
            }
            // Of a key that is replaced the aliases went with it.
            (Some(KeyStep::Change | KeyStep::Rotate { .. }), _) if entry.gone => {
                self.keep_told(&trail, id, &|entry| (entry.doing, entry.failure) = (None, None)).await.map(drop)
            }
            (Some(KeyStep::Change), _) => {
                let looked = self.look_again(&trail, id).await;
                self.taken_up(&trail, id, looked).await
            }
            (Some(KeyStep::Import(_)), Some(_)) => self.take_up_import(&trail, id).await,
            (Some(KeyStep::Rotate { .. }), _) => self.take_up_rotation(&trail, id).await,
            (None, _) => self.look_with_set(&trail, id, &put_told).await.map(drop),
        };
        // What is left is looked at when its time has come again.
        turn.done();
        taken
    }
}

fn trail() -> Trail {
    Trail::system("keys in AWS")
}

/// How many steps were begun in AWS and are not known to be done, and for how long the oldest of them was.
fn tell_of_begun(object: &'static str, begun_ns: impl Iterator<Item = u64>) {
    let now_ns = now_ns();
    let (count, oldest) = begun_ns.fold((0_u32, 0), |(count, oldest), at_ns| (count + 1, now_ns.saturating_sub(at_ns).max(oldest)));
    metrics::gauge!("holdfast_aws_steps_begun", "object" => object).set(count);
    metrics::gauge!("holdfast_aws_oldest_step_seconds", "object" => object).set(Duration::from_nanos(oldest).as_secs_f64());
}

/// As many as AWS is asked about at once: its limits are for all that asks it in an account.
const LOOKS_AT_ONCE: usize = 8;
