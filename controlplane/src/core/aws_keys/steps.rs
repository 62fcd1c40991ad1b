//! How something is done to a key that AWS has: the step is committed, AWS is asked, what it tells then is committed.
//!
//! Always holds: the caller has the key's turn; where AWS refused, the entry is as it was but for the reason; where AWS may have done it,
//! the step stays for [`Core::keep_following_aws_keys`]. A step that AWS refuses to let be finished stays, too, and says why: whoever has
//! read that may have it given up.

use aws_sdk_kms::Client;
use uuid::Uuid;

use super::{
    NOT_FOUND, OUR_TAG,
    describe::{kept, put_told},
    in_aws,
    source::{with_source, without_source},
};
use crate::{
    access::Trail,
    aws::{AwsError, AwsFault},
    clock::{elapsed_since, now_ns},
    core::{Core, CoreError, asked::is_old, at_work::Turn, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, Entry, EntryChange, EntryName, KeyInAws, KeyStep, SourceKeyEntry},
    },
};

impl Core {
    /// Has AWS do something to a key that is told of by DescribeKey and the like, if `check` has nothing against it.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State`; what `check` says; `Aws`.
    pub(super) async fn change_in_aws<F>(
        &self,
        trail: &Trail,
        id: Uuid,
        (check, act): (impl Fn(&AwsKeyEntry) -> Result<(), CoreError> + Send + Sync, impl FnOnce(Client, KeyInAws) -> F + Send),
    ) -> Result<(), CoreError>
    where
        F: Future<Output = Result<(), AwsError>> + Send,
    {
        let turn = self.keys_at_work.turn(id).await;
        let (kms, told) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            check(&entry)?;
            (self.kms_of(&view, &entry)?, told)
        };
        self.begin(trail, id, &KeyStep::Change).await?;
        let done = act(kms, told).await;
        self.changed(trail, (id, turn), done).await
    }

    /// Commits a step, where none is under way.
    pub(super) async fn begin(&self, trail: &Trail, id: Uuid, step: &KeyStep) -> Result<(), CoreError> {
        self.begin_with(trail, id, (step, None)).await
    }

    /// Commits a step, where none is under way, together with a source key that was made for it.
    pub(super) async fn begin_with(
        &self,
        trail: &Trail,
        id: Uuid,
        (step, made): (&KeyStep, Option<&SourceKeyEntry>),
    ) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let mut entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
            idle(&entry)?;
            entry.doing = Some(step.clone());
            // Of what was begun before.
            entry.failure = None;
            entry.stamps = entry.stamps.touched(now_ns());
            let made = made.map(|source| with_source(view, source)).transpose()?;
            let changes = made.into_iter().chain([EntryChange::put(Entry::AwsKey(Box::new(entry)))]).collect();
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(trail, plan).await.map(drop)
    }

    /// Ends [`KeyStep::Change`]: looks what became of it.
    pub(super) async fn changed(&self, trail: &Trail, (id, turn): (Uuid, Turn), done: Result<(), AwsError>) -> Result<(), CoreError> {
        let done = match done {
            Ok(()) => self.look_again(trail, id).await,
            Err(error) => Err(error.into()),
        };
        self.ended(trail, (id, turn), done).await
    }

    /// Ends a step that is done, or one that AWS refused; leaves one that AWS may have done.
    pub(super) async fn ended(&self, trail: &Trail, (id, turn): (Uuid, Turn), done: Result<(), CoreError>) -> Result<(), CoreError> {
        match done {
            Ok(()) => {
                turn.done();
                Ok(())
            }
            Err(error) if may_be_done(&error) => Err(error),
            Err(error) => {
                self.give_up(trail, id, &error).await?;
                turn.done();
                Err(error)
            }
        }
    }

    /// Ends a step that is not done, for this reason. A source key that was made for it goes with it.
    pub(super) async fn give_up(&self, trail: &Trail, id: Uuid, why: &CoreError) -> Result<(), CoreError> {
        self.writer.change(trail, |view: &View| given_up(view, id, why)).await.map(drop)
    }

    /// Ends a step that was left, once it is done or can't be any more.
    ///
    /// # Errors
    /// Where it is to be tried again.
    pub(super) async fn taken_up(&self, trail: &Trail, id: Uuid, done: Result<(), CoreError>) -> Result<(), CoreError> {
        match done {
            Err(error) if may_come(&error) => Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, key = %id, "what was begun with a key in AWS can't be finished");
                self.give_up(trail, id, &error).await
            }
            Ok(()) => Ok(()),
        }
    }

    /// Says of a step that is tried again why it can't be finished, and what may be done about it: where AWS refuses it, or has not done it for
    /// long. For the first time alone: AWS gives each answer another number.
    pub(super) async fn stands_still(&self, trail: &Trail, id: Uuid, why: &CoreError) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = view.aws_key(id)?.filter(|entry| entry.failure.is_none());
            let stands = entry.filter(|entry| is_refused(why) || is_old(entry.stamps.updated_ns));
            let told = stands.and_then(|entry| Some((left_by(&entry)?, entry)));
            // When it was begun stays known.
            let told = told.map(|(left, entry)| AwsKeyEntry { failure: Some(format!("{why}; it is tried again. {left}")), ..entry });
            Ok(Plan { changes: told.map(|entry| EntryChange::put(Entry::AwsKey(Box::new(entry)))).into_iter().collect(), answer: () })
        };
        self.writer.change(trail, plan).await.map(drop)
    }

    /// Gives up a step that can't be finished. Nothing is taken back: what AWS has of it stays there, a HYOK key is not linked, and source
    /// keys stay. Whether something is known of it in AWS still. The caller has the key's turn.
    pub(super) async fn leave_step(&self, trail: &Trail, id: Uuid) -> Result<bool, CoreError> {
        tracing::warn!(key = %id, "what was begun with a key in AWS is given up as it was asked for");
        let plan = |view: &View| {
            let entry = view.aws_key(id)?.filter(stands).ok_or(NOT_FOUND)?;
            let known = entry.told.is_some();
            let change = if known {
                let failure = entry.failure.as_ref().map(|why| format!("given up: {why}"));
                EntryChange::put(Entry::AwsKey(Box::new(AwsKeyEntry {
                    doing: None,
                    failure,
                    stamps: entry.stamps.touched(now_ns()),
                    ..entry
                })))
            } else {
                EntryChange::Delete(EntryName::AwsKey(id))
            };
            Ok(Plan { changes: vec![change], answer: known })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }

    /// Whether what AWS is not seen to have done for a key by now it will not do.
    pub(super) fn is_settled(&self, entry: &AwsKeyEntry) -> bool {
        self.is_quiet_since(self.keys_asked.last(entry.id, entry.stamps.updated_ns))
    }

    /// Whether AWS may be doing for a key what it was asked before and has not answered.
    pub(super) fn may_be_under_way(&self, entry: &AwsKeyEntry) -> bool {
        self.keys_asked.unanswered(entry.id, entry.stamps.updated_ns).is_some_and(|at_ns| !self.is_quiet_since(at_ns))
    }

    fn is_quiet_since(&self, at_ns: u64) -> bool {
        elapsed_since(at_ns) >= self.aws.settled_after()
    }

    /// Ends [`KeyStep::Change`] as AWS has it.
    pub(super) async fn look_again(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        self.look_with_set(trail, id, &undone).await.map(drop)
    }
}

fn given_up(view: &View, id: Uuid, why: &CoreError) -> Result<Plan<()>, CoreError> {
    let before = view.aws_key(id)?.ok_or(NOT_FOUND)?;
    let mut after = AwsKeyEntry { failure: Some(why.to_string()), ..before.clone() };
    let left = after.doing.take();
    let Plan { mut changes, .. } = kept(&before, after.clone());
    match left {
        Some(KeyStep::Import(import)) => changes.extend(without_source(view, &import.from, (id, Some(&after)))?),
        Some(KeyStep::Create | KeyStep::Link | KeyStep::Change | KeyStep::SetPolicy { .. } | KeyStep::Rotate { .. }) | None => {}
    }
    Ok(Plan { changes, answer: () })
}

/// Whether what was begun with a key can't be finished, as was said.
pub(super) const fn stands(entry: &AwsKeyEntry) -> bool {
    entry.doing.is_some() && entry.failure.is_some()
}

/// What is left where a step is given up, for people; none: there is none.
fn left_by(entry: &AwsKeyEntry) -> Option<String> {
    let id = entry.id;
    Some(match (entry.doing.as_ref()?, &entry.told) {
        (KeyStep::Rotate { successor, .. }, _) => {
            format!("Deleting the key here gives the rotation up: the new key {successor} stays, with the aliases that it has by then")
        }
        (_, None) => {
            format!("Deleting the key here gives it up: AWS may have made a key with the tag {OUR_TAG} = {id}, which stays there")
        }
        (_, Some(_)) => "Deleting the key here gives it up: the key stays as AWS has it".into(),
    })
}

/// Nothing but what AWS, or whoever is in charge, has to allow keeps it from being done.
pub(super) const fn is_refused(error: &CoreError) -> bool {
    !error.may_pass() && !may_be_done(error)
}

/// Refuses to begin something while something else is under way.
pub(super) fn idle(entry: &AwsKeyEntry) -> Result<(), CoreError> {
    if stands(entry) {
        let why = entry.failure.as_deref().unwrap_or_default();
        return Err(CoreError::State(format!("what was begun with the key in AWS can't be finished: {why}")));
    }
    if entry.doing.is_some() {
        let text = "something else was begun with the key in AWS and is not known to be done yet; try again";
        return Err(CoreError::State(text.into()));
    }
    Ok(())
}

/// What failed is worth another try: it may pass or be done, or someone may give the connection credentials that it lacks.
pub(super) const fn may_come(error: &CoreError) -> bool {
    matches!(error, CoreError::Aws(AwsError { fault: AwsFault::Credentials, .. })) || error.may_pass() || may_be_done(error)
}

/// Nothing is under way any more, and this is what AWS tells.
pub(super) fn undone(entry: &mut AwsKeyEntry, told: Option<&KeyInAws>) {
    put_told(entry, told);
    entry.doing = None;
    entry.failure = None;
}

/// AWS, or the store here, may have done what is told to have failed.
pub(super) const fn may_be_done(error: &CoreError) -> bool {
    match error {
        CoreError::Aws(error) => error.may_be_done(),
        CoreError::Read(_) | CoreError::Commit(_) => true,
        CoreError::NotFound(_)
        | CoreError::Exists { .. }
        | CoreError::Invalid { .. }
        | CoreError::State(_)
        | CoreError::TooMany(_)
        | CoreError::Raced
        | CoreError::NoNode { .. }
        | CoreError::NotEverywhere { .. }
        | CoreError::Unavailable(_)
        | CoreError::Refused(_)
        | CoreError::Deadline
        | CoreError::Seal(_)
        | CoreError::Hash(_)
        | CoreError::Random
        | CoreError::Files(_)
        | CoreError::Unsealed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_aws_refuses_ends_a_step_that_was_left() {
        let failed =
            |fault| CoreError::Aws(AwsError { call: "KMS PutKeyPolicy", fault, code: None, message: String::new(), request_id: None });
        for fault in [AwsFault::Throttled, AwsFault::Broken, AwsFault::Unreached, AwsFault::Unasked, AwsFault::Credentials] {
            assert!(may_come(&failed(fault)), "{fault:?}");
        }
        assert!(!may_come(&failed(AwsFault::Refused)));
        assert!(!may_come(&CoreError::State("the key is not in AWS".into())));
    }

    #[test]
    fn a_step_that_cannot_be_finished_says_what_is_left_when_it_is_given_up() {
        let place = crate::core::aws_keys::Place { kms: Uuid::nil(), region: "us-east-1" };
        let (id, successor) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let entry = AwsKeyEntry::new(id, place, crate::store::entry::AwsKeyKind::Native, crate::store::entry::ForAws::default());
        assert_eq!(left_by(&entry), None);
        let rotate = KeyStep::Rotate { successor, disable: false, retain_alias: false };
        for (step, word) in [(KeyStep::Create, id.to_string()), (KeyStep::Link, id.to_string()), (rotate, successor.to_string())] {
            let begun = AwsKeyEntry { doing: Some(step), ..entry.clone() };
            assert!(left_by(&begun).is_some_and(|left| left.contains(&word)), "{:?}", begun.doing);
            assert!(!stands(&begun) && stands(&AwsKeyEntry { failure: Some("no".into()), ..begun }));
        }
    }
}
